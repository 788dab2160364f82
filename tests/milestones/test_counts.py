"""What our event loops promise about their own work, counted and never timed.

Each promise is looked at for two sizes: the counts of the one that grows grow
with the size, those of the other do not.
"""

import pytest
from lab import wire
from lab.observe import trace

SIZES = (20, 80)  # requests; the batches fit into one read
CONSTANT = 4  # the most poll() calls milestone 4 may need, whatever the size
FEW_TIMES = 4
BACKLOGS = (3_000, 12_000)  # bytes behind the first request; below one read


def connected(server):
    """A client that the server has accepted and answered."""
    sock = wire.connect(server.port)
    assert wire.ask(sock, b"PING") == b"+PONG"
    return sock


def answer(server, sock, requests):
    """Let the requests arrive together; the records made until all are answered."""
    before = len(server.records())
    with server.paused():
        sock.sendall(b"".join(wire.frame(request) for request in requests))
    for request in requests:
        assert wire.receive_frame(sock) == b"$" + request.partition(b" ")[2]
    return server.records()[before:]


def polls_for_batches(stage):
    """poll() calls to answer a batch, for each of SIZES."""
    with trace.start_traced_server(stage) as server, connected(server) as sock:
        batches = [[b"ECHO message %d" % n for n in range(size)] for size in SIZES]
        return [trace.count(answer(server, sock, batch), "poll") for batch in batches]


def polls_for_ping_pong(stage, rounds):
    with trace.start_traced_server(stage) as server, connected(server) as sock:
        before = len(server.records())
        for n in range(rounds):
            assert wire.ask(sock, b"ECHO %d" % n) == b"$%d" % n
        return trace.count(server.records()[before:], "poll")


def bytes_moved_for_one_message(stage, backlog):
    """Bytes moved to take one request away that has `backlog` bytes behind it.

    Those are one more request of which the last byte never comes.
    """
    with trace.start_traced_server(stage) as server, connected(server) as sock:
        before = len(server.records())
        with server.paused():
            rest = wire.frame(b"ECHO " + b"y" * backlog)[:backlog]
            sock.sendall(wire.frame(b"ECHO one") + rest)
        assert wire.receive_frame(sock) == b"$one"
        return trace.bytes_moved(server.records()[before:])


def test_row_13_milestone_3_answers_one_message_a_loop():
    for size, polls in zip(SIZES, polls_for_batches(3)):
        assert size <= polls <= size + CONSTANT


def test_row_13_milestone_4_answers_all_pending_messages_in_one_loop():
    small, large = polls_for_batches(4)
    assert 1 <= small <= CONSTANT
    assert 1 <= large <= CONSTANT


@pytest.mark.parametrize("rounds", SIZES)
def test_row_14_milestone_3_needs_two_polls_for_a_request(rounds):
    assert 2 * rounds <= polls_for_ping_pong(3, rounds) <= 2 * rounds + CONSTANT


@pytest.mark.parametrize("rounds", SIZES)
def test_row_14_milestone_4_needs_one_poll_for_a_request(rounds):
    assert rounds <= polls_for_ping_pong(4, rounds) <= rounds + CONSTANT


@pytest.mark.parametrize("backlog", BACKLOGS)
def test_row_15_milestone_3_copies_what_is_behind_a_message(backlog):
    assert bytes_moved_for_one_message(3, backlog) == backlog


@pytest.mark.parametrize("backlog", BACKLOGS)
def test_row_15_milestone_4_moves_nothing(backlog):
    assert bytes_moved_for_one_message(4, backlog) == 0


def bytes_moved_in_pieces(stream, step, replies):
    """Bytes that milestone 4 moves for a stream that arrives `step` bytes at a time."""
    with trace.start_traced_server(4) as server, connected(server) as sock:
        with connected(server) as other:
            before = len(server.records())
            for begin in range(0, len(stream), step):
                sock.sendall(stream[begin : begin + step])
                wire.ask(other, b"PING")  # with its answer the piece has been read
            for reply in replies:
                assert wire.receive_frame(sock) == reply
            return trace.bytes_moved(server.records()[before:])


@pytest.mark.parametrize("size", SIZES)
def test_row_15_milestone_4_moves_a_byte_a_few_times_when_requests_come_in_pieces(size):
    """Each piece ends inside a request, so the data comes to the end of its memory
    again and again: a move must be paid for by the bytes that are new."""
    words = [b"message number %02d" % n for n in range(size)]
    stream = b"".join(wire.frame(b"ECHO " + word) for word in words)
    moved = bytes_moved_in_pieces(stream, 37, [b"$" + word for word in words])
    assert 0 < moved <= FEW_TIMES * len(stream)


@pytest.mark.parametrize("size", BACKLOGS)
def test_row_15_milestone_4_moves_a_long_request_a_few_times_however_many_its_pieces(size):
    message = b"z" * size
    moved = bytes_moved_in_pieces(wire.frame(b"ECHO " + message), 500, [b"$" + message])
    assert 0 < moved <= FEW_TIMES * size


def turns_for_newcomers(stage, crowd):
    """poll() calls until the last of `crowd` clients that came together is answered."""
    with trace.start_traced_server(stage, shown=0) as server:
        with server.paused():
            socks = [wire.connect(server.port) for _ in range(crowd)]
        assert wire.ask(socks[-1], b"PING") == b"+PONG"
        turns = trace.count(server.records(), "poll")
        for sock in socks:
            sock.close()
        return turns


@pytest.mark.parametrize("crowd", SIZES)
def test_row_24_milestone_3_lets_one_newcomer_in_each_turn(crowd):
    assert turns_for_newcomers(3, crowd) >= crowd


@pytest.mark.parametrize("crowd", SIZES)
def test_row_24_milestone_4_lets_many_newcomers_in_at_once(crowd):
    assert turns_for_newcomers(4, crowd) <= CONSTANT + 1
