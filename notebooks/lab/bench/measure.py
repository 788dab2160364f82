"""Measure rows and columns, in turns: A B C A B C, so that what else the machine
does meets all alike."""

import os
import shutil
import statistics
import sys
import tempfile
import time
from collections import namedtuple
from contextlib import ExitStack
from pathlib import Path

from lab.demo import memory_used
from lab.servers import STAGES, ServerProcess

from . import load, rows

WARM_UP = 0.05  # seconds before each sample, not counted
SMALL, LARGE = 16, 64 * 1024  # bytes of a value
POLL, EPOLL = "select.poll(), 1000", "select.epoll(), 1"  # the one-line change

Column = namedtuple("Column", "name clients batch value_size idle")
COLUMNS = [
    Column("1 client", 1, 1, SMALL, 0),
    Column("50 clients", 50, 1, SMALL, 0),
    Column("50 × 16", 50, 16, SMALL, 0),
    Column("1 × 1,000", 1, 1000, SMALL, 0),
    Column("10 × 1,000", 10, 1000, SMALL, 0),
    Column("64 KiB", 10, 1, LARGE, 0),
]
IDLE_COLUMNS = [
    Column("50 beside 1,000", 50, 1, SMALL, 1000),
    Column("50 beside 5,000", 50, 1, SMALL, 5000),
]

# How much is measured.  idle: connections; batches: messages in each.
Plan = namedtuple("Plan", "rounds seconds idle_rounds idle batches")
FULL = Plan(9, 0.4, 3, (0, 100, 1000, 5000), (16, 64, 256, 1000, 4000, 16_000, 100_000))
QUICK = Plan(2, 0.1, 1, (0, 1000), (16, 1000, 10_000))


def can_do(row, column):
    if row.serves == "one request":
        return column.clients == column.batch == 1 and column.value_size == SMALL
    return row.serves == "all" or column.clients == 1


def cpu_seconds(pid):
    """Processor time of a process so far; None where the system does not tell."""
    tasks = list(Path(f"/proc/{pid}/task").glob("*/schedstat"))
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9 if tasks else None


