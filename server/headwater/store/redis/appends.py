"""The group commit: one pipeline of one script for each run, and an answer for each."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from redis.exceptions import ResponseError

from headwater.core.events import End
from headwater.core.news import entry_head, news_channel
from headwater.core.position import START
from headwater.redis_client import Command
from headwater.store.base import Append, AppendResult, Outcome
from headwater.store.redis import scripts
from headwater.store.redis.door import log
from headwater.store.redis.place import Place
from headwater.store.redis.replies import to_position
from headwater.store.redis.room_ends import MOVED, UNKNOWN, Told, in_room, tell


async def append(place: Place, batch: Sequence[Append]) -> list[AppendResult]:
    """Append each entry; one that is refused, or whose log is damaged, fails no other."""
    now = place.now()
    replies = await place.client.pipeline([_append(place, item, now) for item in batch], urgent=True)
    results: list[AppendResult] = []
    over: list[tuple[str, Any]] = []
    for item, reply in zip(batch, replies, strict=True):
        if reply == b"stored":
            results.append(AppendResult(Outcome.STORED, item.entry.position))
            continue
        if reply == MOVED:
            reply = await tell(place, item.run_id, item.entry.events, partial(_append, place, item, now))
        if isinstance(reply, ResponseError):
            log.error("the log of run %s takes no entry: %s", item.run_id, reply)
            results.append(AppendResult(Outcome.DAMAGED, START))
        else:
            outcome, top, cancelled, *ended = reply
            results.append(AppendResult(Outcome(outcome.decode()), to_position(top.decode()), bool(cancelled)))
            if ended:
                over.append((item.run_id, ended))
    if over:
        place.aside(place.note_ended(over))
    return results


def _append(place: Place, item: Append, now: str, told: Told = UNKNOWN) -> Command:
    entry, keys, run_id = item.entry, place.keys, item.run_id
    last = entry.events[-1]
    end = last.status if isinstance(last, End) else ""
    alone = end == "cancelled" and len(entry.events) == 1
    script, names, more = (
        in_room(place, run_id, scripts.APPEND, told) if end else (scripts.APPEND, keys.of_run(run_id), ())
    )
    return place.client.call(
        script,
        names,
        now,
        item.token,
        str(entry.after),
        str(entry.position),
        item.payload,
        entry_head(place.worker, entry.after, entry.position),
        news_channel(keys.prefix, run_id),
        int(alone),
        end,
        place.ttl_ms,
        *more,
    )
