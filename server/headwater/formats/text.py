"""The output text alone: what `curl` shows a person."""

from collections.abc import Sequence

from headwater.core.content import Part
from headwater.core.events import Attempt, End, Span, Status, Text
from headwater.core.position import Position
from headwater.formats.base import After, Format, Frame, not_withdrawn


class PlainText(Format):
    """`text/plain`. It cannot take anything back, so where that is needed the body is broken off."""

    media_type = "text/plain; charset=utf-8"
    says_its_end = False
    keep_alive = b""

    def opening(self, retry_ms: int) -> bytes:
        return b""

    def run(self, status: Status, *, first: bool) -> bytes:
        return b""

    def snapshot(self, position: Position, parts: Sequence[Part], *, replaces: bool) -> Frame:
        if replaces:
            return Frame(b"", After.BREAK)
        return Frame("".join(part.get("text", "") for part in parts).encode())

    def spans(self, spans: Sequence[Span]) -> Frame:
        pieces = []
        begins = bool(spans) and spans[0].after == 0
        for span in not_withdrawn(spans) if begins else spans:
            match span.event:
                case Text(text):
                    pieces.append(text)
                case Attempt(how="restarted") if not begins:
                    return Frame("".join(pieces).encode(), After.BREAK)
                case End(status=status):
                    after = After.CLOSE if status == "completed" else After.BREAK
                    return Frame("".join(pieces).encode(), after)
                case _:
                    pass
        return Frame("".join(pieces).encode())
