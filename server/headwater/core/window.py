"""The newest part of one log, kept in memory for those who follow it live.

A window is a row of chunks, one for each flush. Readers at the same position get the same bytes.
It decides everything synchronously and does no I/O; `hub.py` feeds it and wakes the readers.
"""

from collections import deque
from collections.abc import Callable, Hashable, Sequence
from enum import Enum
from typing import Any, TypeVar

from msgspec import Struct, field

from headwater.core.events import Entry
from headwater.core.position import Position

Encoded = TypeVar("Encoded")


class Fit(Enum):
    """How a new entry lies to the top of a window."""

    NEXT = "next"
    KNOWN = "known"
    APART = "apart"  # something is missing between, or history was rewritten


class Miss(Enum):
    """Why a window has nothing for a position."""

    NOTHING_NEW = "nothing new"
    ELSEWHERE = "elsewhere"  # before the window, beyond it, or not of this log: ask the store


class Chunk(Struct):
    """What one flush gave to the readers, from `after` to `end`, and its encodings, made once for each form."""

    after: Position
    end: Position
    entries: Sequence[Entry]
    size: int
    encoded: dict[Hashable, Any] = field(default_factory=dict)


class Window:
    """Chunks up to `flushed`, and what came since; `top` is the newest entry known."""

    def __init__(self, top: Position, max_bytes: int) -> None:
        self.top = top
        self.flushed = top
        self.max_bytes = max_bytes
        self._bytes = 0
        self._chunks: deque[Chunk] = deque()
        self._pending: list[Entry] = []
        self._pending_bytes = 0

    def __repr__(self) -> str:
        return f"<Window {self.start}..{self.flushed} +{len(self._pending)} top={self.top}>"

    @property
    def start(self) -> Position:
        """The oldest position that can be read on from here."""
        return self._chunks[0].after if self._chunks else self.flushed

    @property
    def has_pending(self) -> bool:
        """Whether a flush would give the readers something."""
        return bool(self._pending)

    def fit(self, entry: Entry) -> Fit:
        """Whether `entry` can be added now."""
        if entry.after == self.top:
            return Fit.NEXT
        if entry.seq > self.top.seq or self._tag_at(entry.seq) not in (entry.tag, None):
            return Fit.APART
        return Fit.KNOWN

    def _tag_at(self, seq: int) -> int | None:
        """The tag that covers a seq up to the top, None before the window. Newest first: most news is new."""
        if seq == self.top.seq:
            return self.top.tag
        for entries in (self._pending, *(chunk.entries for chunk in reversed(self._chunks))):
            for entry in reversed(entries):
                if entry.after.seq < seq:
                    return entry.tag
        return None

    def add(self, entry: Entry, size: int) -> None:
        """Take the next entry, of about `size` bytes; readers see it with the next flush."""
        self._pending.append(entry)
        self._pending_bytes += size
        self.top = entry.position

    def flush(self) -> None:
        """Give the readers what came, as one chunk, and forget the oldest beyond `max_bytes`."""
        if not self._pending:
            return
        pending, size = self._pending, self._pending_bytes + CHUNK_OVERHEAD
        self._pending, self._pending_bytes = [], 0
        self._chunks.append(Chunk(pending[0].after, self.top, pending, size))
        self._bytes += size
        self.flushed = self.top
        while self._bytes > self.max_bytes and len(self._chunks) > 1:
            self._bytes -= self._chunks.popleft().size

    def keep_newest(self) -> None:
        """Forget all chunks but the newest: who has not read them looks elsewhere."""
        while len(self._chunks) > 1:
            self._bytes -= self._chunks.popleft().size

    def read(
        self, position: Position, form: Hashable, encode: Callable[[Sequence[Entry]], Encoded]
    ) -> tuple[Position, Encoded] | Miss:
        """What one chunk has after `position`, encoded, and the position reached by it."""
        if position == self.flushed:
            return Miss.NOTHING_NEW
        for chunk in reversed(self._chunks):  # most readers are at the newest
            if chunk.after == position:
                encoded = chunk.encoded.get(form)
                if encoded is None:
                    encoded = chunk.encoded[form] = encode(chunk.entries)
                return chunk.end, encoded
            if chunk.after.seq < position.seq:
                rest = cut(chunk.entries, position)
                return Miss.ELSEWHERE if not rest else (chunk.end, encode(rest))
        return Miss.ELSEWHERE


def cut(entries: Sequence[Entry], position: Position) -> list[Entry]:
    """The entries after a position that one of them covers; empty if it does not join them."""
    for index, entry in enumerate(entries):
        if entry.seq >= position.seq:
            if entry.tag != position.tag:
                return []
            rest = list(entries[index + 1 :])
            return rest if entry.seq == position.seq else [entry.cut(position), *rest]
    return []


# What a chunk, its entries and its encodings weigh in Python beside their text.
CHUNK_OVERHEAD = 1_000
