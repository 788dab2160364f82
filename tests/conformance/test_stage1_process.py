"""Start-up, shutdown, and the port."""

import os
import signal
import socket
import subprocess

import pytest
from harness import Failure, check, hints, ours_only, pick_port, row

END_SECONDS = 5
CAUGHT = "catch SIGINT and SIGTERM, close the sockets, and exit with status 0"


@row(2)
def test_restart_on_the_same_port(target, start, connect):
    """A restarted server takes the same port at once, old connections in TIME_WAIT or not."""
    first = start()
    client = connect(server=first)
    client.ask(target.message())
    # The side that closes first keeps the connection in TIME_WAIT: the server.
    first.stop()
    client.expect_closed()
    client.close()
    again = start(port=first.port)
    connect(server=again).ask(target.message())


@row(2)
def test_restart_with_a_client_still_connected(target, start, connect):
    """A restarted server takes the same port, although a client has not noticed yet."""
    first = start()
    client = connect(server=first)
    client.ask(target.message())
    first.stop()
    again = start(port=first.port)
    connect(server=again).ask(target.message())


def test_port_taken(target, start):
    """A server whose port is taken says so and exits with a status that is not 0."""
    with socket.socket() as holder:
        port = pick_port()
        holder.bind(("127.0.0.1", port))
        holder.listen()
        check_gives_up(
            target,
            start(port=port, wait=False),
            "look at what bind() and listen() return, and exit when they fail",
        )


def test_port_taken_by_a_copy(target, start):
    """A second copy of the server on the same port says so and exits, too."""
    first = start()
    check_gives_up(
        target,
        start(port=first.port, wait=False),
        "two that share a port (SO_REUSEPORT) get each other's clients: SO_REUSEADDR is enough",
    )


def check_gives_up(target, second, hint):
    """Fail unless the server ends with a message, as its port is taken."""
    try:
        status = second.wait_end(END_SECONDS)
    except Failure as failure:
        raise Failure(failure.came, "an error message and an exit", hint) from None
    check(status != 0, "exit status 0", "an exit status that is not 0", hint)
    wrote = (second.stderr() + second.stdout()).strip()
    check(wrote, "not a word", "a line that says that the port is taken", hint)
    if target.own:
        check_one_line(second.stderr())
        check(status == 1, f"exit status {status}", "exit status 1")


def test_end_on_sigterm(target, start, connect):
    """SIGTERM ends the server, also while a client is connected."""
    server = start()
    connect(server=server).ask(target.message())
    server.signal(signal.SIGTERM)
    server.wait_end(END_SECONDS)


# What follows are promises of our own servers.


def without_options(command):
    """The words that start a server, from any directory, without its options."""
    words = [word for word in command if "{" not in word and not word.startswith("--")]
    return [os.path.abspath(word) if os.path.isfile(word) else word for word in words]


def run(target, *options, **how):
    """Run a server to its end; a CompletedProcess."""
    words = [*without_options(target.command), *options]
    return subprocess.run(words, capture_output=True, text=True, timeout=20, check=False, **how)


def check_one_line(text):
    """One line on stderr, and no traceback."""
    came = repr(text)
    check(text.count("\n") == 1 and "Traceback" not in text, came, "one line for people")


