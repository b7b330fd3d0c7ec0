"""Answers of models in rooms: which begin, what the models are told, and what the room is."""

from functools import partial

import pytest

from headwater.core.room import Deleted, RunEnded, RunStarted, Said, answer_of, room_events, run_id_of
from headwater.core.run import Message
from headwater.rooms import turns
from headwater.rooms.starter import PAGE
from headwater.store.sqlite import SqliteStore
from headwater.tasks import running
from tests.rooms.faulty_rooms import FaultyRooms
from tests.rooms.house import House, MakeHouse, ask_nobody, ends_of, starts_of
from tests.store.talking import a_room, about, begin, events_of, find, say, say_all, store_change
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio


async def test_a_question_begins_an_answer_that_the_room_is_told_of(
    house: House, rooms: FaultyRooms, store: SqliteStore
) -> None:
    room_id = await a_room(rooms, "lobby", instructions="Be kind.")
    question = await house.ask(room_id, "what is it?", by="user:ann")
    asked = await house.answer("what is it?", "a room")
    (ended,) = await ends_of(rooms, room_id, 1)
    _, started, _ = await events_of(rooms, room_id)
    assert isinstance(started, RunStarted)
    assert (started.by, started.model, started.asked) == ("user:ann", "demo", question.post.id)
    assert [event for _, entry in house.entries for event in room_events(entry)] == [started]
    assert (ended.message, ended.status, ended.text) == (answer_of(started.run), "completed", "well, a room")
    assert await rooms.turns(room_id) == []
    run = await store.get(started.run)
    assert run is not None
    assert (run.owner, run.caller, run.room) == ("acme", "acme/user:ann", room_id)
    assert (run.conversation, run.model, run.status) == ("room:lobby", "demo", "completed")
    assert asked.request == run.request
    assert (run.request.instructions, run.request.model) == ("Be kind.", "demo")
    assert run.request.input == [Message("user", "what is it?", name="Ann")]


# -- what a model is told


async def test_a_model_is_told_what_was_said_before_with_the_speakers(house: House, rooms: FaultyRooms) -> None:
    room_id = await a_room(rooms)
    first = await house.ask(room_id, "one?", "other")
    await house.answer("one?", "first")
    (end,) = await ends_of(rooms, room_id, 1)
    await say(rooms, room_id, "mark well", by="user:bob", name="Bob")
    await house.ask(room_id, "two?")
    asked = await house.answering("two?")
    assert asked.request.input == [
        Message("user", "one?", name="Ann"),
        Message("assistant", "well, first", name="other"),
        Message("user", "mark well", name="Bob"),
        Message("user", "two?", name="Ann"),
    ]
    assert (first.post.id, end.status) == ((await starts_of(rooms, room_id))[0].asked, "completed")


async def test_a_question_that_waited_long_is_told_what_was_before_it_and_nothing_of_the_crowd_since(
    house: House, rooms: FaultyRooms
) -> None:
    room_id = await a_room(rooms, context_bytes=1_000_000)
    await house.ask(room_id, "first?")
    answering = await house.answering("first?")
    before = [f"before {number}" for number in range(PAGE)]
    await say_all(rooms, room_id, *before)
    await house.ask(room_id, "second?")
    await say_all(rooms, room_id, *(f"since {number}" for number in range(PAGE)))
    answering.answer.set_result("first")
    asked = await house.answering("second?")
    assert isinstance(asked.request.input, list)
    told = [message.content for message in asked.request.input]
    assert told == ["first?", "well, first", *before, "second?"]


async def test_a_model_is_told_as_much_as_the_room_s_budget_has_room_for(house: House, rooms: FaultyRooms) -> None:
    room_id = await a_room(rooms, context_bytes=3 * len("Ann") + 2 * len("12") + len("what?"))
    await say_all(rooms, room_id, *(f"{number:02}" for number in range(20)))
    await house.ask(room_id, "what?")
    asked = await house.answering("what?")
    assert isinstance(asked.request.input, list)
    assert [message.content for message in asked.request.input] == ["18", "19", "what?"]


# -- several questions


async def test_in_a_queue_answers_come_one_after_the_other(house: House, rooms: FaultyRooms) -> None:
    room_id = await a_room(rooms)
    questions = [f"{number}?" for number in range(5)]
    for question in questions:
        await house.ask(room_id, question)
    for number, question in enumerate(questions, 1):
        await house.answering(question)
        assert len(await starts_of(rooms, room_id)) == number
        await house.answer(question, question)
    assert [end.text for end in await ends_of(rooms, room_id, 5)] == [f"well, {question}" for question in questions]


