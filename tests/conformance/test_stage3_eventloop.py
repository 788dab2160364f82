"""Many clients at once."""

from harness import row


@row(11)
def test_second_client_is_served_while_the_first_is_silent(target, connect):
    """A second client is served while the first is silent."""
    silent = connect()
    connect().ask(target.message())
    silent.ask(target.message())
