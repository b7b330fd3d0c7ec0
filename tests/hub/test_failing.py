"""A form that fails for one reader: the others, what is counted and the news go on."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest

from headwater.config import Config
from headwater.core.events import End, Span, Text
from headwater.core.position import START
from headwater.executor.executor import Executor
from headwater.executor.production import Production
from headwater.formats.base import Frame
from headwater.formats.native import Native
from headwater.formats.responses import Responses
from headwater.hub import Hub
from headwater.metrics import Metrics
from tests.core.logs import log_of
from tests.hub.producing import produce
from tests.hub.reading import ForgetfulStore, Reader
from tests.store.producing import texts
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

BIG = "x" * 100_000


class Failing(Native):
    """Cannot tell what begins with "bad"."""

    def spans(self, spans: Sequence[Span]) -> Frame:
        if any(isinstance(span.event, Text) and span.event.text.startswith("bad") for span in spans):
            raise ZeroDivisionError
        return super().spans(spans)


class Socket:
    """A line that takes all."""

    def __init__(self) -> None:
        self.taken = b""

    def write(self, data: bytes) -> bool:
        self.taken += data
        return True

    def abort(self) -> None:
        raise AssertionError("it does take all")


async def test_one_who_cannot_be_told_is_let_go_and_the_others_are_told(
    store: ForgetfulStore, here: Hub, there: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    producer = await produce(store, here)
    failing = [await hub.follow(producer.run, Failing, START) for hub in (here, there)]
    others = [Reader(await hub.follow(producer.run, Native, START)) for hub in (here, there)]
    gone = []
    for cursor in failing:
        cursor.line = Socket()
        reader = Reader(cursor)
        await reader.until(lambda follower: follower.run is not None)
        gone.append(reader)
    leaving = [asyncio.ensure_future(reader.until_let_go()) for reader in gone]
    await eventually(lambda: all(cursor._waiter is not None for cursor in failing), what="they wait to be woken")
    await producer.say(*texts("bad"))
    assert [await leave for leave in leaving] == ["failed", "failed"]
    await producer.end()
    for other in others:
        assert (await other.until_end()).text == "bad"
    assert "ZeroDivisionError" in caplog.text


async def test_a_run_that_ended_is_counted_though_nobody_could_be_told(store: ForgetfulStore, here: Hub) -> None:
    class Deaf:
        def publish(self, *_: object) -> None:
            raise ZeroDivisionError

    ended: list[str] = []
    metrics = Metrics()
    executor = Executor(
        "w", store, cast(Hub, Deaf()), cast(Any, None), Config(), metrics, lambda run, end: ended.append(run.id)
    )
    run = (await produce(store, here)).run

    class Produced:
        def __init__(self) -> None:
            self.run = run

    (entry,) = log_of([(7, [End("completed", "stop")])])
    with pytest.raises(ZeroDivisionError):
        executor._on_stored(cast(Production, Produced()), entry, True)
    assert ended == [run.id]
    assert metrics.runs_ended.labels(run.model, "completed", "")._value.get() == 1


async def test_readers_of_the_store_share_the_end_of_a_large_answer(store: ForgetfulStore, here: Hub) -> None:
    producer = await produce(store, here)
    await producer.say(Text(BIG))
    position = producer.at
    await producer.end()
    ends = []
    for _ in range(2):
        cursor = await here.follow(producer.run, Responses, position)
        frame = await cursor.next()
        assert frame is not None and cursor.log.window.start.seq > position.seq, "it was read from the store"
        ends.append([piece for piece in (frame.data, *frame.rest) if len(piece) > len(BIG)])
    assert len(ends[0]) == 4 and all(mine is yours for mine, yours in zip(*ends, strict=True))
