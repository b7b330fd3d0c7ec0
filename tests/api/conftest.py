"""One server for the tests that leave it as they found it, and a client for it."""

from collections.abc import Iterator

import httpx2
import pytest

from tests.api.calls import BODY_MAX, DEADLINE_S
from tests.support.server import ServerProcess


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Shared, so a test makes runs of its own and looks at no others."""
    bounds = {"max_body_bytes": BODY_MAX, "head_timeout_s": 1}
    late = {"lease_s": 60, "renew_s": 25, "sweep_s": 600}  # so that no second look saves what was missed at first
    settings = {**bounds, **late, "drain_s": 0, "drain_spread_s": 0}
    with ServerProcess(tmp_path_factory.mktemp("api"), settings=settings, args=["--faults"]) as server:
        yield server


@pytest.fixture(scope="module")
def api(server: ServerProcess) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=server.url, timeout=DEADLINE_S) as client:
        yield client
