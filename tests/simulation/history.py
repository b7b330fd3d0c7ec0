"""All that was ever written of a run, also what the store forgot again, and what must be true of it."""

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from headwater.core.events import Attempt, End, Entry, Event, Reasoning, Text
from headwater.core.position import START, Position

Told = tuple[tuple[str, str], ...]
"""What a reader holds: adjacent deltas of a kind, joined."""


class Writer(Struct, frozen=True):
    """Who wrote under a tag, and with which token; 0 where it was no producer."""

    name: str
    token: int


class History:
    """The tree of a run's positions. A position says what its reader holds, whatever became of it since."""

    def __init__(self, run_id: str, blame: Callable[[str], None]) -> None:
        self.run_id = run_id
        self.told: dict[Position, Told] = {START: ()}
        self.writers: dict[int, Writer] = {}
        self.ends: dict[Position, End] = {}
        self.forgotten: set[Position] = set()
        """Positions that were in the log, and then were not; they may be in it again."""
        self._blame = blame

    def write(self, entry: Entry, writer: Writer) -> None:
        """An entry enters the log."""
        known = self.writers.setdefault(entry.tag, writer)
        if known != writer:
            self._blame(f"{self.run_id}: {writer} writes under the tag of {known}")
        told = self.told.get(entry.after, ())
        if entry.after not in self.told:
            self._blame(f"{self.run_id}: {entry} lies on what was never written")
        for n, event in enumerate(entry.events, entry.after.seq + 1):
            told = told_after(told, event)
            position = Position(n, entry.tag)
            if self.told.setdefault(position, told) != told:
                self._blame(f"{self.run_id}: {position} was {self.told[position]} and is now {told}")
            if isinstance(event, End):
                self.ends[position] = event

    def check_log(self, log: list[Entry]) -> None:
        """What must be true of the log once all is over."""
        top, events = START, [event for entry in log for event in entry.events]
        for entry in log:
            if entry.after != top:
                self._blame(f"{self.run_id}: {entry} lies on {top}")
            top = entry.position
        ends = [event for event in events if isinstance(event, End)]
        if len(ends) != 1 or events[-1] is not ends[0]:
            self._blame(f"{self.run_id}: has {len(ends)} ends in {events}")
        tags = [tag for n, tag in enumerate(entry.tag for entry in log) if n == 0 or log[n - 1].tag != tag]
        if len(set(tags)) != len(tags):
            self._blame(f"{self.run_id}: writers took turns: {tags}")
        tokens = [self.writers[tag].token for tag in tags if self.writers[tag].token]
        if tokens != sorted(tokens):
            self._blame(f"{self.run_id}: an older lease wrote after a newer one: {tokens}")
        numbers = [event.number for event in events if isinstance(event, Attempt)]
        if numbers != sorted(set(numbers)) or (numbers and numbers[0] < 2):
            self._blame(f"{self.run_id}: its attempts are numbered {numbers}")


def told_after(told: Told, event: Event) -> Told:
    """What a reader holds once it was told one event more."""
    match event:
        case Attempt(how="restarted"):
            return ()
        case Text(text):
            kind = "text"
        case Reasoning(text):
            kind = "reasoning"
        case _:
            return told
    if told and told[-1][0] == kind:
        return (*told[:-1], (kind, told[-1][1] + text))
    return (*told, (kind, text))


def held(parts: list[dict[str, Any]]) -> Told:
    """The same of what a reader of a stream has put together."""
    return tuple(item for part in parts for item in part.items())
