"""One who follows a room: its log, its growing answers, and what passes."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from headwater.core.events import End, Entry, Text
from headwater.core.frames import messages_in
from headwater.core.news import Removed
from headwater.core.position import START, Position
from headwater.core.pushes import HasRead, Member, Presence, TypingNow
from headwater.core.room import Deleted, Edited, RoomEvent, RunEnded, room_entry, room_events
from headwater.core.run import Run
from headwater.formats.room import RoomOverSocket
from headwater.hub import Hub, RoomCursor
from headwater.hub.cursor import WRITE_THROUGH_BYTES
from headwater.hub.rooms import RoomLog
from headwater.store.sqlite import SqliteRooms
from tests.hub.conftest import MakeHub
from tests.hub.producing import PublishingProducer
from tests.hub.reading import ForgetfulStore
from tests.store.producing import take
from tests.store.talking import a_room, about, an_open_answer, said, saying, store_change
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

_DEADLINE_S = 20.0  # only ends a hang


class Reader:
    """A cursor, and the pushes that came out of it."""

    def __init__(self, cursor: RoomCursor) -> None:
        self.cursor = cursor
        self.pushes: list[dict[str, Any]] = []

    @property
    def kinds(self) -> list[str]:
        return [push["type"] for push in self.pushes]

    @property
    def deltas(self) -> str:
        return "".join(push["text"] for push in self.pushes if push["type"] == "delta")

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(_DEADLINE_S):
            while not condition():
                frame = await self.cursor.next()
                assert frame is not None, f"let go: {self.cursor.gone_because}"
                self.pushes += [json.loads(message) for message in messages_in(frame.data)]

    async def until_let_go(self) -> str | None:
        async with asyncio.timeout(_DEADLINE_S):
            while await self.cursor.next() is not None:
                pass
        return self.cursor.gone_because


class Line:
    """A socket that takes everything, or nothing."""

    def __init__(self) -> None:
        self.data = b""
        self.takes = True

    def write(self, data: bytes) -> bool:
        self.data += data if self.takes else b""
        return self.takes

    def abort(self) -> None:
        pass


@pytest.fixture
def rooms(store: ForgetfulStore) -> SqliteRooms:
    return SqliteRooms(store)


@pytest.fixture
async def lobby(rooms: SqliteRooms) -> str:
    return await a_room(rooms)


@pytest.fixture
async def follow(here: Hub, lobby: str) -> AsyncIterator[Callable[..., Any]]:
    readers: list[Reader] = []

    async def make(position: Position = START) -> Reader:
        readers.append(Reader(await here.enter(lobby, RoomOverSocket, position)))
        return readers[-1]

    yield make
    for reader in readers:
        reader.cursor.close()


async def say(rooms: SqliteRooms, hub: Hub, room_id: str, text: str) -> Entry:
    entry = await store_change(rooms, room_id, saying(said(text)))
    hub.publish(room_id, entry)
    return entry


def _wipe(db: sqlite3.Connection, _: float) -> None:
    for table in ("rooms", "room_settings", "room_entries", "posts"):
        db.execute(f"DELETE FROM {table}")


async def an_answer(store: ForgetfulStore, rooms: SqliteRooms, hub: Hub, room_id: str) -> PublishingProducer:
    """An answer that has begun, as its followers are told."""
    run = await an_open_answer(rooms, room_id)
    hub.look(room_id)
    producer = await take(store, run.id)
    lease_run = await store.get(run.id)
    assert lease_run is not None
    return _publishing(store, hub, producer, lease_run)


def _publishing(store: ForgetfulStore, hub: Hub, producer: Any, run: Any) -> PublishingProducer:
    publishing = object.__new__(PublishingProducer)
    publishing.__dict__.update(producer.__dict__, run=run, hub=hub)
    return publishing


async def test_a_reader_gets_what_is_said_in_order(rooms: SqliteRooms, here: Hub, lobby: str, follow: Any) -> None:
    reader = await follow()
    for number in range(5):
        await say(rooms, here, lobby, f"{number}")
    await reader.until(lambda: len(reader.pushes) == 5)
    assert [push["text"] for push in reader.pushes] == ["0", "1", "2", "3", "4"]
    assert [push["seq"] for push in reader.pushes] == [1, 2, 3, 4, 5]


async def test_one_who_comes_later_reads_on_from_where_they_stand(
    rooms: SqliteRooms, here: Hub, lobby: str, follow: Any
) -> None:
    first = await say(rooms, here, lobby, "first")
    await say(rooms, here, lobby, "second")
    reader = await follow(first.position)
    await reader.until(lambda: len(reader.pushes) == 1)
    assert reader.pushes[0]["text"] == "second"


async def test_an_answer_grows_between_its_run_and_its_end(
    store: ForgetfulStore, rooms: SqliteRooms, here: Hub, lobby: str, follow: Any
) -> None:
    reader = await follow()
    answer = await an_answer(store, rooms, here, lobby)
    await answer.say(Text("a "), Text("b "))
    await reader.until(lambda: reader.deltas == "a b ")
    await answer.say(Text("c"))
    await answer.end()
    here.look(lobby)
    await reader.until(lambda: "end" in reader.kinds)
    assert reader.kinds[:2] == ["message", "run"]
    assert reader.kinds[-1] == "end"
    assert set(reader.kinds[2:-1]) == {"delta"}
    assert reader.pushes[-1]["text"] == "a b c"
    assert not reader.cursor._answers


async def test_no_delta_follows_the_end(
    store: ForgetfulStore, rooms: SqliteRooms, here: Hub, lobby: str, follow: Any
) -> None:
    reader = await follow()
    answer = await an_answer(store, rooms, here, lobby)
    await answer.say(Text("a"))
    await reader.until(lambda: reader.deltas == "a")
    end = await answer.say_nothing(End("completed", "stop"))
    here.look(lobby)
    await reader.until(lambda: "end" in reader.kinds)
    here.publish(answer.run_id, end)
    await say(rooms, here, lobby, "well")
    await reader.until(lambda: reader.kinds[-1] == "message")
    assert reader.kinds[-2:] == ["end", "message"]


async def test_one_who_comes_in_the_middle_gets_a_snapshot_first(
    store: ForgetfulStore, rooms: SqliteRooms, here: Hub, lobby: str, follow: Any
) -> None:
    answer = await an_answer(store, rooms, here, lobby)
    await answer.say(Text("a "), Text("b "))
    reader = await follow((await rooms.tops([lobby]))[0].position)  # type: ignore[union-attr]  # it is there
    await reader.cursor.open(answer.run_id, None)
    await reader.until(lambda: "snapshot" in reader.kinds)
    await answer.say(Text("c"))
    await reader.until(lambda: reader.deltas == "c")
    assert reader.pushes[0]["parts"] == [{"text": "a b "}]
    assert reader.pushes[1]["after"] == reader.pushes[0]["seq"]


async def test_people_are_heard_while_an_answer_grows_faster_than_it_is_read(
    store: ForgetfulStore, rooms: SqliteRooms, here: Hub, lobby: str, follow: Any
) -> None:
    reader = await follow()
    answer = await an_answer(store, rooms, here, lobby)
    await answer.say(Text("x"))
    await reader.until(lambda: reader.deltas == "x")
    await say(rooms, here, lobby, "stop it")
    for _ in range(3):
        await answer.say(Text("x"))
        heard = await reader.cursor.next()
        assert heard is not None
        reader.pushes += [json.loads(message) for message in messages_in(heard.data)]
        if "stop it" in [push.get("text") for push in reader.pushes]:
            return
    pytest.fail("what was said waits behind the answer")


async def test_a_reader_who_was_away_gets_an_answers_deltas_merged(
    store: ForgetfulStore, rooms: SqliteRooms, here: Hub, lobby: str, follow: Any
) -> None:
    reader = await follow()
    answer = await an_answer(store, rooms, here, lobby)
    await reader.until(lambda: "run" in reader.kinds)
    await answer.say(*[Text("x")] * 500)
    await reader.until(lambda: reader.deltas == "x" * 500)
    assert reader.kinds.count("delta") == 1


async def test_who_knows_what_is_no_history_any_more_is_let_go(
    store: ForgetfulStore, rooms: SqliteRooms, here: Hub, lobby: str, follow: Any
) -> None:
    reader = await follow()
    for text in ("one", "two", "three"):
        await say(rooms, here, lobby, text)
    await reader.until(lambda: len(reader.pushes) == 3)
    await store.in_writer(_wipe)
    assert await a_room(rooms) == lobby
    await say(rooms, here, lobby, "anew")
    assert await reader.until_let_go() == "lost"


async def test_who_follows_a_room_that_is_removed_is_let_go_on_every_worker(
    rooms: SqliteRooms, here: Hub, there: Hub, lobby: str
) -> None:
    entry = await say(rooms, here, lobby, "first")
    readers = [Reader(await hub.enter(lobby, RoomOverSocket, entry.position)) for hub in (here, there)]
    here.publish(lobby, Removed())
    for hub in (here, there):
        await hub.logs[lobby].refilled()
    assert not any(hub.logs[lobby].gone for hub in (here, there)), "it is there, whatever is told"
    await rooms.remove(lobby)
    here.publish(lobby, Removed())
    for reader in readers:
        assert await reader.until_let_go() == "gone"
        reader.cursor.close()


async def test_an_answer_that_is_gone_is_passed_over(rooms: SqliteRooms, here: Hub, lobby: str, follow: Any) -> None:
    reader = await follow()
    await reader.cursor.open("run_0123456789abcdef0123-gone", None)
    await say(rooms, here, lobby, "hello")
    await reader.until(lambda: reader.kinds == ["message"])


async def test_what_passes_is_told_beside(rooms: SqliteRooms, here: Hub, lobby: str, follow: Any) -> None:
    reader = await follow()
    here.note(lobby, Presence(joined=[Member("guest:ann", "Ann")], left=[]))
    await reader.until(lambda: reader.kinds == ["presence"])
    assert "seq" not in reader.pushes[0]


async def test_a_reader_who_keeps_up_is_written_to_past_its_task(
    rooms: SqliteRooms, here: Hub, lobby: str, follow: Any
) -> None:
    reader = await follow()
    reader.cursor.line = line = Line()
    waiting = asyncio.ensure_future(reader.cursor.next())
    await asyncio.sleep(0)
    await say(rooms, here, lobby, "hello")
    here.note(lobby, Presence(joined=[Member("guest:ann", "Ann")], left=[]))
    assert not waiting.done()
    assert [json.loads(message)["type"] for message in messages_in(line.data)] == ["message", "presence"]
    line.takes = False
    await say(rooms, here, lobby, "not at once")
    frame = await waiting
    assert frame is not None and b"not at once" in frame.data


async def test_what_passes_close_together_is_told_together(here: Hub, lobby: str, follow: Any) -> None:
    reader = await follow()
    for seq in range(1, 1_001):
        here.note(lobby, HasRead(by="guest:ann", seq=seq))
    await reader.until(lambda: {"type": "read", "by": "guest:ann", "seq": 1_000} in reader.pushes)
    assert [push["seq"] for push in reader.pushes] == [1, 1_000]


async def test_what_many_do_at_once_lets_no_reader_go_who_is_a_little_behind(
    here: Hub, lobby: str, follow: Any
) -> None:
    behind = await follow()
    for number in range(10_000):
        here.note(lobby, HasRead(by=f"guest:{number}", seq=1))
    await behind.until(lambda: len(behind.pushes) == 10_000)


async def test_what_is_long_is_not_written_past_the_task_of_a_reader(here: Hub, lobby: str, follow: Any) -> None:
    reader = await follow()
    reader.cursor.line = line = Line()
    waiting = asyncio.ensure_future(reader.cursor.next())
    await asyncio.sleep(0)
    here.note(lobby, TypingNow(members=[Member(f"guest:{number}", "x" * 64) for number in range(1_000)]))
    frame = await waiting
    assert frame is not None and len(frame.data) > WRITE_THROUGH_BYTES
    assert line.data == b""


async def test_a_crowd_that_hears_of_an_answer_asks_the_store_once(
    store: ForgetfulStore, rooms: SqliteRooms, here: Hub, lobby: str, follow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    crowd = [await follow() for _ in range(20)]
    asked: list[str] = []
    get = store.get

    async def counted(run_id: str) -> Run | None:
        asked.append(run_id)
        return await get(run_id)

    monkeypatch.setattr(store, "get", counted)
    run = await an_open_answer(rooms, lobby)
    here.look(lobby)
    reading = [asyncio.ensure_future(reader.until(lambda: False)) for reader in crowd]
    await eventually(lambda: run.id in here.logs and here.logs[run.id].users == len(crowd))
    for task in reading:
        task.cancel()
    await asyncio.gather(*reading, return_exceptions=True)
    assert asked == [run.id]


async def test_who_comes_in_while_everybody_is_sent_away_goes_too(
    here: Hub, lobby: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = here._open

    async def opened_while_draining(*args: Any, **how: Any) -> None:
        await opened(*args, **how)
        await here.farewell.let_everyone_go(0)

    monkeypatch.setattr(here, "_open", opened_while_draining)
    reader = Reader(await here.enter(lobby, RoomOverSocket, START))
    assert await reader.until_let_go() == "draining"
    reader.cursor.close()


@pytest.mark.parametrize(
    "event",
    [
        said("x" * 1_000),
        Edited("msg_1", "user:ann", "x" * 1_000, 0.0),
        RunEnded("msg_1", "run_1", "completed", "", [{"reasoning": "x" * 1_000}], 0.0),
    ],
)
def test_an_entry_weighs_what_it_says(event: RoomEvent) -> None:
    assert 1_000 < RoomLog.weigh(room_entry(START, 1, [event])) < 2_000


async def test_closing_gives_up_everything(
    store: ForgetfulStore, rooms: SqliteRooms, here: Hub, lobby: str, follow: Any
) -> None:
    reader = await follow()
    answer = await an_answer(store, rooms, here, lobby)
    await answer.say(Text("a"))
    await reader.until(lambda: reader.deltas == "a")
    closed: list[None] = []
    reader.cursor.on_closed = lambda: closed.append(None)
    reader.cursor.close()
    reader.cursor.close()
    assert closed == [None]
    assert [log.users for log in here.logs.values()] == [0, 0]


async def test_a_room_that_is_not_there_cannot_be_followed(make_hub: MakeHub) -> None:
    with pytest.raises(Exception, match="no such room"):
        await make_hub().enter("acme/nowhere", RoomOverSocket, START)


async def test_turns_that_begin_while_one_reads_are_followed(
    store: ForgetfulStore, rooms: SqliteRooms, here: Hub, lobby: str, follow: Any
) -> None:
    reader = await follow()
    first, second = await an_answer(store, rooms, here, lobby), await an_answer(store, rooms, here, lobby)
    await first.say(Text("1"))
    await second.say(Text("2"))
    await reader.until(lambda: sorted(reader.deltas) == ["1", "2"])
    assert {push["message"] for push in reader.pushes if push["type"] == "delta"} == {
        push["message"] for push in reader.pushes if push["type"] == "run"
    }


async def made_again(store: ForgetfulStore, rooms: SqliteRooms) -> None:
    """The room is lost, and there is one of the same name."""
    await store.in_writer(_wipe)
    await a_room(rooms)


async def test_one_look_tells_that_a_room_was_made_again(
    store: ForgetfulStore, rooms: SqliteRooms, here: Hub, lobby: str, follow: Any
) -> None:
    reader = await follow()
    for text in ("one", "two"):
        await say(rooms, here, lobby, text)
    await reader.until(lambda: len(reader.pushes) == 2)
    await made_again(store, rooms)
    await store_change(rooms, lobby, saying(said("where nobody heard it")))
    await here._compare()
    assert await reader.until_let_go() == "lost"


async def test_who_comes_into_a_room_that_was_made_again_hears_nothing_of_the_other(
    store: ForgetfulStore, rooms: SqliteRooms, here: Hub, lobby: str, follow: Any
) -> None:
    reader = await follow()
    await say(rooms, here, lobby, "lost")
    await reader.until(lambda: bool(reader.pushes))
    await made_again(store, rooms)
    newcomer = await follow(START)
    await say(rooms, here, lobby, "anew")
    await newcomer.until(lambda: bool(newcomer.pushes))
    assert [push["text"] for push in newcomer.pushes] == ["anew"]
    assert await reader.until_let_go() == "lost"


async def test_who_came_in_just_before_a_room_was_lost_is_told(
    store: ForgetfulStore, rooms: SqliteRooms, here: Hub, there: Hub, lobby: str
) -> None:
    entry = await say(rooms, here, lobby, "lost")
    await made_again(store, rooms)
    reader = Reader(await there.enter(lobby, RoomOverSocket, entry.position))
    assert await reader.until_let_go() == "lost"


async def test_what_was_taken_back_is_told_to_nobody_who_was_not_there(
    rooms: SqliteRooms, here: Hub, lobby: str, follow: Any
) -> None:
    there = await follow()
    entry = await say(rooms, here, lobby, "my password is hunter2")
    await say(rooms, here, lobby, "hello")
    await there.until(lambda: len(there.pushes) == 2)
    (place,) = await rooms.find(lobby, [room_events(entry)[0].message])
    assert place is not None
    deleted = Deleted(place.post.id, place.post.by, place.post.at)
    here.publish(lobby, await store_change(rooms, lobby, about(place, deleted)))
    late = await follow()
    await late.until(lambda: "deleted" in late.kinds)
    assert late.kinds == ["message", "message", "deleted"]
    assert [push.get("text") for push in late.pushes] == ["", "hello", None]
    await there.until(lambda: there.kinds[-1] == "deleted")
    assert [push["seq"] for push in there.pushes] == [push["seq"] for push in late.pushes] == [1, 2, 3]
