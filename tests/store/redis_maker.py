"""Redis stores with a clock that a test sets, each set of data under a prefix of its own."""

import secrets
import time

from headwater.core.room import ROOM_BYTES_MAX
from headwater.redis_client import RedisClient
from headwater.store.base import Store
from headwater.store.redis import RedisLimits, RedisRooms, RedisStore, RedisVault
from tests.store.maker import StoreMaker

# Far above what a loaded machine takes to answer.
TIMEOUT_S = 20.0


class RedisMaker(StoreMaker):
    """Stores of several workers on one Redis."""

    lease_s = 3.0
    run_ttl_s = 60.0

    def __init__(self, url: str) -> None:
        self.url = url
        self.prefix = f"test-{secrets.token_hex(8)}"
        # Whole milliseconds, as Redis keeps them; from now on, since its own clock removes what has expired.
        self.now = round(time.time(), 3)
        self._made: list[RedisStore] = []

    def make(self) -> RedisStore:
        """A store that is not open yet."""
        client = RedisClient(self.url, timeout_s=TIMEOUT_S)
        store = RedisStore(
            client, f"w{len(self._made)}", prefix=self.prefix, run_ttl_s=self.run_ttl_s, clock=lambda: self.now
        )
        self._made.append(store)
        return store

    async def open(self) -> RedisStore:
        store = self.make()
        await store.open()
        return store

    def vault(self, store: Store) -> RedisVault:
        assert isinstance(store, RedisStore)
        return RedisVault(store._client, prefix=self.prefix, clock=lambda: self.now)

    def limits(self, store: Store) -> RedisLimits:
        assert isinstance(store, RedisStore)
        return RedisLimits(store._client, prefix=self.prefix, clock=lambda: self.now)

    def rooms(self, store: Store, *, kept_bytes: int = ROOM_BYTES_MAX) -> RedisRooms:
        assert isinstance(store, RedisStore)
        worker = f"w{self._made.index(store)}"
        return RedisRooms(store._client, worker, prefix=self.prefix, kept_bytes=kept_bytes, clock=lambda: self.now)

    async def advance(self, seconds: float) -> None:
        self.now = round(self.now + seconds, 3)

    async def close(self) -> None:
        for store in self._made:
            await store.close()
        client = RedisClient(self.url, timeout_s=TIMEOUT_S)
        cursor = 0
        while True:
            cursor, names = await client.one(("SCAN", cursor, "MATCH", f"{self.prefix}:*", "COUNT", 1000))
            if names:
                await client.one(("DEL", *names))
            if int(cursor) == 0:
                break
        await client.close()
