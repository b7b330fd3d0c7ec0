"""Chaos: workers are killed, frozen, drained and cut off under load, and every promise is checked for everybody.

Exit status 1 if any was broken; then the first failures are described, and the workers' logs are kept.
"""

import argparse
import asyncio
import secrets
import shutil
import signal
import sys
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import uvloop

from tests.chaos.chaos import rounds, showing
from tests.chaos.report import Tally
from tests.chaos.scenarios import SCENARIOS
from tests.chaos.world import QUICK, World


def main() -> int:
    """The program."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="how long things go wrong (default 1)")
    parser.add_argument("--seed", default=str(secrets.randbits(32)), help="of all chance (default: a fresh one)")
    parser.add_argument("--workers", type=int, default=3, help="how many (default 3)")
    parser.add_argument("--only", choices=sorted(SCENARIOS), help="one scenario instead")
    parser.add_argument("--times", type=int, default=20, help="how often a scenario repeats what it does (default 20)")
    options = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="headwater-chaos-"))
    tally = Tally()
    try:
        if options.only:
            play = SCENARIOS[options.only](directory, options.seed, options.times, tally)
        else:
            play = _chaos(directory, options.seed, options.minutes * 60, options.workers, tally)
        uvloop.run(_leaving_nothing(play))
    except (KeyboardInterrupt, asyncio.CancelledError):
        shutil.rmtree(directory, ignore_errors=True)
        return 130
    sys.stdout.write(tally.table(options.seed))
    if not tally.failed:
        shutil.rmtree(directory)
        return 0
    (directory / "failures.txt").write_text("\n\n".join(tally.failures))
    sys.stdout.write(f"\n{tally.described()}\n\nAll of them, and the workers' logs, are in {directory}\n")
    return 1


async def _leaving_nothing(play: Coroutine[Any, Any, None]) -> None:
    """Let SIGTERM leave no process behind, as Ctrl-C does."""
    task = asyncio.ensure_future(play)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await task


async def _chaos(directory: Path, seed: str, seconds: float, workers: int, tally: Tally) -> None:
    async with World(directory, seed, workers=workers, **QUICK) as world, showing(tally, seconds):
        await rounds(world, tally, seconds)


if __name__ == "__main__":
    sys.exit(main())
