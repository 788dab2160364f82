"""Faults that must not end a server: of accept(), and of memory; all four milestones."""

import errno
import os
import socket

import pytest
from lab.wire import frame
from loading import load_milestone

SECONDS = 10  # nothing here takes longer
ONE_CALLERS = ("EPROTO", "EPERM", "EHOSTUNREACH", "ETIMEDOUT")
OUT_OF = ("EMFILE", "ENFILE", "ENOBUFS", "ENOMEM")


class Stop(BaseException):
    """The script is over."""


class Scripted:
    """A listener: accept() raises or returns what it is told, then Stop.

    readable: a socket in whose place poll() looks.
    """

    def __init__(self, readable, script):
        self.readable = readable
        self.script = list(script)

    def fileno(self):
        return self.readable.fileno()

    def setblocking(self, blocking):
        pass

    def accept(self):
        if not self.script:
            raise Stop
        step = self.script.pop(0)
        if isinstance(step, BaseException):
            raise step
        return step, ("127.0.0.1", 1)


def run(stage, script, broken=None):
    """Serve until the script of accept() is over, and all that the clients sent is answered.

    broken: a request for which there is no memory.
    """
    modules = load_milestone(stage, "server", *["conn"][: stage >= 3])
    if broken:
        lacking_memory(modules.conn if stage >= 3 else modules.server, broken)
    readable, other = socket.socketpair()
    with readable, other:
        other.send(b"x")  # so that the listener stays readable
        listener = Scripted(readable, script)
        try:
            if stage < 3:
                modules.server.serve_forever(listener)
            else:
                options = [300] if stage == 4 else []
                modules.server.Server(listener, *options).serve_forever()
        except Stop:
            return


def lacking_memory(module, broken):
    respond = module.respond

    def checked(request):
        if request == broken:
            raise MemoryError
        return respond(request)

    module.respond = checked


@pytest.mark.parametrize("stage", [1, 2, 3, 4])
@pytest.mark.parametrize("name", ONE_CALLERS)
def test_an_accept_that_fails_for_its_caller_is_a_line_and_the_next_is_served(stage, name, caplog):
    number = getattr(errno, name)
    ours, theirs = socket.socketpair()
    with theirs:
        theirs.settimeout(SECONDS)
        theirs.shutdown(socket.SHUT_WR)  # milestones 1 and 2 wait for it
        nothing_more = [BlockingIOError()] * 3 if stage >= 3 else []
        run(stage, [OSError(number, os.strerror(number)), ours, *nothing_more])
        assert theirs.recv(1) == b"", "accepted, and closed at its end"
    assert caplog.messages == [f"cannot accept: [Errno {number}] {os.strerror(number)}"]


@pytest.mark.parametrize("stage", [1, 2, 3])
@pytest.mark.parametrize("name", OUT_OF)
def test_a_lack_of_files_is_one_line_however_often_it_is_met(stage, name, caplog):
    run(stage, 5 * [OSError(getattr(errno, name), "simulated")])
    assert len(caplog.messages) == 1


@pytest.mark.parametrize("stage", [1, 2, 3, 4])
def test_no_memory_for_a_request_is_the_fault_of_that_request(stage, caplog):
    ends = [socket.socketpair() for _ in range(2)]
    (ours, first), (ours_too, second) = ends
    with first, second:
        for client, request in ((first, b"ECHO x"), (second, b"PING")):
            client.settimeout(SECONDS)
            client.sendall(request if stage == 1 else frame(request))
            client.shutdown(socket.SHUT_WR)
        nothing_more = [BlockingIOError()] * 9 if stage >= 3 else []
        run(stage, [ours, ours_too, *nothing_more], broken=b"ECHO x")
        assert first.recv(100) == b""
        assert second.recv(100) == (b"+PONG" if stage == 1 else frame(b"+PONG"))
    assert caplog.messages == ["127.0.0.1:1: no memory for its request"]
