"""Who takes part in a comparison: the four milestones, or any steps."""

import contextlib
import sys

from lab import history, wire
from lab.observe import trace
from lab.servers import ServerProcess, start_server

FIRST = "1.4"  # before it a server knows no commands
FRAMED, POLLS = "2.2", "3.3"  # the steps from which on there are frames, and poll()
RESP = "5.3"  # from there on the frames are those of Redis
TITLES = {1: "1 sockets", 2: "2 framing", 3: "3 event loop", 4: "4 pipelining"}


class Contender:
    """One server to be compared.

    framed: it speaks frames; polls: it has an event loop.  start() and start_traced()
    give a running server for a `with`, as lab.servers and lab.observe.trace do.
    """

    def __init__(self, title, framed, polls, start, start_traced):
        self.title = title
        self.framed, self.polls = framed, polls
        self.start, self.start_traced = start, start_traced

    def encode(self, request):
        """A request as its bytes on the wire."""
        return wire.frame(request) if self.framed else request

    def receive(self, sock):
        """The payload of the next reply."""
        return wire.receive_frame(sock) if self.framed else sock.recv(4096)


def milestones():
    """The four milestones as Contenders."""
    return [
        Contender(
            title,
            stage > 1,
            stage > 2,
            lambda stage=stage: start_server(stage),
            lambda stage=stage: trace.start_traced_server(stage, shown=0),
        )
        for stage, title in TITLES.items()
    ]


@contextlib.contextmanager
def start_step(number, *options):
    """The running server of a step, for a `with`."""
    with history.folder_of(number) as folder:
        words = [sys.executable, str(folder / "server.py"), "--port", "0", *options]
        with ServerProcess(words) as server:
            yield server


def steps(numbers):
    """Steps as Contenders; HistoryError if there is no such step, or if it has no commands."""
    order = [step.number for step in history.steps()]
    found = []
    for number in numbers:
        step = history.find(number)
        if order.index(number) < order.index(FIRST):
            raise history.HistoryError(
                f"step {number} knows no commands yet; take {FIRST} or later"
            )
        if order.index(number) >= order.index(RESP):
            raise history.HistoryError(
                f"step {number} speaks RESP: make run STEP={number} PORT=7379; redis-cli -p 7379"
            )
        framed, polls = (order.index(number) >= order.index(since) for since in (FRAMED, POLLS))
        found.append(
            Contender(
                f"{number} {step.title}",
                framed,
                polls,
                lambda number=number: start_step(number),
                lambda number=number: trace.start_traced_step(number, shown=0),
            )
        )
    return found
