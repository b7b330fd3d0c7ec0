"""Ended runs, kept for a while so that they can be written again to a store that lost its last writes."""

import asyncio
from collections.abc import Callable

from headwater.config import Config
from headwater.executor.production import Production
from headwater.store.base import Store


class Healing:
    """Compares the tops of what ended lately with what was written; `on_more` hears of what must be written again.

    `on_over` hears of each run that need not be looked at any more.
    """

    def __init__(
        self,
        store: Store,
        config: Config,
        on_more: Callable[[Production], None],
        on_over: Callable[[str], None],
    ) -> None:
        self._store = store
        self._config = config
        self._on_more = on_more
        self._on_over = on_over
        self._runs: dict[str, Production] = {}

    def __len__(self) -> int:
        return len(self._runs)

    def add(self, production: Production) -> None:
        """This run has ended, and its end is stored."""
        self._runs[production.run.id] = production

    def discard(self, run_id: str) -> None:
        """It is produced here again, under a newer lease: the older one can write no more."""
        self._runs.pop(run_id, None)

    def heals(self, run_id: str, token: int) -> bool:
        """Whether a run whose newest lease has `token` is going to be written again from here."""
        production = self._runs.get(run_id)
        return production is not None and not production.log.lost and production.token >= token

    async def compare(self) -> None:
        """Look at all of them once. Raises StoreUnavailable; then none is let go, however long that lasts."""
        if not self._runs:
            return
        productions = list(self._runs.values())
        tops = await self._store.tops([production.run.id for production in productions])
        now = asyncio.get_running_loop().time()
        for production, top in zip(productions, tops, strict=True):
            if self._runs.get(production.run.id) is not production:
                continue  # it was taken again meanwhile
            if top is None or production.log.lost:
                self._let_go(production)
            elif production.log.heal(top.position):
                self._on_more(production)
            elif production.settled_at is not None and now - production.settled_at > self._config.heal_s:
                self._let_go(production)

    def _let_go(self, production: Production) -> None:
        del self._runs[production.run.id]
        self._on_over(production.run.id)
