"""The suite raises no false alarm: correct servers in other styles pass.

python3 -m pytest tests/foreign/prove_foreign.py

asyncio     stage 4, Protocol classes
threads     stage 3, one blocking thread a client; starts slowly
C, epoll    stage 4, large kernel buffers; prints no ready line
Node.js     stage 4, streams; its process has several threads
steps       what each step of the course is asked for; stage 4 for those behind it
Redis       stage 4, in its own protocol, but for two rules of which it thinks otherwise
"""

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from harness.capabilities import STEPS
from lab import history
from suite import TESTS, run_suite

FOLDER = Path(__file__).resolve().parent
IDLE = ["--idle-timeout", "{idle_timeout}"]


def grade(stage, *command, options=()):
    """Fail, and show what the suite printed, unless it passes the server."""
    words = shlex.join([*map(str, command), "--port", "{port}"])
    status, printed = run_suite(TESTS, "--server", words, "--stage", stage, "-q", *options)
    if status:
        pytest.fail(printed, pytrace=False)


def test_asyncio():
    grade(4, sys.executable, FOLDER / "asyncio_server.py", *IDLE)


@pytest.mark.parametrize("step", [step for step in STEPS if step >= "1.3"])
def test_each_step_has_what_it_is_asked_for(step):
    options = ["--step", step, *(["--dialect", "echo"] if step == "1.3" else [])]
    if step == "2.1":
        pytest.skip("it speaks no frames yet")
    with history.folder_of(step) as folder:
        idle = IDLE if step >= "4.6" else []
        grade(int(step[0]), sys.executable, folder / "server.py", *idle, options=options)


@pytest.mark.parametrize("step", ["5.1", "5.2"])
def test_what_comes_after_milestone_4(step):
    with history.folder_of(step) as folder:
        grade(4, sys.executable, folder / "server.py", *IDLE)


def test_the_step_that_speaks_resp():
    with history.folder_of("5.3") as folder:
        grade(4, sys.executable, folder / "server.py", *IDLE, options=["--dialect", "resp"])


# What a real Redis does otherwise, on purpose: its replies to a client are bounded only if
# client-output-buffer-limit says so, and then the client is cut off, not paused; and replies
# that wait when a client half-closes are dropped.
REDIS_DIFFERS = """
test_memory_beside_one_that_never_reads test_memory_for_unread_replies
test_half_close_while_output_is_blocked test_half_close_with_long_replies_due
""".split()


@pytest.mark.skipif(not shutil.which("redis-server"), reason="apt-get install redis-server")
def test_redis_itself():
    settings = {
        "bind": "127.0.0.1",
        "protected-mode": "no",  # it takes 127.1.2.3 for a stranger
        "save": "",
        "appendonly": "no",
        "proto-max-bulk-len": "1mb",
    }
    words = [word for name, value in settings.items() for word in (f"--{name}", value)]
    without = ["-k", " and ".join(f"not {test}" for test in REDIS_DIFFERS)]
    grade(4, "redis-server", *words, options=["--dialect", "resp", *without])


def test_threads():
    grade(3, sys.executable, FOLDER / "threads_server.py")


@pytest.mark.skipif(not shutil.which("cc"), reason="there is no C compiler")
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="epoll is Linux's")
def test_c_with_epoll(tmp_path):
    program = tmp_path / "epoll_server"
    subprocess.run(["cc", "-O2", "-o", program, FOLDER / "epoll_server.c"], check=True)
    grade(4, program, *IDLE)


@pytest.mark.skipif(not shutil.which("node"), reason="Node.js is not installed")
def test_node():
    grade(4, "node", FOLDER / "node_server.js", *IDLE)
