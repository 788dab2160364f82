"""`make check` as a student meets it: one mistake, one page."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from harness import proc, report
from lab import history

ROOT = Path(__file__).resolve().parents[2]
WRONG = f"{sys.executable} {ROOT}/tests/broken/server.py --stage 2 --port {{port}}"
OURS = f"{sys.executable} {ROOT}/milestone2_framing/server.py --port {{port}}"
SECONDS = 120


def check(server, **asked):
    """(exit status, what make check printed)"""
    words = [f"{name}={value}" for name, value in {"PYTHON": sys.executable, **asked}.items()]
    kept = {k: v for k, v in os.environ.items() if k not in ("SERVER", "STAGE", "MAKEFLAGS")}
    done = subprocess.run(
        ["make", "check", *words, f"SERVER={server}"],
        cwd=ROOT,
        env={**kept, "COLUMNS": "80", "PYTEST_ADDOPTS": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize("mistake", ["header-big-endian", "oversize-untold"])
def test_one_mistake_is_one_page(mistake):
    status, printed = check(f"{WRONG} --mistake {mistake}", STAGE="2", ONLY="1")
    assert status == 2
    assert len(re.findall(r"^rule: ", printed, re.MULTILINE)) == 1
    failed = set(re.findall(r"^_{2,} (test_\w+)", printed, re.MULTILINE))
    assert len(failed) == 1, "the tests of one rule"
    assert "mend this first" in printed
    assert printed.count("\n") < 40
    assert "Traceback" not in printed
    repeat = re.search(r"^repeat: +(.*)", printed, re.MULTILINE)[1]
    assert repeat.startswith(f"make check STAGE=2 TEST={failed.pop()} SERVER=")


def test_a_long_conversation_is_in_a_file():
    wrong = WRONG.replace("--stage 2", "--stage 3") + " --mistake send-result-ignored"
    _, printed = check(wrong, STAGE="3", ONLY="1", TEST="slow_readers")
    shown = re.search(r"^talk:(?:.*\n)+?whole: +in (.*)", printed, re.MULTILINE)
    whole = (ROOT / shown[1]).read_text()
    assert whole.count("\n") > shown[0].count("\n")
    assert whole.startswith("-> ")


def test_a_stage_alone_is_asked_how_it_sends():
    wrong = WRONG.replace("--stage 2", "--stage 3") + " --mistake pollout-never-asked-for"
    status, printed = check(wrong, STAGE="3", ONLY="1", TEST="late_reader")
    assert status == 2 and "ask poll() for POLLOUT" in printed


def test_the_cases_of_a_rule_are_one_block_and_a_line():
    wrong = f"{WRONG} --mistake incr-too-kind"
    _, printed = check(wrong, STAGE="2", ONLY="", TEST="incr_of_what_is_no_integer")
    assert len(re.findall(r"^_{2,} test_", printed, re.MULTILINE)) == 1
    assert re.search(r"^of rules shown above also fails: test_\S+, test_", printed, re.MULTILINE)


@pytest.mark.parametrize(
    ("asked", "next_one"),
    [
        ({"STAGE": "2", "TEST": "one_request_gets"}, "without TEST=one_request_gets"),
        ({"STEP": "2.2", "TEST": "", "ONLY": "1"}, "without ONLY=1"),
        ({"STEP": "2.1", "TEST": ""}, "next: notebooks/02_framing.ipynb, 2.2, then STEP=2.2"),
    ],
)
def test_success_says_what_comes_next(asked, next_one):
    status, printed = check(OURS, **asked)
    assert status == 0
    assert next_one in printed


def test_skips_are_counted_by_their_reason():
    _, printed = check(OURS.replace("2_framing", "4_pipelining"), STAGE="4", ONLY="1", TEST="idle")
    assert re.search(r"^skipped +\d+: add `--idle-timeout", printed, re.MULTILINE)


def test_a_step_asks_for_what_the_course_has_by_then():
    mistake = f"{WRONG} --mistake oversize-untold"
    assert check(mistake, STEP="2.2", ONLY="1")[0] == 0
    status, printed = check(mistake, STEP="2.3", ONLY="1")
    assert status == 2
    assert "notebooks/02_framing.ipynb, 2.3" in printed


@pytest.mark.parametrize(("step", "program"), [("3.2", "3.4"), ("3.3", "3.2")])
def test_a_step_is_asked_for_its_idea_or_for_what_it_leaves_alone(step, program):
    with history.folder_of(program) as folder:
        server = f"{sys.executable} {folder}/server.py --port {{port}}"
        assert check(server, STEP=step)[0] == 2


def test_a_step_that_asks_nothing_new_says_so():
    with history.folder_of("3.5") as folder:  # in which 3.6 is still to be done
        server = f"{sys.executable} {folder}/server.py --port {{port}}"
        status, printed = check(server, STEP="3.6", ONLY="1", TEST="")
        assert status == 0 and "asks nothing of a server that the step before did not" in printed
    assert "asks nothing" not in report.what_comes_next(3, "SERVER", "3.5")
    last = report.what_comes_next(4, "SERVER", "4.8")  # which changes the client
    assert "step 4.8 asks nothing of a server" in last and "06_beyond" in last


def test_at_its_third_step_the_course_knows_no_commands():
    with history.folder_of("1.3") as folder:
        status, printed = check(f"{sys.executable} {folder}/server.py --port {{port}}", STEP="1.3")
    assert status == 0, printed


def test_strict_asks_for_start_and_stop_too():
    tests = {}
    for strict in ("", "1"):
        status, printed = check(OURS, STAGE="2", STRICT=strict, TEST="process")
        assert status == 0, printed
        tests[strict] = int(re.search(r"(\d+) passed", printed)[1])
    assert tests["1"] > tests[""]


def test_the_line_to_repeat_a_strict_failure_is_strict_too():
    wrong = f"{WRONG} --mistake bind-failure-printed"
    _, printed = check(wrong, STAGE="2", STRICT="1", ALL="1", TEST="process")
    repeats = re.findall(r"^repeat: +(.*)", printed, re.MULTILINE)
    assert repeats and all("make check STAGE=2 TEST=" in line for line in repeats)
    assert all(" STRICT=1 " in line for line in repeats)


def test_a_server_with_the_other_byte_order_is_judged_for_the_rest():
    wrong = f"{WRONG} --mistake header-big-endian"
    status, printed = check(wrong, STAGE="2", ONLY="1", TEST="framing", BIG_ENDIAN="1")
    assert status == 0, printed


ALWAYS_THE_SAME = """
import socket, sys
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    sock, _ = listener.accept()
    with sock, sock.makefile("rb") as stream:
        while len(header := stream.read(4)) == 4:
            stream.read(int.from_bytes(header, "little"))
            sock.sendall(b"\\x05\\0\\0\\0world")
