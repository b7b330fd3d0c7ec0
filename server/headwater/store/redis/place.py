"""What every operation on runs needs: a door, who works here, and what waits for nobody."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, NoReturn

import msgspec
from redis.exceptions import ResponseError

from headwater.errors import DamagedLog, StoreUnavailable
from headwater.redis_client import Command, RedisClient, Script
from headwater.store.redis import scripts
from headwater.store.redis.door import Door, log
from headwater.store.redis.keys import Keys
from headwater.tasks import say_why_it_failed

_encode = msgspec.json.Encoder().encode


class Place(Door):
    """One worker's place at a Redis. `ttl_ms` is how long an ended run is kept."""

    def __init__(
        self, client: RedisClient, worker: str, keys: Keys, ttl_ms: int, clock: Callable[[], float] | None
    ) -> None:
        super().__init__(client, keys, clock)
        self.worker = worker
        self.ttl_ms = ttl_ms
        self._aside: set[asyncio.Task[None]] = set()

    def of_run(self, script: Script, run_id: str, *args: str | bytes | int | float) -> Command:
        """A script on all keys of one run."""
        return self.run_script(script, self.keys.of_run(run_id), *args)

    def stand(self, run_id: str) -> Command:
        """Where a run stands."""
        return self.run_script(scripts.STAND, [self.keys.run(run_id)])

    async def ask_of(self, run_id: str, command: Command) -> Any:
        """The reply to a command on a run. Raises DamagedLog."""
        return value_of(run_id, await self.ask(command))

    async def due(self, name: str, limit: int) -> tuple[int, list[tuple[bytes, float]]]:
        """The time in ms, and what is due in a set that is ordered by time, each with since when."""
        now, *found = await self.client.one(self.run_script(scripts.DUE, [name], limit))
        return int(now), [(member, float(since)) for member, since in zip(found[::2], found[1::2], strict=True)]

    # -- beside

    def aside(self, work: Coroutine[Any, Any, None]) -> None:
        """Do what no caller waits for."""
        task = asyncio.create_task(work)
        self._aside.add(task)
        task.add_done_callback(self._aside.discard)
        task.add_done_callback(say_why_it_failed)

    async def settle(self) -> None:
        """Return once nothing is done aside any more."""
        if self._aside:
            await asyncio.gather(*self._aside, return_exceptions=True)

    async def note(self, *commands: Command) -> None:
        """Tell the sets, which only say where to look: should it be lost, a sweep finds out by itself."""
        with suppress(StoreUnavailable):
            await self.client.pipeline(commands)

    async def note_ended(self, over: Sequence[tuple[str, Any]]) -> None:
        """Let the sets know of ended runs, each with its owner, conversation and expiry as stored."""
        commands: list[Command] = []
        for run_id, (owner, conversation, expires) in over:
            member = expiring_member(run_id, owner.decode(), conversation and conversation.decode())
            commands.append(("ZADD", self.keys.expiring, expires, member))
            commands.append(("ZREM", self.keys.unfinished, run_id))
        await self.note(*commands)


def expiring_member(run_id: str, owner: str, conversation: str | None) -> bytes:
    """What the set of expiring runs holds of one: what is needed to find it in its lists."""
    return _encode((run_id, owner, conversation))


def damaged(run_id: str, why: object) -> NoReturn:
    """Raises DamagedLog."""
    raise DamagedLog(f"What is stored of run {run_id} is damaged: {why}.")


def value_of(run_id: str, reply: Any) -> Any:
    """A script's reply, unless it failed on what it found under the run's names. Raises DamagedLog."""
    if isinstance(reply, ResponseError):
        log.error("what is stored of run %s is damaged: %s", run_id, reply)
        damaged(run_id, "something foreign lies under its name")
    return reply


def checked(replies: Sequence[Any]) -> Sequence[Any]:
    """The replies. Raises the first ResponseError among them."""
    for reply in replies:
        if isinstance(reply, ResponseError):
            raise reply
    return replies
