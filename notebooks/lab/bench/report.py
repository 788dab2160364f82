"""The samples as tables: medians, their spread, and ratios to milestone 4."""

import datetime
import importlib.metadata
import os
import platform
import statistics
import subprocess
from collections import namedtuple
from pathlib import Path

from .rows import FAST, MILESTONE_4, REDIS

BASE = MILESTONE_4
NONE = "-"  # the server can't do what the column asks

# A figure of a cell: which one, in what units, and how it is written.
Figure = namedtuple("Figure", "key unit form")
RATE = Figure("rate", "requests a second", "{:,.0f}")
CPU = Figure("cpu", "microseconds of the server's processor for a request", "{:.2f}")
P50 = Figure("p50", "ms", "{:.2f}")
P99 = Figure("p99", "ms", "{:.2f}")
KIB = Figure("KiB", "KiB", "{:.1f}")
GROWTH = "Microseconds of the server's processor for a message, by the size of the batch"
LOOPS = "Microseconds of the processor for a turn that serves one request, by idle clients"
BUSY = Figure("busy", "share of a processor that the server used", "{:.0%}")
BATCH_COLUMN = "50 × 16"  # of which p50 and p99 are shown


def values(results, row, column, key):
    return [sample[key] for sample in results.get(row, {}).get(column, []) if key in sample]


def median(results, row, column, key):
    found = values(results, row, column, key)
    return statistics.median(found) if found else None


def spread(found):
    """Half the width of the middle half of the values, as a part of their median."""
    if len(found) < 2:
        return 0
    low, _, high = statistics.quantiles(found, n=4, method="inclusive")
    return (high - low) / 2 / statistics.median(found)


def ratio(results, row, column, key="rate", base=BASE):
    """The median, over the rounds, of this row's figure by milestone 4's in the same round."""
    pairs = zip(values(results, row, column, key), values(results, base, column, key))
    ratios = [mine / its for mine, its in pairs]
    return statistics.median(ratios) if ratios else None


def figure_cell(results, row, column, figure):
    found = values(results, row, column, figure.key)
    if not found:
        return NONE
    return f"{figure.form.format(statistics.median(found))} ±{spread(found):.0%}"


def plain_cell(results, row, column, figure):
    found = median(results, row, column, figure.key)
    return NONE if found is None else figure.form.format(found)


def ratio_cell(results, row, column, figure):
    found = ratio(results, row, column, figure.key)
    return NONE if found is None else f"{found:.2f}"


def table(title, header, rows):
    """A Markdown table whose columns line up in a terminal, too."""
    lines = [header, *rows]
    widths = [max(len(line[n]) for line in lines) for n in range(len(header))]

    def write(cells):
        first, *others = [cell.rjust(width) for cell, width in zip(cells, widths)]
        return "| " + " | ".join([first.strip().ljust(widths[0]), *others]) + " |"

    rule = "|" + "|".join("-" * (width + 1) + (":" if n else "-") for n, width in enumerate(widths))
    return "\n".join([f"**{title}**", "", write(header), rule + "|", *map(write, rows)])


def rate_columns(results):
    """The columns that hold rates, in the order in which they were measured."""
    return [name for name in results[BASE] if name != "memory"]


def rate_table(results, title, cell, figure):
    columns = rate_columns(results)
    body = [[row, *(cell(results, row, name, figure) for name in columns)] for row in results]
    return table(title, ["", *columns], body)


def batch_table(results):
    """What one client sees of a batch, and what an idle one costs."""
    cells = [(BATCH_COLUMN, P50), (BATCH_COLUMN, P99), ("memory", KIB)]
    header = ["", f"p50 of {BATCH_COLUMN}, ms", "ratio", f"p99 of {BATCH_COLUMN}, ms", "ratio"]
    body = []
    for row in results:
        line = [row]
        for column, figure in cells:
            line.append(figure_cell(results, row, column, figure))
            line.append(ratio_cell(results, row, column, figure))
        body.append(line)
    title = "Time of a batch; memory of an idle connection that has been served once"
    return table(title, [*header, "KiB, idle", "ratio"], body)


def curve_table(title, lines):
    header = ["", *(f"{x:,}" for x, _ in next(iter(lines.values())))]
    body = [[name, *(f"{y:.2f}" for _, y in points)] for name, points in lines.items()]
    return table(title, header, body)


