"""Run a server with its sockets and its poll() observed: the half of trace.py
that lives in the server's process.

    python3 inject.py TRACE SHOWN SNAPSHOTS path/to/server.py [OPTION ...]

The server's code is not changed.  `socket.socket`, `select.poll` and `select.epoll` are
replaced before it starts, and the functions of its conn.py and buffer.py are wrapped, so
that each call appends one line of JSON to the file TRACE.  trace.py tells what
a line holds.
"""

import functools
import importlib
import json
import os
import runpy
import select
import socket
import sys

SOCKET_CALLS = (
    "setsockopt bind listen accept setblocking recv recv_into send sendall shutdown close".split()
)
HANDLERS = "handle_read handle_write answer try_one_request refuse drop".split()
TRACE_FD = 100  # leaves 3, 4, 5, ... to the server, as if nobody were watching


class Trace:
    """The trace file and what has to be remembered between two calls.

    path: the file to append to; shown: bytes of content kept of each message
    and buffer; snapshots: whether to record the connections' state as well.
    """

    def __init__(self, path, shown, snapshots):
        opened = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self.file = os.dup2(opened, TRACE_FD)
        os.close(opened)
        self.shown = shown
        self.snapshots = snapshots
        self.loop = 0
        self.inside = []  # the handlers that are running, the outermost first
        self.conns = {}  # the open connections by file descriptor

    def write(self, call, fd, args=(), result=None, error=None, count=None, **more):
        line = {
            "loop": self.loop,
            "call": call,
            "fd": fd,
            "args": [plain(arg) for arg in args],
            "result": plain(result),
            "error": type(error).__name__ if error else None,
            "bytes": count,
            "inside": [name for name, _ in self.inside],
            **more,
        }
        # One os.write() a record: a signal that ends the server finds it written
        # or not begun, and nothing waits in a buffer to be flushed.
        os.write(self.file, json.dumps(line).encode() + b"\n")

    def text(self, data):
        """The beginning of some bytes in a form that JSON can hold."""
        return bytes(memoryview(data)[: self.shown]).decode("latin-1")

    def snapshot(self, conn):
        """The state of one connection, or None where that was not asked for."""
        if not self.snapshots:
            return None
        return {
            "want_read": conn.want_read,
            "want_write": conn.want_write,
            "want_close": conn.want_close,
            "incoming": self.window(conn.incoming),
            "outgoing": self.window(conn.outgoing),
            "replies": sum(map(len, getattr(conn, "replies", ()))),
        }

    def window(self, buffer):
        """The pointers and the bytes of a Buffer, or of a bytes object.

        A bytes object is seen as a buffer that is full of data.
        """
        if isinstance(buffer, bytes):
            begin, end, memory = 0, len(buffer), buffer
        else:
            begin, end, memory = buffer.data_begin, buffer.data_end, buffer.memory
        return {
            "kind": type(buffer).__name__,
            "data_begin": begin,
            "data_end": end,
            "buffer_end": len(memory),
            "memory": self.text(memory),
            "data": self.text(memoryview(memory)[begin:end]),
        }


