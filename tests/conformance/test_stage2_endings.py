"""How a connection ends: too long a length, an end inside a frame, a half-closed one."""

import contextlib

import pytest
from harness import Failure, check, commands_only, hints, numbers, ours_only, row
from harness.pressure import SMALL, wait_until_still

FOREVER = 256 * 1024 * 1024  # bytes that a server should not be willing to take


def ask_next(target, connect):
    """The next client is served."""
    client = connect()
    client.ask(target.message())
    client.close()


def expect_refusal(target, client, length):
    """The error for a length over the limit, then the end of the connection."""
    if not target.echoes:
        text = f"-ERR payload of {length} bytes exceeds {target.max_payload}"
        client.expect(text.encode(), "the refusal")
        client.expect_closed(hints.STILL_OPEN)
        return
    # An echo server may say something, or nothing.
    client.collect_all("the server to close the connection")


def oversizes(target):
    limit = target.max_payload
    return [limit + 1, limit + 4, 2 * limit, 2**31 - 1, 2**31, 2**32 - 5, 2**32 - 1]


@row(8)
def test_oversize_length(target, connect):
    """A length over the limit is answered with an error, and the connection is closed."""
    for length in oversizes(target):
        client = connect()
        client.send(target.announce(length))
        expect_refusal(target, client, length)
        client.close()
        ask_next(target, connect)


@row(8)
@pytest.mark.parametrize("count", [1, 2, 100, 1000])
def test_oversize_length_behind_requests(target, connect, count):
    """The requests in front of a length over the limit are answered first."""
    messages = target.messages(count)
    wire = b"".join(target.wire(message.request) for message in messages)
    length = target.max_payload + 1
    client = connect()
    client.send(wire + target.announce(length))
    client.expect_replies(messages)
    expect_refusal(target, client, length)
    client.close()
    ask_next(target, connect)


@row(8)
def test_oversize_length_byte_by_byte(target, connect):
    """A length over the limit is noticed also when its bytes arrive one by one."""
    client = connect()
    client.ask(target.message())
    client.send_pieces(target.announce(2**32 - 1), 1, 2, 3)
    expect_refusal(target, client, 2**32 - 1)
    client.close()
    ask_next(target, connect)


@row(8)
def test_oversize_length_and_half_close(target, connect):
    """A length over the limit is refused also when nothing can follow it."""
    client = connect()
    client.send(target.announce(target.max_payload + 1))
    client.half_close()
    expect_refusal(target, client, target.max_payload + 1)
    client.close()
    ask_next(target, connect)


@row(8)
def test_oversize_payload_is_never_taken_in(target, connect):
    """A client that goes on sending behind a length over the limit is cut off."""
    for length in (target.max_payload + 1, 2**32 - 1):
        client = connect()
        client.send(target.announce(length))
        check(
            client.send_until_refused(FOREVER) < FOREVER,
            f"the server has taken {FOREVER} bytes behind the header",
            "a closed connection",
            "close() when the header is read, or when only so much of the payload has been taken "
            "in; shutdown() alone, or end() in Node, leaves it open",
            client,
        )
        client.close()
        ask_next(target, connect)


@commands_only
@row(8)
def test_nothing_is_executed_behind_an_oversize_length(target, connect):
    """What follows a length over the limit is not executed."""
    key = b"key-%d" % next(numbers)
    client = connect()
    client.command(b"SET " + key + b" x", b"+OK")
    client.send(target.announce(2**32 - 1) + target.wire(b"DEL " + key))
    # Who closes with something unread resets the connection, and the refusal may be lost.
    client.collect_all("the server to close the connection")
    client.close()
    connect().command(b"GET " + key, b"$x")


