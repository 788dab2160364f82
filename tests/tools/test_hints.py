"""Each hint is given for what it names, and not for what looks like it."""

import signal
import socket
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from harness import Client, Server, endings, guess, hints, proc, wrong_reply
from harness.target import Target

TARGET = Target(["mine"], stage=2)


def framed(payload, order="little"):
    return len(payload).to_bytes(4, order) + payload


REPLY = b"$message-3517"
UNKNOWN = b"-ERR unknown command 'message-1'"
LONG = b"$" + b"abcdefgh" * 100
WRONG_REPLIES = [  # what came, the payload due, a word of the hint or None
    (framed(REPLY, "big"), REPLY, "big-endian"),
    (REPLY, REPLY, "without its 4-byte header"),
    ((17).to_bytes(4, "little") + REPLY, REPLY, "counts the payload alone"),
    (framed(b"$message-3518"), REPLY, "another request"),
    (framed(REPLY + b"\n"), REPLY, "line end"),
    (framed(REPLY + b"\0"), REPLY, "NUL"),
    (framed(REPLY + framed(b"ECHO message-3518")), REPLY, "one read may bring more than one"),
    (framed(REPLY + b"xyz"), REPLY, "more bytes than the reply has"),
    (framed(b"$2-Z\0\0\0ECHO x"), b"$message-3517", "another frame's bytes"),
    (framed(LONG[:400] + b"\0\0$x" + LONG[404:]), LONG, "send() may take a part"),
    (framed(b"message-3517"), REPLY, "type byte"),
    (framed(b"$good"), b"$good morning", "cut at a space"),
    (framed(b"$good"), b"$good\0morning", "cut at a NUL"),
    (framed(b"ECHO message-3517"), REPLY, "DIALECT=echo"),
    (framed(b":9223372036854776000"), b":9223372036854775807", "53 bits"),
    (framed(b":9223372036854775806"), b":9223372036854775806", None),
    (framed(b"-ERR payload of 4294967240 bytes exceeds 1"), b"-ERR payload of 9", "exactly"),
    (framed(REPLY[:-4]) + framed(b"-ERR what is left"), REPLY, "not the 4 bytes of the header"),
    (framed(REPLY[:-5]), REPLY, None),
    (framed(b"$message-1") + framed(REPLY), REPLY, "the reply to another request"),
    (framed(b":-9223372036854775808"), b"-ERR increment would overflow", "the largest number"),
    (framed(b":9223372036854775808"), b"-ERR increment would overflow", "the largest number"),
    (framed(b":-9.22337203685478e+18"), b":-9223372036854775807", "53 bits"),
    (framed(b":-9223372036854775808"), b":-9223372036854775807", "53 bits"),
    ((len(REPLY) - 4).to_bytes(4, "little") + REPLY, REPLY, "4 too small"),
    (b"+PONG\r\n", b"+PONG", "RESP"),
    (framed(b"-ERR no such thing"), b"-ERR empty command", "exactly the expected text"),
    (framed(b"-ERR unknown command 'ECHO'"), REPLY, "does not know ECHO yet"),
    (framed(b"-ERR unknown command 'eChO'"), REPLY, "or not in small letters"),
    (framed(b"-ERR unknown command 'FLY'"), REPLY, None),
    (b"-ERR unknown command '\\x11\\x00\\x00\\x00ECHO'", REPLY, "for a part of the command"),
    (framed(b"-ERR unknown command '\\x00\\x00\\x00\\x00'"), REPLY, None),  # an array not filled
    (framed(b"$hello"), REPLY, None),  # in a right frame, and like nothing that is known
    (framed(b"$good day"), b"$good morning", None),
    (framed(b"+OK"), b"+PONG", None),
    (bytes(4096), REPLY, "is the whole buffer sent"),
    (framed(b"$" + b"\0ab" * 200), b"$" + b"\0ab" * 300, "cut at 601 bytes"),
    (framed(LONG[:255]), LONG, "cut at 255 bytes"),
    (framed(LONG[:9]), LONG, None),  # so short a text begins like others
    (framed(b"$line"), b"$line\n", "the line end is missing"),
    (framed(b"$lin"), b"$line\n", None),
    (framed(b"$in front"), b"$  in front", "spaces in front are missing"),
    (framed(b"$front"), b"$  in front", None),
    (framed(b"-ERR wrong number of arguments for 'ping'"), b"$", "an empty argument"),
    (framed(b"-ERR wrong number of arguments for 'ping'"), b"$x", None),
    (framed(b"-ERR empty command"), b"-ERR payload of 2147483648 bytes exceeds 1", "unsigned"),
    (framed(b"-ERR empty command"), b"-ERR payload of 2147483647 bytes exceeds 1", "exactly"),
    (framed(b"$message-3518") + framed(REPLY), REPLY, "in their order"),
    (framed(b"$message-3518"), b"$hello", "another request"),
    (framed(b"$message-3518"), b"$message-3517message-3517", "another request"),
    (framed(b"$39-----@0000000000 3"), b"$40-----@0000000000 4", "another request"),
    (framed(b"$39-----@0000000000 x"), b"$39-----@0000000000 3", "the front is right"),
    ((13).to_bytes(8, "little") + REPLY, REPLY, "in 8 bytes"),
    (framed(bytes(4) + b"xy"), REPLY, None),
    (framed(b"$value-3"), b"$value-7", "another key"),
    (framed(b"$value-3"), b"$good", None),
    (framed(b"$messageessag"), REPLY, "the front is right"),
    (framed(b"$massageessag"), REPLY, None),
    (framed(b"$"), b"_", "made by asking"),
    (framed(b"$function toString()"), b"_", "names of its own"),
    (framed(b"$undefined"), b"_", "your language's word"),
    (framed(b"$two words"), b"$two  words", "spaces are missing"),
    (framed(b"$two worlds"), b"$two  words", None),
    (b"\3\0\0\0" + b"$\xe2\x82x", b"$\xe2\x82x", "not characters"),
    (b"\3\0\0\0" + b"$\xe2\x82y", b"$\xe2\x82x", None),
    (framed(b"-ERR unknown command 'FLY'"), b"-ERR unknown command 'Fly'", "but for capitals"),
    (framed(UNKNOWN[:-1] + b" and more'"), UNKNOWN, "at the first space"),
    (framed(b"-ERR value is not an integer or out of range"), b":9223372036854775807", "BigInt"),
    (framed(b"-ERR value is not an integer or out of range"), b":7", None),
    (framed(LONG[:99] + b"\0\0\0GET a" + LONG[:800]), LONG, "Keep a copy"),
    (framed(b"$one two"), b"$one two three", "cut at a space"),
    (b"hello\n" + framed(REPLY), REPLY, "in front of the reply"),
    (framed(b"hello") + framed(REPLY), REPLY, "in front of the reply"),
    (framed(b"+OK") + framed(REPLY), REPLY, None),  # a reply that is too much
    (framed(b"_"), b"$", "an empty value is one"),
    (framed(b"_"), b"$x", None),
    (framed(b'$"x y"'), b"$x y", "quotes"),
    (framed(b'$"x y"'), b'$"x y" z', "cut at a space"),
    (framed(b"$MESSAGE-3517"), REPLY, "in other letters"),
    (framed(b"$a%!(NOVERB)"), b"$a%", "a format"),
    (framed(b"$a"), b"$a%s", "a format"),
    (framed(b"$b%"), b"$a%", None),  # the difference is elsewhere
    (framed(b":-2147483647"), b":2147483649", "64 bits"),
    (framed(b"-ERR value is not an integer or out of range"), b":2147483649", "64 bits"),
    (framed(b":2147483650"), b":2147483649", None),
    (framed(b":2"), b"-ERR value is not an integer or out of range", "its plain form"),
    (framed(b"$2"), b"-ERR value is not an integer or out of range", None),
    (framed(b"+PONG"), b"-ERR unknown command 'PING\\x00'", "cut at a NUL"),
    (framed(b"+PONG"), b"-ERR unknown command 'PINK'", None),
    (framed(b"-ERR unknown command '\\xfffff'"), b"-ERR unknown command '\\xff'", "signed char"),
    (framed(b"-ERR unknown command '?CHO'"), b"-ERR unknown command '?'", "is older"),
    (framed(b"-ERR unknown command '!CHO'"), b"-ERR unknown command '?'", "exactly"),
    (framed(UNKNOWN[:-1] + b"x" * 60 + b"'"), UNKNOWN[:-1] + b"x" * 54 + b"'", "is older"),
    (framed(UNKNOWN[:-1] + b"x" * 60 + b"'"), UNKNOWN[:-1] + b"x" * 55 + b"'", "exactly"),
]


