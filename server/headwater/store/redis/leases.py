"""Who may produce a run, the cancel that overrules them, and what is done where nobody can."""

from collections.abc import Sequence
from typing import Any

from redis.exceptions import ResponseError

from headwater.core.events import End, Entry, Status, encode_events
from headwater.core.lifecycle import ENDED, end_cancelled
from headwater.core.news import cancel_news, news_channel, status_news, worker_channel
from headwater.core.run import Run
from headwater.errors import DamagedLog
from headwater.redis_client import Command
from headwater.store.base import Cancelled, Lease, RenewResult, Stale
from headwater.store.redis import room_ends, scripts
from headwater.store.redis.door import in_ms
from headwater.store.redis.place import Place
from headwater.store.redis.replies import to_position, to_run, to_top

# A run whose creation was begun and never finished: no request takes as long as this.
_UNBORN_S = 60.0


async def take(place: Place, run_id: str, seen: int, tag: int, holder: str, lease_s: float) -> Lease | None:
    """Take the lease if the newest token is still `seen` and nobody holds it, or if `tag` has it already."""
    channel, news = news_channel(place.keys.prefix, run_id), status_news(place.worker, "in_progress")
    command = place.of_run(scripts.TAKE, run_id, seen, tag, holder, in_ms(lease_s), channel, news)
    reply = await place.ask_of(run_id, command)
    if reply is None:
        return None
    fields, body, released = reply
    return Lease(to_run(run_id, fields, body), seen + 1, tag, released == b"1")


async def renew(place: Place, held: Sequence[tuple[str, int]], lease_s: float) -> list[RenewResult]:
    """Extend each lease that nobody else has taken."""
    ms = in_ms(lease_s)
    commands = [place.run_script(scripts.RENEW, [place.keys.run(run_id)], token, ms) for run_id, token in held]
    replies = await place.client.pipeline(commands, urgent=True)
    results: list[RenewResult] = []
    later: list[Any] = []
    for (run_id, _), reply in zip(held, replies, strict=True):
        if reply is None or isinstance(reply, ResponseError):
            results.append(RenewResult(False))
        else:
            cancelled, until = reply
            results.append(RenewResult(True, cancelled == b"1"))
            later += [until, run_id]
    if later:
        # So that sweeps need not look at them. A run's own word counts; this is when to ask for it.
        place.aside(place.note(("ZADD", place.keys.unfinished, "XX", *later)))
    return results


async def release(place: Place, run_id: str, token: int) -> None:
    """Let another take the run at once."""
    command = place.client.call(scripts.RELEASE, [place.keys.run(run_id)], token)
    if await place.ask_of(run_id, command):
        await place.note(("ZADD", place.keys.unfinished, "XX", 0, run_id))


async def stale(place: Place, limit: int) -> list[Stale]:
    """Unfinished runs that nobody holds. The set says where to look; the runs themselves say how it is."""
    unfinished = place.keys.unfinished
    now, due = await place.due(unfinished, limit)
    replies = await place.client.pipeline([place.stand(member.decode()) for member, _ in due]) if due else []
    notes: list[Command] = []
    over: list[tuple[str, Any]] = []
    found: list[tuple[int, Stale]] = []
    for (member, since), reply in zip(due, replies, strict=True):
        run_id = member.decode()
        if reply is None:
            if now - since > in_ms(_UNBORN_S):
                notes.append(("ZREM", unfinished, run_id))
            continue
        try:
            _sort(run_id, reply, now, found, over, notes, unfinished)
        except (DamagedLog, TypeError, ValueError):
            notes.append(("ZREM", unfinished, run_id))  # nobody can produce it, and whoever reads it is told
    if notes:
        await place.note(*notes)
    if over:
        await place.note_ended(over)
    return [one for _, one in sorted(found, key=lambda pair: pair[0])]


def _sort(
    run_id: str,
    reply: Any,
    now: int,
    found: list[tuple[int, Stale]],
    over: list[tuple[str, Any]],
    notes: list[Command],
    unfinished: str,
) -> None:
    """Put a run where it belongs. Raises DamagedLog, TypeError, ValueError."""
    position, status, token, until, created, *whose, model = reply
    top = to_top(run_id, position, status)
    if top.status in ENDED:
        over.append((run_id, whose))
    elif int(until) > now:
        notes.append(("ZADD", unfinished, "XX", until, run_id))
    else:
        found.append((int(created), _stale(run_id, top.status, token, until, model)))


def _stale(run_id: str, status: Status, token: bytes, until: bytes, model: bytes) -> Stale:
    return Stale(run_id, int(token), status, token != b"0" and until == b"0", model.decode())


async def cancel(place: Place, run_id: str, tag: int) -> Cancelled | None:
    """Tell the holder; where nobody holds the run, write its end."""
    prefix = place.keys.prefix
    last = end_cancelled()
    reply = await room_ends.end(
        place,
        run_id,
        scripts.CANCEL,
        last,
        *(tag, encode_events((last,)), place.ttl_ms, news_channel(prefix, run_id), place.worker),
        *(worker_channel(prefix, ""), cancel_news(run_id)),
    )
    if reply is None:
        return None
    fields, body, before = reply
    run = to_run(run_id, fields, body)
    if before is None:
        return Cancelled(run, None)
    after = to_position(before.decode())
    await place.note_ended([(run_id, _whose(run))])
    return Cancelled(run, Entry(after, after.seq + 1, tag, (last,)))


def _whose(run: Run) -> tuple[bytes, bytes | None, bytes]:
    assert run.expires_at is not None, "it has ended"
    conversation = None if run.conversation is None else run.conversation.encode()
    return run.owner.encode(), conversation, str(in_ms(run.expires_at)).encode()


async def give_up(place: Place, run_id: str, seen: int, tag: int, end: End) -> Entry | None:
    """Write the end of a run that is held under `tag`, or whose newest token is `seen` and which nobody holds."""
    reply = await room_ends.end(
        place,
        run_id,
        scripts.GIVE_UP,
        end,
        *(seen, tag, encode_events((end,)), end.status, place.ttl_ms),
        *(news_channel(place.keys.prefix, run_id), place.worker),
    )
    if reply is None:
        return None
    before, *whose = reply
    await place.note_ended([(run_id, whose)])
    after = to_position(before.decode())
    return Entry(after, after.seq + 1, tag, (end,))
