"""Run a script and note, every few milliseconds of its processor time, where it is.

    python sampled.py COUNTS.json SCRIPT [ARGUMENT ...]

COUNTS.json gets [[file, line, samples], ...] when the script ends.  Python looks at
signals only between two of its own steps, so time spent in a system call is counted
for the line that made it.
"""

import json
import runpy
import signal
import sys
from collections import Counter

INTERVAL = 0.001  # seconds of processor time; many kernels round it up to 4 ms


def main():
    target, script, *arguments = sys.argv[1:]
    counts = Counter()

    def note(signum, frame):
        counts[frame.f_code.co_filename, frame.f_lineno or 0] += 1

    signal.signal(signal.SIGPROF, note)
    signal.setitimer(signal.ITIMER_PROF, INTERVAL, INTERVAL)
    sys.argv = [script, *arguments]
    sys.path[0] = script.rpartition("/")[0]
    try:
        runpy.run_path(script, run_name="__main__")
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        with open(target, "w", encoding="utf-8") as file:
            json.dump([[*place, count] for place, count in counts.items()], file)


if __name__ == "__main__":
    main()
