"""A store that lost its last writes: whoever wrote them writes them again, and nothing comes between."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest

from headwater.config import Config
from headwater.core.events import End, Entry, Text
from headwater.core.position import START, Position
from headwater.executor.committer import Committer
from headwater.executor.healing import Healing
from headwater.executor.holding import Holding
from headwater.executor.production import Production
from headwater.metrics import Metrics
from headwater.providers.base import Provider
from headwater.providers.catalog import Model
from headwater.store.base import Append, AppendResult, Lease, Outcome, RenewResult, Store
from headwater.tasks import running
from tests.store.producing import a_run
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

CONFIG = Config()
RUN = a_run()


def a_production(token: int = 1, *words: str) -> Production:
    """One under this lease, which has something to append."""
    production = Production(Lease(RUN, token, 7 * token), CONFIG, Metrics(), lambda production: None)
    for word in words:
        production.log.add(Text(word))
    return production


class Answers:
    """A store that answers appends one after the other as it is told, and notes them."""

    def __init__(self, *outcomes: Outcome) -> None:
        self.appended: list[Append] = []
        self._outcomes = list(outcomes)

    async def append(self, batch: Sequence[Append]) -> list[AppendResult]:
        (item,) = batch
        self.appended.append(item)
        outcome = self._outcomes.pop(0)
        return [AppendResult(outcome, item.entry.position if outcome is Outcome.STORED else START)]

    async def renew_leases(self, held: Sequence[tuple[str, int]], lease_s: float) -> list[RenewResult]:
        return [RenewResult(False) for _ in held]

    async def take_lease(self, run_id: str, **seen: Any) -> Lease | None:
        return Lease(RUN, 1, 7) if seen["seen"] == 0 else None


async def commit(
    store: Answers,
    productions: Sequence[Production],
) -> list[tuple[Entry, bool]]:
    """What readers are told of while these are appended, until the store has no answer left."""
    told: list[tuple[Entry, bool]] = []

    async def nobody(production: Production) -> Lease | None:
        return None

    committer = Committer(
        cast(Store, store), CONFIG, Metrics(), nobody, lambda _, entry, first: told.append((entry, first))
    )
    for production in productions:
        committer.add(production)
    async with running(committer.commit_for_ever):
        await eventually(lambda: not store._outcomes, what="all is answered")
        await asyncio.sleep(0)
    return told


async def test_readers_hear_of_what_is_written_again() -> None:
    """Those that came while the store had lost it know it from nowhere else."""
    production = a_production(1, "a")
    ((entry, first),) = await commit(Answers(Outcome.STORED), [production])
    assert first and production.log.heal(START)
    assert await commit(Answers(Outcome.STORED), [production]) == [(entry, False)]


@pytest.mark.parametrize("newer_first", [True, False])
async def test_what_an_older_lease_would_heal_never_displaces_a_newer_one_s(newer_first: bool) -> None:
    older, newer = a_production(1, "a"), a_production(2, "b")
    store = Answers(Outcome.STORED)
    await commit(store, [newer, older] if newer_first else [older, newer])
    assert [item.token for item in store.appended] == [2]


async def test_a_run_that_is_healed_here_is_not_taken_over_here() -> None:
    healing = Healing(cast(Store, None), CONFIG, lambda production: None, lambda run_id: None)
    production = a_production(2)
    healing.add(production)
    assert healing.heals(RUN.id, 2)
    assert healing.heals(RUN.id, 1), "the store has lost the taking, too"
    assert not healing.heals(RUN.id, 3), "another has it by now"
    production.log.lose()
    assert not healing.heals(RUN.id, 2)


async def test_a_renewal_takes_again_what_the_store_has_lost_the_taking_of() -> None:
    holding = Holding("w", cast(Store, Answers()), CONFIG, lambda run_id, entry: None)
    first, second = await holding.renew([a_production(1), a_production(2)])
    assert first.held
    assert not second.held


async def test_whoever_lost_the_lease_writes_no_end_even_if_it_could_again() -> None:
    production = a_production(1, "a")
    production.log.next_entry()
    production.stop("lost")
    end = await production.generate(Model("m", cast(Provider, None)))
    assert end is not None and production.settled.is_set()
    production.log.finish(end)
    assert not production.log.has_more
    assert production.log.top == Position(1, 7) and isinstance(end, End)
