"""OpenAI's responses, streamed, after their API reference.

What a client was shown cannot be taken back: where an answer begins anew, an `error` ends the stream. With
`starting_after` a rewritten history cannot be noticed, as a number says nothing of who wrote it; the `id` of an event
is a position, which does.
"""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from headwater.core.content import Part
from headwater.core.events import Attempt, End, Entry, Span, Status, merge
from headwater.core.lifecycle import ENDED
from headwater.core.position import START, Position
from headwater.formats.base import After, Frame, Head, Remembering, is_large, joined
from headwater.formats.openai import KEEP_ALIVE
from headwater.formats.responses.events import (
    CLOSING,
    CREATED,
    DELTA,
    IN_PROGRESS,
    OPENING,
    QUEUED,
    SLOTS,
    Told,
    closing,
    frame,
    json,
    opening,
)
from headwater.formats.responses.items import output_of
from headwater.formats.responses.object import response_object, status_told
from headwater.formats.responses.output import Grown, Output, text_of

_WHY: Final = {
    "code": "restarted",
    "message": "The answer began anew, and this format cannot take back what it has sent. Ask for the response again, "
    "or follow the run in its native format.",
    "param": None,
}
# Some clients look for what went wrong in the event, others in its `error`: without that they would just stop.
_TAKEN_BACK: Final = Told("error", _WHY | {"error": _WHY | {"type": "server_error"}})
_FINAL: Final[dict[Status, str]] = {"completed": "response.completed", "failed": "response.failed"}


class Resume(Struct, frozen=True):
    """How it goes on for a reader who has seen all events up to a number: `ahead`, then what lies after `position`.

    `over`: nothing lies after it. `within`: the event after it may have more to tell than was seen.
    """

    position: Position
    ahead: bytes = b""
    over: bool = False
    within: bool = False


