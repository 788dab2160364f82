"""Bring a server into trouble, and see what that costs it."""

import select
import time

from harness import proc
from harness.client import Client
from harness.failure import check

# A client like this makes the kernel hold some 200 KiB of replies instead of 6 MiB.
SMALL = {"segment": 536, "receive_buffer": 8192}
QUIET = 0.25  # seconds without a byte moving, after which a server counts as blocked
WINDOW = 0.3  # seconds over which CPU time is measured
WINDOWS = 4
BUSY = 0.15  # of a processor; a server that has nothing to do uses none
SETTLE_SECONDS = 5
CUT = "that send() takes nothing now (EAGAIN) is no error: keep the rest until there is room"
ROUNDS = 24
KEPT_PER_CONNECTION = 1024  # bytes; a leak of a connection's state is more


def fill(client, data):
    """Send from `data` until the server takes no more; returns how many bytes went."""
    sent = 0
    while sent < len(data):
        client.poller.modify(client.sock, select.POLLOUT)
        if not client.poller.poll(QUIET * 1000):
            break
        try:
            sent += client.sock.send(memoryview(data)[sent : sent + 65536])
        except BlockingIOError:
            continue
        except OSError as error:
            client.fail(
                f"sending failed: {error.strerror}", "a client that is made to wait, not cut", CUT
            )
    client.note(f"-> {sent} bytes, no reply read")
    return sent


def in_kernel(client):
    """Bytes of replies that have left the server and are still unread."""
    here, there = client.sock.getsockname(), ("127.0.0.1", client.server.port)
    return proc.queues(here, there)[0] + proc.queues(there, here)[1]


def caught_up(client, owed):
    """Do `owed` bytes of replies come into the kernel?  False: the server is blocked."""
    began = time.monotonic()
    while True:
        waited = time.monotonic() - began
        # On a busy machine one that is not asleep only waits for the processor, and a request
        # may still be on its way.  Looked at first: what it has sent by then is all it sends.
        idle = waited > QUIET and client.server.in_state("S") and not client.on_its_way()
        if in_kernel(client) >= owed:
            return True
        if idle or waited > SETTLE_SECONDS:
            return False


def wait_until_still(client):
    """Wait until no more bytes of replies come, although none are read."""
    if not proc.USABLE:
        time.sleep(QUIET)
        return
    held, since = in_kernel(client), time.monotonic()
    deadline = since + SETTLE_SECONDS
    while time.monotonic() - since < QUIET and time.monotonic() < deadline:
        time.sleep(0.02)
        now = in_kernel(client)
        if now != held:
            held, since = now, time.monotonic()


def busy_share(server):
    """The CPU time that the server uses, as a share of one processor."""
    cpu, began = server.cpu_seconds(), time.monotonic()
    time.sleep(WINDOW)
    return (server.cpu_seconds() - cpu) / (time.monotonic() - began)


def check_calm(server, when, hint=None):
    """Fail if the server keeps the processor busy with nothing to do.

    A spin never ends, so the calmest of several looks is the one that counts.
    """
    shares = []
    while len(shares) < WINDOWS:
        shares.append(busy_share(server))
        if shares[-1] < BUSY:
            return
    check(
        False,
        f"{when}, the server used {min(shares):.0%} of a processor",
        "next to none: nothing is left to do",
        hint
        or "something stays ready in poll() and nobody handles it (a closed socket that is still "
        "in the list does, POLLNVAL), or its time-out is 0",
    )


def visit(server):
    """A client comes, asks and goes, which makes a sleeping event loop look round."""
    with Client(server) as client:
        client.ask(server.target.message())


def sockets_at_rest(server):
    """Open sockets of a server that has seen a client, but has none now."""
    with Client(server) as client:
        client.ask(server.target.message())
        at_rest = server.open_sockets() - 1
    check_open_sockets(server, at_rest, "after a client has left")
    return at_rest


def check_open_sockets(server, before, when):
    """Fail unless the server's open sockets go back to `before` now that all clients have left."""
    deadline = time.monotonic() + SETTLE_SECONDS
    count = server.open_sockets()
    while count > before and time.monotonic() < deadline:
        visit(server)
        time.sleep(0.05)
        # A reset is not sent again.  A kernel that is overwhelmed may have dropped it:
        # then it takes the connection for alive, and the server can't know better.
        count = server.open_sockets() - proc.established(server.port)
    check(
        count <= before,
        f"{count} open sockets {when}, {before} without a client",
        f"{before} again",
        "close() the socket of every client that has left, however it left",
    )


def growth(server, act):
    """By how many bytes the server's memory grows while `act()` runs and just after."""
    before = server.memory()
    act()
    return settled(server.memory) - before


def growth_by_round(server, act, enough):
    """By how many bytes the server's memory grows in each round of `act()`.

    Ends with a round, not the first, in which it grows by less than `enough`.  What leaks
    grows in all ROUNDS of them; a runtime that collects garbage now and then grows in the
    first few.
    """
    grown = []
    while len(grown) < 2 or (len(grown) < ROUNDS and grown[-1] >= enough):
        grown.append(growth(server, act))
    return grown


def check_nothing_is_left(server, count, come_and_go):
    """Fail if `count` clients that come_and_go() leave a file or memory behind, each time."""
    before, enough = sockets_at_rest(server), count * KEPT_PER_CONNECTION

    def one_round():
        come_and_go()
        check_open_sockets(server, before, f"after {count} clients came and went")

    grown = growth_by_round(server, one_round, enough)
    check(
        grown[-1] < enough,
        f"each time that {count} clients came and went memory grew, at last by {mib(grown[-1])}",
        "the same memory as before: what a client costs ends with it",
        "look for a list or a dictionary that still knows connections that are closed; in C, for "
        "memory that nobody frees",
    )


def settled(measure):
    """What measure() returns once that has stopped changing, or in the end."""
    value, since = measure(), time.monotonic()
    deadline = since + SETTLE_SECONDS
    while time.monotonic() - since < QUIET and time.monotonic() < deadline:
        time.sleep(0.05)
        now = measure()
        if now != value:
            value, since = now, time.monotonic()
    return value


def mib(count):
    return f"{count / 2**20:.1f} MiB"
