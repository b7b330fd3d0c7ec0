"""The writer's end of one run's log: what is to be appended, what is under way, what was kept.

It decides what the next append is and what an answer means; it does no I/O. A batch once handed
out is frozen: it is sent again byte for byte until the store has answered for it.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator
from enum import Enum

from msgspec.structs import replace

from headwater.core.events import Attempt, Delta, End, Entry, Event, Usage, delta_bytes, entry_bytes
from headwater.core.position import TAG_MAX, Position


class Answer(Enum):
    """What the store said to an append, as far as a writer must tell answers apart."""

    STORED = "stored"
    CANCELLED = "cancelled"
    BEHIND = "behind"
    LOST = "lost"  # fenced, ended or gone: nothing more of this writer will be taken


class ProducerLog:
    """One lease's part of a log.

    Entries stay in memory, so that a store which lost acknowledged writes can be healed from its
    top. Each entry bears the lease's tag; the first follows `position`.
    """

    def __init__(self, position: Position, tag: int, entry_bytes: int) -> None:
        self.tag = tag
        self.top = position
        """The last event handed out or stored: what the next new entry follows."""
        self.stored = position
        """As far as the store ever acknowledged."""
        self.cancelled = False
        self.lost = False
        self.begun = False
        """Something is stored."""
        self.ended = False
        """The end is stored."""
        self.deltas = 0
        """Of those that came, all but what was dropped or withdrawn: once the end is stored, those in the log."""
        self.reported: Usage | None = None
        """What the provider counted last, of all that this attempt gave until then."""
        self.spent: Usage | None = None
        """What the attempts before this one cost together."""
        self.output_bytes = 0
        self.waiting_bytes = 0
        """Of output that the store has not acknowledged."""
        self._base = position
        self._deltas_before = 0
        self._entry_bytes = entry_bytes
        self._pending: deque[tuple[Event, int]] = deque()
        self._sending: deque[Entry] = deque()
        self._history: list[Entry] = []

    def __repr__(self) -> str:
        flags = [name for name in ("cancelled", "lost", "ended") if getattr(self, name)]
        return f"<ProducerLog stored={self.stored} top={self.top} pending={len(self._pending)} {' '.join(flags)}>"

    @property
    def has_more(self) -> bool:
        """Whether there is something to append."""
        return not self.lost and (bool(self._sending) or bool(self._pending))

    def add(self, delta: Delta) -> None:
        """New output."""
        size = delta_bytes(delta)
        self._pending.append((delta, size))
        self.deltas += 1
        self.output_bytes += size
        self.waiting_bytes += size

    def add_attempt(self, attempt: Attempt) -> None:
        """The start of a later attempt; what the one before it cost is added up, and told."""
        usage = self._usage_of_attempt()
        self._pending.append((replace(attempt, usage=usage), 0))
        self.spent, self.reported = _sum(self.spent, usage), None
        self._deltas_before = self.deltas

    def finish(self, end: End) -> None:
        """The run's end. Once a cancel was accepted it is a cancelled one, whatever came of the run."""
        self._pending.append((self._as_cancelled(end) if self.cancelled else end, 0))

    def charge(self, usage: Usage | None) -> None:
        """An attempt of another writer cost this."""
        self.spent = _sum(self.spent, usage)

    def usage(self, *, final: bool = False) -> Usage | None:
        """What the answer cost so far, all attempts together.

        The provider's own count, else an estimate, which is never below the deltas; a `final` count is taken as it is.
        """
        return _sum(self.spent, self.reported if final else self._usage_of_attempt())

    def _usage_of_attempt(self) -> Usage | None:
        reported, deltas = self.reported, max(0, self.deltas - self._deltas_before)
        if reported is None:
            return Usage(output_tokens=deltas, estimated=True) if deltas else None
        if not reported.estimated:
            return reported
        return replace(reported, output_tokens=max(reported.output_tokens, deltas))

    def events(self) -> Iterator[Event]:
        """All that was added and is, or will be, in the log."""
        for entry in (*self._history, *self._unanswered()):
            yield from entry.events
        for event, _ in self._pending:
            yield event

    def _as_cancelled(self, end: End) -> End:
        return End("cancelled", usage=self._recounted(end))

    def _recounted(self, end: End) -> Usage | None:
        """The end's usage; an estimate is made anew, as some of what it was made of may have been withdrawn."""
        return self.usage() if end.usage is not None and end.usage.estimated else end.usage

    def drop_pending(self) -> None:
        """It was cancelled: forget the output that was never handed out.

        An end that was said is a cancelled one now, even if the store should forget the cancel: it would lie without
        the output before it.
        """
        self.deltas -= _deltas(event for event, _ in self._pending)
        end = self._pending[-1][0] if self._pending else None
        self._pending.clear()
        if isinstance(end, End):
            self._pending.append((self._as_cancelled(end), 0))
        self.waiting_bytes = sum(entry_bytes(entry) for entry in self._unanswered())

    def next_entry(self) -> Entry | None:
        """The entry to send now: the frozen one that is unanswered, else a new one; None if there is nothing."""
        if self.lost:
            return None
        if self._sending:
            return self._sending[0]
        if not self._pending:
            return None
        if len(self._pending) == 1:
            return self._send((self._pending.popleft()[0],))
        events: list[Event] = []
        size = 0
        while self._pending and (not events or size + self._pending[0][1] <= self._entry_bytes):
            event, weight = self._pending.popleft()
            events.append(event)
            size += weight
        return self._send(tuple(events))

    def _send(self, events: tuple[Event, ...]) -> Entry:
        entry = Entry(self.top, self.top.seq + len(events), self.tag, events)
        self.top = entry.position
        self._sending.append(entry)
        return entry

    def answered(self, answer: Answer, top: Position) -> Entry | None:
        """Take the store's answer to `next_entry`; the entry, if it is now stored for the first time."""
        if self.lost:
            return None  # that became known while it was under way
        if answer is Answer.STORED:
            return self._stored(self._sending.popleft())
        match answer:
            case Answer.CANCELLED:
                self._cancel(top)
            case Answer.BEHIND:
                self._rewind(top)
            case Answer.LOST:
                self.lose()
        return None

    def _stored(self, entry: Entry) -> Entry | None:
        if entry.seq <= self.stored.seq:
            return None  # written again for a store that had lost it
        self._history.append(entry)
        self.begun = True
        self.stored = entry.position if self._sending else self.top
        self.waiting_bytes -= entry_bytes(entry)
        self.ended = isinstance(entry.events[-1], End)
        return entry

    def _cancel(self, top: Position) -> None:
        """The store takes nothing but a cancelled end after `top`: all that it lacks is withdrawn."""
        self.cancelled = True
        kept = self._known_at(top)
        if kept is None:
            self.lose()
            return
        events = [event for entry in self._sending for event in entry.events]
        events += [event for event, _ in self._pending]
        self.deltas -= _deltas(event for event, _ in self._pending)
        self.deltas -= _deltas(event for entry in self._unanswered() for event in entry.events)
        self.deltas -= _deltas(event for entry in self._history[kept:] for event in entry.events)
        self._sending.clear()
        self._pending.clear()
        self.waiting_bytes = 0
        if top.seq < self.top.seq:
            # What is withdrawn may have been stored before it was lost, and readers may hold it, even if its answer
            # never came: no position of theirs may join what is written in its place.
            self.tag = self.tag % TAG_MAX + 1
        del self._history[kept:]
        self.top = self.stored = top
        if events and isinstance(events[-1], End):
            self.finish(events[-1])

    def _unanswered(self) -> list[Entry]:
        """What was handed out and is not known to be stored; the rest of what is being sent is sent again."""
        return [entry for entry in self._sending if entry.seq > self.stored.seq]

    def _rewind(self, top: Position) -> None:
        """The store stands at `top`: send again what it lost, if `top` is a place in our log."""
        kept = self._known_at(top)
        if kept is None:
            self.lose()
            return
        self._sending = deque(self._history[kept:] + self._unanswered())

    def heal(self, top: Position) -> bool:
        """The store says that it stands at `top`: whether something must be written again."""
        if top != self.stored and not self._sending and not self.lost:
            self._rewind(top)
        return bool(self._sending)

    def _known_at(self, top: Position) -> int | None:
        """How many of our entries a log holds that stands at `top`; None if that is no place in it."""
        if top == self._base:
            return 0
        at = bisect_left(self._history, top.seq, key=lambda entry: entry.seq)
        known = at < len(self._history) and self._history[at].position == top
        return at + 1 if known else None

    def lose(self) -> None:
        """Nothing more of this writer will be taken."""
        self.lost = True
        self._sending.clear()
        self._pending.clear()
        self.waiting_bytes = 0


def _deltas(events: Iterable[Event]) -> int:
    return sum(not isinstance(event, (Attempt, End)) for event in events)


def _sum(one: Usage | None, other: Usage | None) -> Usage | None:
    return one + other if one is not None and other is not None else one or other
