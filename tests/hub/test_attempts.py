"""Attempts, for those who follow a run: what is nothing to be shown, and what was withdrawn before they came."""

import pytest

from headwater.core.events import Attempt, Text
from headwater.core.position import START, Position
from headwater.formats.chat import Chat
from headwater.formats.native import Native
from headwater.formats.responses import Responses
from headwater.hub import Hub
from tests.formats.responses import events
from tests.hub.producing import produce
from tests.hub.reading import ForgetfulStore
from tests.store.producing import texts
from tests.support.sse import EventStreamParser

pytestmark = pytest.mark.anyio

OTHER = Attempt(2, "failover", "continued", "backup")


async def test_another_upstream_that_is_tried_is_no_first_word(store: ForgetfulStore, here: Hub) -> None:
    """Whoever waits for one may still be told by a status that there is no answer."""
    producer = await produce(store, here)
    cursor = await here.follow(producer.run, Chat, START)
    await producer.say(OTHER)
    assert not await here.wait_to_begin(cursor, 0)
    await producer.say(*texts("a"))
    assert await here.wait_to_begin(cursor, 0)


@pytest.mark.parametrize("form", [Chat, Native])
async def test_who_comes_between_an_attempt_and_its_first_word_begins_there(
    store: ForgetfulStore, here: Hub, form: type[Chat | Native]
) -> None:
    producer = await produce(store, here)
    await producer.say(OTHER)
    cursor = await here.follow(producer.run, form, None)
    told = b""
    while (frame := await cursor.poll()) is not None:
        told += frame.data
    *_, first = EventStreamParser().feed(told)
    assert (first.id, cursor.position) == (f"1-{producer.tag}", Position(1, producer.tag))
    assert first.json.get("parts", []) == [] and (form is Native or first.json["choices"][0]["delta"]["role"])


async def test_who_begins_at_the_start_is_shown_nothing_of_what_was_withdrawn(
    store: ForgetfulStore, here: Hub, there: Hub
) -> None:
    """However little of the log comes at once: the reader there is given an event at a time."""
    producer = await produce(store, here)
    await producer.say(*texts("o"))
    await producer.say(*texts("ld"))
    await producer.say(Attempt(2, "failover", "restarted"))
    await producer.say(Text("new"))
    for hub in (here, there):
        cursor = await hub.follow(producer.run, Responses, START)
        cursor._read_bytes = 1
        told = []
        while (frame := await cursor.poll()) is not None:
            told += events(frame.data)
        deltas = [event["delta"] for event in told if event["type"] == "response.output_text.delta"]
        assert deltas == ["new"] and "error" not in [event["type"] for event in told]