@pytest.mark.parametrize(("came", "reply", "word"), WRONG_REPLIES)
def test_a_wrong_reply(came, reply, word):
    hint = wrong_reply.for_reply(TARGET, came, reply)
    assert word in hint if word else hint is None


@pytest.mark.parametrize(
    ("judged", "came", "word"),
    [
        (TARGET._replace(stage=1), framed(b"-ERR payload of 9999999 bytes exceeds 1"), "STAGE=2"),
        (TARGET._replace(dialect="resp"), framed(b"-ERR payload of 99 bytes exceeds 1"), "without"),
        (TARGET, framed(b"-ERR payload of 9999999 bytes exceeds 1"), None),
        (TARGET._replace(stage=1), b"-ERR payload of 9999999 bytes exceeds 1", None),
        (TARGET._replace(answer=b"world"), framed(b"message-17"), "DIALECT=echo"),
        (TARGET._replace(answer=b"world"), framed(b"moon"), None),
        (TARGET._replace(answer=b"world"), framed(UNKNOWN), "without REPLY"),
        (TARGET._replace(dialect="echo"), framed(UNKNOWN), "without DIALECT=echo"),
        (TARGET._replace(dialect="echo", stage=1), UNKNOWN, "without DIALECT=echo"),
        (TARGET._replace(dialect="echo"), framed(b"-ERR unknown command 'x'"), None),
        (TARGET._replace(order="big"), framed(UNKNOWN), "without BIG_ENDIAN=1"),
        (TARGET._replace(order="big"), framed(UNKNOWN, "big"), None),
    ],
)
def test_a_server_that_is_judged_as_another_kind(judged, came, word):
    hint = wrong_reply.for_reply(judged, came, judged.answer or REPLY)
    assert word in hint if word else hint is None


