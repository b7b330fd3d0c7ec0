"""What every operation needs: the way to Redis, the names of keys, the time."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

from redis.exceptions import ResponseError

from headwater.errors import StoreUnavailable
from headwater.redis_client import Command, RedisClient, Script
from headwater.store.redis.keys import Keys

log = logging.getLogger("headwater.store")


class Door:
    """A way into a Redis. `clock`: Unix seconds; without one, Redis's own."""

    def __init__(self, client: RedisClient, keys: Keys, clock: Callable[[], float] | None) -> None:
        self.client = client
        self.keys = keys
        self._clock = clock

    def now(self) -> str:
        """What the scripts are told of the time: nothing, where their Redis knows it."""
        return "" if self._clock is None else str(in_ms(self._clock()))

    def run_script(self, script: Script, keys: Sequence[str], *args: str | bytes | int | float) -> Command:
        """A script that begins with the time."""
        return self.client.call(script, keys, self.now(), *args)

    async def ask(self, command: Command) -> Any:
        """The reply to one command, or the ResponseError that it is."""
        (reply,) = await self.client.pipeline([command])
        return reply


def undamaged(what: str, key: str, reply: Any) -> Any:
    """A reply, unless it failed on what it found under `key`. Raises StoreUnavailable, which names `what` it is."""
    if isinstance(reply, ResponseError):
        log.error("what is stored of %s under the key %r is damaged, remove it: %s", what, key, reply)
        raise StoreUnavailable(f"What is stored of {what} is damaged: something foreign lies under its name.")
    return reply


def in_ms(seconds: float) -> int:
    """Whole milliseconds."""
    return round(seconds * 1000)
