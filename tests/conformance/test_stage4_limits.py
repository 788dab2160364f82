"""Limits on time, descriptors and memory, with many clients or large replies."""

import select
import socket
import time

import pytest
from harness import Client, Failure, check, commands_only, ours_only, proc, row
from harness.client import patience
from harness.limits import want_descriptors, want_one_worker
from harness.pressure import (
    SMALL,
    check_calm,
    check_nothing_is_left,
    fill,
    growth,
    mib,
    settled,
    sockets_at_rest,
    visit,
    wait_until_still,
)
from harness.server import while_stopped

KIB, MIB = 1024, 1024 * 1024
IDLERS = 600  # clients that say nothing more
SHORT_IDLE = 0.5  # seconds of --idle-timeout where it must fire
LONG_IDLES = (0.8, 4.0)  # where it must not; the second if we were late ourselves
STEP, SHORT_STEP = 0.12, 0.01  # seconds between two signs of life
# Bytes read in each step, and the time-outs for it: poll() tells a server of room only
# when a third of the kernel's buffer is free, and to free that must not take as long.
SLOW_READ = 200_000
SLOW_READ_IDLES = (4.0, 8.0, 16.0)
KERNEL = 4 * MIB  # bytes of replies that it holds for a client, at most
STEPS_FOR_ROOM = KERNEL // 3 // SLOW_READ + 1
LONG_VALUE = 500_000  # bytes
UNREAD = 60 * LONG_VALUE  # more than any kernel holds

DESCRIPTORS = 128
INSIDE, CROWD = 10, 150  # clients before and after the descriptors run out
LOG_LIMIT = MIB  # bytes of log in the time of a test

MANY, BURST = 1500, 120  # clients: those who are inside, and those who come together
BURSTS, LOOKS = 3, 4
STEEP = 5.5  # times as dear; one accept() in a turn of poll() makes it 10 times

ANEW = (
    "each byte that is received or sent starts the time anew, and stops a timer set before; what "
    "send() did not take is sent when poll() reports POLLOUT"
)
NO_ERROR = "that recv() or send() finds nothing to do (EAGAIN) is no error"

DEAF = 4  # clients that never read
# One frame, one read, the high-water mark and one reply; a buffer is up to twice its data.
OWN_LIMIT = 2 * (MIB + 64 * KIB + MIB + MIB)


# Row 17: time


def expect_closed_for_idling(client, since, seconds, hint=None):
    """The server closes, and not before the time is up."""
    client.expect_closed(hint)
    waited = time.monotonic() - since
    check(
        waited > 0.9 * seconds,
        f"closed after {waited:.2f} s",
        f"{seconds} s without a byte before that",
        "count from the last byte received or sent",
        client,
    )


class Pace:
    """Steps of equal length, and the longest one that this machine made of them."""

    def __init__(self, seconds, step):
        self.began = self.last = time.monotonic()
        self.seconds, self.step = seconds, step
        self.longest = 0.0

    def goes_on(self):
        """Wait a step; False once the time is over."""
        time.sleep(self.step)
        now = time.monotonic()
        self.longest = max(self.longest, now - self.last)
        self.last = now
        return now - self.began < self.seconds


def must_not_fire(start, ask, idles=LONG_IDLES, step=STEP, steps=1):
    """Run ask(server, pace), in which so many steps are a sign of life.

    On a machine so busy that a step took long, closing may have been right: then
    it is done again with a longer time-out.
    """
    for idle in idles:
        server = start(idle_timeout=idle)
        pace = Pace(2 * idle, step)
        try:
            ask(server, pace)
            return
        except Failure as failure:
            seconds = time.monotonic() - pace.began
            if failure.client and failure.client.ended and not failure.hint:
                early = f"after {seconds:.1f} s of {idle:g} it did not end for idling: {NO_ERROR}"
                failure.hint = early if seconds < idle else ANEW
            if steps * pace.longest < idle / 2 or idle == idles[-1]:
                raise


@row(17)
def test_idle_client_is_closed(target, start, connect):
    """A client that says nothing for the time of --idle-timeout is closed, and not before."""
    server = start(idle_timeout=SHORT_IDLE)
    since = time.monotonic()
    mute, client = connect(server), connect(server)
    client.ask(target.message())
    hint = (
        f"--idle-timeout {SHORT_IDLE} was given: close after so many seconds (a number with a "
        "fraction), for which poll() must not wait longer than that"
    )
    expect_closed_for_idling(mute, since, SHORT_IDLE, hint)
    expect_closed_for_idling(client, since, SHORT_IDLE, hint)