async def test_in_parallel_answers_grow_side_by_side(house: House, rooms: FaultyRooms) -> None:
    room_id = await a_room(rooms, concurrency="parallel")
    await house.ask(room_id, "one?", "demo", "other")
    await house.ask(room_id, "two?")
    await eventually(lambda: len(house.puppet.asked) == 3)
    await house.answer("two?", "two")
    assert [end.text for end in await ends_of(rooms, room_id, 1)] == ["well, two"]


async def test_a_newer_question_stops_the_answer_under_way(house: House, rooms: FaultyRooms) -> None:
    room_id = await a_room(rooms, concurrency="cancel-and-restart")
    first = await house.ask(room_id, "one?", "demo", "other")
    await eventually(lambda: len(house.puppet.asked) == 2)
    never = await ask_nobody(rooms, room_id, "never?")
    last = await house.ask(room_id, "two?")
    await house.answer("two?", "two")
    ends = await ends_of(rooms, room_id, 4)
    assert [end.status for end in ends] == ["cancelled", "cancelled", "cancelled", "completed"]
    assert {end.reason for end in ends[:-1]} == {None, "superseded"}
    asked = [start.asked for start in await starts_of(rooms, room_id)]
    assert asked == [first.post.id, first.post.id, never.post.id, last.post.id]
    assert await rooms.turns(room_id) == []


async def test_what_is_asked_while_turns_are_seen_to_is_seen_to_as_well(house: House, rooms: FaultyRooms) -> None:
    room_id = await a_room(rooms)
    rooms.meanwhile = partial(house.ask, room_id, "one?")
    house.turns.advance(room_id)
    await house.answering("one?")


async def test_an_answer_that_begins_meanwhile_is_stopped_before_the_newest(house: House, rooms: FaultyRooms) -> None:
    room_id = await a_room(rooms, concurrency="cancel-and-restart")
    await ask_nobody(rooms, room_id, "one?")
    (first,) = await rooms.turns(room_id)
    rooms.meanwhile = partial(begin, rooms, room_id, first)
    await house.ask(room_id, "two?")
    await house.answering("two?")
    seen = [type(event) for event in await events_of(rooms, room_id)]
    assert seen == [Said, Said, RunStarted, RunEnded, RunStarted]


# -- answers that are refused


@pytest.mark.parametrize(
    ("model", "code", "detail"),
    [
        ("gone", "unknown_model", "There is no model 'gone' here."),
        ("fussy", "invalid", "input: must be sung"),
        ("broken", "internal_error", "The model's provider failed to check the request."),
    ],
)
async def test_what_cannot_be_answered_is_an_answer_that_failed(
    house: House, rooms: FaultyRooms, model: str, code: str, detail: str
) -> None:
    room_id = await a_room(rooms)
    await house.ask(room_id, "one?", model, "demo")
    await house.answer("one?", "others may")
    failed, answered = await ends_of(rooms, room_id, 2)
    assert (failed.status, failed.reason, answered.status) == ("failed", code, "completed")
    assert failed.error is not None and failed.error.code == code and failed.error.detail.startswith(detail)
    post = (await find(rooms, room_id, failed.message)).post
    assert (post.status, post.model, post.error) == ("failed", model, failed.error)
    started, ended = room_events(house.entries[0][1])
    assert isinstance(started, RunStarted) and ended == failed


async def test_a_question_that_was_taken_back_is_not_answered(house: House, rooms: FaultyRooms) -> None:
    room_id = await a_room(rooms, budgets={"runs_per_day": 1})
    place = await ask_nobody(rooms, room_id, "one?")
    await store_change(rooms, room_id, about(place, Deleted(place.post.id, place.post.by, place.post.at)))
    await house.ask(room_id, "two?")
    await house.answering("two?")
    assert len(await rooms.turns(room_id)) == len(house.puppet.asked) == 1
    (ended,) = await ends_of(rooms, room_id, 1)
    assert (ended.status, ended.reason, ended.text) == ("cancelled", "question_deleted", "")


async def test_a_turn_that_waits_can_be_called_off_and_shows_it(house: House, rooms: FaultyRooms) -> None:
    room_id = await a_room(rooms)
    await house.ask(room_id, "one?")
    await house.answering("one?")
    await house.ask(room_id, "two?")
    under_way, waiting = await rooms.turns(room_id)
    assert await house.turns.call_off(room_id, waiting)
    assert not await house.turns.call_off(room_id, waiting)
    assert not await house.turns.call_off(room_id, under_way)
    (ended,) = await ends_of(rooms, room_id, 1)
    assert (ended.run, ended.status, ended.reason) == (run_id_of(room_id, waiting.id), "cancelled", "asked_to_stop")
    await house.answer("one?", "yes")
    assert (await ends_of(rooms, room_id, 2))[-1].status == "completed"
    assert await rooms.turns(room_id) == []


# -- several workers, and a store that fails


