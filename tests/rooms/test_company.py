"""Who is in a room, as one worker finds out."""

from typing import Any, cast

import pytest

from headwater.core.pushes import Member, Presence
from headwater.errors import StoreUnavailable
from headwater.hub import Hub
from headwater.metrics import Metrics
from headwater.rooms import Companies
from headwater.store.sqlite import SqliteLimits, SqliteStore
from headwater.tasks import running
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

LOBBY = "acme/lobby"
ANN, BOB = Member("user:ann", "Ann"), Member("user:bob", "Bob")


class Ears:
    """What a hub is to companies."""

    def __init__(self) -> None:
        self.notes: list[Any] = []

    def note(self, room_id: str, note: object) -> None:
        self.notes.append(note)

    def whisper(self, room_id: str, data: bytes) -> None:
        pass


class PassingLimits(SqliteLimits):
    """Goes away."""

    away = False
    looks = 0

    async def holders(self, name: str) -> dict[str, float]:
        self.looks += 1
        if self.away:
            raise StoreUnavailable("no answer")
        return await super().holders(name)


def companies(worker: str, limits: SqliteLimits) -> tuple[Companies, Ears]:
    ears = Ears()
    return Companies(worker, limits, cast(Hub, ears), Metrics(), presence_s=1_000.0), ears


async def test_the_first_who_comes_to_a_worker_is_told_who_is_elsewhere(store: SqliteStore) -> None:
    (here, _), (there, _) = (companies(name, SqliteLimits(store)) for name in ("here", "there"))
    await there.come(LOBBY, BOB)
    here.watch(LOBBY)
    await here.come(LOBBY, ANN)
    await here.know(LOBBY)
    assert {member.name for member in here.members(LOBBY)} == {"Ann", "Bob"}


async def test_nobody_has_left_whom_only_the_store_has_forgotten(store: SqliteStore) -> None:
    limits = PassingLimits(store)
    here, ears = companies("here", limits)
    here.watch(LOBBY)
    async with running(here.look_after):
        place = await here.come(LOBBY, ANN)
        await eventually(lambda: ears.notes == [Presence(joined=[ANN], left=[])], what="she is seen")
        limits.away = True
        await limits.let_go([place])
        looks = limits.looks
        here._poke(LOBBY)
        await eventually(lambda: limits.looks > looks, what="a look in vain")
        looks, limits.away = limits.looks, False
        await eventually(lambda: limits.looks > looks, what="another look")
        assert place[1] in await SqliteLimits(store).holders(place[0])
        await here.come(LOBBY, BOB)
        await eventually(lambda: len(ears.notes) == 2, what="the next is seen")
    assert ears.notes[1] == Presence(joined=[BOB], left=[])
