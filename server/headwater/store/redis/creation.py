"""How a run comes to be: its key is reserved, it is entered into sets and lists, and it is written.

Each step is a script that may be repeated, in this order; whoever finds them half done completes them.
"""

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from headwater.core.run import Run
from headwater.errors import IdempotencyConflict
from headwater.redis_client import Command
from headwater.store.base import Claim, Created, IdempotencyKey
from headwater.store.redis import reads, scripts
from headwater.store.redis.door import Door, in_ms
from headwater.store.redis.place import Place, value_of
from headwater.store.redis.replies import to_run

_encode = msgspec.json.Encoder().encode


class _Reservation(Struct, frozen=True):
    """What an idempotency key stands for; `done` once its run has been written, `until` in ms."""

    name: str
    run_id: str
    body_hash: str
    done: bool
    until: str


async def create(place: Place, run: Run, key: IdempotencyKey | None, claim: Claim | None = None) -> Created:
    """See the contract. Reservation, marks and run are steps that whoever comes next completes."""
    body = body_of(run)
    if key is None:
        return await _write(place, run, body, None, claim)
    name = place.keys.reservation(key.owner, key.key)
    replaced = ""
    while True:
        held = await _reserve(place, name, run.id, key, replaced)
        if held.run_id == run.id and held.body_hash == key.body_hash:
            return await _write(place, run, body, held, claim)
        first = await _first(place, held.run_id, held.body_hash, key)
        if first is not None:
            return Created(first, False)
        if not held.done and held.body_hash == key.body_hash:
            # Its worker died, or is slow, between the steps: the run is the same one, whoever writes it.
            return await _write(place, replace(run, id=held.run_id), body, held, claim)
        replaced = held.run_id


async def reserved(place: Place, key: IdempotencyKey) -> Run | None:
    """See the contract."""
    name = place.keys.reservation(key.owner, key.key)
    held = await place.client.one(place.run_script(scripts.RESERVATION, [name]))
    return None if held is None else await _first(place, held[0].decode(), held[1].decode(), key)


async def _first(place: Place, run_id: str, body_hash: str, key: IdempotencyKey) -> Run | None:
    """The run that a key was reserved for, if it is there. Raises IdempotencyConflict."""
    first = await reads.get(place, run_id)
    if first is not None and body_hash != key.body_hash:
        raise IdempotencyConflict(
            "This Idempotency-Key was used with another body: use a new key for a new request.",
            field="Idempotency-Key",
        )
    return first


async def _reserve(place: Place, name: str, run_id: str, key: IdempotencyKey, replaced: str) -> _Reservation:
    """The reservation that counts."""
    args = (run_id, key.body_hash, in_ms(key.ttl_s), replaced)
    reply = await place.client.one(place.run_script(scripts.RESERVE, [name], *args))
    held, body_hash, state, until = (part.decode() for part in reply)
    return _Reservation(name, held, body_hash, state == "done", until)


async def _write(place: Place, run: Run, body: bytes, held: _Reservation | None, claim: Claim | None) -> Created:
    keys = place.keys
    lease = ("", "", "") if claim is None else (claim.tag, in_ms(claim.lease_s), claim.holder)
    # Marked first: a mark without a run is passed over, a run without a mark would not be found.
    steps: list[Command] = [
        place.run_script(scripts.MARK, [keys.unfinished], run.id, lease[1] or 0),
        index(place, run, anew=False),
        place.of_run(
            scripts.CREATE,
            run.id,
            *run_args(run, body, held.name if held else "", lease),
        ),
    ]
    if held is not None:
        steps.append(place.client.call(scripts.RESERVED, [held.name], run.id))
        steps.append(("ZADD", keys.reservations, held.until, held.name))
    replies = await place.client.pipeline(steps)
    how, fields, stored = value_of(run.id, replies[2])
    if how == b"again":
        await place.client.pipeline([index(place, run, anew=True)])
    if how == b"first" and held is not None and held.name.encode() not in fields:
        # The run was there without this key, which is then not its.
        unreserve = place.run_script(scripts.UNRESERVE, [held.name], run.id)
        await place.client.pipeline([unreserve, ("ZREM", keys.reservations, held.name)])
    return Created(to_run(run.id, fields, stored), how != b"first")


def body_of(run: Run) -> bytes:
    """Its request, as it is stored."""
    return _encode(replace(run.request, stream=False))


def run_args(run: Run, body: bytes, held: str, lease: tuple[str | int, ...]) -> tuple[str | bytes | int, ...]:
    """What scripts that create a run are told of it, as store/lua/create_run.lua has it."""
    return (run.owner, run.model, run.conversation or "", body, held, *lease, run.caller, run.room or "")


def index(door: Door, run: Run, *, anew: bool) -> Command:
    """Enter a run into its owner's lists."""
    return door.run_script(scripts.INDEX, door.keys.lists(run.owner, run.conversation), run.id, int(anew))
