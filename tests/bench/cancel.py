"""`python -m tests.bench.cancel`: how soon a cancel closes the upstream and reaches a follower.

One run after another streams, is cancelled in mid-answer, and both times are taken from the sending of the cancel.
With `--elsewhere` it is cancelled and followed on another worker than its producer, over a Redis. Exit status 1 if the
target is missed.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.bench.measure import percentile
from tests.streaming.stage import Stage, staged
from tests.support.redis_server import RedisServer
from tests.support.sse import Message
from tests.support.upstream import Script
from tests.support.waiting import eventually
from tests.workers.stages import workers

WITHIN_MS = 250
# Of a hundred tries, so many must be within it.
TARGET = 0.99

LONG = Script(tokens=100_000, interval_s=0.005)


async def cancel_one(stage: Stage, there: Stage) -> tuple[int, int]:
    """Milliseconds until the upstream saw the close, and until a follower `there` had the end."""
    ended_at: list[float] = []

    def note(message: Message) -> None:
        if message.event == "end":
            ended_at.append(time.monotonic())

    run_id = await stage.start(LONG)
    reader = there.reader(run_id, on_message=note)
    following = asyncio.ensure_future(reader.follow())
    await eventually(lambda: reader.follower.deltas >= 5, what="it streams")
    exchange = await stage.exchange()
    asked_at = time.monotonic()
    run = await there.cancel(run_id)
    await following
    closed_at = await eventually(lambda: exchange.closed_at, what="the upstream is closed")
    assert run["status"] == "cancelled" and reader.text == run["output"], run
    return round((closed_at - asked_at) * 1000), round((ended_at[0] - asked_at) * 1000)


async def measure(tries: int, elsewhere: bool) -> list[tuple[int, int]]:
    """Both times of each try."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        where = Path(name)
        if not elsewhere:
            async with staged(where, measured=False) as stage:
                return [await cancel_one(stage, stage) for _ in range(tries)]
        async with RedisServer(where) as redis, workers(where, [redis.url] * 2) as (here, there):
            return [await cancel_one(here, there) for _ in range(tries)]


def line(label: str, times_ms: Sequence[int]) -> str:
    """A distribution, as a line of the report."""
    ordered = sorted(times_ms)
    figures = "   ".join(f"p{percent} {percentile(ordered, percent):>4} ms" for percent in (50, 90, 99, 100))
    within = sum(one <= WITHIN_MS for one in ordered)
    return f"{label:<18} {figures}   {within} of {len(ordered)} within {WITHIN_MS} ms\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.cancel", description=__doc__)
    parser.add_argument("--tries", type=int, default=100)
    parser.add_argument("--elsewhere", action="store_true", help="on another worker than its producer")
    options = parser.parse_args()
    times = asyncio.run(measure(options.tries, options.elsewhere))
    sys.stdout.write(line("upstream closed", [closed for closed, _ in times]))
    sys.stdout.write(line("end at a follower", [ended for _, ended in times]))
    both = sum(max(pair) <= WITHIN_MS for pair in times)
    met = both >= TARGET * len(times)
    sys.stdout.write(f"both within {WITHIN_MS} ms: {both} of {len(times)}: {'met' if met else 'NOT MET'}\n")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
