"""Simulate milestones 3 and 4 with one seed after the other.

soak.py                          until Ctrl-C
soak.py --seconds 600            for ten minutes
soak.py --milestone 4 --seed 17  that schedule alone
"""

import argparse
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1] / "notebooks")]

from schedule import STAGES, Simulation, describe  # noqa: E402


def run_one(simulation, seed):
    """Run one schedule; a failure ends the program with its description."""
    try:
        simulation.run(seed)
    except Exception as error:
        sys.exit(describe(simulation, seed, error))


def soak(simulations, seeds, seconds):
    """Run until the time is up or Ctrl-C is pressed; report once a second."""
    start = shown = time.monotonic()
    count = 0
    try:
        for seed in seeds:
            for simulation in simulations:
                run_one(simulation, seed)
                count += 1
            now = time.monotonic()
            if now - start >= seconds:
                break
            if now - shown >= 1 and sys.stdout.isatty():
                shown = now
                print(f"{count} schedules, {now - start:.0f} s", end="\r", flush=True)
    except KeyboardInterrupt:
        pass
    print(f"{count} schedules of milestone {' and '.join(str(s.stage) for s in simulations)}, "
          f"last seed {seed}: no fault found")  # fmt: skip
    for simulation in simulations:
        met = ", ".join(f"{name} {times}" for name, times in sorted(simulation.seen.items()))
        print(f"milestone {simulation.stage} met: {met}")


def main():
    parser = argparse.ArgumentParser(description="Simulate the event-loop milestones.")
    parser.add_argument("--milestone", type=int, choices=STAGES, help="(both)")
    parser.add_argument("--seed", type=int, help="run this schedule alone")
    parser.add_argument("--first", type=int, default=0, help="the seed to begin with (%(default)s)")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="(until Ctrl-C)")
    args = parser.parse_args()
    stages = [args.milestone] if args.milestone else STAGES
    simulations = [Simulation(stage) for stage in stages]
    one = args.seed is not None
    seeds = [args.seed] if one else range(args.first, sys.maxsize)
    soak(simulations, seeds, args.seconds)


if __name__ == "__main__":
    main()
