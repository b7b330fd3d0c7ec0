"""The Redis store keeps the contract, for one worker and for several."""

from collections.abc import AsyncIterator

import pytest

from tests.store.contract import DurableRoomContract, DurableStoreContract, RoomContract, StoreContract
from tests.store.maker import StoreMaker
from tests.store.redis_maker import RedisMaker


class TestRedis(StoreContract, RoomContract, DurableStoreContract, DurableRoomContract):
    @pytest.fixture
    async def make_store(self, redis_url: str) -> AsyncIterator[StoreMaker]:
        maker = RedisMaker(redis_url)
        yield maker
        await maker.close()
