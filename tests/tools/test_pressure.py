"""How the suite tells a leak of descriptors from a kernel that has lost a packet."""

import socket
from contextlib import ExitStack

import pytest
from harness import Failure, pressure, proc

TCP_REPAIR = 19  # Linux: a socket in repair is closed without a word to its peer


class Holder:
    """A server that accepts three clients and closes none of them."""

    def __init__(self, stack):
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.port = listener.getsockname()[1]
        self.clients = [socket.create_connection(listener.getsockname()) for _ in range(3)]
        self.accepted = [stack.enter_context(listener.accept()[0]) for _ in self.clients]

    def open_sockets(self):
        return len(self.accepted)


@pytest.fixture
def holder(monkeypatch):
    if not proc.USABLE:
        pytest.skip("needs Linux: /proc tells what is connected")
    monkeypatch.setattr(pressure, "SETTLE_SECONDS", 0.2)
    monkeypatch.setattr(pressure, "visit", lambda server: None)
    with ExitStack() as stack:
        yield Holder(stack)


def test_a_client_that_has_left_and_is_still_open_is_a_leak(holder):
    for client in holder.clients:
        client.close()
    with pytest.raises(Failure, match="3 open sockets after that, 0 without"):
        pressure.check_open_sockets(holder, 0, "after that")


def test_a_client_whose_reset_was_lost_is_not_the_servers_fault(holder):
    for client in holder.clients:
        try:
            client.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
        except PermissionError:
            pytest.skip("needs root, to close a socket without a word")
        client.close()
    pressure.check_open_sockets(holder, 0, "after that")
