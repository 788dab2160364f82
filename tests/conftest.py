"""Options, fixtures and reports of the suite.

python3 -m pytest tests                                       checks our four servers
python3 -m pytest tests --server "CMD --port {port}" --stage N       checks anybody's

Only tests/conformance is run for somebody else's server.  See tests/harness for how
to write a test.
"""

import os
import re
import shlex
import signal
import sys
import threading
from pathlib import Path

import pytest
from harness import report as text
from harness.capabilities import ECHOES, NOTHING_NEW, STAGES, STEPS, cell, read_in, told_in
from harness.client import Client
from harness.failure import Failure, StartError
from harness.limits import check_loopback, raise_descriptors
from harness.marks import gate, ours_only
from harness.server import Server, stop_all
from harness.target import MAX_PAYLOAD, Target, own_client, own_target

if not hasattr(pytest, "version_tuple"):  # as of pytest 7
    sys.exit(f"the suite needs pytest 7; this is {pytest.__version__}: pip install -U pytest")

TESTS = Path(__file__).resolve().parent
CONFORMANCE = TESTS / "conformance"
# Files of rules behind those that have a stage's name, the basic ones first.
KINDS = "write_path endings commands process kernel counted pressure memory limits".split()
# What a shell would read otherwise: an operator, a redirection, a variable.
SHELL_WORD = re.compile(r"(&&|\|\||[|;&]|cd|export)$|\d?[<>]|\$[\w({]|.*[;&]$")
ENOUGH_CASES = 4  # of a rule that fail
AGAIN = "of the same rule"  # failures that are counted, and not shown each
DIALECTS = ("commands", "echo", "resp")
SMALLEST_LIMIT, LARGEST_LIMIT = 512, 64 * 1024 * 1024  # that --max-payload may be


def pytest_addoption(parser):
    group = parser.getgroup("server under test")
    group.addoption("--server", metavar="CMD", help="command to start it; {port} is replaced")
    group.addoption("--client", metavar="CMD", help="judge a client instead; {port} is replaced")
    group.addoption("--stage", type=int, choices=STAGES, help="the milestone it has reached")
    group.addoption("--step", metavar="N.K", help="ask only for what the course has by then")
    group.addoption("--only", action="store_true", help="leave out the earlier stages")
    group.addoption("--as-ours", action="store_true", help="ask for our start, stop and log, too")
    group.addoption("--first", action="store_true", help="stop after the first rule that fails")
    group.addoption("--dialect", default="commands", help=f"{', '.join(DIALECTS[:-1])} or resp")
    group.addoption("--reply", metavar="TEXT", help="what the server replies to everything")
    group.addoption("--big-endian", action="store_true", help="lengths in network byte order")
    group.addoption("--max-payload", type=int, default=MAX_PAYLOAD, metavar="BYTES")


def pytest_configure(config):
    for line in (
        "row(number, cell): the row of tests/harness/capabilities.py that is checked",
        "commands_only: not asked of a server that echoes",
        "frames_only: not asked of a server that speaks RESP",
        "ours_only: not asked of somebody else's server",
        "gate: when it fails, the others are not run",
        "since(step): asked for from that step on, earlier than the row as a whole",
    ):
        config.addinivalue_line("markers", line)
    config.graded = Graded(config)


