"""Fixtures of the stores' tests."""

from collections.abc import AsyncIterator

import pytest

from headwater.store.base import Store
from tests.store.maker import StoreMaker


@pytest.fixture
async def store(make_store: StoreMaker) -> AsyncIterator[Store]:
    """A store of the engine under test, open."""
    store = await make_store.open()
    yield store
    await store.close()
