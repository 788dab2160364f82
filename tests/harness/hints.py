"""Hints: texts, and for a client or a server whether one of them fits."""

import re
import struct

from harness.failure import Failure

HINT_PATIENCE = 1  # seconds
SHORTEST_LIFE, LONGEST_LIFE = 0.05, 3  # seconds of a connection, which a time-out may have ended
LARGE = 2000  # bytes of a request: more than a first buffer may have room for
LONG = 500  # bytes of a reply, of which send() may take a part
LIKE_NO_OTHER = 8  # bytes of a reply that is due to one client alone, as most are
PARTIAL = "send() may take a part of what it is given: the rest has to follow, from there on"
NOT_TAKEN = (
    "the queue of newcomers is full: listen() with a larger number (128), and accept() whenever "
    "the listener is ready"
)
STILL_OPEN = (
    "the connection is still open: close() its socket once the refusal is sent; shutdown() alone, "
    "or end() in Node, leaves it there"
)
OVERTAKEN = (
    "the refusal has overtaken replies that were due before it: put it behind them, and close when "
    "all has been sent"
)
SHARED = (
    "each client has a thread here: has each a buffer and a socket of its own, or do they share a "
    "variable?"
)
LOCK = "two threads have changed the dictionary at once: one lock around each command"
LOGGED = (
    "a connection that ends by a fault is told in one line on standard error: ADDRESS:PORT: REASON"
)
SIGNED_BYTE = "the four bytes of a length are unsigned: a signed char of 0x80 is negative"
UNSIGNED = "the length is unsigned: as a signed number, 2**31 and more is negative"
NOT_CLOSED = "this client's stream has ended and its replies are sent: close() its socket now"
NOTHING_TO_READ = (
    "the server waits in read() for a payload of 0 bytes, which is whole as soon as its header is: "
    "read only while bytes are missing"
)
SENT_ASTRAY = "this is the reply to another client's request: has each client a buffer of its own?"
EMPTY_IS_NO_END = (
    "a payload of 0 bytes is one like others; recv() that is asked for 0 bytes returns nothing, "
    "and that is not the end: ask only while bytes are missing"
)
READ_AND_ASLEEP = (
    "the server has read it all, and sleeps: does the reply wait in a buffer (flush it), for a "
    "lock, or behind another client's, or was it dropped by a queue that was full?"
)
OR_ASLEEP = "; or does the reply wait to be flushed, or for a lock or another client?"


def for_end(target, came, reply, half_closed=False):
    """A hint for a connection that ended where this reply was due; or None."""
    if half_closed:
        return BY_ROW[10]
    if not came and is_negative(reply):
        return UNSIGNED
    wire = target.reply_wire(reply)
    if len(wire) < LONG or not came or not wire.startswith(came):
        return None
    if target.stage < 3:
        return PARTIAL
    return (
        "it ended inside a reply: that send() takes a part, or nothing now (EAGAIN), is no error; "
        "keep the rest until poll() reports POLLOUT"
    )


def is_negative(reply):
    """Is it the refusal of a length that is negative as a signed number?"""
    refused = re.match(rb"-ERR payload of (\d+) bytes", reply)
    return refused is not None and int(refused[1]) >= 1 << 31


def for_signed(client):
    """A hint for an end where the first request's length has a byte of 0x80 or more; or None."""
    sent = [front for arrow, _, front in client.history if arrow == "->"]
    if not (client.target.framed and client.ended and sent) or client.replies or client.inbox:
        return None
    return SIGNED_BYTE if client.largest and max(sent[0][:4]) >= 0x80 else None


def for_early_end(client):
    """A hint for a connection that ended before its first reply; or None."""
    if not client.ended or client.replies or client.inbox or client.half_closed:
        return None
    return (
        "it ended before the first reply: by an error that is caught (let the server write which), "
        "a time-out in the wrong unit, or a close() that comes too early?"
    )


