"""The workers that the rooms of these tests are on."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from headwater.store.sqlite import SqliteLimits, SqliteStore
from tests.rooms.faulty_rooms import FaultyRooms
from tests.rooms.house import House, MakeHouse, open_house
from tests.rooms.scenes import worker_on_sqlite, workers_on_redis
from tests.store.sqlite_maker import SqliteMaker
from tests.workers.cluster import Cluster


@pytest.fixture(scope="session")
async def three_workers(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> AsyncIterator[Cluster]:
    """Three on one Redis, on which a test looks only at rooms of its own."""
    async with workers_on_redis(tmp_path_factory.mktemp("rooms"), redis_url) as cluster:
        yield cluster


@pytest.fixture(scope="session")
async def one_worker(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    """One on SQLite, in the same way."""
    async with worker_on_sqlite(tmp_path_factory.mktemp("rooms")) as cluster:
        yield cluster


# -- workers in this process


@pytest.fixture
async def store() -> AsyncIterator[SqliteStore]:
    """In memory."""
    store = SqliteMaker().make()
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def rooms(store: SqliteStore) -> FaultyRooms:
    """The rooms in it."""
    return FaultyRooms(store)


@pytest.fixture
async def make_house(store: SqliteStore, rooms: FaultyRooms) -> AsyncIterator[MakeHouse]:
    """Makes workers on one store; the settings are fields of Config, `sweep_s`, `left_s` and `shared`."""
    async with AsyncExitStack() as stack:

        async def make(**settings: Any) -> House:
            return await stack.enter_async_context(open_house(store, rooms, SqliteLimits(store), settings))

        yield make


@pytest.fixture
async def house(make_house: MakeHouse) -> House:
    """One worker."""
    return await make_house()
