"""The suite judges a server elsewhere: by action.yml, and from a copy of three things."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 120


def test_its_last_step_judges_a_server(tmp_path):
    text = (ROOT / "action.yml").read_text()
    *_, judge = re.findall(r"^ +run: (.+)$", text, re.MULTILINE)
    assert set(re.findall(r"inputs\.(\w+)", text)) == {"stage", "server", "dialect"}
    (tmp_path / "mine").symlink_to(ROOT / "milestone1_sockets")
    env = {
        **os.environ,
        "GITHUB_ACTION_PATH": str(ROOT),
        "STAGE": "1",
        "DIALECT": "commands",
        "SERVER": "python3 mine/server.py --port {port}",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    done = subprocess.run(
        ["bash", "-c", judge],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stdout
    assert re.search(r"^1 sockets +\d+ +0 ", done.stdout, re.MULTILINE), done.stdout


def test_a_copy_of_the_judge_stands_alone(tmp_path):
    for name in ("conformance", "harness"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "tests" / name, tmp_path / "tests" / name, ignore=ignored)
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path / "tests")
    server = ROOT / "milestone1_sockets" / "server.py"
    words = ["--stage", "1", "--server", f"{sys.executable} {server} --port {{port}}"]
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "SERVER", "STAGE")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "tests", "-p", "no:cacheprovider", *words],
        cwd=tmp_path,
        env=kept,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stdout
    assert re.search(r"^1 sockets +\d+ +0 ", done.stdout, re.MULTILINE), done.stdout
