"""Frames: where a message begins and ends does not depend on how it arrives."""

import random

import pytest
from harness import Message, check, commands_only, numbers, row

PIPELINE = 1000
KERNEL_WAITS = 0.08  # seconds: with a delayed acknowledgement it is half of that


def wire_of(target, messages):
    return b"".join(target.wire(message.request) for message in messages)


@row(5)
def test_two_requests_in_one_segment(target, connect):
    """Two requests in one segment get two replies, in order."""
    messages = target.messages(2)
    client = connect()
    client.send_requests(messages)
    client.expect_replies(messages)


@row(5)
@pytest.mark.parametrize("count", [3, 10, 100])
def test_several_requests_in_one_segment(target, connect, count):
    """Several requests in one segment get as many replies, in order."""
    client = connect()
    for _ in range(3):
        messages = target.messages(count)
        client.send_requests(messages)
        client.expect_replies(messages)


@row(5)
def test_requests_of_different_lengths_in_one_segment(target, connect):
    """Each reply is as long as its own request asks, not as its neighbour."""
    sizes = [200, 7, 90, 6, 5, 150, 8, 64, 300, 9]
    messages = [target.sized(size) for size in sizes]
    client = connect()
    client.send_requests(messages)
    client.expect_replies(messages)


@commands_only
@row(5)
def test_commands_in_one_segment_run_in_order(target, connect):
    """Requests that arrive together are executed in their order."""
    key = b"key-%d" % next(numbers)
    lines = [
        (b"GET " + key, b"_"),
        (b"SET " + key + b" 41", b"+OK"),
        (b"INCR " + key, b":42"),
        (b"GET " + key, b"$42"),
        (b"DEL " + key, b":1"),
        (b"GET " + key, b"_"),
        (b"NONSENSE", b"-ERR unknown command 'NONSENSE'"),
        (b"PING", b"+PONG"),
    ]
    messages = [Message(*line) for line in lines]
    client = connect()
    client.send_requests(messages)
    client.expect_replies(messages)


@row(7)
def test_empty_payload(target, connect):
    """An empty payload is a request like others, and the connection goes on."""
    client = connect()
    empty = target.sized(0)
    for _ in range(3):
        client.ask(empty)
        client.ask(target.message())
    messages = [empty, target.message(), empty, empty, target.message()]
    client.send_requests(messages)
    client.expect_replies(messages)


@row(6)
def test_byte_by_byte(target, connect):
    """A request that arrives byte by byte gets its one reply."""
    client = connect()
    for message in target.messages(3):
        wire = target.wire(message.request)
        client.send_pieces(wire, *range(1, len(wire)))
        client.expect_replies([message])


@row(6)
def test_header_in_pieces(target, connect):
    """The four bytes of a header may arrive in any number of pieces."""
    client = connect()
    for cuts in ([1], [2], [3], [1, 2], [1, 3], [2, 3], [1, 2, 3], [1, 2, 3, 4]):
        message = target.message()
        client.send_pieces(target.wire(message.request), *cuts)
        client.expect_replies([message])


@row(6)
def test_header_alone_then_the_payload(target, connect):
    """A payload that arrives after its header belongs to it."""
    client = connect()
    for size in (1, 6, 100, 300):
        message = target.sized(size)
        client.send_pieces(target.wire(message.request), 4)
        client.expect_replies([message])


@row(5)
def test_whole_request_and_the_start_of_the_next(target, connect):
    """A request is answered when it is complete, whatever has already come of the next."""
    client = connect()
    first, second = target.messages(2)
    wire = target.wire(second.request)
    for cut in range(1, len(wire)):
        client.send(target.wire(first.request) + wire[:cut])
        client.expect_replies([first])
        client.send(wire[cut:])
        client.expect_replies([second])


@row(6)
def test_two_requests_cut_at_every_place(target, connect):
    """Two requests get their two replies, wherever the stream is cut in two."""
    client = connect()
    length = len(wire_of(target, target.messages(2)))
    for cut in range(1, length):
        messages = target.messages(2)
        client.send_pieces(wire_of(target, messages), cut)
        client.expect_replies(messages)


@row(6)
def test_three_requests_cut_at_random_places(target, connect):
    """Three requests get their three replies, wherever the stream is cut."""
    client = connect()
    chance = random.Random(20240229)
    for _ in range(40):
        messages = target.messages(3)
        wire = wire_of(target, messages)
        client.send_pieces(wire, *sorted(chance.sample(range(1, len(wire)), 4)))
        client.expect_replies(messages)


