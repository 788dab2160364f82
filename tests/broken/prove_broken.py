"""Each server in mistakes.py is caught by the test that the table names.

python3 -m pytest tests/broken/prove_broken.py

The failures of ten of them are compared with the files in messages/, so that a
change of their wording is seen; with UPDATE=1 in the environment they are written.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER))
from mistakes import MISTAKES  # noqa: E402 (the path comes first)

TESTS = FOLDER.parent
SERVER = "{python} {script} --stage {stage} --port {{port}} --idle-timeout {{idle_timeout}}"
SECONDS = 600  # for one run of pytest; a broken server makes the tests wait
SHOWN = [
    "header-big-endian",
    "reply-without-header",
    "bind-failure-printed",
    "payload-ends-at-nul",
    "empty-is-error",
    "bound-off-by-one",
    "oversize-untold",
    "one-reply-a-batch",
    "view-after-consume",
    "idle-mid-frame-kept",
]


def grade(stage, *options, mistake=None):
    """Run the suite on server.py; returns (exit status, what pytest printed)."""
    command = SERVER.format(python=sys.executable, script=FOLDER / "server.py", stage=stage)
    if mistake:
        command += f" --mistake {mistake}"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", TESTS, "--server", command, "--stage", str(stage)]
        + ["-p", "no:cacheprovider", *options],
        cwd=TESTS.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        env={**os.environ, "COLUMNS": "80", "GITHUB_ACTIONS": "", "PYTEST_ADDOPTS": ""},
    )
    return done.returncode, done.stdout


def message_of(output, name):
    """The first failure of a test, without what differs from run to run."""
    block = re.search(rf"^_+ {name}\b.*?_+\n(.*?)(?=^_+ \w|^=)", output, re.M | re.S)
    text = block[1] if block else output
    for pattern, plain in (
        (r"127\.0\.0\.1:\d+", "127.0.0.1:PORT"),
        (r"(message|key)-\d+", r"\1-N"),
        (re.escape(str(TESTS.parent)) + r"|\.\./\S*?(?=/tests)", "."),
        (re.escape(sys.executable), "python3"),
        (r"\bport \d+", "port PORT"),
        (r"\[Errno \d+\]", "[Errno N]"),
        (r"\d+\.\d+ s\b", "T s"),
        (r"\n {10}\| +File .*(\n {10}\|  .*)*", ""),  # a traceback's places
    ):
        text = re.sub(pattern, plain, text)
    return text


@pytest.mark.parametrize("stage", [2, 3, 4])
def test_server_without_a_mistake(stage):
    status, output = grade(stage)
    assert status == 0, output


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_mistake_is_caught(mistake):
    status, output = grade(mistake.stage, "-k", mistake.caught_by, mistake=mistake.name)
    assert status == 1, f"{mistake.words}: {mistake.caught_by} has not seen it\n{output}"
    assert re.search(rf"^FAILED .*::{mistake.caught_by}\b", output, re.M), output
    if mistake.name in SHOWN:
        check_message(mistake, message_of(output, mistake.caught_by))


def check_message(mistake, text):
    golden = FOLDER / "messages" / f"{mistake.name}.txt"
    if os.environ.get("UPDATE"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text)
    assert text == golden.read_text()
