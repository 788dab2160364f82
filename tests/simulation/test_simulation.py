"""The event loops on a simulated kernel: thousands of schedules, each from a seed."""

import time

import pytest
from lab import history
from schedule import SITUATIONS, STAGES, Simulation, describe

ALWAYS = 300  # schedules that run however slow the machine is
SECONDS = 12  # more of them run until then


def run(simulation, seed):
    try:
        simulation.run(seed)
    except Exception as error:
        pytest.fail(describe(simulation, seed, error), pytrace=False)


@pytest.mark.parametrize("stage", STAGES)
def test_any_schedule_gives_every_client_its_replies(stage, capsys):
    simulation = Simulation(stage)
    end = time.monotonic() + SECONDS
    seed = 0
    while seed < ALWAYS or time.monotonic() < end:
        run(simulation, seed)
        seed += 1
    with capsys.disabled():
        print(f" {seed} schedules of milestone {stage} ", end="")
    missing = [name for name in SITUATIONS[stage] if not simulation.seen[name]]
    assert not missing, f"no schedule met {missing}"


def test_the_fast_code_of_step_5_1_does_the_same():
    with history.folder_of("5.1") as folder:
        simulation = Simulation(4, folder)
        for seed in range(200):
            run(simulation, seed)
