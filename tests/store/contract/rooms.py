"""Contract: rooms, what is said in them, and how far it was read."""

import asyncio
from typing import Any

import pytest

from headwater.core.position import START, Position
from headwater.core.room import (
    Budgets,
    Deleted,
    Place,
    Reacted,
    Retention,
    RoomKey,
    RoomSettings,
    changed,
    posted,
    room_events,
)
from headwater.entropy import new_tag
from headwater.errors import UnknownRoom
from headwater.store.rooms import Change, Changed, Changing, Put, Room, RoomStore
from tests.store.maker import StoreMaker
from tests.store.talking import (
    a_room,
    about,
    assert_nothing_done,
    editing,
    events_of,
    find,
    log_of,
    once,
    reacting,
    said,
    say,
    say_all,
    saying,
    store_change,
)

STRANGE = ["a:b:{c}", "{}", "}{", " ", "ann\nbob", "ключ-鍵-🔑", "%s*?[x]'\";--", "x" * 200]
"""Names that an engine might take for something else."""

SETTINGS = RoomSettings(
    title="Ünïcode 🔑",
    instructions="Be brief.\n" * 1000,
    model="large",
    policy="always",
    concurrency="parallel",
    context_bytes=1000,
    retention=Retention(count=500, age_s=86_400.5),
    budgets=Budgets(runs_per_day=0, tokens_per_day=10**12, person_runs_per_day=3),
)


class Rooms:
    async def test_a_room_is_made_once(self, rooms: RoomStore) -> None:
        key = RoomKey("acme", "lobby")
        assert await rooms.get(key.id) is None
        room, fresh = await rooms.put(key, SETTINGS, replace=False)
        assert fresh and room == Room(key=key, settings=SETTINGS, created_at=room.created_at, top=START)
        assert await rooms.get(key.id) == room
        assert await rooms.put(key, RoomSettings(title="other"), replace=False) == (room, False)
        assert await rooms.get(key.id) == room

    async def test_settings_are_replaced_and_the_rest_stays(self, rooms: RoomStore, make_store: StoreMaker) -> None:
        first, _ = await rooms.put(RoomKey("acme", "lobby"), SETTINGS, replace=True)
        place = await say(rooms, first.key.id)
        await make_store.advance(5)
        expected = Room(
            key=first.key, settings=RoomSettings(title="new"), created_at=first.created_at, top=place.created
        )
        assert await rooms.put(first.key, RoomSettings(title="new"), replace=True) == (expected, False)
        assert await rooms.get(first.key.id) == expected

    async def test_of_many_who_make_a_room_one_does(self, rooms: RoomStore) -> None:
        key = RoomKey("acme", "lobby")
        made = await asyncio.gather(*(rooms.put(key, RoomSettings(title=str(n)), replace=False) for n in range(8)))
        assert sum(fresh for _, fresh in made) == 1
        assert len({room.settings.title for room, _ in made}) == 1

    async def test_rooms_of_two_tenants_with_one_name_are_two(self, rooms: RoomStore) -> None:
        ours, theirs = await a_room(rooms, tenant="acme"), await a_room(rooms, tenant="other", title="theirs")
        await say(rooms, ours, "ours")
        got = await rooms.get(theirs)
        assert got is not None and (got.settings.title, got.top) == ("theirs", START)
        assert await events_of(rooms, theirs) == []
        assert [room.key.tenant for room in (await rooms.list_rooms("other", before=None, limit=9))[0]] == ["other"]

    async def test_strange_names_are_names(self, rooms: RoomStore) -> None:
        for name in STRANGE:
            for tenant in ("t", f"te/{name}", name):
                await say(rooms, await a_room(rooms, name, tenant), f"{tenant} {name}", by=name, client_id=name)
        for name in STRANGE:
            for tenant in ("t", f"te/{name}", name):
                ((place,), more) = await rooms.page(RoomKey(tenant, name).id, before=None, limit=5)
                assert (place.post.text, place.post.by, more) == (f"{tenant} {name}", name, False)

    async def test_they_are_listed_newest_first_in_pages(self, rooms: RoomStore, make_store: StoreMaker) -> None:
        for name in ("a", "b", "c", "d"):
            await a_room(rooms, name)
            await make_store.advance(1)
        await say(rooms, "acme/a")

        async def page(before: str | None, limit: int) -> tuple[list[str], bool]:
            listed, more = await rooms.list_rooms("acme", before=before, limit=limit)
            assert listed == [await rooms.get(room.key.id) for room in listed]
            return [room.key.name for room in listed], more

        assert await page(None, 10) == (["d", "c", "b", "a"], False)
        assert await page(None, 3) == (["d", "c", "b"], True)
        assert await page("b", 1) == (["a"], False)
        assert await page("a", 1) == ([], False)
        assert await rooms.list_rooms("nobody", before=None, limit=5) == ([], False)

    async def test_a_list_begins_at_no_unknown_room(self, rooms: RoomStore) -> None:
        await a_room(rooms, tenant="other")
        for name in ("nowhere", "lobby"):
            with pytest.raises(UnknownRoom):
                await rooms.list_rooms("acme", before=name, limit=5)

    async def test_what_is_unknown_is_nothing(self, rooms: RoomStore) -> None:
        room_id = await a_room(rooms)
        place = await say(rooms, room_id)
        nowhere = "acme/nowhere"
        assert_nothing_done(await rooms.change(nowhere, saying(said())), Changing.GONE)
        assert await rooms.read(nowhere, START, 1000) is None
        assert await rooms.enter(nowhere, None, max_bytes=1000, page=5) is None
        assert await rooms.tops([nowhere]) == [None]
        assert await rooms.page(nowhere, before=None, limit=5) == ([], False)
        assert await rooms.find(nowhere, [place.post.id]) == [None]
        assert await rooms.find(room_id, ["msg_nowhere"]) == [None]
        assert (await rooms.sent(nowhere, "x"), await rooms.sent(room_id, "x")) == (None, None)
        assert await rooms.turns(nowhere) == []


