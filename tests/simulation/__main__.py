"""`python -m tests.simulation`: thousands of schedules, each from its own seed."""

import argparse
import random
import sys
import time

from headwater.metrics import Metrics
from tests.simulation.world import Broken, run_schedule


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--schedules", type=int, default=2_000, help="how many (default 2000)")
    parser.add_argument("--seed", type=int, help="of the first; each further one has the next")
    options = parser.parse_args()
    first = options.seed if options.seed is not None else random.SystemRandom().randrange(10**9)
    metrics = Metrics()
    began = time.process_time()
    for n in range(options.schedules):
        try:
            trace = run_schedule(first + n, metrics)
        except Broken as broken:
            sys.stdout.write("\n".join(broken.trace[-400:]) + f"\n\n{broken}\n")
            sys.stdout.write(f"Again: python -m tests.simulation --schedules 1 --seed {broken.seed}\n")
            return 1
    took_s = time.process_time() - began
    if options.schedules == 1:
        sys.stdout.write("\n".join(trace) + "\n")
    sys.stdout.write(
        f"{options.schedules} schedules from seed {first}: all promises kept; "
        f"{1000 * took_s / options.schedules:.1f} ms of CPU each\n"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
