"""The event-loop theatre: milestones 3 and 4 on the same traffic, step by step.

    theatre.show("batch")                  in a notebook
    theatre.page(["batch", "pieces"])      one HTML page that needs nothing else

The servers run as they are, on a kernel that follows a script (script.py), so
that a scene is the same on every machine.
"""

import functools
import json
import subprocess
import sys
import tempfile
from html import escape
from pathlib import Path

from lab import wire
from lab.observe.trace import read_record
from lab.servers import STAGES
from lab.theatre import draw
from lab.theatre.steps import steps

HERE = Path(__file__).parent
TEMPLATE = HERE / "page.html"
SCRIPTED_KERNEL = HERE.parent / "observe" / "script.py"
IDEAS = {3: "one message per loop", 4: "all pending messages per loop"}


def frames(*requests):
    """Requests as the bytes of their frames, in the form a script wants."""
    return b"".join(map(wire.frame, requests)).decode("latin-1")


BATCH = frames(*[b"INCR n"] * 5)
PIECES = frames(b"SET k hello", b"GET k", b"PING")
LETTERS = frames(*[b"ECHO %c" % letter for letter in b"abcde"])
HALF = frames(b"ECHO half")
DRAWABLE = {"SMALL": 64}  # bytes that an empty Buffer keeps: 512 would not fit a picture

SCENES = {
    "batch": {
        "title": "a batch",
        "note": "Five requests arrive together. Watch how often each loop turns, and what is "
        "copied. (A Buffer has 64 bytes here, not 512.)",
        "still": 19,
        "constants": {},
        "moves": [[["a", "connect", None]], [["a", "send", BATCH]], [["a", "close"]]],
    },
    "pieces": {
        "title": "frames in pieces",
        "note": "TCP keeps no message boundaries. A piece of a frame is no error: both servers "
        "keep it and wait for the rest.",
        "still": 25,
        "constants": {},
        "moves": [
            [["a", "connect", None]],
            [["a", "send", PIECES[:2]]],
            [["a", "send", PIECES[2:9]]],
            [["a", "send", PIECES[9:20]]],
            [["a", "send", PIECES[20:27]]],
            [["a", "send", PIECES[27:]]],
            [["a", "close"]],
        ],
    },
    "slow": {
        "title": "a slow reader",
        "note": "The kernel holds 10 bytes for client a, and HIGH_WATER is 12 bytes instead of "
        "1 MiB, so that it fits here. Client b is served all the while.",
        "still": 34,
        "constants": {"HIGH_WATER": 12},
        "moves": [
            [["a", "connect", 10]],
            [["b", "connect", None]],
            [["a", "send", LETTERS]],
            [["a", "send", frames(b"ECHO f")], ["b", "send", frames(b"PING")]],
            [["a", "read", 10]],
            [["a", "read", 10]],
            [["a", "read", 10]],
            [["a", "read", 6], ["a", "close"]],
        ],
    },
    "two": {
        "title": "two clients",
        "note": "Client a has sent half a frame. Nobody waits for it: the loop goes on to client "
        "b, and comes back when the rest is there.",
        "still": 17,
        "constants": {},
        "moves": [
            [["a", "connect", None], ["b", "connect", None]],
            [["a", "send", HALF[:6]], ["b", "send", frames(b"ECHO one", b"ECHO two")]],
            [["a", "send", HALF[6:]], ["b", "send", frames(b"ECHO three")]],
            [["a", "close"], ["b", "close"]],
        ],
    },
}


def play(stage, scene):
    """Run milestone 3 or 4 on the script of a scene; the records, as of trace.py."""
    constants = {**DRAWABLE, **SCENES[scene]["constants"]}
    script = json.dumps({"moves": SCENES[scene]["moves"], "constants": constants})
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as file:
        subprocess.run(
            [sys.executable, SCRIPTED_KERNEL, file.name, STAGES[stage] / "server.py"],
            input=script,
            text=True,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        return [read_record(n, line) for n, line in enumerate(file)]


def in_step(left, right):
    """Which steps of two servers to show together: [(left, right), ...].

    Both see the clients' moves at the same time: who has finished sooner sleeps
    until the other has, too.
    """
    pairs = []
    for group in range(left[-1].group + 1):
        ours = [n for n, step in enumerate(left) if step.group == group]
        theirs = [n for n, step in enumerate(right) if step.group == group]
        for turn in range(max(len(ours), len(theirs))):
            pairs.append((ours[min(turn, len(ours) - 1)], theirs[min(turn, len(theirs) - 1)]))
    return pairs


class Scene:
    """One of SCENES, played: two servers on the same traffic, as steps and as pictures."""

    def __init__(self, name):
        self.name, self.title, self.note = name, SCENES[name]["title"], SCENES[name]["note"]
        self.found = {stage: steps(play(stage, name)) for stage in (3, 4)}
        self.pairs = in_step(self.found[3], self.found[4])
        self.clients = [view.client.name for view in self.found[4][-1].views]
        self.height = draw.height(len(self.clients))

    def picture(self, stage, number):
        """The parts of the picture of one step."""
        step = self.found[stage][number]
        return draw.panel(step, f"Milestone {stage}", IDEAS[stage], self.clients)

    def data(self):
        """What the page's script needs to show the scene."""
        numbers = {}  # of the distinct parts of the pictures
        panels = {stage: [] for stage in self.found}
        for stage, found in self.found.items():
            for number, step in enumerate(found):
                picture = self.picture(stage, number)
                panels[stage].append(
                    {
                        "parts": [numbers.setdefault(part, len(numbers)) for part in picture],
                        "words": f"{step.call}: {step.say}",
                        "poll": step.is_poll,
                    }
                )
        shown = ("name", "title", "note", "height", "pairs")
        values = {key: getattr(self, key) for key in shown}
        return {**values, "panels": panels, "parts": list(numbers)}


@functools.cache
def scene(name):
    return Scene(name)


def label(name):
    return f"Event-loop theatre: {SCENES[name]['title']}"


def still(name):
    """A static SVG of a telling moment of a scene, both milestones beside each other."""
    played = scene(name)
    pair = played.pairs[SCENES[name]["still"] - 1]
    pictures = [played.picture(stage, number) for stage, number in zip((3, 4), pair)]
    return draw.svg(pictures, played.height, label(name))


def page(names=tuple(SCENES)):
    """The theatre as one HTML page that loads nothing, with the scenes in this order."""
    data = json.dumps([scene(name).data() for name in names], ensure_ascii=False)
    return (
        TEMPLATE.read_text(encoding="utf-8")
        .replace("/*STYLE*/", draw.STYLE)
        .replace("<!--DEFS-->", draw.HATCH)
        # Both would mean something to the browser inside a script element.
        .replace("/*DATA*/", data.replace("</", "<\\/").replace("<!--", "<\\!--"))
    )


def show(name):
    """Show a scene in a notebook: a picture of it, and the page where scripts run."""
    from IPython.display import display

    display({"image/svg+xml": still(name), "text/plain": label(name)}, raw=True)
    source = escape(page([name]))
    frame = f'<iframe srcdoc="{source}" width="100%" height="800" style="border: 0"></iframe>'
    display({"text/html": frame, "text/plain": label(name)}, raw=True)
