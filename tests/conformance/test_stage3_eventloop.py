"""Many clients at once."""

import pytest
from harness import check, commands_only, gate, hints, numbers, row, since
from harness.capabilities import SILENT
from harness.limits import want_descriptors
from harness.pressure import check_calm
from harness.server import while_stopped

COUNT_ROUNDS = 5


def ask_all(target, clients):
    """All clients ask first, then all receive their replies."""
    messages = target.messages(len(clients))
    for client, message in zip(clients, messages):
        client.send_requests([message])
    for client, message in zip(clients, messages):
        client.expect_replies([message])


def crowd(target, connect, count):
    """That many clients.  Some ask at once: a short backlog must not overflow."""
    clients = []
    for number in range(count):
        clients.append(connect())
        if number % 4 == 3:
            clients[-1].ask(target.message())
    return clients


@gate
def test_a_server_that_is_stopped_goes_on(target, server, connect):
    """A server that is stopped for a moment (SIGSTOP, SIGCONT) goes on as before."""
    # Other tests stop it, so that much reaches it in one turn; as Ctrl-Z and fg do.
    client = connect()
    client.ask(target.message())
    for _ in range(3):
        client.collect(0.05)  # it sleeps by then
        with while_stopped(server):
            pass
    server.settle()
    check(
        server.alive(),
        server.ending(),
        "a server that goes on",
        "epoll_wait() and the like may return EINTR after a stop: that is no error, call it again",
    )
    check(
        not client.ended,
        "the server closed the connection of a client that said nothing",
        "a connection that stays open",
        "that there is nothing to read now (EAGAIN, EINTR) is neither an error nor the end",
        client,
    )
    client.ask(target.message())


@row(4)
def test_sleeps_while_nothing_happens(target, start, connect):
    """While nobody says anything the server sleeps, also after a client has left."""
    server = start()
    client = connect(server)
    client.ask(target.message())
    check_calm(server, "beside a client that is silent", hints.NEVER_ASLEEP)
    client.close()
    check_calm(
        server,
        "after a client had left",
        "recv() that returned nothing was the end of that client: close its socket, and take it "
        "off the list that poll() gets",
    )


@row(11)
@since(SILENT)
def test_second_client_is_served_while_the_first_is_silent(target, connect):
    """A second client is served while the first is silent."""
    silent = connect()
    second = connect()
    second.ask(target.message())
    silent.ask(target.message())
    second.ask(target.message())


@row(11)
def test_client_is_served_while_another_has_sent_half_a_frame(target, connect):
    """A client is served while another one's frame is incomplete, wherever that is cut."""
    half, other = connect(), connect()
    length = len(target.wire(target.message().request))
    for cut in range(1, length):
        message = target.message()
        wire = target.wire(message.request)
        half.send(wire[:cut])
        other.ask(target.message())
        half.send(wire[cut:])
        half.expect_replies([message])


