"""Two workers' hubs on one store and one exchange."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from headwater.broadcaster.local import Exchange, LocalBroadcaster
from headwater.config import Config
from headwater.errors import StoreUnavailable
from headwater.hub import Hub
from headwater.metrics import Metrics
from headwater.store.sqlite import SqliteRooms
from tests.hub.reading import ForgetfulStore

MakeHub = Callable[..., Hub]


@pytest.fixture
async def store() -> AsyncIterator[ForgetfulStore]:
    store = ForgetfulStore()
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def make_hub(store: ForgetfulStore) -> AsyncIterator[MakeHub]:
    """Makes hubs of workers that hear each other; the settings are fields of Config."""
    exchange = Exchange()
    async with AsyncExitStack() as stack:

        def make(**settings: Any) -> Hub:
            broadcaster = LocalBroadcaster(exchange)
            stack.push_async_callback(broadcaster.close)
            hub = Hub(store, SqliteRooms(store), broadcaster, Config(**settings), Metrics())
            stack.push_async_callback(hub.close)
            return hub

        yield make


@pytest.fixture
def here(make_hub: MakeHub) -> Hub:
    """The worker that produces."""
    return make_hub()


@pytest.fixture
def there(make_hub: MakeHub) -> Hub:
    """Another worker, whose readers hear of it."""
    return make_hub()


@pytest.fixture
def outage() -> StoreUnavailable:
    """What a store raises that does not answer."""
    return StoreUnavailable("no answer")
