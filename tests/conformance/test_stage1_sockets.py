"""Connections, and requests and replies in turn, whatever the wire."""

import pytest
from harness import check, commands_only, gate, numbers, proc, row
from harness.server import while_stopped

ROUNDS = 20
QUIET = 1.0  # seconds
LARGEST = 4096  # bytes that one recv() of milestone 1 takes
NEWCOMERS, LET_WAIT = 8, 4  # so many have to be let wait: a busy machine may do it to one
LOOK = 0.01  # seconds between two looks at a server
LOOKS, OVERSLEPT, BUSY_WITH_OTHERS = 20, 2, 3
FEW_DESCRIPTORS = 10  # fewer than the clients that wait


@gate
@row(1)
def test_one_request_gets_one_reply(target, connect):
    """One request gets one reply."""
    connect().ask(target.message())


@gate
@row(1)
@pytest.mark.skipif(not proc.USABLE, reason="needs Linux's /proc")
def test_a_request_is_taken_when_it_comes(target, server, connect):
    """A request is taken when it comes: meanwhile the server neither sleeps nor does other work."""
    # One that looks round once a second passes all other tests, in an hour.
    doing = [doing_while_a_request_waits(server, connect(), target) for _ in range(NEWCOMERS)]
    waited = list(filter(None, doing))
    check(
        len(waited) < LET_WAIT,
        f"{len(waited)} of {NEWCOMERS} requests waited in the kernel, while the server was "
        f"{' or '.join(sorted(set(waited)))}",
        "a server that sleeps until something comes, and then takes that",
        "only poll() waits, for the listener and all clients; what it reports is handled at once"
        if target.stage >= 3
        else "accept() and recv() wait by themselves: no sleep(), no look now and then; and recv() "
        "that returns nothing is the end of that client, who is not asked again",
    )


def doing_while_a_request_waits(server, client, target):
    """What the server did while it had not read the request; None: it came to it at once."""
    message = target.message()
    before, asleep = server.cpu_seconds(), 0
    client.send_requests([message])
    for _ in range(LOOKS):
        client.collect(LOOK)
        if client.inbox or not client.unread_by_server():
            break
        asleep += server.in_state("S")
    used = server.cpu_seconds() - before
    client.expect_replies([message])
    client.close()
    if asleep >= OVERSLEPT:
        return "asleep"
    return "busy" if used >= BUSY_WITH_OTHERS * LOOK else None


@row(1)
def test_the_end_of_a_client_is_answered_by_the_end(target, connect):
    """After the last reply of a client that is done the server closes, and sends nothing more."""
    client = connect()
    client.ask(target.message())
    client.half_close()
    client.expect_eof()


@row(1)
def test_several_requests_in_turn(target, connect):
    """Several requests in turn on one connection each get their own reply."""
    client = connect()
    for _ in range(5 * ROUNDS):
        client.ask(target.message())


@row(1)
def test_several_clients_in_turn(target, connect):
    """When one client has left, the next one is served."""
    for _ in range(ROUNDS):
        client = connect()
        client.ask(target.message())
        client.close()


@row(1)
def test_requests_of_many_lengths(target, connect):
    """A request's length does not matter."""
    client = connect()
    for size in [*range(1, 130), 255, 256, 257, 511, 512, 1023, 1024, 1025, 2048, LARGEST]:
        client.ask(target.sized(size))


@row(1)
def test_a_quiet_client_keeps_its_connection(target, connect):
    """A client that says nothing for a second keeps its connection."""
    client = connect()
    client.expect_nothing(QUIET)
    client.ask(target.message())


@row(1)
def test_server_closes_when_the_client_has(target, connect):
    """When the client has sent all it will, the server closes the connection, too."""
    client = connect()
    client.half_close()
    client.expect_eof()


@commands_only
@row(3)
def test_next_client_gets_what_one_set(target, connect):
    """What one client SETs the next client GETs."""
    key = b"key-%d" % next(numbers)
    first = connect()
    first.command(b"SET " + key + b" from the first", b"+OK")
    first.close()
    second = connect()
    second.command(b"GET " + key, b"$from the first")
    second.command(b"DEL " + key, b":1")
    second.command(b"GET " + key, b"_")
    second.close()
    connect().command(b"GET " + key, b"_")


@row(4)
def test_clients_that_say_nothing(target, connect):
    """A client that connects and leaves without a word disturbs nobody."""
    for _ in range(ROUNDS):
        connect().close()
        connect().reset()
        connect_and_ask(target, connect)


@row(4)
def test_reset_between_requests(target, connect):
    """A client that resets its connection (RST) does not disturb the next one."""
    for _ in range(ROUNDS):
        client = connect()
        client.ask(target.message())
        client.reset()
        connect_and_ask(target, connect)


@row(4)
def test_reset_with_a_reply_due(target, connect):
    """A client that resets before it has read its reply does not disturb the next one."""
    for _ in range(ROUNDS):
        client = connect()
        client.send_requests([target.message()])
        client.reset()
        connect_and_ask(target, connect)


@row(4)
def test_hang_up_with_replies_due(target, connect):
    """Writing to a client that has hung up must not end the server (SIGPIPE, EPIPE)."""
    for count in range(ROUNDS):
        client = connect()
        for _ in range(2 + count % 3):
            client.send_requests([target.message()])
        client.close()
        connect_and_ask(target, connect)


@row(4)
@pytest.mark.parametrize("count", [1, 2, 50, 1000])  # a thousand take several reads
def test_gone_before_its_requests_are_read(target, server, connect, count):
    """A client that has gone before its requests are read disturbs nobody (SIGPIPE, EPIPE)."""
    client = connect()
    client.ask(target.message())
    with while_stopped(server):
        client.send_requests(target.messages(count))
        client.half_close()
        client.reset()
    connect_and_ask(target, connect)


def connect_and_ask(target, connect):
    client = connect()
    client.ask(target.message())
    client.close()


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
@row(21, "no")
def test_second_client_waits_for_the_first(target, connect):
    """An idle client costs a blocking server all its time: the second waits until it leaves."""
    first, second = connect(), connect()
    first.ask(target.message())
    message = target.message()
    second.send_requests([message])
    second.expect_nothing()
    first.close()
    second.expect_replies([message])


@row(12, "no")
@row(18, "no")
def test_clients_at_once_are_served_one_by_one(target, connect):
    """Of many clients at once a blocking server serves one, until that one leaves."""
    clients = [connect() for _ in range(ROUNDS)]
    messages = target.messages(len(clients))
    for client, message in zip(clients, messages):
        client.send_requests([message])
    for number, (client, message) in enumerate(zip(clients, messages), 1):
        client.expect_replies([message])
        if number == 1:
            clients[-1].expect_nothing()
        client.close()


@row(11, "no")
@row(18, "no")
def test_a_crowd_waits_for_the_first(target, start, connect):
    """One that serves its clients in turn needs few descriptors: all clients but one wait."""
    server = start(descriptors=FEW_DESCRIPTORS)
    first, *others = [connect(server) for _ in range(ROUNDS)]
    first.ask(target.message())
    for client, message in zip(others, target.messages(len(others))):
        client.send_requests([message])
    others[0].expect_nothing(0.2)
    for client in others:
        client.expect_nothing(0.01)
