"""What is written of places and used tokens when nobody waits for it, all of a moment at once."""

import asyncio
from collections.abc import Collection
from contextlib import suppress

from headwater.core.events import End
from headwater.errors import StoreUnavailable
from headwater.store.limits import Limits

Place = tuple[str, str]
"""A limit's name, and who holds a place of it."""

# A place of a connection whose worker died comes free after this; kept three times in it.
SEAT_S = 15.0
# Longer than answers take. A run that goes on for longer is not counted any more.
RUN_S = 86_400.0
DAY_S = 86_400.0
# After a failure: the store is away, and what is left here can wait.
PAUSE_S = 1.0


class Ledger:
    """One writer: a place that was given up cannot be kept by a write that began before."""

    def __init__(self, limits: Limits) -> None:
        self.seats: set[Place] = set()
        """Places of connections, kept for as long as they are here."""
        self._limits = limits
        self._runs: set[Place] = set()
        self._left: list[Place] = []
        self._used: dict[str, int] = {}
        self._something = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Ledger seats={len(self.seats)} runs={len(self._runs)} left={len(self._left)} used={len(self._used)}>"

    def keep_run(self, place: Place) -> None:
        """Keep it for as long as a run may go on."""
        self._runs.add(place)
        self._something.set()

    def leave(self, places: Collection[Place]) -> None:
        """Give them up."""
        self._left += places
        self.seats.difference_update(places)
        self._runs.difference_update(places)
        self._something.set()

    def use(self, name: str, end: End) -> None:
        """Count the output of a run that ended."""
        if end.usage is not None and end.usage.output_tokens:
            self._used[name] = self._used.get(name, 0) + end.usage.output_tokens
            self._something.set()

    async def write_for_ever(self) -> None:
        """Write what there is as it comes, and keep the seats now and then."""
        loop = asyncio.get_running_loop()
        due = loop.time() + SEAT_S / 3
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await self._something.wait()
            self._something.clear()
            try:
                if loop.time() >= due:
                    due = loop.time() + SEAT_S / 3
                    await self._limits.keep(list(self.seats), SEAT_S)
                await self._write()
            except StoreUnavailable:
                self._something.set()
                await asyncio.sleep(PAUSE_S)

    async def _write(self) -> None:
        """Raises StoreUnavailable; what could not be written is left for the next time."""
        if self._left:
            left, self._left = self._left, []  # lost if this fails: they expire by themselves
            await self._limits.let_go(left)
        if self._runs:
            runs = list(self._runs)
            await self._limits.keep(runs, RUN_S)
            self._runs.difference_update(runs)
        used, self._used = self._used, {}
        failed: StoreUnavailable | None = None
        for name, tokens in used.items():  # each by itself: one that is damaged holds up no other
            try:
                await self._limits.add(name, tokens, DAY_S)
            except StoreUnavailable as error:
                self._used[name] = self._used.get(name, 0) + tokens
                failed = error
        if failed is not None:
            raise failed
