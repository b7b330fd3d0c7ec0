"""A form whose frames repeat what came before: told once, whoever joins, and told anew where history changed."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from headwater.core.events import Attempt, End, Entry, Text
from headwater.core.position import START, Position
from headwater.formats.base import After
from headwater.formats.responses import Responses
from headwater.hub import Cursor, Hub
from headwater.store.base import Outcome
from tests.core.logs import log_of
from tests.formats.responses import events, seen
from tests.hub.conftest import MakeHub
from tests.hub.producing import produce, queued, take_over
from tests.hub.reading import ForgetfulStore, quiet
from tests.store.producing import an_append, texts
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

_DEADLINE_S = 20.0  # only ends a hang
FINAL = ("response.completed", "response.failed", "response.incomplete", "error")


class Reader:
    """One who follows a response, and what was told."""

    def __init__(self, cursor: Cursor) -> None:
        self.cursor = cursor
        self.told: list[dict[str, Any]] = []
        self.after = After.GO_ON

    async def until(self, condition: Callable[["Reader"], bool]) -> "Reader":
        async with asyncio.timeout(_DEADLINE_S):
            while not condition(self):
                frame = await self.cursor.next()
                assert frame is not None, f"let go: {self.cursor.gone_because}"
                self.told += events(frame.data)
                self.after = frame.after
                assert frame.after is After.GO_ON or condition(self), f"it ended with {self.told[-1:]}"
        return self

    async def until_text(self, text: str) -> "Reader":
        return await self.until(lambda reader: reader.text == text)

    async def until_end(self) -> "Reader":
        return await self.until(lambda reader: reader.after is not After.GO_ON)

    @property
    def text(self) -> str:
        return "".join(event["delta"] for event in self.told if event["type"] == "response.output_text.delta")

    @property
    def types(self) -> list[str]:
        return [event["type"] for event in self.told]


async def follow(hub: Hub, run: Any, position: Position | None = None) -> Reader:
    return Reader(await hub.follow(run, Responses, position))


async def test_whoever_joins_late_sees_what_the_first_one_saw(store: ForgetfulStore, here: Hub, there: Hub) -> None:
    producer = await produce(store, here)
    first = await follow(here, producer.run, START)
    await producer.say(*texts("a", "b"))
    await first.until_text("ab")
    late = [await follow(hub, producer.run) for hub in (here, there)]
    await producer.say(*texts("c"))
    await producer.end()
    for reader in (first, *late):
        await reader.until_end()
    assert first.types[:2] == ["response.created", "response.in_progress"] and first.types[-1] == "response.completed"
    assert seen(first.told) == seen(late[0].told) == seen(late[1].told)


async def test_whoever_comes_back_with_a_position_is_not_told_the_run_again(store: ForgetfulStore, here: Hub) -> None:
    producer = await produce(store, here)
    await producer.say(*texts("a", "b"))
    reader = await follow(here, producer.run, Position(1, producer.tag))
    await producer.end()
    await reader.until_end()
    assert reader.text == "b" and "response.created" not in reader.types


async def test_a_run_that_waits_is_told_to_begin_once(store: ForgetfulStore, here: Hub) -> None:
    run = await queued(store)
    reader = await follow(here, run)
    await reader.until(lambda reader: "response.queued" in reader.types)
    assert await quiet(reader.cursor)
    here.publish(run.id, "in_progress")
    await reader.until(lambda reader: "response.in_progress" in reader.types)
    assert reader.types == ["response.created", "response.queued", "response.in_progress"]


async def test_a_run_whose_begin_was_not_heard_of_is_told_to_begin_before_its_output(
    store: ForgetfulStore, here: Hub
) -> None:
    run = await queued(store)
    reader = await follow(here, run)
    await reader.until(lambda reader: "response.queued" in reader.types)
    (entry,) = log_of([(7, texts("a"))])
    here.on_news(run.id, entry)
    await reader.until_text("a")
    here.on_news(run.id, "in_progress")
    assert await quiet(reader.cursor)
    assert reader.types[:4] == [
        "response.created", "response.queued", "response.in_progress", "response.output_item.added"
    ]  # fmt: skip


async def test_one_goes_on_behind_what_was_seen(store: ForgetfulStore, here: Hub) -> None:
    producer = await produce(store, here)
    await producer.say(*texts("a", "b"))
    cursor = await here.follow(producer.run, Responses, None)
    form = cursor.format
    assert isinstance(form, Responses)
    resume = form.resume(1 * 16 + 3, "in_progress")  # the item was seen, its content part not
    assert resume.within and resume.position == START
    entry = await cursor.one_after(resume.position)
    assert entry is not None
    cursor.go_on(entry.position, form.rest(entry, 1 * 16 + 3))
    reader = await Reader(cursor).until_text("ab")
    assert reader.types[0] == "response.content_part.added" and "response.created" not in reader.types


async def test_nothing_lies_one_after_the_top_or_another_history(store: ForgetfulStore, here: Hub) -> None:
    producer = await produce(store, here)
    await producer.say(*texts("a"))
    cursor = await here.follow(producer.run, Responses, None)
    assert await cursor.one_after(producer.at) is None
    assert await cursor.one_after(Position(1, 99)) is None


async def test_an_answer_that_begins_anew_ends_the_stream_of_who_saw_it(store: ForgetfulStore, here: Hub) -> None:
    producer = await produce(store, here)
    early = await follow(here, producer.run)
    await producer.say(*texts("lost"))
    await early.until_text("lost")
    await producer.say(Attempt(2, "failover", "restarted"))
    await producer.say(*texts("new"))
    late = await follow(here, producer.run)
    gone = await follow(here, producer.run, Position(1, producer.tag))
    await producer.end()
    for reader in (early, gone):
        await reader.until_end()
        assert reader.told[-1]["code"] == "restarted" and reader.after is After.CLOSE
    await late.until_end()
    assert (late.text, late.types[-1]) == ("new", "response.completed")
    assert late.told[-1]["response"]["output"][0]["id"].endswith("_2")


async def test_a_rewritten_history_is_told_anew(store: ForgetfulStore, make_hub: MakeHub) -> None:
    """Who held what was lost is told that it is over; whoever comes then sees only what is true."""
    here, there = make_hub(), make_hub(heal_s=0.1)
    lost = await produce(store, here)
    reader = await follow(there, lost.run, START)
    await lost.say(*texts("kept "))
    kept = lost.at
    await lost.say(*texts("lost", "and", "this", "too"))
    await reader.until_text("kept lostandthistoo")
    behind = await follow(there, lost.run, kept)
    await store.lose(lost.run_id, kept)
    await store.release_lease(lost.run_id, lost.token)
    heir = await take_over(store, here, lost.run_id, lost.token)
    await heir.say(Attempt(2, "takeover", "continued"), Text("new"))
    await reader.until_end()
    assert reader.told[-1]["code"] == "restarted"
    late = await follow(there, lost.run)
    await heir.end()
    await late.until_end()
    assert late.text == late.told[-1]["response"]["output"][0]["content"][0]["text"] == "kept new"
    await behind.until_end()
    assert behind.text == "new", "it held nothing of what was lost"


async def test_a_lost_tail_that_is_written_again_is_no_rewritten_history(
    store: ForgetfulStore, here: Hub, there: Hub
) -> None:
    producer = await produce(store, here)
    reader = await follow(there, producer.run, START)
    await producer.say(*texts("kept "))
    kept = producer.at
    again = await producer.say(*texts("lost "))
    await reader.until_text("kept lost ")
    await store.lose(producer.run_id, kept)
    newcomer = await follow(there, producer.run)  # which must not make the encoder forget what the others hold
    await _write_again(store, producer, again)
    await producer.say(*texts("and more"))
    await producer.end()
    for one in (reader, newcomer):
        await one.until_end()
        assert one.text == "kept lost and more" and one.types[-1] == "response.completed"
    assert there.logs[producer.run_id].epoch == 0, "nobody waited until it was given up"


async def test_a_history_that_changes_once_more_is_still_told_of(
    store: ForgetfulStore, here: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between finding out that a position does not join, and saying so."""
    producer = await produce(store, here)
    await producer.say(*texts("a"))
    read = store.read

    async def changes(run_id: str, after: Position, max_bytes: int) -> Any:
        answer = await read(run_id, after, max_bytes)
        if answer is not None and not answer.joined:
            here.logs[run_id].epoch += 1
        return answer

    monkeypatch.setattr(store, "read", changes)
    reader = await follow(here, producer.run, Position(1, 99))
    await reader.until_end()
    assert [event.get("code") for event in reader.told] == ["restarted"]


