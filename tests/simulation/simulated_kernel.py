"""A kernel in memory: what a server finds behind `socket`, `select` and `time`.

Sockets are byte queues, poll() looks into them, and the clock stands still unless
somebody turns it.  Whatever TCP leaves open is drawn from a random generator: how
the stream is cut, how much a call moves, what is ready although nothing is there.
The clients (simulated_clients.py) act whenever the server calls poll().
"""

import errno
import select
import socket
from collections import Counter, deque
from types import ModuleType

ASYNCHRONOUS = (errno.ECONNRESET, errno.ETIMEDOUT, errno.EHOSTUNREACH)
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
BUSY_SECONDS = 0.1  # three failing accepts within that time are a busy loop
SHORTEST_WAIT = 50  # ms
BUSY_TURNS = 30  # so many in a row in which nothing moves are one, too


class Violation(AssertionError):
    """The server did what no correct server does."""


class Stop(BaseException):
    """Ends serve_forever(), as the SystemExit of a signal handler does."""


class Link:
    """One TCP connection, with the queues of both its ends."""

    def __init__(self, port, capacity_in, capacity_out):
        self.port = port
        self.peer = f"127.0.0.1:{port}"
        self.capacity_in = capacity_in  # bytes that fit into travelling + arrived
        self.capacity_out = capacity_out  # bytes that fit into outbox
        # From how much room on poll() says POLLOUT: Linux asks for a third.
        self.room_told = 1 + capacity_out // 3
        self.travelling = bytearray()  # sent by the client, still on the way
        self.arrived = bytearray()  # in the server's receive queue
        self.outbox = bytearray()  # written by the server, not yet read by the client
        self.delivered = 0  # bytes that ever arrived
        self.received = 0  # bytes that the server ever took
        self.fin_sent = self.fin_arrived = False
        self.error = 0  # the errno that the server's next call gets
        self.broken = False  # that error has been told
        # What poll() says about it: Linux sets all bits, POSIX asks for these only.
        self.trouble = select.POLLERR | select.POLLHUP
        self.client_closed = False
        self.server_closed = False
        self.reset_by_server = False
        self.eof_told = False
        self.last_moved = 0.0  # the time the server last received or sent a byte

    def events(self):
        """What poll() could report: the bits of the real one."""
        if self.error or self.broken:
            return self.trouble
        events = 0
        if self.arrived or self.fin_arrived:
            events |= select.POLLIN
        if self.room() >= self.room_told:
            events |= select.POLLOUT
        return events

    def room(self):
        return self.capacity_out - len(self.outbox)

    def fail(self, number, as_linux, keep_arrived):
        """The connection breaks; what had arrived may or may not be read still."""
        self.error = number
        if as_linux:
            self.trouble |= select.POLLIN | select.POLLOUT
        self.travelling.clear()
        if not keep_arrived:
            self.arrived.clear()


class Socket:
    """What listener and connection have in common."""

    def __init__(self, kernel):
        self.kernel = kernel
        self.blocking = True
        self.closed = False
        self.fd = kernel.open_fd(self)

    def fileno(self):
        return -1 if self.closed else self.fd

    def setblocking(self, blocking):
        self.blocking = blocking

    def setsockopt(self, level, option, value):
        if option == socket.TCP_NODELAY and level == socket.IPPROTO_TCP:
            self.kernel.seen["TCP_NODELAY"] += 1

    def close(self):
        self.kernel.note("close", self.fd)
        self.kernel.progress()
        if self.closed:
            raise Violation(f"fd {self.fd} is closed for the second time")
        self.closed = True
        del self.kernel.open[self.fd]
        self.kernel.closes += 1

    def new_turn(self, wanted):
        """The listener needs nothing here."""

    def use(self, call):
        """Check that `call` is legal at all; clients may act just before it, too."""
        if self.closed:
            raise Violation(f"{call} on fd {self.fd}, which is closed")
        if self.blocking:
            raise Violation(f"{call} on fd {self.fd}, which is blocking")
        if self.kernel.rng.random() < self.kernel.meanwhile:
            self.kernel.clients.act()