@row(11)
def test_client_is_served_while_another_sends_a_large_frame(target, connect):
    """A client is served between the pieces of another one's large frame."""
    message = target.sized(target.max_payload)
    wire = target.wire(message.request)
    large, other = connect(), connect()
    for begin in range(0, len(wire), len(wire) // 8):
        large.send(wire[begin : begin + len(wire) // 8])
        other.ask(target.message())
    large.expect_replies([message])


@row(11)
def test_frames_of_many_clients_interleaved(target, connect):
    """The pieces of many clients' frames never get mixed up."""
    clients = crowd(target, connect, 20)
    messages = [target.sized(30 + number) for number in range(len(clients))]
    wires = [target.wire(message.request) for message in messages]
    for begin in range(0, max(map(len, wires)), 3):
        for client, wire in zip(clients, wires):
            client.send(wire[begin : begin + 3])
    for client, message in zip(clients, messages):
        client.expect_replies([message])


@row(11)
def test_clients_come_and_go_around_a_silent_one(target, connect):
    """A silent client neither stops others nor loses its connection."""
    silent = connect()
    silent.ask(target.message())
    for number in range(50):
        client = connect()
        client.ask(target.message())
        client.reset() if number % 3 == 0 else client.close()
    silent.ask(target.message())


@row(12)
def test_two_hundred_clients(target, connect):
    """200 clients at once are each served, in whatever order they ask."""
    clients = crowd(target, connect, 200)
    ask_all(target, clients)
    ask_all(target, clients[::-1])
    for client in clients:
        client.ask(target.message())


@row(12)
def test_thousand_clients(target, connect):
    """1,000 clients at once are each served."""
    want_descriptors(1100)
    clients = crowd(target, connect, 1000)
    ask_all(target, clients)
    for client in clients[::2]:
        client.close()
    ask_all(target, clients[1::2])


@row(12)
def test_batches_of_many_clients(target, connect):
    """Each of many clients gets the replies to its own batch, in order."""
    clients = crowd(target, connect, 50)
    batches = [target.messages(20) for _ in clients]
    for client, batch in zip(clients, batches):
        client.send_requests(batch)
    for client, batch in zip(clients[::-1], batches[::-1]):
        client.expect_replies(batch)


@row(12)
@commands_only
def test_counts_of_many_clients_add_up(target, server, connect):
    """What several clients count at the same time adds up."""
    key, clients, count = b"key-%d" % next(numbers), [connect() for _ in range(8)], 1000
    for client in clients:
        client.ask(target.message())
    for _ in range(COUNT_ROUNDS):
        with while_stopped(server):  # or it may be done with one before the next comes
            for client in clients:
                client.send(target.wire(b"INCR " + key) * count)
        for client in clients:
            for _ in range(count):
                client.receive()
    last, due = connect(), COUNT_ROUNDS * len(clients) * count + 1
    last.send(target.wire(b"INCR " + key))
    number = last.receive_number(hints.LOCK)
    check(
        number == due,
        f"the reply to INCR number {due} is {number}",
        f"{due}: none is lost, though {len(clients)} clients sent them at once",
        hints.LOCK,
        last,
    )


@row(4)
@pytest.mark.parametrize("way", ["close", "reset", "both"])
def test_many_clients_leave_at_once(target, server, connect, way):
    """When many clients leave in one turn of the loop, the others get their replies."""
    for _ in range(3):
        clients = crowd(target, connect, 60)
        ask_all(target, clients)
        stay, leave = clients[::2], clients[1::2]
        messages = target.messages(len(stay))
        with while_stopped(server):
            for number, client in enumerate(leave):
                client.reset() if way == "reset" or way == "both" and number % 2 else client.close()
            for client, message in zip(stay, messages):
                client.send_requests([message])
        for client, message in zip(stay, messages):
            client.expect_replies([message])
        ask_all(target, stay)


@row(4)
def test_clients_leave_and_arrive_at_once(target, server, connect):
    """A newcomer never gets what was meant for a client that has just left."""
    for _ in range(5):
        old = crowd(target, connect, 20)
        ask_all(target, old)
        with while_stopped(server):
            for client in old[::2]:
                client.send_requests(target.messages(3))
                client.close()
            new = [connect() for _ in range(4)]  # no more than a short backlog holds
            messages = target.messages(len(new))
            for client, message in zip(new, messages):
                client.send_requests([message])
        for client, message in zip(new, messages):
            client.expect_replies([message])
        ask_all(target, old[1::2] + new)


@row(9)
def test_ends_of_every_kind_at_once(target, server, connect):
    """Clients that end in every way in one turn of the loop do not disturb those that ask."""
    clients = crowd(target, connect, 40)
    ask_all(target, clients)
    wire = target.wire(target.message().request)
    asking = clients[::4]
    messages = target.messages(len(asking))
    with while_stopped(server):
        for number, client in enumerate(clients[1::4]):
            client.send(wire[: 1 + number])
            client.half_close()
        for client in clients[2::4]:
            client.send(wire)
            client.reset()
        for client in clients[3::4]:
            client.send(target.announce(2**32 - 1))
        for client, message in zip(asking, messages):
            client.send_requests([message])
    for client, message in zip(asking, messages):
        client.expect_replies([message])
    for client in clients[1::4]:
        client.expect_closed()
    for client in clients[3::4]:
        client.collect_all("the server to close the connection")
    ask_all(target, asking)


@row(10)
def test_half_close_while_others_ask(target, connect):
    """A half-closing client gets all its replies also while others are served."""
    clients = crowd(target, connect, 20)
    batches = [target.messages(50) for _ in clients]
    for number, (client, batch) in enumerate(zip(clients, batches)):
        client.send_requests(batch)
        if number % 2:
            client.half_close()
    for number, (client, batch) in enumerate(zip(clients, batches)):
        client.expect_replies(batch)
        if number % 2:
            client.expect_eof()
    ask_all(target, clients[::2])
