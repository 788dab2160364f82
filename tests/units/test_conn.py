"""The handlers of milestone 4 against a socket in memory, and the work they do, counted."""

import pytest
from lab.wire import frame
from loading import load_milestone

KIB = 1024


class Pieces:
    """A socket on which `data` arrives in pieces of `size` bytes.

    takes: how many bytes each send() takes, 0 for BlockingIOError; after these,
    all that it is given.
    """

    def __init__(self, data, size, takes=()):
        self.arriving = [data[start : start + size] for start in range(0, len(data), size)]
        self.takes = list(takes)
        self.sent = bytearray()

    def recv(self, count):
        return self.arriving.pop(0)

    def send(self, data):
        count = self.takes.pop(0) if self.takes else len(data)
        if not count:
            raise BlockingIOError
        self.sent += data[:count]
        return min(count, len(data))


@pytest.fixture
def conn_module():
    return load_milestone(4, "conn").conn


def serve(module, sock):
    """Let a connection take in everything that arrives on `sock`."""
    conn = module.Conn(sock, ("127.0.0.1", 1))
    while sock.arriving:
        module.handle_read(conn)
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
    sock = Pieces(frame(b"ECHO one") + frame(b"ECHO two") + frame(b"ECHO 3"), 24, takes)
    conn = serve(conn_module, sock)
    assert conn.want_write, "poll() has to tell when there is room"
    while conn.want_write:
        try:
            conn_module.handle_write(conn)
        except BlockingIOError:
            continue  # the loop would wait for POLLOUT
    assert bytes(sock.sent) == frame(b"$one") + frame(b"$two") + frame(b"$3")
    assert conn.want_read


def test_a_request_in_many_pieces_is_moved_a_few_times_only(conn_module):
    moved = []
    make_room = conn_module.Buffer.make_room

    def counting(self, count):
        moved.append(len(self))
        make_room(self, count)

    conn_module.Buffer.make_room = counting
    value = b"x" * (512 * KIB)
    sock = Pieces(frame(b"ECHO " + value), KIB)
    serve(conn_module, sock)
    assert bytes(sock.sent) == frame(b"$" + value)
    assert 0 < sum(moved) <= 4 * len(value)


def test_no_memory_for_a_request_is_the_fault_of_that_request(conn_module):
    """What respond() can't hold is told to the loop, which ends this connection only."""

    def respond(request):
        raise MemoryError

    conn_module.respond = respond
    with pytest.raises(MemoryError):
        serve(conn_module, Pieces(frame(b"SET k v"), 64))


def test_what_was_dropped_is_neither_sent_nor_answered(conn_module):
    sock = Pieces(frame(b"ECHO one") + frame(b"ECHO two"), 1000, [3, 0])
    conn = serve(conn_module, sock)
    conn_module.drop(conn, "gone")
    assert conn.is_done()
    assert not conn.want_read and not conn.want_write