def for_one_reply(client):
    """A hint for a connection that ended in good order behind its first reply; or None."""
    if client.ended != "EOF" or client.replies != 1 or client.inbox or client.half_closed:
        return None
    return (
        "it ended after one reply: serve one request after the other, until recv() returns "
        "nothing; that is when to close"
    )


def for_turned_away(client):
    """A hint for one of many clients that was closed before its first reply; or None."""
    if client.ended != "EOF" or client.replies or client.inbox or client.half_closed:
        return None
    return (
        "a newcomer was closed without a word: is there a bound for clients, a count that does not "
        "go down when one leaves, or a descriptor closed twice, which by then is a newcomer's?"
    )


def short_life(client_class, client):
    """Does every connection end as soon as this one did?  Asks with a new one, that is silent."""
    age = client.ended_at - client.began if client.ended_at else 0
    if not SHORTEST_LIFE < age < LONGEST_LIFE or client.half_closed or client.too_large:
        return None
    client.close()
    try:
        with client_class(client.server) as silent:
            silent.collect(age + HINT_PATIENCE)
            if not silent.ended:
                return None
    except Failure:
        return None
    return (
        f"a connection ends {silent.ended_at - silent.began:.1f} s after it began, even one that "
        "says nothing: a time-out in the wrong unit, or set once and not anew for each read?"
    )


def for_unrefused(client):
    """A hint for a client that announced too much, and waited for the end in vain; or None."""
    if not client.too_large or not client.gave_up or client.ended:
        return None
    return (
        f"{client.too_large:,} bytes were announced here, and {client.target.max_payload:,} are "
        "allowed: refuse that as soon as the header is there, then close"
    )


def for_limit(client):
    """A hint for a connection that ended when a large request was on its way; or None."""
    target, size = client.target, client.largest
    if not client.ended or size < LARGE or size <= client.largest_reply:
        return None
    exactly = ", which are not too many" if size == target.max_payload else ""
    return (
        f"a request of {size:,} bytes was on its way{exactly}, and {target.max_payload:,} are "
        "allowed: is there a smaller limit, or a buffer that holds less?"
    )


def big_endian(client_class, server):
    """Was the first request's length read in the wrong order?  Asks on a new connection."""
    message = server.target.message()
    try:
        with client_class(server) as client:
            client.send(struct.pack(">I", len(message.request)) + message.request)
            client.collect(HINT_PATIENCE)
            answered = message.reply in client.inbox
    except Failure:
        return None
    return "it answers a big-endian length; the wire is little-endian" if answered else None


# By stage: a read takes what has come, which may be more than one request.
LEFTOVERS = {
    1: None,
    2: "a connection serves one request after the other: what a read took beyond its frame belongs "
    "to the next one, so read no more than is missing",
    3: "bytes already read never make poll() fire again: look at the buffer again after a reply; "
    "and while some of a reply is left, poll() is asked for POLLOUT",
    4: "answer all that is complete: `while try_one_request(conn)`, and again once output is sent, "
    "for which poll() is asked for POLLOUT",
}
# By whether there are frames: how a server and its client take turns.
TURNS = {
    False: "what one recv() returns is a request, without a line end; answer it at once (flush "
    "what your language buffers), then recv() again until it returns nothing: that is the end",
    True: "recv() 4 bytes, then as many as they say; answer at once (flush what your language "
    "buffers), then start again until recv() returns nothing: that is the end",
}
BY_ROW = {
    3: "one dictionary, shared by all connections",
    4: "an error on one connection, or its end, is its own affair: catch it there, close it, "
    "forget all that was kept for it (the next client may get the same descriptor), go on",
    6: "recv() may return less than was asked for: go on, each time behind what has come, until "
    "header and payload are complete",
    7: "a payload is bytes, of any length from 0 up to the limit: no text, no special case",
    8: "check the length before anything else is read; answer, and close that connection once the "
    "answer is sent",
    9: "recv() that returns nothing (with MSG_WAITALL: less than was asked for) is the end: what "
    "has come of a frame until then is dropped",
    10: "at the end of the stream first answer what is complete and send all of it, then close",
    11: "never wait for one client: make its socket non-blocking and let poll() say who is ready",
    12: "after poll(), handle everyone that is ready, and accept whenever the listener is",
    16: "the others wait for the one that does not read: does a write() wait until all is taken, "
    "if only inside a library, or is a lock kept meanwhile?",
}


