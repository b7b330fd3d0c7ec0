"""An owner's runs, newest first."""

from collections.abc import Callable

from redis.exceptions import ResponseError

from headwater.core.events import Status
from headwater.errors import UnknownRun
from headwater.redis_client import RedisClient
from headwater.store.redis import scripts
from headwater.store.redis.keys import Keys

# Runs whose state is asked for at once: a page, or, with a filter that few pass, what a millisecond of Redis answers.
_LOOKED_AT = 200


class Lists:
    """Walks the sorted sets; runs that have expired or were never finished being created are passed over."""

    def __init__(self, client: RedisClient, keys: Keys, now: Callable[[], str]) -> None:
        self._client = client
        self._keys = keys
        self._now = now

    async def find(
        self, owner: str, conversation: str | None, status: Status | None, before: str | None, limit: int
    ) -> tuple[list[str], bool]:
        """Up to `limit` ids of runs older than `before`, and whether there are more. Raises UnknownRun."""
        below = "+inf" if before is None else await self._age_of(owner, before)
        found: list[str] = []
        name = self._keys.lists(owner, conversation)[-1]
        while True:
            rows = await self._client.one(
                ("ZREVRANGEBYSCORE", name, f"({below}", "-inf", "WITHSCORES", "LIMIT", 0, _LOOKED_AT)
            )
            ids = [member.decode() for member in rows[::2]]
            found += await self._that_are(status, ids, owner, conversation)
            if len(found) > limit:
                return found[:limit], True
            if len(ids) < _LOOKED_AT:
                return found, False
            below = rows[-1].decode()

    async def _age_of(self, owner: str, run_id: str) -> str:
        """Where the owner's list has it."""
        age, stands = await self._client.pipeline(
            [
                ("ZSCORE", self._keys.runs(owner), run_id),
                self._client.call(scripts.STAND, [self._keys.run(run_id)], self._now()),
            ]
        )
        if age is None or stands is None or isinstance(stands, ResponseError) or stands[5] != owner.encode():
            raise UnknownRun(f"There is no run {run_id} to list from.", field="before")
        return str(age.decode())

    async def _that_are(self, status: Status | None, ids: list[str], owner: str, conversation: str | None) -> list[str]:
        commands = [self._client.call(scripts.STAND, [self._keys.run(run_id)], self._now()) for run_id in ids]
        replies = await self._client.pipeline(commands) if commands else []
        return [
            run_id
            for run_id, reply in zip(ids, replies, strict=True)
            if reply is not None
            and not isinstance(reply, ResponseError)
            and reply[5].decode() == owner
            and (status is None or reply[1].decode() == status)
            and (conversation is None or reply[6] == conversation.encode())
        ]