@pytest.mark.parametrize(
    ("came", "given"), [(b"\n", True), (b"\0", True), (bytes(4096), True), (b"\n\n", False)]
)
def test_what_comes_behind_the_last_reply(came, given):
    assert (wrong_reply.for_extra(came) is not None) == given


@pytest.mark.parametrize(
    ("status", "rows", "given"), [(1, [6], True), (1, [5], False), (-6, [6], False)]
)
def test_an_end_when_a_frame_came_in_pieces(status, rows, given):
    assert (endings.for_ending(status, [], rows) == hints.BY_ROW[6]) == given


PARTS = [
    (framed(LONG)[:300], True),
    (framed(REPLY), False),
    (framed(LONG[::-1])[:300], False),
]


@pytest.mark.parametrize(("came", "given"), PARTS)
def test_a_large_reply_that_is_never_completed(came, given):
    assert (wrong_reply.for_part(TARGET, came, LONG) == hints.PARTIAL) is given
    assert ("POLLOUT" in str(wrong_reply.for_part(TARGET._replace(stage=3), came, LONG))) is given


def test_a_long_reply_without_a_frame_that_is_never_completed():
    hint = wrong_reply.for_part(TARGET._replace(stage=1), (LONG * 9)[:1024], LONG * 9)
    assert "cut at 1,024 bytes" in hint


def test_a_long_request_without_a_frame_that_is_taken_for_two():
    came = LONG[:256] + b"-ERR unknown command 'abc'"
    assert "taken for two" in wrong_reply.for_reply(TARGET._replace(stage=1), came, LONG)
    assert "taken for two" not in str(wrong_reply.for_reply(TARGET, framed(came), LONG))


@pytest.mark.parametrize(("length", "given"), [(2**31, True), (2**31 - 1, False)])
def test_an_end_where_a_very_long_length_should_be_refused(length, given):
    refusal = b"-ERR payload of %d bytes exceeds 1048576" % length
    assert (hints.for_end(TARGET, b"", refusal) == hints.UNSIGNED) is given


# Not a byte of it: then it was not the writing.
@pytest.mark.parametrize(("came", "given"), [*PARTS, (b"", False)])
def test_an_end_inside_a_large_reply(came, given):
    assert (hints.for_end(TARGET, came, LONG) == hints.PARTIAL) is given


@pytest.mark.parametrize(
    ("number", "lines", "word"),
    [
        (signal.SIGABRT, ["free(): invalid pointer"], "memory error"),
        (signal.SIGABRT, ["Assertion `n <= room' failed."], "Assertion `n <= room' failed."),
        (signal.SIGPIPE, [], "ignore SIGPIPE"),
        (-1, ["Exception in thread java.lang.NullPointerException"], "nobody caught this"),
        (-1, ["ConnectionResetError: [Errno 104]"], "must end that connection only"),
        (signal.SIGTERM, ["free(): invalid pointer"], "the server ended"),
    ],
)
def test_an_ended_server(number, lines, word):
    assert word in endings.for_ending(-number, lines)


