"""Frames: where a message begins and ends does not depend on segments."""

from harness import row


@row(5)
def test_two_requests_in_one_segment(target, connect):
    """Two requests in one segment get two replies, in order."""
    messages = target.messages(2)
    client = connect()
    client.send_requests(messages)
    client.expect_replies(messages)


@row(6)
def test_byte_by_byte(target, connect):
    """A request that arrives byte by byte gets its one reply."""
    message = target.message()
    wire = target.wire(message.request)
    client = connect()
    client.send_pieces(wire, *range(1, len(wire)))
    client.expect_replies([message])
