"""The clock of milestone 4: what becomes of a connection that has been idle for too long."""

import socket

import pytest
from loading import load_milestone

SECONDS = 10  # nothing here takes longer
server_module = load_milestone(4, "server").server


@pytest.fixture
def server():
    with server_module.make_listener("127.0.0.1", 0) as listener:
        server = server_module.Server(listener, idle_timeout=5)
        yield server
        for conn in server.fd2conn.values():
            conn.sock.close()


@pytest.fixture
def idle(server):
    """A client, and its Conn, on which no byte has moved for six seconds."""
    with socket.create_connection(server.listener.getsockname(), timeout=SECONDS) as client:
        server.run_once()
        (conn,) = server.fd2conn.values()
        conn.last_active -= 6
        yield client, conn


def owe(server, conn, data):
    """Give the connection a reply that poll() has not found room for."""
    conn.outgoing.append(data)
    conn.want_write = True
    server.update(conn.sock.fileno(), conn)


def test_an_idle_connection_is_closed_and_logged(server, idle, caplog):
    client, conn = idle
    server.handle_tick()
    assert client.recv(1) == b""
    assert server.fd2conn == {}
    assert caplog.messages == [f"{conn.peer}: idle for 5 s"]


def test_room_that_poll_did_not_speak_of_is_used(server, idle, caplog):
    client, conn = idle
    owe(server, conn, b"late reply")
    server.handle_tick()
    assert client.recv(100) == b"late reply"
    assert list(server.fd2conn.values()) == [conn], "a byte moved: it is not idle"
    assert caplog.messages == []


def test_the_last_reply_before_a_close_is_no_idleness(server, idle, caplog):
    client, conn = idle
    conn.want_close = True
    owe(server, conn, b"the last")
    server.handle_tick()
    assert client.recv(100) == b"the last"
    assert client.recv(100) == b""
    assert server.fd2conn == {}
    assert caplog.messages == []


def test_a_burst_of_newcomers_is_let_in_64_a_turn(server):
    address = server.listener.getsockname()
    clients = [socket.create_connection(address, timeout=SECONDS) for _ in range(70)]
    try:
        server.run_once()
        assert len(server.fd2conn) == 64
        server.run_once()
        assert len(server.fd2conn) == 70
    finally:
        for client in clients:
            client.close()