# How much less of the processor a request costs than with another row, at least.
TARGETS = {
    (BASE, "milestone 3"): {"1 client": 0.95, "50 clients": 0.95, "50 × 16": 3, "1 × 1,000": 7},
    (BASE, "asyncio.Protocol"): {
        "1 client": 0.95,
        "50 clients": 0.95,
        "50 × 16": 0.95,
        "1 × 1,000": 0.8,
    },
    (BASE, "asyncio streams"): {"1 client": 1.2, "50 clients": 1.4, "50 × 16": 4, "1 × 1,000": 6},
    ("milestone 4 on PyPy", REDIS): {"1 × 1,000": 1},
    (FAST, "milestone 3"): {"1 client": 1.05, "50 clients": 1.05, "50 × 16": 3.5, "1 × 1,000": 9},
    (FAST, "asyncio.Protocol"): {"1 client": 1, "50 clients": 1, "50 × 16": 1, "1 × 1,000": 1.1},
    (FAST, "the same on uvloop"): {"1 client": 1, "50 clients": 1, "50 × 16": 1, "1 × 1,000": 1.1},
}


def target_lines(results):
    """Each aim beside what was measured, as rows of a table."""
    lines = []
    for (mine, other), aims in TARGETS.items():
        for column, aim in aims.items():
            costs = ratio(results, mine, column, "cpu", base=other)
            if costs is not None:
                verdict = "met" if 1 / costs >= aim else "missed"
                lines.append([f"{mine} / {other}", column, f"{aim:g}", f"{1 / costs:.2f}", verdict])
    return lines


def bound_lines(data):
    """The aims for milestone 4 that are upper bounds, as rows of a table."""
    growth = data["growth"][BASE]
    bounds = [("cost of a message: longest batch / shortest", 1.1, growth[-1][1] / growth[0][1])]
    memory = median(data["results"], BASE, "memory", "KiB")
    if memory is not None:
        bounds.append(("memory of an idle connection, KiB", 2.2, memory))
    return [
        [name, f"{aim:g}", f"{found:.2f}", "met" if found <= aim else "missed"]
        for name, aim, found in bounds
    ]


def target_tables(data):
    header = ["", "column", "aim, at least", "measured", ""]
    title = "Aims: how many times as many requests for the same work of the processor"
    return [
        table(title, header, target_lines(data["results"])),
        table("Aims that are bounds", ["", "at most", "measured", ""], bound_lines(data)),
    ]


def medians_of(measured):
    """{row: {column: rates}} as redis-benchmark gave them, with the median of each cell."""
    return {
        row: {column: statistics.median(rates) for column, rates in found.items()}
        for row, found in measured.items()
    }


def redis_benchmark_tables(measured):
    """What redis-benchmark counted, and the same as a ratio to redis-server."""
    columns = list(next(iter(measured.values())))
    medians = medians_of(measured)
    cells = [
        [row, *(f"{found[c]:,.0f} ±{spread(measured[row][c]):.0%}" for c in columns)]
        for row, found in medians.items()
    ]
    tables = [table("Requests a second, as redis-benchmark counts them", ["", *columns], cells)]
    if REDIS in medians:
        base = medians[REDIS]
        cells = [
            [row, *(f"{found[c] / base[c]:.2f}" for c in columns)] for row, found in medians.items()
        ]
        tables.append(table("The same as a ratio to redis-server", ["", *columns], cells))
    return tables


def first_line(*argv):
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split("\n")[0]


def machine(ready):
    """What the figures depend on, as {name: text}."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    found = {
        "date": datetime.date.today().isoformat(),
        "processor": names[0] if names else platform.processor() or platform.machine(),
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }
    row_names = {row.name for row in ready}
    if "milestone 4 on PyPy" in row_names:
        code = "import platform, sys; print(platform.python_version(), *sys.pypy_version_info[:3])"
        version, *pypy = first_line("pypy3", "-c", code).split()
        found["pypy"] = f"PyPy {'.'.join(pypy)} (Python {version})"
    if "the same on uvloop" in row_names:
        found["uvloop"] = importlib.metadata.version("uvloop")
    if REDIS in row_names:
        found["redis"] = first_line("redis-server", "--version").split("v=")[1].split()[0]
    return found


def write_report(data):
    """The whole report as Markdown; data as it is in the JSON file."""
    results = data["results"]
    date, *told = (f"{name} {text}" for name, text in data["machine"].items())
    parts = [
        f"Measured: {date}; " + "; ".join(told) + ".",
        rate_table(results, "Requests a second", figure_cell, RATE),
        rate_table(results, "The same as a ratio to milestone 4", ratio_cell, RATE),
        rate_table(results, CPU.unit.capitalize(), figure_cell, CPU),
        rate_table(results, BUSY.unit.capitalize(), plain_cell, BUSY),
        batch_table(results),
        curve_table(GROWTH, data["growth"]),
        curve_table(LOOPS, data["loops"]),
        *(redis_benchmark_tables(data["redis-benchmark"]) if data["redis-benchmark"] else ()),
        *target_tables(data),
    ]
    for name, line in data["missing"].items():
        parts.append(f"Missing: {name}. To measure it, too: `{line}`")
    return "\n\n".join(parts) + "\n"
