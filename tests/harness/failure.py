"""The ways in which a check can fail.  harness.report turns them into text."""


class Failure(AssertionError):
    """A server broke a rule.

    came, expected: what happened and what should have, as text.
    hint: the likeliest reason, as text, or None.
    client: the Client whose conversation tells the story, or None.
    """

    def __init__(self, came, expected, hint=None, client=None):
        super().__init__(f"{came}; expected {expected}")
        self.came = came
        self.expected = expected
        self.hint = hint
        self.client = client
        self.rule = None  # where it is not the one in the test's docstring


class StartError(Failure):
    """The server did not start to listen."""

    def __init__(self, came, hint=None, server=None):
        super().__init__(came, "a server that listens on the port it is given", hint)
        self.server = server


def check(condition, came, expected, hint=None, client=None):
    """Raise Failure unless the condition holds."""
    if not condition:
        raise Failure(came, expected, hint, client)
