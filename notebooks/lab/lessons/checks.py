"""What the notebooks do with servers, and the checks of their exercises."""

import socket
import subprocess
import sys
import time
from contextlib import ExitStack

from lab.lessons.variants import changed_server, judge, require
from lab.observe.trace import count
from lab.servers import STAGES
from lab.wire import connect

SECONDS = 10  # what takes longer hangs
PATIENCE = 1  # for an answer that may well not come, in seconds


def run_client(stage, server, *command):
    """Run the client program of a milestone for one command; returns what it prints."""
    script = STAGES[stage] / "client.py"
    argv = [sys.executable, str(script), "--port", str(server.port), *command]
    done = subprocess.run(
        argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=SECONDS
    )
    return done.stdout.rstrip("\n")


def wait_until(condition, what):
    """Wait until `condition()` holds; TimeoutError that names `what` if it never does."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {SECONDS} s for {what}")
        time.sleep(0.002)


def records_until_close(server):
    """The records of a traced server once it has noticed that a client has left."""
    wait_until(lambda: count(server.records(), "close"), "the server to close the connection")
    return server.records()


def received(server):
    """How many bytes a traced server has taken from its clients so far."""
    return sum(record["bytes"] or 0 for record in server.records() if record["call"] == "recv")


def send_in_pieces(server, sock, pieces):
    """Send pieces to a traced server, each when the one before has been received."""
    before = received(server)
    for number, piece in enumerate(pieces):
        sock.sendall(piece)
        sent = sum(map(len, pieces[: number + 1]))
        wait_until(
            lambda sent=sent: received(server) == before + sent, f"the server to receive {piece!r}"
        )


def cut(data, size):
    """Cut bytes into pieces of `size`; the last may be shorter."""
    return [data[begin : begin + size] for begin in range(0, len(data), size)]


# The checks of the exercises.  Each prints one line: "yes: ..." or "not yet: ...".


class Steps:
    """A server's calls, made one at a time as a student has put them in order."""

    CALLS = ("socket", "bind", "listen", "accept", "recv", "sendall", "close")

    def __init__(self):
        self.open = ExitStack()
        self.listener = self.sock = None

    def socket(self):
        self.listener = self.open.enter_context(socket.socket())
        self.listener.settimeout(PATIENCE)

    def bind(self):
        self.listener.bind(("127.0.0.1", 0))

    def listen(self):
        self.listener.listen()
        client = socket.create_connection(self.listener.getsockname(), PATIENCE)
        self.client = self.open.enter_context(client)
        self.client.sendall(b"PING")

    def accept(self):
        self.sock, _ = self.listener.accept()
        self.open.enter_context(self.sock)

    def recv(self):
        self.request = self.sock.recv(4096)

    def sendall(self):
        self.sock.sendall(b"+PONG" if self.request == b"PING" else self.request)

    def close(self):
        self.sock.close()

    def make(self, steps):
        """Make the calls; AssertionError if one fails, or if they don't serve the client."""
        require(steps, "put the seven calls into the list")
        for step in steps:
            require(step in self.CALLS, f"{step!r} is none of {', '.join(self.CALLS)}")
            try:
                getattr(self, step)()
            except OSError as error:
                raise AssertionError(f"{step}() fails: {error.strerror or error}") from None
            except AttributeError:
                raise AssertionError(f"{step}() has nothing to work on yet") from None
        require(self.answered(), "the client has no reply, or the connection is open")
        require("bind" in steps, "without bind() the kernel takes any port, and no client knows it")

    def answered(self):
        return self.sock is not None and self.sock.fileno() == -1 and self.reply() == b"+PONG"

    def reply(self):
        """All that the client receives until the end of the stream."""
        reply = b""
        while True:
            data = self.client.recv(4096)
            if not data:
                return reply
            reply += data


def check_steps(steps):
    """Exercise 1 of notebook 1: a list of calls, which are made for real."""
    calls = Steps()
    with calls.open:
        judge(lambda: calls.make(steps), "the client has received +PONG and the end of the stream")


def ask_unframed(sock, request):
    """The reply of a milestone 1 server: b"" if it has closed, None if it says nothing."""
    try:
        sock.sendall(request)
        return sock.recv(4096)
    except socket.timeout:
        return None
    except ConnectionError:
        return b""


def last_words(server):
    """How a server that should be running has ended; None if it has not."""
    try:
        status = server.process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        return None
    lines = server.stderr().splitlines()
    return f"the server has ended: {lines[-1] if lines else f'exit status {status}'}"