def test_a_report_of_the_address_sanitizer_is_quoted():
    lines = [
        "==7==ERROR: AddressSanitizer: stack-overflow on address 0x7ffc",
        "  f7",
        "==7==ABORTING",
    ]
    assert endings.for_ending(1, lines).startswith("AddressSanitizer: stack-overflow")


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("write: Resource temporarily unavailable", "EAGAIN is no error"),
        ("read: Bad file descriptor", "a descriptor is used that is closed"),
        ("127.0.0.1:4711: closed inside a frame", None),
    ],
)
def test_what_a_server_has_written_of_a_failed_call(line, word):
    hint = hints.for_written(["listening", line])
    assert word in hint if word else hint is None


def test_an_end_where_replies_are_due_to_a_client_that_has_half_closed():
    assert hints.for_end(TARGET, framed(LONG)[:300], LONG, half_closed=True) == hints.BY_ROW[10]


class Inside:
    """What a client that has not left looks like."""

    sock = SimpleNamespace(fileno=lambda: 3)

    def __init__(self, replies, history):
        self.replies, self.history = replies, history


def clients(*replies, asked=True):
    """Clients inside, with that many replies each."""
    return [Inside(count, ["->"] if asked else []) for count in replies]


@pytest.mark.parametrize(
    ("length", "announced", "text"),
    [
        (234881024, {5, 14}, "other byte order"),
        (1157627904, {14, 15}, "b'\\x00\\x00\\x00E' was taken for a header"),  # of 0f 00 00 00 45
        (4294967240, {200}, "signed char"),
        (1048576, {14, 1048576}, "1,048,576 bytes are allowed"),
        (12435439, {14}, "decoded as text"),  # ef bf bd 00
    ],
)
def test_a_refusal_that_is_not_due(length, announced, text):
    came = framed(b"-ERR payload of %d bytes exceeds 1048576" % length)
    assert text in wrong_reply.for_refusal(TARGET, came, REPLY, announced)
    due = b"-ERR payload of 2000000 bytes"
    assert (
        wrong_reply.for_refusal(TARGET, came, due, {length}) is None
    )  # the number at least is right
    assert wrong_reply.for_refusal(TARGET, framed(REPLY), LONG, announced) is None
    assert (
        wrong_reply.for_refusal(TARGET, came[3::-1] + came[4:], REPLY, announced) is None
    )  # its own


@pytest.mark.parametrize(
    ("length", "text"),
    [(2097152, "still something of another client"), (4227858431, "other byte order")],
)
def test_a_refusal_of_another_length_than_the_one_that_is_due(length, text):
    came, due = framed(b"-ERR payload of %d bytes" % length), b"-ERR payload of 4294967291 bytes"
    assert text in wrong_reply.for_refusal(TARGET, came, due, {5, 4294967291})
    came = framed(b"-ERR payload of %d bytes" % 10**12)
    assert wrong_reply.for_refusal(TARGET, came, due, {5, 4294967291}) is None


@pytest.mark.parametrize(
    ("ended", "replies", "inbox", "given"),
    [("EOF", 0, b"", True), (None, 0, b"", False), ("EOF", 1, b"", False), ("EOF", 0, b"x", False)],
)
def test_an_end_before_the_first_reply(ended, replies, inbox, given):
    client = SimpleNamespace(ended=ended, replies=replies, inbox=inbox, half_closed=False)
    assert bool(hints.for_early_end(client)) is given


def ended(**attributes):
    """What a client looks like whose connection ended in good order, 0.5 s after it began."""
    base = dict(ended="EOF", replies=0, inbox=b"", half_closed=False, too_large=0)
    return SimpleNamespace(**{**base, "began": 10.0, "ended_at": 10.5, **attributes})


@pytest.mark.parametrize(
    ("attributes", "one_reply", "turned_away"),
    [
        ({}, False, True),
        ({"replies": 1}, True, False),
        ({"replies": 2}, False, False),
        ({"ended": "reset"}, False, False),
        ({"replies": 1, "half_closed": True}, False, False),
    ],
)
def test_an_end_that_nobody_asked_for(attributes, one_reply, turned_away):
    client = ended(**attributes)
    assert bool(hints.for_one_reply(client)) is one_reply
    assert bool(hints.for_turned_away(client)) is turned_away