@ours_only
@pytest.mark.parametrize(
    ("state", "number"),
    [
        ("idle", signal.SIGINT),
        ("idle", signal.SIGTERM),
        ("with-a-client", signal.SIGTERM),
        ("mid-request", signal.SIGTERM),
        ("busy", signal.SIGINT),
        ("busy", signal.SIGTERM),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_clean_end(target, start, connect, number, state):
    """SIGINT or SIGTERM ends the server with status 0 and without a word, busy or not."""
    server = start()
    if state != "idle":
        client = connect(server=server)
        client.ask(target.message())
    if state == "mid-request":
        client.send(target.wire(target.message().request)[:3])
    if state == "busy":
        keep_busy(target, client)
    server.signal(number)
    status = server.wait_end(END_SECONDS)
    check(status == 0, server.ending(), "exit status 0", CAUGHT)
    check(server.stderr() == "", f"on stderr: {server.stderr()!r}", "nothing on stderr")


def keep_busy(target, client):
    """Send requests without reading a reply, until the server takes no more."""
    requests = b"".join(target.wire(m.request) for m in target.messages(5000))
    for _ in range(100):
        try:
            client.sock.send(requests)
        except BlockingIOError:
            return


@ours_only
def test_stdout_has_the_ready_line_alone(target, start, connect):
    """Exactly one line goes to stdout: where the server listens."""
    server = start()
    client = connect(server=server)
    client.ask(target.message())
    client.reset()
    connect(server=server).ask(target.message())
    server.stop()
    expected = f"listening on 127.0.0.1:{server.port}\n"
    hint = "print this line as soon as listen() has returned, and flush it; nothing else goes there"
    check(server.stdout() == expected, f"on stdout: {server.stdout()!r}", repr(expected), hint)


@ours_only
def test_port_zero(target):
    """--port 0 takes a free port, and the ready line tells which."""
    words = [*without_options(target.command), "--port", "0"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            host, _, port = process.stdout.readline().strip().rpartition(":")
            with socket.create_connection(("127.0.0.1", int(port)), timeout=END_SECONDS):
                pass
        finally:
            process.terminate()
    check(host == "listening on 127.0.0.1", repr(host), "'listening on 127.0.0.1'")


@ours_only
@pytest.mark.parametrize(
    "options",
    [
        ["--port", "99999"],
        ["--port", "-1"],
        ["--host", "a..b"],
        ["--host", "\u00e4..b"],
        ["--host", "192.0.2.1"],
    ],
    ids=["port-out-of-range", "negative-port", "no-host", "no-name", "not-our-address"],
)
def test_cannot_listen(target, options):
    """An address that can't be listened on: one line that says what to do, exit status 1."""
    done = run(target, *options)
    check(done.returncode == 1, f"exit status {done.returncode}", "exit status 1")
    check_one_line(done.stderr)
    check("--port" in done.stderr, repr(done.stderr), "a line that names --port")
    check(done.stdout == "", repr(done.stdout), "nothing on stdout")


@ours_only
@pytest.mark.parametrize("options", [["--port", "x"], ["--port"], ["--nonsense"], ["extra"]])
def test_usage_error(target, options):
    """Options that make no sense: exit status 2 and a usage message."""
    done = run(target, *options)
    check(done.returncode == 2, f"exit status {done.returncode}", "exit status 2")
    check("usage:" in done.stderr, repr(done.stderr), "a usage message")


@ours_only
@row(17, "no")
def test_no_idle_timeout(target, start, connect):
    """A silent client may stay for ever: there is no option against it."""
    done = run(target, "--idle-timeout", "1")
    check(done.returncode == 2, f"exit status {done.returncode}", "exit status 2")
    check("--idle-timeout" in done.stderr, repr(done.stderr), "the unknown option's name")
    client = connect(server=start())
    client.ask(target.message())
    client.expect_nothing()
    client.ask(target.message())


@ours_only
def test_from_another_directory(target, tmp_path):
    """The server starts from any directory."""
    done = run(target, "--port", "99999", cwd=tmp_path)
    check("--port" in done.stderr, repr(done.stderr), "the server's own complaint")


@ours_only
def test_clean_clients_leave_no_trace(target, start, connect):
    """A client that ends between requests is no fault and logs nothing."""
    server = start()
    for _ in range(3):
        client = connect(server=server)
        client.ask(target.message())
        client.half_close()
        client.expect_eof()
        client.close()
    connect(server=server).close()
    connect(server=server).ask(target.message())
    check(server.stderr() == "", f"on stderr: {server.stderr()!r}", "nothing on stderr")


@ours_only
def test_a_reset_logs_one_line(target, start, connect):
    """A connection's fault logs one line, with the client's address and the reason."""
    server = start()
    client = connect(server=server)
    client.ask(target.message())
    client.reset()
    connect(server=server).ask(target.message())
    check_log(server, client)


def check_log(server, client):
    """One line for this client, and no other line."""
    lines = server.stderr().splitlines()
    right = len(lines) == 1 and lines[0].startswith(f"{client.name}: ")
    expected = f"one line, '{client.name}: reason'"
    check(right, f"on stderr: {lines}", expected, hints.LOGGED, client)
