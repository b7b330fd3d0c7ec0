"""Fixtures for every test."""

from collections.abc import Iterator
from typing import Any

import pytest
from blockbuster import blockbuster_ctx

from tests.support.redis_server import RedisServer, test_redis_url
from tests.support.server import free_port

# What several folders assert with, before the first of them imports it: a failure should say as much there.
pytest.register_assert_rewrite("tests.store")


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """The loop that the server runs on in production."""
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(scope="session", autouse=True)
def no_blocking_call() -> Iterator[None]:
    """A blocking call by the server's code on an event loop raises BlockingError; tests may block."""
    with blockbuster_ctx("headwater") as blockbuster:
        for name, function in blockbuster.functions.items():
            if name.startswith("threading."):  # who held a lock for an instant is chance, not blocking
                function.deactivate()
        yield


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Redis for tests that only use it: the one that HEADWATER_TEST_REDIS names, or our own."""
    given = test_redis_url()
    if given is not None:
        yield given
    else:
        with RedisServer(tmp_path_factory.mktemp("redis")) as server:
            yield server.url


@pytest.fixture
def port() -> int:
    """A TCP port on loopback that nothing listens on."""
    return free_port()
