"""How the four servers start and stop: signals, a full disk, the switches of Python."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from lab.servers import ROOT, STAGES

SECONDS = 10  # nothing here takes longer
FOUR = pytest.mark.parametrize("stage", [1, 2, 3, 4])
PAIRS = 5  # of signals, for each milestone and order


def start(stage, *flags, **popen):
    command = [sys.executable, *flags, str(STAGES[stage] / "server.py"), "--port", "0"]
    return subprocess.Popen(command, stderr=subprocess.PIPE, **popen)


def ended(process):
    """Wait for the end; status and what went to stderr."""
    try:
        _, errors = process.communicate(timeout=SECONDS)
    finally:
        process.kill()
    return process.returncode, errors.decode()


@FOUR
@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_two_signals_at_once_print_nothing(stage, first):
    second = signal.SIGTERM if first == signal.SIGINT else signal.SIGINT
    for _ in range(PAIRS):
        process = start(stage, stdout=subprocess.PIPE)
        assert process.stdout.readline().startswith(b"listening on ")
        process.send_signal(first)
        process.send_signal(second)
        assert ended(process) == (0, "")


@pytest.fixture(scope="module")
def signal_before(tmp_path_factory):
    """What makes SIGTERM come just before a call that waits, as LD_PRELOAD takes it."""
    library = tmp_path_factory.mktemp("preload") / "signal_before.so"
    source = Path(__file__).with_name("signal_before.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    return str(library)


@pytest.mark.parametrize(
    ("stage", "call"),
    [(1, "accept4"), (1, "recv"), (2, "accept4"), (2, "recv"), (3, "poll"), (4, "poll")],
)
@pytest.mark.skipif(not shutil.which("cc"), reason="there is no C compiler")
@pytest.mark.skipif(sys.platform != "linux", reason="LD_PRELOAD is Linux's")
def test_a_signal_just_before_a_call_is_not_slept_over(stage, call, signal_before):
    env = {**os.environ, "LD_PRELOAD": signal_before, "SIGNAL_BEFORE": call}
    process = start(stage, stdout=subprocess.PIPE, env=env)
    port = int(process.stdout.readline().rpartition(b":")[2])
    if call != "recv":
        assert ended(process) == (0, "")
        return
    with socket.create_connection(("127.0.0.1", port)):
        assert ended(process) == (0, "")


@FOUR
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")
def test_a_ready_line_for_a_full_disk_is_one_line_of_error(stage):
    with open("/dev/full", "wb") as full:
        status, errors = ended(start(stage, stdout=full))
    assert status == 1
    assert errors.startswith("server.py: cannot write to standard output (")
    assert errors.count("\n") == 1


@FOUR
def test_a_ready_line_for_a_closed_output_is_one_line_of_error(stage):
    words = f'exec "{sys.executable}" "{STAGES[stage] / "server.py"}" --port 0 >&-'
    result = subprocess.run(["sh", "-c", words], capture_output=True, text=True, timeout=SECONDS)
    assert result.returncode == 1
    assert result.stderr.startswith("server.py: cannot write to standard output (")
    assert result.stderr.count("\n") == 1


@FOUR
@pytest.mark.parametrize("flags, env", [(["-P"], {}), ([], {"PYTHONSAFEPATH": "1"})])
@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.11 brought -P")
def test_a_server_finds_its_modules_with_a_safe_path(stage, flags, env):
    process = start(stage, *flags, stdout=subprocess.PIPE, env={**os.environ, **env})
    line = process.stdout.readline()
    process.terminate()
    assert ended(process) == (0, "")
    assert line.startswith(b"listening on ")


PROGRAMS = [
    *(f"{STAGES[stage].name}/{name}" for stage in STAGES for name in ("server.py", "client.py")),
    "tests/broken/server.py",
    "tests/foreign/asyncio_server.py",
    "tests/foreign/threads_server.py",
    "notebooks/lab/bench/peers.py",
]


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_without_docstrings(program):
    command = [sys.executable, "-OO", str(ROOT / program), "--help"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    assert (result.returncode, result.stderr) == (0, "")
    assert "--port" in result.stdout
