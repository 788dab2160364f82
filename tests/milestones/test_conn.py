"""The handlers of milestone 4 against a socket in memory, and the work they do, counted."""

import pytest
from lab.wire import frame
from loading import load_milestone
from pieces import Pieces

KIB = 1024


@pytest.fixture
def conn_module():
    return load_milestone(4, "conn").conn


def serve(module, sock):
    """Let a connection take in everything that arrives on `sock`."""
    conn = module.Conn(sock, ("127.0.0.1", 1))
    while sock.arriving:
        try:
            module.handle_read(conn)
        except BlockingIOError:
            continue  # the loop would wait for POLLOUT
    return conn


@pytest.mark.parametrize("size", [1, 3, 64, 1000, 4096])
def test_requests_in_pieces_of_any_size_are_answered_in_order(conn_module, size):
    values = [b"%d" % number * (number % 50) for number in range(200)]
    sock = Pieces(b"".join(frame(b"ECHO " + value) for value in values), size)
    conn = serve(conn_module, sock)
    assert bytes(sock.sent) == b"".join(frame(b"$" + value) for value in values)
    assert not conn.incoming
    assert not conn.outgoing


@pytest.mark.parametrize("takes", [[0], [1], [6, 0], [0, 1], [3, 3, 3]])
def test_replies_that_the_kernel_does_not_take_at_once_wait_in_order(conn_module, takes):
    sock = Pieces(frame(b"ECHO one") + frame(b"ECHO two") + frame(b"ECHO 3"), 100, takes)
    conn = serve(conn_module, sock)
    assert conn.want_write, "poll() has to tell when there is room"
    while conn.want_write:
        try:
            conn_module.handle_write(conn)
        except BlockingIOError:
            continue  # the loop would wait for POLLOUT
    assert bytes(sock.sent) == frame(b"$one") + frame(b"$two") + frame(b"$3")
    assert conn.want_read


def test_replies_of_one_visit_leave_in_one_send(conn_module):
    sock = Pieces(frame(b"PING") * 1000, 16 * KIB)
    sends = []
    sock.send = lambda data: sends.append(len(data)) or len(data)
    serve(conn_module, sock)
    assert sends == [1000 * len(frame(b"+PONG"))]


def test_each_message_is_taken_out_by_moving_a_pointer(conn_module):
    calls = []

    class Watched(conn_module.Buffer):
        def make_room(self, count):
            calls.append(("moved", len(self)))
            super().make_room(count)

        def consume(self, count):
            calls.append(("consumed", count))
            super().consume(count)

    conn = conn_module.Conn(Pieces(frame(b"PING") * 1000, 16 * KIB), ("127.0.0.1", 1))
    conn.incoming = Watched()
    conn_module.handle_read(conn)
    # The batch is larger than the memory that an empty buffer keeps: room is
    # made once, while there is no data that would have to move.
    assert calls == [("moved", 0)] + 1000 * [("consumed", len(frame(b"PING")))]


@pytest.mark.parametrize(("mark", "replies"), [(100, 12), (90, 10)])
def test_nothing_is_answered_above_the_high_water_mark(conn_module, mark, replies):
    conn_module.HIGH_WATER = mark
    sock = Pieces(frame(b"PING") * 50, 16 * KIB, takes=[0])
    conn = conn_module.Conn(sock, ("127.0.0.1", 1))
    with pytest.raises(BlockingIOError):
        conn_module.handle_read(conn)
    assert len(conn.outgoing) == replies * len(frame(b"+PONG")), "the first that reach the mark"
    assert (conn.want_read, conn.want_write, conn.want_close) == (False, True, False)
    while conn.want_write:
        conn_module.handle_write(conn)
    assert bytes(sock.sent) == frame(b"+PONG") * 50
    assert conn.want_read


def test_the_end_of_the_stream_is_no_activity(conn_module):
    conn = conn_module.Conn(Pieces(b"", 1), ("127.0.0.1", 1))
    conn.sock.arriving = [b""]
    conn.last_active = 17
    conn_module.handle_read(conn)
    assert conn.last_active == 17
    assert conn.is_done()


@pytest.mark.parametrize("arrives", [b"x", frame(b"PING")])
def test_a_byte_that_came_is_activity_when_it_came(conn_module, arrives):
    times = iter([20, 30, 40, 50])
    conn = conn_module.Conn(Pieces(arrives, 100), ("127.0.0.1", 1))
    conn_module.time.monotonic, monotonic = lambda: next(times), conn_module.time.monotonic
    try:
        conn_module.handle_read(conn)
    finally:
        conn_module.time.monotonic = monotonic
    assert conn.last_active == (20 if arrives == b"x" else 30), "one moved in, one out"


@pytest.mark.parametrize("stage", [3, 4])
def test_a_refused_peer_gets_the_replies_it_is_owed_and_then_the_error(stage, caplog):
    module = load_milestone(stage, "conn").conn
    sock = Pieces(frame(b"PING") + b"\xff\xff\xff\xff" + frame(b"PING"), 100)
    conn = module.Conn(sock, ("127.0.0.1", 1))
    module.handle_read(conn)
    while conn.want_write:
        module.handle_write(conn)
    error = b"-ERR payload of 4294967295 bytes exceeds 1048576"
    assert bytes(sock.sent) == frame(b"+PONG") + frame(error)
    assert conn.is_done()
    assert not conn.want_read
    assert caplog.messages == ["127.0.0.1:1: payload of 4294967295 bytes exceeds 1048576"]


@pytest.mark.parametrize("stage", [3, 4])
def test_a_dropped_peer_is_done_and_has_one_line(stage, caplog):
    module = load_milestone(stage, "conn").conn
    conn = module.Conn(Pieces(frame(b"PING"), 100, takes=[0, 0]), ("127.0.0.1", 1))
    try:
        module.handle_read(conn)
    except BlockingIOError:
        assert stage == 4
    assert not conn.is_done(), "a reply waits"
    module.drop(conn, "gone")
    module.drop(conn, "gone again")
    assert conn.is_done()
    assert not conn.want_read and not conn.want_write
    assert caplog.messages == ["127.0.0.1:1: gone"]


def test_replies_that_wait_already_count_for_the_high_water_mark(conn_module):
    conn_module.HIGH_WATER = 90
    sock = Pieces(frame(b"PING") * 50, 5 * len(frame(b"PING")), takes=[0, 0])
    sock.arriving[1:] = [b"".join(sock.arriving[1:])]
    conn = serve(conn_module, sock)
    assert len(conn.outgoing) == 90
