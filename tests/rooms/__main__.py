"""`python -m tests.rooms`: members whose sockets are cut, in full size, on Redis and on SQLite.

Exit status 1 if somebody missed something, or heard it twice.
"""

import argparse
import sys
import tempfile
import time
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import uvloop

from tests.rooms.scenes import everybody_hears_the_story, everybody_talks, worker_on_sqlite, workers_on_redis
from tests.streaming.texts import seeded
from tests.support.redis_server import RedisServer
from tests.workers.cluster import Cluster

MEMBERS, MESSAGES, CUTS = 60, 20, 300
ROOMS, JOINING, STORY_CUTS = 4, 25, 3


async def _play(what: str, where: AbstractAsyncContextManager[Cluster], rounds: int) -> None:
    async with where as cluster:
        for _ in range(rounds):
            with seeded() as seed:
                cluster.chance.seed(seed)
                began = time.monotonic()
                talk = await everybody_talks(cluster, seed, members=MEMBERS, messages=MESSAGES, cuts=CUTS)
                _tell(f"{what}, everybody talks: {talk}", began)
                began = time.monotonic()
                story = await everybody_hears_the_story(cluster, seed, rooms=ROOMS, joining=JOINING, cuts=STORY_CUTS)
                _tell(f"{what}, joining in mid-answer: {story}", began)


def _tell(what: str, began: float) -> None:
    sys.stdout.write(f"{what}, {time.monotonic() - began:.1f} s\n")
    sys.stdout.flush()


async def _main(rounds: int) -> None:
    with tempfile.TemporaryDirectory(prefix="rooms-") as name:
        async with RedisServer(Path(name)) as redis:
            await _play("3 workers on Redis", workers_on_redis(Path(name), redis.url), rounds)
        await _play("1 worker on SQLite", worker_on_sqlite(Path(name)), rounds)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.rooms", description=__doc__)
    parser.add_argument("--rounds", type=int, default=1, help="how often each is done (default 1)")
    uvloop.run(_main(parser.parse_args().rounds))
    sys.stdout.write("Everybody has the same, all of it, and once.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
