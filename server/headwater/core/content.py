"""The output of a run so far: its deltas joined into parts."""

from typing import Any

from headwater.core.events import Attempt, End, Event, Reasoning, Refusal, Text, ToolCall

Part = dict[str, Any]
"""One of {"text": str}, {"reasoning": str}, {"refusal": str},
{"tool_call": {"index": int, "id"?: str, "name"?: str, "arguments": str}}."""

_KEYS = {Text: "text", Reasoning: "reasoning", Refusal: "refusal"}


class Content:
    """Collects events in the order of their log; adjacent deltas of a kind become one part.

    A `restarted` attempt withdraws everything before it, as it does for a reader.
    """

    def __init__(self) -> None:
        self.attempts: list[Attempt] = []
        self.end: End | None = None
        self.tries: list[int] = [0]
        """How many deltas each attempt brought, the first one too."""
        self._calls: dict[int, tuple[ToolCall, list[str]]] = {}
        self._order: list[tuple[str, list[str]] | int] = []

    def add(self, event: Event) -> None:
        """Take one more event."""
        if isinstance(event, End):
            self.end = event
        elif isinstance(event, Attempt):
            self.attempts.append(event)
            self.tries.append(0)
            if event.how == "restarted":
                self._order.clear()
                self._calls.clear()
        elif isinstance(event, ToolCall):
            self.tries[-1] += 1
            self._add_call(event)
        else:
            self.tries[-1] += 1
            key = _KEYS[type(event)]
            last = self._order[-1] if self._order else None
            if isinstance(last, tuple) and last[0] == key:
                last[1].append(event.text)
            else:
                self._order.append((key, [event.text]))

    def _add_call(self, call: ToolCall) -> None:
        known = self._calls.get(call.index)
        if known is None:
            self._calls[call.index] = (call, [call.arguments or ""])
            self._order.append(call.index)
            return
        head, arguments = known
        arguments.append(call.arguments or "")
        if (head.id is None and call.id) or (head.name is None and call.name):
            head = ToolCall(head.index, head.id or call.id, head.name or call.name)
            self._calls[call.index] = (head, arguments)

    def parts(self) -> list[Part]:
        """The parts in order of their first delta; a tool call's fragments are joined by index."""
        return [self._call(item) if isinstance(item, int) else {item[0]: "".join(item[1])} for item in self._order]

    def _call(self, index: int) -> Part:
        head, arguments = self._calls[index]
        call: dict[str, Any] = {"index": index}
        if head.id is not None:
            call["id"] = head.id
        if head.name is not None:
            call["name"] = head.name
        call["arguments"] = "".join(arguments)
        return {"tool_call": call}

    @property
    def text(self) -> str:
        """The text parts joined: the run's `output`."""
        return "".join("".join(item[1]) for item in self._order if isinstance(item, tuple) and item[0] == "text")
