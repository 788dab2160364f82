"""What the notebooks' exercises stand on: changed copies of a milestone, and verdicts."""

import pytest
from lab.lessons import variants
from lab.servers import STAGES
from lab.wire import ask, connect

SOURCE = """import os


class Loop:
    def turn(self):
        return 1

    def stop(self):
        return 2


def turn():
    # the function, not the method
    return 3
"""


def turn(self):
    if self:
        return "changed"


def other_name():
    return "renamed"


def test_a_method_is_replaced_and_nothing_else():
    changed = variants.replace_function(SOURCE, "Loop.turn", turn)
    old = "    def turn(self):\n        return 1\n"
    new = '    def turn(self):\n        if self:\n            return "changed"\n'
    assert changed == SOURCE.replace(old, new)


def test_a_function_keeps_the_name_that_its_callers_use():
    changed = variants.replace_function(SOURCE, "turn", other_name)
    assert changed.endswith('\n\ndef turn():\n    return "renamed"\n')
    assert changed.startswith(SOURCE[: SOURCE.rindex("def turn")])


def test_an_unknown_symbol_is_an_error():
    with pytest.raises(KeyError, match="missing"):
        variants.replace_function(SOURCE, "Loop.missing", turn)


def ping(message):
    return b"+CHANGED"


@pytest.mark.parametrize("stage", [3, 4])
def test_a_changed_server_runs_and_the_milestone_stays_as_it_is(stage):
    before = (STAGES[stage] / "app.py").read_bytes()
    with variants.changed_server(stage, {"app.py::ping": ping}) as server:
        with connect(server.port) as sock:
            assert ask(sock, b"PING") == b"+CHANGED"
            assert ask(sock, b"ECHO as before") == b"$as before"
        assert any(record["call"] == "poll" for record in server.records())
    assert (STAGES[stage] / "app.py").read_bytes() == before


def misspelt(message):
    return mesage  # noqa: F821


def test_a_changed_server_that_ends_says_why():
    with pytest.raises(ConnectionError, match="the server has ended: NameError: .*'mesage'"):
        with variants.changed_server(4, {"app.py::ping": misspelt}) as server:
            with connect(server.port) as sock:
                ask(sock, b"PING")


def raise_(error):
    raise error


@pytest.mark.parametrize(
    "check, printed",
    [
        (lambda: None, "yes: solved\n"),
        (lambda: raise_(AssertionError("look again")), "not yet: look again\n"),
        (lambda: raise_(ZeroDivisionError()), "not yet: ZeroDivisionError\n"),
    ],
)
def test_the_verdict_is_one_line(capsys, check, printed):
    variants.judge(check)
    assert capsys.readouterr().out == printed
