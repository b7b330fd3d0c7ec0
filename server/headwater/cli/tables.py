"""How lists are shown."""

from collections.abc import Sequence
from datetime import UTC, datetime


def table(rows: Sequence[tuple[str, ...]]) -> str:
    """Rows of cells as columns; the first is the head."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def when(time_s: float) -> str:
    """A time, in UTC."""
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
