"""The stage that tests share who need nothing special of it."""

from collections.abc import AsyncIterator

import pytest

from tests.streaming.stage import Stage, staged


@pytest.fixture(scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """A server with short timeouts for its upstreams, on which a test looks only at runs of its own."""
    directory = tmp_path_factory.mktemp("stage")
    # Forty runs begin at once here, and the machine may be full: a second is sometimes not enough for a first token.
    async with staged(directory, first_token_timeout_s=3, idle_timeout_s=3) as stage:
        yield stage
