"""What has expired is removed little by little, by those who add to the same table."""

import sqlite3
from typing import Final, Literal

# More than the one row that is added after it, so that the expired never pile up; few, since others wait to write.
_SWEPT: Final = 8


def sweep(db: sqlite3.Connection, table: Literal["tickets", "windows", "places"], now: float) -> None:
    """Remove a few rows whose time is over, the oldest first."""
    db.execute(
        f"DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM {table} WHERE until <= ? ORDER BY until LIMIT ?)",
        (now, _SWEPT),
    )
