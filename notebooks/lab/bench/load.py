"""The load: many clients in one process that does as little as can be for a message.

Batches are encoded before the clock starts, and so are the replies that must come
back: they are compared as one piece of memory.  So the generator works for each
batch, about three system calls, and not for each message.
"""

import gc
import itertools
import select
import socket
import time
from collections import namedtuple

from lab.wire import frame

KEYS = 8  # of one client: the dictionary stays small, however long the batch
SECONDS = 30  # no batch may take longer

# One batch: what is sent, and what must come back, both as bytes.
Exchange = namedtuple("Exchange", "request reply")


class LoadError(Exception):
    """The server did not answer as it must; the text says what came."""


def encode_resp(*words):
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(w), w) for w in words)


# How things look on the wire: a request, the reply to SET, the reply to GET.
WIRES = {
    "raw": (lambda *words: b" ".join(words), b"+OK", lambda value: b"$" + value),
    "frames": (
        lambda *words: frame(b" ".join(words)),
        frame(b"+OK"),
        lambda value: frame(b"$" + value),
    ),
    "resp": (encode_resp, b"+OK\r\n", lambda value: b"$%d\r\n%b\r\n" % (len(value), value)),
}


def make_exchanges(wire, client, batch, value_size):
    """The batches that one client sends in turn: SET and GET, one after the other.

    wire: a key of WIRES; client: its number; batch: messages; value_size: bytes.
    Values differ from message to message and from client to client; sizes do not
    differ between clients.
    """
    encode, set_reply, get_reply = WIRES[wire]
    messages = []
    for number in range(0, max(batch, 2), 2):
        key = b"key:%04d:%d" % (client, number // 2 % KEYS)
        value = (b"%d-%d-" % (client, number)).ljust(value_size, b"v")
        messages.append(Exchange(encode(b"SET", key, value), set_reply))
        messages.append(Exchange(encode(b"GET", key), get_reply(value)))
    if batch == 1:
        return messages
    return [Exchange(*(b"".join(parts) for parts in zip(*messages[:batch])))]


def hollow(exchanges):
    """The same sizes with replies of zeros, as the do-nothing server sends them."""
    return [Exchange(request, bytes(len(reply))) for request, reply in exchanges]


class Client:
    """One connection that always has one batch on the way."""

    __slots__ = ("sock", "turns", "reply", "place", "missing", "unsent", "began")

    def __init__(self, port, exchanges):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setblocking(False)
        # Each reply has a place of its own to be received in.
        places = [bytearray(len(exchange.reply)) for exchange in exchanges]
        self.turns = itertools.cycle(list(zip(exchanges, places)))

    def start(self):
        """Begin the next batch; True if all of it could be sent."""
        (request, self.reply), self.place = next(self.turns)
        self.missing = memoryview(self.place)
        self.began = time.perf_counter()
        sent = self.sock.send(request)
        self.unsent = memoryview(request)[sent:]
        return sent == len(request)

    def send_rest(self):
        """Send more of the batch; True if that was all."""
        self.unsent = self.unsent[self.sock.send(self.unsent) :]
        return not self.unsent

    def receive(self):
        """Take in what came; True if the batch is answered, LoadError if wrongly."""
        count = self.sock.recv_into(self.missing)
        if not count:
            raise LoadError("the server closed a connection")
        if count < len(self.missing):
            self.missing = self.missing[count:]
            return False
        if self.place != self.reply:
            came = bytes(self.place[:60])
            raise LoadError(f"wrong reply: {came!r}, not {self.reply[:60]!r}")
        return True


def drive(clients, seconds, spin=False):
    """Keep every client busy for `seconds`; return how long each batch took, in seconds.

    Every batch that was begun is waited for.  spin: never sleep; for a generator
    that has a core to itself, as the server would be charged for waking it.
    """
    timeout = 0 if spin else 1  # milliseconds for poll(), seconds for epoll()
    by_fd = {client.sock.fileno(): client for client in clients}
    poller = getattr(select, "epoll", select.poll)()
    times = []
    stop_at = time.perf_counter() + seconds
    gc.disable()
    for fd, client in by_fd.items():
        poller.register(fd, wanted(client.start()))
    while by_fd:
        ready = poller.poll(timeout)
        if time.perf_counter() > stop_at + SECONDS:
            raise LoadError(f"{len(by_fd)} batches not answered within {SECONDS} s")
        for fd, events in ready:
            client = by_fd[fd]
            if events & select.POLLOUT and client.send_rest():
                poller.modify(fd, select.POLLIN)
            if events & ~select.POLLOUT and client.receive():
                now = time.perf_counter()
                times.append(now - client.began)
                if now >= stop_at:
                    poller.unregister(fd)
                    del by_fd[fd]
                elif not client.start():
                    poller.modify(fd, wanted(False))
    gc.enable()
    return times


def wanted(all_sent):
    return select.POLLIN if all_sent else select.POLLIN | select.POLLOUT