async def _write_again(store: ForgetfulStore, producer: Any, entry: Entry) -> None:
    healed = an_append(producer.run_id, producer.token, producer.tag, entry.after, *entry.events)
    assert (await store.append([healed]))[0].outcome is Outcome.STORED


async def test_a_position_from_after_the_telling_began_is_told_of_too(
    store: ForgetfulStore, here: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another reader's history is being read when news comes that this one has from elsewhere."""
    producer = await produce(store, here)
    await producer.say(*texts("a"))
    read, may_return = store.read, asyncio.Event()

    async def held_up(*args: Any) -> Any:
        answer = await read(*args)
        await may_return.wait()
        return answer

    monkeypatch.setattr(store, "read", held_up)
    first = asyncio.ensure_future(follow(here, producer.run))
    await eventually(lambda: store.reads)
    await producer.say(*texts("b"))
    second = asyncio.ensure_future(follow(here, producer.run, producer.at))
    await eventually(lambda: len(here.logs[producer.run_id].followers) == 2)
    await producer.say(*texts("c"))
    may_return.set()
    await producer.end()
    late, early = await second, await first
    assert (await late.until_end()).text == "c"
    assert (await early.until_end()).text == "abc"


async def test_pieces_of_a_long_history_make_one_answer(store: ForgetfulStore, make_hub: MakeHub) -> None:
    hub = make_hub(window_bytes=20, read_bytes=100)
    producer = await produce(store, hub)
    for number in range(100):
        await producer.say(*texts(f"{number} "))
    reader = await follow(hub, producer.run)
    await reader.until(lambda reader: len(reader.text) > 50)
    await producer.say(*texts("live"), End("completed", "stop"))
    await reader.until_end()
    whole = "".join(f"{number} " for number in range(100)) + "live"
    assert reader.text == reader.told[-1]["response"]["output"][0]["content"][0]["text"] == whole
