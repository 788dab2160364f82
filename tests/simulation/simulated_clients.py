"""Clients of the simulated kernel: what they send, how they behave, what they may expect."""

import bisect
import select
import struct
import sys

from model import Model
from simulated_kernel import ASYNCHRONOUS, Link, Stop, Violation

KINDS = ("patient", "half-close", "oversize", "truncated", "reset", "vanish", "silent")
NEVER = 1 << 40  # an offset that no stream reaches


def frame(payload):
    return struct.pack("<I", len(payload)) + payload


class Client:
    """One client: a byte stream to send, and a manner.

    patient     waits for all replies, then closes
    half-close  shuts its side down after the last request
    oversize    ends with a header that announces too much
    truncated   shuts its side down inside a frame
    reset       breaks the connection somewhere
    vanish      closes somewhere, with replies unread
    silent      sends some bytes and stays

    Of each kind, some are mute: they read nothing, for a long time or for ever.
    """

    def __init__(self, rng, kernel, number, requests, max_payload):
        self.rng, self.kernel = rng, kernel
        self.kind = rng.choice(KINDS)
        self.requests = requests
        self.connected = False
        self.left = False  # closed or reset, by its own will
        self.sees_end = False  # has read the end of the stream, or a reset
        self.closed_idle = False  # the server did that, and had a right to
        self.window = rng.choice((1, 2, len(requests) + 1))  # requests under way
        self.reads = rng.random() > 0.2
        self.stops_at = NEVER
        self.executed = 0
        self.expected = bytearray()  # the replies to what was executed
        self.reply_ends = []
        self.got = 0  # bytes, all of which were as expected
        self.sent = 0
        self.compose(max_payload)
        # In small pieces, but never so many that a schedule takes long.
        small = 1 + len(self.stream) // 40
        self.piece = rng.choice((small, 5 * small, 100000))  # most bytes of one send()
        self.link = Link(
            50000 + number,
            capacity_in=rng.choice((small, 5 * small, 100000)),
            capacity_out=rng.choice((small, 5 * small, 100000)),
        )

    def compose(self, max_payload):
        """Put the stream together; frame_ends are the offsets behind each frame."""
        rng = self.rng
        frames = [frame(request) for request in self.requests]
        self.frame_ends = []
        for data in frames:
            self.frame_ends.append(len(data) + (self.frame_ends[-1] if self.frame_ends else 0))
        self.stream = b"".join(frames)
        self.refusal = b""
        self.header_end = 0  # offset behind an oversize header
        if self.kind == "oversize":
            length = rng.choice((max_payload + 1, 0xFFFFFFFF, rng.randint(max_payload + 1, 2**31)))
            reason = f"-ERR payload of {length} bytes exceeds {max_payload}"
            self.refusal = frame(reason.encode())
            self.header_end = len(self.stream) + 4
            self.stream += struct.pack("<I", length) + rng.choice((b"", b"", b"junk" * 50))
        elif self.kind in ("truncated", "silent"):
            whole = frame(rng.randbytes(rng.randint(1, 50)))
            self.stream += whole[: rng.randrange(self.kind == "truncated", len(whole))]
        elif self.kind in ("reset", "vanish"):
            self.stops_at = rng.randint(0, len(self.stream))

    # What it can do next.  Each move is a method; act() draws one.

    def moves(self):
        link = self.link
        if not self.connected:
            return [self.connect]
        moves = []
        if (link.travelling or (link.fin_sent and not link.fin_arrived)) and not link.error:
            moves.append(self.deliver)
        if self.left:
            return moves
        if link.reset_by_server and not link.outbox:
            return [] if self.sees_end else [self.see_end]
        if self.sent >= self.stops_at:
            moves.append(self.leave)
        elif self.sendable() > 0:
            moves.append(self.send)
        elif self.finished_sending() and self.kind in ("half-close", "oversize", "truncated"):
            moves.append(self.half_close)
        if self.reads and link.outbox:
            moves.append(self.read)
        elif link.server_closed and not link.outbox and not self.sees_end:
            moves.append(self.see_end)
        elif self.kind == "patient" and self.all_answered():
            moves.append(self.leave)
        return moves

    def act(self):
        """Make one move; False if there is none."""
        moves = self.moves()
        if moves:
            moves[self.rng.randrange(len(moves))]()
        return bool(moves)

    def sendable(self):
        """How many bytes it could send now."""
        link = self.link
        if link.fin_sent or link.server_closed:
            return 0
        answered = bisect.bisect_right(self.reply_ends, self.got)
        last = answered + self.window - 1
        end = self.frame_ends[last] if last < len(self.frame_ends) else len(self.stream)
        room = link.capacity_in - len(link.travelling) - len(link.arrived)
        return min(end - self.sent, room, self.piece)

    def finished_sending(self):
        return self.sent == len(self.stream) and not self.link.fin_sent

    def all_answered(self):
        return self.executed == len(self.requests) and self.got == len(self.expected)

    def connect(self):
        self.note("connects,", self.kind)
        self.connected = True
        self.kernel.backlog.append(self.link)

    def send(self):
        count = self.rng.randint(1, self.sendable())
        self.note("sends", count, "bytes")
        self.link.travelling += self.stream[self.sent : self.sent + count]
        self.sent += count

    def deliver(self):
        link = self.link
        if link.travelling and link.server_closed:  # nobody there: a reset comes back
            link.travelling.clear()
            self.kernel.reset_client(link)
        elif link.travelling:
            count = self.rng.randint(1, len(link.travelling))
            link.arrived += link.travelling[:count]
            del link.travelling[:count]
            link.delivered += count
            self.note(count, "bytes arrive")
        else:
            link.fin_arrived = True
            self.note("the end arrives")

    def half_close(self):
        self.link.fin_sent = True
        self.note("shuts down its side")

    def read(self):
        link = self.link
        count = self.rng.randint(1, len(link.outbox))
        self.note("reads", count, "bytes")
        data = bytes(link.outbox[:count])
        del link.outbox[:count]
        promised = bytes((self.expected + self.refused())[self.got : self.got + count])
        if data != promised:
            raise Violation(
                f"{self.name()}: after {self.got} bytes came {data!r}, due was {promised!r}"
            )
        self.got += count

    def see_end(self):
        self.note("sees the end")
        self.sees_end = True

    def leave(self):
        """Close or reset, as its kind or chance has it."""
        self.left = True
        link = self.link
        self.note("leaves")
        if self.kind == "reset" or link.outbox or self.rng.random() < 0.3:
            if not link.server_closed:
                number, chance = self.rng.choice(ASYNCHRONOUS), self.rng.random
                link.fail(number, as_linux=chance() < 0.7, keep_arrived=chance() < 0.5)
                self.kernel.seen["resets"] += 1
        else:
            link.fin_sent = link.client_closed = True

    def note(self, *what):
        self.kernel.history.append((self.link.peer, *what))

    # What may be expected.

    def name(self):
        return f"client {self.link.peer} ({self.kind}{'' if self.reads else ', mute'})"

    def refused(self):
        """The error that follows the last reply, once it is due."""
        done = self.executed == len(self.requests) and self.link.received >= self.header_end
        return self.refusal if done else b""

    def execute(self, request, reply):
        """The server runs `request` for this client; `reply` is what it should say."""
        if self.executed == len(self.requests) or request != self.requests[self.executed]:
            raise Violation(f"{self.name()}: request {self.executed} ran as {request!r}")
        if self.link.received < self.frame_ends[self.executed]:
            raise Violation(f"{self.name()}: request {self.executed} ran before all of it came")
        self.executed += 1
        self.expected += frame(reply)
        self.reply_ends.append(len(self.expected))

    def may_be_closed(self):
        """Whether the server has had a reason to close this connection."""
        link = self.link
        refused = self.refusal and link.received >= self.header_end
        return self.closed_idle or link.eof_told or link.broken or bool(refused)

    def check_nothing_due(self):
        """Nothing is ready and nobody can act: then every reply must have come."""
        link = self.link
        if self.left or self.closed_idle or link.reset_by_server or not self.connected:
            return
        if link in self.kernel.backlog:
            return
        if not self.reads and link.room() < link.room_told:
            return  # its own fault
        due = bisect.bisect_right(self.frame_ends, link.delivered)
        if self.executed != due:
            raise Violation(f"{self.name()}: {due} requests came, {self.executed} were answered")
        owed = len(self.expected) + len(self.refused())
        if self.got + len(link.outbox) != owed:
            raise Violation(f"{self.name()}: {owed} bytes due, {self.got} came")
        if self.refusal and link.delivered >= self.header_end and not link.server_closed:
            raise Violation(f"{self.name()}: not closed after an oversize header")
        if link.fin_arrived and not link.server_closed:
            raise Violation(f"{self.name()}: not closed after the end of its stream")

    def check_log(self, lines):
        """One line for a faulty client, none for another; `lines` are those about it."""
        link = self.link
        refused = self.refusal and link.received >= self.header_end
        ended_inside = link.fin_arrived and link.received not in (0, *self.frame_ends)
        faults = sum(
            map(bool, (self.closed_idle, link.broken, refused, ended_inside and not refused))
        )
        if len(lines) != min(faults, 1):  # the first of several hides the others
            raise Violation(f"{self.name()}: {faults} faults, logged: {lines}")


