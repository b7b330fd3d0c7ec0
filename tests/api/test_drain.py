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
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

SHORT = {"demo": {"tokens": 60, "tokens_per_s": 60}}
JSON = {"type": "json_object"}
"""The `response_format` of an answer that nobody could go on with."""


@asynccontextmanager
async def serving(directory: Path, **settings: Any) -> AsyncIterator[tuple[ServerProcess, httpx2.AsyncClient]]:
    async with (
        ServerProcess(directory, settings={"drain_spread_s": 0.1, **settings}) as server,
        httpx2.AsyncClient(base_url=server.url, timeout=DEADLINE_S) as api,
    ):
        yield server, api


async def start(api: httpx2.AsyncClient, extra: Any, **fields: Any) -> Any:
    response = await api.post("/v1/runs", json={"input": "hello", "extra": extra, **fields})
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
        ):
            assert problem(response, 503, "draining")["retry_after"] == 1
            assert response.headers["retry-after"] == "1"
        late, connection = await follow(server, run)  # nobody else has the answer, and it still grows
        problem(await api.get("/v1/runs/run_nope/events", headers={"Accept": "text/event-stream"}), 404, "unknown_run")
        assert (await api.get("/healthz")).status_code == 200
        assert [row["id"] for row in (await api.get("/v1/runs")).json()["data"]] == [run["id"]]
        cancelled = (await api.post(run["cancel_url"])).json()
        assert cancelled["status"] == "cancelled"
        assert await connection is Over.CLOSED
        assert late.follower.end is not None and late.follower.end["status"] == "cancelled"
        # Nothing runs any more, so it does not use up its time.
        assert await anyio.to_thread.run_sync(server.wait, 10.0) == 0


async def test_answers_finish_within_their_time_or_are_left_to_the_next_start_or_end_honestly(tmp_path: Path) -> None:
    async with serving(tmp_path, drain_s=2, max_runs=3) as (server, api):
        short, long = await start(api, SHORT), await start(api, SLOW)
        rigid, waiting = await start(api, SLOW, response_format=JSON), await start(api, SHORT)
        readers = [await follow(server, run) for run in (short, long, rigid, waiting)]
        await draining(server, api)
        assert [await connection for _, connection in readers] == [Over.CLOSED] * 4
        assert await anyio.to_thread.run_sync(server.wait) == 0
        ends = [reader.follower.end for reader, _ in readers]
        assert ends[0] is not None and ends[0]["status"] == "completed"
        assert ends[2] is not None and (ends[2]["status"], ends[2]["reason"]) == ("incomplete", "drained")
        assert ends[1] is ends[3] is None, "who waits for what comes later is sent away without an end"
        await anyio.to_thread.run_sync(server.start)
        for run, (reader, _) in ((short, readers[0]), (rigid, readers[2])):
            assert await output(api, run) == reader.text
        # What was left goes on, and its reader finds it under the same address.
        await goes_on(api, long, readers[1][0])
        await readers[3][0].follow()
        assert readers[3][0].follower.end is not None and readers[3][0].follower.end["status"] == "completed"


async def goes_on(api: httpx2.AsyncClient, run: Any, reader: EventSource) -> None:
    """Somebody produces more than the reader has seen; it ends by being cancelled, and is what the reader holds."""
    seen = reader.text
    following = asyncio.ensure_future(reader.follow())
    await eventually(lambda: len(reader.text) > len(seen), what="it goes on")
    answer = (await api.post(run["cancel_url"])).json()
    await following
    assert [(one["reason"], one["how"]) for one in answer["attempts"][1:]] == [("drain", "continued")]
    assert reader.text == answer["output"] and reader.text.startswith(seen)


async def test_a_second_signal_stops_it_at_once_but_not_dishonestly(tmp_path: Path) -> None:
    async with serving(tmp_path, drain_s=600) as (server, api):
        run, rigid = await start(api, SLOW), await start(api, SLOW, response_format=JSON)
        reader, connection = await follow(server, run)
        await eventually(lambda: output(api, run))
        await draining(server, api)
        server.signal(signal.SIGINT)
        assert await anyio.to_thread.run_sync(server.wait, 20.0) == 0
        assert await connection in (Over.CLOSED, Over.LOST)
        assert "once more to stop at once" in server.stderr
        await anyio.to_thread.run_sync(server.start)
        answer = (await api.get(rigid["url"])).json()
        assert (answer["status"], answer["reason"]) == ("incomplete", "drained")
        await goes_on(api, run, reader)


async def test_each_answer_while_it_drains_is_the_last_of_its_connection(tmp_path: Path) -> None:
    async with serving(tmp_path, drain_s=30) as (server, api):
        run = await start(api, SLOW)
        chat = {"model": "demo", "messages": [{"role": "user", "content": "a"}], **SHORT}
        waiting = asyncio.ensure_future(api.post("/v1/chat/completions", json=chat))
        await eventually(lambda: so_many_runs(api, 2), what="it waits for its answer")
        await draining(server, api)
        for response in (await waiting, await api.get(run["url"])):
            assert (response.status_code, response.headers["connection"]) == (200, "close")
        await api.post(run["cancel_url"])
        assert await anyio.to_thread.run_sync(server.wait, 10.0) == 0


async def so_many_runs(api: httpx2.AsyncClient, count: int) -> bool:
    return len((await api.get("/v1/runs")).json()["data"]) == count


async def test_a_lone_server_passes_over_a_hangup(tmp_path: Path) -> None:
    async with serving(tmp_path) as (server, api):
        server.signal(signal.SIGHUP)
        await eventually(lambda: "it is passed over here" in server.stderr)
        assert (await api.get("/readyz")).status_code == 200