def for_row(rows, target):
    """What the servers that fail in these rows mostly have in common, or None."""
    if 1 in rows:
        return None if target.resp else TURNS[target.framed]
    if 5 in rows:
        return LEFTOVERS[target.stage]
    return next((BY_ROW[number] for number in rows if number in BY_ROW), None)


# What a server may have written when a call failed, and what it means.
WRITTEN = {
    r"[Rr]esource temporarily unavailable|EAGAIN|EWOULDBLOCK": (
        "EAGAIN is no error: nothing has come yet, or there is no room yet; keep what is left, and "
        "go on when poll() says so"
    ),
    r"Bad file descriptor|EBADF|closed stream": (
        "a descriptor is used that is closed: is it still in a list, or has a newcomer its number?"
    ),
}


def for_written(lines):
    """A hint from the server's last lines; or None."""
    for pattern, hint in WRITTEN.items():
        if any(re.search(pattern, line) for line in lines):
            return hint
    return None


# By what it sleeps in: hints for an event loop that lets a client wait for ever.
ASLEEP = {
    "accept": "the server is asleep in accept(); only poll() may wait: set O_NONBLOCK on the "
    "listener, and go on when accept() finds nobody (EAGAIN)",
    "read": "the server is asleep in read() or recv(), for one client; only poll() may wait, for "
    "all of them: set O_NONBLOCK on every socket, and keep what has come until it is complete",
    "write": "the server is asleep in write() or send(), for one client; only poll() may wait, for "
    "all of them: set O_NONBLOCK on every socket, and keep what was not taken until POLLOUT",
    "poll": "the server is asleep in poll() or the like, and not for this client: is its socket "
    "registered, for POLLIN to read and for POLLOUT while a reply waits to be sent?",
    "kept": "the server has read all that came, and is asleep in poll(): does each client have a "
    "buffer of its own, large enough for any request, in which half of one waits for its rest?",
    "unsent": "the server has read the whole request, and is asleep in poll(): is its reply given "
    "to send(), or poll() asked for POLLOUT as long as some of it is left?",
}
BUSY = (
    "the server was busy all the while: recv() that returns nothing is the end of that client; "
    "asked again, it returns nothing at once, for ever"
)
NEVER_ASLEEP = (
    "the server was busy all the while: poll() returns at once, again and again. An event that "
    "nobody handles (as POLLOUT with nothing to send), an entry that leads to another connection, "
    "or a time-out of 0? Or is an accept(), recv() or send() that can do nothing now (EAGAIN) "
    "repeated at once?"
)
PART_IS_READ = (
    "the server has read a part of what came, and sleeps: is reading not taken up again once "
    "replies have left, or is a reply left and poll() not asked for POLLOUT? With edge-triggered "
    "events (EPOLLET) recv() until EAGAIN"
)
MISDELIVERED = "another client got this reply: is it put into the buffer of the client that asked?"
NOT_ACCEPTED = (
    "newcomers wait, and the server sleeps: accept() whenever poll() reports the listener; with "
    "edge-triggered events (EPOLLET) until EAGAIN"
)
FEW_AT_A_TIME = (
    "the server is still taking in what came, but slowly: ask recv() for thousands of bytes at a "
    "time, and don't copy or search again, for each piece, what has come before"
)


def for_place(client, clients):
    """A hint for a client without a reply, or cut, among others that have got theirs; or None."""
    inside = [other for other in clients if other.sock.fileno() >= 0]
    place = inside.index(client) if client in inside else 0
    asked = [other for other in inside[:place] if other.history]
    if place < 3 or client.replies or not asked or not all(other.replies for other in asked):
        return None
    return (
        f"client {place + 1} of {len(inside)} gets no reply; those that asked before it did: is "
        "there a table of fixed size, or are newcomers missed that come together?"
    )
