"""A milestone's directory runs alone, from anywhere, on every Python that is installed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from lab.servers import STAGES, ServerProcess

SECONDS = 60
NAMES = [f"python3.{minor}" for minor in range(9, 20)] + ["pypy3"]
IDENTITY = (
    "import sys; print(sys.implementation.name, '%d.%d.%d' % sys.version_info[:3]); "
    "print(sys.version_info >= (3, 9)); print(sys.executable)"
)
TEXT = b"SET key value with spaces\nGET key\nSET n 1\nINCR n\nDEL key\nGET key\nNONE\n"
SHOWN = [
    b"OK",
    b'"value with spaces"',
    b"OK",
    b"(integer) 2",
    b"(integer) 1",
    b"(nil)",
    b"(error) ERR unknown command 'NONE'",
]


def installed_pythons():
    """{"cpython 3.9.18": command} of all that start, one for each version."""
    commands = [sys.executable, *filter(None, map(shutil.which, NAMES))]
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    commands += [str(path) for path in sorted(versions.glob("*/bin/python"))]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    started = [subprocess.Popen([command, "-c", IDENTITY], **pipes) for command in commands]
    found = {}
    for process in started:
        said = process.communicate()[0].splitlines()
        if process.returncode == 0 and said[1] == "True":
            # The real file: what the PATH names may be a version manager's, and
            # depend on the current directory.
            found.setdefault(said[0], said[2])
    return found


PYTHONS = installed_pythons()


def exercise(folder, python, elsewhere, stage):
    """Start the server and the clients of `folder` from another directory; both end well."""
    env = {"PATH": os.environ["PATH"]}  # no PYTHONPATH or the like
    python = [python, "-W", "error"]
    argv = [*python, str(folder / "server.py"), "--port", "0"]
    with ServerProcess(argv, cwd=elsewhere, env=env) as server:
        client = [*python, str(folder / "client.py"), "--port", str(server.port)]

        def run(*words, text=b""):
            options = {"cwd": elsewhere, "env": env, "input": text, "timeout": SECONDS}
            result = subprocess.run([*client, *words], capture_output=True, **options)
            assert (result.returncode, result.stderr) == (0, b"")
            return result.stdout.splitlines()

        assert run("PING", "one shot") == [b'"one shot"']
        assert run(text=TEXT) == SHOWN
        if stage == 4:
            assert run("--pipeline", text=TEXT) == SHOWN
        assert server.stop() == 0
        assert server.stderr() == ""


@pytest.mark.parametrize("stage", STAGES)
def test_a_copy_of_one_directory_runs(stage, tmp_path):
    alone, elsewhere = tmp_path / "alone", tmp_path / "elsewhere"
    shutil.copytree(STAGES[stage], alone, ignore=shutil.ignore_patterns("__pycache__"))
    elsewhere.mkdir()
    exercise(alone, sys.executable, elsewhere, stage)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("python", PYTHONS.values(), ids=PYTHONS.keys())
def test_every_installed_python_runs_it(stage, python, tmp_path):
    exercise(STAGES[stage], python, tmp_path, stage)
