"""A worker that is asked to end: its runs go on elsewhere, and nobody who followed them there sees an error."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio.to_thread
import httpx2
import pytest

from tests.streaming.stage import DEADLINE_S
from tests.support.room_client import RoomClient
from tests.support.server import ServerProcess
from tests.support.sse import EventStreamParser
from tests.support.waiting import eventually
from tests.workers.cluster import QUICK, Cluster

pytestmark = pytest.mark.anyio

DEMO = {"tokens": 200, "tokens_per_s": 80}
LATER = {"tokens": 20, "tokens_per_s": 200}
"""Of an answer that is asked for while its worker ends."""


class Asker:
    """A client with a connection that is kept alive, and what it was told."""

    def __init__(self, worker: ServerProcess, path: str, **body: Any) -> None:
        self.received = ""
        self.run_id = ""
        self._client = httpx2.AsyncClient(base_url=worker.url, timeout=DEADLINE_S)
        self._path = path
        self._body = body

    async def ask(self, demo: dict[str, Any]) -> None:
        """To the end of the response, whatever it is. Raises what goes wrong on the way."""
        self.received = ""
        extra = {"extra": {"demo": demo}} if self._path.startswith("/v1/runs") else {"demo": demo}
        async with self._client.stream("POST", self._path, json={"model": "demo", **self._body, **extra}) as response:
            assert response.status_code == 200, await response.aread()
            self.run_id = response.headers["headwater-run"]
            async for piece in response.aiter_text():
                self.received += piece

    @property
    def text(self) -> str:
        """The answer, if what was received is a whole one."""
        return self.received

    async def warm_up(self) -> None:
        """Have a connection open, so that it is there when the port is closed."""
        assert (await self._client.get("/healthz")).status_code == 200

    async def close(self) -> None:
        await self._client.aclose()


class Streaming(Asker):
    """One of OpenAI's clients, which read a stream once."""

    def __init__(self, worker: ServerProcess) -> None:
        messages = [{"role": "user", "content": "a"}]
        super().__init__(worker, "/v1/chat/completions", messages=messages, stream=True)

    @property
    def text(self) -> str:
        *chunks, done = [line.removeprefix("data: ") for line in self.received.splitlines() if line.startswith("data")]
        assert done == "[DONE]"
        deltas = [json.loads(chunk)["choices"][0] for chunk in chunks]
        assert deltas[-1]["finish_reason"] == "stop"
        return "".join(delta["delta"].get("content") or "" for delta in deltas)


class Waiting(Asker):
    """One that waits for the whole."""

    def __init__(self, worker: ServerProcess) -> None:
        super().__init__(worker, "/v1/responses", input="a")

    @property
    def text(self) -> str:
        answer = json.loads(self.received)
        assert answer["status"] == "completed"
        return "".join(part["text"] for item in answer["output"] for part in item["content"])


class Plain(Asker):
    """One that reads nothing but text."""

    def __init__(self, worker: ServerProcess) -> None:
        super().__init__(worker, "/v1/runs?format=text", input="a")


@asynccontextmanager
async def leaving_one(directory: Path, store: str, **settings: Any) -> AsyncIterator[tuple[Cluster, ServerProcess]]:
    """Two workers, and that of them which a test ends."""
    given = {**QUICK, "drain_s": DEADLINE_S, "drain_spread_s": 0.2, **settings}
    async with Cluster(directory, store, workers=2, **given) as cluster:
        yield cluster, cluster.workers[0]


async def test_whoever_cannot_come_back_has_the_whole_answer_from_the_worker_that_leaves(
    tmp_path: Path, redis_url: str
) -> None:
    async with leaving_one(tmp_path, redis_url) as (cluster, leaving):
        early = [Streaming(leaving), Waiting(leaving), Plain(leaving)]
        late = [Streaming(leaving), Waiting(leaving), Plain(leaving)]
        asking = [asyncio.ensure_future(asker.ask(DEMO)) for asker in early]
        await eventually(lambda: producing(cluster, leaving, len(early)), what="they are being answered")
        await asyncio.gather(*(asker.warm_up() for asker in late))
        leaving.signal(signal.SIGTERM)
        await eventually(lambda: drains(cluster, leaving), what="it drains")
        await an_event_source_comes_back(cluster, early[0].run_id, leaving)
        await asyncio.gather(*asking, *(asker.ask(LATER) for asker in late))
        assert await anyio.to_thread.run_sync(leaving.wait) == 0
        for asker in early + late:
            run = await cluster.run(asker.run_id)
            assert run["status"] == "completed"
            assert asker.text == run["output"]
            attempts = [(one["reason"], one["how"]) for one in run["attempts"][1:]]
            assert attempts == ([("drain", "continued")] if asker in early else [])
            await asker.close()


async def test_whoever_can_come_back_follows_the_run_on_another_worker(tmp_path: Path, redis_url: str) -> None:
    async with leaving_one(tmp_path, redis_url, drain_spread_s=0.5) as (cluster, leaving):
        _, stays = cluster.workers
        run_id = await cluster.start(demo=DEMO, at=leaving)
        readers = [cluster.reader(run_id, first=leaving) for _ in range(4)]
        following = [asyncio.ensure_future(reader.follow()) for reader in readers]
        member = RoomClient(lambda: (leaving if leaving.running and not member.closes else stays).url, "lobby", "ann")
        async with member:
            await eventually(lambda: all(reader.text for reader in readers), what="they follow")
            snapshots = [reader.follower.snapshots for reader in readers]
            leaving.signal(signal.SIGTERM)
            assert await anyio.to_thread.run_sync(leaving.wait) == 0
            await member.say("still there")
            await member.until(lambda view: not view.outbox, "is back")
            assert [code for code, _ in member.closes] == [1001]
        await asyncio.gather(*following)
        run = await cluster.run(run_id)
        assert run["status"] == "completed"
        assert {reader.text for reader in readers} == {run["output"]}
        assert [reader.follower.snapshots for reader in readers] == snapshots, "nobody was told anything twice"


async def an_event_source_comes_back(cluster: Cluster, run_id: str, worker: ServerProcess) -> None:
    """It is answered with 200, a time to wait, and the end of the response: anything else would stop it for good."""
    url = f"{worker.url}/v1/runs/{run_id}/events"
    response = await cluster.client.get(url, headers={"Accept": "text/event-stream"})
    assert (response.status_code, response.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert response.headers["connection"] == "close"
    parser = EventStreamParser()
    assert parser.feed(response.content) == []
    assert parser.retry_ms is not None and parser.retry_ms >= 1000


async def producing(cluster: Cluster, worker: ServerProcess, count: int) -> bool:
    return await cluster.metric(worker, "headwater_runs_producing") == count


async def drains(cluster: Cluster, worker: ServerProcess) -> bool:
    response: httpx2.Response = await cluster.client.get(f"{worker.url}/readyz")
    return response.status_code == 503
