"""The embedded engine: one SQLite file that one process owns."""

from headwater.store.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
