"""What an encoder of responses remembers of a log: the items so far, and where each of them began."""

from bisect import bisect_right
from io import StringIO
from typing import Final

from headwater.core.events import Delta, Reasoning, Refusal, Span, Text, ToolCall
from headwater.formats.responses.events import delta_template
from headwater.formats.responses.items import CallIds, Item, Kind, new_item

_KINDS: Final[dict[type, Kind]] = {Text: "text", Reasoning: "reasoning", Refusal: "refusal"}


class Grown:
    """An item, the seq of its first delta, and its content so far. `delta` is what all its deltas look like."""

    __slots__ = ("_content", "closed", "delta", "first", "item")

    def __init__(self, item: Item, first: int) -> None:
        self.item = item
        self.first = first
        self.closed: list[tuple[int, bytes]] | None = None
        """The events that end it with their numbers, kept if they are large."""
        self.delta = delta_template(item)
        self._content = StringIO()

    def add(self, text: str) -> None:
        """Take the text of one more delta."""
        self._content.write(text)

    @property
    def content(self) -> str:
        """All of it so far."""
        return self._content.getvalue()


class Output:
    """The items of one attempt, in order. An item ends with the next one's beginning, but calls go on to the end."""

    def __init__(self, run_id: str, attempt: int = 1) -> None:
        self.items: list[Grown] = []
        self._run_id = run_id
        self._attempt = attempt
        self._calls: dict[int, Grown] = {}
        self._call_ids = CallIds()

    def add(self, seq: int, delta: Delta) -> None:
        """Take the next delta, which has this seq."""
        if isinstance(delta, ToolCall):
            grown = self._calls.get(delta.index)
            if grown is None:
                grown = self._calls[delta.index] = self._begin(
                    seq, "tool_call", self._call_ids.own(delta.id), delta.name
                )
            grown.add(text_of(delta))
            return
        kind = _KINDS[type(delta)]
        grown = self.items[-1] if self.items else None
        if grown is None or grown.item.kind != kind:
            grown = self._begin(seq, kind)
        grown.add(delta.text)

    def _begin(self, seq: int, kind: Kind, call_id: str | None = None, name: str | None = None) -> Grown:
        item = new_item(self._run_id, self._attempt, len(self.items), kind, call_id, name)
        self.items.append(Grown(item, seq))
        return self.items[-1]

    def of(self, span: Span) -> Grown:
        """The item that the deltas of this span are of."""
        event, first = span.event, span.after + 1
        if isinstance(event, ToolCall):
            return self._calls[event.index]
        newest = self.items[-1]
        if newest.first <= first:
            return newest
        return self.items[bisect_right(self.items, first, key=_first) - 1]

    def before(self, grown: Grown) -> Grown | None:
        """The item that ended where this one began, if one did."""
        index = grown.item.index
        return self.items[index - 1] if index and not self.items[index - 1].item.is_call else None


def text_of(delta: Delta) -> str:
    """What a delta adds to its item. It is told even where that is nothing: then pieces make no difference."""
    return delta.arguments or "" if isinstance(delta, ToolCall) else delta.text


def _first(grown: Grown) -> int:
    return grown.first