@row(6)
@pytest.mark.parametrize("piece", [1, 2, 3, 5, 7, 61])
def test_stream_in_equal_pieces(target, connect, piece):
    """A stream of requests may arrive in pieces that have nothing to do with frames."""
    messages = [target.sized(size) for size in (6, 40, 5, 0, 33, 7, 120)]
    wire = wire_of(target, messages)
    client = connect()
    client.send_pieces(wire, *range(piece, len(wire), piece))
    client.expect_replies(messages)


@row(5)
@row(6)
def test_long_pipeline_with_the_last_request_cut(target, connect):
    """Of 1,000 requests with the last one cut, 999 are answered before the rest arrives."""
    messages = target.messages(PIPELINE)
    wire = wire_of(target, messages)
    client = connect()
    for left in (1, len(target.wire(messages[-1].request)) - 2):
        client.send(wire[:-left])
        client.expect_replies(messages[:-1])
        client.send(wire[-left:])
        client.expect_replies(messages[-1:])


# Small replies and the kernel


@row(20)
@pytest.mark.parametrize("together", [1, 2, 3])
def test_no_reply_waits_for_an_acknowledgement(target, connect, together):
    """Small replies are never held back by the kernel (TCP_NODELAY)."""
    client = connect()
    times = []
    for _ in range(20):
        messages = target.messages(together)
        client.acknowledge_late()
        times.append(client.timed(messages))
    slow = sum(seconds > 0.035 for seconds in times)
    check(
        slow <= len(times) // 2,
        f"{slow} of {len(times)} turns took more than 35 ms",
        "replies that leave at once, not when the client's kernel has acknowledged (40 ms)",
        "the server itself waits, longer than any kernel: no sleep, no timer before a reply"
        if min(times) > KERNEL_WAITS
        else "set TCP_NODELAY on accepted sockets, and write header and payload in one call",
        client,
    )


# Payloads


@row(7)
def test_binary_payload(target, connect):
    """A payload may hold any bytes."""
    client = connect()
    texts = [bytes([byte]) * 5 for byte in range(256)]
    texts += [bytes(range(256)), b"\xff\xfe\0\0", b"a\0b", b"\n", b"\r\n\r\n", b"\xc3\x28"]
    for text in texts:
        client.ask(target.carrying(text))


@row(7)
def test_payload_that_looks_like_a_frame(target, connect):
    """What a payload holds is never taken for a header."""
    client = connect()
    inner = target.wire(target.message().request)
    messages = [target.carrying(inner), target.message(), target.carrying(3 * inner)]
    client.send_requests(messages)
    client.expect_replies(messages)


@row(7)
def test_every_small_size(target, connect):
    """Payloads of every size up to 300 bytes are answered."""
    client = connect()
    for size in range(300):
        client.ask(target.sized(size))


def sizes_around_powers_of_two(limit):
    powers = [1 << bit for bit in range(3, 27)]
    near = {power + offset for power in powers for offset in (-5, -4, -1, 0, 1, 4, 5)}
    # A limit far over 1 MiB is met at its end only: the sizes between are the same again.
    small = [size for size in sorted(near) if 0 <= size <= min(limit, 1 << 20)]
    return [*small, limit - 5, limit - 4, limit - 1, limit]


@row(7)
def test_sizes_around_powers_of_two(target, connect):
    """Payloads of every size around a power of two are answered, up to the limit."""
    client = connect()
    for size in sizes_around_powers_of_two(target.max_payload):
        client.ask(target.sized(size))


@row(7)
def test_sizes_around_powers_of_two_in_pairs(target, connect):
    """A large request and the next one may arrive together."""
    client = connect()
    for size in sizes_around_powers_of_two(min(target.max_payload, 1 << 17)):
        messages = [target.sized(size), target.message()]
        client.send_requests(messages)
        client.expect_replies(messages)


@row(7)
def test_largest_payload(target, connect):
    """A payload of exactly the limit is answered, several times and among small ones."""
    client = connect()
    messages = [target.message(), target.sized(target.max_payload), target.message()]
    for _ in range(3):
        client.send_requests(messages)
        client.expect_replies(messages)


@commands_only
@row(7)
def test_largest_value(target, connect):
    """The longest value that fits into a request is stored and comes back."""
    key = b"key-%d" % next(numbers)
    value = target.sized(target.max_payload - len(b"SET  ") - len(key)).request
    client = connect()
    client.command(b"SET " + key + b" " + value, b"+OK")
    client.command(b"GET " + key, b"$" + value)
    client.command(b"DEL " + key, b":1")


@row(7)
def test_long_unknown_text(target, connect):
    """A request of the largest size that is no command gets its error, too."""
    client = connect()
    text = b"x" * target.max_payload
    unknown = Message(text, b"-ERR unknown command '%s'" % text[:64])
    client.ask(target.carrying(text) if target.echoes else unknown)
    client.ask(target.message())
