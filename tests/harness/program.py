"""Run a client program against a server that follows a script, and look at both ends."""

import contextlib
import select
import socket
import subprocess
import threading

from harness import hints
from harness.failure import Failure, check
from harness.server import signal_name
from harness.target import HEADER_SIZE

SECONDS = 20  # for a client that has all it needs
LOOK_SECONDS = 0.05  # between two looks whether somebody will connect at all
SHOWN = 300  # characters of what a client wrote


class ScriptedServer:
    """A server for one client, in a thread: serve(connection) is called.

    port: where it listens.  errors: what serve() raised.
    """

    def __init__(self, serve):
        self.serve = serve
        self.errors = []
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen()
        self.port = self.listener.getsockname()[1]
        self.client_has_ended = False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        try:
            while not select.select([self.listener], [], [], LOOK_SECONDS)[0]:
                if self.client_has_ended:
                    return
            sock, _ = self.listener.accept()
            sock.settimeout(SECONDS)
            with sock:
                self.serve(Connection(sock))
        except Exception as error:  # told by run_program(), in the thread of the test
            self.errors.append(error)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.client_has_ended = True
        self.thread.join(SECONDS)
        self.listener.close()


class Connection:
    """The server's end.  requests: the payloads that have come so far."""

    def __init__(self, sock):
        self.sock = sock
        self.requests = []

    def request(self):
        """Wait for the next request; its payload, or None at the end of the stream."""
        header = self.exactly(HEADER_SIZE)
        if header is None:
            return None
        length = int.from_bytes(header, "little")
        if length > 4 * 1024 * 1024:
            raise Failure(f"a request begins with {header!r}", "a little-endian length")
        self.requests.append(self.exactly(length))
        return self.requests[-1]

    def exactly(self, count):
        data = b""
        while len(data) < count:
            try:
                piece = self.sock.recv(count - len(data))
            except socket.timeout:
                came = f"{len(data)} of {count} bytes of a request, then nothing"
                raise Failure(came, "all of it", PARTIAL_SEND) from None
            if not piece:
                if data:
                    raise Failure(f"the end after {len(data)} of {count} bytes", "all of them")
                return None
            data += piece
        return data

    def reply(self, payload):
        self.sock.sendall(len(payload).to_bytes(HEADER_SIZE, "little") + payload)

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()


PARTIAL_SEND = "send() may take a part of what it is given: the rest has to follow"


class Ended:
    """How a client program has ended: status, and what it wrote."""

    def __init__(self, status, output, errors):
        self.status, self.output, self.errors = status, output, errors

    def __str__(self):
        wrote = self.errors.decode("utf-8", "replace").strip()[-SHOWN:]
        how = signal_name(-self.status) if self.status < 0 else f"status {self.status}"
        return f"{how}, on standard error: {wrote or 'nothing'}"


def run_program(words, serve, text, port=None):
    """Run the client with `text` on its standard input against a scripted server.

    serve: takes a Connection; None where nobody listens.  Returns Ended.  Failure if
    the client does not end, or if the server saw something that it must not see.
    """
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(ScriptedServer(serve)) if serve else None
        port = server.port if server else port
        filled = [word.replace("{port}", str(port)) for word in words]
        try:
            done = subprocess.run(filled, input=text, capture_output=True, timeout=SECONDS)
        except subprocess.TimeoutExpired as late:
            came = f"still running after {SECONDS} s; it has printed {show(late.stdout or b'')}"
            raise Failure(came, "its end, as all replies have been sent", DEADLOCK) from None
        except OSError as error:
            raise Failure(f"{filled[0]} can't be run: {error.strerror}", "a client") from None
    for error in server.errors if server else ():
        if isinstance(error, Failure):
            raise error
    return Ended(done.returncode, done.stdout, done.stderr)


DEADLOCK = "recv() until the reply is complete, and no longer; to pipeline, read while you send"


def show(data):
    text = repr(bytes(data[:SHOWN]))
    return text + (f" ... {len(data)} bytes" if len(data) > SHOWN else "")


def check_printed(ended, lines, hint=None):
    """Fail unless the client has printed these lines and ended well."""
    came, wanted = ended.output.splitlines(), list(lines)
    if ended.status < 0:
        hint = hints.ENDINGS.get(-ended.status, hint)
    check(came == wanted, f"printed {show(ended.output)}; {ended}", show(b"\n".join(wanted)), hint)
    check(ended.status == 0, str(ended), "status 0")
