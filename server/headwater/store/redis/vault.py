"""Credentials in Redis: API keys in one hash, each ticket in one of its own."""

from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from headwater.redis_client import RedisClient
from headwater.store.redis import scripts
from headwater.store.redis.door import Door, in_ms, log, undamaged
from headwater.store.redis.keys import Keys
from headwater.store.vault import ApiKey, Vault

# Of the fields of the hash, before a key's id. A revocation stands beside its key, which so is never written again.
_KEY = "key:"
_REVOKED = "revoked:"
_PAGE_SECRET = "page"

_encode = msgspec.json.Encoder().encode
_key_decoder = msgspec.json.Decoder(ApiKey)


class RedisVault(Vault):
    """Keys and tickets behind `prefix`. The client is the caller's to open and close.

    `clock`: Unix seconds; without one, Redis's own.
    """

    def __init__(self, client: RedisClient, *, prefix: str, clock: Callable[[], float] | None = None) -> None:
        self._door = Door(client, Keys(prefix), clock)

    def __repr__(self) -> str:
        return f"<RedisVault {self._door.client.name} prefix={self._door.keys.prefix}>"

    async def add_key(self, key: ApiKey) -> None:
        await self._enter(f"{_KEY}{key.id}", _encode(key), "")

    async def keys(self) -> list[ApiKey]:
        vault = self._door.keys.vault
        reply = undamaged("the API keys", vault, await self._door.ask(("HGETALL", vault)))
        return _to_keys({name.decode(): value for name, value in zip(reply[::2], reply[1::2], strict=True)})

    async def revoke_key(self, key_id: str, at: float) -> bool:
        return await self._enter(f"{_REVOKED}{key_id}", repr(at), f"{_KEY}{key_id}")

    async def _enter(self, field: str, value: bytes | str, required: str) -> bool:
        vault = self._door.keys.vault
        reply = await self._door.ask(self._door.run_script(scripts.ENTER, [vault], field, value, required))
        return bool(undamaged("the API keys", vault, reply))

    async def version(self) -> int:
        vault = self._door.keys.vault
        reply = undamaged("the API keys", vault, await self._door.ask(("HGET", vault, "version")))
        return int(reply) if reply and reply.isdigit() else 0

    async def add_ticket(self, digest: str, payload: bytes, ttl_s: float) -> None:
        name = self._door.keys.ticket(digest)
        command = self._door.run_script(scripts.TICKET_ADD, [name], payload, in_ms(ttl_s))
        undamaged("a ticket", name, await self._door.ask(command))

    async def ticket(self, digest: str, *, use_up: bool) -> bytes | None:
        name = self._door.keys.ticket(digest)
        reply = await self._door.ask(self._door.run_script(scripts.TICKET, [name], int(use_up)))
        payload: bytes | None = undamaged("a ticket", name, reply)
        return payload

    async def page_secret(self, fresh: str) -> str:
        vault = self._door.keys.vault
        commands = [("HSETNX", vault, _PAGE_SECRET, fresh), ("HGET", vault, _PAGE_SECRET)]
        replies = await self._door.client.pipeline(commands)
        return str(undamaged("the page's secret", vault, replies[1]).decode())


def _to_keys(has: dict[str, bytes]) -> list[ApiKey]:
    """The keys, oldest first, but for those that are damaged: they let nobody in and keep nobody else out."""
    keys: list[ApiKey] = []
    for field, value in has.items():
        if not field.startswith(_KEY):
            continue
        key_id = field.removeprefix(_KEY)
        try:
            key = _key_decoder.decode(value)
            revoked = has.get(f"{_REVOKED}{key_id}")
            if revoked is not None and key.revoked_at is None:
                key = replace(key, revoked_at=float(revoked))
            keys.append(key)
        except (ValueError, msgspec.MsgspecError) as error:
            log.error("what is stored of the API key %r is damaged, it lets nobody in: %s", key_id, error)
    return sorted(keys, key=lambda key: (key.created_at, key.id))
