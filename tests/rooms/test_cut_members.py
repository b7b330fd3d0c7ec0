"""Members whose sockets are cut anywhere, and who come back to any worker, miss nothing and hear nothing twice.

`python -m tests.rooms` does the same in full size.
"""

import pytest

from tests.rooms.scenes import everybody_talks
from tests.streaming.texts import seeded
from tests.workers.cluster import Cluster

pytestmark = pytest.mark.anyio

MEMBERS, MESSAGES, CUTS = 15, 8, 75


async def test_on_three_workers_everybody_hears_the_same_once(three_workers: Cluster) -> None:
    with seeded() as seed:
        three_workers.chance.seed(seed)
        tally = await everybody_talks(three_workers, seed, members=MEMBERS, messages=MESSAGES, cuts=CUTS)
        assert tally.cuts == CUTS


async def test_on_sqlite_everybody_hears_the_same_once(one_worker: Cluster) -> None:
    with seeded() as seed:
        tally = await everybody_talks(one_worker, seed, members=MEMBERS, messages=MESSAGES, cuts=CUTS)
        assert tally.cuts == CUTS