@row(17)
def test_several_idle_clients_are_closed_at_once(target, start, connect):
    """Many clients that become idle in the same moment are all closed, and the server goes on."""
    server = start(idle_timeout=SHORT_IDLE)
    clients = [connect(server) for _ in range(20)]
    for client in clients:
        client.expect_closed()
    connect(server).ask(target.message())


@row(17)
def test_client_idle_inside_frame_is_closed(target, start, connect):
    """A client that falls silent inside a frame is closed like any other."""
    server = start(idle_timeout=SHORT_IDLE)
    since, wire = time.monotonic(), target.wire(target.message().request)
    clients = [connect(server) for _ in range(3)]
    for client, cut in zip(clients, (1, 4, len(wire) - 1)):
        client.send(wire[:cut])
    for client in clients:
        hint = "half a frame does not keep its client: what counts is when the last byte came"
        expect_closed_for_idling(client, since, SHORT_IDLE, hint)


@row(17)
def test_idle_client_beside_busy_ones_is_closed(target, start, connect):
    """A client that falls silent is closed also while others keep the server busy."""

    def ask(server, pace):
        older, silent, younger = [connect(server) for _ in range(3)]
        while pace.goes_on():
            older.ask(target.message())
            younger.ask(target.message())
        silent.collect(0)
        check(
            silent.ended,
            f"a client that was silent for {pace.seconds:g} s is still connected, while others ask",
            f"its end after {pace.seconds / 2:g} s",
            "look for idle clients, all of them, also when poll() has reported something",
            silent,
        )

    must_not_fire(start, ask, step=SHORT_STEP)


@row(17)
@commands_only
@pytest.mark.parametrize("half_close", [False, True], ids=["open", "half-closed"])
def test_client_that_reads_nothing_is_closed(target, start, connect, half_close):
    """A client that reads nothing of its replies for that long is closed."""
    server = start(idle_timeout=SHORT_IDLE)
    sockets = proc.USABLE and sockets_at_rest(server)
    client = connect(server, **SMALL)
    size = min(LONG_VALUE, target.max_payload - len("SET long "))
    count = UNREAD // size
    client.command(b"SET long " + b"v" * size, b"+OK")
    client.send(target.wire(b"GET long") * count, reading=False)
    if half_close:
        client.half_close()
    time.sleep(4 * SHORT_IDLE)
    if proc.USABLE:
        check(
            server.open_sockets() == sockets,
            "the server still holds the connection, and nobody reads",
            f"a closed one after {SHORT_IDLE} s in which no byte was sent",
            "close it at once: what waits in its output will never leave; a send() that blocks "
            "needs a time-out of its own (SO_SNDTIMEO)",
            client,
        )
    # What the kernel holds still comes; after that there must be an end.
    held = -1
    while not client.ended and len(client.inbox) > held:
        held = len(client.inbox)
        client.collect(0.3)
    check(
        len(client.inbox) < count * size,
        "every reply came",
        f"an end after {SHORT_IDLE} s in which no reply was read",
        "bytes that wait to be sent are no activity; bytes that are sent are",
        client,
    )
    check(client.ended, "the connection is still open", "its end", client=client)


@row(17)
def test_active_client_is_not_closed(target, start, connect):
    """A client that asks now and then is not idle, however long it stays."""

    def ask(server, pace):
        client = connect(server)
        client.ask(target.message())
        while pace.goes_on():
            client.ask(target.message())

    must_not_fire(start, ask)


@row(17)
def test_slow_request_is_not_idle(target, start, connect):
    """A request that arrives byte by byte is not idle, however long it takes."""

    def ask(server, pace):
        client, message = connect(server), target.sized(200)
        wire = target.wire(message.request)
        at = 1
        client.send(wire[:1])
        while pace.goes_on():
            client.send(wire[at : at + 1])
            at += 1
        client.send(wire[at:])
        client.expect_replies([message])

    must_not_fire(start, ask)


@row(17)
@commands_only
def test_slow_reader_is_not_idle(target, start, connect):
    """A long reply that is read slowly is not idle, however long it takes."""

    def ask(server, pace):
        client = connect(server, **SMALL)
        value = b"v" * min(UNREAD, target.max_payload - len(b"SET long "))
        count = int(KERNEL + pace.seconds / STEP * SLOW_READ) // len(value) + 1
        client.command(b"SET long " + value, b"+OK")
        client.send(target.wire(b"GET long") * count, reading=False)
        while pace.goes_on():
            read_some(client, SLOW_READ)
        for _ in range(count):
            client.expect(b"$" + value, "a reply that is read slowly")

    must_not_fire(start, ask, SLOW_READ_IDLES, steps=STEPS_FOR_ROOM)