class Responses(Remembering):
    """`response.…` events. Nothing comes after the one that says how the response ended."""

    media_type = "text/event-stream"
    says_its_end = False  # clients take the end of the body for that of the answer, unless it is broken off
    keep_alive = KEEP_ALIVE

    def __init__(self, head: Head) -> None:
        super().__init__(head)
        self.forget()

    # -- what is remembered

    @property
    def reached(self) -> Position:
        return self._reached

    @property
    def begin(self) -> Position:
        return self._begin

    def forget(self) -> None:
        self._reached = self._begin = START
        self._output = Output(self.head.id)
        self._end: End | None = None
        self._ended: list[tuple[int, bytes]] | None = None
        """What the end is told as: it repeats the whole answer several times, so it is made once for all readers."""
        self.key = object()
        self._blanks: list[tuple[int, int]] = []
        """Of each try that was withdrawn: the seqs from its first up to its first delta, where nothing is shown yet."""
        self._tags: list[tuple[int, int]] = []
        """The first seq of each stretch of the log that bears one tag, and the tag."""

    def learn(self, entries: Sequence[Entry]) -> None:
        for entry in _beyond(entries, self._reached):
            if not self._tags or self._tags[-1][1] != entry.tag:
                self._tags.append((entry.after.seq + 1, entry.tag))
            for seq, event in enumerate(entry.events, entry.after.seq + 1):
                if isinstance(event, End):
                    self._end = event
                elif not isinstance(event, Attempt):
                    self._output.add(seq, event)
                elif event.how == "restarted":
                    if self._output.items:
                        self._blanks.append((self._begin.seq, self._output.items[0].first))
                        self._begin = Position(seq, entry.tag)
                    self._output = Output(self.head.id, event.number)
            self._reached = entry.position

    def position_at(self, seq: int) -> Position:
        """The position of a seq up to `reached`."""
        if seq == 0:
            return START
        return Position(seq, self._tags[bisect_right(self._tags, seq, key=_first_seq) - 1][1])

    # -- what is written

    def opening(self, retry_ms: int) -> bytes:
        return b""

    def run(self, status: Status, *, first: bool) -> bytes:
        return self.lifecycle(status, -1 if first else QUEUED)

    def lifecycle(self, status: Status, seen: int) -> bytes:
        """What comes before all output, but for what was seen."""
        now: Status = "in_progress" if status in ENDED else status
        second = QUEUED if now == "queued" else IN_PROGRESS
        response = response_object(self.head, now, [])
        told = [(CREATED, "response.created"), (second, f"response.{now}")]
        return b"".join(frame(number, Told(type, {"response": response})) for number, type in told if number > seen)

    def snapshot(self, position: Position, parts: Sequence[Part], *, replaces: bool) -> Frame:
        # Whoever holds nothing begins at `begin`; this is for a reader who holds what is not so any more.
        return Frame(frame(position.seq * SLOTS, _TAKEN_BACK), After.CLOSE)

    def encode(self, entries: Sequence[Entry]) -> Frame:
        after = entries[0].after
        if after.seq < self._reached.seq and self._knows_others(entries):
            self.forget()
        if after.seq > self._reached.seq:
            self.key = object()  # whoever comes back will have it told what came before, and must not find this
            return Frame(b"", After.BREAK)
        if after != self._reached and after != self.position_at(after.seq):
            return Frame(self._taken_back(), After.CLOSE)
        self.learn(entries)
        if after.seq < self._begin.seq:
            if self._has_shown(after.seq):
                return Frame(self._taken_back(), After.CLOSE)
            entries = _beyond(entries, self._begin)
        return self.spans(merge(entries))

    def _knows_others(self, entries: Sequence[Entry]) -> bool:
        """Whether it was told of others in the place of these: the store lost those, and these were written since."""
        reached = self._reached.seq
        return any(
            self.position_at(min(entry.seq, reached)).tag != entry.tag
            for entry in entries
            if entry.after.seq < reached and entry.after == self.position_at(entry.after.seq)
        )

    def spans(self, spans: Sequence[Span]) -> Frame:
        pieces = []
        for span in spans:
            event = span.event
            if isinstance(event, End):
                pieces += [data for _, data in self._numbered(span)]
                return joined(pieces, After.CLOSE)
            if isinstance(event, Attempt):
                continue
            grown = self._output.of(span)
            if grown.first > span.after:
                pieces += [data for _, data in self._numbered(span)]
                continue
            pieces.append(grown.delta % (span.seq, span.tag, span.seq * SLOTS + DELTA, json(text_of(event))))
        return joined(pieces)

    def _has_shown(self, seq: int) -> bool:
        """Whether a reader who stands at this seq, before `begin`, has been shown something that was withdrawn."""
        return not any(blank <= seq < first for blank, first in self._blanks)

    def _taken_back(self) -> bytes:
        return frame(self._begin.seq * SLOTS, _TAKEN_BACK)

    def _numbered(self, span: Span) -> list[tuple[int, bytes]]:
        """All that one event, or what was merged, is told as, each with its number."""
        event = span.event
        if isinstance(event, End):
            if self._ended is None:
                self._ended = _framed(self._ending(event), span.seq * SLOTS, Position(span.seq, span.tag))
            return self._ended
        if isinstance(event, Attempt):
            return []
        grown = self._output.of(span)
        numbered: list[tuple[int, bytes]] = []
        if grown.first == span.after + 1:
            first = grown.first * SLOTS
            if (before := self._output.before(grown)) is not None:
                numbered += _closed(before, first + CLOSING)
            numbered += _framed(opening(grown.item), first + OPENING)
        number = span.seq * SLOTS + DELTA
        delta = grown.delta % (span.seq, span.tag, number, json(text_of(event)))
        return [*numbered, (number, delta)]

    def _ending(self, end: End) -> list[Told]:
        """What is left open ends; calls only if the answer is whole."""
        whole, items = end.status == "completed", self._output.items
        told: list[Told] = []
        for grown in items:
            ends = whole if grown.item.is_call else grown is items[-1]
            if ends:
                told += closing(grown.item, grown.content, "completed" if whole else "incomplete")
        output = output_of([(grown.item, grown.content) for grown in items], ended=True, whole=whole)
        response = response_object(self.head, end.status, output, end)
        return [*told, Told(_FINAL.get(status_told(end), "response.incomplete"), {"response": response})]

    # -- numbers

    def resume(self, seen: int, status: Status) -> Resume:
        """Where a reader goes on who has seen all up to this number. Raises ValueError for one that is yet to come."""
        end_seq = self._reached.seq if self._end is not None else None
        seq = seen // SLOTS if end_seq is None else min(seen // SLOTS, end_seq)
        if seq == 0:
            return Resume(self._begin, self.lifecycle(status, seen))
        if seq > self._reached.seq:
            raise ValueError("no event of this response has this sequence_number, or a later one, so far")
        if seq < self._begin.seq:
            if self._has_shown(seq):
                return Resume(self._begin, self._taken_back(), over=True)
            return Resume(self._begin)
        if seq == end_seq:
            assert self._end is not None
            numbered = self._numbered(Span(seq - 1, seq, self._reached.tag, self._end))
            if seen > numbered[-1][0]:
                raise ValueError("no event of this response has this sequence_number, or a later one")
            return Resume(self._reached, b"".join(data for number, data in numbered if number > seen), over=True)
        if seen % SLOTS >= DELTA:
            return Resume(self.position_at(seq))
        return Resume(self.position_at(seq - 1), within=True)

    def rest(self, entry: Entry, seen: int) -> bytes:
        """What the event of an entry has to tell beyond a number; nothing if it has been withdrawn meanwhile."""
        if entry.after.seq < self._begin.seq or entry.seq > self._reached.seq:
            return b""
        (span,) = merge([entry])
        return b"".join(data for number, data in self._numbered(span) if number > seen)


def _framed(told: Sequence[Told], first: int, at: Position | None = None) -> list[tuple[int, bytes]]:
    """Events with their numbers, from the first one's on; `at` is the position that the last one bears."""
    last = len(told) - 1
    return [(first + n, frame(first + n, one, at if n == last else None)) for n, one in enumerate(told)]


def _closed(grown: Grown, first: int) -> list[tuple[int, bytes]]:
    """The events that end an item, over which another has begun."""
    if grown.closed is not None:
        return grown.closed
    numbered = _framed(closing(grown.item, grown.content, "completed"), first)
    if any(is_large(data) for _, data in numbered):
        grown.closed = numbered  # each repeats the item: made once for all readers
    return numbered


def _beyond(entries: Sequence[Entry], position: Position) -> Sequence[Entry]:
    """What lies after a position of the same log."""
    if entries and entries[0].after == position:
        return entries  # nearly always
    return [
        entry if entry.after.seq >= position.seq else entry.cut(position)
        for entry in entries
        if entry.seq > position.seq
    ]


def _first_seq(stretch: tuple[int, int]) -> int:
    return stretch[0]
