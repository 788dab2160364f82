"""Run a server of milestone 3 or 4 on a kernel that follows a script.

    python3 script.py TRACE path/to/server.py < script.json

Sockets and poll() are Python objects here, and the server's code is not changed:
what it does is recorded as by inject.py, and is the same on every machine and in
every run.  Whenever the server would sleep, the clients do their next moves; when
they have none left, the server is stopped.  The script is a JSON object:

    moves      a list of groups of moves; those of a group happen at once
    constants  values for names in conn.py and buffer.py, to scale their limits down

and a move is one of

    [client, "connect", room]   room: bytes of replies that the kernel holds for a
                                client which reads when the script says so; with
                                null it reads at once, whatever comes
    [client, "send", text]      text: one segment, as Latin-1
    [client, "read", count]     takes `count` bytes of replies from the kernel
    [client, "close"]           ends the stream to the server

Each move is a record, too: `call` is "client", args are the move's.
"""

import importlib
import json
import os
import runpy
import select
import sys
import time

from inject import Trace, observe

LISTENING_PORT = 6400
FIRST_CLIENT_PORT = 50001


class Client:
    """One client and the two queues that the kernel keeps for it."""

    def __init__(self, port, room):
        self.address = ("127.0.0.1", port)
        self.room = room
        self.to_server = bytearray()
        self.ended = False  # nothing will follow what is in to_server
        self.unread = 0  # bytes that were sent to it and that it has not read

    def take(self, size):
        """What recv(size) gives."""
        if not self.to_server and not self.ended:
            raise BlockingIOError
        data = bytes(self.to_server[:size])
        del self.to_server[:size]
        return data

    def offer(self, data):
        """How many bytes send(data) takes."""
        if self.room is None:
            return len(data)
        count = min(len(data), self.room - self.unread)
        if count == 0:
            raise BlockingIOError
        self.unread += count
        return count


class Kernel:
    """All sockets, and the script."""

    def __init__(self, trace, moves):
        self.trace = trace
        self.moves = moves
        self.sockets = {}  # by descriptor
        self.clients = {}  # by the name they have in the script
        self.waiting = []  # clients that were not accepted yet

    def events(self, fd):
        """What poll() could say about a descriptor."""
        client = self.sockets[fd].client
        if client is None:
            return select.POLLIN if self.waiting else 0
        events = select.POLLIN if client.to_server or client.ended else 0
        if client.room is None or client.unread < client.room:
            events |= select.POLLOUT
        return events

    def advance(self):
        """Let the clients do their next moves; without any, stop the server."""
        if not self.moves:
            sys.exit(0)
        for name, move, *argument in self.moves.pop(0):
            getattr(self, move)(name, *argument)
            data = {"data": argument[0]} if move == "send" else {}
            self.trace.write("client", None, [name, move, *argument], **data)

    def connect(self, name, room):
        self.clients[name] = Client(FIRST_CLIENT_PORT + len(self.clients), room)
        self.waiting.append(self.clients[name])

    def send(self, name, text):
        self.clients[name].to_server += text.encode("latin-1")

    def read(self, name, count):
        if count > self.clients[name].unread:
            raise ValueError(f"{name} cannot read {count} of {self.clients[name].unread} bytes")
        self.clients[name].unread -= count

    def close(self, name):
        self.clients[name].ended = True


class ScriptedSocket:
    """As much of a socket as the event loops use."""

    kernel = None

    def __init__(self, *kind, client=None):
        self.client = client
        self.fd = 3
        while self.fd in self.kernel.sockets:
            self.fd += 1
        self.kernel.sockets[self.fd] = self

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def setsockopt(self, level, option, value):
        """The script decides what a socket is like."""

    def bind(self, address):
        """There is one address."""

    def listen(self, backlog):
        """The kernel starts with the first move."""

    def setblocking(self, flag):
        """The kernel never makes anybody wait."""

    def gettimeout(self):
        return 0.0

    def fileno(self):
        return self.fd

    def getsockname(self):
        return ("127.0.0.1", LISTENING_PORT)

    def accept(self):
        if not self.kernel.waiting:
            raise BlockingIOError
        client = self.kernel.waiting.pop(0)
        return type(self)(client=client), client.address

    def recv(self, size):
        return self.client.take(size)

    def recv_into(self, buffer):
        data = self.client.take(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def send(self, data):
        return self.client.offer(data)

    def close(self):
        self.kernel.sockets.pop(self.fd, None)


class ScriptedPoll:
    """poll() on scripted sockets."""

    def __init__(self, kernel):
        self.kernel = kernel
        self.interest = {}

    def register(self, sock, events):
        self.interest[sock if isinstance(sock, int) else sock.fileno()] = events

    modify = register

    def unregister(self, sock):
        del self.interest[sock if isinstance(sock, int) else sock.fileno()]

    def poll(self, timeout=None):
        while True:
            ready = [(fd, self.kernel.events(fd) & self.interest[fd]) for fd in self.interest]
            ready = [(fd, events) for fd, events in ready if events]
            if ready:
                return ready
            self.kernel.advance()


def main():
    _, path, script = sys.argv
    story = json.load(sys.stdin)
    trace = Trace(path, shown=1 << 16, snapshots=True)
    ScriptedSocket.kernel = kernel = Kernel(trace, story["moves"])
    observe(
        trace,
        os.path.dirname(os.path.abspath(script)),
        ScriptedSocket,
        lambda: ScriptedPoll(kernel),
    )
    time.monotonic = lambda: 0.0  # no time passes in a script
    modules = [importlib.import_module("conn"), sys.modules.get("buffer")]
    for name, value in story["constants"].items():
        for module in modules:
            if hasattr(module, name):
                setattr(module, name, value)
    sys.argv = [script]
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main()
