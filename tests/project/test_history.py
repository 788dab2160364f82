"""The steps of the course: one history, every step a program that runs."""

import contextlib
import re
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from harness import capabilities
from lab import history, wire
from lab.contenders import start_step
from lab.lessons import task
from lab.observe import trace
from lab.servers import STAGES, StartError

NUMBERS = [step.number for step in history.steps()]
SECONDS = 20
LARGEST = 60  # changed lines of a step, whole new files apart
LARGER = {"5.1": 100, "5.3": 350}  # one loop in place of another; one protocol in place of another
FRAMED_FROM, RESP_FROM = "2.2", "5.3"
needs_git = pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")


def at_least(number, other):
    return NUMBERS.index(number) >= NUMBERS.index(other)


def changed_lines(step, new_files=False):
    """How many lines a step removes and adds; whole new files count only if asked for."""
    before, count = history.files_before(step.number), 0
    for name, hunks in history.file_diffs(step).items():
        if new_files or name in before:
            count += sum(line[0] in "+-" for _, lines in hunks for line in lines)
    return count


# What a step is made of


def test_the_series_is_complete_and_in_order():
    for milestone in {step.milestone for step in history.steps()}:
        places = [s.number for s in history.steps() if s.milestone == milestone]
        assert places == [f"{milestone}.{place + 1}" for place in range(len(places))]
    assert [number for number in NUMBERS if int(number[0]) in STAGES] == capabilities.STEPS


@pytest.mark.parametrize("stage", STAGES)
def test_the_last_step_is_the_milestone_byte_for_byte(stage):
    last = [number for number in NUMBERS if number.startswith(f"{stage}.")][-1]
    files = {path.name: path.read_bytes() for path in STAGES[stage].glob("*.py")}
    assert {name: text.encode() for name, text in history.files_at(last).items()} == files


@pytest.mark.parametrize("step", history.steps(), ids=NUMBERS)
def test_a_step_is_small_and_says_why(step):
    assert changed_lines(step) <= LARGER.get(step.number, LARGEST)
    assert changed_lines(step, new_files=True) > 0
    assert len(step.text.splitlines()) >= 4
    assert "Look at" in step.text or "no visible effect" in step.title


def test_a_pin_changes_with_what_a_step_says_or_changes_and_with_nothing_around_it():
    step = history.find("4.3")
    lines = step.diff.splitlines(keepends=True)
    around = next(n for n, line in enumerate(lines) if line.startswith(" "))
    added = next(n for n, line in enumerate(lines) if line.startswith("+ "))
    assert with_line(step, around, "     other = 1\n").pin == step.pin
    assert with_line(step, added, "+    other = 1\n").pin != step.pin
    assert replace(step, text=step.text + "more").pin != step.pin


def with_line(step, place, line):
    """The step with another line in its diff."""
    lines = step.diff.splitlines(keepends=True)
    return replace(step, diff="".join([*lines[:place], line, *lines[place + 1 :]]))


