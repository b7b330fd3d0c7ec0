"""Fragments of tool calls, told apart although servers number and name them differently."""

from collections.abc import Iterable

from msgspec import Struct

from headwater.core.events import ToolCall


class FunctionDelta(Struct):
    name: str | None = None
    arguments: str | None = None


class CallDelta(Struct):
    index: int | None = None
    id: str | None = None
    function: FunctionDelta | None = None


class _Head(Struct):
    index: int
    id: str | None
    name: str | None


class ToolCalls:
    """Gives each call an index of its own, and its id and name once.

    A fragment with a name and another id than before begins a call, also where the server gives every call the
    index 0 or none. Another id alone does not: some make one up for each fragment.
    """

    def __init__(self) -> None:
        self._heads: dict[int | None, _Head] = {}  # the newest call with an index of theirs
        self._count = 0

    def take(self, fragments: Iterable[CallDelta]) -> list[ToolCall]:
        """The fragments as deltas. One that adds nothing is left out."""
        return [call for fragment in fragments if (call := self._take(fragment)) is not None]

    def _take(self, fragment: CallDelta) -> ToolCall | None:
        function = fragment.function or FunctionDelta()
        id, name, arguments = fragment.id or None, function.name or None, function.arguments
        head = self._heads.get(fragment.index)
        if head is None or (name and id and head.id and id != head.id):
            self._heads[fragment.index] = _Head(self._count, id, name)
            self._count += 1
            return ToolCall(self._count - 1, id, name, arguments)
        new_id = id if head.id is None else None
        new_name = name if head.name is None else None
        if new_id or new_name:
            head.id, head.name = head.id or new_id, head.name or new_name
        elif not arguments:
            return None
        return ToolCall(head.index, new_id, new_name, arguments)
