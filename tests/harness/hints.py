"""Guess at the likeliest reason for a failure, from what came."""

import os
import re
import signal
import struct

from harness.failure import Failure

HINT_PATIENCE = 1  # seconds
SHORTEST_LIFE, LONGEST_LIFE = 0.05, 3  # seconds of a connection, which a time-out may have ended
LARGE = 2000  # bytes of a request: more than a first buffer may have room for
LONG = 500  # bytes of a reply, of which send() may take a part
FRONT = 16  # bytes that tell a text from others
LIKE_NO_OTHER = 8  # bytes of a reply that is due to one client alone, as most are
PARTIAL = "send() may take a part of what it is given: the rest has to follow, from there on"
NOT_TAKEN = (
    "the queue of newcomers is full: listen() with a larger number (128), and accept() whenever "
    "the listener is ready"
)
WHOLE_BUFFER = "more bytes than the reply has: is the whole buffer sent, not what is in it?"
STILL_OPEN = (
    "the connection is still open: close() its socket once the refusal is sent; shutdown() alone "
    "leaves it there"
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
NUL_SENT = "the string's terminating NUL was sent along: count without it"
MOVED_IN_PART = "or has the Buffer moved its data, and not data_begin and data_end with it?"
ANOTHER_VALUE = (
    "this is the value of another key: are keys cut, or values kept as a part of the buffer, which "
    "is filled again? Keep copies"
)
COUNTS_HEADER = "a length counts the payload alone, not the 4 bytes of the header"
NOTHING_TO_READ = (
    "the server waits in read() for a payload of 0 bytes, which is whole as soon as its header is: "
    "read only while bytes are missing"
)
OTHER_REPLY = "this is the reply to another request: replies were lost, doubled or mixed up"
SENT_ASTRAY = "this is the reply to another client's request: has each client a buffer of its own?"
OUT_OF_ORDER = (
    "the reply that is due came behind another one: answer the requests of a connection in their "
    "order, one after the other"
)
CUT_AT_A_SPACE = "it was cut at a space: a message or value is all the rest of the payload"
EMPTY_IS_NO_END = (
    "a payload of 0 bytes is one like others; recv() that is asked for 0 bytes returns nothing, "
    "and that is not the end: ask only while bytes are missing"
)
SLEEPING_THREADS = (
    "with threads: is the reply in a buffer that is not flushed, was it dropped by a full queue, "
    "or is a lock kept, perhaps since an error?"
)


EMPTY = b"-ERR empty command"
UNKNOWN = b"-ERR unknown command '"
TYPES = (b"+", b"$", b":", b"_", b"-")  # the first byte of a reply
NO_INTEGER = b"-ERR value is not an integer"
SHOWN_NAME = len(UNKNOWN) + 64  # bytes; of a longer name only 64 are due
COMMANDS = {b"PING", b"ECHO", b"SET", b"GET", b"DEL", b"INCR"}


def for_reply(target, came, reply):
    """A hint for a reply that differs: came has the wire's bytes, reply the payload's."""
    if re.match(rb".{4}-ERR payload of \d+ bytes", came, re.DOTALL) and not target.framed:
        other = "without DIALECT=resp it is" if target.resp else "from STAGE=2 on it is"
        return f"this reply travels in a frame, with its length in front: {other} judged by that"
    if target.resp:
        return None
    for guess in (_resp, _kind, _in_front, _unknown_command, _error_text, _header, _payload):
        hint = guess(target, came, reply)
        if hint:
            return hint
    return None


def _resp(target, came, reply):
    if re.match(rb"[+$:*_-][ -~]*\r\n", came):
        return (
            "this is RESP, the protocol of Redis; here a reply travels in a frame, without \\r\\n"
        )
    return None


def _kind(target, came, reply):
    """A server that is right, and judged as one of another kind."""
    if target.echoes and re.search(rb"^(.{4})?-ERR unknown command 'message-", came, re.DOTALL):
        word = "DIALECT=echo" if target.answer is None else "REPLY"
        return f"this server knows commands: judge it without {word}"
    if target.order == "big" and int.from_bytes(came[:4], "little") == len(came) - 4:
        return "the length of this reply is little-endian: judge it without BIG_ENDIAN=1"
    return None


def _in_front(target, came, reply):
    """The reply that is due, and something in front of it."""
    wire = target.reply_wire(reply)
    front = came[: -len(wire)]
    another = front[4:] if target.framed else front
    if not front or not came.endswith(wire) or another[:1] in TYPES:
        return None
    if not target.framed and len(front) == 4 and len(reply) in front[:1] + front[3:]:
        return "this reply travels in a frame, with its length in front: judge it with STAGE=2"
    return "something stands in front of the reply: a server says nothing before it is asked"


def _unknown_command(target, came, reply):
    """A command that the server should know, and says that it does not."""
    found = re.match(rb"(?:.{4})?-ERR unknown command '([^']*)", came, re.DOTALL)
    if not found or target.echoes or reply.startswith(b"-ERR unknown"):
        return None
    name = found[1]
    if re.match(rb"(?!\\x00)(\\x[0-9a-f]{2}|[ -~])\\x00\\x00\\x00", name) and target.framed:
        return "the 4 bytes of the request's header were taken for a part of the command"
    if name in COMMANDS:
        return f"the server does not know {name.decode()} yet"
    if name.upper() in COMMANDS:
        return f"the server does not know {name.upper().decode()}, or not in small letters"
    return None


def _error_text(target, came, reply):
    """An error is due and one came, in a whole frame, but with another text."""
    text = came
    if target.framed and len(came) >= 4:
        length = target.read_length(came)
        text = came[4 : 4 + length]
        if len(text) < length:
            return None
    if text.startswith(b"-ERR payload of -") or text == EMPTY and is_negative(reply):
        return UNSIGNED
    if text.startswith(b"-ERR wrong number") and reply == b"$":
        return "a space at the end makes an empty argument, and that is a legal one"
    if reply.startswith(UNKNOWN) and b"\\x00" in reply and not text.startswith(b"-ERR"):
        return "the command's name was cut at a NUL: it is bytes, not a C string"
    if text.startswith(b"-ERR") and reply.startswith(b"-ERR") and not text.startswith(reply):
        if b"-ERR" in text[4:]:
            return _in_parts(target)
        if b"\\xfff" in text:
            return "a signed char is negative from 0x80 on: make it unsigned before it is shown"
        if reply.startswith(UNKNOWN) and text.startswith(reply[:-1]) and len(reply) <= SHOWN_NAME:
            return (
                "the name is longer than the request: use only as many bytes as recv() returned; "
                "what stands behind them in the buffer is older"
            )
        return "an error is due, but with exactly the expected text; tests/README.md lists them"
    return None


def for_refusal(target, came, reply, announced):
    """A hint for a refusal that is not due; announced: the lengths that were sent.  Or None."""
    refused = re.match(rb".{4}-ERR payload of (\d+) bytes", came, re.DOTALL)
    if not refused or not target.framed or target.read_length(came) > len(came) - 4:
        return None  # or its own length is wrong, of which _header tells
    length, due = int(refused[1]), reply.startswith(b"-ERR payload")
    if length in announced and due:
        return None
    if length in announced:
        return f"{target.max_payload:,} bytes are allowed; only more than that is too large"
    if length >= 1 << 31 and not due:
        return SIGNED_BYTE
    if length >= 1 << 32:
        return None
    sent = length.to_bytes(4, target.order)
    if int.from_bytes(sent[::-1], target.order) in announced:
        return "the request's length was read in the other byte order"
    if due:
        return (
            f"this client did not announce {length:,} bytes: was the number mixed up, or is there "
            "still something of another client in the buffer?"
        )
    return (
        f"{sent!r} was taken for a header, and nobody sent it as one: were bytes lost before it, "
        + ("or was a payload not read to its end?" if target.stage < 4 else MOVED_IN_PART)
    )


def name_in(text):
    """What tells a request or reply of a test from all others; None if it has no such thing."""
    found = re.search(rb"message-\d+|\d+-*@0{10}", text)
    return found[0] if found else None


def is_another(text, reply):
    """Is it the whole text of another reply?"""
    whole = re.fullmatch(rb"\$?(message-\d+|\d+-*@0{10} .*)", text, re.DOTALL)
    return whole is not None and name_in(text) != name_in(reply)


def is_empty_room(data):
    """Is it what stands in a buffer behind its data?"""
    return len(data) >= LONG and data.count(0) > 0.9 * len(data)


def _header(target, came, reply):
    """What a wrong first four bytes tell."""
    if not target.framed or len(came) < 4:
        return None
    if is_empty_room(came):
        return WHOLE_BUFFER
    little, big = target.read_length(came), int.from_bytes(came[:4], "big")
    # The next reply's header stands where this one's payload should go on.
    next_header = came[little : little + 4]
    if 4 < little < len(reply) + 4 and came[4:little] == reply[: little - 4]:
        if next_header[2:] == b"\0\0":
            return COUNTS_HEADER
    payload = came[4 : 4 + little]
    if payload[:1] == b"$" and is_another(payload, reply):
        asked = [re.fullmatch(rb"\$message-(\d+)", text) for text in (reply, payload)]
        later = all(asked) and int(asked[0][1]) < int(asked[1][1])
        return OUT_OF_ORDER if later and target.reply_wire(reply) in came else OTHER_REPLY
    if little == len(reply):
        return None
    if came[4:].startswith(b"ECHO ") and not target.echoes:
        return _payload_text(target, came[4:], reply)
    if target.order == "little" and big in (len(reply), len(came) - 4):
        return "the length is in big-endian (network) order; the wire is little-endian"
    if came.startswith(reply[:4]) or all(0x20 <= byte < 0x7F for byte in came[:4]):
        return "the length is text: the reply was sent without its 4-byte header in front"
    if little == len(reply) + 4:
        return COUNTS_HEADER
    if little == len(reply) - 4 and came[4:].startswith(reply):
        return "a length counts the whole payload: it is 4 too small"
    if 0 < little == len(reply) - 4 and reply.startswith(payload):
        return f"the last 4 bytes are missing: {COUNTS_HEADER}"
    if little == len(came) - 4:
        return _payload_text(target, came[4:], reply)
    return None


def _in_parts(target):
    """A long request of which the rest was taken for another one."""
    if target.framed:
        return None
    return "one request was taken for two: recv() takes up to 4,096 bytes at once, so ask for that"


def _payload(target, came, reply):
    text = came[4:] if target.framed else came
    if target.framed and text[:1] in TYPES and target.read_length(came) <= len(reply):
        text = text[: target.read_length(came)]  # a reply of its own; what follows is the next one
    return _payload_text(target, text, reply)


def _payload_text(target, text, reply):
    """What a wrong payload tells."""
    same = len(os.path.commonprefix([text, reply]))
    if b"%" in reply[max(same - 1, 0) : same + 1] and text != reply:
        return "a % in it was taken for a format, as of printf(): send the bytes as they are"
    extra = text[len(reply) :] if text.startswith(reply) else b""
    if extra in (b"\n", b"\r\n"):
        return "a line end follows the payload; the frame already says where it ends"
    if extra == b"\0":
        return NUL_SENT
    if re.search(rb"ECHO |message-\d+", extra):
        return "the next request stands behind the reply: one read may bring more than one"
    if extra or is_empty_room(text):
        return WHOLE_BUFFER
    if b"\0" in reply and text == reply[: reply.index(b"\0")]:
        return "the payload was cut at a NUL: it is bytes, not a C string"
    if text and reply.startswith(text + b" ") and not target.echoes:
        return CUT_AT_A_SPACE
    if b"\xef\xbf\xbd" in text and b"\xef\xbf\xbd" not in reply:
        return "bytes were replaced by U+FFFD: the payload was decoded as text"
    if all(re.fullmatch(rb"\$(value-\d+|one|two)", value) for value in (text, reply)):
        return ANOTHER_VALUE
    if text.startswith(bytes(4) + reply[:-4]) and target.framed and reply:
        return "the length is written in 8 bytes here; it has 4"
    if text[:1] == b"$" and reply == b"_":
        return "a key that is not there is not made by asking, as map[key] does in C++: answer _"
    if text == b"_" and reply == b"$":
        return "an empty value is one: ask whether the key is there, not whether its value is empty"
    if text == b'%b"%b"' % (reply[:1], reply[1:]):
        return "quotes were put around it: send the bytes as they are"
    if text != reply and text.lower() == reply.lower() and not text.startswith(b"-ERR"):
        return "only a command's name may be written in other letters: the rest stays as it is"
    number = _number(reply)
    if number is not None and 1 << 31 <= abs(number) < 1 << 62:
        other = _number(text)
        cut = other is not None and other != number and (other - number) % (1 << 32) == 0
        if cut or text.startswith(NO_INTEGER):
            return "a number has 64 bits; 32 of them end at 2,147,483,647"
    if re.fullmatch(rb":-?922337203685477580\d", text) and reply.startswith(b"-ERR"):
        return "2**63 - 1 is the largest number: before you add, look whether there is room for it"
    if reply.startswith(NO_INTEGER) and _number(text) is not None:
        return (
            "this is no number in its plain form, though atoi(), int() and the like take it: "
            "write the number again, and look whether that is the same text"
        )
    if re.match(rb":-?9\.?2233720368547", text) and text != reply:
        return "a float holds 53 bits of a number: count in integers of 64 bits"
    if text == reply[1:] and not target.echoes:
        return "the type byte in front of the payload ($, +, :, _ or -) is missing"
    if text.startswith(b"ECHO ") and not target.echoes:
        return "this server sends requests back: judge it with DIALECT=echo (--dialect echo)"
    if target.answer is not None and re.fullmatch(rb"message-\d+", text):
        return "it does not reply with that text, but sends requests back: DIALECT=echo"
    if len(reply) - len(text) in (1, 2) and reply in (text + b"\n", text + b"\r\n"):
        return "the line end is missing: it is a byte of the payload like any other"
    if text == reply[:1] + reply[1:].lstrip(b" ") and text != reply:
        return "spaces in front are missing: behind one space all is the message, or the value"
    front, unknown, _ = text.partition(b"-ERR unknown command '")
    if unknown and (len(reply) >= LONG // 2 or front and reply.startswith(front)):
        if not target.framed:
            return _in_parts(target)
    if FRONT <= len(text) < len(reply) and reply.startswith(text):
        return _cut(text)
    if is_another(text, reply):
        return OTHER_REPLY
    if len(reply) >= LONG and re.search(rb"\0\0\0[A-Z]{3,4} ", text[: len(reply)]):
        return (
            "a request stands where the value should: is a value a part of the buffer, which is "
            "filled again? Keep a copy"
        )
    if text[:8] != reply[:8] and re.search(rb"\0\0(ECHO |\$)", text[: len(reply)]):
        return (
            "another frame's bytes stand where the reply's should: does the buffer move on, or is "
            "it filled again, before the request was taken out of it?"
        )
    if FRONT // 2 <= same < len(text) == len(reply) < LONG and text[:1] == b"$":
        return (
            "the front is right and the rest is not: were bytes lost, or written to the wrong "
            "place, where one read ends and the next begins?"
        )
    if len(reply) >= LONG and text[:1] == reply[:1] and len(text) >= len(reply):
        return (
            PARTIAL if target.stage < 4 else f"{PARTIAL}; or has the Buffer lost some, moving it?"
        )
    return None


def _number(reply):
    """The number that a reply to INCR has; None if it is not one."""
    return int(reply[1:]) if re.fullmatch(rb":-?\d{1,19}", reply) else None


def _cut(text):
    return f"cut at {len(text):,} bytes: is there an array of a fixed size?"


def for_part(target, came, reply):
    """A hint for a reply of which only the beginning came; or None."""
    wire = target.reply_wire(reply)
    if len(wire) < LONG or not wire.startswith(came):
        return None
    if not target.framed:  # so small a reply is sent at once
        return _cut(came)
    return PARTIAL if target.stage < 3 else f"{PARTIAL}; ask poll() for POLLOUT until all is sent"


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
    16: "the others wait for the one that does not read: send without blocking; with threads, keep "
    "no lock meanwhile",
}


def for_row(rows, target):
    """What the servers that fail in these rows mostly have in common, or None."""
    if 1 in rows:
        return None if target.resp else TURNS[target.framed]
    if 5 in rows:
        return LEFTOVERS[target.stage]
    return next((BY_ROW[number] for number in rows if number in BY_ROW), None)


# What a server may have written when a call failed, and what it means.
NO_ROOM_NOW = re.compile(r"[Rr]esource temporarily unavailable|EAGAIN|EWOULDBLOCK")
WRITTEN = {
    NO_ROOM_NOW.pattern: "EAGAIN is no error: nothing has come "
    "yet, or there is no room yet; keep what is left, and go on when poll() says so",
    r"Bad file descriptor|EBADF": "a descriptor is used that is closed: whose is it, and who has "
    "closed it?",
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
    "nobody handles, an entry that leads to another connection, or a time-out of 0? Or is an "
    "accept(), recv() or send() that can do nothing now (EAGAIN) repeated at once?"
)
PART_IS_READ = (
    "the server has read a part of what came, and sleeps: the rest is still to be read; with "
    "edge-triggered events (EPOLLET) recv() until EAGAIN"
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


# What the C library says of a heap that was overwritten, before it calls abort().
HEAP = re.compile(r"malloc|free\(\)|realloc|corrupt|double-linked|smashing")


def for_extra(came):
    """A hint for bytes that came behind the last reply; or None."""
    if came == b"\0":
        return NUL_SENT
    if is_empty_room(came):
        return WHOLE_BUFFER
    return "a line end follows the reply" if came in (b"\n", b"\r\n") else None


def for_ending(status, lines, rows=(), too_large=0):
    """A hint for a server that has ended, from its wait status, last lines, the rows, and the
    length over the limit that was announced to it, if one was."""
    number = -status
    found = next((line for line in lines if "ERROR: AddressSanitizer" in line), None)
    if found:
        return found.partition("ERROR: ")[2].strip()
    if too_large >= 1 << 31 and number != signal.SIGPIPE:
        return (
            f"{too_large:,} bytes were announced to it: compare a length with the limit before "
            "anything else, and as an unsigned number (as a signed one this is negative)"
        )
    if any(NO_ROOM_NOW.search(line) for line in lines):
        return WRITTEN[NO_ROOM_NOW.pattern]
    if any("oo many open files" in line for line in lines):
        return "that accept() finds no descriptor is no reason to end: wait a moment, and try again"
    if any("concurrent map" in line for line in lines):
        return LOCK
    if status > 0 and 6 in rows:
        return BY_ROW[6]
    if number == signal.SIGABRT:
        if any(HEAP.search(line) for line in lines):
            return ENDINGS[signal.SIGSEGV]
        return f"{ENDINGS[number]}: {lines[-1].strip()}" if lines else ENDINGS[number]
    uncaught = uncaught_in(lines)
    if status > 0 and uncaught and not CONNECTION_LOST.search(uncaught):
        return f"the server ended, because nobody caught this: {uncaught}"
    return ENDINGS.get(number, ENDED)


def uncaught_in(lines):
    """What a program wrote of an error that nobody caught; or None."""
    for number, line in enumerate(lines):
        if UNCAUGHT.search(line):
            reason = lines[number + 1 : number + 2] if PANIC.search(line) else []
            return " ".join([line.strip(), *reason])
    return None


ENDINGS = {
    signal.SIGPIPE: "a write to a connection that the other side had left: ignore SIGPIPE",
    signal.SIGSEGV: "a memory error (with threads: is there a lock?), or a recursion without end: "
    "build with -fsanitize=address and run it again",
    signal.SIGBUS: "a memory error: build with -fsanitize=address and run it again",
    signal.SIGABRT: "an assertion, abort() or an exception that nobody caught",
    signal.SIGKILL: "killed: did it run out of memory?",
}
PANIC = re.compile(r"^thread .* panicked")  # in Rust the next line says why
GO_ENDS = re.compile(r"^(panic|fatal error): ")  # where the goroutines were comes behind it
UNCAUGHT = re.compile(rf"(^|[\w.])(Exception|Error)\b|{PANIC.pattern}|{GO_ENDS.pattern}")
CONNECTION_LOST = re.compile(r"[Rr]eset|[Pp]ipe|IOException|EOF|[Aa]borted|[Cc]losed")
ENDED = "the server ended: a fault, or the end, of one connection must end that connection only"
