"""`python -m tests.clients.js_in_full`: our JavaScript client on three workers, through lines that are cut, all of it.

Exit status 1 if a text was not exact, or somebody in a room missed something or heard it twice.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from tests.clients.js_scenes import everybody_reads, everybody_talks, three_workers
from tests.streaming.texts import seeded
from tests.support.redis_server import RedisServer

RUNS, MEMBERS, MESSAGES = 100, 12, 25


async def _main(rounds: int) -> None:
    with tempfile.TemporaryDirectory(prefix="js-") as name:
        async with RedisServer(Path(name)) as redis, three_workers(Path(name), redis.url) as cluster:
            for _ in range(rounds):
                with seeded() as seed:
                    began = time.monotonic()
                    read = await everybody_reads(cluster, seed, runs=RUNS)
                    _tell(f"exact {read.exact} of {read.runs}, {read.cuts} cuts, {read.retries} retries", began)
                    began = time.monotonic()
                    talk = await everybody_talks(cluster, seed, members=MEMBERS, messages=MESSAGES)
                    _tell(f"{talk.members} members heard the same, {talk.cuts} cuts, {talk.retries} retries", began)


def _tell(what: str, began: float) -> None:
    sys.stdout.write(f"{what}, {time.monotonic() - began:.1f} s\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.clients.js_in_full", description=__doc__)
    parser.add_argument("--rounds", type=int, default=1, help="how often each is done (default 1)")
    uvloop.run(_main(parser.parse_args().rounds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
