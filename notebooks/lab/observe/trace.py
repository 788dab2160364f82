"""Run one of our servers with its calls observed, and count instead of timing.

    with trace.start_traced_server(3) as server:
        ...                                   # talk to server.port
        polls = trace.count(server.records(), "poll")

Each call of the server is one record, a dict:

    n        number of the record, from 0
    loop     turn of the loop: how often the server has called poll() so far, or,
             where it blocks, accept()
    call     a method of a socket (accept, recv, send, ...) or of poll (register,
             modify, unregister, poll), or a function of conn.py or buffer.py
    fd       the descriptor it is about; None for poll
    args     its arguments; bytes-like ones are given by their length
    result   what it returned; a socket by its descriptor, bytes by their length,
             poll's answer as [[fd, events], ...]
    error    name of the exception it raised, or None
    bytes    how many bytes it moved, None for a call that moves none.  Of
             try_one_request: what was copied to take one request away.  Of
             consume and make_room, methods of Buffer: the data that was moved.
    in_place of consume and make_room: whether the memory is the same as before
    inside   the functions of conn.py that were running, the outermost first
    data     of recv, recv_into, send, sendall: the first `shown` of those bytes
    interest of poll: [[fd, events], ...] as the server had registered them

With snapshots=True there is also the state of connections: `before` and `after`
in the records of conn.py's functions, and in `conns`, by descriptor, when poll()
was called.  A state is a dict of want_read, want_write, want_close, incoming,
outgoing and replies (bytes that were answered and are in no buffer yet).  incoming
and outgoing hold `kind` (bytes or Buffer), data_begin, data_end,
buffer_end, `memory` (its first `shown` bytes) and `data` (the first `shown` bytes
from data_begin on).

A record is written as soon as its call is over, so a client that has its reply
finds the poll() and the recv() that led to it.
"""

import contextlib
import json
import os
import select
import signal
import sys
import tempfile
from pathlib import Path

from lab import history
from lab.servers import STAGES, ServerProcess

RUNNER = Path(__file__).with_name("inject.py")
EVENTS = ((select.POLLIN, "IN"), (select.POLLOUT, "OUT"), (select.POLLERR, "ERR"))
EVENTS += ((select.POLLHUP, "HUP"), (select.POLLNVAL, "NVAL"))


class TracedServer(ServerProcess):
    """A running server like any other, and the records of its calls."""

    def __init__(self, script, options, shown, snapshots, python, **popen):
        self._trace = tempfile.NamedTemporaryFile(suffix=".jsonl")  # goes when we go
        watch = [self._trace.name, str(shown), "1" if snapshots else "0"]
        super().__init__([python, str(RUNNER), *watch, str(script), *options], **popen)

    def records(self):
        """All records so far, the oldest first."""
        data = Path(self._trace.name).read_bytes()
        # The server may be writing the line behind the last newline.
        lines = data[: data.rfind(b"\n") + 1].splitlines()
        return [read_record(n, line) for n, line in enumerate(lines)]

    @contextlib.contextmanager
    def paused(self):
        """Stop the process meanwhile: what is sent to it now arrives together."""
        os.kill(self.pid, signal.SIGSTOP)
        os.waitpid(self.pid, os.WUNTRACED)
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)


def start_traced_server(
    stage, *options, port=0, shown=256, snapshots=False, python=sys.executable, **popen
):
    """Start the server of milestone `stage` (1-4), or any server.py like ours
    whose path is given, observed, on a free port of 127.0.0.1.

    shown: how many bytes of content each record keeps; snapshots: whether to
    record the connections' state as well.  Raises lab.servers.StartError.
    """
    script = STAGES[stage] / "server.py" if isinstance(stage, int) else stage
    options = ["--port", str(port), *map(str, options)]
    return TracedServer(script, options, shown, snapshots, python, **popen)


@contextlib.contextmanager
def start_traced_step(number, *options, **keywords):
    """The same for the server of a step, such as "4.2", for a `with`."""
    with history.folder_of(number) as folder:
        with start_traced_server(folder / "server.py", *options, **keywords) as server:
            yield server


def read_record(n, line):
    """Line `n` of the trace file as a dict, with contents as bytes."""
    record = {"n": n, **json.loads(line)}
    if "data" in record:
        record["data"] = record["data"].encode("latin-1")
    states = [record.get("before"), record.get("after"), *record.get("conns", {}).values()]
    for state in filter(None, states):
        for window in (state["incoming"], state["outgoing"]):
            window["memory"] = window["memory"].encode("latin-1")
            window["data"] = window["data"].encode("latin-1")
    if "conns" in record:
        record["conns"] = {int(fd): state for fd, state in record["conns"].items()}
    return record


def count(records, call):
    """How many records there are of `call`."""
    return sum(record["call"] == call for record in records)


def bytes_moved(records):
    """Bytes that were moved to take requests away, or inside a Buffer."""
    moves = ("try_one_request", "consume", "make_room")
    return sum(record["bytes"] or 0 for record in records if record["call"] in moves)


def event_names(events):
    """A bit mask of poll() in words: 5 is "IN|OUT", 0 is "-"."""
    return "|".join(name for bit, name in EVENTS if events & bit) or "-"
