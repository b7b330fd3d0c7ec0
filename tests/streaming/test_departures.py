"""Who leaves the only answer to a question stops it, unless it was to go on: the upstream is closed, and it is told."""

import asyncio
import random
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.streaming.callers import CHAT, LONG, MUTE, RUNS, SILENT, Caller, closed
from tests.streaming.stage import ENDED, Stage, staged
from tests.streaming.texts import seeded
from tests.support.upstream import Script
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

SHORT = Script(tokens=100, interval_s=0.005)


async def newest(stage: Stage) -> Any:
    """The run that was started last, for a caller who left before it was told which that is."""
    return (await stage.client.get("/v1/runs", params={"limit": 1})).json()["data"][0]


async def cancelled(stage: Stage, run_id: str, script: Script) -> None:
    """The run ends as cancelled, and says exactly how much of it was delivered."""
    run = await stage.ended(run_id)
    assert run["status"] == "cancelled"
    assert script.text.startswith(run["output"])
    told = len(run["output"].split())
    assert run["usage"] == ({"output_tokens": told, "estimated": True} if told else None)
    assert int(run["position"].partition("-")[0]) == told + 1, "the end comes after so many deltas"


@pytest.mark.parametrize("script", [LONG, SILENT], ids=["streaming", "silent"])
@pytest.mark.parametrize("asked", [{}, {"path": RUNS, "policy": "cancel"}], ids=["chat", "runs"])
async def test_leaving_in_mid_stream(stage: Stage, script: Script, asked: dict[str, Any]) -> None:
    async with Caller(stage.server.url, script, **asked) as caller:
        await caller.hear()
        exchange = await caller.asked(stage.upstream)
    await closed(exchange)
    await cancelled(stage, caller.run_id, script)


@pytest.mark.parametrize("stream", [True, False])
async def test_leaving_before_any_byte_of_the_response(stage: Stage, stream: bool) -> None:
    async with Caller(stage.server.url, MUTE, stream=stream) as caller:
        exchange = await caller.asked(stage.upstream)
    assert not caller.received
    await closed(exchange)
    await cancelled(stage, (await newest(stage))["id"], MUTE)


async def test_leaving_while_the_whole_answer_is_awaited(stage: Stage) -> None:
    async with Caller(stage.server.url, LONG, stream=False) as caller:
        exchange = await caller.asked(stage.upstream)
        await eventually(lambda: exchange.tokens_sent > 5, what="it answers")
    await closed(exchange)
    await cancelled(stage, (await newest(stage))["id"], LONG)


@pytest.mark.parametrize(
    "asked",
    [{"policy": "continue"}, {"policy": "continue", "stream": False}, {"path": RUNS}],
    ids=["chat", "whole chat", "runs"],
)
async def test_an_answer_that_is_to_go_on_comes_to_its_end(stage: Stage, asked: dict[str, Any]) -> None:
    async with Caller(stage.server.url, SHORT, **asked) as caller:
        exchange = await caller.asked(stage.upstream)
    run = await stage.ended((await newest(stage))["id"])
    assert (run["status"], run["output"]) == ("completed", SHORT.text)
    assert exchange.closed_at is None


async def test_an_answer_that_another_follows_comes_to_its_end(stage: Stage) -> None:
    async with Caller(stage.server.url, SHORT) as caller:
        await caller.hear()
        reader = stage.reader(caller.run_id)
        following = asyncio.ensure_future(reader.follow())
        await eventually(lambda: reader.follower.deltas, what="it follows")
    await following
    run = await stage.run(caller.run_id)
    assert (run["status"], run["output"], reader.text) == ("completed", SHORT.text, SHORT.text)


async def test_leaving_around_the_end_leaves_no_run_unfinished(stage: Stage) -> None:
    """Between the last token and the stored end either wins, and there is one end."""
    with seeded() as seed:
        chance = random.Random(seed)

        async def once(tokens: int, turns: int) -> None:
            script = Script(tokens=tokens, usage="none")
            async with Caller(stage.server.url, script) as caller:
                await caller.hear()
                for _ in range(turns):
                    await asyncio.sleep(0)
            run = await stage.ended(caller.run_id)
            assert run["status"] in ("completed", "cancelled")
            assert run["status"] != "completed" or run["output"] == script.text
            assert run["usage"]["output_tokens"] == len(run["output"].split())

        for _ in range(10):
            await asyncio.gather(*(once(chance.randrange(1, 20), chance.randrange(0, 60)) for _ in range(4)))


