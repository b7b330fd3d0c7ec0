"""Tool calls are answered by their ids: each has one, and one of its own, whatever its model gave it."""

from msgspec.structs import replace

from headwater.core.events import ToolCall


class CallIds:
    """The ids of one answer's calls. Those that a model forgets, or gives twice, are made from `prefix`."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._known: set[int] = set()
        self._given: set[str] = set()

    def identified(self, call: ToolCall) -> ToolCall:
        """The fragment as it is kept: the first of a call has the id, the others have none."""
        if call.index in self._known:
            return call if call.id is None else replace(call, id=None)
        self._known.add(call.index)
        if call.id and call.id not in self._given:
            self._given.add(call.id)
            return call
        return replace(call, id=f"{self._prefix}_{call.index}")
