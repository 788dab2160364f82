"""Find the hint that fits a failure best: looks at the server, and tries things on it."""

import contextlib
import re
import time

from harness import endings, hints, proc, wrong_reply
from harness.client import Client
from harness.failure import Failure

EVENT_LOOP = (11, 12, 16)  # rows of capabilities.py
LAST_LINES = 8  # of what a server wrote, in which an error may stand
LOOKS, LOOK_SECONDS = 10, 0.02  # at a server that we wait for
NEWCOMERS, NEWCOMERS_SECONDS = 4, 0.3  # clients, and until each has a thread, if it gets one


def find_hint(failure, server, rows, clients):
    """The hint that fits a failure best, or None.

    rows: those of tests/harness/capabilities.py that the test is about.  clients: all of
    the test's.
    """
    client = failure.client
    if server is None:
        return failure.hint
    if not server.alive() and (client or not failure.hint):  # whatever a client saw, that is first
        too_large = client.too_large if client else 0
        lines = server.news().splitlines()
        return endings.for_ending(server.process.returncode, lines, rows, too_large)
    if client is None:
        return failure.hint or hints.for_row(rows, server.target)
    return next(filter(None, guesses(failure, server, rows, clients)), None)


def guesses(failure, server, rows, clients):
    """Hints for a client of a server that lives, or None where one does not fit, the surest first.

    Each is looked for only when those before it do not fit: some try things on the server.
    """
    client, target = failure.client, server.target
    waits = client.gave_up and proc.USABLE
    asleep = proc.asleep_in(server.session) if waits else None
    read_all = waits and not client.unread_by_server()
    # What the system tells of a server that we wait for.
    if asleep in ("accept", "read", "write") and target.stage >= 3:
        yield hints.ASLEEP[asleep]
    if waits and is_busy(server):
        if target.stage < 3 or client.half_closed and not client.unanswered:
            yield hints.BUSY
        yield hints.FEW_AT_A_TIME if is_reading(client) else hints.NEVER_ASLEEP
    if client.inbox and {11, 12} & set(rows) and has_threads(server):
        yield hints.SHARED
    if client.unanswered and waits:
        if target.stage >= 3 and not failure.hint and 16 not in rows:
            yield hints.NOT_ACCEPTED if proc.not_accepted(server.port) else None
        yield hints.MISDELIVERED if went_to_another(client, clients) else None
        if not failure.hint and part_is_read(client):
            yield hints.PART_IS_READ
        # Something has come that would wake an event loop that waits for it.
        if failure.hint == hints.LEFTOVERS[target.stage] and target.stage >= 3 and not read_all:
            yield hints.PART_IS_READ
    if failure.hint == wrong_reply.OTHER_REPLY and asked_by_another(client, clients):
        yield hints.SENT_ASTRAY
    if 1 in rows and target.framed and target.order == "little":
        if not client.replies and not client.inbox and not failure.hint:
            client.close()
            yield hints.big_endian(Client, server)
    yield hints.for_unrefused(client) if not failure.hint else None
    if client.unanswered and read_all and 1 not in rows and proc.workers(server.session) > 1:
        # An event loop's rows mean something else to threads.
        others = [number for number in rows if number not in EVENT_LOOP]
        usual = failure.hint or hints.for_row(others, target)
        yield usual + hints.OR_ASLEEP if usual else hints.READ_AND_ASLEEP
    # What the failure itself tells, and the state in which it left the client.
    yield failure.hint
    if asleep == "read" and read_all and client.history[-1][2].endswith(bytes(4)):
        yield hints.NOTHING_TO_READ
    if client.ended and 7 in rows and last_sent(client).endswith(bytes(4)):
        yield hints.EMPTY_IS_NO_END
    if client.ended or client.unanswered and not read_all:
        yield hints.for_place(client, clients)
    if client.unanswered and asleep == "poll" and target.stage >= 3 and 16 not in rows:
        in_pieces = "kept" if is_in_pieces(client, clients) else "unsent"
        yield hints.ASLEEP["poll" if not read_all or 5 in rows else in_pieces]
    yield hints.for_written(server.news().splitlines()[-LAST_LINES:])
    yield hints.for_signed(client)
    yield hints.for_limit(client) if 8 not in rows else None
    yield hints.short_life(Client, client)
    # What the rows that are asked about mostly fail for.
    if not client.inbox.endswith(b"_"):
        rows = [number for number in rows if number != 3]  # what came is not that nothing is there
    if client.inbox:
        rows = [number for number in rows if number != 5]  # a wrong reply is no missing one
    if {11, 12} & set(rows):
        yield hints.SHARED if has_threads(server) else hints.for_turned_away(client)
    if {1, 5} & set(rows):
        yield hints.for_early_end(client)
        yield hints.for_one_reply(client)
    yield hints.for_row(rows, target)


def asked_by_another(client, clients):
    """Is what this client got the reply to what another client of the test has asked?"""
    name = wrong_reply.name_in(client.inbox)
    sent = [f for c in clients if c is not client for arrow, _, f in c.history if arrow == "->"]
    return name is not None and any(re.search(rb"%b(?!\d)" % name, front) for front in sent)


def went_to_another(client, clients):
    """Did another client of the test get the reply that this one waits for?"""
    others = [c for c in clients if c is not client and c.sock.fileno() >= 0]
    for other in others:
        other.collect(0)
    like_no_other = len(client.due) >= hints.LIKE_NO_OTHER
    return like_no_other and any(client.due in other.inbox for other in others)


def part_is_read(client):
    """Has the server read a part of what was sent since its last reply?"""
    arrows = [arrow for arrow, _, _ in client.history]
    since = len(arrows) - (arrows[::-1].index("<-") if "<-" in arrows else len(arrows))
    sent = sum(length or 0 for _, length, _ in client.history[since:])
    return not client.inbox and 0 < client.unread_by_server() < sent


def last_sent(client):
    """The first bytes of the piece that was sent last."""
    return next((front for arrow, _, front in client.history[::-1] if arrow == "->"), b"")


def is_in_pieces(client, clients):
    """May half a request have come, of this client or of another one?"""
    others = [other for other in clients if other is not client and (other.begun or other.skip)]
    return bool(others) or [arrow for arrow, _, _ in client.history[-2:]] == ["->", "->"]


def has_threads(server):
    """Does it start a thread or a process for each client?  Tries, with a few more clients."""
    before = proc.workers(server.session) if proc.USABLE else 1
    if before == 1:
        return False
    with contextlib.ExitStack() as stack, contextlib.suppress(Failure):
        for _ in range(NEWCOMERS):
            stack.enter_context(Client(server))
        time.sleep(NEWCOMERS_SECONDS)
        return proc.workers(server.session) >= before + NEWCOMERS - 1
    return False


def is_busy(server):
    """Does it never sleep, though we wait for it?  False where nobody can tell."""
    for _ in range(LOOKS if proc.USABLE else 0):
        time.sleep(LOOK_SECONDS)
        if not server.in_state("R"):  # it runs, or would if others let it
            return False
    return proc.USABLE


def is_reading(client):
    """Is the server still taking in what this client sent?  Looks for as long as is_busy()."""
    before = client.on_its_way() + client.unread_by_server()
    time.sleep(LOOKS * LOOK_SECONDS)
    return client.on_its_way() + client.unread_by_server() < before