def check_with_server(symbol, function, attempt, praise):
    """Put a function in the place of `symbol` in milestone 1, and let attempt(port) judge it."""

    def check():
        with changed_server(1, {symbol: function}) as server:
            try:
                attempt(server.port)
            except (AssertionError, ConnectionError) as problem:
                raise AssertionError(last_words(server) or problem) from None

    judge(check, praise)


def check_quit(serve_client):
    """Exercise 2 of notebook 1: a serve_client() that knows QUIT."""
    check_with_server("server.py::serve_client", serve_client, quit_once, "answered and closed")


def quit_once(port):
    with connect(port, PATIENCE) as sock:
        ping, goodbye, late = (ask_unframed(sock, word) for word in (b"PING", b"QUIT", b"PING"))
    with connect(port, PATIENCE) as sock:
        after = ask_unframed(sock, b"PING")
    require(ping == b"+PONG", f"PING got {ping!r}")
    require(goodbye == b"+BYE", f"QUIT got {goodbye!r}, not b'+BYE'")
    require(late == b"", f"the connection is open after QUIT: PING got {late!r}")
    require(after == b"+PONG", f"the next client's PING got {after!r}")


def check_threads(serve_forever):
    """Exercise 3 of notebook 1: a serve_forever() with a thread for each client."""
    check_with_server("server.py::serve_forever", serve_forever, ask_both, "both are served")


def ask_both(port):
    with connect(port, PATIENCE) as silent, connect(port, PATIENCE) as other:
        beside = ask_unframed(other, b"PING")
        first = ask_unframed(silent, b"PING")
    require(beside == b"+PONG", f"beside a silent client PING got {beside!r} within {PATIENCE} s")
    require(first == b"+PONG", f"the silent client, when it speaks, gets {first!r}")


class ScriptedSocket:
    """Stands for a socket: each recv() gives the next piece of a script, at most.

    least: fewer bytes than that may not be asked for.
    """

    def __init__(self, pieces, least=1):
        self.pieces = list(pieces)
        self.least = least
        self.ends = 0

    def recv(self, size):
        if size < self.least:
            raise RuntimeError(f"recv({size}) is called: a call for each byte is slow")
        if not self.pieces:
            self.ends += 1
            if self.ends > 3:
                raise RuntimeError("recv() is called again and again after the end")
            return b""
        piece = self.pieces.pop(0)
        if len(piece) > size:
            self.pieces.insert(0, piece[size:])
        return piece[:size]


def compare(name, want, call, *arguments):
    """AssertionError that names the script if a call does not return, or raise, what we want."""
    try:
        got = call(*arguments)
    except Exception as error:  # a student's code may raise anything
        got = error
    right = isinstance(got, want) if want is ConnectionError else got == want
    wanted = "a ConnectionError" if want is ConnectionError else repr(want)
    require(right, f"{name}: got {got!r} instead of {wanted}")


def check_payloads(payloads):
    """Exercise 1 of notebook 2: the payloads that are in the bytes of the question."""

    def check():
        require(payloads, "fill the list")
        right = payloads == [b"GET a", b"", b"PING"]
        require(right, f"{payloads!r} is not what the three headers say")

    judge(check, "and the second one is empty, not missing")


def check_read_full(read_full):
    """Exercise 2 of notebook 2: read_full() against short reads and early ends."""
    scripts = [
        ("all at once", [b"abcd"], b"abcd"),
        ("byte by byte", [b"a", b"b", b"c", b"d"], b"abcd"),
        ("more than asked for", [b"abcdef"], b"abcd"),
        ("the end before the first byte", [], None),
        ("the end after two bytes", [b"ab"], ConnectionError),
    ]

    def check():
        for name, pieces, expected in scripts:
            compare(name, expected, read_full, ScriptedSocket(pieces), 4)

    judge(check, "whole, in pieces, too much, too early: all right")


def check_line_reader(make_reader):
    """Exercise 3 of notebook 2: a reader of lines that keeps what recv() gave too much."""
    scripts = [
        ("one line at a time", [b"GET a\n", b"PING\n"], [b"GET a", b"PING", None]),
        ("two lines in one recv()", [b"GET a\nPING\n"], [b"GET a", b"PING", None]),
        ("a line in three pieces", [b"GE", b"T ", b"a\n"], [b"GET a", None]),
        ("a line and a half", [b"GET a\nPI", b"NG\n"], [b"GET a", b"PING", None]),
        ("an empty line", [b"\nPING\n"], [b"", b"PING", None]),
        ("the end inside a line", [b"GET a\nPI"], [b"GET a", ConnectionError]),
    ]

    def check():
        for name, pieces, expected in scripts:
            reader = make_reader(ScriptedSocket(pieces, least=2))
            for want in expected:
                compare(name, want, reader.read_line)

    judge(check, "no byte is lost, and none is read twice")
