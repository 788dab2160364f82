"""The suite itself: every promise in the table of capabilities has a test."""

import ast
import importlib
import re
from pathlib import Path

import pytest
from harness.capabilities import STAGES, TABLE

HERE = Path(__file__).resolve().parent
COUNTS = HERE.parent / "milestones" / "test_counts.py"  # asserts the `counted` cells
NAME = re.compile(r"test_stage([1-4])_\w+")


def conformance_tests():
    """Every test for a server under test: (name, function, the first stage it is for)."""
    for path in sorted(HERE.glob("test_stage*.py")):
        first = int(NAME.fullmatch(path.stem)[1])
        module = importlib.import_module(path.stem)
        for name, function in vars(module).items():
            if name.startswith("test_"):
                yield f"{path.name}::{name}", function, first


def rows_of(function):
    marks = getattr(function, "pytestmark", [])
    return [mark.args for mark in marks if mark.name == "row"]


def counted():
    """(row, stage) of every test that counts calls, by its name."""
    tree = ast.parse(COUNTS.read_text())
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    found = (re.match(r"test_row_(\d+)_milestone_(\d)", name) for name in names)
    return {(int(match[1]), int(match[2])) for match in found if match}


def covered():
    """All (row, stage, cell) that some test asserts."""
    found = {(number, stage, "counted") for number, stage in counted()}
    for _, function, first in conformance_tests():
        rows = rows_of(function)
        for stage in range(first, STAGES[-1] + 1):
            if all(TABLE[number].cells[stage - 1] == cell for number, cell in rows):
                found |= {(number, stage, cell) for number, cell in rows}
    return found


@pytest.mark.parametrize("number", TABLE)
def test_every_cell_has_a_test(number):
    cells = enumerate(TABLE[number].cells, 1)
    promised = {(number, stage, cell) for stage, cell in cells if cell != "-"}
    assert promised
    assert promised <= covered()


def test_every_test_states_its_rule():
    missing = [
        name
        for name, function, _ in conformance_tests()
        if not re.fullmatch(r"[^\n]+\.", function.__doc__ or "")
    ]
    assert missing == []


def test_every_row_named_by_a_test_is_in_the_table():
    for name, function, _ in conformance_tests():
        for number, cell in rows_of(function):
            assert cell in TABLE[number].cells, name


def test_readme_of_each_milestone_has_the_sections_that_messages_name():
    for path in sorted(HERE.parents[1].glob("milestone*/README.md")):
        text = path.read_text()
        assert "**Idea.**" in text, path
        assert "**What still hurts.**" in text, path
