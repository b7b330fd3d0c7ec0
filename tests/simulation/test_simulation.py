"""The simulation as a part of the tests: some schedules, each time others, and that it can be believed."""

import random
import time
from collections import Counter

from headwater.metrics import Metrics
from tests.simulation.__main__ import SEED_MAX
from tests.simulation.world import Broken, run_schedule

# Of this process: hundreds of schedules, for a part of what all tests may take.
CPU_S = 5.0


def test_no_promise_is_broken_whatever_goes_wrong() -> None:
    first = random.SystemRandom().randrange(SEED_MAX)
    metrics, tally, until = Metrics(), Counter[str](), time.process_time() + CPU_S
    seed = first
    while time.process_time() < until:
        try:
            run_schedule(seed, metrics, tally)
        except Broken as broken:
            trace = "\n".join(broken.trace)
            again = f"python -m tests.simulation --schedules 1 --seed {broken.seed}"
            raise AssertionError(f"{trace}\n\n{broken}\nAgain: {again}") from None
        seed += 1
    assert tally["taken over"] and tally["drain, continued"] and tally["failover, continued"]


def test_a_schedule_is_the_same_each_time() -> None:
    metrics = Metrics()
    for seed in range(10):
        assert run_schedule(seed, metrics) == run_schedule(seed, metrics)


def test_a_schedule_changes_nothing_for_others() -> None:
    """It takes over the source of chance, and gives it back."""
    random.seed(1)
    expected = random.random()
    random.seed(1)
    run_schedule(5, Metrics())
    assert random.random() == expected
