"""A scripted upstream and the client that asks it."""

from collections.abc import AsyncIterator

import pytest

from headwater.http_client import HttpClient
from tests.support.upstream import Upstream


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as server:
        yield server


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    async with HttpClient() as http:
        yield http
