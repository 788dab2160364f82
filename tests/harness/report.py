"""Turn failures into text for people, a terminal, and GitHub Actions."""

import itertools
import os
import re
import signal
from collections import Counter

from harness import endings
from harness.capabilities import ASKED, STEPS
from harness.guess import find_hint
from harness.target import STAGE_NAMES

NEXT = {
    1: "notebooks/02_framing.ipynb, then STAGE=2",
    2: "notebooks/03_eventloop.ipynb, then STAGE=3",
    3: "notebooks/04_pipelining.ipynb, then STAGE=4",
    4: "notebooks/06_beyond.ipynb",
}
STEPS_OF = {stage: [step for step in STEPS if step[0] == str(stage)] for stage in STAGE_NAMES}
LESSONS = {number: f"0{number}_{name}" for number, name in STAGE_NAMES.items()}
SHOWN, KEPT = 4, 10_000  # entries of a conversation at each end: on the page, in a file
LONGEST_TALK = 2 * SHOWN + 1
LAST_LINES = 8
FRONT_MATTERS = re.compile(rf"ERROR: AddressSanitizer|{endings.GO_ENDS.pattern}")
LONGEST_SUMMARY = 500_000  # characters; GitHub takes 1 MiB
IDLE_TIMEOUT_WANTED = "add `--idle-timeout {idle_timeout}` to the command to have this checked"


def rule_of(function):
    """A test's rule: the first sentence of its docstring, on one line."""
    return " ".join((function.__doc__ or function.__name__).split())


def what_hurts(stage):
    """Where to read what a milestone can't do."""
    return f'milestone{stage}_{STAGE_NAMES[stage]}/README.md, "What still hurts"'


def lesson(step):
    """Where to read about a step: the notebook, and the section that has its number."""
    name = LESSONS[int(step[0])] if step < "4.5" else "05_limits" if step < "5" else "06_beyond"
    return f"notebooks/{name}.ipynb, {step}"


def what_comes_next(stage, judges, step=None, test=None, only=False):
    """The last line of a run without a failure.  test, only: what TEST= and ONLY= asked for."""
    if test:
        return f"what was asked has no failure; without TEST={test} all of it is asked"
    if judges == "CLIENT":
        return f"the client of stage {stage} has no failure"
    told, following = f"stage {stage} has no failure", NEXT[stage]
    if step and step not in ASKED:
        told = f"step {step} asks nothing of a server that the step before did not: no failure"
    elif step and step != STEPS_OF[stage][-1]:
        told = f"step {step} has no failure"
    if step and step != STEPS_OF[stage][-1]:
        later = STEPS_OF[stage][STEPS_OF[stage].index(step) + 1]
        following = f"{lesson(later)}, then STEP={later}"
    if only and stage > 1:
        return f"{told}; without ONLY=1 the stages before {stage} are asked, too"
    return f"{told}; next: {following}"


def describe(failure, server, rule, rows, clients, repeat, read, talk_file=None):
    """The whole message of a failed test, as text.

    rows: the cells (row, "yes" or "no") that the test is about.  clients: all of the
    test's.  repeat: the command that runs it again.  read: where to read about it.
    talk_file: where to put a conversation that is too long for a page, or None.
    """
    parts = [("rule", rule), ("came", failure.came), ("expected", failure.expected)]
    if failure.client:
        parts.append(("talk", conversation(failure.client)))
        if talk_file and len(failure.client.history) > LONGEST_TALK:
            talk_file.write_text(whole_conversation(failure.client), encoding="utf-8")
            parts.append(("whole", f"in {os.path.relpath(talk_file)}"))
        others = beside(failure.client, clients)
        if failure.client.gave_up and others:
            parts.append(("beside", others))
    if server:
        server.settle()
        before = before_it(failure.client, clients) if failure.client else None
        if before and not server.alive():
            parts.append(("before", before))
        parts.append(("server", f"{server.ending()}\n{last_lines(server)}".strip()))
    hint = find_hint(failure, server, [number for number, cell in rows if cell != "no"], clients)
    if hint:
        parts.append(("hint", hint))
    parts += [("repeat", repeat), ("read", read)]
    return "\n".join(block(name, text) for name, text in parts)


def block(name, text):
    lines = text.splitlines() or [""]
    return "\n".join([f"{name + ':':<10}{lines[0]}"] + [f"{'':<10}{line}" for line in lines[1:]])


def beside(client, clients):
    """What the other clients of a test are at, of whom one may be the trouble; None: nobody."""
    others = [c for c in clients if c is not client and c.sock.fileno() >= 0 and c.history]
    if not others:
        return None
    last = f"{others[-1].name} {entry_text(*others[-1].history[-1])}"
    return last if len(others) == 1 else f"{len(others)} clients, one of them {last}"