@commands_only
@row(8)
def test_nothing_is_executed_while_the_refusal_waits(target, connect):
    """What follows a length over the limit is not executed while replies wait to be read."""
    key = b"key-%d" % next(numbers)
    value = b"v" * (target.max_payload // 2)
    client = connect(**SMALL)
    client.command(b"SET " + key + b" " + value, b"+OK")
    delete = target.wire(b"DEL " + key)
    client.send(8 * target.wire(b"GET " + key) + target.announce(2**32 - 1) + delete, reading=False)
    client.expect(b"$" + value)
    wait_until_still(client)
    with contextlib.suppress(Failure):  # who has closed by now may answer this with a reset
        client.send_pieces(delete + target.wire(b"PING"), 10)
    client.collect_all("the server to close the connection")
    client.close()
    connect().command(b"GET " + key, b"$" + value)


@row(9)
def test_end_inside_a_frame(target, connect):
    """When the stream ends inside a frame, earlier ones are answered and that one is not."""
    whole, cut_off = target.messages(2)
    wire = target.wire(cut_off.request)
    for cut in range(1, len(wire)):
        client = connect()
        client.send(target.wire(whole.request) + wire[:cut])
        client.half_close()
        client.expect_replies([whole])
        client.expect_closed()
        client.close()
    ask_next(target, connect)


@row(9)
def test_end_inside_the_first_frame(target, connect):
    """A frame that the end cuts off is not answered with the bytes that have come."""
    wire = target.wire(target.message().request)
    for cut in range(1, len(wire)):
        client = connect()
        client.send(wire[:cut])
        client.half_close()
        client.expect_closed()
        client.close()
    ask_next(target, connect)


@row(9)
def test_end_inside_a_large_frame(target, connect):
    """A large frame that is cut off is not answered, and its server goes on."""
    wire = target.wire(target.sized(target.max_payload).request)
    for part in (len(wire) // 3, len(wire) // 2, len(wire) - 1):
        client = connect()
        client.send(wire[:part])
        client.half_close()
        client.expect_closed()
        client.close()
    ask_next(target, connect)


@row(9)
def test_leaving_inside_a_frame(target, connect):
    """A client may leave at any place of a frame; the next one is served."""
    wire = target.wire(target.message().request)
    for cut in range(len(wire) + 1):
        client = connect()
        client.send(wire[:cut])
        client.close()
        ask_next(target, connect)


@row(4)
@row(9)
def test_reset_inside_a_frame(target, connect):
    """A client may reset its connection at any place of a frame; the next one is served."""
    wire = target.wire(target.message().request)
    for cut in range(len(wire) + 1):
        client = connect()
        client.ask(target.message())
        client.send(wire[:cut])
        client.reset()
        ask_next(target, connect)


@row(4)
def test_leaving_with_many_replies_due(target, connect):
    """A client that hangs up on a batch disturbs nobody, however it leaves."""
    for number in range(30):
        client = connect()
        client.send_requests(target.messages(1 + 7 * number))
        client.reset() if number % 2 else client.close()
        ask_next(target, connect)


@row(10)
@pytest.mark.parametrize("count", [1, 2, 16, 1000])
def test_half_close_behind_a_batch(target, connect, count):
    """A client that sends a batch and half-closes still gets every reply, then the end."""
    messages = target.messages(count)
    client = connect()
    client.send_requests(messages)
    client.half_close()
    client.expect_replies(messages)
    client.expect_eof()


@row(10)
def test_half_close_behind_large_requests(target, connect):
    """Replies too large for the kernel's buffers still arrive after a half-close."""
    sizes = [target.max_payload, 100, target.max_payload // 2, target.max_payload, 7]
    messages = [target.sized(size) for size in sizes]
    client = connect()
    client.send_requests(messages)
    client.half_close()
    client.expect_replies(messages)
    client.expect_eof()


# The log of our own servers


def check_log(server, client, reason):
    """Exactly one line for the fault of this client."""
    # The news only: an earlier client may have had the same port.
    lines = [line for line in server.news().splitlines() if line.startswith(f"{client.name}: ")]
    right = len(lines) == 1 and reason in lines[0]
    expected = f"one line, '{client.name}: ...{reason}...'"
    check(right, f"on stderr: {lines}", expected, hints.LOGGED, client)


@ours_only
@row(8)
def test_oversize_logs_one_line(target, server, connect):
    """A length over the limit ends in an orderly close and logs one line."""
    client = connect()
    client.send(target.announce(2**32 - 1))
    client.expect(b"-ERR payload of 4294967295 bytes exceeds 1048576")
    client.expect_eof()
    client.close()
    ask_next(target, connect)
    check_log(server, client, "payload of 4294967295 bytes exceeds 1048576")


@ours_only
@row(9)
@pytest.mark.parametrize("cut", [1, 3, 4, 5, -1])
def test_end_inside_a_frame_logs_one_line(target, server, connect, cut):
    """An end inside a frame closes in an orderly way and logs one line."""
    client = connect()
    client.send(target.wire(target.message().request)[:cut])
    client.half_close()
    client.expect_eof()
    client.close()
    ask_next(target, connect)
    check_log(server, client, "inside a frame")


@ours_only
@row(4)
def test_reset_logs_one_line(target, server, connect):
    """A reset logs one line."""
    client = connect()
    client.ask(target.message())
    client.reset()
    ask_next(target, connect)
    check_log(server, client, "reset")
