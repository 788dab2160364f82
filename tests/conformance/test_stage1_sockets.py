"""Requests and replies on a connection, whatever the wire."""

from harness import commands_only, gate, numbers, row


@gate
@row(1)
def test_one_request_gets_one_reply(target, connect):
    """One request gets one reply."""
    client = connect()
    client.ask(target.message())
    client.half_close()
    client.expect_eof()


@row(1)
def test_several_requests_in_turn(target, connect):
    """Several requests in turn on one connection each get their own reply."""
    client = connect()
    for _ in range(50):
        client.ask(target.message())


@commands_only
@row(3)
def test_next_client_gets_what_one_set(target, connect):
    """What one client SETs the next client GETs."""
    key = b"key-%d" % next(numbers)
    first = connect()
    first.command(b"SET " + key + b" from the first", b"+OK")
    first.close()
    connect().command(b"GET " + key, b"$from the first")


@row(5, "no")
def test_two_requests_in_one_segment_are_merged(target, connect):
    """Without framing, two requests in one segment are taken for one."""
    connect().command(b"PINGPING", b"-ERR unknown command 'PINGPING'")


@row(6, "no")
def test_first_byte_alone_is_taken_for_a_request(target, connect):
    """Without framing, the first byte of a request is answered as if it were all of it."""
    client = connect()
    client.command(b"P", b"-ERR unknown command 'P'")
    client.command(b"ING", b"-ERR unknown command 'ING'")


@row(11, "no")
def test_second_client_waits_for_the_first(target, connect):
    """A blocking server leaves the second client waiting until the first has left."""
    first, second = connect(), connect()
    first.ask(target.message())
    message = target.message()
    second.send_requests([message])
    second.expect_nothing()
    first.close()
    second.expect_replies([message])
