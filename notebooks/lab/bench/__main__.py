"""python -m lab.bench [--quick]: the table on the screen, and beside it JSON and a picture."""

import argparse
import json
import resource
import sys
import tempfile
import time

from lab.servers import ROOT, StartError

from . import draw, load, measure, report, rows

FOLDER = ROOT / "notebooks" / "bench"
DESCRIPTORS = 5000 + 200  # for the idle clients and some more


def allow_descriptors(plan):
    """Raise the limit of open files, which the servers inherit; the plan that fits in it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = hard == resource.RLIM_INFINITY or hard >= DESCRIPTORS
    limit = DESCRIPTORS if enough else hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    if enough:
        return plan
    print(f"bench: at most {hard} open files: fewer idle clients (see ulimit -Hn)", file=sys.stderr)
    return plan._replace(idle=tuple(idle for idle in plan.idle if idle + 200 < hard))


def make_progress():
    """A function that shows what is being done: over itself on a terminal."""
    began = time.monotonic()

    def show(text):
        line = f"{time.monotonic() - began:4.0f} s  {text}"
        if sys.stderr.isatty():
            print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)
        else:
            print(line, file=sys.stderr, flush=True)

    return show


def run(plan, folder, show):
    """Measure everything that is installed; return the data of the JSON file."""
    known = rows.all_rows(folder)
    ready = [row for row in known if row.install is None]
    bench = measure.Bench(plan, ready, show)
    bench.measure_columns()
    bench.measure_idle()
    return {
        "machine": report.machine(ready),
        "results": bench.results,
        "growth": bench.measure_growth(),
        "loops": bench.measure_loops(),
        "redis-benchmark": bench.measure_by_redis_benchmark(),
        "missing": {row.name: row.install for row in known if row.install is not None},
    }


def main():
    parser = argparse.ArgumentParser(prog="lab.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="rough figures in under a minute")
    args = parser.parse_args()
    plan = allow_descriptors(measure.QUICK if args.quick else measure.FULL)
    show = make_progress()
    try:
        with tempfile.TemporaryDirectory() as folder:
            data = run(plan, folder, show)
    except (StartError, load.LoadError, OSError) as error:
        sys.exit(f"\nbench: {error}")
    show("done\n")
    text = report.write_report(data)
    print(text)
    FOLDER.mkdir(exist_ok=True)
    name = "quick" if args.quick else "results"
    for ending, content in (
        ("json", json.dumps(data, indent=1, ensure_ascii=False) + "\n"),
        ("md", text),
        ("svg", draw.draw(data)),
    ):
        (FOLDER / f"{name}.{ending}").write_text(content, encoding="utf-8")
    print(f"Also in notebooks/bench/: {name}.json (every sample), {name}.md, {name}.svg")


if __name__ == "__main__":
    main()
