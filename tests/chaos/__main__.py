"""Chaos: workers are killed, frozen, drained and cut off under load, and every promise is checked for everybody.

Exit status 1 if any was broken; then the first failures are described, and the workers' logs are kept. Exit status 2
if nothing was proven.
"""

import asyncio
import math
import secrets
import shlex
import shutil
import signal
import sys
import tempfile
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

import uvloop

from tests.chaos.chaos import rounds
from tests.chaos.report import Tally
from tests.chaos.scenarios import ONCE, SCENARIOS
from tests.chaos.world import QUICK, World

MINUTES, WORKERS, TIMES = 1.0, 3, 20


def main(arguments: Sequence[str] | None = None) -> int:
    """The program."""
    options = _options(arguments)
    again = _again(options)
    sys.stdout.write(f"seed {options.seed}: {again}\n")  # now: who ends it early shall know it, too
    sys.stdout.flush()
    directory = Path(tempfile.mkdtemp(prefix="headwater-chaos-"))
    tally = Tally()
    try:
        if options.only:
            play = SCENARIOS[options.only](directory, options.seed, options.times or TIMES, tally)
        else:
            minutes, workers = options.minutes or MINUTES, options.workers or WORKERS
            play = _chaos(directory, options.seed, minutes * 60, workers, tally)
        uvloop.run(_leaving_nothing(play))
    except (KeyboardInterrupt, asyncio.CancelledError):
        shutil.rmtree(directory, ignore_errors=True)
        return 130
    sys.stdout.write(tally.table(options.seed))
    if not tally.failed:
        shutil.rmtree(directory)
    else:
        (directory / "failures.txt").write_text("\n\n".join(tally.failures))
        sys.stdout.write(f"\n{tally.described()}\n\nAll of them, and the workers' logs, are in {directory}\n")
    sys.stdout.write(f"\n{tally.verdict(again)}\n")
    return 1 if tally.failed else 2 if tally.unproven else 0


def _options(arguments: Sequence[str] | None) -> Namespace:
    parser = ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=_more_than_none, help=f"how long things go wrong (default {MINUTES:g})")
    parser.add_argument("--seed", default=str(secrets.randbits(32)), help="of all chance (default: a fresh one)")
    parser.add_argument("--workers", type=_one_at_least, help=f"how many (default {WORKERS})")
    parser.add_argument("--only", choices=sorted(SCENARIOS), help="one scenario instead")
    parser.add_argument("--times", type=_one_at_least, help=f"how often it does what it does (default {TIMES})")
    options = parser.parse_args(arguments)
    if options.only and (options.minutes or options.workers):
        parser.error(f"--only {options.only} has its own time and workers: leave --minutes and --workers out")
    if options.times and options.only in (None, *ONCE):
        parser.error(f"--times is for --only {', '.join(sorted(SCENARIOS.keys() - ONCE))}")
    return options


def _more_than_none(word: str) -> float:
    number = float(word)
    if not 0 < number < math.inf:
        raise ArgumentTypeError("it must be more than 0")
    return number


def _one_at_least(word: str) -> int:
    number = int(word)
    if number < 1:
        raise ArgumentTypeError("it must be 1 or more")
    return number


def _again(options: Namespace) -> str:
    """The command for the same draws."""
    minutes = f" MINUTES={options.minutes:g}" if options.minutes else ""
    more = [f"--{name} {getattr(options, name)}" for name in ("workers", "only", "times") if getattr(options, name)]
    return f"make chaos{minutes} SEED={shlex.quote(options.seed)}" + (f" ARGS='{' '.join(more)}'" if more else "")


async def _leaving_nothing(play: Coroutine[Any, Any, None]) -> None:
    """Let SIGTERM leave no process behind, as Ctrl-C does."""
    task = asyncio.ensure_future(play)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await task


async def _chaos(directory: Path, seed: str, seconds: float, workers: int, tally: Tally) -> None:
    async with World(directory, seed, workers=workers, **QUICK) as world:
        await rounds(world, tally, seconds)


if __name__ == "__main__":
    sys.exit(main())
