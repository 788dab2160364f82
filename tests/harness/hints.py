"""Guess at the likeliest reason for a failure, from what came."""

import re
import struct

from harness.failure import Failure

HINT_PATIENCE = 1  # seconds


def for_reply(target, came, reply):
    """A hint for a reply that differs: came has the wire's bytes, reply the payload's."""
    for guess in (_resp, _header, _payload):
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


def _header(target, came, reply):
    """What a wrong first four bytes tell."""
    if not target.framed or len(came) < 4 or came[:4] == struct.pack("<I", len(reply)):
        return None
    little, big = struct.unpack_from("<I", came)[0], struct.unpack_from(">I", came)[0]
    if big == len(reply) or big == len(came) - 4:
        return "the length is in big-endian (network) order; the wire is little-endian"
    if came.startswith(reply[:4]) or all(0x20 <= byte < 0x7F for byte in came[:4]):
        return "the length is text: the reply was sent without its 4-byte header in front"
    if little == len(reply) + 4:
        return "the announced length counts the 4 bytes of the header; it is the payload's alone"
    if little == len(came) - 4:
        return _payload_text(target, came[4:], reply)
    return None


def _payload(target, came, reply):
    return _payload_text(target, came[4:] if target.framed else came, reply)


def _payload_text(target, text, reply):
    """What a wrong payload tells."""
    extra = text[len(reply) :] if text.startswith(reply) else b""
    if extra in (b"\n", b"\r\n"):
        return "a line end follows the payload; the frame already says where it ends"
    if extra == b"\0":
        return "the string's terminating NUL was sent along: count without it"
    if extra:
        return "more bytes than the reply has: is the whole buffer sent, not what is in it?"
    if b"\0" in reply and text == reply[: reply.index(b"\0")]:
        return "the payload was cut at a NUL: it is bytes, not a C string"
    if b"\xef\xbf\xbd" in text and b"\xef\xbf\xbd" not in reply:
        return "bytes were replaced by U+FFFD: the payload was decoded as text"
    if text == reply[1:] and not target.echoes:
        return "the type byte in front of the payload ($, +, :, _ or -) is missing"
    if text.startswith(b"ECHO ") and not target.echoes:
        return "this server sends requests back: grade it with --dialect echo"
    if text and text != reply and re.fullmatch(rb"\$?message-\d+", text):
        return "this is the reply to another request: replies were lost, doubled or mixed up"
    return None


BIG_ENDIAN = "it answers when the length is big-endian: read it as little-endian, '<I'"
LEFTOVERS = {
    2: "what a read took beyond its frame belongs to the next one: read no more than is missing",
    3: "bytes already read never make poll() fire again: look at the buffer again after a reply",
    4: "answer all that is complete: `while try_one_request(conn)`, and again once output is sent",
}


def for_silence(client_class, client):
    """Why the replies stop, or never come.  May ask once more, on a new connection."""
    target = client.server.target
    if not target.framed:
        return None
    if client.replies:
        return LEFTOVERS[target.stage] if client.gave_up else None
    client.close()
    message = target.message()
    try:
        with client_class(client.server) as second:
            second.send(struct.pack(">I", len(message.request)) + message.request)
            second.collect(HINT_PATIENCE)
            return BIG_ENDIAN if message.reply in second.inbox else None
    except Failure:
        return None


def for_ending(status, stderr):
    """What the end of the process tells; status as subprocess has it."""
    if status == -13:
        return "a write to a connection that the client had left: ignore SIGPIPE (or MSG_NOSIGNAL)"
    if status in (-11, -7, -4):
        return "a memory error: build with -fsanitize=address and run it again"
    if status == -6:
        return "an assertion or abort(): its message is above"
    if "Traceback (most recent call last)" in stderr:
        return "an exception left the loop: one connection's fault must end that connection only"
    if status is not None:
        return "one connection's fault must end that connection only, never the server"
    return None
