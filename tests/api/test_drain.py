"""SIGTERM: running answers finish or end honestly, readers are sent away to come back, nothing new begins."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio.to_thread
import httpx2
import pytest

from tests.api.calls import DEADLINE_S, SLOW, problem
from tests.support.event_source import EventSource, Over
from tests.support.server import ServerProcess
from tests.support.sse import EventStreamParser
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

SHORT = {"demo": {"tokens": 60, "tokens_per_s": 60}}


@asynccontextmanager
async def serving(directory: Path, **settings: Any) -> AsyncIterator[tuple[ServerProcess, httpx2.AsyncClient]]:
    async with (
        ServerProcess(directory, settings={"drain_spread_s": 0.1, **settings}) as server,
        httpx2.AsyncClient(base_url=server.url, timeout=DEADLINE_S) as api,
    ):
        yield server, api


async def start(api: httpx2.AsyncClient, extra: Any) -> Any:
    response = await api.post("/v1/runs", json={"input": "hello", "extra": extra})
    assert response.status_code == 202, response.text
    return response.json()


async def follow(server: ServerProcess, run: Any) -> tuple[EventSource, "asyncio.Task[Over]"]:
    """A reader of the run that has its first event, and its one connection."""
    reader = EventSource(f"{server.url}{run['events_url']}")
    connection = asyncio.create_task(reader.read())
    await eventually(lambda: reader.follower.run, what="it follows")
    return reader, connection


async def output(api: httpx2.AsyncClient, run: Any) -> Any:
    return (await api.get(run["url"])).json()["output"]


async def draining(server: ServerProcess, api: httpx2.AsyncClient) -> httpx2.Response:
    """Ask the server to stop; what it says of its readiness from then on."""
    server.signal(signal.SIGTERM)

    async def not_ready() -> httpx2.Response | None:
        response = await api.get("/readyz")
        return response if response.status_code == 503 else None

    return await eventually(not_ready, what="it says that it is not ready")


async def test_a_server_that_drains_refuses_what_is_new_and_answers_what_is_not(tmp_path: Path) -> None:
    async with serving(tmp_path, drain_s=30) as (server, api):
        run = await start(api, SLOW)
        await eventually(lambda: output(api, run))
        for response in (
            await draining(server, api),
            await api.post("/v1/runs", json={"input": "a"}),
            await api.post("/v1/runs", json={"input": "a", "stream": True}, headers={"Accept": "text/event-stream"}),
            await api.get(run["events_url"]),
            await api.get(f"{run['events_url']}?format=text", headers={"Accept": "text/event-stream"}),
        ):
            assert problem(response, 503, "draining")["retry_after"] == 1
            assert response.headers["retry-after"] == "1"
        await an_event_source_comes_back(api, run)
        problem(await api.get("/v1/runs/run_nope/events", headers={"Accept": "text/event-stream"}), 404, "unknown_run")
        assert (await api.get("/healthz")).status_code == 200
        assert [row["id"] for row in (await api.get("/v1/runs")).json()["data"]] == [run["id"]]
        cancelled = (await api.post(run["cancel_url"])).json()
        assert cancelled["status"] == "cancelled"
        # Nothing runs any more, so it does not use up its time.
        assert await anyio.to_thread.run_sync(server.wait, 10.0) == 0


async def an_event_source_comes_back(api: httpx2.AsyncClient, run: Any) -> None:
    """It is answered with 200, a time to wait, and the end of the response: anything else would stop it for good."""
    response = await api.get(run["events_url"], headers={"Accept": "text/event-stream"})
    assert (response.status_code, response.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert response.headers["connection"] == "close"
    parser = EventStreamParser()
    assert parser.feed(response.content) == []
    assert parser.retry_ms is not None and parser.retry_ms >= 1000


async def test_answers_finish_within_their_time_or_end_honestly(tmp_path: Path) -> None:
    async with serving(tmp_path, drain_s=2, max_runs=2) as (server, api):
        short, long, waiting = [await start(api, extra) for extra in (SHORT, SLOW, SHORT)]
        readers = [await follow(server, run) for run in (short, long, waiting)]
        await draining(server, api)
        assert [await connection for _, connection in readers] == [Over.CLOSED] * 3
        assert await anyio.to_thread.run_sync(server.wait) == 0
        ends = [reader.follower.end for reader, _ in readers]
        assert ends[0] is not None and ends[0]["status"] == "completed"
        assert ends[1] is not None and (ends[1]["status"], ends[1]["reason"]) == ("incomplete", "drained")
        assert ends[2] is None, "who waits for a run that has not begun is sent away without an end"
        await anyio.to_thread.run_sync(server.start)
        assert await output(api, short) == readers[0][0].text
        assert await output(api, long) == readers[1][0].text
        # The one that waited begins now, and its reader finds it under the same address.
        await readers[2][0].follow()
        assert readers[2][0].follower.end is not None and readers[2][0].follower.end["status"] == "completed"


async def test_a_second_signal_stops_it_at_once_but_not_dishonestly(tmp_path: Path) -> None:
    async with serving(tmp_path, drain_s=600) as (server, api):
        run = await start(api, SLOW)
        reader, connection = await follow(server, run)
        await eventually(lambda: output(api, run))
        await draining(server, api)
        server.signal(signal.SIGINT)
        assert await anyio.to_thread.run_sync(server.wait, 20.0) == 0
        assert await connection in (Over.CLOSED, Over.LOST)
        assert "once more to stop at once" in server.stderr
        await anyio.to_thread.run_sync(server.start)
        answer = (await api.get(run["url"])).json()
        assert (answer["status"], answer["reason"]) == ("incomplete", "drained")
        assert answer["output"].startswith(reader.text)
