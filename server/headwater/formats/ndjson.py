"""The native events, one JSON object a line."""

from collections.abc import Sequence

from headwater.core.content import Part
from headwater.core.events import Span, Status
from headwater.core.position import Position
from headwater.formats.base import After, Format, Frame
from headwater.formats.native import run_data, snapshot_data, span_data


def _line(name: str, data: bytes, position: str | None = None) -> bytes:
    head = f'{{"event":"{name}",' if position is None else f'{{"event":"{name}","id":"{position}",'
    return head.encode() + data[1:] + b"\n"


class Ndjson(Format):
    """`application/x-ndjson`: an event's data, with `event` and any `id` in it."""

    media_type = "application/x-ndjson"
    keep_alive = b"\n"

    def opening(self, retry_ms: int) -> bytes:
        return b""

    def run(self, status: Status, *, first: bool) -> bytes:
        # The run's own `id` names the run, so a line of this event has no position to give.
        return _line("run", run_data(self.head.id, status, self.head.model))

    def snapshot(self, position: Position, parts: Sequence[Part], *, replaces: bool) -> Frame:
        return Frame(_line("snapshot", snapshot_data(position, parts), str(position)))

    def spans(self, spans: Sequence[Span]) -> Frame:
        pieces = []
        after = After.GO_ON
        for span in spans:
            name, data = span_data(span)
            pieces.append(_line(name, data, f"{span.seq}-{span.tag}"))
            if name == "end":
                after = After.CLOSE
        return Frame(b"".join(pieces), after)
