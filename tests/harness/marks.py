"""What a test says about itself."""

import pytest

commands_only = pytest.mark.commands_only  # nothing to ask of a server that echoes
ours_only = pytest.mark.ours_only  # a promise of our own servers, not of the wire
frames_only = pytest.mark.frames_only  # about our own protocol, not about that of Redis
gate = pytest.mark.gate  # without this nothing else can work


def since(step):
    """The step from which a test is asked for, where its row as a whole comes later."""
    return pytest.mark.since(step)


def row(number, cell="yes"):
    """The row of tests/harness/capabilities.py that a test checks.

    cell: `yes` where the row is a promise, `no` where the test shows that our
    server can't do it yet.
    """
    return pytest.mark.row(number, cell)
