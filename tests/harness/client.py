"""A client that remembers what it sent and received, and waits for nothing forever."""

import contextlib
import random
import re
import select
import socket
import struct
import sys
import time

from harness import hints, proc, resp, wrong_reply
from harness.failure import Failure

PATIENCE = 8  # seconds without a byte moving, then a wait is given up
SHORT_PATIENCE = 1.5  # once several waits have failed: the others will, too
FAILED_WAITS = 2
PIECE_PAUSE = 0.002  # between pieces that should arrive one by one
LINGER = 0.2  # seconds in which more of a wrong reply may come: it makes the failure clearer
ENOUGH = 1 << 20  # bytes of that
ENDLESS = 1 << 22  # bytes, beside a few largest replies: more than any test asks for
CHUNK = 1 << 18
KEPT = 48  # bytes of each piece that are remembered, at its front

_failed_waits = 0


def patience():
    """How long to wait for something to happen, in seconds."""
    return PATIENCE if _failed_waits < FAILED_WAITS else SHORT_PATIENCE


class Client:
    """One connection to a server under test.

    server: the harness.server.Server.  segment: TCP_MAXSEG in bytes, and
    receive_buffer: SO_RCVBUF in bytes; small ones make the kernel hold little for us.

    Attributes: sock (non-blocking), name ("127.0.0.1:51234"), inbox (received, not
    yet expected), replies (number of right ones so far), began and ended_at (seconds,
    time.monotonic()), ended (None, "EOF" or "reset"), gave_up (a wait was too long),
    unanswered (it was one for a reply, whose payload is due), history (list of (arrow,
    length, first bytes)), largest, largest_reply and too_large (payloads, in bytes: a
    request that the limit allows, a right reply, a length that was announced).
    """

    def __init__(self, server, segment=None, receive_buffer=None):
        self.server = server
        self.target = server.target
        self.inbox = bytearray()
        self.replies = 0
        self.began = time.monotonic()
        self.ended = self.ended_at = None
        self.gave_up = False
        self.half_closed = False
        self.unanswered, self.due = False, b""
        self.largest = self.too_large = 0
        self.largest_reply = 0
        self.announced = set()  # the lengths in the headers that were sent
        self.begun, self.skip = b"", 0  # of what is sent: a header's first bytes, a payload's rest
        self.history = []
        self.sock = socket.socket()
        if segment:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, segment)
            self._take_fresh_address()
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._connect()
        self.sock.setblocking(False)
        self.poller = select.poll()
        self.poller.register(self.sock, 0)

    def _take_fresh_address(self):
        """Connect from an address of this machine that nobody has used before.

        Linux remembers by address what earlier connections took, and starts the
        next one with buffers as large as that: sometimes 200 KiB, sometimes 4 MiB.
        """
        if sys.platform.startswith("linux"):
            numbers = (random.randint(1, 254) for _ in range(3))
            with contextlib.suppress(OSError):  # a loopback of 127.0.0.1 alone: from there, then
                self.sock.bind(("127.{}.{}.{}".format(*numbers), 0))

    def _connect(self):
        self.name, self.address = "a client that never got in", ("127.0.0.1", 0)
        self.sock.settimeout(patience())
        try:
            self.sock.connect(("127.0.0.1", self.server.port))
        except socket.timeout:
            self._timed_out("the connection to be taken", hints.NOT_TAKEN)
        except OSError as error:
            places = proc.places(self.server.session) if proc.USABLE else []
            where = " and ".join(f"{host} port {port}" for host, port in places)
            hint = f"it listens on {where}" if where else None
            self.fail(f"connect() failed: {error.strerror}", "a server that listens", hint)
        self.address = self.sock.getsockname()
        self.name = "{}:{}".format(*self.address)
        with contextlib.suppress(OSError):  # macOS: closed already; whoever reads is told
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    # Failing

    def fail(self, came, expected, hint=None):
        raise Failure(came, expected, hint, client=self)

    def note(self, text):
        """Put an event into the conversation."""
        self.history.append((text, None, b""))

    def _timed_out(self, what, hint=None):
        global _failed_waits
        _failed_waits += 1
        self.gave_up = True
        self.fail(f"nothing came for {patience():g} s", what, hint)

    def _record(self, arrow, data):
        self.history.append((arrow, len(data), bytes(data[:KEPT])))

    # Waiting

    def _wait(self, events, what, hint=None):
        """Wait until poll() reports one of `events`; the bits that it did report."""
        self.poller.modify(self.sock, events)
        ready = self.poller.poll(patience() * 1000)
        if not ready:
            self._timed_out(what, hint)
        return ready[0][1]

    def _receive_some(self):
        """Move what has come into the inbox; False once the stream has ended."""
        try:
            data = self.sock.recv(CHUNK)
        except BlockingIOError:
            return True
        except OSError as error:
            self._end("reset", f"<- {error.strerror}")
            return False
        if not data:
            self._end("EOF", "<- end of stream")
            return False
        self._record("<-", data)
        self.inbox += data
        if len(self.inbox) > ENDLESS + 16 * self.target.max_payload:
            self.fail(
                f"the server does not stop sending: {len(self.inbox) >> 20} MiB, first "
                f"{self.explain(bytes(self.inbox[:ENOUGH]))}",
                "the replies that were asked for",
                "is the same reply sent again in each turn? What is sent has to leave the buffer",
            )
        return True

    def _end(self, how, text):
        if not self.ended:
            self.note(text)
            self.ended_at = time.monotonic()
        self.ended = how

    # Sending

    def send(self, data, reading=True):
        """Send all of `data`.

        While the server does not take more, replies are read into the inbox:
        reading=False leaves them where they are.
        """
        self._look_at_lengths(data)
        rest = memoryview(data)
        while rest:
            sent = self._send_some(rest)
            self._record("->", rest[:sent]) if sent else None
            rest = rest[sent:]
            if rest:
                self._wait_for_room(len(rest), reading)

    def _look_at_lengths(self, data):
        """Keep the largest payload that was announced and is within the limit."""
        if not self.target.framed:
            return
        data = self.begun + data
        while len(data) >= self.skip + 4:
            length = self.target.read_length(data[self.skip : self.skip + 4])
            self.announced.add(length)
            if length <= self.target.max_payload:
                self.largest = max(self.largest, length)
            else:
                self.too_large = length
            self.skip += 4 + length
        self.begun = data[self.skip :]
        self.skip = max(self.skip - len(data), 0)

    def _send_some(self, data):
        try:
            return self.sock.send(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            self.collect(0)
            return self.fail(
                f"the connection broke while we were sending: {error.strerror}",
                "a connection that stays open",
            )

    def _wait_for_room(self, left, reading):
        events = select.POLLOUT | (select.POLLIN if reading and not self.ended else 0)
        ready = self._wait(events, f"the server to read the {left} bytes that are still to be sent")
        if reading and ready & select.POLLIN:
            self._receive_some()

    def send_until_refused(self, limit):
        """Send zeros until the server has closed, or taken `limit` bytes; how many it took."""
        zeros = bytes(1 << 16)
        total = 0
        while total < limit:
            try:
                total += self.sock.send(zeros)
            except BlockingIOError:
                self._wait(
                    select.POLLOUT, "the server to close, or to take what is sent", hints.STILL_OPEN
                )
            except OSError as error:
                self.note(f"-> {total} bytes more; {error.strerror}")
                break
        return total

    def send_requests(self, messages, reading=True):
        """Send the requests of all messages in one piece."""
        self.send(b"".join(self.target.wire(m.request) for m in messages), reading)

    def send_pieces(self, data, *cuts):
        """Send `data` cut at the given places, a little apart."""
        places = [0, *cuts, len(data)]
        for begin, end in zip(places, places[1:]):
            self.send(data[begin:end])
            time.sleep(PIECE_PAUSE)

    # Receiving

    def expect_replies(self, messages):
        """Receive the replies of all messages, in order."""
        for number, message in enumerate(messages, 1):
            place = f"reply {number} of {len(messages)}" if len(messages) > 1 else "the reply"
            self.expect(message.reply, place, first=number == 1)

    def expect(self, reply, what="the reply", first=True):
        """Receive one reply with this payload; it is the first of its batch, or not."""
        wire = self.target.reply_wire(reply)
        if self.target.resp and reply.startswith(b"-"):
            wire = self._error_line(wire, what, first)
        # Compared as it comes: a wrong length must not make us wait for its bytes.
        checked = 0
        while True:
            upto = min(len(self.inbox), len(wire))
            if self.inbox[checked:upto] != wire[checked:upto]:
                self._wrong_reply(reply, what)
            checked = upto
            if checked == len(wire):
                break
            self._more(reply, what, first)
        del self.inbox[: len(wire)]
        self.replies += 1
        self.largest_reply = max(self.largest_reply, len(reply))

    def _error_line(self, wire, what, first):
        """The error that has come: in RESP its text is the server's own."""
        while b"\r\n" not in self.inbox and self.inbox[:4] == wire[: len(self.inbox)][:4]:
            self._more(wire, what, first)
        line, end, _ = bytes(self.inbox).partition(b"\r\n")
        return line + end if line.startswith(b"-ERR ") else wire

    def _more(self, reply, what, first=True):
        """Receive some more of a reply that is still incomplete."""
        expected = f"{what}: {show(reply)}" if reply else what
        if self.ended:
            self._stopped(reply, expected)
        self.poller.modify(self.sock, select.POLLIN)
        if not self.poller.poll(patience() * 1000):
            if self.inbox:
                hint = wrong_reply.for_part(self.target, bytes(self.inbox), reply)
                self._wrong_reply(reply, what, f", then nothing for {patience():g} s", hint)
            self.unanswered, self.due = True, reply
            self._timed_out(expected, None if first else hints.LEFTOVERS[self.target.stage])
        self._receive_some()

    def _stopped(self, reply, expected):
        how = "the connection was reset"
        if self.ended == "EOF":
            how = "the server closed the connection"
        before = f" after {show(bytes(self.inbox))}" if self.inbox else ""
        hint = hints.for_end(self.target, bytes(self.inbox), reply, self.half_closed)
        self.fail(how + before, expected, hint)

    def _wrong_reply(self, reply, what, then="", hint=None):
        self.collect(LINGER)
        came = bytes(self.inbox)
        if self.too_large and came[4:].startswith(b"-ERR payload of %d bytes" % self.too_large):
            hint = hints.OVERTAKEN
        self.fail(
            self.explain(came) + then,
            f"{what}: {self.explain(self.target.reply_wire(reply))}",
            hint
            or wrong_reply.for_refusal(self.target, came, reply, self.announced)
            or wrong_reply.for_reply(self.target, came, reply),
        )

    def unread_by_server(self):
        """Bytes of requests that have come to the server's kernel and no further; Linux only."""
        return proc.queues(("127.0.0.1", self.server.port), self.address)[0]

    def on_its_way(self):
        """Bytes of requests that have not come to the server's kernel yet; Linux only."""
        return proc.queues(self.address, ("127.0.0.1", self.server.port))[1]

    def explain(self, data):
        """Bytes from the wire as text: a header, what it says, a payload, and what follows."""
        if not self.target.framed or len(data) < 4:
            return show(data)
        end = 4 + self.target.read_length(data)
        behind = f", and behind that {show(data[end:])}" if data[end:] else ""
        return f"header {data[:4].hex(' ')} = length {end - 4}, then {show(data[4:end])}{behind}"

    def collect(self, seconds):
        """Take in whatever comes within that time, or ENOUGH of it, without judging it."""
        end, most = time.monotonic() + seconds, len(self.inbox) + ENOUGH
        self.poller.modify(self.sock, select.POLLIN)
        while not self.ended and len(self.inbox) < most:
            if not self.poller.poll(max(0, end - time.monotonic()) * 1000):
                break
            self._receive_some()

    def receive(self, what="a reply"):
        """Receive one reply, whatever its payload is; returns the payload."""
        if self.target.resp:
            while (found := resp.parse_reply(self.inbox)) is None:
                self._more(b"", what)
            payload, size = found
            del self.inbox[:size]
            self.replies += 1
            return payload
        limit = self.target.max_payload + 1024
        while len(self.inbox) < 4:
            self._more(b"", what)
        length = self.target.read_length(self.inbox)
        if length > limit:
            self._wrong_reply(b"", what)
        while len(self.inbox) < 4 + length:
            self._more(b"", what)
        payload = bytes(self.inbox[4 : 4 + length])
        del self.inbox[: 4 + length]
        self.replies += 1
        return payload

    def receive_number(self, hint=None):
        """Receive the reply to an INCR; returns its number."""
        reply = self.receive()
        if not re.fullmatch(rb":\d{1,19}", reply):
            self.fail(show(reply), "the reply to INCR, `:` and a number", hint)
        return int(reply[1:])

    def ask(self, message):
        """Send one message's request and receive its reply."""
        self.send_requests([message])
        self.expect_replies([message])

    def command(self, request, reply):
        """Send this request, expect this reply (both payloads)."""
        self.send(self.target.wire(request))
        self.expect(reply, f"the reply to {show(request)}")

    def acknowledge_late(self):
        """Let our kernel wait up to 40 ms before it acknowledges what comes next."""
        if hasattr(socket, "TCP_QUICKACK"):
            with contextlib.suppress(OSError):  # gone: what is asked next says so
                self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)

    def timed(self, messages):
        """Send the requests in one piece and receive the replies; seconds it took."""
        began = time.monotonic()
        self.send_requests(messages)
        self.expect_replies(messages)
        return time.monotonic() - began

    def expect_eof(self):
        """The server closes in an orderly way and sends nothing more."""
        self._expect_end()
        if self.ended == "reset":
            self.fail("the connection was reset", "an orderly end of the stream")

    def expect_closed(self, hint=None):
        """The server closes, with an end of stream or a reset, and sends nothing more."""
        self._expect_end(hint)

    def _expect_end(self, hint=None):
        hint = hints.NOT_CLOSED if self.half_closed else hint
        while not self.ended and not self.inbox:
            self._wait(select.POLLIN, "the server to close the connection", hint)
            self._receive_some()
        if self.inbox:
            self.collect(LINGER)
            came = bytes(self.inbox)
            expected = "nothing more, and the connection closed"
            self.fail(self.explain(came), expected, wrong_reply.for_extra(came))

    def collect_all(self, what):
        """Take in whatever comes until the connection ends, without judging it."""
        while not self.ended:
            self._wait(select.POLLIN, what)
            self._receive_some()

    def expect_nothing(self, seconds=0.2):
        """No byte comes for that long.  Only for what a server must never send."""
        self.collect(seconds)
        if self.inbox:
            self.fail(self.explain(bytes(self.inbox)), "no reply yet")
        if self.ended:
            self.fail(f"the connection ended ({self.ended})", "a connection that stays open")

    # Ending

    def half_close(self):
        """Tell the server that no more comes; replies are still read."""
        self.half_closed = True
        self.note("-> end of stream (we can still read)")
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError as error:  # ENOTCONN: the server has reset the connection
            self._end("reset", f"<- {error.strerror}")

    def wait_for_state(self, state, what):
        """Wait until TCP has come to that state of the connection; Linux only."""
        deadline = time.monotonic() + patience()
        while self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != state:
            if time.monotonic() > deadline:
                self._timed_out(what)
            time.sleep(0.005)

    def reset(self):
        """Leave with a reset (RST) instead of an orderly end."""
        self.note("-> reset")
        with contextlib.suppress(OSError):  # macOS: the server has left already
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self):
        """Leave; does nothing the second time."""
        if self.sock.fileno() >= 0:
            self.note("-> closed")
            self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()


def show(data, limit=80):
    """Bytes with their length, cut if they are many."""
    if len(data) <= limit:
        return f"{len(data)} bytes {data!r}" if data else "0 bytes"
    half = limit // 2
    return f"{len(data)} bytes {data[:half]!r} ... {data[-half:]!r}"
