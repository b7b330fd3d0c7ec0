"""One connection on which Redis tells news, and what was asked on it."""

import asyncio
import math
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from itertools import groupby
from operator import itemgetter
from typing import Any

from redis.asyncio.client import PubSub
from redis.exceptions import TimeoutError as RedisTimeoutError

from headwater.redis_client import cancellable

# Channels in one command: some 30 KB, which keep Redis from everything else for half a millisecond.
CHANNELS_TOGETHER = 500


class Link:
    """Once it has failed it is never used again: redis-py would make another connection unasked, and say nothing.

    Only `write` writes, so that all goes in order. What waits for it is bounded by `probe`, which ends a link that
    takes nothing.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._heard_at = -math.inf  # so that a new one is tried at once
        self._outbox: list[tuple[str, bytes]] = []
        self._asked = asyncio.Event()
        self._unconfirmed: dict[bytes, int] = {}

    # -- asking

    def subscribe(self, channels: Iterable[bytes]) -> None:
        """Ask for these. Redis confirms each SUBSCRIBE once, in order."""
        for channel in channels:
            self._unconfirmed[channel] = self._unconfirmed.get(channel, 0) + 1
            self._ask("SUBSCRIBE", channel)

    def unsubscribe(self, channel: bytes) -> None:
        """Ask for it no more."""
        self._ask("UNSUBSCRIBE", channel)

    def confirmed(self, channel: bytes) -> bool:
        """Count a confirmation. Whether it is that of the channel's newest SUBSCRIBE."""
        left = self._unconfirmed.pop(channel, 1) - 1
        if left:
            self._unconfirmed[channel] = left
        return not left

    def _ask(self, verb: str, argument: bytes) -> None:
        self._outbox.append((verb, argument))
        self._asked.set()

    # -- for as long as it lives

    async def write(self) -> None:
        """Send what is asked; what is asked in one step of the loop goes together. Raises RedisError."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            outbox, self._outbox = self._outbox, []
            commands: list[tuple[str | bytes, ...]] = []
            for verb, group in groupby(outbox, key=itemgetter(0)):
                arguments = [argument for _, argument in group]
                starts = range(0, len(arguments), CHANNELS_TOGETHER)
                commands.extend((verb, *arguments[start : start + CHANNELS_TOGETHER]) for start in starts)
            with cancellable():
                await self._connection.send_packed_command(self._connection.pack_commands(commands), check_health=False)

    async def read(self) -> Any:
        """The next that Redis says, however long it takes. Raises RedisError."""
        reply = await self._connection.read_response(timeout=math.inf, disconnect_on_error=False)
        self._heard_at = self._loop.time()
        return reply

    async def probe(self, probe_s: float, timeout_s: float) -> None:
        """Ask for a sign of life whenever there was none for so long. Raises RedisError if none comes in time."""
        while True:
            silent_s = self._loop.time() - self._heard_at
            if silent_s < probe_s:
                await asyncio.sleep(probe_s - silent_s)
                continue
            asked_at = self._loop.time()
            self._ask("PING", b"")
            await asyncio.sleep(timeout_s)
            if self._heard_at < asked_at:
                raise RedisTimeoutError("no answer in time")


@asynccontextmanager
async def linked(listener: PubSub) -> AsyncIterator[Link]:
    """A link over a new connection, closed after the block. Raises RedisError, OSError."""
    try:
        with cancellable():
            await listener.connect()  # type: ignore[no-untyped-call]
            connection: Any = listener.connection
            # It may be one that has lain idle, as dead as the last, or to the primary of before a failover.
            await connection.disconnect(nowait=True)
            await connection.connect()
        yield Link(connection)
    finally:
        await listener.aclose()  # type: ignore[no-untyped-call]
