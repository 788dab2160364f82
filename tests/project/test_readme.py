"""Every command in a README is run, and prints what the README says.

A command is a line that starts with `$ ` in a ```console block; the lines up to
the next one are what it must print.  A server stays up until its README ends.
"""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from lab import history
from lab.servers import STAGES

ROOT = Path(__file__).resolve().parents[2]
MILESTONES = sorted(ROOT.glob("milestone*"))
READMES = sorted(
    str(path.relative_to(ROOT))
    for path in [
        ROOT / "README.md",
        *ROOT.glob("milestone*/README.md"),
        ROOT / "notebooks/README.md",
        ROOT / "tests/README.md",
    ]
)
SECONDS = 120
# These run the test suite or install Jupyter: to run them from here would go in
# circles or take minutes, so only their recipes are looked at.
BY_RECIPE = ("make test", "make lab", "make notebooks", "make site", "make bench", "bash .ci/run")
ECHO_SERVER = """#!{python}
import socket, sys

def serve(sock):
    file = sock.makefile("rb")
    while len(header := file.read(4)) == 4:
        length = int.from_bytes(header, "little")
        if length > 1 << 20 or len(payload := file.read(length)) < length:
            return
        sock.sendall(header + payload)

listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
while True:
    sock, _ = listener.accept()
    with sock:
        try:
            serve(sock)
        except OSError as error:
            print(error, file=sys.stderr)
"""


def commands_in(text):
    """(command, expected lines) for each command of a README."""
    found = []
    for block in re.findall(r"^ *```console\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE):
        for line in block.splitlines():
            if line.strip().startswith("$ "):
                found.append((line.strip()[2:], []))
            else:
                found[-1][1].append(line.strip())
    return found


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of the project, as after a clone, with a student's echo server in it."""
    copy = tmp_path_factory.mktemp("clone") / "project"
    ignored = shutil.ignore_patterns(
        ".git", ".venv", "__pycache__", ".*_cache", ".hypothesis", "site"
    )
    shutil.copytree(ROOT, copy, ignore=ignored)
    (copy / "myserver").write_text(ECHO_SERVER.format(python=sys.executable))
    (copy / "myserver").chmod(0o755)
    return copy


@pytest.fixture
def environment():
    """Where `python3` is the Python that runs this test."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    kept = {k: v for k, v in os.environ.items() if k not in ("SERVER", "STAGE", "MAKEFLAGS")}
    return {**kept, "PATH": path, "PYTHON": sys.executable}


def start_server(command, expected, project, environment):
    process = subprocess.Popen(
        shlex.split(command),
        cwd=project,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    line = process.stdout.readline().strip()
    if "Address already in use" in line or "cannot listen" in line:
        pytest.skip(f"a port that the README names is taken: {line}")
    assert expected in ([line], []), f"`{command}` printed {line!r}"
    return process


def stop_server(process):
    os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C: all that the command has started
    # The signal reaches make, too, which may or may not be waiting still.
    assert process.wait(SECONDS) in ((0, 2, -signal.SIGINT) if process.args[0] == "make" else (0,))
    process.stdout.close()


def run(command, expected, project, environment):
    if command in BY_RECIPE:
        dry = f"make -n {command.split()[1]}" if command.startswith("make") else "bash -n .ci/run"
        subprocess.run(dry, shell=True, cwd=project, env=environment, check=True, timeout=SECONDS)
        return
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=project,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
    )
    status = 1 if command.startswith("diff") else 0  # diff: there are differences
    assert done.returncode == status, f"`{command}` ended with {done.returncode}:\n{done.stdout}"
    if expected:
        assert done.stdout.splitlines() == expected, f"`{command}` printed:\n{done.stdout}"


@pytest.mark.parametrize("readme", READMES)
def test_every_command_does_what_the_readme_says(readme, project, environment):
    commands = commands_in((ROOT / readme).read_text())
    assert commands, f"{readme} has no command"
    servers = []
    try:
        for command, expected in commands:
            if re.match(r"python3 \S+/server.py|make run", command):
                servers.append(start_server(command, expected, project, environment))
            else:
                run(command, expected, project, environment)
        while servers:
            stop_server(servers.pop())
    finally:
        for process in servers:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def test_the_number_of_steps_is_that_of_the_history():
    steps = history.steps()
    before = sum(step.milestone in STAGES for step in steps)
    assert f"[{before} steps](notebooks/steps/) lead" in (ROOT / "README.md").read_text()
    assert f"{len(steps)} small [steps]" in (ROOT / "notebooks/README.md").read_text()