class Clients:
    """All clients of one run, and the checks that concern more than one.

    server: the Server object, set once it exists.
    limits: the bounds of this run (see schedule.py).
    """

    def __init__(self, rng, kernel, clients, limits, stops_early, log):
        self.rng, self.kernel = rng, kernel
        self.all = clients
        self.by_port = {client.link.port: client for client in clients}
        self.limits = limits
        self.log = log  # the lines that the server logs
        self.model = Model()
        self.server = None
        self.phase = 0
        self.stops_early = stops_early  # after so many calls of poll()

    def act(self):
        """Let one client act; False if none can."""
        start = self.rng.randrange(len(self.all))
        for client in self.all[start:] + self.all[:start]:
            if client.act():
                self.kernel.progress()
                return True
        return False

    def respond(self, request, reply):
        """The server answered `request` with `reply`: right, and whose was it?"""
        promised = self.model.reply(request)
        if reply != promised:
            raise Violation(f"{request!r} was answered {reply!r}, not {promised!r}")
        self.by_port[self.kernel.current.port].execute(request, promised)

    # The end of a run, in phases.

    def patient(self):
        """Whether to let time pass before the next phase, with a server that has a clock."""
        kernel = self.kernel
        for client in self.all:
            client.check_nothing_due()
        if kernel.quiet_since is None:
            kernel.quiet_since = kernel.clock
            self.wait = self.limits.idle * self.rng.choice((0, 0, 2)) if kernel.leaps else 0
        waited = kernel.clock - kernel.quiet_since
        if kernel.backlog and kernel.fd_free():
            if waited > 3:
                raise Violation("a client waits to be accepted, with descriptors free")
            return True
        return waited < self.wait

    def next_phase(self):
        """All is quiet: the mute read after all, then everybody leaves, then stop."""
        for client in self.all:
            client.check_nothing_due()
        self.kernel.progress()
        self.phase += 1
        if self.phase == 1:
            for client in self.all:
                client.reads = client.reads or self.rng.random() < 0.5
        elif self.phase == 2:
            for client in self.all:
                if client.connected and not client.left and not client.sees_end:
                    client.leave()
        else:
            if self.server.fd2conn or len(self.kernel.open) > 1 or self.kernel.backlog:
                raise Violation(f"everybody left, but {self.server.fd2conn} remain")
            raise Stop

    # Checks.

    def check(self, wanted):
        """At the start of each turn: the server's books, bounds and registrations."""
        self.stops_early -= 1
        if self.stops_early == 0:
            raise Stop
        kernel, fd2conn = self.kernel, self.server.fd2conn
        if set(fd2conn) != set(kernel.open) - {kernel.listener.fd}:
            raise Violation(f"fd2conn has {set(fd2conn)}, open are {set(kernel.open)}")
        if set(wanted) != set(kernel.open):
            raise Violation(f"poll() is told of {set(wanted)}, open are {set(kernel.open)}")
        for fd, conn in fd2conn.items():
            self.limits.check(conn, wanted[fd], kernel.open[fd])
            self.check_idle(kernel.open[fd].link)

    def check_idle(self, link):
        if not self.limits.idle:
            return
        idle = self.kernel.clock - link.last_moved
        if idle > 1.5 * self.limits.idle:
            raise Violation(f"{link.peer} is idle for {idle:.1f} s and still open")

    def check_close(self, link, wanted):
        """The server closes this link: it needs a reason.

        wanted: what poll() was told of it when it was last called.
        """
        client = self.by_port[link.port]
        under_way = sys.exc_info()[1]
        if under_way and not isinstance(under_way, OSError):
            return  # the server ends
        log = self.log_about(client)
        # One that had its line before is closed for idling without another.
        had_line = log and not link.broken and "idle" not in log[-1]
        idled = self.limits.idle and self.kernel.clock - link.last_moved >= self.limits.idle
        if log and "idle" in log[-1] or had_line and idled:
            if self.kernel.clock - link.last_moved < self.limits.idle:
                raise Violation(f"{client.name()}: closed as idle, but bytes moved")
            if link.broken:
                raise Violation(f"{client.name()}: closed as idle, but broken before")
            if wanted & select.POLLIN and link.arrived and not link.error:
                raise Violation(f"{client.name()}: closed as idle, but bytes have come")
            if wanted & select.POLLOUT and link.room() and not link.error:
                raise Violation(f"{client.name()}: closed as idle, but it has made room")
            client.closed_idle = True
            self.kernel.seen["idle closes"] += 1
        if not client.may_be_closed():
            raise Violation(f"{client.name()}: closed without a reason")

    def log_about(self, client):
        return [line for line in self.log if line.startswith(client.link.peer + ": ")]

    def check_end(self):
        """After the server has ended."""
        kernel = self.kernel
        if kernel.opens != kernel.closes:
            raise Violation(f"{kernel.opens} sockets opened, {kernel.closes} closed")
        if not kernel.seen["TCP_NODELAY"]:
            raise Violation("TCP_NODELAY was never set")
        refusals = [line for line in self.log if not line.startswith("127.0.0.1:")]
        if len(refusals) != kernel.episodes:
            raise Violation(f"accept() failed {kernel.episodes} times, logged {refusals}")
        if self.stops_early:
            for client in self.all:
                client.check_log(self.log_about(client))
