"""The client program: what it sends, what it prints, and how it ends."""

import time

import pytest
from harness import Failure, check, hints, pick_port
from harness.program import check_printed, run_program, show

MIB = 1024 * 1024
REPLIES = [
    (b"+OK", b"OK"),
    (b"$two words", b'"two words"'),
    (b"$", b'""'),
    (b'$a "b" \\', b'"a \\"b\\" \\\\"'),
    (b"$\n\x00\xff", b'"\\n\\x00\\xff"'),
    (b":42", b"(integer) 42"),
    (b"_", b"(nil)"),
    (b"-ERR no", b"(error) ERR no"),
]


def answering(*replies):
    """A server that sends these, one for each request."""

    def serve(connection):
        for reply in replies:
            connection.request()
            connection.reply(reply)

    return serve


def check_gave_up(ended, hint):
    """Fail unless the client has told of a lost server, and nothing else happened to it."""
    check(ended.status > 0, str(ended), "a status that says that it failed, and no signal", hint)
    check(ended.errors.strip(), "not a word", "a line on standard error that says what failed")
    check(b"Traceback" not in ended.errors, str(ended), "one line, no traceback", hint)


def test_each_kind_of_reply(program):
    """Each line of its input is sent as a request, and each reply is printed as a line."""
    requests = [b"GET %d" % number for number in range(len(REPLIES))]
    seen = []

    def serve(connection):
        for reply, _ in REPLIES:
            seen.append(connection.request())
            connection.reply(reply)

    ended = run_program(program, serve, b"".join(line + b"\n" for line in requests))
    sent = "the lines of its input, without their ends, as payloads"
    check(seen == requests, f"the requests {seen}", f"{sent}: {requests}")
    hint = "tests/README.md says how a reply is printed"
    check_printed(ended, [line for _, line in REPLIES], hint)


def test_a_reply_in_single_bytes(program):
    """A reply that comes in pieces is put together."""

    def serve(connection):
        connection.request()
        for byte in b"\x06\0\0\0$piece":
            connection.sock.sendall(bytes([byte]))
            time.sleep(0.01)

    hint = "recv() may return less than was asked for: go on until all is there"
    check_printed(run_program(program, serve, b"GET k\n"), [b'"piece"'], hint)


def test_two_replies_in_one_packet(program):
    """What comes behind a reply belongs to the next one."""

    def serve(connection):
        connection.request()
        connection.sock.sendall(b"\x04\0\0\0$one\x04\0\0\0$two")
        connection.request()

    hint = "recv() no more than is missing, or keep what is left over"
    check_printed(run_program(program, serve, b"GET 1\nGET 2\n"), [b'"one"', b'"two"'], hint)


def test_the_largest_reply(program):
    """A reply of a MiB is printed whole."""
    value = b"v" * (MIB - 1)
    hint = "read as many bytes as the header says, however many recv() calls that takes"
    check_printed(
        run_program(program, answering(b"$" + value), b"GET k\n"), [b'"%b"' % value], hint
    )


def test_replies_of_many_lengths(program):
    """Each byte of a length counts, whatever its value."""
    values = [b"v" * (size - 1) for size in (127, 128, 200, 255, 256, 40_000, 65_535, 65_536)]
    text = b"GET k\n" * len(values)
    ended = run_program(program, answering(*[b"$" + value for value in values]), text)
    check_printed(ended, [b'"%b"' % value for value in values], hints.SIGNED_BYTE)


def test_a_large_request_to_a_slow_server(program):
    """A request of nearly a MiB arrives whole at a server that reads slowly."""
    request = b"SET k " + b"v" * (MIB - 100)
    seen = []

    def serve(connection):
        time.sleep(0.5)
        seen.append(connection.request())
        connection.reply(b"+OK")

    ended = run_program(program, serve, request + b"\n")
    check(
        seen == [request],
        f"a request of {len(seen[0] if seen else b'')} bytes",
        f"{len(request)} bytes, a whole line of the input",
        "a line may be as long as a request; and send() may take a part of it",
    )
    check_printed(ended, [b"OK"])


def test_a_late_reply(program):
    """A client waits for a reply that takes its time."""

    def serve(connection):
        connection.request()
        time.sleep(1.5)
        connection.reply(b"+PONG")

    check_printed(run_program(program, serve, b"PING\n"), [b"PONG"])


LOST = "when the server has gone, say so on standard error, and end with a status that is not 0"


@pytest.mark.parametrize("way", ["close", "reset"])
def test_a_server_that_leaves(program, way):
    """A server that leaves before its reply is told of, and the status is not 0."""

    def serve(connection):
        connection.request()
        connection.reply(b"+OK")
        connection.request()
        if way == "reset":
            connection.reset()

    ended = run_program(program, serve, b"PING\nPING\nPING\n")
    check_gave_up(ended, LOST)
    check(ended.output.split() == [b"OK"], f"printed {show(ended.output)}", "the reply that came")


@pytest.mark.parametrize("sent", [b"\x08\0", b"\x08\0\0\0$half"], ids=["header", "payload"])
def test_a_server_that_leaves_inside_a_reply(program, sent):
    """A reply that is cut off is not printed, and the status is not 0."""

    def serve(connection):
        connection.request()
        connection.sock.sendall(sent)

    ended = run_program(program, serve, b"GET k\n")
    check_gave_up(ended, LOST)
    check(not ended.output.strip(), f"printed {show(ended.output)}", "nothing: half is no reply")


def test_a_server_of_another_kind(program):
    """A server that speaks something else is told of at once."""

    def serve(connection):
        connection.request()
        connection.sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        connection.sock.recv(1)  # stays open until the client leaves

    try:
        ended = run_program(program, serve, b"PING\n")
    except Failure as failure:
        hint = "compare a reply's length with the limit, 1 MiB, before you read so many bytes"
        raise Failure(failure.came, "an error, as no reply is so long", hint) from None
    check_gave_up(ended, LOST)


def test_nobody_listens(program):
    """Where nobody listens, the client says so, and the status is not 0."""
    ended = run_program(program, None, b"PING\n", port=pick_port())
    check_gave_up(ended, "look at what connect() returns")
