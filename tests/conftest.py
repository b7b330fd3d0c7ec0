"""Fixtures for every test."""

import gc
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from blockbuster import blockbuster_ctx
from hypothesis import settings

from headwater.redis_client import without_secrets
from tests.support.redis_server import RedisServer, find_redis, test_redis_url
from tests.support.server import free_port

# What several folders assert with, before the first of them imports it: a failure should say as much there.
pytest.register_assert_rewrite("tests.store")

# How long an example takes is chance on a shared machine, and no matter of right or wrong.
settings.register_profile("headwater", deadline=None)
settings.load_profile("headwater")

# Whose certificates a client trusts, of this process and of those that it starts: to read all that a machine
# trusts takes each new client 20 ms, and nobody here is asked for a certificate.
os.environ["SSL_CERT_FILE"] = str(Path(__file__).parent / "support" / "nobody.pem")

# A shell's job in the background ignores Ctrl-C, and so would all that is started here, until some test's event loop
# has set it right for those that come after.
if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# What the tests are made of lasts until the end: looked through for garbage again and again, it costs seconds.
gc.disable()


def pytest_collection_finish() -> None:
    """From here on there is garbage."""
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_report_header() -> str:
    """Which Redis the tests run on."""
    told = subprocess.run([find_redis(), "--version"], capture_output=True, text=True, check=True)
    given = test_redis_url()
    elsewhere = f", and the one at {without_secrets(given)}" if given else ""
    return f"redis: {told.stdout.strip()}{elsewhere}"


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
