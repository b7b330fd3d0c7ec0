"""How the SQLite store keeps rooms: what damage does, what is left of what was trimmed, and how rows are found."""

import sqlite3
from collections.abc import Callable
from typing import Any

import pytest

from headwater.core.events import Text
from headwater.core.lifecycle import end_finished
from headwater.core.position import START, Position
from headwater.core.room import Retention, RoomKey, RoomSettings, RunEnded, answer_of
from headwater.errors import DamagedLog
from headwater.store.base import Outcome
from headwater.store.sqlite import SqliteStore, room_changes, room_logs, room_reads, room_removal
from tests.store.producing import start
from tests.store.sqlite_maker import SqliteMaker
from tests.store.talking import (
    a_room,
    answering,
    ask,
    events_of,
    find,
    joins,
    log_of,
    say,
    say_all,
)

pytestmark = pytest.mark.anyio

STOP = end_finished("stop", None)


async def damage(store: SqliteStore, sql: str, *values: object) -> None:
    """Change what is stored behind the store's back."""

    def work(db: sqlite3.Connection, _: float) -> None:
        assert db.execute(sql, values).rowcount

    await store.in_writer(work)


def count(store: SqliteStore, table: str) -> int:
    """How many rows a table has."""
    (rows,) = store._file.writer.execute(f"SELECT count(*) FROM {table}").fetchone()
    return int(rows)


async def test_a_run_whose_log_is_damaged_ends_in_its_room_without_output(maker: SqliteMaker) -> None:
    store = await maker.open()
    rooms = maker.rooms(store)
    room_id = await a_room(rooms)
    one = await answering(store, rooms, room_id)
    await one.write(Text("lost"))
    await damage(store, "UPDATE entries SET payload = '[' WHERE run > 0")
    await one.write(Text("more"), STOP)
    event = (await events_of(rooms, room_id))[-1]
    assert isinstance(event, RunEnded)
    assert (event.status, event.text, event.parts) == ("completed", "", [])
    assert await rooms.turns(room_id) == []


@pytest.mark.parametrize(
    ("gone", "told"),
    [(("rooms",), False), (("posts",), True), (("turns",), True), (("turns", "posts"), False)],
    ids=["the room", "its message", "its turn", "turn and message"],
)
async def test_a_run_ends_whatever_its_room_lacks_and_the_room_is_told_if_it_knows_of_it(
    maker: SqliteMaker, gone: tuple[str, ...], told: bool
) -> None:
    store = await maker.open()
    rooms = maker.rooms(store)
    room_id = await a_room(rooms)
    one = await answering(store, rooms, room_id)
    for table in gone:
        await damage(store, f"DELETE FROM {table}")
    await one.write(Text("a"), STOP)
    run = await store.get(one.run_id)
    assert run is not None and run.status == "completed"
    events = [] if "rooms" in gone else await events_of(rooms, room_id)
    assert [(event.run, event.text) for event in events if isinstance(event, RunEnded)] == [(run.id, "a")] * told


async def test_of_an_answer_whose_message_cannot_be_read_the_room_hears_the_end(maker: SqliteMaker) -> None:
    store = await maker.open()
    rooms = maker.rooms(store)
    room_id = await a_room(rooms)
    one = await answering(store, rooms, room_id)
    await damage(store, "UPDATE posts SET body = '[' WHERE id = ?", answer_of(one.run_id))
    await one.write(Text("a"), STOP)
    event = (await events_of(rooms, room_id))[-1]
    assert isinstance(event, RunEnded) and (event.message, event.text) == (answer_of(one.run_id), "a")
    assert await rooms.turns(room_id) == []
    with pytest.raises(DamagedLog):
        await rooms.find(room_id, [event.message])
    await rooms.put(RoomKey("acme", "lobby"), RoomSettings(retention=Retention(count=1)), replace=True)
    await say(rooms, room_id)
    assert count(store, "posts") == 1, "what is left of it goes in its time"


@pytest.mark.parametrize(
    ("sql", "what"),
    [
        (
            "UPDATE room_entries SET payload = '[[\"z\"]]' WHERE seq = 2",
            "log of room acme/lobby is damaged before seq 2",
        ),
        ("UPDATE room_entries SET payload = '[]' WHERE seq = 2", "before seq 2"),
        ("DELETE FROM room_entries WHERE seq = 2", "before seq 3"),
        ("DELETE FROM room_entries WHERE seq = 3", "before seq 3"),
    ],
)
async def test_a_damaged_log_is_an_error_of_its_room_alone(maker: SqliteMaker, sql: str, what: str) -> None:
    store = await maker.open()
    rooms = maker.rooms(store)
    room_id = await a_room(rooms)
    first, *_ = await say_all(rooms, room_id, *"abc")
    await damage(store, sql)
    other = await a_room(rooms, "other")
    await say(rooms, other)
    for position in (START, first.created):
        with pytest.raises(DamagedLog, match=what):
            await rooms.read(room_id, position, 10_000)
    assert len(await log_of(rooms, other)) == 1
    await say(rooms, room_id, "it goes on")


