"""The clients: how replies are shown, and each way of running one, as a real process."""

import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from lab.servers import STAGES, start_server
from lab.wire import frame, receive_frame
from loading import load_milestone

MIB = 1024 * 1024
SECONDS = 60  # no client here takes longer
client_module = load_milestone(4, "client").client


def run_client(stage, port, *words, text=b"", **popen):
    """Run a client to its end with `text` on its standard input."""
    argv = [sys.executable, str(STAGES[stage] / "client.py"), "--port", str(port), *words]
    return subprocess.run(argv, input=text, capture_output=True, timeout=SECONDS, **popen)


def output(stage, port, *words, text=b""):
    """What a client prints that must end well, as lines."""
    result = run_client(stage, port, *words, text=text)
    assert (result.returncode, result.stderr) == (0, b"")
    return result.stdout.splitlines()


@contextmanager
def scripted_server(serve):
    """A server for one client in a thread: serve(socket) is called; yields the port.

    What serve() raises is raised at the end of the `with` block.
    """
    errors = []

    def run():
        try:
            sock, _ = listener.accept()
            with sock:
                sock.settimeout(SECONDS)
                serve(sock)
        except Exception as error:
            errors.append(error)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(SECONDS)
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(SECONDS)
    assert not thread.is_alive(), "the scripted server did not end"
    if errors:
        raise errors[0]


@pytest.fixture(scope="module", params=[1, 2, 3, 4], ids="stage{}".format)
def served(request):
    with start_server(request.param) as server:
        yield request.param, server.port


@pytest.fixture(scope="module")
def port4():
    with start_server(4) as server:
        yield server.port


@pytest.mark.parametrize(
    ("reply", "shown"),
    [
        (b"+OK", "OK"),
        (b"+a\nb", "a\\nb"),
        (b"$", '""'),
        (b"$text", '"text"'),
        (b'$a"b\\c', '"a\\"b\\\\c"'),
        (b"$\r\n\t\0\x7f\xff ~", '"\\r\\n\\t\\x00\\x7f\\xff ~"'),
        (b":-12", "(integer) -12"),
        (b"_", "(nil)"),
        (b"-ERR no", "(error) ERR no"),
        (b"-ERR \x1b[31m", "(error) ERR \\x1b[31m"),
        (b"", '(not a reply) ""'),
        (b"?what", '(not a reply) "?what"'),
    ],
)
@pytest.mark.parametrize("stage", [1, 2, 3, 4])
def test_a_reply_is_shown_as_redis_cli_would(stage, reply, shown):
    client = load_milestone(stage, "client").client
    assert client.format_reply(reply) == shown


def test_every_byte_is_shown_as_printable_ascii_and_differently():
    shown = [client_module.format_reply(b"$" + bytes([byte])) for byte in range(256)]
    assert len(set(shown)) == 256
    assert all(re.fullmatch("[ -~]+", text) for text in shown)


def test_one_command(served):
    stage, port = served
    assert output(stage, port, "SET", "one", "two words") == [b"OK"]
    assert output(stage, port, "GET", "one") == [b'"two words"']
    assert output(stage, port, "GET", "two") == [b"(nil)"]
    assert output(stage, port, "FLY") == [b"(error) ERR unknown command 'FLY'"]


def test_a_command_that_is_not_utf_8(served):
    stage, port = served
    assert output(stage, port, b"ECHO", b"\xff\xfe") == [b'"\\xff\\xfe"']


def test_a_command_a_line(served):
    stage, port = served
    text = b"SET k 1\n\nINCR k\nECHO \xff x\nGET k"
    assert output(stage, port, text=text) == [b"OK", b"(integer) 2", b'"\\xff x"', b'"2"']


def test_a_prompt(served):
    stage, port = served
    prompt = b"127.0.0.1:%d> " % port
    with at_a_prompt(stage, port) as (ours, _, process):
        read_until(ours, prompt)
        os.write(ours, b"SET typed 7\n")
        assert b"OK" in read_until(ours, prompt)
        os.write(ours, b"INCR typed\n")
        assert b"(integer) 8" in read_until(ours, prompt)
        os.write(ours, b"\x04")  # Ctrl-D
        assert process.wait(SECONDS) == 0


def read_until(fd, end):
    """What a terminal shows up to `end`."""
    deadline, shown = time.monotonic() + SECONDS, b""
    while end not in shown:
        ready, _, _ = select.select([fd], [], [], max(0, deadline - time.monotonic()))
        assert ready, f"waited {SECONDS} s for {end!r}, the terminal shows {shown!r}"
        shown += os.read(fd, 4096)
    return shown


