"""The items of a response's output: one for each part of a run's, in the same order.

A client compares what it was shown with what it is given at the end, so whoever makes an item makes it here.
"""

from collections.abc import Sequence
from typing import Any, Final, Literal

from msgspec import Struct

from headwater.core.content import Part
from headwater.core.events import Attempt
from headwater.formats.openai import item_id

Json = dict[str, Any]
Kind = Literal["text", "refusal", "reasoning", "tool_call"]
ItemStatus = Literal["in_progress", "completed", "incomplete"]

_PREFIXES: Final[dict[Kind, str]] = {"text": "msg", "refusal": "msg", "reasoning": "rs", "tool_call": "fc"}


class Item(Struct, frozen=True, gc=False):
    """One item, without its content. `index` is its place in the output."""

    id: str
    index: int
    kind: Kind
    call_id: str = ""
    name: str = ""

    @property
    def is_call(self) -> bool:
        """Whether it is a tool call: these stay open to the end, as fragments of several may alternate."""
        return self.kind == "tool_call"

    def part(self, content: str) -> Json:
        """The one content part of an item that is not a tool call."""
        match self.kind:
            case "refusal":
                return {"type": "refusal", "refusal": content}
            case "reasoning":
                return {"type": "reasoning_text", "text": content}
            case _:
                return {"type": "output_text", "text": content, "annotations": [], "logprobs": []}

    def told(self, content: str | None, status: ItemStatus) -> Json:
        """The item with its content, or, for None, before it has any."""
        about: Json = {"id": self.id, "type": _TYPES[self.kind], "status": status}
        if self.is_call:
            return about | {"call_id": self.call_id, "name": self.name, "arguments": content or ""}
        parts = [] if content is None else [self.part(content)]
        if self.kind == "reasoning":
            return about | {"summary": [], "content": parts}
        return about | {"role": "assistant", "content": parts}


_TYPES: Final[dict[Kind, str]] = {
    "text": "message",
    "refusal": "message",
    "reasoning": "reasoning",
    "tool_call": "function_call",
}


def new_item(
    run_id: str, attempt: int, index: int, kind: Kind, call_id: str | None = None, name: str | None = None
) -> Item:
    """The item at this place. What was withdrawn by a later attempt had other ids."""
    id = item_id(_PREFIXES[kind], run_id, index) + (f"_{attempt}" if attempt > 1 else "")
    if kind != "tool_call":
        return Item(id, index, kind)
    return Item(id, index, kind, call_id or made_call_id(run_id, attempt, index), name or "")


def made_call_id(run_id: str, attempt: int, index: int) -> str:
    """The id of a tool call to which its model gave none: clients answer calls by their ids."""
    return item_id("call", run_id, index) + (f"_{attempt}" if attempt > 1 else "")


def attempt_of(attempts: Sequence[Attempt]) -> int:
    """The number of the attempt that made what a run's output is now."""
    return next((attempt.number for attempt in reversed(attempts) if attempt.how == "restarted"), 1)


class CallIds:
    """Gives each call of an answer an id of its own: some servers give several the same, and clients break at that."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def own(self, id: str | None) -> str | None:
        """The id, if it is no other call's; None for a call that must get one made."""
        if not id or id in self._taken:
            return None
        self._taken.add(id)
        return id


def items_of(run_id: str, parts: Sequence[Part], attempt: int) -> list[tuple[Item, str]]:
    """The output of a run as items and their contents."""
    ids = CallIds()
    return [_item_of(run_id, part, attempt, index, ids) for index, part in enumerate(parts)]


def _item_of(run_id: str, part: Part, attempt: int, index: int, ids: CallIds) -> tuple[Item, str]:
    match part:
        case {"text": content}:
            return new_item(run_id, attempt, index, "text"), content
        case {"refusal": content}:
            return new_item(run_id, attempt, index, "refusal"), content
        case {"reasoning": content}:
            return new_item(run_id, attempt, index, "reasoning"), content
        case _:
            call = part["tool_call"]
            item = new_item(run_id, attempt, index, "tool_call", ids.own(call.get("id")), call.get("name"))
            return item, call["arguments"]


def output_of(items: Sequence[tuple[Item, str]], *, ended: bool, whole: bool) -> list[Json]:
    """The `output` of a response.

    A tool call that was cut off is never passed off as complete, nor is the text that the end came upon.
    """
    output = []
    for item, content in items:
        last = item.index == len(items) - 1
        if whole or not (item.is_call or last):
            status: ItemStatus = "completed"
        else:
            status = "incomplete" if ended else "in_progress"
        output.append(item.told(content, status))
    return output
