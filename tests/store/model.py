"""The store's contract once more, as slowly and plainly as can be: lists, and a clock that is set by hand."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from headwater.core.content import Content
from headwater.core.events import End, Entry, Event
from headwater.core.lifecycle import ENDED
from headwater.core.position import START, Position
from headwater.core.run import Run
from headwater.errors import IdempotencyConflict, RunNotEnded, UnknownRun
from headwater.store.base import (
    Append,
    AppendResult,
    Cancelled,
    Claim,
    Contents,
    Created,
    IdempotencyKey,
    Lease,
    Outcome,
    Page,
    Read,
    RenewResult,
    Stale,
    Top,
)


@dataclass
class Row:
    """A run, its log and its lease."""

    run: Run
    log: list[Entry] = field(default_factory=list)
    lease_tag: int = 0
    lease_until: float = 0.0

    @property
    def top(self) -> Position:
        return self.log[-1].position if self.log else START

    @property
    def events(self) -> list[tuple[Event, Position]]:
        """Every event with the position it has; that of seq n is at n - 1."""
        return [
            (event, Position(entry.after.seq + 1 + n, entry.tag))
            for entry in self.log
            for n, event in enumerate(entry.events)
        ]

    @property
    def released(self) -> bool:
        return self.run.token > 0 and self.lease_until == 0.0

    def shown(self) -> Run:
        return replace(self.run, position=self.top)

    def stand(self) -> Top:
        return Top(self.top, self.run.status)


class Model:
    """What a store must answer. `rows` are in the order of creation."""

    def __init__(self, now: float, run_ttl_s: float) -> None:
        self.now = now
        self.run_ttl_s = run_ttl_s
        self.rows: list[Row] = []
        self.keys: list[tuple[IdempotencyKey, float, str]] = []

    def find(self, run_id: str) -> Row | None:
        for row in self.rows:
            if row.run.id == run_id and (row.run.expires_at is None or row.run.expires_at > self.now):
                return row
        return None

    def unfinished(self, run_id: str) -> Row | None:
        row = self.find(run_id)
        return row if row is not None and row.run.status not in ENDED else None

    def reserved(self, key: IdempotencyKey) -> Run | None:
        for used, until, run_id in self.keys:
            first = self.find(run_id)
            if (used.owner, used.key) == (key.owner, key.key) and until > self.now and first is not None:
                if used.body_hash != key.body_hash:
                    raise IdempotencyConflict("")
                return first.shown()
        return None

    def create(self, run: Run, key: IdempotencyKey | None, claim: Claim | None = None) -> Created:
        if key is not None and (before := self.reserved(key)) is not None:
            return Created(before, False)
        first = self.find(run.id)
        if first is not None:
            return Created(first.shown(), False)
        self._remove(run.id)
        row = Row(replace(run, created_at=self.now))
        self.rows.append(row)
        if claim is not None:
            row.run = replace(row.run, status="in_progress", token=1, started_at=self.now)
            row.lease_tag, row.lease_until = claim.tag, self.now + claim.lease_s
        if key is not None:
            self.keys = [one for one in self.keys if (one[0].owner, one[0].key) != (key.owner, key.key)]
            self.keys.append((key, self.now + key.ttl_s, run.id))
        return Created(row.shown(), True)

    def get(self, run_id: str) -> Run | None:
        row = self.find(run_id)
        return row.shown() if row else None

    def list_runs(
        self, owner: str, conversation: str | None, status: str | None, before: str | None, limit: int
    ) -> Page:
        rows = [row for row in reversed(self.rows) if row.run.owner == owner and self.find(row.run.id)]
        if before is not None:
            names = [row.run.id for row in rows]
            if before not in names:
                raise UnknownRun("")
            rows = rows[names.index(before) + 1 :]
        rows = [row for row in rows if conversation in (None, row.run.conversation)]
        rows = [row for row in rows if status in (None, row.run.status)]
        return Page([row.shown() for row in rows[:limit]], len(rows) > limit)

    def delete(self, run_id: str) -> None:
        row = self.find(run_id)
        if row is None:
            raise UnknownRun("")
        if row.run.status not in ENDED:
            raise RunNotEnded("")
        self._remove(run_id)

    def append(self, batch: Sequence[Append]) -> list[AppendResult]:
        return [self._append(item) for item in batch]

    def _append(self, item: Append) -> AppendResult:
        row, entry = self.find(item.run_id), item.entry
        if row is None:
            return AppendResult(Outcome.GONE, START)
        run, events = row.run, row.events
        there = entry.seq <= len(events) and events[entry.seq - 1][1].tag == entry.tag
        if there:
            outcome = Outcome.STORED
        elif run.status in ENDED:
            outcome = Outcome.ENDED
        elif item.token != run.token or run.token == 0:
            outcome = Outcome.FENCED
        elif run.cancelled and [getattr(event, "status", "") for event in entry.events] != ["cancelled"]:
            outcome = Outcome.CANCELLED
        elif entry.after != row.top:
            outcome = Outcome.BEHIND
        else:
            outcome = Outcome.STORED
            self._write(row, entry)
        return AppendResult(outcome, row.top, run.cancelled)

    def _write(self, row: Row, entry: Entry) -> None:
        row.log.append(entry)
        last = entry.events[-1]
        if isinstance(last, End):
            row.run = replace(row.run, status=last.status, ended_at=self.now, expires_at=self.now + self.run_ttl_s)
            row.lease_until = 0.0

    def read(self, run_id: str, after: Position) -> Read | None:
        row = self.find(run_id)
        if row is None:
            return None
        if after != START and after not in [position for _, position in row.events]:
            return Read(False, (), row.stand())
        rest = [
            entry if entry.after.seq >= after.seq else entry.cut(after) for entry in row.log if entry.seq > after.seq
        ]
        return Read(True, tuple(rest), row.stand())

    def contents(self, run_id: str) -> Contents | None:
        row = self.find(run_id)
        if row is None:
            return None
        content, position = Content(), START
        for event, at in row.events:
            content.add(event)
            position = position if isinstance(event, End) else at
        return Contents(
            position, content.parts(), content.text, content.attempts, content.tries, content.end, row.stand()
        )

    def tops(self, run_ids: Sequence[str]) -> list[Top | None]:
        return [row.stand() if row else None for row in map(self.find, run_ids)]

    def take_lease(self, run_id: str, seen: int, tag: int, lease_s: float) -> Lease | None:
        row = self.unfinished(run_id)
        if row is None:
            return None
        again = (row.run.token, row.lease_tag) == (seen + 1, tag)
        if not again and (row.run.token != seen or row.lease_until > self.now):
            return None
        released = not again and row.released
        started = self.now if row.run.started_at is None else row.run.started_at
        row.run = replace(row.run, token=seen + 1, status="in_progress", started_at=started)
        row.lease_tag, row.lease_until = tag, max(row.lease_until, self.now + lease_s)
        return Lease(row.shown(), seen + 1, tag, released)

    def renew_leases(self, held: Sequence[tuple[str, int]], lease_s: float) -> list[RenewResult]:
        results = []
        for run_id, token in held:
            row = self.unfinished(run_id)
            if row is None or token == 0 or row.run.token != token:
                results.append(RenewResult(False))
            else:
                row.lease_until = self.now + lease_s
                results.append(RenewResult(True, row.run.cancelled))
        return results

    def release_lease(self, run_id: str, token: int) -> None:
        row = self.unfinished(run_id)
        if row is not None and row.run.token == token:
            row.lease_until = 0.0

    def expire_leases(self) -> None:
        """Whoever held them is dead."""
        for row in self.rows:
            if self.unfinished(row.run.id):
                row.lease_until = min(row.lease_until, self.now)

    def stale(self, limit: int) -> list[Stale]:
        free = [row for row in self.rows if self.unfinished(row.run.id) and row.lease_until <= self.now]
        return [Stale(row.run.id, row.run.token, row.run.status, row.released, row.run.model) for row in free[:limit]]

    def cancel(self, run_id: str, tag: int) -> Cancelled | None:
        row = self.find(run_id)
        if row is None:
            return None
        if row.run.status in ENDED:
            return Cancelled(row.shown(), row.log[-1] if row.top.tag == tag else None)
        row.run = replace(row.run, cancelled=True)
        if row.lease_until > self.now:
            return Cancelled(row.shown(), None)
        entry = Entry(row.top, row.top.seq + 1, tag, (End("cancelled"),))
        self._write(row, entry)
        return Cancelled(row.shown(), entry)

    def give_up(self, run_id: str, seen: int, tag: int, end: End) -> Entry | None:
        row = self.find(run_id)
        if row is None:
            return None
        if row.run.status in ENDED:
            return Entry(row.log[-1].after, row.top.seq, tag, (end,)) if row.top.tag == tag else None
        held = row.lease_until > self.now
        if not (held and row.lease_tag == tag) and (held or row.run.token != seen):
            return None
        entry = Entry(row.top, row.top.seq + 1, tag, (end,))
        self._write(row, entry)
        return entry

    def expire_everything(self) -> int:
        """Remove all that has expired: how many runs, and keys of runs that have not."""
        gone = [row.run.id for row in self.rows if self.find(row.run.id) is None]
        for run_id in gone:
            self._remove(run_id)
        kept = [one for one in self.keys if one[1] > self.now]
        removed, self.keys = len(gone) + len(self.keys) - len(kept), kept
        return removed

    def _remove(self, run_id: str) -> None:
        self.rows = [row for row in self.rows if row.run.id != run_id]
        self.keys = [one for one in self.keys if one[2] != run_id]
