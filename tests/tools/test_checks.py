"""The checks of the exercises in notebooks 1 and 2: who has it, and who has not."""
# ruff: noqa: F821, B023  these functions run in a copy of the server, where the names exist

import pytest
from lab.lessons import checks

ORDER = ["socket", "bind", "listen", "accept", "recv", "sendall", "close"]


def quits(sock):
    while True:
        request = sock.recv(READ_SIZE)
        if not request:
            return
        if request == b"QUIT":
            sock.sendall(b"+BYE")
            return
        sock.sendall(respond(request))


def says_goodbye_and_stays(sock):
    while True:
        request = sock.recv(READ_SIZE)
        if not request:
            return
        sock.sendall(b"+BYE" if request == b"QUIT" else respond(request))


def ends_the_server(sock):
    while True:
        request = sock.recv(READ_SIZE)
        if not request:
            return
        if request == b"QUIT":
            sock.sendall(b"+BYE")
            sys.exit(0)
        sock.sendall(respond(request))


def never_returns(sock):
    while True:
        request = sock.recv(READ_SIZE)
        if request == b"QUIT":
            sock.sendall(b"+BYE")
            sock.shutdown(socket.SHUT_RDWR)
            while True:
                signal.pause()
        sock.sendall(respond(request))


def forgets_a_name(sock):
    while True:
        sock.sendall(answer(sock.recv(READ_SIZE)))


def starts_threads(listener):
    import threading

    def serve(sock):
        with sock:
            serve_client(sock)

    while True:
        sock, address = listener.accept()
        threading.Thread(target=serve, args=(sock,), daemon=True).start()


def closes_too_early(listener):
    import threading

    while True:
        sock, address = listener.accept()
        with sock:
            threading.Thread(target=serve_client, args=(sock,), daemon=True).start()


def read_full(sock, count):
    received = b""
    while len(received) < count:
        data = sock.recv(count - len(received))
        if not data and received:
            raise ConnectionError
        if not data:
            return None
        received += data
    return received


def takes_too_much(sock, count):
    received = b""
    while len(received) < count:
        data = sock.recv(4096)
        if not data:
            return None
        received += data
    return received


def retries_at_the_end(sock, count):
    received = b""
    while len(received) < count:
        received += sock.recv(count - len(received))
    return received


def takes_a_short_read(sock, count):
    received = b""
    while len(received) < count:
        data = sock.recv(count - len(received))
        if not data:
            return received or None
        received += data
    return received


class LineReader:
    def __init__(self, sock):
        self.sock = sock
        self.rest = b""

    def read_line(self):
        while b"\n" not in self.rest:
            data = self.sock.recv(4096)
            if not data and self.rest:
                raise ConnectionError
            if not data:
                return None
            self.rest += data
        line, _, self.rest = self.rest.partition(b"\n")
        return line


class OneByOne(LineReader):
    def read_line(self):
        line = b""
        while data := self.sock.recv(1):
            if data == b"\n":
                return line
            line += data
        if line:
            raise ConnectionError
        return None


class Forgetful(LineReader):
    def read_line(self):
        line = super().read_line()
        self.rest = b""
        return line


@pytest.mark.parametrize(
    "check, solution",
    [
        (checks.check_steps, ORDER),
        (checks.check_quit, quits),
        (checks.check_threads, starts_threads),
        (checks.check_payloads, [b"GET a", b"", b"PING"]),
        (checks.check_read_full, read_full),
        (checks.check_line_reader, LineReader),
    ],
)
def test_a_solution_is_told_yes(capsys, check, solution):
    check(solution)
    assert capsys.readouterr().out.startswith("yes: ")


@pytest.mark.parametrize(
    "check, attempt, reason",
    [
        (checks.check_steps, [], "put the seven calls into the list"),
        (checks.check_steps, ["socket", "bind", "accept"], "accept() fails: "),
        (checks.check_steps, ["bind"], "bind() has nothing to work on yet"),
        (checks.check_steps, ["socket", "listen", "bind"], "bind() fails: "),
        (checks.check_steps, ["problem"], "'problem' is none of socket, bind"),
        (checks.check_steps, ORDER[:-1], "the client has no reply, or the connection is open"),
        (checks.check_steps, [ORDER[0], *ORDER[2:]], "without bind() the kernel takes any port"),
        (checks.check_quit, says_goodbye_and_stays, "the connection is open after QUIT"),
        (checks.check_quit, ends_the_server, "the server has ended: exit status 0"),
        (checks.check_quit, never_returns, "the next client's PING got None"),
        (checks.check_quit, forgets_a_name, "the server has ended: NameError: name 'answer'"),
        # Which of the two clients is lost is up to the threads.
        (checks.check_threads, closes_too_early, ""),
        (checks.check_payloads, [b"GET a", b"PING"], "[b'GET a', b'PING'] is not what"),
        (checks.check_read_full, takes_too_much, "more than asked for: got b'abcdef'"),
        (checks.check_read_full, retries_at_the_end, "the end before the first byte: got Runtime"),
        (checks.check_read_full, takes_a_short_read, "the end after two bytes: got b'ab'"),
        (checks.check_line_reader, Forgetful, "two lines in one recv(): got None"),
        (checks.check_line_reader, OneByOne, "one line at a time: got RuntimeError('recv(1) is"),
    ],
)
def test_an_attempt_is_told_what_is_wrong(capsys, check, attempt, reason):
    check(attempt)
    assert capsys.readouterr().out.startswith(f"not yet: {reason}")