def test_most_steps_are_small():
    sizes = sorted(changed_lines(step) for step in history.steps() if step.milestone in STAGES)
    assert sizes[len(sizes) // 2] <= 40


@pytest.mark.parametrize("number", NUMBERS)
def test_every_state_is_code_that_one_would_show(number, tmp_path):
    history.write(history.files_at(number), tmp_path)
    for path in tmp_path.glob("*.py"):
        assert not re.search(r"TODO|FIXME|XXX|[Mm]ilestone|\bstep \d", path.read_text())
    ruff = [sys.executable, "-m", "ruff"]
    for words in (["check"], ["format", "--check"]):
        config = ["--config", str(history.ROOT / "pyproject.toml"), "--no-cache"]
        done = subprocess.run([*ruff, *words, *config, tmp_path], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


# What a step does


@pytest.mark.parametrize("number", NUMBERS)
def test_every_step_starts_serves_and_stops(number):
    with start_step(number) as server:
        with wire.connect(server.port, SECONDS) as sock:
            if number == "1.1":
                sock.sendall(b"PING")  # connected, and nobody answers
                sock.settimeout(0.2)
                with pytest.raises(TimeoutError):
                    sock.recv(1)
            elif at_least(number, RESP_FROM):
                sock.sendall(b"ECHO 'a b'\r\n")
                assert sock.recv(100) == b"$3\r\na b\r\n"
            elif not at_least(number, FRAMED_FROM):
                sock.sendall(b"PING")
                assert sock.recv(100) == (b"+PONG" if at_least(number, "1.4") else b"PING")
            else:
                assert wire.ask(sock, b"ECHO a b") == b"$a b"
        status = server.stop()
        if at_least(number, "1.5"):
            assert status == 0
            assert server.stderr() == ""


def second_reply_comes(server):
    """Row 5, with frames."""
    with wire.connect(server.port, 1) as sock:
        sock.sendall(wire.frame(b"PING one") + wire.frame(b"PING two"))
        assert wire.receive_frame(sock) == b"$one"
        return comes(lambda: wire.receive_frame(sock) == b"$two")


def comes(receive):
    """Is it there within the time limit of the socket?"""
    try:
        return receive()
    except (TimeoutError, ConnectionError):
        return False


def harmless(server, first):
    """Is a client served while another one has sent `first` and then nothing?"""
    with wire.connect(server.port) as one, wire.connect(server.port, 1) as other:
        one.sendall(first)
        time.sleep(0.1)
        return comes(lambda: wire.ask(other, b"PING") == b"+PONG")


def refusal_comes(server):
    """Row 8: is a client told that its length is too large?"""
    with wire.connect(server.port, 1) as sock:
        sock.sendall(wire.HEADER.pack(1 << 30))
        return comes(lambda: b"exceeds 1048576" in wire.receive_frame(sock))


# What each step is for: (step, what is asked of the server, the answer from that step
# on, the steps in between that answer otherwise).
ROWS = [
    ("2.2", second_reply_comes, {"3.4"}),
    ("2.3", refusal_comes, {"3.4", "3.5", "3.6", "3.7"}),
    ("3.3", lambda server: harmless(server, b""), set()),
    ("3.4", lambda server: harmless(server, b"\x09\x00"), set()),
]
CELLS = [
    (number, asked, at_least(number, since) and number not in holes)
    for since, asked, holes in ROWS
    for number in NUMBERS
    if at_least(number, FRAMED_FROM) and not at_least(number, RESP_FROM)
]


@pytest.mark.parametrize(("number", "asked", "answer"), CELLS)
def test_a_step_has_its_rows_of_the_table_and_no_others(number, asked, answer):
    with start_step(number) as server:
        assert asked(server) == answer


@pytest.mark.parametrize("number", ["1.4", "1.8", "2.1"])
def test_without_frames_two_requests_are_taken_for_one(number):
    with start_step(number) as server, wire.connect(server.port, 1) as sock:
        sock.sendall(b"PING onePING two")
        assert sock.recv(100) == b"$onePING two"


@pytest.mark.parametrize("number", ["1.7", "1.8"])
def test_a_pipe_ends_without_an_empty_line_from_its_step_on(number):
    with start_step(number) as server, history.folder_of(number) as folder:
        words = [sys.executable, str(folder / "client.py"), "--port", str(server.port)]
        output = subprocess.check_output(words, input="PING\n", text=True, timeout=SECONDS)
    assert output == ("PONG\n" if number == "1.8" else "PONG\n\n")


@pytest.mark.parametrize("number", [n for n in NUMBERS if at_least(n, "4.5")])
def test_time_outs_come_with_their_step(number):
    try:
        with start_step(number, "--idle-timeout", "0.3") as server:
            with wire.connect(server.port, 5) as sock:
                assert sock.recv(1) == b""
        known = True
    except StartError as error:
        assert "unrecognized arguments" in str(error)
        known = False
    assert known == at_least(number, "4.6")


def records_at_rest(server):
    """All records, once the server waits again and writes no more of them."""
    records = []
    while len(records) != len(server.records()):
        records = server.records()
        time.sleep(0.1)
    return records


def counts(number):
    """(poll() calls, bytes moved, register() calls) for 1,000 requests that arrive together."""
    requests = [b"PING %04d" % n for n in range(1000)]
    with trace.start_traced_step(number, shown=0) as server:
        with wire.connect(server.port) as sock:
            wire.ask(sock, b"PING")
            before = len(records_at_rest(server))
            with server.paused():
                sock.sendall(b"".join(map(wire.frame, requests)))
            for request in requests:
                assert wire.receive_frame(sock) == b"$" + request[5:]
            records = records_at_rest(server)[before:]
    polls, registered = (trace.count(records, call) for call in ("poll", "register"))
    return polls, trace.bytes_moved(records), registered


BATCH = {  # by step: poll() calls, bytes moved, and register() calls, about
    "3.8": (1000, 6_493_500, 2000),
    "4.1": (2, 6_493_500, 4),
    "4.2": (2, 0, 4),
    "4.3": (1, 0, 2),
    "4.4": (1, 0, 2),
    "4.5": (1, 0, 0),
    "5.1": (1, 0, 0),
    "5.2": (1, 0, 0),
}


@pytest.mark.parametrize("number", BATCH)
def test_each_step_of_pipelining_cures_one_number(number):
    polls, moved, registered = counts(number)
    wanted_polls, wanted_moved, wanted_registered = BATCH[number]
    assert wanted_polls <= polls <= wanted_polls + 2
    assert moved == wanted_moved
    assert wanted_registered <= registered <= wanted_registered + 4


@pytest.mark.parametrize(("number", "alone"), [("2.2", True), ("2.3", True), ("2.4", False)])
def test_a_frame_is_one_write_from_its_step_on(number, alone):
    """Row 20: is a reply's header written by itself?  Seen in the trace, not on the wire."""
    with trace.start_traced_step(number) as server:
        with wire.connect(server.port) as sock:
            wire.ask(sock, b"PING")
        sends = [record["bytes"] for record in server.records() if record["call"] == "send"]
    assert (4 in sends) == alone


def test_a_drained_connection_gives_its_memory_back_from_its_step_on():
    code = (
        "from buffer import Buffer; b = Buffer(); b.append(bytes(1 << 20));"
        "b.consume(1 << 20); print(len(b.memory))"
    )
    kept = {}
    for number in ("4.3", "4.4"):
        with history.folder_of(number) as folder:
            kept[number] = int(subprocess.check_output([sys.executable, "-c", code], cwd=folder))
    assert kept["4.3"] > 1 << 20
    assert kept["4.4"] <= 512


def test_a_crowd_is_let_in_many_at_a_time_from_its_step_on():
    turns = {}
    for number in ("4.6", "4.7"):
        with trace.start_traced_step(number, shown=0) as server:
            with server.paused():
                crowd = [wire.connect(server.port) for _ in range(60)]
            wire.ask(crowd[-1], b"PING")
            turns[number] = trace.count(server.records(), "poll")
            for sock in crowd:
                sock.close()
    assert turns["4.6"] > 60
    assert turns["4.7"] < 10


# The machinery


def test_a_patch_that_does_not_fit_is_refused():
    step = history.find("4.3")
    files = history.files_before("4.3")
    files["conn.py"] = "# one line more\n" + files["conn.py"]
    with pytest.raises(history.HistoryError, match="step 4.3 does not fit conn.py at line"):
        history.apply(files, step)


def test_neighbours_can_not_be_swapped_unnoticed():
    for one, two in zip(history.steps(), history.steps()[1:]):
        if set(history.file_diffs(one)) & set(history.file_diffs(two)):
            with pytest.raises(history.HistoryError, match="does not fit"):
                history.apply(history.apply(history.files_before(one.number), two), one)


def empty_milestones(folder):
    """Where history.save() writes the milestones in a test: {stage: an empty folder}."""
    milestones = {stage: folder / path.name for stage, path in STAGES.items()}
    for path in milestones.values():
        path.mkdir()
    return milestones


@needs_git
def test_saving_what_was_built_changes_nothing(tmp_path):
    repository, folder = tmp_path / "history", tmp_path / "steps"
    history.build(repository=repository)  # git am replays the whole series
    subjects = history.git("log", "--format=%s", "--reverse", cwd=repository).splitlines()
    assert subjects == [f"{step.number}: {step.title}" for step in history.steps()]
    milestones = empty_milestones(tmp_path)
    history.save(folder, repository, milestones)
    saved = {str(p.relative_to(folder)): p.read_bytes() for p in folder.glob("*/*.patch")}
    ours = {
        str(p.relative_to(history.STEPS)): p.read_bytes() for p in history.STEPS.glob("*/*.patch")
    }
    assert saved == ours
    for stage, path in milestones.items():
        for file in STAGES[stage].glob("*.py"):
            assert (path / file.name).read_bytes() == file.read_bytes()
    history.git("checkout", "--quiet", ":/^4.1:", cwd=repository)  # to look at its files
    with pytest.raises(history.HistoryError, match="type: git checkout main"):
        history.save(folder, repository, milestones)
    assert {str(p.relative_to(folder)) for p in folder.glob("*/*.patch")} == set(saved)


@needs_git
def test_a_change_of_an_early_step_reaches_all_later_ones(tmp_path):
    repository, folder = tmp_path / "history", tmp_path / "steps"
    history.build(repository=repository)
    sequence = 'sed -i.bak "1s/^pick/edit/"'
    # Stop at the first commit, change a comment, and let git carry it on.
    history.git("-c", f"sequence.editor={sequence}", "rebase", "-i", "--root", cwd=repository)
    server = repository / "server.py"
    server.write_text(server.read_text().replace("Open a listening socket.", "Open a socket."))
    # Whoever changes it; a long name is folded by git.
    author = f"--author={'Somebody With Names ' * 4}<somebody@example.org>"
    history.git("commit", "--quiet", "--all", "--amend", "--no-edit", author, cwd=repository)
    history.git("rebase", "--continue", cwd=repository)
    milestones = empty_milestones(tmp_path)
    history.save(folder, repository, milestones)
    for path in milestones.values():
        assert "Open a socket." in (path / "server.py").read_text()
    for patch in folder.glob("*/*.patch"):
        assert patch.read_text().splitlines()[1] == f"From: {history.AUTHOR}"
        assert "somebody@example.org" not in patch.read_text()


def run_lab(*words, module="lab.history", **options):
    return subprocess.run(
        [sys.executable, "-m", module, *words],
        cwd=history.ROOT / "notebooks",
        capture_output=True,
        text=True,
        timeout=SECONDS,
        **options,
    )


def test_start_gives_the_program_before_a_step_and_the_task(tmp_path):
    done = run_lab("3.4", str(tmp_path / "mine"), module="lab.lessons.task")
    assert done.returncode == 0, done.stderr
    files = {path.name: path.read_text() for path in (tmp_path / "mine").iterdir()}
    text = files.pop("TASK.md")
    assert files == history.files_at("3.3")
    assert text.startswith("# Step 3.4: Conn")
    for told in ("**Look at**", "**Predict.**", "`fd2conn` leads from", "make check STEP=3.4 "):
        assert text.count(told) == 1
    assert "`recv()` took both" not in text  # the answer


@pytest.mark.parametrize("step", history.steps(), ids=lambda step: step.number)
def test_each_step_has_a_task(step):
    text = "\n\n".join(task.parts_of(step, Path("mine")))
    assert text.startswith(f"# Step {step.number}: ") and len(text.split()) > 50
    assert "details" not in text and "\n## " not in text


@pytest.mark.parametrize(
    ("module", "words", "said"),
    [
        ("lab.history", ["run", "9.9"], "there is no step 9.9"),
        ("lab.history", ["run", "4.2", "99999"], "'99999' is no port"),
        ("lab.history", ["run", "4.2", "x"], "'x' is no port"),
        ("lab.history", ["save"], "make history"),
        ("lab.lessons.task", ["9.9", "mine"], "there is no step 9.9"),
        ("lab.lessons.task", ["4.2", "."], "is not empty"),
        ("lab.lessons.task", ["4.2", "README.md"], "cannot make README.md: file exists"),
    ],
)
def test_a_mistake_is_told_in_one_line(module, words, said):
    if words == ["save"] and history.REPOSITORY.exists():
        pytest.skip("there is a history/ here")
    done = run_lab(*words, module=module)
    assert done.returncode == 1
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("words", [[], ["walk"], ["run"], ["build", "x"]])
def test_wrong_words_are_answered_with_the_usage(words):
    done = run_lab(*words)
    assert (done.returncode, done.stderr) == (2, "")
    assert done.stdout.startswith("usage: ") and done.stdout.count("\n") == 1


def test_a_port_that_is_taken_is_told():
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = str(holder.getsockname()[1])
        done = run_lab("run", "4.2", port)
    said = f"cannot listen on port {port}: address already in use; choose another PORT\n"
    assert done.stderr == said


def test_a_default_port_that_is_taken_is_told():
    with socket.socket() as holder:
        with contextlib.suppress(OSError):  # somebody else has it: as good
            holder.bind(("127.0.0.1", 6401))
            holder.listen()
        done = run_lab("run", "1.3")
    assert "6401: address already in use; choose another PORT" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("directory", ["it's", "a b", '"q"'])
def test_make_start_takes_any_directory(directory, tmp_path):
    words = ["make", "start", "STEP=3.4", f"DIR={tmp_path / directory}", f"PYTHON={sys.executable}"]
    subprocess.run(words, cwd=history.ROOT, check=True, capture_output=True, timeout=SECONDS)
    assert (tmp_path / directory / "TASK.md").exists()


def test_without_git_building_says_so(tmp_path):
    if history.REPOSITORY.exists():
        pytest.skip("there is a history/ here")
    done = run_lab("build", env={"PATH": str(tmp_path), "PYTHONPATH": "."})
    assert done.returncode == 1
    assert "git is not installed" in done.stderr
    assert not history.REPOSITORY.exists()
