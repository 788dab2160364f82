"""Each notebook walks every line that its milestone changes, and no other."""

import pytest
from lab.lessons import walk
from lab.servers import STAGES


@pytest.mark.parametrize("stage", STAGES)
def test_every_changed_line_is_walked_exactly_once(stage):
    problems = walk.check_stage(stage)
    if problems:
        told = "these lines of notebooks are to be mended, and the text above them read again:"
        pytest.fail("\n".join([told, *problems]), pytrace=False)


@pytest.mark.parametrize("stage", STAGES)
def test_a_mutated_line_is_noticed_wherever_it_is(stage):
    """With our own milestones: an edit anywhere leaves no walk as it was."""
    before, after = walk.read_stage(STAGES.get(stage - 1)), walk.read_stage(STAGES[stage])
    pins = {name: walk.make_pin(change) for name, change in walk.changes(before, after).items()}
    mutants = 0
    for path in STAGES[stage].glob("*.py"):
        for source in mutate(path.read_text("utf-8")):
            chunks = {f"{path.name}::{name}": text for name, text in walk.cut(source).items()}
            others = {name: text for name, text in after.items() if name not in chunks}
            changes = walk.changes(before, {**others, **chunks})
            assert {name: walk.make_pin(change) for name, change in changes.items()} != pins
            mutants += 1
    assert mutants > 100


def mutate(source):
    """Yield the source with something added to one line, for each line in turn."""
    lines = source.split("\n")
    for index, line in enumerate(lines[:-1]):
        if not line.endswith("\\"):
            yield "\n".join([*lines[:index], line + "  # mutated", *lines[index + 1 :]])