def before_it(client, clients):
    """What the client before did last, of which the server may have died; None: nobody."""
    earlier = clients[: clients.index(client)] if client in clients else clients
    earlier = [other for other in earlier if other.history]
    return f"{earlier[-1].name} {entry_text(*earlier[-1].history[-1])}" if earlier else None


def conversation(client):
    """What was sent and received, an event a line, the middle of a long one left out."""
    lines = events(client.history, SHOWN)
    return "\n".join([f"{client.name}  (-> to the server, <- from it)", *lines])


def whole_conversation(client):
    return "".join(f"{line}\n" for line in events(client.history, KEPT))


def events(history, shown):
    """A line for each entry; of many only those at both ends."""
    if len(history) <= 2 * shown + 1:
        return [entry_text(*entry) for entry in history]
    begin, end = events(history[:shown], shown), events(history[-shown:], shown)
    return [*begin, f"... {len(history) - 2 * shown} more ...", *end]


def entry_text(arrow, length, front):
    if length is None:
        return arrow
    more = " ..." if length > len(front) else ""
    return f"{arrow} {length} bytes {front!r}{more}"


def last_lines(server):
    """The last lines that a server wrote in the current test, as text."""
    lines = server.news().splitlines()
    if not lines and not server.alive():
        lines = server.stdout().splitlines()
    if len(lines) > LAST_LINES:  # where it was, in Java or Ruby: what it was stands above
        lines = [line for line in lines if not re.match(r"\s+(at|from) ", line)]
    report = [n for n, line in enumerate(lines) if FRONT_MATTERS.search(line)]
    if report:  # its beginning tells what and where
        lines = lines[report[0] :][:LAST_LINES]
    told = [(line, len(list(same))) for line, same in itertools.groupby(lines)][-LAST_LINES:]
    return "\n".join(f"| {line[:200]}" + (f"  ({n} times)" if n > 1 else "") for line, n in told)


def death_of(server):
    """How a server ended by itself, with its last line; None while it lives."""
    if server is None or server.alive():
        return None
    if server.process.returncode in (0, -signal.SIGTERM, -signal.SIGKILL):  # at our word
        return None
    return "\n".join([server.ending(), *server.news().splitlines()[-1:]])


def describe_start(error, command):
    """The one message for a server that does not start."""
    parts = [("command", command), ("problem", error.came)]
    if error.server and last_lines(error.server):
        parts.append(("it wrote", last_lines(error.server)))
    if error.hint:
        parts.append(("hint", error.hint))
    by_hand = command.replace("{port}", "6400")
    parts.append(("by hand", by_hand if by_hand != command else f"PORT=6400 {command}"))
    return "the server could not be started\n" + "\n".join(block(*part) for part in parts)


# The end of a run


def stage_table(results):
    """Stage, passed, failed, skipped and the first thing to mend, as lines of text.

    results: a list of dicts with stage, rule, test and outcome.
    """
    lines = [f"{'stage':<15}{'passed':>7}{'failed':>7}{'skipped':>8}   first thing to mend"]
    for stage in sorted({result["stage"] for result in results}):
        mine = [result for result in results if result["stage"] == stage]
        outcomes = [result["outcome"] for result in mine]
        passed, failed, skipped = map(outcomes.count, ("passed", "failed", "skipped"))
        first = next((f"{r['rule']} ({r['test']})" for r in mine if r["outcome"] == "failed"), "")
        name = f"{stage} {STAGE_NAMES[stage]}"
        lines.append(f"{name:<15}{passed:>7}{failed:>7}{skipped:>8}   {first}".rstrip())
    return lines


def skip_lines(results):
    """Why tests were skipped, a reason a line, the commonest first."""
    texts = [result["text"] for result in results if result["outcome"] == "skipped"]
    # pytest gives the place, the line, and "Skipped: reason", as one tuple.
    reasons = Counter(text.partition("Skipped: ")[2].rstrip("')\"") for text in texts)
    return [f"skipped {count:>4}: {reason}" for reason, count in reasons.most_common()]


def github_escape(text, in_property=False):
    """Text as GitHub's workflow commands want it."""
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return text.replace(":", "%3A").replace(",", "%2C") if in_property else text


def annotation(title, text):
    return f"::error title={github_escape(title, True)}::{github_escape(text)}"


def step_summary(table, failures):
    """Markdown for the summary page of a step."""
    parts = ["```text", *table, "```", ""] if table else []
    for result in failures:
        # Indented, not fenced: the text may hold any number of back-quotes.
        quoted = [f"    {line}" for line in result["text"].splitlines()]
        parts += [f"### {result['rule']}", "", *quoted, ""]
    return "\n".join(parts)[:LONGEST_SUMMARY] + "\n"
