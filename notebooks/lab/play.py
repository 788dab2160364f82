"""The servers side by side, by hand: one prompt for all of them.

python3 -m lab.play [N.K ...]    the four milestones, or these steps
"""

import contextlib
import itertools
import shutil
import signal
import socket
import sys
import time
from textwrap import wrap

from lab import history
from lab.contenders import milestones, steps
from lab.observe.trace import bytes_moved, count
from lab.process import memory_used
from lab.servers import STAGES, StartError
from lab.wire import UnreachableError, check_loopback, connect

sys.path.insert(0, str(STAGES[4]))
from client import format_reply  # noqa: E402  what a client shows

try:
    import readline  # noqa: F401  gives input() editing and history
except ImportError:
    pass  # not every Python has it; the prompt works without

GIVE_UP = 1.0  # seconds without a byte
PATIENCE = 20  # seconds, for a server that has much to do
SHOWN = 3  # replies of many
CROWD = 1000
HELP = """\
GET key               any request, to every server
PING a + PING b       two requests, or more, in one packet
bytes PING            one byte at a time
crowd PING            a thousand requests at once, in one packet
silent                one more client connects, and says nothing
half                  one more client sends half a request
greedy                one more client asks for much, and never reads
leave                 these clients leave
memory                what each server's memory is now
help, exit"""


class Player:
    """One contender: its server, the client that asks, and those that are in the way."""

    def __init__(self, contender, server, stack):
        self.contender, self.server, self.stack = contender, server, stack
        self.others = []
        self.sock = self.connect()

    def connect(self, seconds=GIVE_UP):
        return self.stack.enter_context(connect(self.server.port, seconds))

    def connect_again(self):
        self.sock.close()
        self.sock = self.connect()

    def attempt(self, action, counted):
        """Do something and tell what came of it, as lines of text; counted: and what it cost."""
        said, before, start = [], len(self.server.records()), time.perf_counter()
        try:
            for line in action(self):
                said.append(line)
        except socket.timeout:
            said.append(f"{'and no more' if said else 'no reply'} within a second")
            self.connect_again()  # a reply that comes late is not the next one's
        except OSError as error:
            said.append(f"the connection is lost: {error}")
            self.connect_again()
        took = (time.perf_counter() - start) * 1000
        if len(said) > SHOWN + 1:
            said[SHOWN:-1] = [f"... {len(said):,} replies"]
        return [*said, f"{took:.1f} ms", *self.costs(before)] if counted else said

    def costs(self, before):
        """The poll() calls and the bytes moved since then, where there is an event loop."""
        if not self.contender.polls:
            return []
        time.sleep(0.02)  # the record of the last send() is written when we have its bytes
        new = self.server.records()[before:]
        # What the loop does behind the last reply belongs to what comes next.
        sends = [place for place, record in enumerate(new) if record["call"] == "send"]
        new = new[: sends[-1] + 1] if sends else new
        return [f"{count(new, 'poll'):,} poll()", f"{bytes_moved(new):,} bytes moved"]


def asking(requests, one_by_one=False):
    """An action: these requests in one packet, or one byte at a time."""

    def action(player):
        data = b"".join(map(player.contender.encode, requests))
        if one_by_one:
            for byte in data:
                player.sock.sendall(bytes([byte]))
                time.sleep(0.01)
        else:
            player.sock.sendall(data)
        if not player.contender.framed:  # one reply for all that came in one piece
            yield format_reply(player.contender.receive(player.sock))
            return
        for _ in requests:
            yield format_reply(player.contender.receive(player.sock))

    return action


def joining(send):
    """An action: one more client, which sends what send(contender) gives, and stays."""

    def action(player):
        # It comes first, and the client that asks comes again behind it.
        player.sock.close()
        sock = player.connect()
        sock.sendall(send(player.contender))
        player.others.append(sock)
        player.sock = player.connect()
        yield f"{len(player.others)} in the way"

    return action


def leaving(player):
    for sock in player.others:
        sock.close()
    player.others.clear()
    player.connect_again()
    player.sock.settimeout(PATIENCE)
    for _ in range(3):  # the server may still be at work for them, or about to begin
        time.sleep(0.1)
        player.sock.sendall(player.contender.encode(b"PING"))
        player.contender.receive(player.sock)
    player.sock.settimeout(GIVE_UP)
    yield "they have left"


def weighing(player):
    yield f"{memory_used(player.server.pid) / 1024:.0f} MiB of memory"


def greedy_requests(contender):
    big = contender.encode(b"SET big " + bytes(4000 if not contender.framed else 100_000))
    return big + contender.encode(b"GET big") * CROWD


def parse(line):
    """The action that a line asks for, and whether its cost is of interest."""
    word, _, rest = line.partition(" ")
    request = (rest or "PING").encode("utf-8", "surrogateescape")
    requests = [part.encode("utf-8", "surrogateescape") for part in line.split(" + ")]
    words = {
        "bytes": (asking([request], one_by_one=True), True),
        "crowd": (asking([request] * CROWD), True),
        "silent": (joining(lambda contender: b""), False),
        "half": (joining(lambda contender: contender.encode(b"PING")[:3]), False),
        "greedy": (joining(greedy_requests), False),
        "leave": (leaving, False),
        "memory": (weighing, False),
    }
    return words.get(word, (asking(requests), True))


def lines():
    """The lines to play: typed at a prompt, or those of standard input."""
    if not sys.stdin.isatty():
        for line in sys.stdin:
            print(f"> {line.rstrip()}")
            yield line.strip()
        return
    with contextlib.suppress(EOFError):
        while True:
            yield input("> ").strip()


def side_by_side(cells):
    """Print cells, each a list of lines, as columns of the width that there is."""
    width = max((shutil.get_terminal_size((100, 24)).columns - 2) // len(cells) - 2, 18)
    columns = [[part for line in cell for part in wrap(line, width)] for cell in cells]
    for row in itertools.zip_longest(*columns, fillvalue=""):
        print("  " + "  ".join(part.ljust(width) for part in row).rstrip(), flush=True)


def play(contenders):
    with contextlib.ExitStack() as stack:
        players = []
        for contender in contenders:
            server = stack.enter_context(contender.start_traced())
            players.append(Player(contender, server, stack))
        print("One line goes to every server; help lists a few words, exit ends it.", flush=True)
        for line in lines():
            if line in ("exit", "quit"):
                return
            if line == "help":
                print(HELP)
            elif line:
                played = [player.attempt(*parse(line)) for player in players]
                titles = [player.contender.title for player in players]
                side_by_side([[title] for title in titles])
                side_by_side(played)


def main(numbers):
    # By way of an exception, so that each `with` ends its server.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda signum, frame: sys.exit(130))
    if any(word.startswith("-") for word in numbers):
        sys.exit("usage: python3 -m lab.play [N.K ...], or make play STEPS='4.1 4.2'")
    try:
        check_loopback()
        play(steps(numbers) if numbers else milestones())
    except (history.HistoryError, StartError, UnreachableError) as error:
        sys.exit(f"play: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
