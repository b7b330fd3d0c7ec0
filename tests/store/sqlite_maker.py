"""SQLite stores with a clock that a test sets."""

from headwater.core.room import ROOM_BYTES_MAX
from headwater.store.base import Store
from headwater.store.sqlite import SqliteLimits, SqliteRooms, SqliteStore, SqliteVault
from tests.store.maker import StoreMaker


class SqliteMaker(StoreMaker):
    """Stores on one file, or in memory, where each is another's stranger. The file is the caller's to remove."""

    lease_s = 3.0
    run_ttl_s = 60.0

    def __init__(self, path: str = ":memory:", max_bytes: int | None = None) -> None:
        self.path = path
        self.max_bytes = max_bytes
        self.now = 1_700_000_000.0
        self._made: list[SqliteStore] = []

    def make(self) -> SqliteStore:
        """A store that is not open yet."""
        store = SqliteStore(self.path, run_ttl_s=self.run_ttl_s, clock=lambda: self.now, max_bytes=self.max_bytes)
        self._made.append(store)
        return store

    async def open(self) -> SqliteStore:
        store = self.make()
        await store.open()
        return store

    def vault(self, store: Store) -> SqliteVault:
        assert isinstance(store, SqliteStore)
        return SqliteVault(store)

    def limits(self, store: Store) -> SqliteLimits:
        assert isinstance(store, SqliteStore)
        return SqliteLimits(store)

    def rooms(self, store: Store, *, kept_bytes: int = ROOM_BYTES_MAX) -> SqliteRooms:
        assert isinstance(store, SqliteStore)
        return SqliteRooms(store, kept_bytes=kept_bytes)

    async def advance(self, seconds: float) -> None:
        self.now += seconds

    async def close(self) -> None:
        for store in self._made:
            await store.close()
