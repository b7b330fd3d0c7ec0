"""What every format answers to."""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from enum import Enum
from itertools import groupby
from typing import ClassVar

from msgspec import Struct

from headwater.core.content import Part
from headwater.core.events import Attempt, Entry, Span, Status, merge
from headwater.core.position import Position
from headwater.core.run import RunRequest

# From here on a piece is kept apart rather than joined to others: joined, it would be copied for each of its readers.
LARGE_BYTES = 64 * 1024


class After(Enum):
    """What happens to the connection once a frame is written."""

    GO_ON = "go on"
    CLOSE = "close"  # the body is complete
    BREAK = "break"  # the body is cut off, so that nobody takes it for complete


class Frame(Struct, frozen=True, gc=False):
    """Bytes to write, and what comes after them."""

    data: bytes
    after: After = After.GO_ON
    rest: tuple[bytes, ...] = ()
    """What comes after `data`, where there is much: pieces that other readers' frames may have in them, too."""


def is_large(piece: bytes) -> bool:
    """Whether a piece is to be shared, not copied."""
    return len(piece) > LARGE_BYTES


def joined(pieces: Sequence[bytes], after: After = After.GO_ON) -> Frame:
    """A frame of these pieces: the small ones joined, the large ones as they are."""
    if not any(map(is_large, pieces)):
        return Frame(b"".join(pieces), after)
    data, *rest = [piece for large, run in groupby(pieces, is_large) for piece in (run if large else (b"".join(run),))]
    return Frame(data, after, tuple(rest))


def not_withdrawn(spans: Sequence[Span]) -> Sequence[Span]:
    """The spans from the last restart among them on: for one who has been shown nothing of what it withdraws."""
    restarts = [n for n, span in enumerate(spans) if isinstance(span.event, Attempt) and span.event.how == "restarted"]
    return spans[restarts[-1] :] if restarts else spans


class Head(Struct, frozen=True):
    """What does not change about a run: what formats repeat in their frames."""

    id: str
    model: str
    created_at: float
    request: RunRequest


class Format(ABC):
    """One outward form of one run's log. Its frames are shared by all who follow it in this form."""

    media_type: ClassVar[str]
    says_its_end: ClassVar[bool] = True
    """Whether a reader can tell a whole answer from a part of it other than by a body that is complete."""
    keep_alive: ClassVar[bytes]
    """Written to a silent connection; means nothing to a reader."""

    def __init__(self, head: Head) -> None:
        self.head = head
        self.key: Hashable = type(self)
        """What its frames are kept under where they are shared. Another one makes those from before worthless."""

    @abstractmethod
    def opening(self, retry_ms: int) -> bytes:
        """The first bytes of every connection."""

    @abstractmethod
    def run(self, status: Status, *, first: bool) -> bytes:
        """The run and its status: first on each connection, and again when it goes from queued to in_progress."""

    @abstractmethod
    def snapshot(self, position: Position, parts: Sequence[Part], *, replaces: bool) -> Frame:
        """All content up to a position. `replaces`: the reader holds something that is to be forgotten."""

    @abstractmethod
    def spans(self, spans: Sequence[Span]) -> Frame:
        """Merged events, in order."""

    def encode(self, entries: Sequence[Entry]) -> Frame:
        """Entries that follow one another, merged."""
        return self.spans(merge(entries))


class Remembering(Format):
    """A form whose frames repeat what came before them: it is told the whole log, once for all its readers."""

    @property
    @abstractmethod
    def reached(self) -> Position:
        """As much of the log it knows."""

    @property
    @abstractmethod
    def begin(self) -> Position:
        """Where a reader begins who holds nothing: the start, or behind what was withdrawn since."""

    @abstractmethod
    def learn(self, entries: Sequence[Entry]) -> None:
        """Take what lies after `reached`; what lies before it is passed over. Entries must not leave a gap to it."""

    @abstractmethod
    def forget(self) -> None:
        """History was rewritten: begin anew."""

    def encode(self, entries: Sequence[Entry]) -> Frame:
        self.learn(entries)
        return super().encode(entries)
