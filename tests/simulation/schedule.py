"""One simulated run: a milestone's server, a kernel and clients, all from one seed."""

import random
import select
import traceback
from collections import Counter
from pathlib import Path

from lab.servers import STAGES as FOLDERS
from loading import load_folder
from simulated_clients import Client, Clients
from simulated_kernel import FakeModules, Kernel, Stop, Violation

HEADER = 4
KEPT = 512  # bytes that an empty buffer may keep
STAGES = (3, 4)
# Situations that many schedules together must have met; else they prove little.
SITUATIONS = {
    3: ("short read", "short write", "EAGAIN at recv", "EAGAIN at send", "EAGAIN at accept",
        "ECONNABORTED", "resets", "out of descriptors", "sent to nobody"),
    4: ("short read", "short write", "EAGAIN at recv", "EAGAIN at send", "EAGAIN at accept",
        "ECONNABORTED", "resets", "out of descriptors", "sent to nobody",
        "above high water", "idle closes", "time leaps"),
}  # fmt: skip


class Limits:
    """The bounds of one run, small so that they are met often, and the checks of them."""

    def __init__(self, rng, stage, seen):
        self.stage = stage
        self.seen = seen
        self.max_payload = rng.choice((100, 300, 1500))
        self.read_size = rng.choice((self.max_payload // 100, self.max_payload // 7, 3000))
        self.high_water = rng.choice((1, self.max_payload // 3, 3000))
        self.idle = rng.choice((0, 0.5, 4, 60)) if stage == 4 else 0  # seconds

    def apply(self, modules):
        """Put the bounds into the loaded modules, in place of the real ones."""
        for module in vars(modules).values():
            for name in ("max_payload", "read_size", "high_water"):
                if hasattr(module, name.upper()):
                    setattr(module, name.upper(), getattr(self, name))

    def check(self, conn, wanted, sock):
        """conn: as it is between two turns; wanted: what poll() was told of it."""
        self.check_held(conn)
        flags = select.POLLIN if conn.want_read else 0
        flags |= select.POLLOUT if conn.want_write else 0
        if wanted != flags:
            raise Violation(f"{conn.peer}: flags say {flags}, poll() was told {wanted}")
        if not conn.outgoing and self.has_request(conn):
            raise Violation(f"{conn.peer}: a complete request waits, and nothing will come of it")
        if conn.want_close and not conn.outgoing:
            raise Violation(f"{conn.peer}: wants to be closed and has nothing to send")
        had_to_wait = sock.wanted & select.POLLOUT or len(conn.outgoing) >= self.high_water
        if self.stage == 4 and conn.outgoing and sock.took and not sock.sends and not had_to_wait:
            raise Violation(f"{conn.peer}: replies wait for poll() before the first send()")

    def has_request(self, conn):
        """Does something wait in `incoming` that can be answered, or must be refused?"""
        waiting = conn.incoming if self.stage == 3 else bytes(conn.incoming.view())
        length = int.from_bytes(waiting[:HEADER], "little")
        oversize = length > self.max_payload
        return len(waiting) >= HEADER and (oversize or len(waiting) >= HEADER + length)

    def check_held(self, conn):
        """The connection's bytes: one request frame and a read, one reply and the mark."""
        incoming = HEADER + self.max_payload + self.read_size
        outgoing = HEADER + self.max_payload + (self.high_water if self.stage == 4 else 0)
        if len(conn.incoming) > incoming:
            raise Violation(f"{conn.peer}: {len(conn.incoming)} bytes of input held")
        if len(conn.outgoing) > outgoing:
            raise Violation(f"{conn.peer}: {len(conn.outgoing)} bytes of replies held")
        if self.stage == 4:
            self.seen["above high water"] += len(conn.outgoing) >= self.high_water
            self.check_memory(conn.incoming, incoming)
            self.check_memory(conn.outgoing, outgoing)

    def check_memory(self, buffer, bound):
        """The block is at most twice what it had to hold, and a small one is kept."""
        if len(buffer.memory) > max(2 * bound, KEPT):
            raise Violation(f"a buffer of {len(buffer.memory)} bytes, where {bound} are needed")
        if not buffer and len(buffer.memory) > KEPT:
            raise Violation(f"an empty buffer keeps {len(buffer.memory)} bytes of memory")


def make_requests(rng, client, max_payload):
    """The requests of one client, as a list; most have the client's number in them."""
    own = [b"%d:%s" % (client, name) for name in (b"a", b"b", b"")]
    requests = []
    for number in range(rng.choice((0, 1, 2, 5, 30))):
        key = rng.choice((*own, b"shared"))
        tag = b"%d/%d " % (client, number)
        filler = rng.randbytes(rng.choice((0, 1, 30, max_payload)))
        request = rng.choice(
            (b"PING", b"ping " + tag + filler, b"ECHO " + tag + filler, b"SET %s %s" % (key, tag),
             b"SET " + key + b" " + filler, b"SET %s %d" % (key, 2**63 - rng.randint(1, 3)),
             b"GET " + key, b"GET " + key, b"incr " + key, b"INCR " + key, b"INCR " + key,
             b"DEL " + key, b"get", b"INCR a b", b"NONE " + tag, b"", tag)
        )  # fmt: skip
        requests.append(request[:max_payload])
    return requests


class Simulation:
    """Milestone 3 or 4, loaded once, to be run with one seed after the other.

    folder: another program to load in its place, which does the same.
    seen: a Counter of the situations that came up in all runs so far.
    """

    def __init__(self, stage, folder=None):
        self.stage = stage
        self.fakes = FakeModules()
        names = ("app", "framing", "conn", "server")
        self.modules = load_folder(folder or FOLDERS[stage], *names, fakes=self.fakes.by_name())
        self.respond = self.modules.conn.respond
        self.seen = Counter()

    def run(self, seed):
        """One schedule.  Raises Violation, or whatever ended the server.

        Returns the Kernel; after a failure it is in self.fakes.kernel.
        """
        rng = random.Random(seed)
        clients = self.set_up(rng)
        kernel = clients.kernel
        server_module = self.modules.server
        listener = server_module.make_listener("127.0.0.1", 6400)
        options = [clients.limits.idle] if self.stage == 4 else []
        clients.server = server_module.Server(listener, *options)
        try:
            clients.server.serve_forever()
        except Stop:
            pass
        listener.close()
        clients.check_end()
        self.seen += kernel.seen
        return kernel

    def set_up(self, rng):
        """Kernel and clients of a new run; the server's modules made to use them."""
        limits = Limits(rng, self.stage, Counter())
        limits.apply(self.modules)
        count = rng.choice((1, 1, 2, 3, 6))
        kernel = Kernel(
            rng,
            fd_limit=rng.choice((1, 3, 100)),
            leaps=2 * limits.idle * rng.choice((0, 0, 1)),
            waits_for_fds=self.stage == 4,
        )
        limits.seen = kernel.seen
        self.fakes.kernel = kernel
        self.fakes.log.clear()
        members = [
            Client(rng, kernel, number, make_requests(rng, number, limits.max_payload),
                   limits.max_payload) for number in range(count)
        ]  # fmt: skip
        stops_early = rng.choice((0, 0, 0, 0, 0, rng.randint(1, 100)))
        clients = Clients(rng, kernel, members, limits, stops_early, self.fakes.log)
        kernel.clients = clients
        self.modules.app.store.clear()

        def observed(request):
            reply = self.respond(request)
            clients.respond(request, reply)
            return reply

        self.modules.conn.respond = observed
        return clients


def describe(simulation, seed, error):
    """A failure, for people: what, where, the last events, how to see it again."""
    where = traceback.extract_tb(error.__traceback__)
    lines = [f"milestone {simulation.stage}, seed {seed}: {type(error).__name__}: {error}"]
    lines += [
        f"    in {Path(frame.filename).name}, line {frame.lineno}, {frame.name}"
        for frame in where
        if "milestone" in frame.filename
    ]
    lines += ["the last events (poll: descriptor and POLLIN 1, POLLOUT 4, POLLERR 8, POLLHUP 16):"]
    lines += ["    " + " ".join(map(str, event)) for event in simulation.fakes.kernel.history]
    lines += [
        "to see it again: python3 tests/simulation/soak.py "
        f"--milestone {simulation.stage} --seed {seed}"
    ]
    return "\n".join(lines)
