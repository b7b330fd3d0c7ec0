"""A run whose starter left, and that others follow: it goes on for them, and no longer."""

import asyncio
from pathlib import Path

import pytest
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from headwater.errors import StoreUnavailable
from headwater.web.connection import Connection
from tests.streaming.callers import LONG, MUTE, RUNS, Caller, closed
from tests.streaming.inside import NEVER_S, Cancel, Inside, inside
from tests.support.event_source import EventSource
from tests.support.upstream import Script
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

SHORT = Script(tokens=100, interval_s=0.005)


def reader_of(server: Inside, run_id: str) -> EventSource:
    return EventSource(f"{server.url}/v1/runs/{run_id}/events")


@pytest.mark.parametrize("http", [Connection, HttpToolsProtocol, H11Protocol])
async def test_leaving_is_seen_whatever_serves_the_app(tmp_path: Path, http: type[asyncio.Protocol]) -> None:
    async with inside(tmp_path, http=http, look_s=NEVER_S) as server:
        for stream, script in [(True, LONG), (True, MUTE), (False, MUTE)]:
            async with Caller(server.url, script, stream=stream) as caller:
                exchange = await caller.asked(server.upstream)
                if script is LONG:
                    await caller.hear()
            await closed(exchange)
            assert await server.ended(await server.newest()) == "cancelled"


async def test_a_run_goes_on_while_it_is_followed_and_not_much_longer(tmp_path: Path) -> None:
    async with inside(tmp_path) as server:
        async with Caller(server.url, LONG) as caller:
            await caller.hear()
            reader = reader_of(server, caller.run_id)
            reading = asyncio.ensure_future(reader.read())
            await eventually(lambda: reader.follower.deltas, what="it follows")
        await eventually(lambda: server.watched == 1, what="it is watched")
        seq = reader.follower.seq
        await eventually(lambda: reader.follower.seq > seq + 50, what="it goes on, look for look")
        assert await server.status(caller.run_id) == "in_progress"
        reading.cancel()
        assert await server.ended(caller.run_id) == "cancelled"


async def test_a_run_that_ends_while_it_is_followed_is_watched_no_more(tmp_path: Path) -> None:
    cancelled: list[str] = []

    def noting(cancel: Cancel) -> Cancel:
        async def note(run_id: str) -> object:
            cancelled.append(run_id)
            return await cancel(run_id)

        return note

    async with inside(tmp_path, cancel=noting) as server:
        async with Caller(server.url, SHORT) as caller:
            await caller.hear()
            reader = reader_of(server, caller.run_id)
            following = asyncio.ensure_future(reader.follow())
            await eventually(lambda: reader.follower.deltas, what="it follows")
        await following
        assert (await server.ended(caller.run_id), reader.text) == ("completed", SHORT.text)
        assert not cancelled


async def test_one_of_two_callers_of_one_answer_leaves_it_to_the_other(tmp_path: Path) -> None:
    async with inside(tmp_path) as server, Caller(server.url, SHORT, key="two") as first:
        await first.hear()
        async with Caller(server.url, SHORT, key="two", question=first.question) as second:
            await second.hear()
            first.hang_up()
            async with Caller(server.url, SHORT, key="two", question=first.question, stream=False) as third:
                await second.hear(b"[DONE]")
                await third.hear(b'"finish_reason":"stop"')
        assert first.run_id == second.run_id == third.run_id
        assert len(first.calls(server.upstream)) == 1
        assert await server.ended(first.run_id) == "completed"


async def test_who_may_ask_again_is_waited_for(tmp_path: Path) -> None:
    """Else the same request with the same key would be told that it was cancelled, for as long as the key is kept."""
    async with inside(tmp_path, look_s=NEVER_S) as server:
        async with Caller(server.url, SHORT, key="again") as caller:
            await caller.hear()
        await eventually(lambda: server.watched == 1, what="it is watched")
        async with Caller(server.url, SHORT, key="again", question=caller.question, stream=False) as again:
            await again.hear(b'"finish_reason":"stop"')
        assert len(caller.calls(server.upstream)) == 1


async def test_who_could_ask_again_and_does_not_is_not_waited_for_long(tmp_path: Path) -> None:
    async with inside(tmp_path) as server:
        async with Caller(server.url, LONG, key="never") as caller:
            await caller.hear()
            exchange = await caller.asked(server.upstream)
        await closed(exchange)
        assert await server.ended(caller.run_id) == "cancelled"


async def test_many_callers_of_one_run_that_leave_are_one_watch(tmp_path: Path) -> None:
    async with inside(tmp_path, look_s=NEVER_S) as server, Caller(server.url, LONG, key="many") as first:
        await first.hear()
        for _ in range(5):
            async with Caller(server.url, LONG, key="many", question=first.question) as other:
                await other.hear()
            await eventually(lambda: server.watched == 1, what="it is watched")
        assert await server.status(first.run_id) == "in_progress"


@pytest.mark.parametrize("because", ["slow", "unauthenticated", "unreadable"])
async def test_a_caller_that_was_let_go_may_be_back(tmp_path: Path, because: str) -> None:
    async with inside(tmp_path, look_s=NEVER_S) as server:
        async with Caller(server.url, LONG, path=RUNS, policy="cancel") as caller:
            await caller.hear()
            (cursor,) = server.state["hub"].logs[caller.run_id].followers
            cursor.let_go(because)
            await caller.hear(b"\r\n0\r\n\r\n")
        await eventually(lambda: server.watched == 1, what="it is watched")
        assert await server.status(caller.run_id) == "in_progress"


async def test_a_store_that_does_not_answer_is_asked_again(tmp_path: Path) -> None:
    asked: list[str] = []

    def failing(cancel: Cancel) -> Cancel:
        async def cancel_at_the_third_try(run_id: str) -> object:
            asked.append(run_id)
            if len(asked) < 3:
                raise StoreUnavailable("no answer")
            return await cancel(run_id)

        return cancel_at_the_third_try

    async with inside(tmp_path, cancel=failing) as server:
        async with Caller(server.url, LONG) as caller:
            await caller.hear()
            exchange = await caller.asked(server.upstream)
        await closed(exchange)
        assert await server.ended(caller.run_id) == "cancelled"
        assert asked == [caller.run_id] * 3


async def test_a_worker_that_sends_everyone_away_cancels_nothing_more(tmp_path: Path) -> None:
    async with inside(tmp_path) as server:
        async with Caller(server.url, LONG) as caller:
            await caller.hear()
            reader = reader_of(server, caller.run_id)
            reading = asyncio.ensure_future(reader.read())
            await eventually(lambda: reader.follower.deltas, what="it follows")
        await eventually(lambda: server.watched == 1, what="it is watched")
        async with Caller(server.url, LONG) as sent_away:
            await sent_away.hear()
            await server.state["hub"].farewell.let_everyone_go(0)
            await asyncio.gather(reading, sent_away.rest())
            await eventually(lambda: server.watched == 0, what="it is watched no more")
        for run_id in (caller.run_id, sent_away.run_id):
            assert await server.status(run_id) == "in_progress"


async def test_who_hangs_up_while_it_drains_has_left(tmp_path: Path) -> None:
    async with inside(tmp_path) as server, Caller(server.url, LONG) as caller:
        await caller.hear()
        server.state["executor"].draining = True
        caller.hang_up()
        assert await server.ended(caller.run_id) == "cancelled"