async def test_leaving_a_queue_asks_no_upstream(tmp_path: Path) -> None:
    """Nor is its place in the queue lost."""
    async with staged(tmp_path, max_runs=1, max_queued=1) as stage, Caller(stage.server.url, LONG) as busy:
        await busy.hear()
        for stream in (True, False):
            async with Caller(stage.server.url, LONG, stream=stream) as caller:
                await eventually(lambda: is_queued(stage), what="it waits")
            await cancelled(stage, (await newest(stage))["id"], LONG)
            assert not caller.calls(stage.upstream)
        exchange = await busy.asked(stage.upstream)
        assert exchange.closed_at is None
        busy.hang_up()
        await closed(exchange)
        async with Caller(stage.server.url, SHORT) as last:
            await last.hear(b"[DONE]")
        assert len(stage.upstream.exchanges) == 3, "the list of models, and two answers"


async def is_queued(stage: Stage) -> bool:
    status: str = (await newest(stage))["status"]
    return status == "queued"


async def test_leaving_after_a_large_question(stage: Stage) -> None:
    """A server that has read no further than the question would not see it."""
    async with Caller(stage.server.url, MUTE, path=RUNS, policy="cancel", instructions="x" * 500_000) as caller:
        await caller.hear(b"in_progress")
        exchange = await caller.asked(stage.upstream)
    await closed(exchange)
    await cancelled(stage, caller.run_id, MUTE)


@pytest.mark.parametrize("stream", [True, False])
async def test_leaving_with_another_request_in_the_pipeline(stage: Stage, stream: bool) -> None:
    """Which the server does not read while it answers the first: then what it writes finds nobody."""
    script = LONG if stream else SHORT
    async with Caller(stage.server.url, script, stream=stream) as caller:
        caller.writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        exchange = await caller.asked(stage.upstream)
        await eventually(lambda: exchange.tokens_sent, what="it answers")
    run = await stage.ended((await newest(stage))["id"])
    assert run["status"] == "cancelled" or (run["status"], stream) == ("completed", False)


async def test_closing_only_ones_own_half_of_the_connection_is_leaving(stage: Stage) -> None:
    async with Caller(stage.server.url, LONG) as caller:
        await caller.hear()
        caller.writer.write_eof()
        assert b"[DONE]" not in await caller.rest()
    await cancelled(stage, caller.run_id, LONG)


async def test_who_left_leaves_nothing_behind(tmp_path: Path) -> None:
    """No subscriber, and no place of the two that an address may have."""
    async with staged(tmp_path, insecure_no_auth=True, address_connections=2) as stage:
        for script, stream in [(LONG, True), (LONG, False), (MUTE, True), (MUTE, False)] * 2:
            async with Caller(stage.server.url, script, stream=stream) as caller:
                exchange = await caller.asked(stage.upstream)
                if stream and script is LONG:
                    await caller.hear()
            await closed(exchange)
        assert await stage.metric("headwater_subscribers") == 0
        assert await stage.metric("headwater_runs_producing") == 0
        async with Caller(stage.server.url, SHORT) as one, Caller(stage.server.url, SHORT) as other:
            await asyncio.gather(one.hear(b"[DONE]"), other.hear(b"[DONE]"))


async def test_a_server_that_sends_its_callers_away_cancels_nothing(tmp_path: Path) -> None:
    async with staged(tmp_path, max_runs=2, drain_spread_s=0.1) as stage:
        url = stage.server.url
        async with Caller(url, LONG) as told, Caller(url, MUTE) as untold:
            await told.hear()
            await untold.asked(stage.upstream)
            async with Caller(url, LONG) as queued, Caller(url, LONG, stream=False) as patient:
                await eventually(lambda: so_many(stage, 4), what="they wait")
                stage.server.signal(signal.SIGTERM)
                for caller in (untold, queued, patient):
                    await caller.rest()
                    assert caller.status == 503, caller.received
                assert b"retry-after: 1" in queued.received and b"retry-after: 1" in patient.received
                assert b"[DONE]" not in await told.rest()
        await eventually(lambda: not stage.server.running, what="it has ended")
        assert "Traceback" not in stage.server.stderr
        stage.server.launch()
        await eventually(lambda: stage.server.ready, what="it is back")
        statuses = {run["status"] for run in (await stage.client.get("/v1/runs")).json()["data"]}
        assert statuses <= {"incomplete", "queued", "in_progress"}, "none of them is cancelled"
        assert (await stage.run(told.run_id))["reason"] == "drained"


async def so_many(stage: Stage, count: int) -> bool:
    return len((await stage.client.get("/v1/runs")).json()["data"]) == count


async def test_a_policy_that_is_none_is_refused(stage: Stage) -> None:
    for path in (CHAT, RUNS):
        async with Caller(stage.server.url, SHORT, path=path, policy="perhaps") as caller:
            await caller.hear(b"Headwater-On-Disconnect must be cancel or continue")
        assert caller.status == 400
        assert not caller.calls(stage.upstream)
    assert (await newest(stage))["status"] in ENDED
