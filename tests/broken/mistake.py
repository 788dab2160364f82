"""The mistakes: stage, name, the mistake in words, the test that must catch it, and the
change to server.py: `-` and `+` before the right and the wrong lines, a space before
lines that stay and say where.
"""

from typing import NamedTuple


class Mistake(NamedTuple):
    name: str
    stage: int
    words: str
    caught_by: str  # a test function of tests/conformance
    change: str


MISTAKES = {}


def mistake(stage, name, words, caught_by, change):
    MISTAKES[name] = Mistake(name, stage, words, caught_by, change)


def with_mistake(source, change):
    """The text of server.py with the lines of one change replaced."""
    for part in change.strip("\n").split("\n\n"):
        lines = part.splitlines()
        right = "".join(line[1:] + "\n" for line in lines if line[:1] != "+")
        wrong = "".join(line[1:] + "\n" for line in lines if line[:1] != "-")
        if source.count(right) != 1:
            raise ValueError(f"not once in server.py:\n{right}")
        source = source.replace(right, wrong)
    return source
