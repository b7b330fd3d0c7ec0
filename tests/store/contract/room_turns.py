"""Contract: answers that are asked for, until they begin."""

import asyncio

from msgspec.structs import replace

from headwater.core.room import RunEnded, Turn, answer_of, changed, run_id_of
from headwater.entropy import new_tag
from headwater.store.base import Created, Stale, Store
from headwater.store.rooms import Beginning, Begun, Change, Changed, Changing, Put, RoomStore
from tests.store.maker import StoreMaker
from tests.store.producing import take
from tests.store.talking import (
    a_room,
    a_turn,
    ask,
    assert_nothing_done,
    begin,
    beginning,
    events_of,
    find,
    log_of,
    reacting,
    said,
    saying,
    store_change,
)


def refusing(room_id: str, turn: Turn) -> Change:
    """What the room is told of a turn that is refused: that it began, and failed at once."""
    run, began = beginning(room_id, turn)
    (started,) = began.events
    ended = RunEnded(answer_of(run.id), run.id, "failed", "", [], started.at, reason="over_budget")
    post = changed(began.puts[0].post, ended)
    return Change(tag=new_tag(), events=(started, ended), puts=(Put(post),))


class Turns:
    async def test_a_turn_waits_from_the_message_that_asks(self, rooms: RoomStore) -> None:
        room_id = await a_room(rooms)
        event = said()
        turns = (a_turn(event), a_turn(event, "large"))
        change = saying(event, turns=turns)
        for _ in range(2):
            await store_change(rooms, room_id, change)
            assert await rooms.turns(room_id) == list(turns)
        third = await ask(rooms, room_id)
        assert await rooms.turns(room_id) == [*turns, third]
        assert await rooms.waiting(10) == [room_id]

    async def test_what_is_not_stored_asks_for_nothing(self, rooms: RoomStore) -> None:
        room_id = await a_room(rooms)
        event = said()
        await store_change(rooms, room_id, saying(event))
        echo = said(client_id=event.client_id)
        done = await rooms.change(room_id, saying(echo, turns=(a_turn(echo),)))
        assert_nothing_done(done, Changing.SEEN, event.message)
        assert (await rooms.turns(room_id), await rooms.waiting(10)) == ([], [])

    async def test_a_turn_that_begins_is_a_queued_run_and_a_message(self, store: Store, rooms: RoomStore) -> None:
        room_id = await a_room(rooms)
        first, second = await ask(rooms, room_id), await ask(rooms, room_id)
        run, change = beginning(room_id, second)
        begun = await rooms.begin(room_id, second.id, run, change, most=1)
        assert begun.outcome is Beginning.BEGUN and begun.run is not None
        assert begun.run == replace(run, created_at=begun.run.created_at)
        assert (begun.run.room, begun.run.status, begun.run.id) == (room_id, "queued", run_id_of(room_id, second.id))
        assert begun.entry == (await log_of(rooms, room_id))[-1]
        assert (await events_of(rooms, room_id))[-1:] == list(change.events)
        assert (await find(rooms, room_id, answer_of(run.id))).post == change.puts[0].post
        assert await rooms.turns(room_id) == [first, replace(second, open=True)]
        assert await store.get(run.id) == begun.run
        assert await store.stale(10) == [Stale(run.id, 0, "queued", model="demo")]
        listed = await store.list_runs("acme", conversation=None, status=None, before=None, limit=5)
        assert listed.runs == [begun.run]

    async def test_a_run_created_again_is_the_one_that_began(self, store: Store, rooms: RoomStore) -> None:
        room_id = await a_room(rooms)
        run = await begin(rooms, room_id, await ask(rooms, room_id))
        assert await store.create(run, None) == Created(run, False)

    async def test_begun_again_under_its_tag_it_is_the_same(self, rooms: RoomStore) -> None:
        room_id = await a_room(rooms)
        turn = await ask(rooms, room_id)
        run, change = beginning(room_id, turn)
        first = await rooms.begin(room_id, turn.id, run, change, most=1)
        await store_change(rooms, room_id, reacting(await find(rooms, room_id, answer_of(run.id))))
        log = await log_of(rooms, room_id)
        assert await rooms.begin(room_id, turn.id, run, change, most=1) == first
        assert (await log_of(rooms, room_id), len(await rooms.turns(room_id))) == (log, 1)

    async def test_of_many_who_begin_a_turn_one_does(self, rooms: RoomStore) -> None:
        room_id = await a_room(rooms)
        turn = await ask(rooms, room_id)
        tries = [rooms.begin(room_id, turn.id, *beginning(room_id, turn), most=9) for _ in range(8)]
        outcomes = sorted(begun.outcome.value for begun in await asyncio.gather(*tries))
        assert outcomes == ["begun"] + ["gone"] * 7
        assert len(await log_of(rooms, room_id)) == 2

    async def test_no_more_are_open_than_may_be(self, store: Store, rooms: RoomStore) -> None:
        room_id, elsewhere = await a_room(rooms), await a_room(rooms, "elsewhere")
        turns = [await ask(rooms, room_id) for _ in range(3)]
        others = await ask(rooms, elsewhere)

        async def outcome(turn: Turn, most: int) -> Beginning:
            begun = await rooms.begin(room_id, turn.id, *beginning(room_id, turn), most=most)
            assert (begun == Begun(begun.outcome)) == (begun.outcome is not Beginning.BEGUN)
            return begun.outcome

        assert await outcome(turns[0], 2) is Beginning.BEGUN
        assert await outcome(turns[1], 1) is Beginning.BUSY
        assert await outcome(turns[1], 2) is Beginning.BEGUN
        assert await outcome(turns[2], 2) is Beginning.BUSY
        assert await store.get(run_id_of(room_id, turns[2].id)) is None
        await begin(rooms, elsewhere, others)
        await store.cancel(run_id_of(room_id, turns[0].id), new_tag())
        assert await outcome(turns[2], 2) is Beginning.BEGUN

    async def test_only_a_turn_that_waits_begins(self, store: Store, rooms: RoomStore) -> None:
        room_id = await a_room(rooms)
        turn, never = await ask(rooms, room_id), a_turn(said())
        await begin(rooms, room_id, turn)
        log = await log_of(rooms, room_id)
        for place, each in ((room_id, turn), (room_id, never), ("acme/nowhere", never)):
            run, change = beginning(place, each)
            assert await rooms.begin(place, each.id, run, change, most=9) == Begun(Beginning.GONE)
        assert await log_of(rooms, room_id) == log
        assert await store.get(run_id_of(room_id, never.id)) is None

    async def test_a_turn_that_was_dropped_does_not_begin(self, rooms: RoomStore) -> None:
        room_id = await a_room(rooms)
        turn, other = await ask(rooms, room_id), await ask(rooms, room_id)
        assert await rooms.drop(room_id, turn.id)
        run, change = beginning(room_id, turn)
        assert await rooms.begin(room_id, turn.id, run, change, most=9) == Begun(Beginning.GONE)
        assert not await rooms.drop(room_id, turn.id)
        assert not await rooms.drop("acme/nowhere", turn.id)
        assert await rooms.turns(room_id) == [other]

    async def test_a_turn_that_began_is_not_dropped(self, rooms: RoomStore) -> None:
        room_id = await a_room(rooms)
        turn = await ask(rooms, room_id)
        await begin(rooms, room_id, turn)
        assert not await rooms.drop(room_id, turn.id)
        assert await rooms.turns(room_id) == [replace(turn, open=True)]

    async def test_a_turn_is_refused_with_the_reason_in_the_log(self, rooms: RoomStore) -> None:
        room_id = await a_room(rooms)
        turn = await ask(rooms, room_id)
        change = refusing(room_id, turn)
        done = await rooms.refuse(room_id, turn.id, change)
        entry = (await log_of(rooms, room_id))[-1]
        assert done == Changed(Changing.STORED, entry)
        assert (await events_of(rooms, room_id))[1:] == list(change.events)
        place = await find(rooms, room_id, change.puts[0].post.id)
        assert (place.post.status, place.created.seq, place.version.seq) == ("failed", 2, 3)
        assert (await rooms.turns(room_id), await rooms.waiting(9)) == ([], [])
        await store_change(rooms, room_id, reacting(place))
        assert await rooms.refuse(room_id, turn.id, change) == done, "asked again it is the same"
        assert_nothing_done(await rooms.refuse(room_id, turn.id, refusing(room_id, turn)), Changing.GONE)
        assert len(await log_of(rooms, room_id)) == 3

    async def test_a_turn_that_waits_no_more_is_not_refused(self, rooms: RoomStore) -> None:
        room_id = await a_room(rooms)
        turn, never = await ask(rooms, room_id), a_turn(said())
        await begin(rooms, room_id, turn)
        log = await log_of(rooms, room_id)
        for place, each in ((room_id, turn), (room_id, never), ("acme/nowhere", never)):
            assert_nothing_done(await rooms.refuse(place, each.id, refusing(place, each)), Changing.GONE)
        assert await log_of(rooms, room_id) == log

    async def test_rooms_with_turns_that_wait_are_found(self, store: Store, rooms: RoomStore) -> None:
        ids = [await a_room(rooms, name) for name in ("one", "two", "three", "quiet")]
        turns = [await ask(rooms, room_id) for room_id in ids[:3]]
        assert sorted(await rooms.waiting(10)) == sorted(ids[:3])
        assert len(await rooms.waiting(2)) == 2
        await begin(rooms, ids[0], turns[0])
        await rooms.drop(ids[1], turns[1].id)
        assert ids[2] in await rooms.waiting(10), "and perhaps others, whose turns are over"

    async def test_every_room_with_a_turn_that_waits_is_found_a_few_at_a_time(
        self, rooms: RoomStore, make_store: StoreMaker
    ) -> None:
        ids = [await a_room(rooms, name) for name in "abcde"]
        for room_id in ids:
            await ask(rooms, room_id)
        for _ in range(2):
            found: list[str] = []
            for _ in range(3):
                await make_store.advance(1)
                found += await rooms.waiting(2)
            assert set(found) == set(ids)

    async def test_a_run_says_whose_answer_it_is_also_under_way(self, store: Store, rooms: RoomStore) -> None:
        room_id = await a_room(rooms)
        run = await begin(rooms, room_id, await ask(rooms, room_id))
        taken = await take(store, run.id)
        shown = await store.get(taken.run_id)
        assert shown is not None and shown.room == room_id
