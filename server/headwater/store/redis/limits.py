"""Windows and places in Redis: one script decides and writes."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from headwater.redis_client import Command, RedisClient
from headwater.store.limits import Charge, Limits, Verdict
from headwater.store.redis import scripts
from headwater.store.redis.door import Door, in_ms, undamaged
from headwater.store.redis.keys import Keys

# Of one name in one script: about a millisecond of Redis's one thread.
_MEMBERS_AT_ONCE = 500


class RedisLimits(Limits):
    """Counts behind `prefix`, for all workers. The client is the caller's to open and close.

    `clock`: Unix seconds; without one, Redis's own.
    """

    def __init__(self, client: RedisClient, *, prefix: str, clock: Callable[[], float] | None = None) -> None:
        self._door = Door(client, Keys(prefix), clock)

    def __repr__(self) -> str:
        return f"<RedisLimits {self._door.client.name} prefix={self._door.keys.prefix}>"

    async def charge(self, charges: Sequence[Charge]) -> list[Verdict]:
        if not charges:
            return []
        door = self._door
        names = [door.keys.window(item.name) for item in charges]
        commands = [
            door.run_script(scripts.CHARGE, [name], item.cost, item.limit, in_ms(item.window_s))
            for name, item in zip(names, charges, strict=True)
        ]
        replies = await door.client.pipeline(commands)
        return [
            _verdict(item, undamaged("a limit", name, reply))
            for item, name, reply in zip(charges, names, replies, strict=True)
        ]

    async def add(self, name: str, amount: int, window_s: float) -> None:
        window = self._door.keys.window(name)
        await self._ask(window, self._door.run_script(scripts.CHARGE, [window], amount, "", in_ms(window_s)))

    async def used(self, name: str) -> tuple[int, float]:
        window = self._door.keys.window(name)
        reply = await self._ask(window, self._door.run_script(scripts.USED, [window]))
        return (0, 0.0) if reply is None else (reply[0], reply[1] / 1000)

    async def hold(self, name: str, member: str, limit: int, ttl_s: float) -> bool:
        places = self._door.keys.places(name)
        command = self._door.run_script(scripts.HOLD, [places], member, limit, in_ms(ttl_s))
        return bool(await self._ask(places, command))

    async def keep(self, held: Sequence[tuple[str, str]], ttl_s: float) -> None:
        ms = in_ms(ttl_s)
        await self._of_places(held, lambda name, some: self._door.run_script(scripts.KEEP, [name], ms, *some))

    async def let_go(self, held: Sequence[tuple[str, str]]) -> None:
        await self._of_places(held, lambda name, some: ("ZREM", name, *some))

    async def holders(self, name: str) -> dict[str, float]:
        places = self._door.keys.places(name)
        found = await self._ask(places, self._door.run_script(scripts.HOLDERS, [places]))
        return {member.decode(): int(ms) / 1000 for member, ms in zip(found[::2], found[1::2], strict=True)}

    async def _ask(self, key: str, command: Command) -> Any:
        return undamaged("a limit", key, await self._door.ask(command))

    async def _of_places(
        self, held: Sequence[tuple[str, str]], command: Callable[[str, Sequence[str]], Command]
    ) -> None:
        """Do something to places, those of one name together."""
        members: defaultdict[str, list[str]] = defaultdict(list)
        for name, member in held:
            members[self._door.keys.places(name)].append(member)
        parts = [
            (name, some[first : first + _MEMBERS_AT_ONCE])
            for name, some in members.items()
            for first in range(0, len(some), _MEMBERS_AT_ONCE)
        ]
        if parts:
            replies = await self._door.client.pipeline([command(name, some) for name, some in parts])
            for (name, _), reply in zip(parts, replies, strict=True):
                undamaged("a limit", name, reply)


def _verdict(item: Charge, reply: Sequence[int]) -> Verdict:
    admitted, used, left_ms = reply
    return Verdict(bool(admitted), max(0, item.limit - used), left_ms / 1000)
