"""Contract: rooms that are removed."""

import asyncio

import pytest

from headwater.core.events import Text
from headwater.core.lifecycle import end_finished
from headwater.core.position import START
from headwater.core.room import Retention, RoomKey, RoomSettings
from headwater.entropy import new_tag
from headwater.errors import Conflict
from headwater.store.base import Read, Store, Top
from headwater.store.rooms import Changing, RoomStore
from tests.store.maker import StoreMaker
from tests.store.talking import (
    EVERYTHING,
    a_room,
    an_open_answer,
    answering,
    ask,
    assert_nothing_done,
    events_of,
    joins,
    log_of,
    once,
    said,
    say,
    saying,
    store_change,
)

LOBBY = RoomKey("acme", "lobby")


async def listed(rooms: RoomStore) -> list[str]:
    """The names of the tenant's rooms."""
    found, more = await rooms.list_rooms("acme", before=None, limit=100)
    assert not more
    return [room.key.name for room in found]


class Removing:
    async def test_of_a_removed_room_nothing_is_left(self, rooms: RoomStore) -> None:
        other, room_id = await a_room(rooms, "other"), await a_room(rooms)
        event = said()
        await store_change(rooms, room_id, saying(event))
        await rooms.mark(room_id, "user:ann", 1)
        await say(rooms, other, "stays")
        assert await rooms.remove(room_id)
        assert await rooms.get(room_id) is None
        assert await listed(rooms) == ["other"]
        assert await rooms.read(room_id, START, EVERYTHING) is None
        assert await rooms.enter(room_id, None, max_bytes=EVERYTHING, page=9) is None
        assert (await rooms.tops([room_id, other]))[0] is None
        assert await rooms.page(room_id, before=None, limit=9) == ([], False)
        assert await rooms.find(room_id, [event.message]) == [None]
        assert await rooms.sent(room_id, once(event)) is None
        assert await rooms.mark(room_id, "user:ann", 2) == 0
        assert_nothing_done(await rooms.change(room_id, saying(event)), Changing.GONE)
        assert len(await events_of(rooms, other)) == 1

    async def test_a_room_that_is_not_there_cannot_be_removed(self, rooms: RoomStore) -> None:
        assert not await rooms.remove("acme/nowhere")
        room_id = await a_room(rooms)
        assert not await rooms.remove("other/lobby")
        assert [await rooms.remove(room_id) for _ in range(2)] == [True, False]

    async def test_made_again_it_begins_anew(self, rooms: RoomStore, make_store: StoreMaker) -> None:
        room_id = await a_room(rooms, title="old")
        later, event = await a_room(rooms, "later"), said()
        first = await store_change(rooms, room_id, saying(event))
        await rooms.mark(room_id, "user:ann", 1)
        await rooms.remove(room_id)
        await make_store.advance(5)
        room, fresh = await rooms.put(LOBBY, RoomSettings(title="new"), replace=False)
        assert (fresh, room.settings.title, room.top) == (True, "new", START)
        assert await listed(rooms) == ["lobby", later.partition("/")[2]], "it is the newest"
        assert not await joins(rooms, room_id, first.position)
        entered = await rooms.enter(room_id, first.position, max_bytes=EVERYTHING, page=9)
        assert entered is not None
        assert (entered.joined, entered.page, entered.open, entered.marks) == (False, (), (), {})
        again = await store_change(rooms, room_id, saying(event))
        assert (again.seq, again.after) == (1, START), "what was said once there can be said here"
        assert await log_of(rooms, room_id) == [again]
        assert not await joins(rooms, room_id, first.position)

    async def test_while_answers_wait_or_grow_it_stays_as_it_is(self, store: Store, rooms: RoomStore) -> None:
        room_id = await a_room(rooms)
        one, waits = await answering(store, rooms, room_id), await ask(rooms, room_id)
        before = await rooms.enter(room_id, None, max_bytes=EVERYTHING, page=9), await rooms.turns(room_id)

        async def refused() -> None:
            with pytest.raises(Conflict, match="lobby.*cancel them first"):
                await rooms.remove(room_id)

        await refused()
        after = await rooms.enter(room_id, None, max_bytes=EVERYTHING, page=9), await rooms.turns(room_id)
        assert (after, await listed(rooms)) == (before, ["lobby"])
        await one.write(Text("a"), end_finished("stop", None))
        await refused()
        await rooms.drop(room_id, waits.id)
        assert await rooms.remove(room_id)

    async def test_the_runs_of_its_answers_stay(self, store: Store, rooms: RoomStore) -> None:
        room_id = await a_room(rooms)
        run = await an_open_answer(rooms, room_id)
        await store.cancel(run.id, new_tag())
        await rooms.remove(room_id)
        kept = await store.get(run.id)
        assert kept is not None and kept.status == "cancelled"
        await a_room(rooms)
        assert await store.cancel(run.id, new_tag()) is not None
        assert await rooms.read(room_id, START, EVERYTHING) == Read(True, (), Top(START, "in_progress"))

    async def test_nobody_looks_after_it_any_more(self, rooms: RoomStore, make_store: StoreMaker) -> None:
        room_id = await a_room(rooms, retention=Retention(age_s=60))
        await rooms.drop(room_id, (await ask(rooms, room_id)).id)
        await rooms.remove(room_id)
        await make_store.advance(100)
        assert (await rooms.trim(5), await rooms.waiting(5)) == (0, [])

    async def test_of_many_who_remove_it_one_does(self, rooms: RoomStore) -> None:
        room_id = await a_room(rooms)
        assert sorted(await asyncio.gather(*(rooms.remove(room_id) for _ in range(8)))) == [False] * 7 + [True]

    async def test_what_is_made_while_it_is_removed_is_listed(self, rooms: RoomStore) -> None:
        for _ in range(10):
            made = [rooms.put(LOBBY, RoomSettings(), replace=False) for _ in range(2)]
            await asyncio.gather(made[0], rooms.remove(LOBBY.id), made[1], rooms.remove(LOBBY.id))
            assert await listed(rooms) == (["lobby"] if await rooms.get(LOBBY.id) is not None else [])