class Graded:
    """What this session grades, and what came of it."""

    def __init__(self, config):
        option = config.option
        client = option.client or os.environ.get("CLIENT")
        server = option.server or os.environ.get("SERVER")
        if client and server:
            raise pytest.UsageError("either a SERVER is judged or a CLIENT, not both at once")
        command = client or server
        self.judges = "CLIENT" if client else "SERVER"
        self.step = option.step or os.environ.get("STEP") or None
        if self.step and self.step not in STEPS:
            ends = ", ".join(f"{of[0]} to {of[-1]}" for of in text.STEPS_OF.values())
            beyond = "; for 5.1 and 5.2 ask STAGE=4, for 5.3 DIALECT=resp, too"
            raise pytest.UsageError(f"no step {self.step}; the steps are {ends}{beyond}")
        asked = option.stage or os.environ.get("STAGE") or (self.step and self.step[0])
        if self.step and str(asked) != self.step[0]:
            raise pytest.UsageError(f"step {self.step} is one of stage {self.step[0]}, not {asked}")
        self.only = option.only or bool(os.environ.get("ONLY"))
        self.as_ours = option.as_ours or bool(os.environ.get("STRICT"))
        self.first = option.first
        self.failed_rules = []  # the test functions that have failed
        self.foreign = bool(command)
        self.grading = bool(command or asked)  # and nothing but that
        self.results = []
        self.gate_failed = None  # not known yet
        self.remark = None  # on the server's start
        self.deaths = {}  # how a server ended, and in which test first
        self.server = None  # the shared one
        if asked and str(asked) not in map(str, STAGES):
            raise pytest.UsageError(f"STAGE must be 1, 2, 3 or 4, not {asked}")
        stage = asked and int(asked)
        if self.step == ECHOES:
            option.dialect = "echo"
        if option.dialect not in DIALECTS:
            raise pytest.UsageError(f"DIALECT must be commands, echo or resp, not {option.dialect}")
        if not SMALLEST_LIMIT <= option.max_payload <= LARGEST_LIMIT:
            raise pytest.UsageError(f"--max-payload: {SMALLEST_LIMIT} to {LARGEST_LIMIT} bytes")
        if not command:
            self.targets = [own_target(n) for n in STAGES if stage in (None, n)]
            return
        if stage is None:
            raise pytest.UsageError("--server needs --stage N, the milestone it has reached")
        if client and stage == 1:
            raise pytest.UsageError("a client is judged from stage 2 on, when it speaks frames")
        self.command = command  # as it was typed
        self.targets = [self._foreign(command, stage, option)]

    @staticmethod
    def _foreign(command, stage, option):
        try:
            words = shlex.split(command)
        except ValueError as error:
            raise pytest.UsageError(f"--server {command!r}: {error}") from None
        if not words:
            raise pytest.UsageError("--server: the command is empty")
        if words[0].startswith("~"):
            raise pytest.UsageError(
                f"--server: no shell replaces ~ here; write {home_of(words[0])}"
            )
        if re.match(r"\w+=[^;]*$", words[0]):
            raise pytest.UsageError(f"--server: put env in front of {words[0]}: env {command}")
        for_shell = next(filter(SHELL_WORD.match, words), None)
        if for_shell and "-c" not in words:
            raise pytest.UsageError(
                f"--server: no shell reads the command, which would take {for_shell} as it stands; "
                "write {port} for the port, or sh -c '...' around all of it"
            )
        if Path(words[0]).is_dir():
            raise pytest.UsageError(f"--server: {words[0]} is a directory, not a program")
        reply = option.reply or os.environ.get("REPLY")
        big_endian = option.big_endian or os.environ.get("BIG_ENDIAN")
        return Target(
            words,
            stage,
            dialect=option.dialect,
            max_payload=option.max_payload,
            order="big" if big_endian else "little",
            answer=os.fsencode(reply) if reply else None,
        )

    def shared_server(self, target, notice=None):
        """The running server of a target, a new one if it has ended."""
        if self.server and (self.server.target != target or not self.server.alive()):
            self.drop_server()
        if not self.server:
            self.server = Server(target, notice=notice)
        return self.server

    def drop_server(self):
        if self.server:
            self.server.stop()
        self.server = None

    def repeat_command(self, item, target):
        """How to run just this test by hand."""
        if self.foreign and os.environ.get("JUDGED_BY_MAKE"):
            asked = f"STEP={self.step}" if self.step else f"STAGE={target.stage}"
            words = [f"make check {asked} TEST={item.originalname}"]
            words += [f"DIALECT={target.dialect}"] if target.dialect != "commands" else []
            words += ["STRICT=1"] if self.as_ours else []
            words += ["BIG_ENDIAN=1"] if target.order == "big" else []
            words += [f"REPLY={shlex.quote(os.fsdecode(target.answer))}"] if target.answer else []
            return " ".join([*words, f"{self.judges}={double_quoted(self.command)}"])
        path = os.path.relpath(item.path, item.config.invocation_params.dir)
        words = ["python3 -m pytest", shlex.quote(f"{path}::{item.name}")]
        if self.foreign:
            words += [f"--{self.judges.lower()}", double_quoted(self.command)]
        words += ["--stage", str(target.stage)]
        words += ["--as-ours"] if self.as_ours else []
        if target.dialect != "commands":
            words += [f"--dialect {target.dialect}"]
        words += ["--big-endian"] if target.order == "big" else []
        words += ["--reply", shlex.quote(os.fsdecode(target.answer))] if target.answer else []
        if target.max_payload != MAX_PAYLOAD:
            words += ["--max-payload", str(target.max_payload)]
        return " ".join(words)


