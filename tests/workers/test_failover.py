"""A replica is promoted that lacks what was acknowledged last."""

import asyncio
from pathlib import Path

import pytest

from tests.streaming.stage import DEADLINE_S, Stage
from tests.streaming.texts import pieces, seeded
from tests.support.event_source import EventSource
from tests.support.faulty_proxy import FaultyProxy
from tests.support.redis_server import RedisServer, sentinel
from tests.support.upstream import Script
from tests.support.waiting import eventually
from tests.workers.stages import workers

pytestmark = pytest.mark.anyio


class Pair:
    """A primary, its replica, and the address that stands for whichever is to be used."""

    def __init__(self, primary: RedisServer, replica: RedisServer, proxy: FaultyProxy) -> None:
        self.primary, self.replica, self.proxy = primary, replica, proxy

    async def part(self, run_id: str) -> None:
        """From now on the replica, which has a part of the run, hears nothing of what is acknowledged."""
        # On a busy machine it may be behind by more than the run is old, and then there would be nothing to heal.
        log = f"*:log:*{run_id}*"
        await eventually(lambda: self.replica.ask("KEYS", log), DEADLINE_S, "the replica has heard of the run")
        self.replica.ask("REPLICAOF", "NO", "ONE")

    def fail_over(self) -> None:
        """The replica takes the primary's place."""
        self.proxy.target = ("127.0.0.1", self.replica.port)
        self.proxy.cut()


async def is_at(reader: EventSource, seq: int) -> None:
    await eventually(lambda: reader.follower.seq >= seq, DEADLINE_S, f"the reader is at {seq}")


async def starts(stage: Stage, readers: list[EventSource], script: Script, at: list[Stage]) -> str:
    """A run, and a reader of it on each of these workers."""
    run_id = await stage.start(script)
    readers += [one.reader(run_id) for one in at]
    return run_id


async def test_while_the_producer_lives_what_was_lost_is_written_again_unnoticed(tmp_path: Path) -> None:
    with seeded() as seed, RedisServer(tmp_path) as primary, RedisServer(tmp_path, replica_of=primary) as replica:
        async with (
            FaultyProxy("127.0.0.1", primary.port) as proxy,
            workers(tmp_path, [proxy.url] * 2, store_timeout_s=1) as (here, there),
        ):
            pair = Pair(primary, replica, proxy)
            script = Script(pieces=pieces(250, seed), interval_s=0.02)
            readers: list[EventSource] = []
            run_id = await starts(here, readers, script, [here, there])
            following = [asyncio.create_task(reader.follow()) for reader in readers]
            await is_at(readers[1], 20)
            tag = readers[1].last_id.partition("-")[2]
            await pair.part(run_id)
            await is_at(readers[1], 60)
            pair.fail_over()
            await asyncio.gather(*following)
            for reader in readers:
                assert reader.text == script.text
                assert reader.follower.snapshots <= 1, "at most the one that it began with"
                assert reader.connections == 2, "the second only to hear that there is nothing left"
                assert reader.last_id.partition("-")[2] == tag
            stored = await there.run(run_id)
            assert (stored["output"], stored["status"]) == (script.text, "completed")
            assert replica.ask("XLEN", replica.ask("KEYS", "*:log:*")[0]) > 0


async def test_a_run_that_ended_just_before_is_written_again(tmp_path: Path) -> None:
    with seeded() as seed, RedisServer(tmp_path) as primary, RedisServer(tmp_path, replica_of=primary) as replica:
        async with (
            FaultyProxy("127.0.0.1", primary.port) as proxy,
            workers(tmp_path, [proxy.url] * 2, store_timeout_s=1) as (here, there),
        ):
            pair = Pair(primary, replica, proxy)
            script = Script(pieces=pieces(60, seed), interval_s=0.02)
            run_id = await here.start(script)
            reader = there.reader(run_id)
            following = asyncio.create_task(reader.follow())
            await is_at(reader, 10)
            await pair.part(run_id)
            await following
            pair.fail_over()

            async def whole() -> bool:
                run = await there.client.get(f"/v1/runs/{run_id}")
                return run.status_code == 200 and run.json()["status"] == "completed"

            await eventually(whole, DEADLINE_S, "the run is completed again")
            assert (await there.run(run_id))["output"] == script.text == reader.text


async def test_where_the_producer_is_gone_too_nobody_ends_with_another_text(tmp_path: Path) -> None:
    with seeded() as seed, RedisServer(tmp_path) as primary, RedisServer(tmp_path, replica_of=primary) as replica:
        async with (
            FaultyProxy("127.0.0.1", primary.port) as proxy,
            workers(tmp_path, [proxy.url] * 3, store_timeout_s=1) as (here, there, elsewhere),
        ):
            pair = Pair(primary, replica, proxy)
            script = Script(pieces=pieces(2_000, seed), interval_s=0.02)
            readers: list[EventSource] = []
            run_id = await starts(here, readers, script, [there, elsewhere])
            following = [asyncio.create_task(reader.follow()) for reader in readers]
            await is_at(readers[0], 20)
            await pair.part(run_id)
            await asyncio.gather(*(is_at(reader, 60) for reader in readers))
            here.server.kill()
            pair.fail_over()
            await asyncio.gather(*following)
            stored = await there.run(run_id)
            assert (stored["status"], stored["error"]["code"]) == ("incomplete", "producer_lost")
            assert script.text.startswith(stored["output"])
            for reader in readers:
                assert reader.text == stored["output"], "what was lost is taken back"
                assert reader.follower.end is not None and reader.follower.end["reason"] == "producer_lost"


async def test_sentinel_names_the_new_primary(tmp_path: Path) -> None:
    with (
        seeded() as seed,
        RedisServer(tmp_path) as primary,
        RedisServer(tmp_path, replica_of=primary) as replica,
        sentinel(tmp_path, primary) as watcher,
    ):
        async with workers(tmp_path, [watcher.url()] * 2, store_timeout_s=1) as (here, there):
            script = Script(pieces=pieces(500, seed), interval_s=0.02)
            readers: list[EventSource] = []
            run_id = await starts(here, readers, script, [here, there])
            following = [asyncio.create_task(reader.follow()) for reader in readers]
            await is_at(readers[1], 20)
            await eventually(lambda: replica.ask("KEYS", f"*:log:*{run_id}*"), what="the replica has it")
            await asyncio.to_thread(primary.kill)
            await asyncio.gather(*following)
            for reader in readers:
                assert reader.text == script.text
                assert reader.follower.end is not None and reader.follower.end["status"] == "completed"
