"""How the four servers start and stop: double signals, a full disk, the switches of Python."""

import os
import signal
import subprocess
import sys

import pytest
from lab.servers import STAGES

SECONDS = 10  # nothing here takes longer
FOUR = pytest.mark.parametrize("stage", [1, 2, 3, 4])
PAIRS = 5  # of signals, for each milestone and order


def start(stage, *flags, **popen):
    command = [sys.executable, *flags, str(STAGES[stage] / "server.py"), "--port", "0"]
    return subprocess.Popen(command, stderr=subprocess.PIPE, **popen)


def ended(process):
    """Wait for the end; status and what went to stderr."""
    _, errors = process.communicate(timeout=SECONDS)
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


def safe_path(environment):
    """The two ways to keep Python from looking for modules beside the program."""
    if environment:
        return [], {**os.environ, "PYTHONSAFEPATH": "1"}
    return ["-P"], None


@FOUR
@pytest.mark.parametrize("environment", [False, True], ids=["-P", "PYTHONSAFEPATH"])
@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.11 brought -P")
def test_a_server_finds_its_modules_with_a_safe_path(stage, environment):
    flags, env = safe_path(environment)
    process = start(stage, *flags, stdout=subprocess.PIPE, env=env)
    line = process.stdout.readline()
    process.terminate()
    assert ended(process) == (0, "")
    assert line.startswith(b"listening on ")


@FOUR
@pytest.mark.parametrize("program", ["server.py", "client.py"])
def test_help_without_docstrings(stage, program):
    command = [sys.executable, "-OO", str(STAGES[stage] / program), "--help"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    assert (result.returncode, result.stderr) == (0, "")
    assert "--port" in result.stdout


@pytest.mark.parametrize(
    "program",
    [
        "tests/broken/server.py",
        "tests/foreign/asyncio_server.py",
        "tests/foreign/threads_server.py",
    ],
)
def test_help_of_the_other_servers_without_docstrings(program):
    command = [sys.executable, "-OO", str(STAGES[1].parent / program), "--help"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    assert (result.returncode, result.stderr) == (0, "")
    assert "--port" in result.stdout


def test_help_of_the_bench_peers_without_docstrings():
    command = [sys.executable, "-OO", "-m", "lab.bench.peers", "--help"]
    folder = STAGES[1].parent / "notebooks"
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=SECONDS)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout
