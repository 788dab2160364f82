"""The lessons walk every step of the history once, in order."""

import pytest
from lab.lessons import walk
from lab.servers import ROOT


def test_every_step_is_walked_once_and_in_order():
    problems = walk.check(sorted((ROOT / "notebooks").glob("*.ipynb")))
    if problems:
        told = "these cells are to be mended, and the text above them read again:"
        pytest.fail("\n".join([told, *problems]), pytrace=False)