def plain(value):
    """A value as JSON can hold it: bytes by their length, a socket by its descriptor."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Exception):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value.fileno() if hasattr(value, "fileno") else len(value)


def socket_method(trace, real):
    """A method of a socket, recorded."""
    name = real.__name__

    @functools.wraps(real)
    def method(self, *args):
        # A blocking server waits in accept(): there a turn of its loop begins.
        if name == "accept" and self.gettimeout() is None:
            trace.loop += 1
        fd, result, error = self.fileno(), None, None
        try:
            result = real(self, *args)
            return result
        except BaseException as problem:
            error = problem
            raise
        finally:
            data = content(name, args, result)
            more = {} if data is None else {"data": trace.text(data)}
            count = None if data is None else len(data)
            trace.write(name, fd, args, result, error, count, **more)
            if name == "close":
                trace.conns.pop(fd, None)

    return method


def content(name, args, result):
    """The bytes that a call has moved, or None if it is none that moves any."""
    if name == "recv":
        return result
    if result is not None and name == "recv_into":
        return memoryview(args[0])[:result]
    if result is not None and name == "send":
        return memoryview(args[0])[:result]
    return args[0] if name == "sendall" else None


class TracedPoll:
    """select.poll() or epoll() that records its calls and remembers what it was told."""

    def __init__(self, trace, real):
        self.trace = trace
        self.real = real
        self.interest = {}

    def register(self, sock, events):
        self.tell("register", sock, events)

    def modify(self, sock, events):
        self.tell("modify", sock, events)

    def tell(self, call, sock, events):
        getattr(self.real, call)(sock, events)
        fd = sock if isinstance(sock, int) else sock.fileno()
        self.interest[fd] = events
        self.trace.write(call, fd, [events])

    def unregister(self, sock):
        self.real.unregister(sock)
        fd = sock if isinstance(sock, int) else sock.fileno()
        del self.interest[fd]
        self.trace.write("unregister", fd)

    def poll(self, *timeout):
        trace = self.trace
        trace.loop += 1
        result, error = None, None
        state = {str(fd): trace.snapshot(conn) for fd, conn in trace.conns.items()}
        try:
            result = self.real.poll(*timeout)
            return result
        except BaseException as problem:
            error = problem
            raise
        finally:
            interest = sorted(self.interest.items())
            more = {"conns": state} if trace.snapshots else {}
            trace.write("poll", None, timeout, result, error, interest=plain(interest), **more)


def handler(trace, name, real):
    """A function of conn.py, whose first argument is a Conn, recorded when it ends."""

    @functools.wraps(real)
    def wrapped(conn, *args):
        before, fd, result, error = trace.snapshot(conn), conn.sock.fileno(), None, None
        trace.inside.append((name, conn))
        try:
            result = real(conn, *args)
            return result
        except BaseException as problem:
            error = problem
            raise
        finally:
            trace.inside.pop()
            # Slicing has copied all that is behind the request; a Buffer copies nothing.
            sliced = name == "try_one_request" and result and isinstance(conn.incoming, bytes)
            copied = len(conn.incoming) if sliced else None
            more = {"before": before, "after": trace.snapshot(conn)} if trace.snapshots else {}
            trace.write(name, fd, args, result, error, copied, **more)

    return wrapped


def observe_conn(trace):
    """Wrap what the event loops' conn.py defines."""
    conn_module = importlib.import_module("conn")
    for name in HANDLERS:
        if hasattr(conn_module, name):
            setattr(conn_module, name, handler(trace, name, getattr(conn_module, name)))
    init = conn_module.Conn.__init__

    def remember(self, sock, *args):
        init(self, sock, *args)
        trace.conns[sock.fileno()] = self

    conn_module.Conn.__init__ = remember


def observe_buffer(trace):
    """Record what a Buffer consumes, and how many bytes it moves to make room."""
    buffer_class = importlib.import_module("buffer").Buffer
    for name in ("consume", "make_room"):
        setattr(buffer_class, name, buffer_method(trace, getattr(buffer_class, name)))


def buffer_method(trace, real):
    """A method of Buffer, recorded with the name of the buffer and the bytes that it moved."""

    @functools.wraps(real)
    def method(self, *args):
        memory, begin, count = self.memory, self.data_begin, len(self)
        result = real(self, *args)
        stays = self.memory is memory and self.data_begin == begin
        moved = 0 if real.__name__ == "consume" or stays else count
        _, conn = trace.inside[-1]
        which = "incoming" if self is conn.incoming else "outgoing"
        in_place = self.memory is memory
        trace.write(
            real.__name__, conn.sock.fileno(), [which, *args], count=moved, in_place=in_place
        )
        return result

    return method


def observe(trace, directory, socket_class, new_poll, new_epoll=None):
    """Put observed sockets, poll() and epoll() in place for the server in `directory`."""
    methods = {
        name: socket_method(trace, getattr(socket_class, name))
        for name in SOCKET_CALLS
        if hasattr(socket_class, name)
    }
    # accept() makes its sockets with this class, too.
    socket.socket = type("TracedSocket", (socket_class,), {"__slots__": (), **methods})
    select.poll = lambda: TracedPoll(trace, new_poll())
    if new_epoll:
        select.epoll = lambda: TracedPoll(trace, new_epoll())
    sys.path[0] = directory  # as if the server had been started by itself
    if os.path.exists(os.path.join(directory, "conn.py")):
        observe_conn(trace)
    if os.path.exists(os.path.join(directory, "buffer.py")):
        observe_buffer(trace)


def main():
    _, path, shown, snapshots, script, *options = sys.argv
    trace = Trace(path, int(shown), snapshots == "1")
    folder = os.path.dirname(os.path.abspath(script))
    observe(trace, folder, socket.socket, select.poll, getattr(select, "epoll", None))
    sys.argv = [script, *options]
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main()