class Messages:
    async def test_what_is_said_is_in_the_log_and_on_the_page(self, rooms: RoomStore) -> None:
        room_id = await a_room(rooms)
        one = said("first\u2028 \0 🔑", mentions=("demo", "user:bob"))
        two = said("second", by="user:bob", reply_to=one.message)
        first, second = saying(one), saying(two)
        assert (await store_change(rooms, room_id, first)).after == START
        assert (await store_change(rooms, room_id, second)).after == Position(1, first.tag)
        assert await events_of(rooms, room_id) == [one, two]
        places = [
            Place(posted(event), Position(seq, change.tag), Position(seq, change.tag))
            for seq, event, change in ((1, one, first), (2, two, second))
        ]
        assert await rooms.page(room_id, before=None, limit=5) == (places, False)
        assert await rooms.find(room_id, [two.message, "msg_nowhere", one.message]) == [places[1], None, places[0]]
        room = await rooms.get(room_id)
        assert room is not None and room.top == Position(2, second.tag)

    async def test_said_again_it_is_the_first_one(self, rooms: RoomStore) -> None:
        room_id = await a_room(rooms)
        event = said()
        change = saying(event)
        entry = await store_change(rooms, room_id, change)
        assert await rooms.sent(room_id, once(event)) == event.message
        await say(rooms, room_id, "between")
        assert await rooms.change(room_id, change) == Changed(Changing.STORED, entry)
        assert await rooms.change(room_id, saying(event)) == Changed(Changing.STORED, entry), "under another tag"
        echo = said(client_id=event.client_id)
        assert_nothing_done(await rooms.change(room_id, saying(echo)), Changing.SEEN, event.message)
        assert await rooms.find(room_id, [echo.message]) == [None]
        other = await say(rooms, room_id, by="user:bob", client_id=event.client_id)
        assert other.created.seq == 3, "another's own name for theirs"

    async def test_said_again_it_is_the_first_one_though_it_has_changed(self, rooms: RoomStore) -> None:
        room_id = await a_room(rooms)
        change = saying(said("hello"))
        entry = await store_change(rooms, room_id, change)
        await store_change(rooms, room_id, editing(await find(rooms, room_id, change.puts[0].post.id), "hullo"))
        assert await rooms.change(room_id, change) == Changed(Changing.STORED, entry)
        assert (await find(rooms, room_id, change.puts[0].post.id)).post.text == "hullo"

    async def test_of_many_tries_at_once_one_is_stored_and_all_hear_of_it(self, rooms: RoomStore) -> None:
        room_id = await a_room(rooms)
        change = saying(said())
        done = await asyncio.gather(*(rooms.change(room_id, change) for _ in range(8)))
        (entry,) = await log_of(rooms, room_id)
        assert done == [Changed(Changing.STORED, entry)] * 8

    async def test_of_many_echoes_at_once_one_is_stored(self, rooms: RoomStore) -> None:
        room_id = await a_room(rooms)
        changes = [saying(said(client_id="c1")) for _ in range(8)]
        done = await asyncio.gather(*(rooms.change(room_id, change) for change in changes))
        ((event,),) = [room_events(entry) for entry in await log_of(rooms, room_id)]
        assert sorted(each.outcome.value for each in done) == ["seen"] * 7 + ["stored"]
        assert {each.message for each in done} == {None, event.message}

    async def test_many_who_speak_at_once_are_put_in_one_order(self, rooms: RoomStore) -> None:
        room_id = await a_room(rooms)
        changes = [saying(said(str(n))) for n in range(60)]
        done = await asyncio.gather(*(rooms.change(room_id, change) for change in changes))
        log = await log_of(rooms, room_id)
        assert sorted(entry.seq for entry in log) == list(range(1, 61))
        by_tag = {entry.tag: entry for entry in log}
        assert [each.entry for each in done] == [by_tag[change.tag] for change in changes]
        page, _ = await rooms.page(room_id, before=None, limit=100)
        assert [place.created for place in page] == [entry.position for entry in log]

    async def test_an_edit_changes_the_message_and_not_where_it_lies(self, rooms: RoomStore) -> None:
        room_id = await a_room(rooms)
        one, two = await say_all(rooms, room_id, "first", "second")
        edit = editing(one, "better")
        entry = await store_change(rooms, room_id, edit)
        now = await find(rooms, room_id, one.post.id)
        assert now == Place(edit.puts[0].post, one.created, entry.position)
        assert (await rooms.page(room_id, before=None, limit=5))[0] == [now, two]
        await store_change(rooms, room_id, reacting(now))
        await store_change(rooms, room_id, about(two, Deleted(two.post.id, two.post.by, 1_700_000_009.0)))
        page, _ = await rooms.page(room_id, before=None, limit=5)
        assert [(place.post.text, place.post.deleted, place.post.reactions) for place in page] == [
            ("better", False, {"👍": ("user:bob",)}),
            ("", True, {}),
        ]
        assert [type(event).__name__ for event in await events_of(rooms, room_id, two.created)] == [
            "Edited",
            "Reacted",
            "Deleted",
        ]

    async def test_what_rests_on_an_older_version_is_not_made(self, rooms: RoomStore) -> None:
        room_id = await a_room(rooms)
        place = await say(rooms, room_id)
        stale = editing(place, "too late")
        entry = await store_change(rooms, room_id, editing(place, "in time"))
        again = Put(place.post)  # as if it were new
        bogus = [
            stale,
            Change(tag=new_tag(), events=stale.events, puts=(again,)),
            Change(tag=new_tag(), events=stale.events, puts=(Put(place.post, Position(9, 9)),)),
            editing(Place(posted(said()), place.created, place.version), "of nothing"),
        ]
        for change in bogus:
            assert_nothing_done(await rooms.change(room_id, change), Changing.CHANGED)
        assert (await log_of(rooms, room_id))[-1] == entry

    async def test_an_edit_sent_again_is_made_once(self, rooms: RoomStore) -> None:
        room_id = await a_room(rooms)
        place = await say(rooms, room_id)
        edit = editing(place, "better")
        entry = await store_change(rooms, room_id, edit)
        await say(rooms, room_id, "between")
        assert await rooms.change(room_id, edit) == Changed(Changing.STORED, entry)
        assert len(await log_of(rooms, room_id)) == 3
        await store_change(rooms, room_id, reacting(await find(rooms, room_id, place.post.id)))
        assert_nothing_done(await rooms.change(room_id, edit), Changing.CHANGED)

    async def test_of_many_edits_of_one_version_one_is_made(self, rooms: RoomStore) -> None:
        room_id = await a_room(rooms)
        place = await say(rooms, room_id)
        done = await asyncio.gather(*(rooms.change(room_id, editing(place, str(n))) for n in range(8)))
        assert sorted(each.outcome.value for each in done) == ["changed"] * 7 + ["stored"]
        assert len(await log_of(rooms, room_id)) == 2

    async def test_several_events_are_one_entry_and_each_message_lies_at_its_own(self, rooms: RoomStore) -> None:
        room_id = await a_room(rooms)
        first = await say(rooms, room_id)
        one, two = said("one"), said("two", client_id="c2")
        thumb = Reacted(one.message, "user:bob", "👍", True, 1.0)
        puts = (Put(changed(posted(one), thumb)), Put(posted(two)))
        change = Change(tag=new_tag(), events=(one, two, thumb), puts=puts, once=once(one))
        entry = await store_change(rooms, room_id, change)
        assert (entry.after, entry.position) == (first.created, Position(4, change.tag))
        places = [
            Place(puts[0].post, Position(2, change.tag), Position(4, change.tag)),
            Place(puts[1].post, Position(3, change.tag), Position(3, change.tag)),
        ]
        assert await rooms.page(room_id, before=None, limit=9) == ([first, *places], False)
        assert await rooms.page(room_id, before=3, limit=9) == ([first, places[0]], False)
        assert await rooms.change(room_id, change) == Changed(Changing.STORED, entry)
        await store_change(rooms, room_id, editing(places[1], "two, again"))

    async def test_of_several_messages_one_that_has_changed_stops_all(self, rooms: RoomStore) -> None:
        room_id = await a_room(rooms)
        place = await say(rooms, room_id)
        stale = editing(place, "too late")
        await store_change(rooms, room_id, editing(place, "in time"))
        fresh = saying(said())
        both = Change(tag=new_tag(), events=fresh.events + stale.events, puts=fresh.puts + stale.puts, once="x")
        assert_nothing_done(await rooms.change(room_id, both), Changing.CHANGED)
        assert await rooms.sent(room_id, "x") is None
        assert await rooms.find(room_id, [fresh.puts[0].post.id]) == [None]

    async def test_history_comes_in_pages_oldest_first(self, rooms: RoomStore) -> None:
        room_id = await a_room(rooms)
        places = await say_all(rooms, room_id, *"abcde")
        await store_change(rooms, room_id, reacting(places[0]))
        places[0] = await find(rooms, room_id, places[0].post.id)
        assert await rooms.page(room_id, before=None, limit=2) == (places[3:], True)
        assert await rooms.page(room_id, before=4, limit=2) == (places[1:3], True)
        assert await rooms.page(room_id, before=2, limit=2) == (places[:1], False)
        assert await rooms.page(room_id, before=1, limit=2) == ([], False)
        assert await rooms.page(room_id, before=10**9, limit=5) == (places, False)


