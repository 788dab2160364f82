"""Run the suite in a process of its own, as somebody does who is judged by it."""

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parent
SECONDS = 600  # for one run on a busy machine; a wrong server makes the tests wait


def run_suite(*words):
    """pytest with these words; returns (exit status, all that it printed)."""
    suite = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *map(str, words)],
        cwd=TESTS.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "COLUMNS": "80", "GITHUB_ACTIONS": "", "PYTEST_ADDOPTS": ""},
    )
    try:
        printed, _ = suite.communicate(timeout=SECONDS)
    except BaseException:
        # It has to stop its server; after Ctrl-C, of which it knows, it is at it already.
        suite.terminate()
        suite.wait()
        raise
    return suite.returncode, printed
