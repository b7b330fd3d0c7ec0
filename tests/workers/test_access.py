"""A credential is one on every worker, and ends on every worker."""

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2
import pytest

from tests.streaming.stage import DEADLINE_S
from tests.support.keys import bearer, revoke
from tests.support.redis_server import RedisServer
from tests.support.upstream import Script
from tests.support.waiting import eventually
from tests.workers.cluster import Cluster
from tests.workers.guarded import config_of, guarded, key_of

pytestmark = pytest.mark.anyio

LONG = Script(tokens=3_000, interval_s=0.02)


async def test_a_new_key_and_a_new_ticket_are_good_everywhere_at_once(tmp_path: Path, redis_url: str) -> None:
    async with guarded(tmp_path, redis_url) as cluster:
        cluster.client.headers.update(bearer(await key_of(cluster)))
        for worker in cluster.workers:
            run_id = await cluster.start(demo={"tokens": 3}, at=worker)
            issued = await cluster.client.post(f"{worker.url}/v1/tickets", json={"run": run_id})
            ticket = issued.json()["ticket"]
            for url in cluster.urls:
                async with httpx2.AsyncClient(timeout=DEADLINE_S) as page:
                    followed = await page.get(f"{url}/v1/runs/{run_id}/events", params={"ticket": ticket})
                assert followed.status_code == 200 and "event: end" in followed.text


async def test_while_the_store_is_away_nobody_is_refused_for_good(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as redis:
        async with guarded(tmp_path, redis.url, workers=1, store_timeout_s=0.5) as cluster:
            key = await key_of(cluster)
            cluster.client.headers.update(bearer(key))
            run_id = await cluster.start(demo={"tokens": 3})
            (url,) = cluster.urls
            redis.freeze()
            answer = await cluster.client.get(f"{url}/v1/runs/{run_id}", headers=bearer(key))
            assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
            event_source = bearer(key) | {"Accept": "text/event-stream"}
            answer = await cluster.client.get(f"{url}/v1/runs/{run_id}/events", headers=event_source)
            assert answer.status_code == 200 and answer.text.startswith("retry: ")
            assert (await cluster.client.get(f"{url}/healthz")).status_code == 200
            redis.thaw()
            answer = await cluster.client.get(f"{url}/v1/runs/{run_id}", headers=bearer(key))
            assert answer.status_code == 200


async def test_a_revoked_keys_streams_end_on_every_worker(tmp_path: Path, redis_url: str) -> None:
    async with guarded(tmp_path, redis_url) as cluster, AsyncExitStack() as stack:
        key, other = await key_of(cluster), await key_of(cluster)
        cluster.client.headers.update(bearer(key))
        run_id = await cluster.start(LONG)
        streams = []
        for url in cluster.urls:
            for credential in (key, other):
                headers = bearer(credential)
                streaming = cluster.client.stream("GET", f"{url}/v1/runs/{run_id}/events", headers=headers)
                streams.append((credential, await stack.enter_async_context(streaming)))
        ends: dict[int, float] = {}

        async def read(number: int, response: httpx2.Response) -> None:
            async for _ in response.aiter_raw():
                pass
            ends[number] = time.monotonic()

        reading = [asyncio.create_task(read(number, stream)) for number, (_, stream) in enumerate(streams)]
        revoked_at = time.monotonic()
        await revoke(config_of(cluster), key)
        await eventually(lambda: len(ends) == 3, DEADLINE_S, "the three streams of the revoked key ended")
        assert {streams[number][0] for number in ends} == {key}
        assert max(ends.values()) - revoked_at < 5 + 3, "within five seconds, and a slow machine's three"
        for url in cluster.urls:
            assert (await cluster.client.get(f"{url}/v1/runs/{run_id}", headers=bearer(key))).status_code == 401
            assert (await cluster.client.get(f"{url}/v1/runs/{run_id}", headers=bearer(other))).status_code == 200
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)


async def test_a_store_that_forgets_its_keys_opens_nothing(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as redis:
        async with Cluster(tmp_path, redis.url, workers=1, key_check_s=0.2) as cluster:
            (url,) = cluster.urls
            key = await key_of(cluster)
            await eventually(lambda: _is_asked(cluster), DEADLINE_S, "it asks")
            assert redis.ask("FLUSHALL")

            async def forgotten() -> bool:
                return (await cluster.client.get(f"{url}/v1/runs", headers=bearer(key))).status_code == 401

            await eventually(forgotten, DEADLINE_S, "the key is gone")
            assert await _is_asked(cluster)
            assert "the store has lost all keys" in cluster.workers[0].stderr


async def _is_asked(cluster: Cluster) -> bool:
    return (await cluster.client.get(f"{cluster.any_url()}/v1/runs")).status_code == 401


async def test_what_is_measured_is_shown_while_the_store_is_away(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as redis:
        async with guarded(tmp_path, redis.url, workers=1, store_timeout_s=0.5) as cluster:
            redis.freeze()
            shown = await cluster.client.get(f"{cluster.any_url()}/metrics", headers=bearer("a-key-of-the-tests"))
            assert shown.status_code == 200
            redis.thaw()
