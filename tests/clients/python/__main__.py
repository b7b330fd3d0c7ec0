"""`python -m tests.clients.python`: the Python client on three workers and Redis, lines cut at random, in full size.

Exit status 1 if a text is not exact, or something was started, said or heard twice.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from tests.clients.python_scenes import answers_are_exact, everybody_hears_the_same, workers_on_redis
from tests.streaming.texts import seeded
from tests.support.redis_server import RedisServer

RUNS, MEMBERS, MESSAGES = 100, 20, 10


async def _main(rounds: int) -> None:
    with tempfile.TemporaryDirectory(prefix="clients-") as name:
        async with RedisServer(Path(name)) as redis, workers_on_redis(Path(name), redis.url) as cluster:
            for _ in range(rounds):
                with seeded() as seed:
                    began = time.monotonic()
                    _tell(await answers_are_exact(cluster, seed, RUNS), began)
                    began = time.monotonic()
                    _tell(await everybody_hears_the_same(cluster, seed, MEMBERS, MESSAGES), began)


def _tell(what: str, began: float) -> None:
    sys.stdout.write(f"{what}, {time.monotonic() - began:.1f} s\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.clients.python", description=__doc__)
    parser.add_argument("--rounds", type=int, default=1, help="how often it is done (default 1)")
    uvloop.run(_main(parser.parse_args().rounds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
