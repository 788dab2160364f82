"""Each server in mistakes.py is caught by the test that the table names.

python3 -m pytest tests/broken/prove_broken.py

The failures of some of them are compared with the files in messages/, so that a
change of their wording is seen; with UPDATE=1 in the environment they are written.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER))
from c_mistakes import MISTAKES as C_MISTAKES  # noqa: E402 (the path comes first)
from client_mistakes import MISTAKES as CLIENT_MISTAKES  # noqa: E402
from mistake import with_mistake  # noqa: E402
from mistakes import MISTAKES  # noqa: E402
from suite import TESTS, run_suite  # noqa: E402

CONFORMANCE = TESTS / "conformance"
SHOWN = [
    "end-asked-again",
    "header-big-endian",
    "reply-without-header",
    "bind-failure-printed",
    "payload-ends-at-nul",
    "empty-is-error",
    "oversize-untold",
    "one-reply-a-batch",
    "view-after-consume",
    "idle-mid-frame-kept",
    "newcomers-at-the-tick",
    "poll-index-off-by-one",
    "byte-by-byte",
    "nothing-is-sent",
    "eof-keeps-spinning",
]


def grade(stage, tests, mistake=None):
    """Run `tests` of the suite on server.py; returns (exit status, what pytest printed)."""
    command = [sys.executable, str(FOLDER / "server.py"), "--stage", str(stage)]
    command += ["--port", "{port}", "--idle-timeout", "{idle_timeout}"]
    command += ["--mistake", mistake] if mistake else []
    return run_suite(tests, "-x", "--server", shlex.join(command), "--stage", stage)


def grade_client(stage, tests, mistake=None):
    """The same for client.py."""
    command = [sys.executable, str(FOLDER / "client.py"), "--port", "{port}"]
    command += ["--mistake", mistake] if mistake else []
    return run_suite(tests, "-x", "--client", shlex.join(command), "--stage", stage)


def place_of(test):
    """The name of a test function with its file in front, as pytest takes it."""
    for path in CONFORMANCE.glob("test_stage*.py"):
        if f"\ndef {test}(" in path.read_text():
            return f"{path}::{test}"
    raise ValueError(f"there is no test {test}")


def message_of(output, test):
    """The failure of a test, without what differs from run to run."""
    text = re.search(rf"^_+ {test}\b.*?_+\n(.*?)^=", output, re.M | re.S)[1]
    for pattern, plain in (
        (r"127\.0\.0\.1:\d+", "127.0.0.1:PORT"),
        (r"\bport \d+", "port PORT"),
        (r"message-\d+", "message-N"),
        (r"\[Errno \d+\]", "[Errno N]"),
        (r"\d+\.\d+ s\b", "T s"),
        (r"--server .* --stage", "--server CMD --stage"),
    ):
        text = re.sub(pattern, plain, text)
    return text


@pytest.mark.parametrize("stage", [2, 3, 4])
def test_server_without_a_mistake(stage):
    status, output = grade(stage, CONFORMANCE)
    assert status == 0, output


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_mistake_is_caught(mistake):
    status, output = grade(mistake.stage, place_of(mistake.caught_by), mistake.name)
    assert status == 1, f"{mistake.words}: {mistake.caught_by} has not seen it\n{output}"
    assert re.search(rf"^FAILED .*::{mistake.caught_by}\b", output, re.M), output
    if mistake.name in SHOWN:
        check_message(mistake, message_of(output, mistake.caught_by))


@pytest.mark.parametrize("mistake", C_MISTAKES.values(), ids=C_MISTAKES)
@pytest.mark.skipif(not (shutil.which("cc") and sys.platform == "linux"), reason="needs cc, epoll")
def test_mistake_in_c_is_caught(mistake, tmp_path):
    source, program = tmp_path / "server.c", tmp_path / "server"
    right = (TESTS / "foreign" / "epoll_server.c").read_text()
    source.write_text(with_mistake(right, mistake.change))
    subprocess.run(["cc", "-O2", "-o", program, source], check=True)
    command = shlex.join([str(program), "--port", "{port}", "--idle-timeout", "{idle_timeout}"])
    test = place_of(mistake.caught_by)
    status, output = run_suite(test, "-x", "--server", command, "--stage", mistake.stage)
    assert status == 1, f"{mistake.words}: {mistake.caught_by} has not seen it\n{output}"


def test_whatever_a_server_does_is_told_in_words():
    command = [sys.executable, str(FOLDER / "mad_server.py"), os.environ.get("SEED", "1"), "{port}"]
    status, output = run_suite(CONFORMANCE, "--server", shlex.join(command), "--stage", 4)
    assert status == 1
    failures = re.findall(
        r"^_{2,} (test_\S+) _{2,}\n(?:rule: |the server |the same rule)?", output, re.M
    )
    told = re.findall(r"^_{2,} test_\S+ _{2,}\n(?:rule: |the server |the same rule)", output, re.M)
    assert len(told) == len(failures), output
    # The further failures of a rule are counted, and not shown each.
    counts = re.search(r"(\d+) failed.* (\d+) of the same rule", output)
    assert sum(map(int, counts.groups())) > 50, output
    assert "INTERNALERROR" not in output


@pytest.mark.parametrize("stage", [2, 4])
def test_client_without_a_mistake(stage):
    status, output = grade_client(stage, CONFORMANCE)
    assert status == 0, output


@pytest.mark.parametrize("mistake", CLIENT_MISTAKES.values(), ids=CLIENT_MISTAKES)
def test_mistake_of_a_client_is_caught(mistake):
    status, output = grade_client(mistake.stage, place_of(mistake.caught_by), mistake.name)
    assert status == 1, f"{mistake.words}: {mistake.caught_by} has not seen it\n{output}"


def check_message(mistake, text):
    golden = FOLDER / "messages" / f"{mistake.name}.txt"
    if os.environ.get("UPDATE"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text)
    assert text == golden.read_text()
