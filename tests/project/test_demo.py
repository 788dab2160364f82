"""The demo says so when a server breaks a promise, and leaves nothing behind."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from resource import RLIMIT_NOFILE, setrlimit

import pytest

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 60


def start_demo(project, mark, module="lab.demo", **popen):
    environment = {**os.environ, "PYTHONPATH": str(project / "notebooks"), "DEMO_MARK": mark}
    environment["COLUMNS"] = "120"  # so that no cell is wrapped in the words looked for here
    return subprocess.Popen(
        [sys.executable, "-m", module],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **popen,
    )


def processes_with(mark):
    """Process ids that have inherited DEMO_MARK=mark in their environment."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark.encode() in entry.read_bytes():
                found.append(int(entry.parent.name))
        except OSError:
            continue  # it has ended in the meantime
    return found


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize(
    ("module", "shown"), [("lab.demo", "two requests in"), ("lab.play", "One line goes to every")]
)
def test_a_signal_ends_it_and_all_its_servers(module, shown, number):
    mark = f"demo-{uuid.uuid4()}"
    demo = start_demo(ROOT, mark, module)
    for line in demo.stdout:
        if shown in line:  # all servers are up
            break
    assert len(processes_with(mark)) >= 5, "the demo and four servers should be running"
    demo.send_signal(number)
    output = demo.stdout.read()
    assert demo.wait(SECONDS) == 130
    demo.stdin.close()
    assert "Traceback" not in output
    deadline = time.monotonic() + SECONDS
    while left := processes_with(mark):
        assert time.monotonic() < deadline, f"processes {left} outlived the demo"
        time.sleep(0.05)


def test_a_broken_promise_is_marked_and_ends_with_status_1(tmp_path):
    copy = tmp_path / "project"
    shutil.copytree(ROOT / "notebooks" / "lab", copy / "notebooks" / "lab")
    for milestone in ROOT.glob("milestone*"):
        shutil.copytree(milestone, copy / milestone.name)
    # Milestone 3 forgets that the next request may already be there.
    conn = copy / "milestone3_eventloop" / "conn.py"
    text = conn.read_text()
    broken = text.replace(
        "    answer(conn)\n\n\ndef answer",
        "    conn.want_read, conn.want_write = True, False\n\n\ndef answer",
    )
    assert broken != text
    conn.write_text(broken)
    demo = start_demo(copy, "broken")
    output, _ = demo.communicate(timeout=SECONDS)
    assert demo.returncode == 1, output
    marked = [line for line in output.splitlines() if "!!" in line]
    assert any("hung: gave up" in line for line in marked), output
    assert "marked !! are wrong" in output


def run_lab(module, *words, text="", **options):
    return subprocess.run(
        [sys.executable, "-m", module, *words],
        cwd=ROOT / "notebooks",
        env={**os.environ, "COLUMNS": "120"},
        input=text,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        **options,
    )


def test_with_few_open_files_a_row_is_not_tried_and_the_rest_is():
    few = (256, 256)
    done = run_lab("lab.demo", preexec_fn=lambda: setrlimit(RLIMIT_NOFILE, few))
    assert (done.returncode, done.stderr) == (0, "")
    assert "- not tried:" in done.stdout
    assert "Every cell that could be tried is as promised." in done.stdout


OURS = "python3 milestone1_sockets/server.py --port {port}"


@pytest.mark.skipif(
    not shutil.which("unshare") or subprocess.run(["unshare", "-n", "true"]).returncode,
    reason="needs unshare(1) and root, for a machine of its own",
)
@pytest.mark.parametrize("asked", [["demo"], ["play"], ["check", "STAGE=1", f"SERVER={OURS}"]])
def test_without_a_loopback_interface_that_is_said(asked):
    words = ["unshare", "-n", "make", *asked, f"PYTHON={sys.executable}"]
    kept = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}  # of an outer make
    pipes = {"capture_output": True, "text": True}
    done = subprocess.run(words, cwd=ROOT, env=kept, timeout=SECONDS, **pipes)
    assert done.returncode == 2
    said = (done.stdout + done.stderr).strip().splitlines()
    assert "127.0.0.1 can't be reached" in said[0]
    assert len(said) < 5


def test_the_row_that_a_step_cures_changes_in_its_column():
    done = run_lab("lab.demo", "--steps", "3.8", "4.1", "4.2", "4.3")
    assert (done.returncode, done.stderr) == (0, "")
    rows = {line[:12]: line for line in done.stdout.splitlines()}
    marks = {name: re.findall(r"yes:|no:", line) for name, line in rows.items()}
    assert marks["a few poll()"] == ["no:", "yes:", "yes:", "yes:"]
    assert marks["no byte move"] == ["no:", "no:", "yes:", "yes:"]
    assert marks["one poll() c"] == ["no:", "no:", "no:", "yes:"]


@pytest.mark.parametrize(
    ("number", "said"),
    [("9.9", "there is no step 9.9"), ("1.1", "knows no commands yet"), ("5.3", "speaks RESP")],
)
def test_a_step_that_can_not_be_shown_is_told_in_one_line(number, said):
    done = run_lab("lab.demo", "--steps", number)
    assert done.returncode == 1
    assert said in done.stderr and done.stderr.count("\n") == 1


def test_play_sends_a_line_to_all_and_counts():
    done = run_lab(
        "lab.play", text="PING a + PING b\ncrowd PING\nhalf\nPING\nleave\nPING x\nmemory\nhelp\n"
    )
    assert (done.returncode, done.stderr) == (0, "")
    played = columns_of(done.stdout)
    one, two, three, four = played["PING a + PING b"]
    assert one[1] == '"aPING b"'
    assert two[1:3] == three[1:3] == four[1:3] == ['"a"', '"b"']
    assert (three[4], four[4]) == ("3 poll()", "1 poll()")
    *_, three, four = played["crowd PING"]
    assert three[-2:] == ["1,001 poll()", "3,996,000 bytes moved"]
    assert four[-2:] == ["1 poll()", "0 bytes moved"]
    replies = [column[1] for column in played["PING"]]
    assert replies[1:] == ["no reply within a second", "PONG", "PONG"]
    assert [column[1] for column in played["PING x"]] == ['"x"'] * 4
    assert all(0 < int(column[1].split(" MiB")[0]) < 100 for column in played["memory"])
    assert "one byte at a time" in done.stdout


def columns_of(text):
    """What was played: {line: a list for each server of what stands in its column}."""
    played = {}
    for block in text.split("\n> ")[1:]:
        line, *rows = block.splitlines()
        starts = [match.start() for match in re.finditer(r"\d \S", rows[0])]
        cut = [[row[a:b].strip() for a, b in zip(starts, [*starts[1:], None])] for row in rows]
        played[line] = [[cell for cell in column if cell] for column in zip(*cut)]
    return played


def test_play_takes_steps():
    done = run_lab("lab.play", "4.1", "4.2", text="crowd PING\n")
    moved = re.findall(r"[\d,]+ bytes moved", done.stdout)
    assert moved == ["3,996,000 bytes moved", "0 bytes moved"]