# Closes each connection after so many seconds, or with 0 at its first request.
CUTS = """
import socket, sys, time
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    connection, _ = listener.accept()
    if float(sys.argv[2]):
        time.sleep(float(sys.argv[2]))
    else:
        connection.recv(1)
    connection.close()
"""


@pytest.mark.parametrize(("seconds", "given"), [("0.3", True), ("0", False)])
def test_a_time_out_that_ends_every_connection_is_told_from_other_ends(seconds, given):
    target = Target([sys.executable, "-c", CUTS, "{port}", seconds], stage=2)
    with Server(target) as server, Client(server) as client:
        client.send(target.header(5))
        client.collect(1)
        client.began -= 0.2  # as if it had lived a while, in which some replies came
        client.ended_at = client.began + 0.3
        assert ("ends 0.3 s after it began" in str(hints.short_life(Client, client))) is given


def test_a_death_at_a_length_that_is_negative_as_a_signed_number():
    assert "as an unsigned number" in endings.for_ending(-6, [], (), 1 << 31)
    assert "as an unsigned number" not in endings.for_ending(-6, [], (), (1 << 31) - 1)
    assert "ignore SIGPIPE" in endings.for_ending(-signal.SIGPIPE, [], (), 1 << 31)


def test_what_nobody_caught_is_told_by_its_own_line():
    node = ["/mine.js:7", "    throw new TypeError('x');", "    ^", "", "TypeError: x", "    at f"]
    assert endings.uncaught_in(node) == "TypeError: x"
    assert endings.uncaught_in(["  what(): std::LogicError"]) == "what(): std::LogicError"
    assert endings.uncaught_in(["nothing of that kind"]) is None


def test_what_an_error_that_nobody_caught_mostly_comes_from():
    ruby = "m.rb:8:in `f': undefined method `unpack1' for nil:NilClass (NoMethodError)"
    assert "the end of the stream" in endings.for_ending(1, [ruby])
    assert "bytes, no text" in endings.for_ending(1, ["UnicodeDecodeError: 'utf-8' codec"])
    assert endings.for_ending(1, ["KeyError: 'x'"]).endswith("KeyError: 'x'")


def test_a_runtime_that_tells_of_a_map_without_a_lock():
    assert endings.for_ending(2, ["fatal error: concurrent map writes"]) == hints.LOCK
    assert "index out" in endings.for_ending(2, ["panic: runtime error: index out of range [1]"])


def test_one_client_of_many_without_a_reply():
    many = clients(1, 1, 1, 0, 0)
    assert "client 4 of 5" in hints.for_place(many[3], many)
    assert hints.for_place(many[4], many) is None  # another one got none, either
    assert hints.for_place(many[2], many) is None  # it got one
    few = clients(1, 0)
    assert hints.for_place(few[1], few) is None  # a second client is no crowd
    mute = clients(0, 0, 0, asked=False) + clients(0)
    assert hints.for_place(mute[3], mute) is None  # nobody else has asked


@pytest.mark.parametrize(
    ("ended", "largest", "largest_reply", "given"),
    [
        ("reset", 30_000, 6, True),
        (None, 30_000, 6, False),  # it goes on
        ("EOF", 20, 6, False),  # every buffer holds that
        ("EOF", 30_000, 40_000, False),  # as much has worked before
    ],
)
def test_an_end_while_a_large_request_was_on_its_way(ended, largest, largest_reply, given):
    client = SimpleNamespace(
        target=TARGET, ended=ended, largest=largest, largest_reply=largest_reply
    )
    hint = hints.for_limit(client)
    assert ("30,000 bytes was on its way, and 1,048,576 are allowed" in (hint or "")) is given


@pytest.mark.parametrize(
    ("header", "replies", "given"),
    [(b"\xc8\0\0\0", 0, True), (b"\x10\0\0\0", 0, False), (b"\xc8\0\0\0", 1, False)],
)
def test_an_end_at_a_length_with_a_large_byte(header, replies, given):
    client = SimpleNamespace(
        target=TARGET,
        ended="EOF",
        largest=200,
        replies=replies,
        inbox=b"",
        history=[("->", 204, header + b"ECHO abc")],
    )
    assert (hints.for_signed(client) == hints.SIGNED_BYTE) is given