"""


def test_a_server_with_one_reply_to_everything_is_judged(tmp_path):
    (tmp_path / "same.py").write_text(ALWAYS_THE_SAME)
    server = f"{sys.executable} {tmp_path}/same.py {{port}}"
    status, printed = check(server, STAGE="2", ONLY="1", TEST="segment", REPLY="world")
    assert status == 0, printed
    status, printed = check(server, STAGE="2", ONLY="1", TEST="segment", REPLY="moon")
    assert status == 2
    assert "REPLY=moon" in re.search(r"^repeat: +(.*)", printed, re.MULTILINE)[1]


LISTENS_SOMEWHERE = """
import socket, sys
host, port = sys.argv[1], int(sys.argv[2])
family = socket.AF_INET6 if ":" in host else socket.AF_INET
listener = socket.create_server((host, port), family=family)
while True:
    sock, _ = listener.accept()
    with sock:
        while data := sock.recv(4096):
            sock.sendall(data)
"""


@pytest.mark.skipif(not proc.USABLE, reason="needs Linux: /proc tells where a program listens")
@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("127.0.0.1", "what was asked has no failure"),
        ("0.0.0.0", "remark: the server listens on all addresses"),
        ("127.0.1.1", "the program listens on 127.0.1.1, where"),
        ("::1", "the program listens on ::1, where"),
    ],
)
def test_where_a_server_listens_is_told(tmp_path, host, said):
    (tmp_path / "somewhere.py").write_text(LISTENS_SOMEWHERE)
    server = f"{sys.executable} {tmp_path}/somewhere.py {host} {{port}}"
    _, printed = check(server, STAGE="1", TEST="several_requests", DIALECT="echo")
    assert said in printed
    assert ("remark" in printed) == (host == "0.0.0.0")


def test_a_client_is_judged_too():
    client = f"{sys.executable} {ROOT}/milestone2_framing/client.py --port {{port}}"
    status, printed = check("", STAGE="2", CLIENT=client, TEST="reply")
    assert status == 0, printed
    assert "what was asked has no failure" in printed
    status, printed = check("", STAGE="2", CLIENT="true", TEST="late_reply")
    assert status == 2
    assert re.search(r"^repeat: +make check STAGE=2 TEST=test_a_late_reply CLIENT=", printed, re.M)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"STEP": "2.9"}, "no step 2.9"),
        ({"STEP": "2.2", "STAGE": "3"}, "step 2.2 is one of stage 2, not 3"),
        ({}, "not given: STAGE\nusage: make check"),
        ({"STAGE": "2", "TEST": "nosuch"}, "nothing that stage 2 is asked for has 'nosuch'"),
        ({"STEP": "1.1"}, "a server is judged from step 1.3 on"),
        ({"STAGE": "2", "DIALECT": "foo"}, "DIALECT must be commands, echo or resp"),
        ({"STAGE": "2", "CLIENT": "true"}, "either a SERVER is judged or a CLIENT"),
    ],
)
def test_what_can_not_be_asked_is_told(asked, said):
    status, printed = check(OURS, **asked)
    assert status == 2
    assert said in printed
    assert "Traceback" not in printed


@pytest.mark.parametrize(
    ("server", "said"),
    [
        ("./mine {port} > log", "which would take > as it stands"),
        ("./mine {port} 2>log", "which would take 2>log as it stands"),
        ("cd x && ./mine {port}", "which would take cd as it stands"),
        ("P=$PORT; ./mine $P", "which would take P=$PORT; as it stands"),
        ("./mine $PORT", "write {port} for the port"),
        ("X=1 ./mine {port}", "env X=1 ./mine {port}"),
        ("~/mine {port}", "no shell replaces ~ here"),
        ("sh -c 'exec /no/such/mine $PORT > /dev/null; true'", "exited with status"),
        ("/no/such/mine {port}", "there is no program '/no/such/mine'\n"),
    ],
)
def test_a_command_that_a_shell_would_read_is_told(server, said):
    status, printed = check(server, STAGE="2")
    assert status == 2
    assert said in printed
    assert "Traceback" not in printed
