"""What is foreign under one run's names costs that run, says so, and hurts no other."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from headwater.store.redis.keys import Keys
from tests.support.event_source import EventSource, Refused
from tests.support.upstream import Script
from tests.support.waiting import eventually
from tests.workers.cluster import QUICK, Cluster

pytestmark = pytest.mark.anyio

# Tops are compared often, so that readers of a run that can be neither read nor ended need not wait long.
SETTINGS: dict[str, Any] = QUICK | {"check_s": 0.5}
SCRIPT = Script(tokens=150, interval_s=0.01)
LONG = Script(tokens=6_000, interval_s=0.01)
TOLD_S = 12.0  # above leases, sweeps and a slow machine; who has heard nothing by then never will
GAVE_UP = ("failed", "internal_error")
REFUSED = (500, "damaged_log")

Names = tuple[str, str, str]
"""The keys of a run, its request and its log."""
Damage = Callable[["Redis", Names], Awaitable[object]]


async def log_is_a_string(redis: Redis, names: Names) -> None:
    await redis.set(names[2], "junk")


async def foreign_entry_on_top(redis: Redis, names: Names) -> None:
    await redis.xadd(names[2], {"theirs": "junk"}, id="999999999-1")


async def foreign_entry_in_between(redis: Redis, names: Names) -> None:
    add = "local seq, tag = string.match(redis.call('HGET', KEYS[1], 'top'), '(%d+)-(%d+)') "
    add += "redis.call('XADD', KEYS[2], seq .. '-' .. tag + 1, 'theirs', 'junk')"
    await redis.eval(add, 2, names[0], names[2])  # in one step, as the log grows meanwhile


async def run_is_a_list(redis: Redis, names: Names) -> None:
    await redis.delete(names[0])
    await redis.lpush(names[0], "junk")


async def run_stands_nowhere(redis: Redis, names: Names) -> None:
    await redis.hset(names[0], "top", "junk")


async def request_is_junk(redis: Redis, names: Names) -> None:
    await redis.set(names[1], "junk")


async def request_is_a_list(redis: Redis, names: Names) -> None:
    await redis.delete(names[1])
    await redis.lpush(names[1], "junk")


@pytest.fixture(scope="module")
async def three(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> AsyncIterator[Cluster]:
    """Three workers that look after all that these tests leave behind; the tests look for tracebacks themselves."""
    directory = tmp_path_factory.mktemp("damage")
    async with Cluster(directory, redis_url, may_crash=True, **SETTINGS) as cluster:
        yield cluster


async def do(cluster: Cluster, damage: Damage, run_id: str) -> None:
    """Damage a run."""
    keys = Keys(cluster.prefix)
    async with Redis.from_url(cluster.stores[0]) as redis:
        await damage(redis, (keys.run(run_id), keys.request(run_id), keys.log(run_id)))


async def told(reader: EventSource) -> tuple[object, object]:
    """What it was told in the end: an end's status and reason, or a refusal's status and code."""
    try:
        async with asyncio.timeout(TOLD_S):
            await reader.follow()
    except Refused as refused:
        if reader.follower.end is None:
            return refused.status, json.loads(refused.body)["code"]
    except TimeoutError:
        return "it hangs", f"after {reader.connections} connections"
    assert reader.follower.end is not None
    return reader.follower.end["status"], reader.follower.end.get("reason")


async def answers(cluster: Cluster, run_id: str) -> set[tuple[int, str | None]]:
    """How the workers answer a look at the run: the status, and the code of an error."""
    responses = [await cluster.client.get(f"{url}/v1/runs/{run_id}") for url in cluster.urls]
    return {(response.status_code, response.json().get("code")) for response in responses}


def crashes(cluster: Cluster) -> list[str]:
    """The last line of each traceback in the workers' logs."""
    lines = [line for worker in cluster.workers for line in worker.stderr.splitlines()]
    starts = [number for number, line in enumerate(lines) if line.startswith("Traceback")]
    return [next(line for line in lines[start + 1 :] if not line.startswith(" ")) for start in starts]


@asynccontextmanager
async def no_crash(cluster: Cluster) -> AsyncIterator[None]:
    """No worker's log gets a traceback meanwhile."""
    before = crashes(cluster)
    yield
    assert crashes(cluster) == before


@asynccontextmanager
async def unhurt(cluster: Cluster) -> AsyncIterator[None]:
    """Runs of every worker stream to readers on every worker meanwhile, and end as if nothing had been."""
    runs = [await cluster.start(SCRIPT, at=worker) for worker in cluster.workers]
    readers = [cluster.reader(run_id, at=worker) for run_id in runs for worker in cluster.workers]
    following = [asyncio.create_task(told(reader)) for reader in readers]
    await eventually(lambda: all(reader.follower.deltas > 3 for reader in readers), what="they stream")
    async with no_crash(cluster):
        yield
        assert set(await asyncio.gather(*following)) == {("completed", None)}
        assert {reader.text for reader in readers} == {SCRIPT.text}


@pytest.mark.parametrize("damage", [log_is_a_string, foreign_entry_on_top], ids=lambda one: one.__name__)
async def test_a_log_that_takes_no_entry_fails_its_run(three: Cluster, damage: Damage) -> None:
    async with unhurt(three):
        run_id, readers, following = await streaming(three)
        await do(three, damage, run_id)
        assert await asyncio.gather(*following) == [GAVE_UP] * 3
        await eventually(lambda: three.calls(run_id)[0].closed_at, what="its upstream is closed")
        assert await answers(three, run_id) == {REFUSED}
        assert LONG.text.startswith(readers[0].text)


