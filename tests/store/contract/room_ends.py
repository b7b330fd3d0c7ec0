"""Contract: the end of a run that answers in a room enters both logs in one step."""

import pytest

from headwater.core.events import Attempt, End, Failure, Reasoning, Text, ToolCall, Usage
from headwater.core.lifecycle import end_cancelled, end_failed, end_finished
from headwater.core.position import START, Position
from headwater.core.room import Deleted, Place, Post, RunEnded, Turn, answer_of, changed
from headwater.entropy import new_tag
from headwater.store.base import AppendResult, Outcome, Store
from headwater.store.rooms import RoomStore
from tests.store.maker import StoreMaker
from tests.store.producing import start, texts
from tests.store.talking import (
    a_room,
    about,
    an_open_answer,
    answering,
    ask,
    events_of,
    find,
    log_of,
    reacting,
    say,
    store_change,
)

STOP = end_finished("stop", Usage(9, 18))


async def the_end(store: Store, rooms: RoomStore, room_id: str, run_id: str, tag: int) -> RunEnded:
    """What the room was told, once everything else about the end is seen to be right."""
    before, last = (await log_of(rooms, room_id))[-2:]
    (event,) = (await events_of(rooms, room_id))[-1:]
    assert isinstance(event, RunEnded)
    assert last.position == Position(before.seq + 1, tag)
    assert (event.message, event.run) == (answer_of(run_id), run_id)
    run = await store.get(run_id)
    assert run is not None and (run.status, run.position.tag) == (event.status, tag)
    assert event.at == pytest.approx(run.ended_at, abs=0.01)
    place = await find(rooms, room_id, event.message)
    assert place.version == last.position
    post = place.post
    assert post.status == event.status
    if not post.deleted:
        assert (post.text, post.parts, post.reason, post.error, post.usage) == (
            event.text,
            event.parts,
            event.reason,
            event.error,
            event.usage,
        )
    assert run_id not in [answer.run for _, answer in await open_answers(rooms, room_id)]
    return event


async def open_answers(rooms: RoomStore, room_id: str) -> list[tuple[Turn, Post]]:
    """The answers that grow."""
    entered = await rooms.enter(room_id, None, max_bytes=1000, page=1)
    assert entered is not None
    return [(turn, place.post) for turn, place in entered.open]


