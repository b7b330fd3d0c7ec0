"""What may be asked of models in a room, and by whom."""

from functools import partial

import pytest

from headwater.core.events import End, Failure, Usage
from headwater.core.room import Budgets, run_id_of
from headwater.rooms.budgets import RoomBudgets
from headwater.store.sqlite import SqliteLimits, SqliteStore
from tests.rooms.faulty_rooms import FaultyRooms
from tests.rooms.house import House, MakeHouse, ask_nobody, ends_of
from tests.store.talking import a_room, begin

pytestmark = pytest.mark.anyio

BUDGETS = [
    ({"runs_per_day": 1}, True, "The room may have 1 answer a day, and has had as much."),
    ({"tokens_per_day": 5}, True, "The room may have 5 output tokens a day, and has had as much."),
    ({"person_runs_per_day": 1}, False, "Whoever asks may have 1 answer a day, and has had as much."),
    ({"person_tokens_per_day": 5}, False, "Whoever asks may have 5 output tokens a day, and has had as much."),
]


@pytest.mark.parametrize(("budgets", "of_all", "detail"), BUDGETS)
async def test_a_budget_is_kept_for_a_day(
    house: House, rooms: FaultyRooms, budgets: dict[str, int], of_all: bool, detail: str
) -> None:
    room_id = await a_room(rooms, budgets=budgets)
    for question in ("one?", "two?"):
        await house.ask(room_id, question, by="user:ann")
    await house.answer("one?", "yes")
    _, refused = await ends_of(rooms, room_id, 2)
    assert (refused.status, refused.reason) == ("failed", "budget_exhausted")
    assert refused.error == Failure("budget_exhausted", detail)
    await house.ask(room_id, "three?", by="user:bob")
    if of_all:
        assert (await ends_of(rooms, room_id, 3))[-1].error == refused.error
    else:
        await house.answering("three?")
    elsewhere = await a_room(rooms, "elsewhere", budgets=budgets)
    await house.ask(elsewhere, "four?", by="user:ann")
    await house.answering("four?")


async def test_a_room_may_ask_for_nothing_at_all(house: House, rooms: FaultyRooms) -> None:
    for budgets in ({"runs_per_day": 0}, {"person_tokens_per_day": 0}):
        room_id = await a_room(rooms, next(iter(budgets)), budgets=budgets)
        await house.ask(room_id)
        (refused,) = await ends_of(rooms, room_id, 1)
        assert refused.reason == "budget_exhausted"


async def test_who_is_refused_for_themselves_takes_nothing_from_the_room(house: House, rooms: FaultyRooms) -> None:
    room_id = await a_room(rooms, budgets={"runs_per_day": 2, "person_runs_per_day": 1})
    for question in ("one?", "two?", "three?"):
        await house.ask(room_id, question, by="user:ann")
    await house.answer("one?", "yes")
    assert [end.reason for end in await ends_of(rooms, room_id, 3)] == [None, "budget_exhausted", "budget_exhausted"]
    await house.ask(room_id, "four?", by="user:bob")
    await house.answering("four?")


@pytest.mark.parametrize("waits", [False, True], ids=["dropped", "waits for another"])
async def test_a_turn_that_does_not_begin_gives_back_what_it_took(
    house: House, rooms: FaultyRooms, store: SqliteStore, waits: bool
) -> None:
    room_id = await a_room(rooms, budgets={"runs_per_day": 1})
    await ask_nobody(rooms, room_id, "one?")
    await ask_nobody(rooms, room_id, "two?")
    one, two = await rooms.turns(room_id)
    if waits:
        rooms.just_before = partial(begin, rooms, room_id, two)
        house.turns.advance(room_id)
        await house.settled()
        assert [turn.open for turn in await rooms.turns(room_id)] == [False, True]
        budgets = Budgets(runs_per_day=1)
        assert await RoomBudgets(SqliteLimits(store)).take(room_id, budgets, two) is None
    else:
        rooms.just_before = partial(rooms.drop, room_id, one.id)
        house.turns.advance(room_id)
        await house.answering("two?")


async def test_a_worker_that_closes_counts_first_what_was_used(
    house: House, rooms: FaultyRooms, store: SqliteStore
) -> None:
    room_id = await a_room(rooms, budgets={"person_tokens_per_day": 7})
    await house.ask(room_id, "one?")
    await house.answering("one?")
    (turn,) = await rooms.turns(room_id)
    run = await store.get(run_id_of(room_id, turn.id))
    assert run is not None
    house.turns.ended(run, End("completed", "stop", usage=Usage(output_tokens=7)))
    await house.turns.close()
    budgets = Budgets(person_tokens_per_day=7)
    assert await RoomBudgets(SqliteLimits(store)).take(room_id, budgets, turn) is not None


async def test_a_caller_s_quota_holds_in_rooms_too(make_house: MakeHouse, rooms: FaultyRooms) -> None:
    house = await make_house(parallel_runs=1)
    room_id = await a_room(rooms, concurrency="parallel", budgets={"runs_per_day": 2})
    await house.ask(room_id, "one?", by="user:ann")
    await house.answering("one?")
    await house.ask(room_id, "two?", by="user:ann")
    (refused,) = await ends_of(rooms, room_id, 1)
    assert (refused.status, refused.reason) == ("failed", "too_many")
    await house.ask(room_id, "three?", by="user:bob")
    await house.answering("three?")  # the room's budget was given back
