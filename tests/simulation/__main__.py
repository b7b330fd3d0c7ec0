"""`python -m tests.simulation`: thousands of schedules, each from its own seed."""

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence

from headwater.metrics import Metrics
from tests.simulation.world import Broken, run_schedule

# Seeds are drawn below this: short enough to be typed.
SEED_MAX = 10**9


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--schedules", type=int, default=2_000, help="how many (default 2000); a single one is told")
    parser.add_argument("--seed", type=int, help="of the first; each further one has the next (default: any)")
    options = parser.parse_args(arguments)
    if options.schedules < 1:
        parser.error("--schedules: none proves nothing")
    first = random.SystemRandom().randrange(SEED_MAX) if options.seed is None else options.seed
    tally: Counter[str] = Counter()
    metrics, trace, began = Metrics(), list[str](), time.process_time()
    for seed in range(first, first + options.schedules):
        try:
            trace = run_schedule(seed, metrics, tally)
        except Broken as broken:
            again = f"python -m tests.simulation --schedules 1 --seed {broken.seed}"
            sys.stdout.write("\n".join([*broken.trace, "", str(broken), f"Again: {again}", ""]))
            return 1
    spent_ms = 1_000 * (time.process_time() - began) / options.schedules
    if options.schedules == 1:
        sys.stdout.write("\n".join([*trace, ""]))
    for what in sorted(tally):
        sys.stdout.write(f"{tally[what]:8} {what}\n")
    sys.stdout.write(
        f"{options.schedules} schedules from seed {first}, {spent_ms:.1f} ms of CPU each: nothing is broken\n"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