@pytest.mark.parametrize("damage", [run_is_a_list, run_stands_nowhere], ids=lambda one: one.__name__)
async def test_a_run_that_cannot_even_be_ended_is_refused(three: Cluster, damage: Damage) -> None:
    async with unhurt(three):
        run_id, _, following = await streaming(three)
        await do(three, damage, run_id)
        assert set(await asyncio.gather(*following)) == {REFUSED}
        await eventually(lambda: three.calls(run_id)[0].closed_at, what="its upstream is closed")
        assert await answers(three, run_id) == {REFUSED}


@pytest.mark.parametrize("damage", [request_is_junk, foreign_entry_in_between], ids=lambda one: one.__name__)
async def test_what_live_readers_do_not_need_they_do_not_miss(three: Cluster, damage: Damage) -> None:
    async with unhurt(three):
        run_id, readers, following = await streaming(three, SCRIPT)
        await do(three, damage, run_id)
        assert await asyncio.gather(*following) == [("completed", None)] * 3
        assert {reader.text for reader in readers} == {SCRIPT.text}
        assert await answers(three, run_id) == {REFUSED}


@pytest.mark.parametrize("damage", [log_is_a_string, foreign_entry_in_between], ids=lambda one: one.__name__)
async def test_who_comes_late_to_a_damaged_log_is_refused_and_need_not_come_back(
    three: Cluster, damage: Damage
) -> None:
    run_id = (await three.ended(await three.start(Script(tokens=5))))["id"]
    await do(three, damage, run_id)
    readers = [three.reader(run_id, at=worker) for worker in three.workers]
    async with no_crash(three):
        assert set(await asyncio.gather(*(told(reader) for reader in readers))) == {REFUSED}
    assert max(reader.connections for reader in readers) < 10


@pytest.mark.parametrize("damage", [run_is_a_list, request_is_junk], ids=lambda one: one.__name__)
async def test_a_damaged_run_hides_no_other_in_a_list(three: Cluster, damage: Damage) -> None:
    label = damage.__name__
    first, damaged, last = [
        await three.ended(await three.start(Script(tokens=2), conversation=label)) for _ in range(3)
    ]
    await do(three, damage, damaged["id"])
    for url in three.urls:
        listed = await three.client.get(f"{url}/v1/runs?conversation={label}")
        assert listed.status_code == 200, listed.text
        ids = [row["id"] for row in listed.json()["data"]]
        assert [one for one in ids if one != damaged["id"]] == [last["id"], first["id"]]


@pytest.mark.parametrize("damage", [request_is_junk, request_is_a_list], ids=lambda one: one.__name__)
async def test_a_queued_run_without_its_request_fails_when_its_turn_comes(
    tmp_path: Path, redis_url: str, damage: Damage
) -> None:
    async with Cluster(tmp_path, redis_url, workers=1, max_runs=1, **SETTINGS) as cluster:
        busy = await cluster.start(LONG)
        run_id = await cluster.start(SCRIPT)
        readers = [cluster.reader(run_id) for _ in range(2)]
        following = [asyncio.create_task(told(reader)) for reader in readers]
        await eventually(lambda: all(reader.follower.run for reader in readers), what="they wait for it")
        await do(cluster, damage, run_id)
        await cluster.cancel(busy)
        assert await asyncio.gather(*following) == [GAVE_UP] * 2
        assert not cluster.calls(run_id)
        after = await cluster.ended(await cluster.start(Script(tokens=5)))
        assert after["status"] == "completed", "and its room is free"


LEFT_BEHIND: list[tuple[Damage | None, tuple[object, object]]] = [
    (None, ("incomplete", "producer_lost")),
    (log_is_a_string, GAVE_UP),
    (request_is_junk, GAVE_UP),
    (request_is_a_list, GAVE_UP),
    (run_is_a_list, REFUSED),
    (run_stands_nowhere, REFUSED),
    (None, ("incomplete", "producer_lost")),
]


async def test_what_a_dead_worker_left_is_closed_though_much_of_it_is_damaged(tmp_path: Path, redis_url: str) -> None:
    async with Cluster(tmp_path, redis_url, may_crash=True, **SETTINGS) as cluster:
        victim, *others = cluster.workers
        runs = [await cluster.start(LONG, at=victim) for _ in LEFT_BEHIND]
        readers = [cluster.reader(run_id, at=worker) for run_id in runs for worker in others]
        following = [asyncio.create_task(told(reader)) for reader in readers]
        await eventually(lambda: all(reader.follower.deltas > 3 for reader in readers), what="all runs stream")
        victim.kill()
        for run_id, (damage, _) in zip(runs, LEFT_BEHIND, strict=True):
            if damage is not None:
                await do(cluster, damage, run_id)
        heard = await asyncio.gather(*following)
        expected = [(damage, how) for damage, how in LEFT_BEHIND for _ in others]
        assert [(damage, how) for (damage, _), how in zip(expected, heard, strict=True)] == expected
        assert crashes(cluster) == []


async def streaming(
    cluster: Cluster, script: Script = LONG
) -> tuple[str, list[EventSource], list["asyncio.Task[tuple[object, object]]"]]:
    """A run of the first worker's, and readers on all that have begun; what they will be told."""
    run_id = await cluster.start(script, at=cluster.workers[0])
    readers = [cluster.reader(run_id, at=worker) for worker in cluster.workers]
    following = [asyncio.create_task(told(reader)) for reader in readers]
    await eventually(lambda: all(reader.follower.deltas > 3 for reader in readers), what="it streams")
    return run_id, readers, following
