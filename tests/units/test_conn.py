"""The handlers of milestone 4 against a socket in memory, and the work they do, counted."""

import pytest
from lab.wire import frame
from loading import load_milestone

KIB = 1024


class Pieces:
    """A socket on which `data` arrives in pieces of `size` bytes, and that takes all replies."""

    def __init__(self, data, size):
        self.arriving = [data[start : start + size] for start in range(0, len(data), size)]
        self.sent = bytearray()

    def recv(self, count):
        return self.arriving.pop(0)

    def send(self, data):
        self.sent += data
        return len(data)


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


class CountedHeader:
    """framing.HEADER, with its calls of unpack_from() counted."""

    def __init__(self, header):
        self.pack = header.pack
        self.unpack = header.unpack_from
        self.looks = 0

    def unpack_from(self, data, offset):
        self.looks += 1
        return self.unpack(data, offset)


def test_a_request_in_many_pieces_is_not_looked_at_for_each_of_them(conn_module):
    # Each look makes the input one piece of bytes first, which copies all of it.
    conn_module.HEADER = CountedHeader(conn_module.HEADER)
    value = b"x" * (512 * KIB)
    sock = Pieces(frame(b"ECHO " + value), KIB)
    serve(conn_module, sock)
    assert bytes(sock.sent) == frame(b"$" + value)
    assert 1 <= conn_module.HEADER.looks <= 3, "as many looks as pieces"