def take_sample(pid, clients, batch, seconds):
    """Drive the clients for some time; return the figures as a dict.

    rate: messages a second; cpu: microseconds of the server's processor for a
    message; busy: its share of the time; p50, p99: milliseconds for a batch.
    """
    load.drive(clients, WARM_UP)
    cpu_before, began = cpu_seconds(pid), time.perf_counter()
    times = load.drive(clients, seconds)
    elapsed = time.perf_counter() - began
    times.sort()
    messages = len(times) * batch
    sample = {
        "rate": messages / elapsed,
        "p50": times[len(times) // 2] * 1e3,
        "p99": times[int(len(times) * 0.99)] * 1e3,
    }
    if cpu_before is not None:
        cpu = cpu_seconds(pid) - cpu_before
        sample.update(cpu=cpu / messages * 1e6, busy=cpu / elapsed)
    return sample


def sample_column(server, wire, column, seconds, change=list):
    """One sample of one cell; `change` is done to each client's exchanges."""
    clients = []
    try:
        for number in range(column.clients):
            exchanges = load.make_exchanges(wire, number, column.batch, column.value_size)
            clients.append(load.Client(server.port, change(exchanges)))
        return take_sample(server.pid, clients, column.batch, seconds)
    finally:
        for client in clients:
            client.sock.close()


class Bench:
    """One run.  results: {row: {column: [sample, ...]}}; ready: the rows measured."""

    def __init__(self, plan, ready, show):
        self.plan = plan
        self.ready = ready
        self.show = show  # called with a line of progress
        self.results = {}
        self.popen = {}
        cores = rows.cores()
        if cores:
            # Server and generator keep to one core each: moving costs time.
            os.sched_setaffinity(0, {cores[0]})
            self.popen["preexec_fn"] = lambda: os.sched_setaffinity(0, {cores[1]})

    def keep(self, row_name, column_name, sample):
        self.results.setdefault(row_name, {}).setdefault(column_name, []).append(sample)

    def measure_columns(self):
        with ExitStack() as stack:
            servers = [stack.enter_context(row.start(**self.popen)) for row in self.ready]
            pairs = list(zip(self.ready, servers))
            self.warm_up(pairs)
            for number in range(self.plan.rounds):
                for column in COLUMNS:
                    self.show(f"round {number + 1} of {self.plan.rounds}: {column.name}")
                    self.measure_column(pairs, column)

    def warm_up(self, pairs):
        """A compiler that works while the program runs, as PyPy's, needs some time first."""
        for row, server in pairs:
            self.show(f"warming up {row.name}")
            for column in COLUMNS:
                if can_do(row, column):
                    sample_column(server, row.wire, column, self.plan.seconds)

    def measure_column(self, pairs, column):
        for row, server in pairs:
            if can_do(row, column):
                sample = sample_column(server, row.wire, column, self.plan.seconds)
                self.keep(row.name, column.name, sample)
        exchanges = load.make_exchanges("frames", 0, column.batch, column.value_size)
        with rows.start_nothing(exchanges, **self.popen) as server:
            sample = sample_column(server, "frames", column, self.plan.seconds, load.hollow)
            self.keep("do nothing", column.name, sample)

    def measure_idle(self):
        """Rates beside idle connections, and what these cost in memory."""
        columns = [column for column in IDLE_COLUMNS if column.idle <= self.plan.idle[-1]]
        for number in range(self.plan.idle_rounds):
            for row in self.ready:
                if row.serves == "all":
                    self.show(f"idle clients, round {number + 1}: {row.name}")
                    self.measure_idle_row(row, columns)

    def measure_idle_row(self, row, columns):
        with row.start(**self.popen) as server, ExitStack() as stack:
            # What the first clients need for good is not counted.
            self.add_idle(stack, server, row, 50)
            before, idle = memory_used(server.pid), 0
            for column in columns:
                self.add_idle(stack, server, row, column.idle - idle)
                idle = column.idle
                grown = (memory_used(server.pid) - before) / idle
                sample = sample_column(server, row.wire, column, self.plan.seconds)
                self.keep(row.name, column.name, sample)
            self.keep(row.name, "memory", {"KiB": grown, "connections": idle})

    def add_idle(self, stack, server, row, count):
        for sock in rows.connect_idle(server.port, row.wire, count):
            stack.enter_context(sock)

    def measure_growth(self):
        """Microseconds a message by the size of the batch: {name: [(batch, us), ...]}."""
        samples = {}
        with ExitStack() as stack:
            servers = {3: stack.enter_context(rows.milestone(3).start(**self.popen))}
            servers[4] = stack.enter_context(rows.milestone(4).start(**self.popen))
            for _ in range(self.plan.idle_rounds):
                for batch in self.plan.batches:
                    column = Column("", 2, batch, SMALL, 0)
                    for stage, server in servers.items():
                        self.show(f"batches of {batch:,}: milestone {stage}")
                        sample = sample_column(server, "frames", column, self.plan.seconds)
                        key = f"milestone {stage}", batch
                        samples.setdefault(key, []).append(1e6 / sample["rate"])
        return curves(samples)

    def measure_loops(self):
        """Microseconds of the processor for a turn of the loop that serves one request,
        by the number of idle clients: {name: [(idle, us), ...]}."""
        samples = {}
        with tempfile.TemporaryDirectory() as folder:
            starts = {"poll()": STAGES[4] / "server.py", "epoll()": make_epoll_copy(folder)}
            for _ in range(self.plan.idle_rounds):
                for name, script in starts.items():
                    self.show(f"turns of the loop with {name}")
                    argv = [sys.executable, str(script), "--port", "0"]
                    with ServerProcess(argv, **self.popen) as server, ExitStack() as stack:
                        for idle, cost in self.loop_costs(server, stack):
                            samples.setdefault((name, idle), []).append(cost)
        return curves(samples)

    def loop_costs(self, server, stack):
        connected, row = 0, rows.milestone(4)
        for idle in self.plan.idle:
            self.add_idle(stack, server, row, idle - connected)
            connected = idle
            sample = sample_column(server, row.wire, COLUMNS[0], self.plan.seconds)
            yield idle, sample.get("cpu", 1e6 / sample["rate"])


def curves(samples):
    """{(name, x): [y, ...]} as {name: [(x, median of y), ...]}."""
    lines = {}
    for (name, x), values in samples.items():
        lines.setdefault(name, []).append((x, statistics.median(values)))
    return lines


def make_epoll_copy(folder):
    """A copy of milestone 4 that waits with epoll(); returns its server.py."""
    script = Path(shutil.copytree(STAGES[4], Path(folder) / "epoll")) / "server.py"
    text = script.read_text(encoding="utf-8")
    if text.count(f"self.poller, second = {POLL}\n") != 1:
        raise ValueError(f"server.py has no line 'self.poller, second = {POLL}'")
    script.write_text(text.replace(f"second = {POLL}\n", f"second = {EPOLL}\n"), encoding="utf-8")
    return script
