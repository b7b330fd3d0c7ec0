"""The workers that the rooms of these tests are on."""

from collections.abc import AsyncIterator

import pytest

from tests.rooms.scenes import worker_on_sqlite, workers_on_redis
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