async def test_what_else_is_damaged_is_named(maker: SqliteMaker) -> None:
    store = await maker.open()
    rooms = maker.rooms(store)
    room_id = await a_room(rooms)
    await ask(rooms, room_id)
    for sql, what in (
        ("UPDATE turns SET body = '['", "turn of room acme/lobby"),
        ("UPDATE posts SET body = '['", "message of room acme/lobby at seq 1"),
        ("UPDATE room_settings SET body = '['", "settings of room acme/lobby"),
    ):
        await damage(store, sql)
        with pytest.raises(DamagedLog, match=what):
            await rooms.enter(room_id, None, max_bytes=1000, page=1)


async def test_nothing_is_left_in_any_table_of_what_was_trimmed(maker: SqliteMaker) -> None:
    store = await maker.open()
    rooms = maker.rooms(store)
    room_id = await a_room(rooms, retention=Retention(age_s=60))
    one = await answering(store, rooms, room_id)
    place = await find(rooms, room_id, answer_of(one.run_id))
    await maker.advance(70)
    await rooms.trim(10)
    assert (count(store, "room_entries"), count(store, "posts")) == (0, 1), "an answer that grows stays"
    await one.write(Text("a"), STOP)
    await maker.advance(70)
    await rooms.trim(10)
    assert [count(store, table) for table in ("room_entries", "posts", "turns")] == [0, 0, 0]
    assert await rooms.find(room_id, [place.post.id]) == [None]


async def test_a_long_log_is_trimmed_little_by_little(maker: SqliteMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room_logs, "TRIMMED_MAX", 3)
    store = await maker.open()
    rooms = maker.rooms(store)
    room_id = await a_room(rooms)
    places = await say_all(rooms, room_id, *"abcdefgh")
    await rooms.put(RoomKey("acme", "lobby"), RoomSettings(retention=Retention(count=1)), replace=True)
    for trimmed in (3, 6, 9):
        places.append(await say(rooms, room_id))
        assert [await joins(rooms, room_id, places[at].created) for at in (trimmed - 2, trimmed - 1)] == [False, True]
    await rooms.put(RoomKey("acme", "lobby"), RoomSettings(retention=Retention(age_s=60)), replace=True)
    places += await say_all(rooms, room_id, *"abcd")
    await maker.advance(70)
    assert [await rooms.trim(10) for _ in range(4)] == [1, 1, 0, 0]
    assert (count(store, "room_entries"), await joins(rooms, room_id, places[-1].created)) == (0, True)


async def test_long_messages_after_many_short_ones_are_bounded_in_bytes_before_long(
    maker: SqliteMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room_logs, "TRIMMED_MAX", 3)
    store = await maker.open()
    rooms = maker.rooms(store, kept_bytes=2_000)
    room_id = await a_room(rooms)
    await say_all(rooms, room_id, *"abcdefgh")
    left = []
    for _ in range(5):
        await say(rooms, room_id, "x" * 1_500)
        left.append(count(store, "room_entries"))
    assert left == [6, 4, 2, 1, 1]


async def test_nothing_is_left_in_any_table_of_a_removed_room(maker: SqliteMaker) -> None:
    store = await maker.open()
    rooms = maker.rooms(store)
    room_id = await a_room(rooms, retention=Retention(age_s=60))
    await (await answering(store, rooms, room_id)).write(Text("a"), STOP)
    await rooms.mark(room_id, "ann", 1)
    await rooms.remove(room_id)
    tables = ("rooms", "room_settings", "room_entries", "posts", "turns", "room_marks", "removed_rooms")
    assert [count(store, table) for table in tables] == [0] * len(tables)


async def test_a_removal_that_a_crash_cut_short_is_finished_in_steps_and_harms_no_other_room(
    maker: SqliteMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room_removal, "_SWEPT_ROWS", 3)
    store = await maker.open()
    room_id = await a_room(maker.rooms(store))
    await say_all(maker.rooms(store), room_id, *"abcd")
    assert await store.in_writer(room_removal.hide, room_id)
    assert await a_room(maker.rooms(store)) == room_id, "at once there may be another of that name"
    new = await say_all(maker.rooms(store), room_id, *"ef")
    left = []
    while await store.in_writer(room_removal.sweep):
        left.append(count(store, "room_entries") + count(store, "posts") - 2 * len(new))
        new.append(await say(maker.rooms(store), room_id, "between the steps"))
        if len(left) == 2:
            await store.close()
            store = await maker.open()
    assert left == [5, 2, 0]
    page, _ = await maker.rooms(store).page(room_id, before=None, limit=9)
    assert page == new and [place.created.seq for place in new] == [1, 2, 3, 4, 5]
    assert await store.in_writer(room_removal.hide, room_id)
    assert await maker.rooms(store).trim(5) == 0
    assert (count(store, "posts"), count(store, "removed_rooms")) == (0, 0)


