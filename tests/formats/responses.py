"""What the tests of responses read: events with their numbers, and what a reader makes of them."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Struct

from headwater.core.events import Entry
from headwater.core.run import RunRequest
from headwater.formats.base import Head
from headwater.formats.responses import Responses
from tests.support.sse import EventStreamParser, Message

HEAD = Head("run_1", "demo", 1767225600.25, RunRequest(input="hi"))


def encoder_of(log: Sequence[Entry] = ()) -> Responses:
    """An encoder that was told this log."""
    encoder = Responses(HEAD)
    encoder.learn(log)
    return encoder


def messages(data: bytes) -> list[Message]:
    """The server-sent events, each of whose names is what its data says."""
    read = EventStreamParser().feed(data)
    assert all(message.event == message.json["type"] for message in read)
    return read


def events(data: bytes) -> list[dict[str, Any]]:
    """The data of these frames."""
    return [message.json for message in messages(data)]


class Seen(Struct, frozen=True):
    """What a reader has seen, whatever way its deltas were merged."""

    others: list[str]
    deltas: dict[str, str]
    last_deltas: dict[str, int]


def seen(told: Iterable[dict[str, Any]]) -> Seen:
    """The events but for deltas as they came, and the deltas joined. Raises AssertionError where order is broken."""
    others, deltas, last, newest = [], dict[str, str](), dict[str, int](), -1
    for event in told:
        number = event["sequence_number"]
        assert number > newest, f"{number} after {newest}"
        newest = number
        if event["type"].endswith(".delta"):
            item = event["item_id"]
            deltas[item] = deltas.get(item, "") + event["delta"]
            last[item] = number
        else:
            others.append(json.dumps(event))
    return Seen(others, deltas, last)