@pytest.mark.parametrize("options", [("PING",), (), ("--pipeline",)])
def test_nobody_listens(options):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, but not listening
        port = unused.getsockname()[1]
        result = run_client(4, port, *options, text=b"PING\n")
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert b"is the server running?" in result.stderr


@pytest.mark.parametrize("stage", [1, 2, 3, 4])
def test_the_server_closes_without_a_reply(stage):
    with scripted_server(lambda sock: sock.recv(4)) as port:
        result = run_client(stage, port, "PING")
    assert result.returncode == 1
    assert result.stdout == b""
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert b"client.py: lost 127.0.0.1:" in result.stderr


@pytest.mark.parametrize("stage", [2, 3, 4])
def test_a_reply_of_impossible_length(stage):
    with scripted_server(lambda sock: sock.sendall(b"\xff\xff\xff\xff")) as port:
        result = run_client(stage, port, "PING")
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert b"payload of 4294967295 bytes" in result.stderr


# --pipeline


def numbered(count, size):
    """Requests that ask for distinct replies of about `size` bytes, and these as shown."""
    filler = b"." * size
    values = [b"%d%s" % (number, filler) for number in range(count)]
    return b"".join(b"ECHO %s\n" % value for value in values), [b'"%s"' % value for value in values]


@pytest.mark.parametrize("stage", [2, 3])
def test_the_pipelining_client_suits_the_earlier_servers(stage):
    text, shown = numbered(2_000, 100)
    with start_server(stage) as server:
        assert output(4, server.port, "--pipeline", text=text) == shown


def test_pipelined_input_of_any_shape(port4):
    text = b"\n\nECHO \xff\0\r\n\nPING\n\n" + b"ECHO no newline"
    assert output(4, port4, "--pipeline", text=text) == [
        b'"\\xff\\x00\\r"',
        b"PONG",
        b'"no newline"',
    ]


