"""News of logs as one worker tells them to the others, in bytes.

`e <worker> <after> <position> <payload>`   a new entry: the position before it, its own, its stored events
`r <worker> <after> <position> <payload>`   the same of a room's log
`s <worker> <status>`                       the log's new status
`s <worker> removed`                        there is no such log any more
`w <worker> <whisper>`                      what passes in a room and is kept nowhere
`c <run id>`                                on a worker's own channel: a run that it produces was cancelled

The store's scripts publish them in the same step that writes, so that no order but the log's is ever seen; only
whispers come from workers. `worker` is who wrote: a worker leaves its own news out, having heard of it from the
store's answer.
"""

from typing import cast, get_args

import msgspec
from msgspec import Struct

from headwater.core.events import Entry, Event, Status, decode_events
from headwater.core.position import Position, parse_position
from headwater.core.room import decode_room_events

_STATUSES: dict[bytes, Status] = {status.encode(): status for status in get_args(Status)}
_REMOVED = b"removed"


class Whisper(Struct, frozen=True, gc=False):
    """What one worker says to the others who follow a room; what it means is the rooms' own."""

    data: bytes


class Removed(Struct, frozen=True):
    """A log is there no more, or is another one of the same name."""


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


def removal_news(worker: str) -> str:
    """The news of a removal."""
    return f"s {worker} {_REMOVED.decode()}"


def whisper_news(worker: str, whisper: Whisper) -> bytes:
    """The news of a whisper."""
    return b"w %b %b" % (worker.encode(), whisper.data)


def is_from(worker: bytes, news: bytes) -> bool:
    """Whether this worker wrote it, as cheaply as can be: most of what a producer hears is its own."""
    return news.startswith(worker, 2) and news[len(worker) + 2 : len(worker) + 3] == b" "


def decode_news(news: bytes) -> Entry | Status | Removed | Whisper:
    """What was told. Raises BadNews."""
    try:
        if news.startswith(b"e "):
            _, _, after, position, payload = news.split(b" ", 4)
            return _entry(parse_position(after.decode()), parse_position(position.decode()), decode_events(payload))
        if news.startswith(b"r "):
            _, _, after, position, payload = news.split(b" ", 4)
            events = cast(tuple[Event, ...], decode_room_events(payload))
            return _entry(parse_position(after.decode()), parse_position(position.decode()), events)
        if news.startswith(b"w "):
            return Whisper(news.split(b" ", 2)[2])
        kind, _, status = news.split(b" ")
        if kind == b"s" and status in _STATUSES:
            return _STATUSES[status]
        if kind == b"s" and status == _REMOVED:
            return Removed()
    except (IndexError, ValueError, msgspec.MsgspecError, RecursionError) as error:  # the last of JSON that is too deep
        raise BadNews(f"not news: {news[:80]!r}") from error
    raise BadNews(f"not news: {news[:80]!r}")


def _entry(after: Position, position: Position, events: tuple[Event, ...]) -> Entry:
    if not events or len(events) != position.seq - after.seq:
        raise BadNews(f"{len(events)} events cannot cover ({after.seq}, {position.seq}]")
    return Entry(after, position.seq, position.tag, events)