def home_of(word):
    """A word with its ~ replaced, as a shell would."""
    return os.path.expanduser(word)


def double_quoted(text):
    """A word for the shell; in double quotes where that is enough, because it reads better."""
    return shlex.quote(text) if set(text) & set('"$`\\!') else f'"{text}"'


# Which tests run, and in which order


def pytest_ignore_collect(collection_path, config):
    """With --server or --stage, only the conformance tests are looked at."""
    if config.graded.grading and collection_path != TESTS:
        inside = collection_path == CONFORMANCE or CONFORMANCE in collection_path.parents
        return None if inside else True
    return None


def file_stage(path):
    """The stage from which on a file's tests apply, by its name."""
    match = re.match(r"test_stage(\d)_", path.name)
    return int(match[1]) if match else 1


def is_write_path(path):
    """Is it about how replies are sent?  Each stage from 2 on has a way of its own."""
    return path.stem.endswith("write_path")


def applies(graded, function, path, target):
    """Is a test meant for this target?"""
    marks = getattr(function, "pytestmark", [])
    asked_at_each = is_write_path(path) or gate.mark in marks
    if target.stage > file_stage(path) and graded.only and not asked_at_each:
        return False
    if graded.foreign and (graded.judges == "CLIENT") != path.stem.endswith("_client"):
        return False
    if ours_only.mark in marks and not (target.own or graded.as_ours):
        return False
    rows = [mark.args for mark in marks if mark.name == "row"]
    stage = target.stage
    if graded.step in NOTHING_NEW:  # it is asked for what the stage before could do
        stage -= 1
    if stage < file_stage(path) or any(cell(number, stage) != wanted for number, wanted in rows):
        return False
    earlier = [mark.args[0] for mark in marks if mark.name == "since"]
    numbers = [number for number, _ in rows]
    return not graded.step or min([told_in(numbers, stage), *earlier]) <= graded.step


def pytest_generate_tests(metafunc):
    if "target" in metafunc.fixturenames:
        path = Path(metafunc.definition.path)
        targets = metafunc.config.graded.targets
        graded = metafunc.config.graded
        targets = [t for t in targets if applies(graded, metafunc.function, path, t)]
        # None stands for "not for any of them": pytest would show an empty list as a skip.
        names = [f"stage{t.stage}" for t in targets]
        metafunc.parametrize("target", targets or [None], ids=names or ["-"])


def target_of(item):
    return item.callspec.params.get("target") if hasattr(item, "callspec") else None


def in_conformance(item):
    return CONFORMANCE in item.path.parents


@pytest.hookimpl(trylast=True)  # after plugins that shuffle
def pytest_collection_modifyitems(config, items):
    items[:] = [
        item
        for item in items
        if not ("target" in getattr(item, "fixturenames", ()) and target_of(item) is None)
        and not (config.graded.grading and target_of(item) is None)
    ]
    items.sort(key=lambda item: order(config.graded, item))
    if config.graded.foreign and not items:
        raise pytest.UsageError(nothing_to_ask(config))


def nothing_to_ask(config):
    """Why no test is left for a server or a client, as text."""
    graded, word = config.graded, config.option.keyword
    asked = f"step {graded.step}" if graded.step else f"stage {graded.targets[0].stage}"
    if word:
        return f"nothing that {asked} is asked for has {word!r} in its name"
    return f"nothing is asked for at {asked}; a server is judged from step 1.3 on"


def order(graded, item):
    """In the order in which one would mend what fails.

    The gate; then what each stage is about, that of the stage that was asked for first;
    then the rest of the rules, from KINDS; what is counted, and only slow, is one of these.
    """
    target = target_of(item)
    if target is None:
        return (0,)
    stage = file_stage(item.path)
    gate = item.get_closest_marker("gate") is not None
    kind = item.path.stem.partition(f"stage{stage}_")[2]
    if kind not in KINDS and any(cell == "counted" for _, cell in cells_of(item)):
        kind = "counted"
    return (
        1,
        target.stage,
        not gate,
        KINDS.index(kind) if kind in KINDS else -1,
        -stage if graded.foreign and not gate else stage,
        item.path.name,
        item.function.__code__.co_firstlineno,
    )


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session):
    """A server that can't be started is told once, not by every test."""
    config = session.config
    graded = config.graded
    servers = graded.foreign and graded.judges == "SERVER"
    if servers and not config.option.collectonly and not hasattr(config, "workerinput"):
        try:
            graded.remark = graded.shared_server(graded.targets[0], notice=print).remark()
        except StartError as error:
            message = text.describe_start(error, graded.command)
            tell_github([], [{"rule": "The server starts and listens.", "text": message}], print)
            raise pytest.UsageError(message) from None


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item, nextitem):
    yield
    graded = item.config.graded
    if graded.first and graded.failed_rules and nextitem:
        if not 0 < graded.failed_rules.count(nextitem.function) < ENOUGH_CASES:
            item.session.shouldstop = "mend this first (see repeat:); ALL=1 goes on to the end"


