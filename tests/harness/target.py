"""What is graded: a command to start it, its stage, and the messages it understands."""

import functools
import itertools
import sys
from pathlib import Path
from typing import NamedTuple

from harness import resp

MAX_PAYLOAD = 1024 * 1024
HEADER_SIZE = 4
STAGE_NAMES = {1: "sockets", 2: "framing", 3: "eventloop", 4: "pipelining"}

# Every message of a session has a number of its own: a reply that belongs to
# another request, of whichever client, is then seen to.
numbers = itertools.count(1)


class Message(NamedTuple):
    """A request's payload and the payload of the one right reply."""

    request: bytes
    reply: bytes


class Target(NamedTuple):
    """The server that a session grades.

    command: a list of words; `{port}` and `{idle_timeout}` in it are replaced.
    framed: False on milestone 1's wire, where a payload travels as it is.
    """

    command: list
    stage: int
    own: bool = False
    dialect: str = "commands"
    max_payload: int = MAX_PAYLOAD
    order: str = "little"  # of the bytes in a length
    answer: bytes = None  # what it replies to everything, if it does

    @property
    def framed(self):
        """Does a length of four bytes stand in front of each payload?"""
        return self.stage > 1 and not self.resp

    @property
    def echoes(self):
        """Does it know no commands?"""
        return self.dialect == "echo" or self.answer is not None

    @property
    def resp(self):
        return self.dialect == "resp"

    def wire(self, payload):
        """The bytes that carry one request."""
        if self.resp:
            return resp.encode_request(payload)
        return self.header(len(payload)) + payload if self.framed else payload

    def header(self, length):
        return length.to_bytes(HEADER_SIZE, self.order)

    def read_length(self, data):
        """The length that a frame's first bytes announce."""
        return int.from_bytes(data[:HEADER_SIZE], self.order)

    def reply_wire(self, payload):
        """The bytes that carry one reply."""
        return resp.encode_reply(payload) if self.resp else self.wire(payload)

    def announce(self, length):
        """The beginning of a request of that length."""
        return resp.announce(length) if self.resp else self.header(length)

    def message(self):
        """A short message unlike any other."""
        return self.carrying(b"message-%d" % next(numbers))

    def messages(self, count):
        """A list of `count` messages, all different."""
        return [self.message() for _ in range(count)]

    def carrying(self, text):
        """The message that makes the server send `text` back, any bytes."""
        if self.echoes:
            return Message(text, text if self.answer is None else self.answer)
        return Message(b"ECHO " + text, b"$" + text)

    def sized(self, size):
        """A message whose request has `size` bytes."""
        if self.echoes or self.resp or size >= 5:
            return self.carrying(pattern(size if self.echoes else max(size - 5, 0)))
        if size == 4:
            return Message(b"PING", b"+PONG")
        if size == 0:
            return Message(b"", b"-ERR empty command")
        return Message(b"?" * size, b"-ERR unknown command '%s'" % (b"?" * size))


LABEL = b"-LABEL-"
PERIOD = 19  # bytes from space to space: never at the end of an array of 2**n


@functools.lru_cache(maxsize=1)
def template(size):
    return b"".join(b"%s@%010d " % (LABEL, place) for place in range(0, size, PERIOD))


def pattern(size):
    """`size` bytes of text in which no place looks like another."""
    # The digits that change fastest come first: short texts differ, too.
    label = str(next(numbers))[::-1].ljust(len(LABEL), "-").encode()
    # Numbering the places anew for every text would take a tenth of a run's time.
    data = template(max(size, MAX_PAYLOAD) + PERIOD)[: size + PERIOD]
    return data.replace(LABEL, label)[:size]


def own_script(stage, name):
    folder = Path(__file__).resolve().parents[2] / f"milestone{stage}_{STAGE_NAMES[stage]}"
    return [sys.executable, str(folder / name), "--port", "{port}"]


def own_client(stage):
    """The command of our own client of a stage."""
    return own_script(stage, "client.py")


def own_target(stage):
    """Our own server of a stage."""
    command = own_script(stage, "server.py")
    if stage == 4:
        command += ["--idle-timeout", "{idle_timeout}"]
    return Target(command, stage, own=True)
