"""Replies that do not fit into the kernel's buffers, and clients that leave without them."""

import pytest
from harness import commands_only, proc, row
from harness.pressure import SMALL, caught_up, check_calm, fill, wait_until_still

# Messages.  What a server has not read yet wakes its poll() again, and hides a stall:
# so there are batches that fit into the smallest read buffer.
BATCHES = (1, 2, 4, 8, 20)
PADDING = 500  # bytes in each of them
PLENTY = 4 * 1024 * 1024  # more bytes of replies than small kernel buffers take
LARGE_BUFFERS = 1024 * 1024  # with that much in the kernel there is no stall to be found
AMOUNTS = (1, 2, 7, 50, 400, 3000)  # replies due when a client leaves


def padded(target, count):
    """Messages with some weight, all different."""
    return [target.sized(PADDING) for _ in range(count)]


def wire_of(target, messages):
    return b"".join(target.wire(message.request) for message in messages)


def stored(target, client, size):
    """Store a value of about that size, if the limit allows; the message that gets it."""
    message = target.message()
    key = b"key-" + message.reply[1:]
    size = min(size, target.max_payload - 100)
    value = message.reply[1:] * (size // len(message.reply))
    client.command(b"SET " + key + b" " + value, b"+OK")
    return message._replace(request=b"GET " + key, reply=b"$" + value)


def until_blocked(target, client, count=20):
    """Send batches of `count` until the server's replies stop; all messages sent."""
    messages, owed = [], 0
    while owed < LARGE_BUFFERS:
        batch = padded(target, count)
        client.send_requests(batch, reading=False)
        messages += batch
        owed += sum(len(target.reply_wire(message.reply)) for message in batch)
        if not caught_up(client, owed):
            break
    return messages


@row(5)
@pytest.mark.parametrize("size", [3000, 60_000])
def test_late_reader(target, connect, size):
    """A client that starts to read late gets every reply, whole and in order."""
    client = connect(**SMALL)
    size = min(size, target.max_payload)
    messages = [target.sized(size) for _ in range(2_000_000 // size)]
    data = wire_of(target, messages)
    sent = fill(client, data)
    client.send(data[sent:])
    client.expect_replies(messages)


@row(7)
def test_late_reader_of_the_largest_reply(target, connect):
    """The largest reply arrives whole at a client that starts to read late."""
    client = connect(**SMALL)
    message = target.sized(target.max_payload)
    client.send_requests([message], reading=False)
    wait_until_still(client)
    client.expect_replies([message])
    client.ask(target.message())


@row(5)
@pytest.mark.skipif(not proc.USABLE, reason="needs Linux: /proc tells what is queued")
@pytest.mark.parametrize("count", BATCHES)
def test_write_blocked_in_mid_batch(target, connect, count):
    """When a write has blocked inside a batch, a client that then only reads gets the rest."""
    client = connect(**SMALL)
    client.expect_replies(until_blocked(target, client, count))
    client.ask(target.message())


@row(5)
@pytest.mark.skipif(not proc.USABLE, reason="needs Linux: /proc tells what is queued")
@pytest.mark.parametrize("more", [20, 40])
def test_more_arrives_while_a_write_is_blocked(target, connect, more):
    """What arrives while a write is blocked is answered, too, once the client reads."""
    client = connect(**SMALL)
    messages = until_blocked(target, client)
    late = padded(target, more)
    data = wire_of(target, late)
    client.send(data[fill(client, data) :])
    client.expect_replies(messages + late)
    client.ask(target.message())


@row(5)
@commands_only
@pytest.mark.parametrize("size", [2_000, 40_000, 500_000])
def test_many_bytes_for_few(target, connect, size):
    """A batch of short requests gets all its long replies, however late the client reads."""
    client = connect(**SMALL)
    message = stored(target, client, size)
    count = 3_000_000 // len(message.reply)
    client.send_requests([message] * count, reading=False)
    wait_until_still(client)
    client.expect_replies([message] * count)
    client.ask(target.message())


@row(10)
@pytest.mark.skipif(not proc.USABLE, reason="needs Linux: /proc tells what is queued")
def test_half_close_while_output_is_blocked(target, connect):
    """A client that half-closes while replies are blocked still gets every one, then the end."""
    client = connect(**SMALL)
    messages = until_blocked(target, client)
    client.half_close()
    client.expect_replies(messages)
    client.expect_eof()


@row(10)
@commands_only
@pytest.mark.parametrize("size", [2_000, 40_000, 500_000])
def test_half_close_with_long_replies_due(target, connect, size):
    """Half-closing behind a batch loses none of its replies, however long they are."""
    client = connect(**SMALL)
    message = stored(target, client, size)
    count = 3_000_000 // len(message.reply)
    client.send_requests([message] * count, reading=False)
    client.half_close()
    wait_until_still(client)
    client.expect_replies([message] * count)
    client.expect_eof()


def leave_by_closing(client):
    client.close()  # with replies unread the kernel makes this a reset


def leave_by_reset(client):
    client.reset()


def leave_by_half_close_and_reset(client):
    client.half_close()
    client.reset()


SEND_FAILED = (
    "a send() that fails, and POLLERR and POLLHUP, say that the client has gone: close its socket, "
    "and take it off the list that poll() gets"
)
LEAVE = [leave_by_closing, leave_by_reset, leave_by_half_close_and_reset]
END_SEEN = 5  # TCP_FIN_WAIT2: the other side's kernel has our end of the stream


@row(4)
@pytest.mark.parametrize("leave", LEAVE, ids=lambda leave: leave.__name__)
def test_hang_up_with_many_replies_due(target, server, connect, leave):
    """A client that leaves while replies are due to it disturbs nobody."""
    for amount in AMOUNTS:
        client = connect()
        fill(client, wire_of(target, padded(target, amount)))
        leave(client)
        with connect() as other:
            other.ask(target.message())


@row(4)
@pytest.mark.parametrize("leave", LEAVE, ids=lambda leave: leave.__name__)
def test_hang_up_while_output_is_blocked(target, start, connect, leave):
    """A client that leaves while a write to it is blocked disturbs nobody and leaves no work."""
    server = start()
    for amount in (PLENTY // 8, PLENTY):
        client = connect(server, **SMALL)
        fill(client, wire_of(target, padded(target, amount // PADDING)))
        leave(client)
        with connect(server) as other:
            other.ask(target.message())
    check_calm(server, "after clients that left while output was blocked", SEND_FAILED)


@row(4)
@pytest.mark.skipif(not proc.USABLE, reason="needs Linux: the kernel tells what the peer has seen")
def test_reset_behind_an_end_of_stream_while_output_is_blocked(target, start, connect):
    """A client that half-closes while a write to it is blocked, and then resets, harms nobody."""
    server = start()
    client = connect(server, **SMALL)
    # Everything has been read, so the end of the stream is not stuck behind it.  A server
    # that knows of the end gets EPIPE from its next write, and with it SIGPIPE.
    until_blocked(target, client)
    client.half_close()
    client.wait_for_state(END_SEEN, "the server's kernel to acknowledge the end of the stream")
    client.reset()
    with connect(server) as other:
        other.ask(target.message())
    check_calm(server, "after a client that left while output was blocked", SEND_FAILED)


@row(16, "no")
def test_a_client_that_never_reads_holds_up_everybody(target, connect):
    """One that serves its clients in turn waits for one that never reads, and so do the others."""
    deaf = connect(**SMALL)
    fill(deaf, wire_of(target, padded(target, PLENTY // PADDING)))
    other, message = connect(), target.message()
    other.send_requests([message])
    other.expect_nothing()
    deaf.reset()
    other.expect_replies([message])


@row(19, "no")
def test_one_busy_client_keeps_the_other_waiting(target, connect):
    """One that serves its clients in turn answers a busy one for as long as that stays."""
    busy, other = connect(), connect()
    waiting = target.message()
    busy.ask(target.message())
    other.send_requests([waiting])
    for message in target.messages(300):
        busy.ask(message)
    other.expect_nothing()
    busy.close()
    other.expect_replies([waiting])
