"""The embedded engine: one SQLite file that one process owns."""

from headwater.store.sqlite.limits import SqliteLimits
from headwater.store.sqlite.rooms import SqliteRooms
from headwater.store.sqlite.store import SqliteStore
from headwater.store.sqlite.vault import SqliteVault
from headwater.store.sqlite.vault_file import open_vault_file

__all__ = ["SqliteLimits", "SqliteRooms", "SqliteStore", "SqliteVault", "open_vault_file"]