class Marks:
    async def test_a_mark_never_goes_back(self, rooms: RoomStore) -> None:
        room_id = await a_room(rooms)
        assert [await rooms.mark(room_id, "user:ann", seq) for seq in (3, 1, 3, 7)] == [3, 3, 3, 7]
        assert await rooms.mark(room_id, "user:bob", 2) == 2
        assert await marks(rooms, room_id) == {"user:ann": 7, "user:bob": 2}

    async def test_marks_are_a_rooms_own(self, rooms: RoomStore) -> None:
        one, other = await a_room(rooms, "one"), await a_room(rooms, "other")
        await rooms.mark(one, "user:ann", 3)
        assert (await marks(rooms, one), await marks(rooms, other)) == ({"user:ann": 3}, {})

    async def test_strange_members_have_marks(self, rooms: RoomStore) -> None:
        room_id = await a_room(rooms)
        for seq, member in enumerate(STRANGE, 1):
            await rooms.mark(room_id, member, seq)
        assert await marks(rooms, room_id) == {member: seq for seq, member in enumerate(STRANGE, 1)}


async def marks(rooms: RoomStore, room_id: str) -> dict[str, int]:
    """What one who comes in is told."""
    entered = await rooms.enter(room_id, None, max_bytes=1000, page=1)
    assert entered is not None
    return entered.marks


class RoomDurability:
    async def test_what_was_said_is_there_when_the_data_is_opened_again(self, make_store: StoreMaker) -> None:
        store = await make_store.open()
        room_id = await a_room(make_store.rooms(store), title="kept")
        change = saying(said())
        entry = await store_change(make_store.rooms(store), room_id, change)
        before: Any = await make_store.rooms(store).get(room_id)
        await store.close()
        rooms = make_store.rooms(await make_store.open())
        assert await rooms.get(room_id) == before
        assert await log_of(rooms, room_id) == [entry]
        assert await rooms.change(room_id, change) == Changed(Changing.STORED, entry)
