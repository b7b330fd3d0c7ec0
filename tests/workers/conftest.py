"""The cluster that tests share who need nothing special of it."""

from collections.abc import AsyncIterator

import pytest

from tests.workers.cluster import Cluster


@pytest.fixture(scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> AsyncIterator[Cluster]:
    """Three workers, on which a test looks only at runs of its own."""
    async with Cluster(tmp_path_factory.mktemp("cluster"), redis_url) as cluster:
        yield cluster