def pytest_runtest_setup(item):
    target = target_of(item)
    if target is None or not in_conformance(item):
        return
    graded = item.config.graded
    if item.get_closest_marker("commands_only") and target.echoes:
        pytest.skip("an echo server has no commands")
    if item.get_closest_marker("frames_only") and target.resp:
        pytest.skip("RESP has no such frame, or another rule for it")
    for mark in item.iter_markers("row"):
        if mark.args[1] == "no" and not target.own:
            pytest.skip("shows what our server can't do; yours may be better")
    if graded.foreign and not item.get_closest_marker("gate"):
        if graded.gate_failed is None and hasattr(item.config, "workerinput"):
            graded.gate_failed = not first_request_works(graded, target)
        if graded.gate_failed:
            pytest.skip("not run: what failed has to work first")


def first_request_works(graded, target):
    """Of several pytest-xdist workers one runs the gate; the others have to look themselves."""
    if graded.judges == "CLIENT":
        return True
    try:
        with Client(graded.shared_server(target)) as client:
            client.ask(target.message())
    except Failure:
        return False
    return True


# Fixtures


@pytest.fixture
def server(request, target):
    """The running server, shared with other tests."""
    shared = request.config.graded.shared_server(target)
    request.node.graded_server = shared
    shared.forget_news()  # what was logged before is not this test's
    return shared


@pytest.fixture
def program(request, target):
    """The words that run the client under test; {port} in them is to be replaced."""
    return target.command if request.config.graded.foreign else own_client(target.stage)


@pytest.fixture
def start(request, target):
    """start(...) starts a server of the test's own; the words are those of Server."""
    servers = []

    def start_one(**options):
        placeholder = any("{idle_timeout}" in word for word in target.command)
        if options.get("idle_timeout") is not None and not placeholder:
            pytest.skip(text.IDLE_TIMEOUT_WANTED)
        own = Server(target, **options)
        servers.append(own)
        request.node.graded_server = own
        return own

    yield start_one
    for own in servers:
        own.stop()


@pytest.fixture
def connect(request):
    """connect() opens a recording client; connect(server=...) to another server."""
    clients = request.node.graded_clients = []

    def connect_one(server=None, **options):
        server = server or request.getfixturevalue("server")
        client = Client(server, **options)
        clients.append(client)
        return client

    yield connect_one
    for client in clients:
        client.close()


# Reports


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    target = target_of(item)
    if target is None or not in_conformance(item):
        return
    report = outcome.get_result()
    graded = item.config.graded
    stage = file_stage(item.path) if graded.foreign else target.stage
    failure = failure_of(item, call)
    rule = failure and failure.rule or text.rule_of(item.function)
    if failure:
        report.outcome = "failed"
        server = getattr(failure, "server", None) or getattr(item, "graded_server", None)
        report.longrepr = text.describe(
            failure,
            server,
            rule,
            rows=cells_of(item),
            clients=getattr(item, "graded_clients", []),
            repeat=graded.repeat_command(item, target),
            read=where_to_read(item, target),
            talk_file=talk_file(item),
        )
    if report.failed:
        # One page for one mistake.
        death = text.death_of(getattr(item, "graded_server", None))
        same_rule = item.function in graded.failed_rules
        if same_rule:
            report.longrepr = f"the same rule: {item.name}"
        elif death in graded.deaths:
            report.longrepr = f"the server {death}\nas in {graded.deaths[death]}"
        if death:
            graded.deaths.setdefault(death, item.name)
        graded.failed_rules.append(item.function)
        graded.drop_server()  # the next test shall not suffer from this one's trouble
        if item.get_closest_marker("gate"):
            graded.gate_failed = True
    # Plain values: pytest-xdist sends reports from process to process as JSON.
    report.graded = {"stage": stage, "rule": rule, "test": item.originalname}
    report.graded["again"] = report.failed and same_rule and graded.foreign


