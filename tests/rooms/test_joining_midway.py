"""Who comes into a room in the middle of an answer, and comes back in the middle of it, has the text that all have."""

import pytest

from tests.rooms.scenes import everybody_hears_the_story
from tests.streaming.texts import seeded
from tests.workers.cluster import Cluster

pytestmark = pytest.mark.anyio

ROOMS, JOINING, CUTS = 4, 25, 3


async def test_a_hundred_members_who_join_in_the_middle_of_an_answer_hear_all_of_it(three_workers: Cluster) -> None:
    with seeded() as seed:
        three_workers.chance.seed(seed)
        tally = await everybody_hears_the_story(three_workers, seed, rooms=ROOMS, joining=JOINING, cuts=CUTS)
        assert (tally.members, tally.cuts) == (ROOMS * JOINING, ROOMS * JOINING * CUTS)


async def test_on_sqlite_members_who_join_in_the_middle_of_an_answer_hear_all_of_it(one_worker: Cluster) -> None:
    with seeded() as seed:
        await everybody_hears_the_story(one_worker, seed, rooms=1, joining=10, cuts=CUTS)
