"""The client program with --pipeline: it sends without waiting for each reply."""

from harness import check
from harness.program import check_printed, run_program

FEW, MANY = 100, 20_000
LARGE = 300  # requests, so many that their bytes, and those of their replies, fit in no kernel


def run_pipeline(program, serve, text):
    """run_program() with --pipeline; Failure if the client does not know it."""
    ended = run_program([*program, "--pipeline"], serve, text)
    unknown = ended.status == 2 and b"--pipeline" in ended.errors
    check(not unknown, str(ended), "a client with the option --pipeline")
    return ended


def test_requests_do_not_wait_for_replies(program):
    """With --pipeline all requests are sent before the first reply has come."""
    requests = [b"PING %d" % number for number in range(FEW)]

    def serve(connection):
        for _ in requests:
            connection.request()
        for request in requests:
            connection.reply(b"$" + request)

    ended = run_pipeline(program, serve, b"\n".join(requests) + b"\n")
    check_printed(ended, [b'"%b"' % request for request in requests], "send, and read meanwhile")


def test_replies_are_read_while_requests_are_sent(program):
    """With --pipeline a server that waits for its replies to be read is no deadlock."""
    request, reply = b"GET " + b"k" * 50_000, b"$" + b"v" * 100_000

    def serve(connection):
        # Nothing more is read until a reply has gone: as servers do at their limit.
        while connection.request() is not None:
            connection.reply(reply)
            if len(connection.requests) == LARGE:
                return

    ended = run_pipeline(program, serve, (request + b"\n") * LARGE)
    came = ended.output.count(b"\n")
    check(came == LARGE, f"{came} lines; {ended}", f"{LARGE} replies")


def test_replies_of_many_requests_in_order(program):
    """With --pipeline the replies are printed in order, however many there are."""

    def serve(connection):
        for number in range(MANY):
            connection.request()
            connection.reply(b":%d" % number)

    text = b"".join(b"INCR key%d\n" % number for number in range(MANY))
    ended = run_pipeline(program, serve, text)
    check_printed(ended, [b"(integer) %d" % number for number in range(MANY)])