class Listener(Socket):
    def bind(self, address):
        self.address = address

    def listen(self, backlog):
        self.kernel.listener = self

    def getsockname(self):
        return self.address

    def accept(self):
        self.use("accept")
        kernel, backlog = self.kernel, self.kernel.backlog
        if not backlog:
            kernel.seen["EAGAIN at accept"] += 1
            raise BlockingIOError(errno.EAGAIN, "simulated")
        if backlog[0].error and kernel.rng.random() < 0.5:  # reset before it was accepted
            backlog.popleft().server_closed = True
            kernel.accept_refused()
            raise ConnectionAbortedError(errno.ECONNABORTED, "simulated")
        if not kernel.fd_free():
            kernel.accept_fails()
        kernel.accept_failing = False
        kernel.failures.clear()
        link = backlog.popleft()
        kernel.progress()
        link.last_moved = kernel.clock
        connection = Connection(kernel, link)
        kernel.note("accept ->", connection.fd, link.peer)
        return connection, ("127.0.0.1", link.port)


class Connection(Socket):
    """The server's end of a link."""

    def __init__(self, kernel, link):
        super().__init__(kernel)
        self.link = link
        self.new_turn(wanted=0)

    def new_turn(self, wanted):
        """poll() is called: wanted is what it was told of this socket."""
        self.wanted = wanted
        self.sends = 0  # calls in this turn of the loop
        self.took = 0  # bytes that recv() returned in this turn

    def recv(self, count):
        self.use("recv")
        # A second look is fair if the first found nothing, or when time has leapt.
        if self.took and self.kernel.clock == self.link.last_moved:
            raise Violation(f"fd {self.fd} read twice in one turn of the loop: unfair")
        link, kernel = self.link, self.kernel
        kernel.current = link
        if not link.arrived:
            return self.recv_nothing()
        count = kernel.amount(min(count, len(link.arrived)), "short read")
        data = bytes(link.arrived[:count])
        del link.arrived[:count]
        link.received += count
        self.took += count
        kernel.progress()
        link.last_moved = kernel.clock
        kernel.note("recv", self.fd, "->", count, "bytes")
        return data

    def recv_nothing(self):
        self.tell_error()
        if self.link.fin_arrived or self.link.broken:
            self.kernel.note("recv", self.fd, "-> the end")
            if not self.link.eof_told:
                self.kernel.progress()
            self.link.eof_told = True
            return b""
        self.kernel.seen["EAGAIN at recv"] += 1
        self.kernel.note("recv", self.fd, "-> EAGAIN")
        raise BlockingIOError(errno.EAGAIN, "simulated")

    def tell_error(self):
        """Raise what has happened to the connection; that is told once."""
        link = self.link
        if link.error:
            number, link.error, link.broken = link.error, 0, True
            self.kernel.progress()
            self.kernel.note(f"fd {self.fd} is broken:", errno.errorcode[number])
            raise OSError(number, "simulated")

    def send(self, data):
        self.use("send")
        self.sends += 1
        link, kernel = self.link, self.kernel
        kernel.current = link
        self.tell_error()
        if link.broken:
            raise BrokenPipeError(errno.EPIPE, "simulated")
        if not len(data):
            raise Violation(f"send of nothing on fd {self.fd}")
        # A kernel short of memory may refuse although the peer has made room.
        unasked = not self.wanted & select.POLLOUT
        if link.room() <= 0 or (unasked and kernel.rng.random() < kernel.short / 4):
            kernel.seen["EAGAIN at send"] += 1
            kernel.note("send", self.fd, "-> EAGAIN")
            raise BlockingIOError(errno.EAGAIN, "simulated")
        count = kernel.amount(min(link.room(), len(data)), "short write")
        if link.client_closed:  # nobody there: a reset comes back
            link.fail(errno.EPIPE, as_linux=True, keep_arrived=True)
            kernel.seen["sent to nobody"] += 1
        else:
            link.outbox += data[:count]
        kernel.progress()
        link.last_moved = kernel.clock
        kernel.note("send", self.fd, "->", count, "bytes")
        return count

    def close(self):
        super().close()
        self.link.server_closed = True
        self.kernel.clients.check_close(self.link, self.wanted)
        # Closing with unread input makes a real kernel send a reset, too.
        if self.link.arrived or self.link.travelling:
            self.kernel.reset_client(self.link)