def test_a_pipelined_line_is_answered_while_the_input_stays_open(port4):
    argv = [sys.executable, str(STAGES[4] / "client.py"), "--port", str(port4), "--pipeline"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        killer = threading.Timer(SECONDS, process.kill)
        killer.start()
        for number in range(3):
            process.stdin.write(b"ECHO %d\n" % number)
            process.stdin.flush()
            assert process.stdout.readline() == b'"%d"\n' % number
        process.stdin.close()
        assert process.wait() == 0
        killer.cancel()


def test_a_pipelined_line_of_the_greatest_length_and_one_longer(port4):
    longest = b"ECHO " + b"x" * (MIB - 5)
    assert output(4, port4, "--pipeline", text=longest + b"\n") == [b'"%s"' % longest[5:]]
    result = run_client(4, port4, "--pipeline", text=b"PING\n" + longest + b"y\nPING\n")
    assert result.returncode == 1
    assert result.stdout == b"PONG\n", "what was sent before is shown"
    assert result.stderr.startswith(b"client.py: not sent: ")
    assert len(result.stderr.splitlines()) == 1


def test_a_line_without_end_is_given_up():
    # Without a limit the client would collect it until memory runs out.
    def serve(sock):
        assert receive_frame(sock) == b"first"
        sock.sendall(frame(b"+1"))
        assert sock.recv(1) == b"", "no part of the line may be sent"

    with scripted_server(serve) as port:
        result = run_client(4, port, "--pipeline", text=b"first\n" + b"x" * (4 * MIB))
    assert result.stdout == b"1\n"
    assert result.returncode == 1
    assert b"not sent" in result.stderr


def test_the_server_leaves_midway():
    def serve(sock):
        for number in range(3):
            receive_frame(sock)
            sock.sendall(frame(b":%d" % number))
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(65536):
            pass

    with scripted_server(serve) as port:
        result = run_client(4, port, "--pipeline", text=b"PING\n" * 1000)
    assert result.stdout.splitlines() == [b"(integer) 0", b"(integer) 1", b"(integer) 2"]
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert b"lost" in result.stderr


def test_a_server_that_does_not_answer_is_not_flooded():
    requests, read = 40_000, []

    def serve(sock):
        # The window is full when nothing comes for a while.  On a slow machine
        # that may seem so too early; then less was sent, and the bound holds.
        while select.select([sock], [], [], 1)[0]:
            read.append(sock.recv(65536))
        data = bytearray(b"".join(read))
        for number in range(requests):
            while len(data) < 4 or len(data) < 4 + int.from_bytes(data[:4], "little"):
                data += sock.recv(65536)
            del data[: 4 + int.from_bytes(data[:4], "little")]
            sock.sendall(frame(b":%d" % number))

    text, _ = numbered(requests, 400)  # 16 MiB
    with scripted_server(serve) as port:
        lines = output(4, port, "--pipeline", text=text)
    assert lines == [b"(integer) %d" % number for number in range(requests)]
    batches = client_module.WINDOW + 3  # one is being sent, one read, one waits to be queued
    assert sum(map(len, read)) <= batches * (2 * client_module.READ_SIZE)


def test_whoever_reads_the_output_leaves(port4):
    text, shown = numbered(20_000, 100)
    argv = [sys.executable, str(STAGES[4] / "client.py"), "--port", str(port4), "--pipeline"]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        feeder = threading.Thread(target=feed, args=(process.stdin, text))
        feeder.start()
        assert process.stdout.readline() == shown[0] + b"\n"
        process.stdout.close()
        assert process.wait(SECONDS) == 1
        feeder.join(SECONDS)
        assert process.stderr.read() == b"", "as after `| head -1`: silent"


def feed(pipe, text):
    """Write what a process takes of `text`; it may end early."""
    try:
        with pipe:
            pipe.write(text)
    except BrokenPipeError:
        return


def test_pipeline_and_a_command_are_a_usage_error(port4):
    result = run_client(4, port4, "--pipeline", "PING")
    assert result.returncode == 2
    assert b"standard input" in result.stderr


# Whose fault it is


def fails(result, *words):
    """Assert that a client ended with status 1 and one line that has these words."""
    assert result.returncode == 1, result
    assert len(result.stderr.splitlines()) == 1, result.stderr
    for word in (b"client.py: ", *words):
        assert word in result.stderr
    assert b"lost" not in result.stderr, "the server is not to blame"


def run_with(stage, port, *words, **popen):
    argv = [sys.executable, str(STAGES[stage] / "client.py"), "--port", str(port), *words]
    popen = {"stdin": subprocess.DEVNULL, "stderr": subprocess.PIPE, **popen}
    return subprocess.run(argv, timeout=SECONDS, **popen)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full, as on Linux")
def test_a_full_disk_is_not_the_servers_fault(served):
    stage, port = served
    with open("/dev/full", "wb") as full:
        fails(run_with(stage, port, "PING", stdout=full), b"standard output")


def test_standard_output_is_closed(served):
    # The socket must not take its place, and the reply not go to the server.
    stage, port = served
    result = run_with(stage, port, "PING", preexec_fn=lambda: os.close(1))
    fails(result, b"standard output is closed")


def test_standard_input_cannot_be_read(served, tmp_path):
    stage, port = served
    with open(tmp_path / "file", "wb") as write_only:
        result = run_with(stage, port, stdin=write_only, stdout=subprocess.PIPE)
    fails(result, b"standard input")
    assert result.stdout == b""
    result = run_with(stage, port, preexec_fn=lambda: os.close(0))
    fails(result, b"standard input is closed")


def test_a_write_only_input_of_the_pipeline(port4, tmp_path):
    with open(tmp_path / "file", "wb") as write_only:
        fails(run_with(4, port4, "--pipeline", stdin=write_only), b"standard input")


def test_an_input_with_nothing_there_yet_is_not_taken_for_the_end(served):
    stage, port = served
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    os.write(write_end, b"PING\nECHO ")
    try:
        result = run_with(stage, port, stdin=read_end, stdout=subprocess.PIPE)
    finally:
        os.close(read_end)
        os.close(write_end)
    fails(result, b"standard input")
    assert result.stdout == b"PONG\n"


@pytest.mark.parametrize("size", [10, 4000])
def test_no_reply_is_lost_when_the_output_takes_no_more(served, size):
    stage, port = served
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    text, shown = numbered(200_000 // size, size)  # a pipe holds 64 KiB, and nobody reads
    argv = [sys.executable, str(STAGES[stage] / "client.py"), "--port", str(port)]
    try:
        result = subprocess.run(
            argv, input=text, stdout=write_end, stderr=subprocess.PIPE, timeout=SECONDS
        )
    finally:
        os.close(write_end)
        with open(read_end, "rb") as pipe:
            printed = pipe.read()
    fails(result, b"standard output")
    whole = b"".join(line + b"\n" for line in shown)
    assert 0 < len(printed) < len(whole)
    assert whole.startswith(printed)


def test_a_line_without_end_from_a_pipe(served):
    # The pipe stays open: a client that waits for the line's end never gets there.
    stage, port = served
    argv = [sys.executable, str(STAGES[stage] / "client.py"), "--port", str(port)]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        killer = threading.Timer(SECONDS, process.kill)
        killer.start()
        taken = 0
        with suppress(BrokenPipeError):  # the client has given up
            process.stdin.raw.write(b"PING\n")
            while taken < 8 * MIB:
                taken += process.stdin.raw.write(b"x" * 4096)
        stdout, stderr = process.stdout.read(), process.stderr.read()
        process.stdin.close()
        killer.cancel()
    result = subprocess.CompletedProcess(argv, process.returncode, stdout, stderr)
    fails(result, b"not sent", b"a line of over 4096" if stage == 1 else b"a line of over 1048576")
    assert stdout == b"PONG\n"
    assert taken < 2 * MIB, "the limit, what is read at a time and what the pipe holds"


def test_the_longest_line_from_a_pipe(served):
    stage, port = served
    size = 4096 if stage == 1 else MIB
    longest = b"ECHO " + b"x" * (size - 5)
    result = run_client(stage, port, text=longest + b"x")
    fails(result, b"not sent")
    if stage > 1:  # in milestone 1 the reply would need a second recv()
        assert output(stage, port, text=longest) == [b'"%s"' % longest[5:]]


# How it is started and stopped


def test_two_dashes_end_the_options(served):
    stage, port = served
    assert output(stage, port, "--", "PING") == [b"PONG"]
    assert output(stage, port, "--", "ECHO", "--", "x") == [b'"-- x"']
    assert output(stage, port, "ECHO", "--", "x") == [b'"-- x"']
    assert output(stage, port, "--", text=b"PING\n") == [b"PONG"]


@pytest.mark.parametrize("flags", [{"PYTHONSAFEPATH": "1"}, {"PYTHONOPTIMIZE": "2"}])
def test_flags_of_python(served, flags):
    stage, port = served
    result = run_client(stage, port, "PING", env={**os.environ, **flags})
    assert (result.returncode, result.stdout, result.stderr) == (0, b"PONG\n", b"")


@pytest.mark.parametrize("module", ["argparse", "socket", "readline"])
def test_ctrl_c_while_it_starts_prints_nothing(served, tmp_path, module):
    stage, port = served
    fake = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nos.write(1, b'still here')\n"
    (tmp_path / f"{module}.py").write_text(fake)
    result = run_client(stage, port, "PING", env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert (result.returncode, result.stdout, result.stderr) == (-signal.SIGINT, b"", b"")


@pytest.mark.parametrize("options", [(), ("--pipeline",)])
def test_ctrl_c_while_it_waits_for_a_reply_prints_nothing(options):
    def serve(sock):
        receive_frame(sock)
        process.send_signal(signal.SIGINT)
        assert sock.recv(1) == b""

    with scripted_server(serve) as port:
        argv = [sys.executable, str(STAGES[4] / "client.py"), "--port", str(port), *options]
        pipe = subprocess.PIPE
        process = subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe)
        with process:
            assert process.communicate(b"PING\n", SECONDS) == (b"", b"")
    assert process.returncode == -signal.SIGINT


@contextmanager
def at_a_prompt(stage, port, **env):
    """A client with a terminal; yields the terminal's other end and the process."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, str(STAGES[stage] / "client.py"), "--port", str(port)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "dumb", **env},
    )
    try:
        yield ours, theirs, process
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(theirs)


@pytest.fixture(params=["readline", "no readline"])
def readline_or_not(request, tmp_path):
    """What the environment needs for a client with or without the module readline."""
    if request.param == "readline":
        pytest.importorskip("readline")
        return {}
    (tmp_path / "readline.py").write_text("raise ImportError\n")
    return {"PYTHONPATH": str(tmp_path)}


def test_a_byte_that_is_no_utf_8_at_a_prompt(served, readline_or_not):
    stage, port = served
    strict = {"PYTHONIOENCODING": "utf-8:strict"}  # as in en_US.UTF-8, which not every machine has
    with at_a_prompt(stage, port, **strict, **readline_or_not) as (ours, _, _):
        read_until(ours, b"> ")
        os.write(ours, b"ECHO a\xffb\xc3\xa9\n")
        assert b'"a\\xffb\\xc3\\xa9"' in read_until(ours, b"> ")


def wait_until_asleep(pid):
    """Until the client waits for input: a signal between its prompt and read() is lost to
    Python's input(), until the next key."""
    stat = Path(f"/proc/{pid}/stat")
    give_up_at = time.monotonic() + SECONDS
    while stat.exists() and stat.read_text().rpartition(") ")[2][0] != "S":
        assert time.monotonic() < give_up_at, "the client does not wait for input"
        time.sleep(0.01)


def test_ctrl_c_at_a_prompt_gives_the_terminal_back(served, readline_or_not):
    stage, port = served
    with at_a_prompt(stage, port, **readline_or_not) as (ours, theirs, process):
        before = termios.tcgetattr(theirs)
        read_until(ours, b"> ")
        wait_until_asleep(process.pid)
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS) == 130
        assert termios.tcgetattr(theirs) == before
        os.write(theirs, b"end")
        assert b"Traceback" not in read_until(ours, b"end")
