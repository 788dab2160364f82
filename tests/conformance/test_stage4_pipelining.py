"""Many requests on the way at once, and what is left over between reads."""

import random

import pytest
from harness import Message, check, commands_only, numbers, proc, row, trace
from harness.limits import want_one_worker
from harness.server import while_stopped

MANY = 10_000
BATCH = 100  # requests in one packet, so small that any read brings all of them
TURN = 10  # of these; who answers one in each turn of the loop is found below that
QUESTIONS = 200
SHALLOW, DEEP = 1000, 10_000  # requests that come together
STEEP = 1.5  # times as dear: vector.erase() of what has been read is at 2 to 3, others at 0.9
LOOKS, MOST_LOOKS = 8, 32  # more when other programs seem to make the machine slow


def wire_of(target, messages):
    return b"".join(target.wire(message.request) for message in messages)


@row(5)
def test_long_pipeline(target, connect):
    """10,000 requests sent without waiting get 10,000 replies, in order."""
    messages = target.messages(MANY)
    client = connect()
    client.send_requests(messages)
    client.expect_replies(messages)
    client.ask(target.message())


@row(5)
def test_pipelines_of_many_lengths(target, connect):
    """Batches of every length are answered completely, one after the other."""
    client = connect()
    for count in [*range(1, 40), 63, 64, 65, 127, 128, 129, 255, 256, 257, 1023, 1024, 1025]:
        messages = target.messages(count)
        client.send_requests(messages)
        client.expect_replies(messages)


