"""News of logs as one worker tells them to the others, in bytes.

`e <worker> <after> <position> <payload>`   a new entry: the position before it, its own, its stored events
`s <worker> <status>`                       the log's new status
`c <run id>`                                on a worker's own channel: a run that it produces was cancelled

The store's scripts publish them in the same step that writes, so that no order but the log's is ever seen. `worker` is
who wrote: a worker leaves its own news out, having heard of it from the store's answer.
"""

from typing import get_args

import msgspec

from headwater.core.events import Entry, Status, decode_events
from headwater.core.position import Position, parse_position

_STATUSES: dict[bytes, Status] = {status.encode(): status for status in get_args(Status)}


class BadNews(ValueError):
    """Bytes that are no news of ours."""


def news_channel(prefix: str, log_id: str) -> str:
    """Where the news of a log is told."""
    return f"{prefix}:news:{{{log_id}}}"


def worker_channel(prefix: str, worker: str) -> str:
    """Where a worker is told of cancels."""
    return f"{prefix}:worker:{worker}"


def cancel_news(run_id: str) -> str:
    """The news of a cancel."""
    return f"c {run_id}"


def decode_cancel(news: bytes) -> str:
    """The run that was cancelled. Raises BadNews."""
    kind, _, run_id = news.partition(b" ")
    if kind != b"c" or not run_id or not run_id.isascii() or b" " in run_id:
        raise BadNews(f"not a cancel: {news[:80]!r}")
    return run_id.decode()


def entry_head(worker: str, after: Position, position: Position) -> str:
    """The news of an entry, up to its payload."""
    return f"e {worker} {after} {position} "


def status_news(worker: str, status: Status) -> str:
    """The news of a status."""
    return f"s {worker} {status}"


def is_from(worker: bytes, news: bytes) -> bool:
    """Whether this worker wrote it, as cheaply as can be: most of what a producer hears is its own."""
    return news.startswith(worker, 2) and news[len(worker) + 2 : len(worker) + 3] == b" "


def decode_news(news: bytes) -> Entry | Status:
    """What was told. Raises BadNews."""
    try:
        if news.startswith(b"e "):
            _, _, after, position, payload = news.split(b" ", 4)
            return _entry(parse_position(after.decode()), parse_position(position.decode()), payload)
        kind, _, status = news.split(b" ")
        if kind == b"s" and status in _STATUSES:
            return _STATUSES[status]
    except (ValueError, msgspec.MsgspecError, RecursionError) as error:  # the last of JSON that is too deep
        raise BadNews(f"not news: {news[:80]!r}") from error
    raise BadNews(f"not news: {news[:80]!r}")


def _entry(after: Position, position: Position, payload: bytes) -> Entry:
    events = decode_events(payload)
    if not events or len(events) != position.seq - after.seq:
        raise BadNews(f"{len(events)} events cannot cover ({after.seq}, {position.seq}]")
    return Entry(after, position.seq, position.tag, events)