class Poller:
    """select.poll(), as strict as epoll: nothing is registered twice or stays when closed."""

    def __init__(self, kernel):
        self.kernel = kernel
        self.wanted = {}

    def register(self, file, events):
        fd = number(file)
        if fd in self.wanted:
            raise Violation(f"fd {fd} is registered for the second time")
        if fd not in self.kernel.open:
            raise Violation(f"fd {fd} is registered, but not open")
        self.wanted[fd] = events

    def modify(self, file, events):
        fd = number(file)
        if fd not in self.wanted:
            raise Violation(f"fd {fd} is modified, but not registered")
        self.wanted[fd] = events

    def unregister(self, file):
        fd = number(file)
        if fd not in self.kernel.open:
            raise Violation(f"fd {fd} is unregistered after it was closed")
        if self.wanted.pop(fd, None) is None:
            raise Violation(f"fd {fd} is unregistered, but not registered")

    def poll(self, timeout=None):
        return self.kernel.poll(self.wanted, timeout)


def number(file):
    return file if isinstance(file, int) else file.fileno()


class Kernel:
    """Descriptors, clock and random decisions of one simulated run.

    rng: random.Random; fd_limit: connections that may be open at a time.
    leaps: the longest jump of the clock, in seconds; 0: none.
    waits_for_fds: whether the server promises not to spin when out of descriptors.
    clients: set later; acts for all clients (see simulated_clients.Clients).
    seen: counts of the situations that came up.
    """

    def __init__(self, rng, fd_limit, leaps, waits_for_fds):
        self.rng = rng
        self.fd_limit = fd_limit
        self.waits_for_fds = waits_for_fds
        self.leaps = leaps
        self.clients = None
        self.clock = 1000.0
        self.open = {}  # sockets by descriptor
        self.opens = self.closes = 0
        self.listener = None
        self.backlog = deque()
        self.accept_failing = False
        self.episodes = 0  # of a failing accept(): each deserves one line
        self.failures = deque(maxlen=3)  # times of the last failing accepts
        self.current = None  # the link of the last call
        self.short = rng.choice((0.0, 0.1, 0.5))  # how often a call moves less than it could
        self.meanwhile = rng.choice((0.0, 0.2))  # how often clients act between poll() and a call
        self.spurious = rng.choice((0.0, 0.0, 0.05))
        self.turns = 0  # of the loop since something moved
        self.quiet_since = None  # since when nothing is ready and nobody acts
        self.history = deque(maxlen=60)
        self.seen = Counter()

    def progress(self):
        """Something moved."""
        self.turns = 0
        self.quiet_since = None

    def note(self, *what):
        """Something that the server does, for the history."""
        self.history.append(("server", *what))

    def open_fd(self, sock):
        fd = 3
        while fd in self.open:  # the lowest free one: numbers are used again at once
            fd += 1
        self.open[fd] = sock
        self.opens += 1
        return fd

    def fd_free(self):
        return len(self.open) <= self.fd_limit  # the listener has one, too

    def accept_refused(self):
        """accept() fails for its caller: a line, unless one tells that it fails already."""
        self.episodes += not self.accept_failing
        # Milestone 3 does not ask why accept() failed: one line until it works again.
        self.accept_failing = self.accept_failing or not self.waits_for_fds
        self.seen["ECONNABORTED"] += 1

    def accept_fails(self):
        if not self.accept_failing:
            self.episodes += 1
        self.accept_failing = True
        self.failures.append(self.clock)
        busy = len(self.failures) == 3 and self.clock - self.failures[0] < BUSY_SECONDS
        if busy and self.waits_for_fds:
            raise Violation("a busy loop over accept() while there are no descriptors")
        self.seen["out of descriptors"] += 1
        raise OSError(self.rng.choice(EXHAUSTED), "simulated")

    def amount(self, most, name):
        """How many of `most` bytes a call moves."""
        if most > 1 and self.rng.random() < self.short:
            self.seen[name] += 1
            return self.rng.randint(1, most)
        return most

    def reset_client(self, link):
        link.reset_by_server = True
        if self.rng.random() < 0.5:
            link.outbox.clear()

    def poll(self, wanted, timeout):
        """Let the clients act until something is ready; return that."""
        self.clients.check(wanted)
        for fd, mask in wanted.items():
            self.open[fd].new_turn(mask)
        for _ in range(self.rng.randrange(4)):
            self.clients.act()
        while True:
            ready = self.ready(wanted)
            if ready and not self.only_refused(ready):
                return self.report(ready, self.spurious_events(wanted, ready))
            if self.clients.act():
                continue
            if timeout is None or not self.clients.patient():
                self.clients.next_phase()
            if timeout is not None:
                if timeout < SHORTEST_WAIT:
                    raise Violation(f"poll() waits {timeout} ms: too short while nothing happens")
                self.clock += timeout / 1000
                return ready
            if ready:
                return ready

    def ready(self, wanted):
        """(fd, events) of all that is ready, as a list."""
        ready = []
        for fd, mask in wanted.items():
            if fd not in self.open:
                raise Violation(f"poll() on fd {fd}, which is closed")
            sock = self.open[fd]
            if sock is self.listener:
                events = mask & select.POLLIN if self.backlog else 0
            else:
                events = sock.link.events() & (mask | select.POLLERR | select.POLLHUP)
            if events:
                ready.append((fd, events))
        return ready

    def only_refused(self, ready):
        """Whether there is nothing but clients that no descriptor is left for."""
        return ready == [(self.listener.fd, select.POLLIN)] and not self.fd_free()

    def spurious_events(self, wanted, ready):
        """At times: readiness where there is none."""
        if self.rng.random() >= self.spurious:
            return []
        quiet = set(wanted) - {fd for fd, _ in ready}
        return [(fd, wanted[fd]) for fd in sorted(quiet) if wanted[fd]]

    def report(self, ready, spurious):
        """Turn the clock a little or a lot, and return what is ready in any order."""
        self.quiet_since = None
        self.turns += 1
        if self.turns > BUSY_TURNS:
            raise Violation(f"a busy loop: nothing moves, ready is again and again {ready}")
        if self.leaps and self.rng.random() < 0.05:
            self.clock += self.rng.uniform(0, self.leaps)
            self.seen["time leaps"] += 1
        else:
            self.clock += self.rng.choice((0.0, 0.0001, 0.01))
            if len(ready) > 1 and self.rng.random() < 0.1:  # as epoll with few slots
                ready = self.rng.sample(ready, self.rng.randint(1, len(ready)))
        ready = ready + spurious
        self.rng.shuffle(ready)
        self.note("poll ->", *ready)
        return ready


class FakeModules:
    """Stand-ins for socket, select, time and logging that work on `kernel`.

    A milestone is loaded once with these, and runs on one kernel after the other.
    """

    def __init__(self):
        self.kernel = None
        self.log = []  # lines
        self.socket = stand_in(socket, socket=lambda *_: Listener(self.kernel))
        self.select = stand_in(select, poll=lambda: Poller(self.kernel))
        self.time = stand_in(None, monotonic=lambda: self.kernel.clock)
        self.logging = stand_in(None, warning=self.warning)

    def warning(self, text, *values):
        self.log.append(text % values)
        self.kernel.note("log", self.log[-1])

    def by_name(self):
        return {name: getattr(self, name) for name in ("socket", "select", "time", "logging")}


def stand_in(module, **functions):
    """A module with the constants of `module` and just these functions."""
    fake = ModuleType("simulated")
    if module:
        vars(fake).update((name, value) for name, value in vars(module).items() if name.isupper())
    vars(fake).update(functions)
    return fake
