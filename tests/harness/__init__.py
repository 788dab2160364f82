"""Everything a conformance test needs: a server under test and recording clients.

A test is a function whose docstring is the rule it checks, in one sentence; the
fixtures of tests/conftest.py give it what it needs:

    @row(5)                                   the row of tests/harness/capabilities.py
    def test_two_in_one_segment(target, connect):
        '''Two requests in one segment get two replies, in order.'''
        messages = target.messages(2)         distinct requests and their replies
        client = connect()                    closed by itself at the end
        client.send_requests(messages)        both in one piece
        client.expect_replies(messages)       Failure says what came instead

target   what is graded: stage, own (one of ours?), framed, dialect, max_payload;
         makes messages that the wire and the dialect allow
server   the running server, shared by many tests, restarted when it has died
connect  connect(), connect(server=..., segment=536, receive_buffer=8192)
start    start(descriptors=None, idle_timeout=None, port=None): a server of the
         test's own, for what must not be shared (memory, CPU, files, its end)
"""

from harness.client import Client
from harness.failure import Failure, StartError, check
from harness.marks import commands_only, frames_only, gate, ours_only, row, since
from harness.server import Server, pick_port
from harness.target import Message, Target, numbers

__all__ = [
    "Client",
    "Failure",
    "Message",
    "Server",
    "StartError",
    "Target",
    "check",
    "commands_only",
    "frames_only",
    "gate",
    "numbers",
    "ours_only",
    "pick_port",
    "row",
    "since",
]
