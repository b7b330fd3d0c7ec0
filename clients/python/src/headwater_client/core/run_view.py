"""What a reader of a run holds, and whether what comes next fits."""

from collections.abc import Mapping
from typing import Any, Final, TypeVar

from headwater_client.core.content import Content
from headwater_client.core.decoding import failure_of, json_of, known, parts_of, tool_call_of, usage_of
from headwater_client.core.sse import Message
from headwater_client.core.trouble import Broken
from headwater_client.runs import Attempt, Delta, End, Part, Run, RunEvent, Snapshot, Status, Told

PLACED: Final = ("snapshot", "delta", "attempt", "end")
BEGINNING: Final = "0-0"
"""The position before the first event."""

Ranged = TypeVar("Ranged", Delta, Attempt, End)


class RunView:
    """The output so far, since `after` if one was given, and the position where it stands."""

    def __init__(self, run_id: str, after: str | None) -> None:
        self.run_id = run_id
        self.position = after or ""
        self.run: Run | None = None
        self.status: Status = "queued"
        self.end: End | None = None
        self.content = Content()
        self.greeted = False
        """Whether the connection that there is has brought anything."""
        self.moved = False
        """Whether the last event brought us further."""
        self._seq: int | None = 0 if after in (None, BEGINNING) else None  # a position is opaque

    def started(self, run: Run) -> None:
        """It is this run, from its beginning."""
        self.run, self.run_id, self.status = run, run.id, run.status

    def connected(self) -> None:
        """A new connection begins."""
        self.greeted = False

    def take(self, message: Message) -> RunEvent | None:
        """One more event; None if its kind is not known. Raises Broken if it does not fit, and has changed nothing."""
        data = json_of(message.data)
        try:
            event = self._event(message, data)
            self.moved = event is not None and not isinstance(event, Told)
            if event is not None:
                self._apply(event)
                self.greeted = True
        except TypeError as error:
            raise Broken(f"fields of a wrong type: {message.data:.200}") from error
        return event

    def ended_before(self, run: Run) -> End:
        """Its end, which lies before our position."""
        self.run, self.status = run, run.status
        seq = self._seq or 0
        self.end = End(seq, seq, run.position, run.status, run.finish_reason, run.reason, run.error, run.usage)
        return self.end

    def _event(self, message: Message, data: Mapping[str, Any]) -> RunEvent | None:
        if message.event in PLACED and not message.id:
            raise Broken(f"a {message.event} without a position")
        placed = {**data, "position": message.id}
        match message.event:
            case "run":
                return known(Told, data)
            case "snapshot":
                return known(Snapshot, placed, parts=parts_of)
            case "delta":
                return self._fitting(known(Delta, placed, tool_call=tool_call_of))
            case "attempt":
                return self._fitting(known(Attempt, placed))
            case "end":
                return self._fitting(known(End, placed, error=failure_of, usage=usage_of))
        return None

    def _fitting(self, event: Ranged) -> Ranged:
        if self._seq is not None and event.after != self._seq:
            raise Broken(f"a gap or a repeat: after {self._seq} comes what follows {event.after}")
        if event.seq <= event.after:
            raise Broken(f"a wrong range: after {event.after} up to {event.seq}")
        return event

    def _apply(self, event: RunEvent) -> None:
        match event:
            case Told():
                self.status = event.status
                return
            case Snapshot():
                self.content.set(event.parts)
            case Delta():
                self.content.append(Part(event.text, event.reasoning, event.refusal, event.tool_call))
            case Attempt():
                if event.how == "restarted":
                    self.content.clear()
            case End():
                self.end, self.status = event, event.status
        self._seq = event.seq
        self.position = event.position