@commands_only
@row(5)
def test_pipeline_counts_in_order(target, connect):
    """Pipelined commands are executed in order, each once."""
    key = b"key-%d" % next(numbers)
    messages = [Message(b"INCR " + key, b":%d" % number) for number in range(1, MANY // 5)]
    client = connect()
    client.send_requests(messages)
    client.expect_replies(messages)


@row(5)
def test_large_and_small_requests_mixed(target, connect):
    """Small requests behind large ones are answered in their order."""
    chance = random.Random(4)
    sizes = [chance.choice([0, 1, 5, 6, 100, 1000, 4096, 30_000, 65_536]) for _ in range(200)]
    sizes = [min(size, target.max_payload) for size in sizes]
    messages = [target.sized(size) for size in [*sizes, target.max_payload, 6, 7]]
    client = connect()
    client.send_requests(messages)
    client.expect_replies(messages)


@row(6)
@pytest.mark.parametrize("piece", [4093, 16_381, 65_535, 65_536, 65_537])
def test_leftovers_between_reads(target, connect, piece):
    """A frame that is cut by the end of a read is completed by the next one."""
    messages = [target.sized(20 + number % 700) for number in range(600)]
    wire = wire_of(target, messages)
    client = connect()
    client.send_pieces(wire, *range(piece, len(wire), piece))
    client.expect_replies(messages)


@row(6)
def test_half_a_frame_is_always_left_over(target, connect):
    """A window that is never empty still answers each request as soon as it is complete."""
    messages = target.messages(300)
    wires = [target.wire(message.request) for message in messages]
    client = connect()
    client.send(wires[0][:7])
    for number, message in enumerate(messages[:-1]):
        client.send(wires[number][7:] + wires[number + 1][:7])
        client.expect_replies([message])
    client.send(wires[-1][7:])
    client.expect_replies(messages[-1:])


@row(7)
def test_largest_requests_in_a_row(target, connect):
    """Several requests of the largest size on the way at once are all answered."""
    messages = [target.sized(target.max_payload) for _ in range(6)]
    messages = [*messages, target.message(), *messages[:2], target.sized(0)]
    client = connect()
    client.send_requests(messages)
    client.expect_replies(messages)


@row(8)
def test_oversize_length_behind_a_long_pipeline(target, connect):
    """Every request in front of a length over the limit gets its reply."""
    messages = target.messages(MANY)
    length = 2**32 - 1
    client = connect()
    client.send(wire_of(target, messages) + target.announce(length))
    client.expect_replies(messages)
    client.collect_all("the server to close the connection")


@row(10)
def test_half_close_behind_a_long_pipeline(target, connect):
    """A client that half-closes behind 10,000 requests gets every reply, then the end."""
    messages = target.messages(MANY)
    client = connect()
    client.send_requests(messages)
    client.half_close()
    client.expect_replies(messages)
    client.expect_eof()


@row(9)
def test_end_inside_the_last_of_many(target, connect):
    """When the end cuts off the last of many requests, all others are answered."""
    messages = target.messages(1000)
    wire = wire_of(target, messages)
    for left in (1, 10, len(target.wire(messages[-1].request)) - 1):
        client = connect()
        client.send(wire[:-left])
        client.half_close()
        client.expect_replies(messages[:-1])
        client.expect_closed()


@row(12)
def test_pipelines_of_several_clients(target, connect):
    """Clients that pipeline at once each get their own replies, in order."""
    clients = [connect() for _ in range(4)]
    batches = [target.messages(1000) for _ in clients]
    wires = [wire_of(target, batch) for batch in batches]
    for begin in range(0, max(map(len, wires)), 701):
        for client, wire in zip(clients, wires):
            client.send(wire[begin : begin + 701])
    for client, batch in zip(clients, batches):
        client.expect_replies(batch)


@row(13, "counted")
@commands_only
def test_a_batch_is_answered_in_one_turn(target, start, connect):
    """All requests that have come together are answered before another client's turn."""
    server = start()
    pair = [connect(server), connect(server)]
    for client in pair:
        client.ask(target.message())
    want_one_worker(server, "may work on both clients at once")
    for number in range(10):
        many, one = pair if number % 2 else pair[::-1]  # whoever comes first in the loop
        place = place_in_line(target, server, many, one)
        check(
            place == 1 or place > TURN,
            f"another client's request was answered after {place - 1} of {BATCH} that had come "
            "together in one packet",
            "all of them first, or that one first",
            "answer every complete request before you return to poll(): while, not if",
            many,
        )


def place_in_line(target, server, many, one):
    """One client sends a batch, the other a request: which one in the order of all is that?"""
    counter = b"key-%d" % next(numbers)
    request = target.wire(b"INCR " + counter)
    with while_stopped(server):  # the server finds both in the same turn
        many.send(request * BATCH)
        one.send(request)
    place = one.receive_number()
    rest = [number for number in range(1, BATCH + 2) if number != place]
    for number in rest:
        many.expect(b":%d" % number)
    return place


@row(15, "counted")
def test_a_message_costs_the_same_however_many_wait_behind_it(target, start, connect):
    """A request taken from the front of the buffer costs the same however much is behind it."""
    server = start()
    client = connect(server)
    client.ask(target.message())
    want_one_worker(server, "can't be measured by one thread's processor time")
    costs = {depth: [] for depth in (SHALLOW, DEEP)}
    for look in range(MOST_LOOKS):  # by turns: the machine is not equally fast all the time
        for depth in costs:
            costs[depth].append(cost_of_message(target, client, depth))
        few, many = map(min, costs.values())
        if look >= LOOKS and many < STEEP * few:
            break
    check(
        many < STEEP * few,
        f"of {DEEP} requests that came together each took {many / 1000:.1f} us of processor time, "
        f"of {SHALLOW} {few / 1000:.1f} us",
        "no more: many at once are cheaper, because they share a read and a write",
        "do not move the rest to the front after each request: move a pointer, data_begin",
        client,
    )


def cost_of_message(target, client, depth):
    """Nanoseconds of processor time for each of `depth` requests that come together."""
    server, messages = client.server, target.messages(depth)
    before = proc.cpu_nanoseconds(server.session)
    with while_stopped(server):
        client.send_requests(messages)
    client.expect_replies(messages)
    return (proc.cpu_nanoseconds(server.session) - before) / depth


@row(14, "counted")
@pytest.mark.skipif(not trace.USABLE, reason="needs strace: apt-get install strace")
def test_a_request_costs_one_turn_of_the_loop(target, start, connect):
    """A request that comes alone is answered with one call of poll(), not two."""
    server = start()
    client = connect(server)
    client.ask(target.message())
    want_one_worker(server, "waits in different places")
    waits = trace.count_waits(server, lambda: ask_often(target, client))
    if waits is None:
        pytest.skip("strace may not look at this server: see ptrace_scope, or run as root")
    check(
        waits < 1.9 * QUESTIONS,
        f"{waits} calls of poll() and the like for {QUESTIONS} requests, one at a time",
        "one for each: it tells that the request is there",
        "send() right after answering; only if the kernel has no room, wait for POLLOUT",
        client,
    )


def ask_often(target, client):
    for message in target.messages(QUESTIONS):
        client.ask(message)
