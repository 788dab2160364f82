"""python -m lab.bench.microseconds: where the microseconds of milestones 3 and 4 go.

Three measurements of each: how often each call is made for a request (the tracer),
how long the server's processor works for one, and what share of that each part of
the code has (a sampling profiler).
"""

import json
import linecache
import statistics
import sys
import tempfile
from collections import Counter
from pathlib import Path

from lab import wire
from lab.observe import trace
from lab.servers import STAGES, ServerProcess

from . import load, measure, report, rows

SAMPLED = Path(__file__).with_name("sampled.py")
COLUMNS = [
    measure.Column("alone", 1, 1, measure.SMALL, 0),
    measure.Column("batch of 1,000", 1, 1000, measure.SMALL, 0),
]
PLAN = measure.FULL._replace(seconds=0.5)
ROUNDS = 5
PROFILE_SECONDS = 6
CALLS = ("poll", "register", "recv", "send")
# Where a line belongs: the first of these words that it holds, else by its file.
WORDS = {
    "select.poll()": "registering for poll()",
    ".register(": "registering for poll()",
    ".poll(": "poll()",
    ".recv": "recv()",
    ".send(": "send()",
}
FILES = {
    "server.py": "the loop: server.py",
    "conn.py": "handlers and frames: conn.py, framing.py",
    "framing.py": "handlers and frames: conn.py, framing.py",
    "buffer.py": "buffers: buffer.py",
    "app.py": "commands: app.py",
}
PARTS = list(dict.fromkeys([*WORDS.values(), *FILES.values()]))


def part_of(file, line):
    """Which part a line of a milestone belongs to; None if it is of another file."""
    code = linecache.getline(file, line)
    for word, part in WORDS.items():
        if word in code:
            return part
    return FILES.get(Path(file).name)


def profile(bench, stage, column, folder):
    """{part: its share of the server's time} while the column's load runs."""
    counts = Path(folder) / "counts.json"
    argv = [sys.executable, str(SAMPLED), str(counts), str(STAGES[stage] / "server.py")]
    with ServerProcess([*argv, "--port", "0"], **bench.popen) as server:
        bench.sample(server, "frames", column)
    shares = Counter()
    for file, line, samples in json.loads(counts.read_text(encoding="utf-8")):
        shares[part_of(file, line)] += samples
    del shares[None]  # starting up, and the profiler itself
    return {part: samples / sum(shares.values()) for part, samples in shares.items()}


def calls_per_request(stage, column):
    """{call: how often it is made for each request} as the tracer counts them."""
    exchanges = load.make_exchanges("frames", 0, column.batch, column.value_size)
    with trace.start_traced_server(stage) as server, wire.connect(server.port) as sock:
        for request, reply in exchanges:
            sock.sendall(request)
            wire.receive_exactly(sock, len(reply))
        wire.ask(sock, b"PING")  # answered: all before it is on record
        records = server.records()
    begin = next(n for n, record in enumerate(records) if record["call"].startswith("recv"))
    end = max(n for n, record in enumerate(records) if record["call"].startswith("recv"))
    requests = len(exchanges) * column.batch
    return {call: trace.count(records[begin:end], call) / requests for call in CALLS}


def processor_time(bench, stage):
    """{column: microseconds of the server's processor for a request}, medians."""
    costs = {column.name: [] for column in COLUMNS}
    with rows.milestone(stage).start(**bench.popen) as server:
        for _ in range(ROUNDS):
            for column in COLUMNS:
                sample = bench.sample(server, "frames", column)
                costs[column.name].append(measure.cost(sample))
    return {name: statistics.median(values) for name, values in costs.items()}


def main():
    bench = measure.Bench(PLAN, [], print)
    header = ["", *(f"milestone {s}, {column.name}" for s in (3, 4) for column in COLUMNS)]
    cells = [(stage, column) for stage in (3, 4) for column in COLUMNS]
    counts = [calls_per_request(stage, column) for stage, column in cells]
    times = {stage: processor_time(bench, stage) for stage in (3, 4)}
    longer = measure.Bench(PLAN._replace(seconds=PROFILE_SECONDS), [], print)
    with tempfile.TemporaryDirectory() as folder:
        shares = [profile(longer, stage, column, folder) for stage, column in cells]
    totals = [times[stage][column.name] for stage, column in cells]
    body = [[call, *(f"{found[call]:.3f}" for found in counts)] for call in CALLS]
    print(report.table("Calls for a request, counted by the tracer", header, body))
    print()
    body = [["all of it", *(f"{total:.2f}" for total in totals)]]
    for part in PARTS:
        found = [total * share.get(part, 0) for total, share in zip(totals, shares)]
        body.append([part, *(f"{microseconds:.2f}" for microseconds in found)])
    print(report.table("Microseconds of the server's processor for a request", header, body))


if __name__ == "__main__":
    main()