def talk_file(item):
    """Where the whole conversation of a failed test may be written; None if nowhere."""
    cache = getattr(item.config, "cache", None)
    return cache.mkdir("talk") / f"{item.originalname}.txt" if cache else None


def cells_of(item):
    """The cells of the table that a test is about: (row, "yes" or "no")."""
    return [mark.args for mark in item.iter_markers("row")]


def shows_no(item):
    return any(cell == "no" for _, cell in cells_of(item))


def where_to_read(item, target):
    if item.path.stem == "test_stage1_commands":
        return 'tests/README.md, "The protocol"'
    if item.path.stem.endswith("_client"):
        return text.lesson("2.2" if file_stage(item.path) == 2 else "4.8")
    # Who speaks frames finds nothing about them in the first lesson.
    stage = max(file_stage(item.path), 2 if target.framed else 1)
    if shows_no(item):
        return text.what_hurts(stage)
    rows = [number for number, _ in cells_of(item)]
    if is_write_path(item.path) or rows == [8]:
        stage = min(target.stage, 3)  # where writing is told anew, and the last words
    if target.resp and set(rows) & set(range(1, 10)) - {2, 4}:
        return text.lesson("5.3")
    return text.lesson(read_in(rows, stage))


def failure_of(item, call):
    """The Failure of a test, also where only its server has suffered; or None."""
    if call.excinfo:
        return call.excinfo.value if isinstance(call.excinfo.value, Failure) else None
    server = getattr(item, "graded_server", None)
    if call.when != "call" or server is None or server is not item.config.graded.server:
        return None
    return aftermath(server, item.graded_clients)


def aftermath(server, clients):
    """What a test has done to the shared server: a Failure, or None."""
    for client in clients:
        client.close()
    try:
        with Client(server) as client:
            client.ask(server.target.message())
    except Failure as failure:
        failure.rule = "When the clients have left, the next one is served."
        return failure
    if server.target.own and "Traceback (most recent call last)" in server.news():
        return Failure("the server wrote a traceback", "one line for a fault")
    return None


def pytest_report_teststatus(report):
    """A failure is one, whether it came up in a test or in what the test stands on."""
    if hasattr(report, "graded") and report.failed:
        return AGAIN if report.graded["again"] else "failed", "F", "FAILED"
    return None


@pytest.hookimpl(hookwrapper=True, tryfirst=True)  # to come last
def pytest_terminal_summary(terminalreporter, exitstatus):
    yield
    results = graded_results(terminalreporter.stats)
    if not results:
        return
    table = text.stage_table(results)
    terminalreporter.section("stages")
    table += text.skip_lines(results)
    again = [r.nodeid.rpartition("::")[2] for r in terminalreporter.stats.get(AGAIN, [])]
    table += [f"of rules shown above also fails: {', '.join(again)}"] if again else []
    for line in table:
        terminalreporter.write_line(line)
    failures = [result for result in results if result["outcome"] == "failed"]
    graded = terminalreporter.config.graded
    if graded.remark:
        terminalreporter.write_line(f"remark: {graded.remark}")
    if graded.foreign and exitstatus == pytest.ExitCode.OK and len(table) > 1:
        test = terminalreporter.config.option.keyword
        stage = graded.targets[0].stage
        terminalreporter.write_line(
            text.what_comes_next(stage, graded.judges, graded.step, test, graded.only)
        )
    tell_github(table, failures, terminalreporter.write_line)


def tell_github(table, failures, write_line):
    """The failures as annotations, and with the table on the summary page of the step."""
    if os.environ.get("GITHUB_ACTIONS"):
        for result in failures:
            write_line(text.annotation(result["rule"], result["text"]))
    if os.environ.get("GITHUB_STEP_SUMMARY"):
        with open(os.environ["GITHUB_STEP_SUMMARY"], "a", encoding="utf-8") as file:
            file.write(text.step_summary(table, failures))


def graded_results(stats):
    """One dict for each test of a server: stage, rule, test, outcome, text."""
    results = []
    for category in ("passed", "failed", AGAIN, "skipped"):
        for report in stats.get(category, []):
            if hasattr(report, "graded"):
                results.append(
                    {**report.graded, "outcome": report.outcome, "text": str(report.longrepr)}
                )
    return results


# However the session ends, no server outlives it


def pytest_sessionstart(session):
    check_loopback()
    raise_descriptors()
    if threading.current_thread() is threading.main_thread():
        # Where it is ignored, the system tells nobody how a program has ended.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.default_int_handler)  # as for Ctrl-C


def pytest_unconfigure(config):
    stop_all()
