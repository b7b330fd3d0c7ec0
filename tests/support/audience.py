"""Readers that follow at once, each as a browser does; one that fails says how, wherever they are waited for."""

import asyncio
from collections.abc import Sequence
from typing import Self

from tests.support.event_source import EventSource
from tests.support.waiting import eventually

_DEADLINE_S = 60.0  # only ends a hang


class Audience:
    """Follows with all `readers` from entering its context on; `end` waits for them, leaving breaks off who is left."""

    def __init__(self, readers: Sequence[EventSource]) -> None:
        self.readers = readers
        self._following: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._following = [asyncio.create_task(reader.follow()) for reader in self.readers]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._following:
            task.cancel()
        await asyncio.gather(*self._following, return_exceptions=True)

    @property
    def furthest(self) -> int:
        """The seq of whoever is ahead."""
        return max(reader.follower.seq for reader in self.readers)

    async def all_at(self, seq: int) -> None:
        """Return once every reader has come so far or has its end.

        Raises what one raised, or AssertionError if one stays behind.
        """

        def there() -> bool:
            for task in self._following:
                if task.done():
                    task.result()
            return all(reader.follower.seq >= seq or reader.follower.end is not None for reader in self.readers)

        try:
            await eventually(there, _DEADLINE_S, f"all readers are at {seq}")
        except AssertionError as error:
            error.add_note("\n".join(map(repr, self.readers)))
            raise

    async def end(self) -> None:
        """Return once every reader has its end. Raises what one raised."""
        await asyncio.gather(*self._following)