def read_some(client, count):
    """Take that many bytes of a reply into the inbox."""
    while count > 0:
        if not select.select([client.sock], [], [], patience())[0]:
            client.fail(f"nothing came for {patience():g} s", "the rest of the reply")
        try:
            data = client.sock.recv(count)
        except BlockingIOError:
            continue  # none have come yet
        except OSError as error:
            client.ended = "reset"
            client.fail(f"the connection ended: {error.strerror}", "the rest of the reply")
        if not data:
            client.ended = "EOF"
            client.fail("the connection ended", "the rest of the reply")
        client.inbox += data
        count -= len(data)


@row(17)
def test_idle_timeout_of_zero(target, start, connect):
    """--idle-timeout 0 turns the time-out off."""
    client = connect(start(idle_timeout=0))
    client.ask(target.message())
    client.collect(3 * SHORT_IDLE)
    check(
        not client.ended,
        "the server closed the connection of a client that said nothing",
        "a connection that stays open",
        "0 means no time-out",
        client,
    )
    client.ask(target.message())


@row(17)
def test_clients_that_left_are_not_timed_out(target, start, connect):
    """A client that has left in time is forgotten: no time-out looks for it."""
    server = start(idle_timeout=SHORT_IDLE)
    leaving, silent = [connect(server) for _ in range(3)], connect(server)
    for client in [*leaving, silent]:
        client.ask(target.message())
    for client in leaving:
        client.close()
    silent.expect_closed()
    connect(server).ask(target.message())
    if target.own:
        lines = server.stderr().splitlines()
        check(len(lines) == 1, f"on stderr: {lines}", "one line, for the silent client")


@row(17)
@row(23)
def test_hundreds_become_idle(target, start):
    """Clients that are closed for being idle inside a request leave neither files nor memory."""
    server = start(idle_timeout=SHORT_IDLE)
    begin = target.wire(target.sized(1000).request)[:-1]

    def come_and_wait():
        clients = [Client(server) for _ in range(IDLERS)]
        for client in clients:
            client.send(begin)
        for client in clients:
            client.expect_closed()
            client.reset()  # or the kernel remembers this one for a minute

    check_nothing_is_left(server, IDLERS, come_and_wait)


@row(17)
@ours_only
def test_idle_client_is_logged(target, start, connect):
    """Closing an idle client is one line in the log, with its address."""
    server = start(idle_timeout=SHORT_IDLE)
    client = connect(server)
    client.expect_closed()
    lines = [line for line in server.stderr().splitlines() if client.name in line]
    check(len(lines) == 1, f"{len(lines)} lines: {lines}", "one line", client=client)


# Row 18: descriptors


class Crowd:
    """Clients that connect and wait; a full backlog does not hold us up."""

    def __init__(self, server, count):
        self.socks = [socket.socket() for _ in range(count)]
        for sock in self.socks:
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", server.port))

    def leave(self):
        for sock in self.socks:
            sock.close()


def crowded(target, start, connect):
    """A server that has run out of descriptors, the clients inside, and the crowd."""
    server = start(descriptors=DESCRIPTORS)
    inside = [connect(server) for _ in range(INSIDE)]
    for client in inside:
        client.ask(target.message())
    crowd = Crowd(server, CROWD)
    if proc.USABLE:
        settled(server.open_sockets)  # as many are inside as there are descriptors
    return server, inside, crowd


@row(18)
def test_no_spin_without_descriptors(target, start, connect):
    """A server that has run out of descriptors waits quietly."""
    server, _, crowd = crowded(target, start, connect)
    check_calm(
        server,
        f"with {INSIDE + CROWD} clients for {DESCRIPTORS} descriptors",
        "the listener stays readable when accept() fails: stop asking for it for a while",
    )
    logged = len(server.stderr())
    check(
        logged < LOG_LIMIT,
        f"{mib(logged)} of log",
        "a line or two: the state has not changed",
        "log the first accept() that fails, not each of them",
    )
    crowd.leave()


@row(18)
def test_clients_inside_are_served_without_descriptors(target, start, connect):
    """When descriptors have run out, the clients that are inside are served as before."""
    server, inside, crowd = crowded(target, start, connect)
    for client in inside * 2:
        client.ask(target.message())
    crowd.leave()


@row(18)
def test_recovers_from_lack_of_descriptors(target, start, connect):
    """When clients leave, newcomers are served again within seconds."""
    server, inside, crowd = crowded(target, start, connect)
    inside[0].ask(target.message())
    crowd.leave()
    for client in inside:
        client.close()
    expect_service(target, server, connect)


