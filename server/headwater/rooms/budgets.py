"""What a room and each person in it may ask of models in a day."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from headwater.core.events import Failure
from headwater.core.room import Budgets, Turn, room_slot
from headwater.store.limits import Limits

DAY_S: Final = 86_400.0


class Budget(NamedTuple):
    """One limit: where it is counted, and of whom it is."""

    name: str
    limit: int
    whose: str


class RoomBudgets:
    """Counts over all workers. A run is counted as a place that is held for a day: under its turn's id, so that it is
    counted once, however often and by how many workers its begin is tried.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def __repr__(self) -> str:
        return f"<RoomBudgets in {self._limits!r}>"

    async def take(self, room_id: str, budgets: Budgets, turn: Turn) -> Failure | None:
        """Count a run that is about to begin, or say why it may not. Raises StoreUnavailable."""
        for budget in _tokens(room_id, budgets, turn.by):
            used, _ = await self._limits.used(budget.name)
            if used >= budget.limit:
                return _exhausted(budget, "output token")
        held: list[tuple[str, str]] = []
        for budget in _runs(room_id, budgets, turn.by):
            if not await self._limits.hold(budget.name, turn.id, budget.limit, DAY_S):
                await self._limits.let_go(held)
                return _exhausted(budget, "answer")
            held.append((budget.name, turn.id))
        return None

    async def give_back(self, room_id: str, budgets: Budgets, turn: Turn) -> None:
        """It did not begin. Raises StoreUnavailable."""
        held = [(budget.name, turn.id) for budget in _runs(room_id, budgets, turn.by)]
        if held:
            await self._limits.let_go(held)

    async def spend(self, room_id: str, budgets: Budgets, by: str, output_tokens: int) -> None:
        """Count the output of an answer that `by` had asked for. Raises StoreUnavailable."""
        for budget in _tokens(room_id, budgets, by):
            await self._limits.add(budget.name, output_tokens, DAY_S)


def _exhausted(budget: Budget, what: str) -> Failure:
    many = "" if budget.limit == 1 else "s"
    detail = f"{budget.whose} may have {budget.limit} {what}{many} a day, and has had as much."
    return Failure("budget_exhausted", detail)


def _runs(room_id: str, budgets: Budgets, by: str) -> Iterator[Budget]:
    return _both("runs", room_id, by, budgets.runs_per_day, budgets.person_runs_per_day)


def _tokens(room_id: str, budgets: Budgets, by: str) -> Iterator[Budget]:
    return _both("tokens", room_id, by, budgets.tokens_per_day, budgets.person_tokens_per_day)


def _both(what: str, room_id: str, by: str, of_room: int | None, of_person: int | None) -> Iterator[Budget]:
    """The limits that there are. The slot has a fixed length, so that no room's name runs into a person's."""
    if of_room is not None:
        yield Budget(f"room-{what}:{room_slot(room_id)}", of_room, "The room")
    if of_person is not None:
        yield Budget(f"room-{what}:{room_slot(room_id)}:{by}", of_person, "Whoever asks")
