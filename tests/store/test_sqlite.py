"""The SQLite store keeps the contract, on a file and in memory."""

from collections.abc import AsyncIterator

import pytest

from tests.store.contract import DurableRoomContract, DurableStoreContract, RoomContract, StoreContract
from tests.store.maker import StoreMaker
from tests.store.sqlite_maker import SqliteMaker


class TestOnAFile(StoreContract, RoomContract, DurableStoreContract, DurableRoomContract):
    @pytest.fixture
    async def make_store(self, maker: SqliteMaker) -> StoreMaker:
        return maker


class TestInMemory(StoreContract, RoomContract):
    @pytest.fixture
    async def make_store(self) -> AsyncIterator[StoreMaker]:
        maker = SqliteMaker()
        yield maker
        await maker.close()
