"""What the bytes that came in the place of a reply tell of the likeliest reason."""

import os
import re

from harness import hints

FRONT = 16  # bytes that tell a text from others
EMPTY = b"-ERR empty command"
UNKNOWN = b"-ERR unknown command '"
TYPES = (b"+", b"$", b":", b"_", b"-")  # the first byte of a reply
NO_INTEGER = b"-ERR value is not an integer"
SHOWN_NAME = len(UNKNOWN) + 64  # bytes; of a longer name only 64 are due
NOTHING = {b"$undefined", b"$null", b"$None", b"$nil", b"$<nil>", b"$NULL", b"$(null)"}
COMMANDS = {b"PING", b"ECHO", b"SET", b"GET", b"DEL", b"INCR"}
WHOLE_BUFFER = "more bytes than the reply has: is the whole buffer sent, not what is in it?"
DECODED = "bytes were replaced by U+FFFD: what came was decoded as text; keep it as bytes"
NUL_SENT = "the string's terminating NUL was sent along: count without it"
MOVED_IN_PART = "or has the Buffer moved its data, and not data_begin and data_end with it?"
ANOTHER_VALUE = (
    "this is the value of another key: are keys cut, or values kept as a part of the buffer, which "
    "is filled again? Keep copies"
)
COUNTS_HEADER = "a length counts the payload alone, not the 4 bytes of the header"
OTHER_REPLY = "this is the reply to another request: replies were lost, doubled or mixed up"
OUT_OF_ORDER = (
    "the reply that is due came behind another one: answer the requests of a connection in their "
    "order, one after the other"
)
CUT_AT_A_SPACE = "it was cut at a space: a message or value is all the rest of the payload"


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
    if text.startswith(b"-ERR payload of -") or text == EMPTY and hints.is_negative(reply):
        return hints.UNSIGNED
    if text.startswith(b"-ERR wrong number") and reply == b"$":
        return "a space at the end makes an empty argument, and that is a legal one"
    if reply.startswith(UNKNOWN) and b"\\x00" in reply and not text.startswith(b"-ERR"):
        return "the command's name was cut at a NUL: it is bytes, not a C string"
    if text.startswith(b"-ERR") and reply.startswith(b"-ERR") and not text.startswith(reply):
        if b"-ERR" in text[4:]:
            return _in_parts(target)
        if b"\\xfff" in text:
            return "a signed char is negative from 0x80 on: make it unsigned before it is shown"
        longer = reply.startswith(UNKNOWN) and text.startswith(reply[:-1])
        if longer and text.startswith(reply[:-1] + b" "):
            return "a command's name ends at the first space"
        if longer and len(reply) <= SHOWN_NAME:
            return (
                "the name is longer than the request: use only as many bytes as recv() returned; "
                "what stands behind them in the buffer is older"
            )
        if text.lower() == reply.lower():
            return "it is right but for capitals and small letters"
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
        return hints.SIGNED_BYTE
    if length >= 1 << 32:
        return None
    sent = length.to_bytes(4, target.order)
    if int.from_bytes(sent[::-1], target.order) in announced:
        return "the request's length was read in the other byte order"
    if b"\xef\xbf\xbd" in sent:
        return DECODED
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
    return len(data) >= hints.LONG and data.count(0) > 0.9 * len(data)


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
    if little < len(reply) and came[4:].startswith(reply):
        return "the payload is right, and its length too small: count bytes, not characters"
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
        return DECODED
    if all(re.fullmatch(rb"\$(value-\d+|one|two)", value) for value in (text, reply)):
        return ANOTHER_VALUE
    if text.startswith(bytes(4) + reply[:-4]) and target.framed and reply:
        return "the length is written in 8 bytes here; it has 4"
    if text in NOTHING and reply == b"_":
        return "a key is not there, and the reply has your language's word for that: answer _"
    if text == b"$" and reply == b"_":
        return "a key that is not there is not made by asking, as map[key] does in C++: answer _"
    if text[:1] == b"$" and reply == b"_":
        return (
            "this key is not there: has the command before put it there, or has the dictionary "
            "names of its own, as an object has in JavaScript (take a Map)?"
        )
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
    if number is not None and abs(number) >= 1 << 53 and text.startswith(NO_INTEGER):
        return (
            "2**63 - 1 is the largest number; a double, as JavaScript's Number, is exact only to "
            "2**53: take integers of 64 bits (BigInt)"
        )
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
    if text != reply and text == re.sub(rb" +", b" ", reply):
        return "spaces are missing: behind the first one all is the message, or the value"
    if text == reply[:1] + reply[1:].lstrip(b" ") and text != reply:
        return "spaces in front are missing: behind one space all is the message, or the value"
    front, unknown, _ = text.partition(b"-ERR unknown command '")
    if unknown and (len(reply) >= hints.LONG // 2 or front and reply.startswith(front)):
        if not target.framed:
            return _in_parts(target)
    if FRONT <= len(text) < len(reply) and reply.startswith(text):
        return _cut(text)
    if is_another(text, reply):
        return OTHER_REPLY
    if len(reply) >= hints.LONG and re.search(rb"\0\0\0[A-Z]{3,4} ", text[: len(reply)]):
        return (
            "a request stands where the value should: is a value a part of the buffer, which is "
            "filled again? Keep a copy"
        )
    if text[:8] != reply[:8] and re.search(rb"\0\0(ECHO |\$)", text[: len(reply)]):
        return (
            "another frame's bytes stand where the reply's should: does the buffer move on, or is "
            "it filled again, before the request was taken out of it?"
        )
    if FRONT // 2 <= same < len(text) == len(reply) < hints.LONG and text[:1] == b"$":
        return (
            "the front is right and the rest is not: were bytes lost, or written to the wrong "
            "place, where one read ends and the next begins?"
        )
    if len(reply) >= hints.LONG and text[:1] == reply[:1] and len(text) >= len(reply):
        return (
            hints.PARTIAL
            if target.stage < 4
            else f"{hints.PARTIAL}; or has the Buffer lost some, moving it?"
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
    if len(wire) < hints.LONG or not wire.startswith(came):
        return None
    if not target.framed:  # so small a reply is sent at once
        return _cut(came)
    return (
        hints.PARTIAL
        if target.stage < 3
        else f"{hints.PARTIAL}; ask poll() for POLLOUT until all is sent"
    )


def for_extra(came):
    """A hint for bytes that came behind the last reply; or None."""
    if came == b"\0":
        return NUL_SENT
    if is_empty_room(came):
        return WHOLE_BUFFER
    return "a line end follows the reply" if came in (b"\n", b"\r\n") else None
