"""An owner's runs, newest first. Runs that have expired or were never finished being created are passed over."""

from collections.abc import Sequence
from typing import Any

from redis.exceptions import ResponseError

from headwater.core.events import Status
from headwater.errors import UnknownRun
from headwater.store.redis.place import Place

# Runs whose state is asked for at once: a page, or, with a filter that few pass, what a millisecond of Redis answers.
_LOOKED_AT = 200


async def find(
    place: Place, owner: str, conversation: str | None, status: Status | None, before: str | None, limit: int
) -> tuple[list[str], bool]:
    """Up to `limit` ids of runs older than `before`, and whether there are more. Raises UnknownRun."""
    below = "+inf" if before is None else await _age_of(place, owner, before)
    name = place.keys.lists(owner, conversation)[-1]
    found: list[str] = []
    while True:
        page = ("ZREVRANGEBYSCORE", name, f"({below}", "-inf", "WITHSCORES", "LIMIT", 0, _LOOKED_AT)
        rows = await place.client.one(page)
        ids = [member.decode() for member in rows[::2]]
        stands = await place.client.pipeline([place.stand(run_id) for run_id in ids]) if ids else []
        found += [
            run_id for run_id, stand in zip(ids, stands, strict=True) if _matches(stand, owner, conversation, status)
        ]
        if len(found) > limit:
            return found[:limit], True
        if len(ids) < _LOOKED_AT:
            return found, False
        below = rows[-1].decode()


async def _age_of(place: Place, owner: str, run_id: str) -> str:
    """Where the owner's list has it."""
    age, stand = await place.client.pipeline([("ZSCORE", place.keys.runs(owner), run_id), place.stand(run_id)])
    if age is None or not _matches(stand, owner, None, None):
        raise UnknownRun(f"There is no run {run_id} to list from.", field="before")
    return str(age.decode())


def _matches(
    stand: Sequence[Any] | ResponseError | None, owner: str, conversation: str | None, status: Status | None
) -> bool:
    """Whether a run is there, is the owner's, and passes the filters."""
    if stand is None or isinstance(stand, ResponseError) or stand[5] != owner.encode():
        return False
    if conversation is not None and stand[6] != conversation.encode():
        return False
    return status is None or bool(stand[1] == status.encode())
