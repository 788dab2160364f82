"""The servers side by side, by hand: one prompt for all of them.

python3 -m lab.play [N.K ...]    the four milestones, or these steps
"""

import contextlib
import signal
import socket
import sys
import time

from lab import history
from lab.contenders import milestones, steps
from lab.observe.trace import bytes_moved, count
from lab.process import allow_clients
from lab.servers import StartError
from lab.wire import connect

try:
    import readline  # noqa: F401  gives input() editing and history
except ImportError:
    pass  # not every Python has it; the prompt works without

GIVE_UP = 1.0  # seconds without a byte
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
help, exit"""


class Player:
    """One contender: its server, the client that asks, and those that are in the way."""

    def __init__(self, contender, server, stack):
        self.contender, self.server, self.stack = contender, server, stack
        self.others = []
        self.sock = self.connect()

    def connect(self):
        return self.stack.enter_context(connect(self.server.port, GIVE_UP))

    def connect_again(self):
        self.sock.close()
        self.sock = self.connect()

    def attempt(self, action):
        """Do something and tell what came of it, in a line."""
        before, start = len(self.server.records()), time.perf_counter()
        try:
            said = action(self)
        except socket.timeout:
            said = "no reply within a second"
            self.connect_again()  # a reply that comes late is not the next one's
        except OSError as error:
            said = f"the connection is lost: {error}"
            self.connect_again()
        took = (time.perf_counter() - start) * 1000
        return f"{said}   {took:.1f} ms{self.costs(before)}"

    def costs(self, before):
        """The poll() calls and the bytes moved since then, where there is an event loop."""
        if not self.contender.polls:
            return ""
        new = self.server.records()[before:]
        return f", {count(new, 'poll'):,} poll(), {bytes_moved(new):,} bytes moved"


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
        replies = []
        for _ in requests:
            replies.append(player.contender.receive(player.sock))
            if not player.contender.framed:
                break  # one reply for all that came in one piece
        shown = "  ".join(reply.decode("utf-8", "backslashreplace")[:40] for reply in replies[:3])
        return shown + (f"  ... {len(replies):,} replies" if len(replies) > 3 else "")

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
        return f"{len(player.others)} in the way"

    return action


def leaving(player):
    for sock in player.others:
        sock.close()
    player.others.clear()
    return "they have left"


def greedy_requests(contender):
    big = contender.encode(b"SET big " + bytes(4000 if not contender.framed else 100_000))
    return big + contender.encode(b"GET big") * CROWD


def parse(line):
    """The action that a line asks for."""
    word, _, rest = line.partition(" ")
    request = (rest or "PING").encode("utf-8", "surrogateescape")
    words = {
        "bytes": asking([request], one_by_one=True),
        "crowd": asking([request] * CROWD),
        "silent": joining(lambda contender: b""),
        "half": joining(lambda contender: contender.encode(b"PING")[:3]),
        "greedy": joining(greedy_requests),
        "leave": leaving,
    }
    requests = [part.encode("utf-8", "surrogateescape") for part in line.split(" + ")]
    return words.get(word) or asking(requests)


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


def play(contenders):
    with contextlib.ExitStack() as stack:
        players = []
        for contender in contenders:
            server = stack.enter_context(contender.start_traced())
            players.append(Player(contender, server, stack))
        print("One line goes to every server; help lists a few words, exit ends it.")
        for line in lines():
            if line in ("exit", "quit"):
                return
            if line == "help":
                print(HELP)
            elif line:
                action = parse(line)
                for player in players:
                    title = player.contender.title[:24]
                    print(f"  {title:24} {player.attempt(action)}", flush=True)


def main(numbers):
    signal.signal(signal.SIGINT, lambda signum, frame: sys.exit(130))
    allow_clients()
    try:
        play(steps(numbers) if numbers else milestones())
    except (history.HistoryError, StartError) as error:
        sys.exit(f"play: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