def expect_service(target, server, connect, seconds=10):
    """A new client is served within that time; the first tries may be turned away."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            connect(server).ask(target.message())
            return
        except Failure as failure:
            failure.hint = (
                "ask poll() for the listener, or call accept(), again when a client leaves or a "
                "second on"
            )
            if time.monotonic() > deadline or not server.alive():
                raise
            time.sleep(0.1)


@row(18)
@ours_only
def test_newcomers_wait_for_descriptors(target, start, connect):
    """Newcomers that find no descriptor wait until others leave; one line is logged."""
    server = start(descriptors=DESCRIPTORS)
    clients = [connect(server) for _ in range(INSIDE + CROWD)]
    messages = target.messages(len(clients))
    for client, message in zip(clients, messages):
        client.send_requests([message])
    clients[0].expect_replies([messages[0]])
    clients[-1].expect_nothing(1.5)  # it tries again each second
    lines = server.stderr().splitlines()
    check(len(lines) == 1, f"{len(lines)} lines of log", "one line for the whole episode")
    clients[0].close()
    for client, message in zip(clients[1:], messages[1:]):
        client.expect_replies([message])
        client.close()


# Row 24: newcomers


@row(24, "counted")
def test_newcomers_cost_the_same_beside_many_clients(target, start, connect):
    """Clients that come together cost the server as much beside many others as beside none."""
    want_descriptors(MANY + 100)
    server = start()
    with connect(server) as client:
        client.ask(target.message())
        want_one_worker(server, "is not measured by the processor time of one")
    sockets = sockets_at_rest(server)
    few = cost_of_burst(server, sockets)
    others = [connect(server) for _ in range(MANY)]
    for client in others:
        client.ask(target.message())
    # On a busy machine all looks may be bad ones: then there are more of them.
    for _ in range(LOOKS):
        many = cost_of_burst(server, sockets + MANY)
        if many < STEEP * few:
            break
    check(
        many < STEEP * few,
        f"{BURST} clients that came together took {many / 1e6:.1f} ms of processor time beside "
        f"{MANY} others, {few / 1e6:.1f} ms beside none",
        "about as much",
        "call accept() again, until there is nobody or some 64 times, before you return to poll(); "
        "and look at those clients alone that poll() has named",
    )


def cost_of_burst(server, sockets):
    """Nanoseconds of processor time to let in BURST clients at best, beside that many sockets."""
    costs = []
    for _ in range(BURSTS):
        before = proc.cpu_nanoseconds(server.session)
        with while_stopped(server):
            newcomers = Crowd(server, BURST)
        wait_for_sockets(server, sockets + BURST)
        # Read at once: a server with many clients may work for each of them at its next tick.
        costs.append(proc.cpu_nanoseconds(server.session) - before)
        newcomers.leave()
        wait_for_sockets(server, sockets)
        settled(server.cpu_seconds)
    return min(costs)


def wait_for_sockets(server, count):
    """Wait until the server has that many open sockets."""
    deadline = time.monotonic() + 10
    while server.open_sockets() != count:
        if time.monotonic() > deadline:
            raise Failure(f"{server.open_sockets()} open sockets", f"{count} for its clients")
        time.sleep(0.002)


# Rows 16 and 21: memory


@row(16)
@ours_only
@commands_only
def test_stated_limit_of_an_unread_connection(target, start, connect):
    """A client that never reads costs a frame, a read, 1 MiB and a reply, whatever it sends."""
    server = start()
    with connect(server) as client:
        client.command(b"SET long " + b"v" * (MIB - 100), b"+OK")
    deaf = [connect(server, **SMALL) for _ in range(DEAF)]

    def pester():
        for client in deaf:
            client.send(target.wire(b"GET long") * 100, reading=False)
            fill(client, target.wire(target.sized(MIB).request) * 8)

    grown = growth(server, pester) / DEAF
    check(grown < OWN_LIMIT, f"{mib(grown)} for each of them", f"at most {mib(OWN_LIMIT)}")
    connect(server).ask(target.message())


# The log


@row(8)
@ours_only
@commands_only
def test_a_second_fault_adds_no_line(target, server, connect):
    """A client that is refused, and resets while its replies wait, is one line in the log."""
    client = connect(**SMALL)
    client.command(b"SET long " + b"v" * LONG_VALUE, b"+OK")
    client.send(target.wire(b"GET long") + target.announce(2**32 - 1))
    wait_until_still(client)  # the refusal waits behind the reply, of which a part was sent
    client.reset()
    visit(server)
    lines = [line for line in server.news().splitlines() if line.startswith(f"{client.name}: ")]
    right = len(lines) == 1 and "exceeds" in lines[0]
    check(right, f"on stderr: {lines}", "one line, for the refusal", client=client)
