"""Letting go of readers: spread over time, and last those who could not come back to where they were."""

import asyncio

import pytest

from headwater.core.position import START
from headwater.errors import Draining
from headwater.formats.chat import Chat
from headwater.formats.native import Native
from headwater.formats.ndjson import Ndjson
from headwater.formats.room import RoomOverSocket
from headwater.formats.text import PlainText
from headwater.hub import Hub
from headwater.store.sqlite import SqliteRooms
from tests.hub.producing import produce
from tests.hub.reading import ForgetfulStore
from tests.store.talking import a_room

pytestmark = pytest.mark.anyio

SPREAD_S = 0.5


async def test_they_go_one_after_another_over_the_whole_time(store: ForgetfulStore, here: Hub) -> None:
    lobby = await a_room(SqliteRooms(store))
    cursors = [await here.enter(lobby, RoomOverSocket, START) for _ in range(5)]
    loop = asyncio.get_running_loop()
    began = loop.time()
    leaving = asyncio.ensure_future(here.farewell.let_everyone_go(SPREAD_S))
    await asyncio.sleep(0)
    assert [cursor.gone_because for cursor in cursors] == ["draining", None, None, None, None]
    await leaving
    assert {cursor.gone_because for cursor in cursors} == {"draining"}
    assert loop.time() - began >= 0.7 * SPREAD_S  # the first goes at once


async def test_first_go_those_who_can_come_back(store: ForgetfulStore, here: Hub) -> None:
    producer = await produce(store, here)
    lobby = await a_room(SqliteRooms(store))
    resuming = [await here.follow(producer.run, form, START) for form in (Native, Ndjson)]
    resuming.append(await here.enter(lobby, RoomOverSocket, START))
    staying = [await here.follow(producer.run, form, START) for form in (PlainText, Chat)]
    waiting = asyncio.ensure_future(here.wait_for_end(producer.run, None))
    await here.farewell.send_elsewhere(0)
    assert [cursor.gone_because for cursor in resuming] == ["draining"] * 3
    for cursor in resuming:
        cursor.close()
    with pytest.raises(Draining):
        await here.enter(lobby, RoomOverSocket, START)
    staying.append(await here.follow(producer.run, Native, START))  # one who has just asked for it
    deserted = asyncio.ensure_future(here.farewell.deserted())
    await producer.end()
    assert await waiting
    for cursor in staying:
        assert cursor.gone_because is None and not deserted.done()
        cursor.close()
    await deserted