@pytest.mark.parametrize("piece", [1, 3, 4, 5, 100, 10_000])
def test_the_largest_request_is_known_however_it_is_sent(piece):
    wire = framed(b"") + framed(b"abc") + framed(b"x" * 5000) + framed(b"y" * 70)
    wire += (1 << 30).to_bytes(4, "little") + b"behind a length over the limit"
    client = Client.__new__(Client)
    client.target, client.largest, client.begun, client.skip = TARGET, 0, b"", 0
    client.announced = set()
    for at in range(0, len(wire), piece):
        client._look_at_lengths(wire[at : at + piece])
    assert client.largest == 5000 and client.announced == {0, 3, 5000, 70, 1 << 30}


SLEEPERS = {
    "read": "s.recv(1)",
    "write": "s.sendall(bytes(1 << 26))",
    "poll": "p = select.poll(); p.register(s, 1); p.poll()",
    None: "time.sleep(60)",
}


@pytest.mark.skipif(not proc.USABLE, reason="needs Linux: /proc tells what a process waits in")
@pytest.mark.parametrize("state", SLEEPERS)
def test_what_a_program_is_asleep_in(state):
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    code = "import select, socket, time; s = socket.create_connection(('127.0.0.1', {})); {}"
    words = [sys.executable, "-c", code.format(port, SLEEPERS[state])]
    with listener, subprocess.Popen(words, start_new_session=True) as program:
        peer, _ = listener.accept()
        try:
            deadline = time.monotonic() + 10
            while proc.asleep_in(program.pid) != state and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(0.1)
            assert proc.asleep_in(program.pid) == state
        finally:
            program.kill()
            peer.close()


# As a runtime's own threads, for one program; and as one for each client.
SERVES = """
import socket, sys, threading, time
for _ in range(3):
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
clients = []
while True:
    clients.append(listener.accept()[0])
    if sys.argv[2] == "threads":
        threading.Thread(target=clients[-1].recv, args=(1,), daemon=True).start()
"""


@pytest.mark.skipif(not proc.USABLE, reason="needs Linux: /proc tells of threads")
@pytest.mark.parametrize("kind", ["threads", "loop"])
def test_a_thread_for_each_client_is_told_from_those_of_a_runtime(kind):
    words = [sys.executable, "-c", SERVES, "{port}", kind]
    with Server(Target(words, stage=3)) as server:
        assert proc.workers(server.session) > 3
        assert guess.has_threads(server) == (kind == "threads")


# What is looked at when a reply does not come, or goes astray


def asking(*history, due=b"", inbox=b"", unread=0):
    """What a client looks like that waits for a reply."""
    return SimpleNamespace(
        history=list(history),
        due=due,
        inbox=bytearray(inbox),
        sock=SimpleNamespace(fileno=lambda: 3),
        collect=lambda seconds: None,
        unread_by_server=lambda: unread,
    )


def test_a_reply_that_another_client_got():
    client = asking(due=REPLY)
    assert guess.went_to_another(client, [client, asking(inbox=framed(REPLY))])
    assert not guess.went_to_another(client, [client, asking(inbox=framed(REPLY[:-1]))])
    short = asking(due=b"+OK")  # which everybody gets
    assert not guess.went_to_another(short, [short, asking(inbox=framed(b"+OK"))])


def test_a_reply_to_what_another_client_asked():
    client = asking(("->", 20, framed(b"ECHO message-1")), inbox=framed(b"$message-35"))
    other = asking(("->", 21, framed(b"ECHO message-35")))
    assert guess.asked_by_another(client, [client, other])
    longer = asking(("->", 22, framed(b"ECHO message-351")))
    assert not guess.asked_by_another(client, [client, longer])


@pytest.mark.parametrize(
    ("unread", "given"),
    [(400, True), (500, False), (0, False)],  # a part is read; nothing; all
)
def test_a_request_of_which_a_part_is_read(unread, given):
    history = [("->", 900, b"x"), ("<-", 900, b"x"), ("-> an event", None, b""), ("->", 500, b"x")]
    assert guess.part_is_read(asking(*history, unread=unread)) is given
    assert not guess.part_is_read(asking(*history, unread=unread, inbox=b"y"))


@pytest.mark.skipif(not proc.USABLE, reason="needs Linux: /proc tells of the queue")
def test_newcomers_that_nobody_has_accepted():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            with socket.create_connection(("127.0.0.1", port)):
                assert proc.not_accepted(port) == 2
            listener.accept()[0].close()
            assert proc.not_accepted(port) == 1
