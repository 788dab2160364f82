"""Measure rows and columns, in turns: A B C A B C, so that what else the machine
does meets all alike."""

import os
import shutil
import statistics
import subprocess
import time
from collections import namedtuple
from contextlib import ExitStack
from pathlib import Path

from lab.process import memory_used

from . import load, rows

WARM_UP = 0.05  # seconds before each sample, not counted
SMALL, LARGE = 16, 64 * 1024  # bytes of a value

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
# redis_rounds, requests: of redis-benchmark.
Plan = namedtuple("Plan", "rounds seconds idle_rounds idle batches redis_rounds requests")
FULL = Plan(9, 0.4, 3, (0, 100, 1000, 5000), (16, 64, 256, 1000, 4000, 16_000, 100_000), 5, 100_000)
QUICK = Plan(2, 0.08, 1, (0, 1000), (16, 1000, 10_000), 1, 10_000)
DEPTHS = (1, 16, 100)  # -P of redis-benchmark: requests in a pipeline


def can_do(row, column):
    if row.serves == "one request":
        return column.clients == column.batch == 1 and column.value_size == SMALL
    return row.serves == "all" or column.clients == 1


def cpu_seconds(pid):
    """Processor time of a process so far; None where the system does not tell."""
    tasks = list(Path(f"/proc/{pid}/task").glob("*/schedstat"))
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9 if tasks else None


def redis_benchmark(port, depth, requests):
    """Run redis-benchmark against a server: {"SET": requests a second, "GET": ...}."""
    words = f"redis-benchmark -p {port} -t set,get -n {requests} -P {depth} -q --csv"
    printed = subprocess.run(words.split(), capture_output=True, text=True, check=True).stdout
    lines = [line.replace('"', "").split(",") for line in printed.splitlines()]
    return {line[0]: float(line[1]) for line in lines if line[0] in ("SET", "GET")}


def take_sample(pid, clients, batch, seconds, spin):
    """Drive the clients for some time; return the figures as a dict.

    rate: messages a second; cpu: microseconds of the server's processor for a
    message; busy: its share of the time; p50, p99: milliseconds for a batch.
    """
    load.drive(clients, WARM_UP, spin)
    cpu_before, began = cpu_seconds(pid), time.perf_counter()
    times = load.drive(clients, seconds, spin)
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


class Bench:
    """One run.  results: {row: {column: [sample, ...]}}; ready: the rows measured."""

    def __init__(self, plan, ready, show):
        self.plan = plan
        self.ready = ready
        self.show = show  # called with a line of progress
        self.results = {}
        self.popen = {}
        self.cores = rows.cores()
        if self.cores:
            # The servers keep to one core: moving costs time.
            self.popen["preexec_fn"] = lambda: os.sched_setaffinity(0, {self.cores[1]})

    def keep(self, row_name, column_name, sample):
        self.results.setdefault(row_name, {}).setdefault(column_name, []).append(sample)

    def sample(self, server, wire, column, change=list):
        """One sample of one cell; `change` is done to each client's exchanges."""
        # With a single client either the server works or the generator, so they
        # share a core: waking up another one would cost more than all they do.
        alone = column.clients == 1
        if self.cores:
            os.sched_setaffinity(0, {self.cores[1 if alone else 0]})
        spin = bool(self.cores) and not alone
        clients = []
        try:
            for number in range(column.clients):
                exchanges = load.make_exchanges(wire, number, column.batch, column.value_size)
                clients.append(load.Client(server.port, change(exchanges)))
            return take_sample(server.pid, clients, column.batch, self.plan.seconds, spin)
        finally:
            for client in clients:
                client.sock.close()

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
                    self.sample(server, row.wire, column)

    def measure_column(self, pairs, column):
        for row, server in pairs:
            if can_do(row, column):
                self.keep(row.name, column.name, self.sample(server, row.wire, column))
        exchanges = load.make_exchanges("frames", 0, column.batch, column.value_size)
        with rows.start_nothing(exchanges, **self.popen) as server:
            sample = self.sample(server, "frames", column, load.hollow)
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
                self.keep(row.name, column.name, self.sample(server, row.wire, column))
            self.keep(row.name, "memory", {"KiB": grown, "connections": idle})

    def add_idle(self, stack, server, row, count):
        for sock in rows.connect_idle(server.port, row.wire, count):
            stack.enter_context(sock)

    def measure_by_redis_benchmark(self):
        """Requests a second as redis-benchmark itself counts them: {row: {column: [rate, ...]}}.

        Of the rows that speak RESP; nothing where it is not installed.
        """
        measured = {}
        asked = [row for row in self.ready if row.wire == "resp"]
        if not shutil.which("redis-benchmark"):
            return measured
        with ExitStack() as stack:
            servers = [stack.enter_context(row.start(**self.popen)) for row in asked]
            for number in range(self.plan.redis_rounds + 1):
                for depth in DEPTHS:
                    for row, server in zip(asked, servers):
                        self.show(f"redis-benchmark, round {number}: {row.name}, -P {depth}")
                        found = redis_benchmark(server.port, depth, self.plan.requests)
                        for command, rate in found.items() if number else ():  # 0: to warm up
                            column = measured.setdefault(row.name, {})
                            column.setdefault(f"{command} -P {depth}", []).append(rate)
        return measured

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
                        key = f"milestone {stage}", batch
                        sample = self.sample(server, "frames", column)
                        samples.setdefault(key, []).append(cost(sample))
        return curves(samples)

    def measure_loops(self):
        """Microseconds of the processor for a turn of the loop that serves one request,
        by the number of idle clients: {row: [(idle, us), ...]}."""
        samples = {}
        for _ in range(self.plan.idle_rounds):
            for row in self.ready:
                if row.name in (rows.MILESTONE_4, rows.EPOLL):
                    self.show(f"turns of the loop: {row.name}")
                    for idle, microseconds in self.loop_costs(row):
                        samples.setdefault((row.name, idle), []).append(microseconds)
        return curves(samples)

    def loop_costs(self, row):
        connected = 0
        with row.start(**self.popen) as server, ExitStack() as stack:
            for idle in self.plan.idle:
                self.add_idle(stack, server, row, idle - connected)
                connected = idle
                yield idle, cost(self.sample(server, row.wire, COLUMNS[0]))


def cost(sample):
    """Microseconds for a message: of the server's processor, where the system tells."""
    return sample.get("cpu", 1e6 / sample["rate"])


def curves(samples):
    """{(name, x): [y, ...]} as {name: [(x, median of y), ...]}."""
    lines = {}
    for (name, x), values in samples.items():
        lines.setdefault(name, []).append((x, statistics.median(values)))
    return lines
