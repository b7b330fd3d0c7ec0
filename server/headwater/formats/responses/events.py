"""The events of a response's stream, and their numbers.

A `sequence_number` is a function of the log alone, so that it is the same for every reader, however deltas were
merged for it: sixteen to each seq, most of them left out. An event that begins an item, or ends the one before, has
the seq of the item's first delta; a delta has the seq of the last that was merged into it.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from headwater.core.position import Position
from headwater.core.sse import encode
from headwater.formats.responses.items import Item, ItemStatus, Kind

SLOTS: Final = 16
"""Numbers to a seq. The end, behind which nothing comes, may have more."""

CREATED: Final = 0
QUEUED: Final = 1
IN_PROGRESS: Final = 2

CLOSING: Final = 0
OPENING: Final = 3
DELTA: Final = 5

json = msgspec.json.Encoder().encode

_DELTAS: Final[Mapping[Kind, str]] = {
    "text": "response.output_text.delta",
    "refusal": "response.refusal.delta",
    "reasoning": "response.reasoning_text.delta",
    "tool_call": "response.function_call_arguments.delta",
}


class Told(NamedTuple):
    """An event: its type and what it says."""

    type: str
    fields: dict[str, Any]


def frame(number: int, told: Told, position: Position | None = None) -> bytes:
    """The bytes of an event. The last one of a seq bears the position to resume from."""
    data = json({"type": told.type, "sequence_number": number} | told.fields)
    return encode(data, event=told.type, id=None if position is None else str(position))


def delta_template(item: Item) -> bytes:
    """All deltas of an item, but for what differs: seq, tag, number and the text as JSON."""
    kind = _DELTAS[item.kind]
    rest = _at(item) | ({"logprobs": []} if item.kind == "text" else {})
    head = b'{"type":"%b","sequence_number":%%d,"delta":%%b,' % kind.encode()
    return encode(head + json(rest)[1:], event=kind, id="%d-%d")


def _at(item: Item) -> dict[str, Any]:
    place = {"item_id": item.id, "output_index": item.index}
    return place if item.is_call else place | {"content_index": 0}


def opening(item: Item) -> list[Told]:
    """An item begins."""
    added = Told("response.output_item.added", {"output_index": item.index, "item": item.told(None, "in_progress")})
    if item.is_call:
        return [added]
    return [added, Told("response.content_part.added", _at(item) | {"part": item.part("")})]


def closing(item: Item, content: str, status: ItemStatus) -> list[Told]:
    """An item is over."""
    done = Told("response.output_item.done", {"output_index": item.index, "item": item.told(content, status)})
    if item.is_call:
        whole = _at(item) | {"name": item.name, "arguments": content}
        return [Told("response.function_call_arguments.done", whole), done]
    part = Told("response.content_part.done", _at(item) | {"part": item.part(content)})
    match item.kind:
        case "refusal":
            text = Told("response.refusal.done", _at(item) | {"refusal": content})
        case "reasoning":
            text = Told("response.reasoning_text.done", _at(item) | {"text": content})
        case _:
            text = Told("response.output_text.done", _at(item) | {"text": content, "logprobs": []})
    return [text, part, done]
