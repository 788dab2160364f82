"""What the simulation does not see of the handlers of milestone 4."""

import pytest
from lab.wire import frame
from loading import load_milestone
from pieces import Pieces

KIB = 1024


@pytest.fixture
def conn_module():
    return load_milestone(4, "conn").conn


def test_replies_of_one_visit_leave_in_one_send(conn_module):
    sock = Pieces(frame(b"PING") * 1000, 16 * KIB)
    sends = []
    sock.send = lambda data: sends.append(len(data)) or len(data)
    conn_module.handle_read(conn_module.Conn(sock, ("127.0.0.1", 1)))
    assert sends == [1000 * len(frame(b"+PONG"))]


def test_the_end_of_the_stream_is_no_activity(conn_module):
    conn = conn_module.Conn(Pieces(b"", 1), ("127.0.0.1", 1))
    conn.sock.arriving = [b""]
    conn.last_active = 17
    conn_module.handle_read(conn)
    assert conn.last_active == 17
    assert conn.is_done()
