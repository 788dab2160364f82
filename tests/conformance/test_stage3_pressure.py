"""Clients that flood, that never read, that vanish: what they cost the server and the others."""

import select
import threading

import pytest
from harness import Client, check, commands_only, numbers, row
from harness.limits import want_one_worker
from harness.pressure import (
    BUSY,
    SMALL,
    busy_share,
    check_calm,
    check_nothing_is_left,
    check_open_sockets,
    fill,
    growth,
    mib,
    sockets_at_rest,
    visit,
)
from harness.server import while_stopped

MIB = 1024 * 1024
LESS, MORE = 8 * MIB, 32 * MIB  # two amounts of bytes sent and not read
FLOOD_LIMIT = 16 * MIB  # bytes of replies to one client while another waits for one
FLOOD, FLOOD_VISIT = 8 * MIB, 1.25 * MIB  # bytes of requests: sent, and answered in one go
FLOOD_BUFFER = 256 * 1024  # SO_RCVBUF: replies on their way are not the server's choice
QUESTIONS = 5
ROUND = 3000  # connections
LEFT_INSIDE = 2000  # bytes of a request
DESCRIPTORS = 40


def sized(target, size):
    """A message of that size, or of the largest that the server takes."""
    return target.sized(min(size, target.max_payload))


def flood_of(target, amount, size=1000):
    """About that many bytes of requests of `size` bytes each."""
    messages = [sized(target, size) for _ in range(max(1, 200_000 // size))]
    requests = b"".join(target.wire(message.request) for message in messages)
    return requests * (amount // len(requests))


# One client that does not read


@row(16)
@pytest.mark.parametrize("size", [1000, MIB])  # the kernel takes a part of a large reply
def test_others_are_served_beside_one_that_never_reads(target, connect, size):
    """While one client sends for ever and never reads, the others are served."""
    deaf = connect(**SMALL)
    fill(deaf, flood_of(target, LESS, size))
    for _ in range(3):
        connect().ask(target.message())


@row(16)
def test_memory_beside_one_that_never_reads(target, start, connect):
    """A client that sends for ever and never reads does not fill the server's memory."""
    server = start()
    deaf = connect(server)
    small = growth(server, lambda: fill(deaf, flood_of(target, LESS)))
    large = growth(server, lambda: fill(deaf, flood_of(target, MORE - LESS)))
    check(
        large < (MORE - LESS) / 2,
        f"memory grew by {mib(small)} when {mib(LESS)} were sent and no reply read, "
        f"and by {mib(large)} more for another {mib(MORE - LESS)}",
        "a bound: the server stops reading from a client that does not read",
        "while replies wait to be sent, read no more requests: do not ask poll() for them; pause() "
        "where a library reads; bound a queue between threads",
        deaf,
    )
    connect(server).ask(target.message())


@row(16)
@commands_only
@pytest.mark.parametrize("size", [1000, 250_000])
def test_memory_for_unread_replies(target, start, connect, size):
    """Unread replies are bounded by their bytes: short requests can't fill the memory."""
    server = start()
    size = min(size, target.max_payload - len("SET long "))
    with connect(server) as client:
        client.command(b"SET long " + b"v" * size, b"+OK")
    wire = target.wire(b"GET long")
    first, second = connect(server, **SMALL), connect(server, **SMALL)
    small = growth(server, lambda: fill(first, wire * (LESS // size)))
    large = growth(server, lambda: fill(second, wire * (MORE // size)))
    check(
        large < MORE / 2,
        f"memory grew by {mib(small)} for a client with {mib(LESS)} of replies due and unread, "
        f"and by {mib(large)} for one with {mib(MORE)}",
        "a bound: requests wait while their client's earlier replies do",
        "stop answering once the output buffer is full; go on when it has been sent",
        second,
    )


# One client that floods


class Flood:
    """A client in two threads: one sends requests for ever, the other reads and counts."""

    def __init__(self, client, requests):
        self.sock = client.sock
        self.requests = requests
        self.received = 0  # bytes of replies
        self.running = True
        self.threads = [threading.Thread(target=t, daemon=True) for t in (self.send, self.read)]
        for thread in self.threads:
            thread.start()

    def send(self):
        rest = memoryview(self.requests)
        while self.running:
            if self.ready(select.POLLOUT):
                rest = rest[self.transfer(lambda: self.sock.send(rest)) :]  # noqa: B023
                rest = rest or memoryview(self.requests)

    def read(self):
        while self.running:
            if self.ready(select.POLLIN):
                self.received += self.transfer(lambda: len(self.sock.recv(MIB)))

    def ready(self, event):
        poller = select.poll()
        poller.register(self.sock, event)
        return poller.poll(100)

    def transfer(self, call):
        try:
            return call()
        except BlockingIOError:
            return 0
        except OSError:
            self.running = False  # the main thread sees that nothing comes any more
            return 0

    def stop(self):
        self.running = False
        for thread in self.threads:
            thread.join()


@row(19)
@pytest.mark.parametrize("size", [4, 2000])
def test_fair(target, start, connect, size):
    """While one client floods the server and reads, another one's request is answered soon."""
    server = start()
    busy, other = connect(server, receive_buffer=FLOOD_BUFFER), connect(server)
    other.ask(target.message())
    flood = Flood(busy, target.wire(sized(target, size).request) * (4 * MIB // (size + 4)))
    try:
        for _ in range(QUESTIONS):
            ask_beside(flood, other, target.message())
    finally:
        flood.stop()


def ask_beside(flood, other, message):
    """Ask, and fail if the flood gets too many replies before this one comes."""
    other.send_requests([message])
    before = flood.received
    other.poller.modify(other.sock, select.POLLIN)
    while not other.poller.poll(20):
        received = flood.received - before
        # We may have been kept waiting ourselves: what counts is whether it is there now.
        check(
            received < FLOOD_LIMIT or other.poller.poll(0),
            f"one client got {mib(received)} of replies while another waited for one",
            "some work for each client that is ready, then the next one's turn",
            "a handler must not read or answer until there is nothing left: limit it to one recv()",
            other,
        )
    other.expect_replies([message])


@row(19)
@commands_only
def test_a_request_waits_for_a_part_of_a_flood(target, start, connect):
    """A request is answered before all that another client has sent, however much that is."""
    server = start()
    connect(server).ask(target.message())
    want_one_worker(server, "may work on both at once")
    for first in (True, False, True, False):  # whoever comes first in the loop
        pair = [connect(server), connect(server)]
        for client in pair:
            client.ask(target.message())
        busy, other = pair if first else pair[::-1]
        request = target.wire(b"INCR key-%d" % next(numbers))
        with while_stopped(server):
            sent = fill(busy, request * (FLOOD // len(request)))
            other.send(request)
        before = other.receive_number() * len(request)
        check(
            before < FLOOD_VISIT,
            f"another client's request was answered after {mib(before)} of {mib(sent)} of requests",
            "a visit of one client takes a read or two, then the others have their turn",
            "one recv(), answer, back to poll(), which tells of the rest: do not read until EAGAIN",
            other,
        )
        busy.reset()


# Clients that leave, and the processor


def stay_silent(target, client):
    client.ask(target.message())


def close(target, client):
    client.ask(target.message())
    client.close()


def half_close(target, client):
    client.ask(target.message())
    client.half_close()


def reset(target, client):
    client.ask(target.message())
    client.reset()


def close_inside_frame(target, client):
    client.send(target.wire(target.message().request)[:6])
    client.close()


def half_close_inside_frame(target, client):
    client.send(target.wire(target.message().request)[:6])
    client.half_close()


def reset_inside_frame(target, client):
    client.send(target.wire(target.message().request)[:6])
    client.reset()


def announce_too_much(target, client):
    client.send(target.announce(target.max_payload + 1))


def leave_replies_unread(target, client):
    client.send_requests(target.messages(100), reading=False)
    client.close()


def stay_with_replies_unread(target, client):
    fill(client, flood_of(target, 2 * MIB))


WAYS = [
    stay_silent,
    close,
    half_close,
    reset,
    close_inside_frame,
    half_close_inside_frame,
    reset_inside_frame,
    announce_too_much,
    leave_replies_unread,
    stay_with_replies_unread,
]


@row(4)
def test_no_spin(target, start, connect):
    """A client that is silent or has gone takes no processor time."""
    server = start()
    for way in WAYS:
        way(target, connect(server, **SMALL))
        check_calm(server, f"after a client did this: {way.__name__.replace('_', ' ')}")
        with connect(server) as other:
            other.ask(target.message())


@row(4)
@row(23)
def test_descriptors_are_closed(target, start, connect):
    """Each client's descriptor is closed once the client has gone, however it went."""
    server = start()
    before = sockets_at_rest(server)
    for way in WAYS:
        clients = [connect(server) for _ in range(10)]
        for client in clients:
            way(target, client)
        for client in clients:
            client.close()
        when = f"after 10 clients did this: {way.__name__.replace('_', ' ')}"
        check_open_sockets(server, before, when)


@row(4)
@row(23)
def test_thousands_come_and_go(target, start):
    """Thousands of clients that leave inside a request leave neither files nor memory behind."""
    # A buffer of theirs holds so much that it counts if it is left behind.
    server, begin = start(), target.wire(target.sized(LEFT_INSIDE).request)[:-1]

    def come_and_go():
        for number in range(ROUND):
            client = Client(server)
            client.send(begin)
            client.close() if number % 5 == 0 else client.reset()
            if number % 5 == 4:
                # An answer shows that all who came before were let in: callers that find
                # the queue full, and listen(5) is common, would have to wait for a second.
                visit(server)

    check_nothing_is_left(server, ROUND, come_and_go)


@row(8)
@row(23)
def test_thousands_are_refused(target, start):
    """Thousands of clients with a length over the limit leave neither files nor memory behind."""
    server, begin = start(), target.announce(2**32 - 1)

    def come_and_go():
        for _ in range(ROUND):
            client = Client(server)
            client.send(begin)
            client.collect_all("the server to close the connection")
            client.reset()  # or the kernel remembers this one for a minute

    check_nothing_is_left(server, ROUND, come_and_go)


@row(16)
def test_slow_readers_side_by_side(target, connect):
    """Several clients that read slowly all get their own replies, whole and in order."""
    clients = [connect(**SMALL) for _ in range(4)]
    # Many small replies, and one that the kernel does not take at once.
    sizes = [*700 * [700], target.max_payload]
    batches = [[sized(target, size) for size in sizes] for _ in clients]
    left = []
    for client, messages in zip(clients, batches):
        data = b"".join(target.wire(m.request) for m in messages)
        left.append(data[fill(client, data) :])
    for client, messages, data in zip(clients, batches, left):
        client.send(data)
        client.expect_replies(messages)


# What an event loop alone does not bring yet


@row(11)
@row(18, "no")
def test_spins_without_descriptors(target, start, connect):
    """When accept() finds no descriptor, the listener stays readable: the loop turns in vain."""
    server = start(descriptors=DESCRIPTORS)
    clients = [connect(server) for _ in range(DESCRIPTORS + 10)]
    clients[0].ask(target.message())
    # On a busy machine its share of the processor may be small for a while.
    shares = (busy_share(server) for _ in range(20))
    check(any(share > BUSY for share in shares), "the server was quiet", "a busy loop")
    clients[0].ask(target.message())
