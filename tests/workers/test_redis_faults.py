"""Redis goes away, comes back, and the network in between lies: producers hold on, and nobody misses a token."""

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import pytest

from tests.streaming.stage import Stage
from tests.streaming.texts import pieces, seeded
from tests.support.audience import Audience
from tests.support.event_source import EventSource
from tests.support.faulty_proxy import FaultyProxy
from tests.support.redis_server import RedisServer
from tests.support.upstream import Script
from tests.support.waiting import lasting
from tests.workers.stages import workers

pytestmark = pytest.mark.anyio

RUNS = 3
SLOW_S = 0.02  # between two tokens, so that an answer outlasts what is done to it


class Play:
    """Some runs started on the first of the workers, and a reader of each on every worker."""

    def __init__(self, stages: Sequence[Stage], tokens: int, seed: int) -> None:
        self.stages = stages
        self.scripts = [Script(pieces=pieces(tokens, seed + n), interval_s=SLOW_S) for n in range(RUNS)]
        self.seats: list[tuple[Script, str, Stage, EventSource]] = []
        self.audience = Audience([])

    async def __aenter__(self) -> Self:
        """Start, and return once every reader has its first tokens."""
        for script in self.scripts:
            run_id = await self.stages[0].start(script)
            self.seats += [(script, run_id, stage, stage.reader(run_id)) for stage in self.stages]
        self.audience = Audience([reader for *_, reader in self.seats])
        await self.audience.__aenter__()
        await self.audience.all_at(5)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.audience.__aexit__()

    async def goes_on(self, tokens: int) -> None:
        """Return once every reader has so many more than any has now."""
        await self.audience.all_at(self.audience.furthest + tokens)

    async def everyone_ends_well(self) -> None:
        """Every reader has the whole text, one completed end, and what it has is what is stored."""
        await self.audience.end()
        for script, run_id, stage, reader in self.seats:
            assert reader.text == script.text
            assert reader.follower.end is not None
            assert reader.follower.end["status"] == "completed"
            assert (await stage.run(run_id))["output"] == script.text


async def test_a_redis_that_is_killed_and_restarted_in_mid_run(tmp_path: Path) -> None:
    with seeded() as seed, RedisServer(tmp_path, appendonly=True) as redis:
        async with workers(tmp_path, [redis.url] * 2) as stages, Play(stages, 200, seed) as play:
            for _ in range(2):
                await asyncio.to_thread(redis.kill)
                await asyncio.to_thread(redis.restart)
                await play.goes_on(20)
            await play.everyone_ends_well()


async def test_a_redis_that_is_frozen_for_ten_seconds(tmp_path: Path) -> None:
    with seeded() as seed, RedisServer(tmp_path) as redis:
        async with workers(tmp_path, [redis.url] * 2) as stages, Play(stages, 150, seed) as play:
            redis.freeze()
            await lasting(10)  # longer than leases do
            assert all(reader.follower.end is None for reader in play.audience.readers)
            redis.thaw()
            await play.everyone_ends_well()


async def test_a_network_that_cuts_delays_and_half_closes(tmp_path: Path) -> None:
    with seeded() as seed, RedisServer(tmp_path) as redis:
        chance = random.Random(seed)
        async with (
            FaultyProxy("127.0.0.1", redis.port, chance) as here,
            FaultyProxy("127.0.0.1", redis.port, chance) as there,
            workers(tmp_path, [here.url, there.url], store_timeout_s=1) as stages,
            Play(stages, 300, seed) as play,
        ):
            for fault in range(8):
                proxy = chance.choice([here, there])
                match fault % 4:
                    case 0:
                        proxy.cut()
                    case 1:
                        proxy.half_close()
                    case 2:
                        proxy.delay_s = 0.05
                    case 3:
                        proxy.delay_s, proxy.black_hole = 0.0, True
                        await lasting(1.5)  # longer than a request may
                        proxy.black_hole = False
                await play.goes_on(10)
            here.delay_s = there.delay_s = 0.0
            await play.everyone_ends_well()


async def test_a_network_that_drops_one_publication_in_twenty(tmp_path: Path) -> None:
    with seeded() as seed, RedisServer(tmp_path) as redis:
        async with (
            FaultyProxy("127.0.0.1", redis.port, random.Random(seed)) as there,
            workers(tmp_path, [redis.url, there.url], check_s=0.5) as stages,
        ):
            there.drop_messages = 0.05
            async with Play(stages, 250, seed) as play:
                await play.everyone_ends_well()
                assert there.dropped >= RUNS * 250 * 0.05 / 4, "publications were dropped"
                assert await stages[1].metric("headwater_refills_total") > 0