async def test_after_a_clock_was_set_back_the_oldest_still_goes_first(maker: SqliteMaker) -> None:
    store = await maker.open()
    rooms = maker.rooms(store)
    room_id = await a_room(rooms, retention=Retention(age_s=60))
    await maker.advance(1000)
    late = await say(rooms, room_id, "by a clock that is fast")
    maker.now -= 1000
    await say(rooms, room_id)
    await maker.advance(70)
    assert await rooms.trim(10) == 0, "the oldest goes first"
    await maker.advance(1000)
    assert await rooms.trim(10) == 1
    assert not await joins(rooms, room_id, late.created)


async def test_of_too_many_marks_those_are_forgotten_that_were_made_least_lately(
    maker: SqliteMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room_changes, "MARKS_MAX", 3)
    rooms = maker.rooms(await maker.open())
    room_id, other = await a_room(rooms), await a_room(rooms, "other")
    await rooms.mark(other, "zoe", 1)
    for member, seq in (("ann", 1), ("bob", 2), ("cid", 3), ("ann", 1), ("dan", 4), ("eve", 5)):
        await rooms.mark(room_id, member, seq)
    for place, marks in ((room_id, {"ann": 1, "dan": 4, "eve": 5}), (other, {"zoe": 1})):
        entered = await rooms.enter(place, None, max_bytes=1000, page=1)
        assert entered is not None and entered.marks == marks
    assert await rooms.mark("acme/nowhere", "ann", 1) == 0


async def test_runs_without_a_room_and_deltas_cost_no_look_at_rooms(maker: SqliteMaker) -> None:
    store = await maker.open()
    rooms = maker.rooms(store)
    answer, alone = await answering(store, rooms, await a_room(rooms)), await start(store)
    seen: list[str] = []
    await store.in_writer(lambda db, _: db.set_trace_callback(seen.append))
    await alone.write(Text("a"))
    of_alone = len(seen)
    await answer.write(Text("a"))
    assert len(seen) == 2 * of_alone
    await alone.write(Text("b"), STOP)
    assert len(seen) == 3 * of_alone + 1, "that the run has ended"
    assert not [statement for statement in seen if "rooms" in statement or "posts" in statement]


async def test_where_the_end_cannot_be_written_the_room_is_told_nothing(maker: SqliteMaker) -> None:
    store = await maker.open()
    rooms = maker.rooms(store)
    room_id = await a_room(rooms)
    one = await answering(store, rooms, room_id)
    log = await log_of(rooms, room_id)
    full = "CREATE TRIGGER full BEFORE UPDATE OF status ON runs BEGIN SELECT RAISE(ABORT, 'no space'); END"
    await store.in_writer(lambda db, _: db.execute(full).close())
    item = one.next(Text("a"), STOP)
    with pytest.raises(sqlite3.IntegrityError, match="no space"):
        await store.append([item])
    assert (await log_of(rooms, room_id), len(await rooms.turns(room_id))) == (log, 1)
    await store.in_writer(lambda db, _: db.execute("DROP TRIGGER full").close())
    assert [result.outcome for result in await store.append([item])] == [Outcome.STORED]
    assert len(await log_of(rooms, room_id)) == len(log) + 1


@pytest.mark.parametrize(
    "ask_for",
    [
        lambda db, now: room_reads.list_rooms(db, now, "acme", "b", 5),
        lambda db, now: room_reads.page(db, now, "acme/a", 50, 5),
        lambda db, now: room_reads.read(db, now, "acme/a", Position(1, 1), 1000),
        lambda db, now: room_reads.message_sent(db, now, "acme/a", "x"),
        lambda db, now: room_reads.turns(db, now, "acme/a"),
        lambda db, now: room_reads.outlived(db, now, 5),
        lambda db, now: room_reads.enter(db, now, "acme/a", None, 1000, 5),
    ],
    ids=["list", "page", "read", "sent", "turns", "outlived", "enter"],
)
async def test_rows_are_found_by_an_index(
    maker: SqliteMaker, ask_for: Callable[[sqlite3.Connection, float], Any]
) -> None:
    store = await maker.open()
    rooms = maker.rooms(store)
    for name in "ab":
        await say(rooms, await a_room(rooms, name))
    statements: list[str] = []

    def plans(db: sqlite3.Connection, now: float) -> list[str]:
        db.set_trace_callback(statements.append)
        ask_for(db, now)
        db.set_trace_callback(None)
        read = [statement for statement in statements if statement.lstrip().startswith("SELECT")]
        return [row[3] for statement in read for row in db.execute(f"EXPLAIN QUERY PLAN {statement}")]

    steps = await store.in_writer(plans)
    assert steps and not [step for step in steps if step.startswith("SCAN")]
    sorts = [step for step in steps if "TEMP B-TREE" in step]
    assert len(sorts) == len([statement for statement in statements if "FROM turns" in statement]), "which are few"
