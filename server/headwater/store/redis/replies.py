"""What the scripts return, as the contract's values. What does not fit is damage, and names its run."""

from collections.abc import Callable, Sequence
from typing import Any, Final, cast, get_args

import msgspec

from headwater.core.events import Entry, Status, decode_events
from headwater.core.position import START, Position, parse_position
from headwater.core.run import Run, RunRequest
from headwater.store.base import Top
from headwater.store.redis.place import damaged

_STATUSES: Final = frozenset(get_args(Status))
_request_decoder = msgspec.json.Decoder(RunRequest)


def to_run(run_id: str, fields: Sequence[bytes], body: bytes | None) -> Run:
    """A run from its hash, as names and values in turn, and its request. Raises DamagedLog."""
    has = {name.decode(): value.decode() for name, value in zip(fields[::2], fields[1::2], strict=True)}
    if body is None:
        damaged(run_id, "its request is missing")
    try:
        return Run(
            id=run_id,
            owner=has["owner"],
            caller=has.get("caller", ""),
            model=has["model"],
            request=_request_decoder.decode(body),
            created_at=_seconds(has["created"]),
            conversation=has.get("conversation"),
            room=has.get("room"),
            status=to_status(has["status"]),
            started_at=_time(has.get("started")),
            ended_at=_time(has.get("ended")),
            expires_at=_time(has.get("expires")),
            position=to_position(has["top"]),
            token=int(has["token"]),
            cancelled="cancelled" in has,
        )
    except (KeyError, ValueError, msgspec.MsgspecError) as error:
        damaged(run_id, error)


def to_status(text: str) -> Status:
    """Raises ValueError."""
    if text not in _STATUSES:
        raise ValueError(f"{text!r} is no status")
    return cast(Status, text)


def to_position(text: str) -> Position:
    """Raises ValueError."""
    return START if text == "0-0" else parse_position(text)


def to_top(run_id: str, position: bytes, status: bytes) -> Top:
    """Where a log stands. Raises DamagedLog."""
    try:
        return Top(to_position(position.decode()), to_status(status.decode()))
    except ValueError as error:
        damaged(run_id, error)


def to_entries(run_id: str, after: Position, rows: Sequence[bytes]) -> tuple[Entry, ...]:
    """Entries from positions and payloads in turn, the first cut to begin at `after`. Raises DamagedLog."""
    try:
        return chained(after, rows, decode_events)
    except ValueError as error:
        damaged(run_id, error)


def chained(after: Position, rows: Sequence[bytes], decode: Callable[[bytes], tuple[Any, ...]]) -> tuple[Entry, ...]:
    """The same of any log. Raises ValueError."""
    entries: list[Entry] = []
    at = after
    for place, payload in zip(rows[::2], rows[1::2], strict=True):
        try:
            position, events = to_position(place.decode()), decode(payload)
        except (ValueError, msgspec.MsgspecError) as error:
            raise ValueError(f"after seq {at.seq}: {error}") from error
        surplus = len(events) - (position.seq - at.seq)
        # The first may begin before `after`; the others must begin where the one before ends.
        if surplus < 0 or (surplus and entries):
            raise ValueError(f"events are missing or repeated before seq {position.seq}")
        entries.append(Entry(at, position.seq, position.tag, events[surplus:]))
        at = position
    return tuple(entries)


def _time(text: str | None) -> float | None:
    return None if text is None else _seconds(text)


def _seconds(milliseconds: str) -> float:
    return int(milliseconds) / 1000
