"""What is deleted, and what a sweep leaves nothing of."""

from collections.abc import Sequence

import msgspec
from redis.exceptions import ResponseError

from headwater.errors import RunNotEnded, UnknownRun
from headwater.redis_client import Command
from headwater.store.redis import scripts
from headwater.store.redis.place import Place, checked, expiring_member

_member_decoder = msgspec.json.Decoder(tuple[str, str, str | None])


async def delete(place: Place, run_id: str) -> None:
    """Remove an ended run with all that names it. Raises UnknownRun, RunNotEnded, DamagedLog."""
    what, *whose = await place.ask_of(run_id, place.of_run(scripts.FORGET, run_id, 1))
    if what in (b"absent", b"expired"):
        raise UnknownRun(f"There is no run {run_id}.")
    if what != b"removed":
        raise RunNotEnded(f"Run {run_id} is {what.decode()}: cancel it and wait for its end before deleting it.")
    owner, conversation, reservation = whose
    await place.client.pipeline(_unlist(place, run_id, owner.decode(), _text(conversation), reservation))


def _unlist(
    place: Place, run_id: str, owner: str, conversation: str | None, reservation: bytes | None
) -> list[Command]:
    """Remove a run that is no more from the lists, with its reservation."""
    commands: list[Command] = [("ZREM", each, run_id) for each in place.keys.lists(owner, conversation)]
    commands.append(("ZREM", place.keys.expiring, expiring_member(run_id, owner, conversation)))
    if reservation:
        commands.append(place.run_script(scripts.UNRESERVE, [reservation.decode()], run_id))
    return commands


async def expire(place: Place, limit: int) -> int:
    """Remove what has expired from lists and sets: how many. The keys of a run vanish by themselves."""
    runs = await _expire_runs(place, limit)
    return runs + await _expire_reservations(place, limit - runs)


async def _expire_runs(place: Place, limit: int) -> int:
    _, due = await place.due(place.keys.expiring, limit)
    if not due:
        return 0
    entries = [_member_decoder.decode(member) for member, _ in due]
    replies = await place.client.pipeline([place.of_run(scripts.FORGET, run_id, 0) for run_id, _, _ in entries])
    commands: list[Command] = []
    removed = 0
    for (run_id, owner, conversation), (member, _), reply in zip(entries, due, replies, strict=True):
        commands.append(("ZREM", place.keys.expiring, member))
        what, reservation = _what_became(reply)
        if what != b"living":
            removed += 1
            commands += _unlist(place, run_id, owner, conversation, reservation)
    await place.client.pipeline(commands)
    return removed


def _what_became(reply: Sequence[bytes] | ResponseError) -> tuple[bytes, bytes | None]:
    """What FORGET did, and the reservation of what it removed. What it cannot read is not a run of ours."""
    if isinstance(reply, ResponseError):
        return b"absent", None
    return reply[0], reply[3] if len(reply) > 3 else None


async def _expire_reservations(place: Place, limit: int) -> int:
    if limit <= 0:
        return 0
    _, due = await place.due(place.keys.reservations, limit)
    if not due:
        return 0
    names = [member.decode() for member, _ in due]
    commands = [place.run_script(scripts.UNRESERVE, [name], "") for name in names]
    replies = checked(await place.client.pipeline([*commands, ("ZREM", place.keys.reservations, *names)]))
    return sum(replies[: len(names)])


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()
