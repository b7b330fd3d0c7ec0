"""Workers in this process, whose models say what the test has them say."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

from msgspec import Struct
from msgspec.structs import replace

from headwater.access import Quotas
from headwater.broadcaster.local import LocalBroadcaster
from headwater.config import Config
from headwater.core.events import Delta, End, Entry, Text, Usage
from headwater.core.room import Place, RunEnded, RunStarted
from headwater.core.run import Run, RunRequest
from headwater.errors import Invalid
from headwater.executor import Executor
from headwater.hub import Hub
from headwater.metrics import Metrics
from headwater.providers.base import Finish, Provider, Step
from headwater.providers.catalog import Catalog, Model
from headwater.rooms.budgets import RoomBudgets
from headwater.rooms.starter import Starter
from headwater.rooms.turns import Turns
from headwater.runs import Runs
from headwater.store.base import Store
from headwater.store.limits import Limits
from headwater.store.rooms import RoomStore
from headwater.tasks import running
from tests.store.talking import a_turn, events_of, find, said, saying, store_change
from tests.support.waiting import eventually

MakeHouse = Callable[..., Awaitable["House"]]

OUTPUT_TOKENS = 5
"""Of each answer."""


class Asked(Struct):
    """What a model was asked, and its answer, which the test gives."""

    request: RunRequest
    answer: asyncio.Future[str]

    @property
    def question(self) -> str:
        """The last message."""
        message = cast(Any, self.request.input)[-1]
        return str(message.content)


class Puppet(Provider):
    """Begins each answer with `well,` and goes on when the test says how."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []

    async def generate(self, request: RunRequest) -> AsyncGenerator[list[Step], None]:
        asked = Asked(request, asyncio.get_running_loop().create_future())
        self.asked.append(asked)
        yield [Text("well, ")]
        words: list[Delta] = [Text(await asked.answer)]
        yield [*words, Finish("stop", Usage(input_tokens=1, output_tokens=OUTPUT_TOKENS))]


class Fussy(Provider):
    """Refuses every request; `broken`, with an error that is none of ours."""

    def __init__(self, *, broken: bool = False) -> None:
        self._broken = broken

    def check(self, request: RunRequest) -> None:
        if self._broken:
            raise ZeroDivisionError
        raise Invalid("input: must be sung", field="input")

    def generate(self, request: RunRequest) -> AsyncGenerator[list[Step], None]:
        raise AssertionError("it was refused")


class House:
    """One worker. `puppet` answers as `demo` and as `other`; `entries` are what it told followers of rooms."""

    def __init__(self, store: Store, rooms: RoomStore, limits: Limits, settings: dict[str, Any]) -> None:
        others = {name: settings.pop(name) for name in ("sweep_s", "left_s", "shared") if name in settings}
        self.rooms = rooms
        self.puppet = Puppet()
        self.entries: list[tuple[str, Entry]] = []
        models = {"demo": self.puppet, "other": self.puppet, "fussy": Fussy(), "broken": Fussy(broken=True)}
        catalog = Catalog([Model(name, provider) for name, provider in models.items()], "demo")
        config, metrics = Config(**settings), Metrics()
        self.hub = Hub(store, rooms, LocalBroadcaster(), config, metrics)
        self.quotas = Quotas("w", limits, store, config, lambda: True)
        self.executor = Executor("w", store, self.hub, catalog, config, metrics, self._ended)
        runs = Runs(store, self.hub, self.executor, catalog, config, self.quotas, self._ended)
        budgets = RoomBudgets(limits)
        starter = Starter(rooms, catalog, self.quotas, budgets, self._publish, self.executor.wake)
        self.turns = Turns(rooms, starter, budgets, self.executor, runs.stop, **{"shared": store.shared, **others})

    def _publish(self, room_id: str, entry: Entry) -> None:
        self.entries.append((room_id, entry))

    def _ended(self, run: Run, end: End | None = None) -> None:
        self.turns.ended(run, end)

    async def ask(self, room_id: str, text: str = "what is it?", *models: str, **fields: Any) -> Place:
        """Say something that asks these models, or `demo`, and see to it."""
        place = await ask_nobody(self.rooms, room_id, text, *models, **fields)
        self.turns.advance(room_id)
        return place

    async def answering(self, question: str) -> Asked:
        """The model that is at it."""

        def find_it() -> Asked | None:
            under_way = [asked for asked in self.puppet.asked if not asked.answer.done()]
            return next((asked for asked in under_way if asked.question == question), None)

        return await eventually(find_it, what=f"{question!r} is being answered")

    async def answer(self, question: str, text: str) -> Asked:
        """Have the model answer this question so."""
        asked = await self.answering(question)
        asked.answer.set_result(text)
        return asked

    async def settled(self) -> None:
        """Wait until nothing is left that was to be done now."""
        await eventually(lambda: not self.turns._advancing and not self.turns._counting, what="turns are seen to")


@asynccontextmanager
async def open_house(store: Store, rooms: RoomStore, limits: Limits, settings: dict[str, Any]) -> AsyncIterator[House]:
    """A worker that runs, but for its sweep."""
    house = House(store, rooms, limits, settings)
    async with running(*house.executor.loops):
        yield house
        for asked in house.puppet.asked:
            asked.answer.cancel()
        await house.executor.close()
    await house.turns.close()
    await house.hub.close()


async def ask_nobody(rooms: RoomStore, room_id: str, text: str, *models: str, **fields: Any) -> Place:
    """Say something that asks these models, or `demo`, on a worker that dies at once."""
    event = said(text, **fields)
    turns = tuple(replace(a_turn(event), model=model, caller=f"acme/{event.by}") for model in models or ("demo",))
    await store_change(rooms, room_id, saying(event, turns=turns))
    return await find(rooms, room_id, event.message)


async def ends_of(rooms: RoomStore, room_id: str, count: int) -> list[RunEnded]:
    """The first so many ends of answers, as soon as they are there."""

    async def look() -> list[RunEnded] | None:
        ends = [event for event in await events_of(rooms, room_id) if isinstance(event, RunEnded)]
        return ends if len(ends) >= count else None

    return await eventually(look, what=f"{count} answers have ended")


async def starts_of(rooms: RoomStore, room_id: str) -> list[RunStarted]:
    """The begins of answers so far."""
    return [event for event in await events_of(rooms, room_id) if isinstance(event, RunStarted)]
