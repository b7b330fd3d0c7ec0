"""The vault for a command, which works on a store's file while a server has it."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from headwater.errors import ConfigError
from headwater.store.sqlite.file import MEMORY, DatabaseFile
from headwater.store.sqlite.threads import Database
from headwater.store.sqlite.vault import SqliteVault
from headwater.store.vault import Vault


@asynccontextmanager
async def open_vault_file(path: str, *, clock: Callable[[], float] = time.time) -> AsyncIterator[Vault]:
    """The vault in the file of a SQLite store, which is made if it is absent. Raises ConfigError.

    Nobody is locked out, but for the moment of a write.
    """
    if path == MEMORY:
        raise ConfigError(
            "API keys need a store that outlives the command, and sqlite::memory: ends with it: "
            "name a file (sqlite:headwater.db) or a Redis"
        )
    # An fsync: whoever was shown a key can rely on it.
    database = Database(DatabaseFile(path, synchronous="FULL", max_bytes=None, readers=1, alone=False), clock)
    try:
        await database.open()
        yield SqliteVault(database)
    finally:
        await database.close()
