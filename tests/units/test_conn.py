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
    conn = module.Conn(sock, ("127.0.0.1", 1), 0)
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


def test_a_request_in_many_pieces_is_not_copied_for_each_of_them(conn_module, monkeypatch):
    # try_all_requests() turns what it looks at into bytes: the only copy it makes.
    copied = []

    def counted(data):
        copied.append(len(data))
        return bytes(data)

    monkeypatch.setattr(conn_module, "bytes", counted, raising=False)
    value = b"x" * (512 * KIB)
    sock = Pieces(frame(b"ECHO " + value), KIB)
    serve(conn_module, sock)
    assert bytes(sock.sent) == frame(b"$" + value)
    assert copied, "bytes() is not called any more: count something else"
    assert sum(copied) <= 4 * len(value), "as many copies as pieces"
