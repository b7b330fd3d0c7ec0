"""What happened, counted, and how it is told: while it goes on, and at the end."""

import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal, Self, get_args

Fault = Literal["kills", "freezes", "drains", "cuts", "store cuts", "failovers", "upstream faults", "zombies"]
Failing = Literal[
    "gaps",
    "repeats",
    "wrong texts",
    "runs without an end",
    "not whole",
    "false completed",
    "wrong attempts",
    "errors seen",
    "continued too late",
    "kills without a witness",
    "stale writes taken",
    "rooms gone wrong",
    "crashes in logs",
]

FAULTS: Final[tuple[Fault, ...]] = get_args(Fault)
FAILINGS: Final[tuple[Failing, ...]] = get_args(Failing)

SHOWN = 10  # failures that are described: one is mostly the others' cause
LINE_EVERY_S = 5.0
BAR = 30  # characters


@dataclass
class Tally:
    """The counts of a whole chaos; `failures` describes what must not be, the first first."""

    runs: int = 0
    subscribers: int = 0
    members: int = 0
    tokens: int = 0
    faults: Counter[Fault] = field(default_factory=Counter)
    failings: Counter[Failing] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    attempts: Counter[str] = field(default_factory=Counter)
    lost_runs: int = 0
    """Whose creation went with a primary."""
    told_anew: int = 0
    """Subscribers that had the end of a history that was lost."""
    continued_s: list[float] = field(default_factory=list)
    """From each kill to what each subscriber heard next of a run that the dead worker produced."""
    bounded: int = 0
    """Of those, when nothing else went wrong that would excuse being late."""
    excused: int = 0
    """Of those, later than promised, as more went wrong."""
    pauses_s: dict[str, float] = field(default_factory=dict)
    """The longest time without an event of a run, by the kind of subscriber."""
    notes: list[str] = field(default_factory=list)
    """What a scenario has to say beside."""

    def fail(self, kind: Failing, what: str) -> None:
        """Something that must not be."""
        self.failings[kind] += 1
        self.failures.append(f"{kind}: {what}")

    @property
    def failed(self) -> bool:
        """Whether there was anything of the kind."""
        return bool(self.failures)

    @property
    def unproven(self) -> str:
        """Why it proves nothing, if so."""
        if not self.runs or not self.subscribers:
            return f"{self.runs} runs had {self.subscribers} subscribers"
        return "" if self.faults.total() else "nothing went wrong"

    def verdict(self, again: str) -> str:
        """What came of it in one sentence, and the command for the same draws."""
        if self.failed:
            what = f"promises broken: {len(self.failures)}"
        elif self.unproven:
            what = f"nothing is proven: {self.unproven}"
        else:
            what = "every promise was kept"
        return f"{what}; the same draws again: {again}"

    def table(self, seed: object) -> str:
        """All of it for people."""
        rows: list[tuple[str, object]] = [
            ("runs", self.runs),
            ("subscribers", self.subscribers),
            ("members of rooms", self.members),
            ("tokens", self.tokens),
            *((name, self.faults[name]) for name in FAULTS),
            *((f"attempts: {name}", count) for name, count in sorted(self.attempts.items())),
            *((f"ended: {name}", count) for name, count in sorted(self.outcomes.items())),
            ("runs lost with a primary", self.lost_runs),
            ("ends of a lost history", self.told_anew),
            ("time to continue after a kill", quantiles(self.continued_s)),
            ("… bounded: nothing else was wrong", self.bounded),
            ("… excused: more was wrong", self.excused),
            *((f"longest pause: {kind}", f"{pause_s:.2f} s") for kind, pause_s in sorted(self.pauses_s.items())),
            ("seed", seed),
        ]
        bad: list[tuple[str, object]] = [(name, self.failings[name]) for name in FAILINGS]
        width = max(len(name) for name, _ in [*rows, *bad])

        def lines(rows: list[tuple[str, object]]) -> list[str]:
            return [f"  {name:<{width}}  {value}\n" for name, value in rows]

        return "".join([*(f"  {note}\n" for note in self.notes), *lines(rows), "must be 0:\n", *lines(bad)])

    def described(self) -> str:
        """The first failures."""
        more = len(self.failures) - SHOWN
        return "\n".join([*self.failures[:SHOWN], *([f"and {more} more"] if more > 0 else [])])


def quantiles(values: list[float]) -> str:
    """The middle, the worst of a hundred, and the worst."""
    if not values:
        return "-"
    ordered = sorted(values)
    at = [ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in (0.5, 0.99)]
    return f"p50 {at[0]:.2f} s, p99 {at[1]:.2f} s, worst {ordered[-1]:.2f} s of {len(ordered)}"


class Pace:
    """How far something is that goes in steps, of each of which one knows about how long it lasts."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._begun = 0
        self._at = 0.0
        self._seconds = 0.0

    def step(self, seconds: float) -> None:
        """The next one begins."""
        self._begun += 1
        self._at, self._seconds = time.monotonic(), seconds

    @property
    def share(self) -> float:
        """From 0 to 1."""
        if not self._begun:
            return 0.0
        return (self._begun - 1 + min(1.0, (time.monotonic() - self._at) / self._seconds)) / self._steps


class Progress:
    """A bar on a terminal, else a line now and then. `share` says how far it is, from 0 to 1, and `what` what else."""

    def __init__(self, what: Callable[[], str]) -> None:
        self._what = what
        self._began = time.monotonic()
        self._told = 0.0
        self._bar = sys.stderr.isatty()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            sys.stderr.write("\n")

    def show(self, share: float) -> None:
        """Tell how far it is, if it is time to."""
        now = time.monotonic()
        if now - self._told < (0.2 if self._bar else LINE_EVERY_S):
            return
        self._told = now
        seconds = now - self._began
        if self._bar:
            done = int(share * BAR)
            line = f"[{'#' * done}{'.' * (BAR - done)}] {seconds:4.0f} s  {self._what()}"
            width = os.get_terminal_size(sys.stderr.fileno()).columns or len(line) + 1  # 0 where nobody knows
            sys.stderr.write(f"\r{line[: width - 1]}\x1b[K")  # in the last column it might wrap
        else:
            sys.stderr.write(f"{seconds:5.0f} s  {share:4.0%}  {self._what()}\n")
        sys.stderr.flush()
