"""What a principal and an address may use is counted over all workers, exactly."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2
import pytest

from tests.streaming.stage import DEADLINE_S
from tests.support.keys import bearer
from tests.support.upstream import Script
from tests.support.waiting import eventually
from tests.workers.cluster import Cluster
from tests.workers.guarded import guarded, key_of

pytestmark = pytest.mark.anyio

LONG = Script(tokens=3_000, interval_s=0.02)


async def statuses(cluster: Cluster, key: str, count: int, path: str, body: object = None) -> Counter[int]:
    """How so many requests at once, spread over the workers, were answered."""

    async def ask(number: int) -> httpx2.Response:
        url = cluster.urls[number % len(cluster.urls)] + path
        method = "GET" if body is None else "POST"
        return await cluster.client.request(method, url, json=body, headers=bearer(key))

    responses = await asyncio.gather(*(ask(number) for number in range(count)))
    for response in responses:
        if response.status_code == 429:
            assert int(response.headers["retry-after"]) >= 1
            assert response.json()["limit"] > 0 and response.json()["code"] == "too_many"
    return Counter(response.status_code for response in responses)


async def test_two_hundred_requests_at_once_where_a_hundred_are_allowed(tmp_path: Path, redis_url: str) -> None:
    async with guarded(tmp_path, redis_url, requests_per_minute=100) as cluster:
        key, other = await key_of(cluster), await key_of(cluster)
        assert await statuses(cluster, key, 200, "/v1/runs") == {200: 100, 429: 100}
        assert await statuses(cluster, other, 10, "/v1/runs") == {200: 10}, "everybody has a window of their own"
        refused = await cluster.client.get(f"{cluster.any_url()}/v1/runs", headers=bearer(key))
        assert refused.headers["ratelimit-policy"] == '"requests";q=100;w=60'
        assert refused.headers["ratelimit"].startswith('"requests";r=0;t=')
        allowed = await cluster.client.get(f"{cluster.any_url()}/v1/runs", headers=bearer(other))
        assert allowed.headers["ratelimit"].startswith('"requests";r=89;t=')


async def test_two_hundred_runs_at_once_where_twenty_may_go_on(tmp_path: Path, redis_url: str) -> None:
    async with guarded(tmp_path, redis_url, parallel_runs=20, requests_per_minute=0) as cluster:
        key = await key_of(cluster)
        cluster.client.headers.update(bearer(key))
        assert await statuses(cluster, key, 200, "/v1/runs", cluster.question(LONG)) == {202: 20, 429: 180}
        rows = (await cluster.client.get(f"{cluster.any_url()}/v1/runs?limit=100")).json()["data"]
        assert len(rows) == 20
        for row in rows[:5]:
            await cluster.cancel(row["id"])
            await cluster.ended(row["id"])
        assert await statuses(cluster, key, 50, "/v1/runs", cluster.question(LONG)) == {202: 5, 429: 45}


async def test_forty_streams_at_once_where_ten_may_be_open(tmp_path: Path, redis_url: str) -> None:
    async with (
        guarded(tmp_path, redis_url, connections=10, requests_per_minute=0) as cluster,
        AsyncExitStack() as stack,
    ):
        key = await key_of(cluster)
        cluster.client.headers.update(bearer(key))
        run_id = await cluster.start(LONG)

        async def follow(number: int) -> httpx2.Response:
            url = cluster.urls[number % len(cluster.urls)]
            request = cluster.client.build_request("GET", f"{url}/v1/runs/{run_id}/events?format=ndjson")
            return await cluster.client.send(request, stream=True)

        answers = await asyncio.gather(*(follow(number) for number in range(40)))
        for answer in answers:
            stack.push_async_callback(answer.aclose)
        assert Counter(answer.status_code for answer in answers) == {200: 10, 429: 30}
        event_source = {"Accept": "text/event-stream"}
        again = await cluster.client.get(f"{cluster.any_url()}/v1/runs/{run_id}/events", headers=event_source)
        assert again.status_code == 200 and again.text.startswith("retry: "), "EventSource is to come back"
        for answer in [answer for answer in answers if answer.status_code == 200][:3]:
            await answer.aclose()

        async def another() -> bool:
            answer = await follow(0)
            stack.push_async_callback(answer.aclose)
            return answer.status_code == 200

        for _ in range(3):
            await eventually(another, DEADLINE_S, "a place is free")
        assert not await another()


async def test_a_day_has_so_many_output_tokens(tmp_path: Path, redis_url: str) -> None:
    async with guarded(tmp_path, redis_url, output_tokens_per_day=50) as cluster:
        key = await key_of(cluster)
        cluster.client.headers.update(bearer(key))
        for _ in range(2):
            await cluster.ended(await cluster.start(demo={"tokens": 30, "tokens_per_s": 10_000}))

        async def refused() -> httpx2.Response | None:
            response = await cluster.post(cluster.question(demo={"tokens": 1}))
            return response if response.status_code == 429 else None

        response = await eventually(refused, DEADLINE_S, "the tokens of the day are used up")
        assert response.json()["limit"] == 50
        assert 80_000 < int(response.headers["retry-after"]) <= 86_401


async def test_addresses_are_told_apart_by_named_proxies_only(tmp_path: Path, redis_url: str) -> None:
    for trusted, seen in (("127.0.0.1", {200: 20}), ("", {200: 5, 429: 15})):
        settings = {"trusted_proxies": trusted, "address_requests_per_minute": 5}
        directory = tmp_path / (trusted or "none")
        directory.mkdir()
        async with guarded(directory, redis_url, workers=2, **settings) as cluster:
            key = await key_of(cluster)

            async def ask(number: int, cluster: Cluster = cluster, key: str = key) -> int:
                headers = bearer(key) | {"X-Forwarded-For": f"198.51.100.{number}"}
                url = f"{cluster.urls[number % 2]}/v1/runs"
                return (await cluster.client.get(url, headers=headers)).status_code

            assert Counter(await asyncio.gather(*(ask(number) for number in range(20)))) == seen


async def test_guesses_are_counted_for_their_address(tmp_path: Path, redis_url: str) -> None:
    async with guarded(tmp_path, redis_url, address_requests_per_minute=30) as cluster:
        guesses = [f"no-key-{number}" for number in range(60)]
        answers = await asyncio.gather(
            *(cluster.client.get(f"{cluster.any_url()}/v1/runs", headers=bearer(guess)) for guess in guesses)
        )
        assert Counter(answer.status_code for answer in answers) == {401: 30, 429: 30}


async def test_a_repeated_request_gets_its_run_though_there_is_no_place_for_another(
    tmp_path: Path, redis_url: str
) -> None:
    async with guarded(tmp_path, redis_url, parallel_runs=1) as cluster:
        cluster.client.headers.update(bearer(await key_of(cluster)))
        body = cluster.question(LONG)
        first = await cluster.post(body, key="once")
        for worker in cluster.workers:
            again = await cluster.post(body, key="once", at=worker)
            assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
            assert (await cluster.post(cluster.question(LONG), key="once", at=worker)).status_code == 409
            assert (await cluster.post(body, key="another", at=worker)).status_code == 429
        await cluster.cancel(first.json()["id"])


async def test_runs_that_have_expired_hold_no_place(tmp_path: Path, redis_url: str) -> None:
    async with guarded(tmp_path, redis_url, parallel_runs=2, run_ttl_s=0.5) as cluster:
        cluster.client.headers.update(bearer(await key_of(cluster)))
        runs = [await cluster.start(demo={"tokens": 3}) for _ in range(2)]

        async def gone() -> bool:
            urls = [f"{cluster.any_url()}/v1/runs/{run_id}" for run_id in runs]
            return {(await cluster.client.get(url)).status_code for url in urls} == {404}

        await eventually(gone, DEADLINE_S, "they have expired")
        for _ in range(2):
            await cluster.start(LONG)
        assert (await cluster.post(cluster.question(LONG))).status_code == 429