async def test_two_workers_that_see_to_a_turn_at_once_begin_it_once(make_house: MakeHouse, rooms: FaultyRooms) -> None:
    houses = [await make_house(), await make_house()]
    room_id = await a_room(rooms, budgets={"runs_per_day": 3})
    for question in ("one?", "two?", "three?"):
        await ask_nobody(rooms, room_id, question)
        for house in houses:
            house.turns.advance(room_id)
        for house in houses:
            await house.settled()
        asked = await eventually(
            lambda: [asked for house in houses for asked in house.puppet.asked if not asked.answer.done()]
        )
        assert [each.question for each in asked] == [question]
        asked[0].answer.set_result("yes")
        await eventually(lambda: is_over(rooms, room_id))
    assert [end.status for end in await ends_of(rooms, room_id, 3)] == ["completed"] * 3
    assert len(await starts_of(rooms, room_id)) == 3
    await ask_nobody(rooms, room_id, "four?")
    houses[0].turns.advance(room_id)
    assert (await ends_of(rooms, room_id, 4))[-1].reason == "budget_exhausted"


async def test_a_begin_whose_answer_was_lost_is_one_begin(house: House, rooms: FaultyRooms) -> None:
    room_id = await a_room(rooms, budgets={"runs_per_day": 1})
    rooms.lost = 2
    await house.ask(room_id, "one?")
    await house.answer("one?", "yes")
    (ended,) = await ends_of(rooms, room_id, 1)
    assert (ended.status, rooms.tries) == ("completed", 3)
    assert [room_events(entry) for _, entry in house.entries] == [tuple(await starts_of(rooms, room_id))]


async def test_a_sweep_finds_what_an_outage_left(
    make_house: MakeHouse, rooms: FaultyRooms, caplog: pytest.LogCaptureFixture
) -> None:
    house = await make_house(sweep_s=0.01, left_s=0.0)
    room_id = await a_room(rooms, budgets={"runs_per_day": 1})
    rooms.away = True
    await house.ask(room_id, "one?")
    await eventually(lambda: rooms.tries > 1)
    await house.settled()
    assert [record.message for record in caplog.records] == ["room acme/lobby: its turns wait for a sweep: no answer"]
    assert len(await rooms.turns(room_id)) == 1
    rooms.away = False
    async with running(house.turns.sweep_for_ever):
        await house.answer("one?", "yes")
        (ended,) = await ends_of(rooms, room_id, 1)
    assert ended.status == "completed"  # and was counted once


async def test_a_sweep_finds_what_a_dead_worker_left(make_house: MakeHouse, rooms: FaultyRooms) -> None:
    house = await make_house(sweep_s=0.01, left_s=0.0)
    room_id = await a_room(rooms)
    async with running(house.turns.sweep_for_ever):
        await ask_nobody(rooms, room_id, "one?")
        await house.answering("one?")


async def test_sweeps_come_by_all_rooms_however_many_wait(
    make_house: MakeHouse, rooms: FaultyRooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "SWEEP_MAX", 1)
    house = await make_house(sweep_s=0.01, left_s=0.02)
    names = ("one", "two", "three")
    for name in names:
        await ask_nobody(rooms, await a_room(rooms, name), f"{name}?")
    async with running(house.turns.sweep_for_ever):
        for name in names:
            await house.answering(f"{name}?")


async def test_a_sweep_leaves_a_new_turn_to_its_own_worker(make_house: MakeHouse, rooms: FaultyRooms) -> None:
    house = await make_house(sweep_s=0.01, left_s=1_000.0)
    await ask_nobody(rooms, await a_room(rooms), "one?")
    async with running(house.turns.sweep_for_ever):
        await eventually(lambda: rooms.looks > 3)
    assert (rooms.tries, house.puppet.asked) == (0, [])


# -- stopping


async def test_a_worker_that_stops_or_is_full_begins_nothing(make_house: MakeHouse, rooms: FaultyRooms) -> None:
    stopping, full = await make_house(), await make_house(max_queued=0)
    room_id = await a_room(rooms)
    stopping.executor.draining = True
    for house in (stopping, full):
        await house.ask(room_id)
        assert not house.turns._advancing
    assert len(await rooms.turns(room_id)) == 2


async def test_a_worker_that_stops_begins_what_others_can_produce(make_house: MakeHouse, rooms: FaultyRooms) -> None:
    stopping, other = await make_house(shared=True), await make_house(shared=True)
    room_id = await a_room(rooms)
    stopping.executor.draining = True
    await stopping.ask(room_id, "one?")
    (await other.answering("one?")).answer.set_result("two")
    await eventually(lambda: is_over(rooms, room_id))
    assert stopping.puppet.asked == []


async def is_over(rooms: FaultyRooms, room_id: str) -> bool:
    """Whether nothing is under way in the room, nor waits."""
    return await rooms.turns(room_id) == []