class RoomEnds:
    async def test_an_answer_that_is_over_is_whole_in_the_rooms_log(self, store: Store, rooms: RoomStore) -> None:
        room_id = await a_room(rooms)
        one = await answering(store, rooms, room_id)
        await one.write(Reasoning("hm"), *texts("a", "b"))
        await say(rooms, room_id, "meanwhile")
        await one.write(Text("ç\u2028"), ToolCall(0, "call_1", "look", '{"a"'), ToolCall(0, arguments=":1}"))
        await one.write(Text("🔑"), STOP)
        event = await the_end(store, rooms, room_id, one.run_id, one.tag)
        assert (event.status, event.reason, event.error, event.usage) == ("completed", None, None, Usage(9, 18))
        assert event.text == "abç\u2028🔑"
        call = {"index": 0, "id": "call_1", "name": "look", "arguments": '{"a":1}'}
        assert event.parts == [
            {"reasoning": "hm"},
            {"text": "abç\u2028"},
            {"tool_call": call},
            {"text": "🔑"},
        ]
        assert await rooms.turns(room_id) == []

    async def test_an_end_alone_ends_an_empty_answer(self, store: Store, rooms: RoomStore) -> None:
        room_id = await a_room(rooms)
        one = await answering(store, rooms, room_id)
        end = End("failed", reason="upstream_error", error=Failure("upstream_error", "it said no"))
        await one.write(end)
        event = await the_end(store, rooms, room_id, one.run_id, one.tag)
        assert (event.status, event.reason, event.error, event.text, event.parts) == (
            "failed",
            "upstream_error",
            end.error,
            "",
            [],
        )

    async def test_what_a_restart_withdrew_is_not_in_it(self, store: Store, rooms: RoomStore) -> None:
        room_id = await a_room(rooms)
        one = await answering(store, rooms, room_id)
        await one.write(Text("wrong"))
        await one.write(Attempt(2, "failover", "restarted"), Text("right"), STOP)
        assert (await the_end(store, rooms, room_id, one.run_id, one.tag)).text == "right"

    async def test_an_end_sent_again_is_told_once(self, store: Store, rooms: RoomStore) -> None:
        room_id = await a_room(rooms)
        one = await answering(store, rooms, room_id)
        item = await one.write(Text("a"), STOP)
        log = await log_of(rooms, room_id)
        assert await store.append([item]) == [AppendResult(Outcome.STORED, one.at)]
        await say(rooms, room_id, "later")
        assert await store.append([item]) == [AppendResult(Outcome.STORED, one.at)]
        assert (await log_of(rooms, room_id))[:-1] == log
        assert (await log_of(rooms, room_id))[-1].seq == log[-1].seq + 1

    async def test_a_refused_end_is_not_told(self, store: Store, rooms: RoomStore) -> None:
        room_id = await a_room(rooms)
        one = await answering(store, rooms, room_id)
        log = await log_of(rooms, room_id)
        await store.cancel(one.run_id, new_tag())
        assert (await one.send(one.next(Text("a"), STOP))).outcome is Outcome.CANCELLED
        assert await log_of(rooms, room_id) == log
        await one.write(end_cancelled())
        assert (await the_end(store, rooms, room_id, one.run_id, one.tag)).status == "cancelled"

    async def test_several_end_in_one_batch(self, store: Store, rooms: RoomStore) -> None:
        room_id, elsewhere = await a_room(rooms), await a_room(rooms, "elsewhere")
        one, two = await answering(store, rooms, room_id), await answering(store, rooms, room_id)
        three, alone = await answering(store, rooms, elsewhere), await start(store)
        batch = [each.next(Text(f"{n}"), STOP) for n, each in enumerate((one, alone, two, three))]
        assert [result.outcome for result in await store.append(batch)] == [Outcome.STORED] * 4
        log = await log_of(rooms, room_id)
        assert sorted(entry.tag for entry in log[-2:]) == sorted((one.tag, two.tag))
        answers = [(await find(rooms, room_id, answer_of(each.run_id))).post for each in (one, two)]
        assert [(post.status, post.text) for post in answers] == [("completed", "0"), ("completed", "2")]
        assert (await the_end(store, rooms, elsewhere, three.run_id, three.tag)).text == "3"
        assert await rooms.turns(room_id) == await rooms.turns(elsewhere) == []

    async def test_a_cancel_that_writes_the_end_tells_the_room(self, store: Store, rooms: RoomStore) -> None:
        room_id = await a_room(rooms)
        run, tag = await an_open_answer(rooms, room_id), new_tag()
        cancelled = await store.cancel(run.id, tag)
        assert cancelled is not None and cancelled.entry is not None and cancelled.run.room == room_id
        event = await the_end(store, rooms, room_id, run.id, tag)
        assert (event.status, event.text, event.parts) == ("cancelled", "", [])
        log = await log_of(rooms, room_id)
        assert await store.cancel(run.id, tag) == cancelled
        assert await log_of(rooms, room_id) == log

    async def test_a_cancel_after_the_producers_death_tells_what_there_was(
        self, store: Store, rooms: RoomStore, make_store: StoreMaker
    ) -> None:
        room_id = await a_room(rooms)
        one, tag = await answering(store, rooms, room_id, lease_s=make_store.lease_s), new_tag()
        await one.write(*texts("so ", "far"))
        await make_store.advance(make_store.lease_s)
        await store.cancel(one.run_id, tag)
        assert (await the_end(store, rooms, room_id, one.run_id, tag)).text == "so far"

    async def test_a_cancel_of_what_somebody_produces_tells_nothing_yet(self, store: Store, rooms: RoomStore) -> None:
        room_id = await a_room(rooms)
        one = await answering(store, rooms, room_id)
        log = await log_of(rooms, room_id)
        await store.cancel(one.run_id, new_tag())
        assert await log_of(rooms, room_id) == log
        assert len(await open_answers(rooms, room_id)) == 1

    async def test_a_run_that_is_given_up_tells_the_room(
        self, store: Store, rooms: RoomStore, make_store: StoreMaker
    ) -> None:
        room_id = await a_room(rooms)
        one, tag = await answering(store, rooms, room_id, lease_s=make_store.lease_s), new_tag()
        await one.write(Text("half"))
        await make_store.advance(make_store.lease_s)
        end = end_failed("internal_error", "damaged")
        entry = await store.give_up(one.run_id, seen=1, tag=tag, end=end)
        assert entry is not None
        event = await the_end(store, rooms, room_id, one.run_id, tag)
        assert (event.status, event.error, event.text) == ("failed", end.error, "half")
        log = await log_of(rooms, room_id)
        assert await store.give_up(one.run_id, seen=1, tag=tag, end=end) == entry
        assert await store.give_up(one.run_id, seen=1, tag=new_tag(), end=end) is None
        assert await log_of(rooms, room_id) == log

    async def test_reactions_to_an_answer_outlast_its_end(self, store: Store, rooms: RoomStore) -> None:
        room_id = await a_room(rooms)
        one = await answering(store, rooms, room_id)
        place = await find(rooms, room_id, answer_of(one.run_id))
        await store_change(rooms, room_id, reacting(place))
        await one.write(Text("a"), STOP)
        await the_end(store, rooms, room_id, one.run_id, one.tag)
        after = await find(rooms, room_id, place.post.id)
        assert (after.created, after.post.reactions, after.post.text) == (place.created, {"👍": ("user:bob",)}, "a")
        await store_change(rooms, room_id, reacting(after, "🎉"))

    async def test_an_answer_that_was_taken_down_stays_so(self, store: Store, rooms: RoomStore) -> None:
        room_id = await a_room(rooms)
        one = await answering(store, rooms, room_id)
        place = await find(rooms, room_id, answer_of(one.run_id))
        await store_change(rooms, room_id, about(place, Deleted(place.post.id, "user:mod", 1.0)))
        await one.write(Text("a"), STOP)
        await the_end(store, rooms, room_id, one.run_id, one.tag)
        after = (await find(rooms, room_id, place.post.id)).post
        assert (after.deleted, after.text, after.status) == (True, "", "completed")

    async def test_the_message_is_the_old_one_with_the_end(self, store: Store, rooms: RoomStore) -> None:
        room_id = await a_room(rooms)
        one = await answering(store, rooms, room_id)
        place = await find(rooms, room_id, answer_of(one.run_id))
        await one.write(Text("a"), STOP)
        event = await the_end(store, rooms, room_id, one.run_id, one.tag)
        top = (await log_of(rooms, room_id))[-1].position
        expected = Place(changed(place.post, event), place.created, top)
        assert await find(rooms, room_id, place.post.id) == expected
        assert (await rooms.page(room_id, before=None, limit=1))[0] == [expected]

    async def test_the_runs_own_log_is_as_any(self, store: Store, rooms: RoomStore) -> None:
        room_id = await a_room(rooms)
        one = await answering(store, rooms, room_id)
        items = [await one.write(Text("a")), await one.write(Text("b"), STOP)]
        read = await store.read(one.run_id, START, 1000)
        assert read is not None and list(read.entries) == [item.entry for item in items]
        contents = await store.contents(one.run_id)
        assert contents is not None and (contents.text, contents.end) == ("ab", STOP)

    async def test_a_run_without_a_room_tells_no_room(self, store: Store, rooms: RoomStore) -> None:
        room_id = await a_room(rooms)
        await ask(rooms, room_id)
        log = await log_of(rooms, room_id)
        alone = await start(store, owner="acme")
        await alone.write(Text("a"), STOP)
        run = await store.get(alone.run_id)
        assert run is not None and run.room is None
        assert await log_of(rooms, room_id) == log
