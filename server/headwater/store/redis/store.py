"""The Redis store: each method is one pipeline or a few, and each step that must not be torn is one script."""

from collections.abc import Callable, Sequence

from headwater.core.events import End, Entry, Status
from headwater.core.position import Position
from headwater.core.run import Run
from headwater.errors import StoreUnavailable
from headwater.redis_client import RedisClient
from headwater.store.base import (
    Append,
    AppendResult,
    Cancelled,
    Claim,
    Contents,
    Created,
    IdempotencyKey,
    Lease,
    Page,
    Read,
    RenewResult,
    Stale,
    Store,
    Top,
)
from headwater.store.redis import appends, creation, leases, reads, removal
from headwater.store.redis.door import in_ms
from headwater.store.redis.keys import Keys
from headwater.store.redis.place import Place

# How long the proof that writing works is kept.
_PROBE_S = 60


class RedisStore(Store):
    """Runs in a Redis that all workers reach. `worker` is who writes here, as the news of it says.

    What is acknowledged is as durable as that Redis is set to be (docs/operations.md). `run_ttl_s`: seconds an ended
    run is kept. `wait_s`: for Redis to answer at the start. `clock`: Unix seconds; without one, Redis's own.
    """

    shared = True

    def __init__(
        self,
        client: RedisClient,
        worker: str,
        *,
        prefix: str,
        run_ttl_s: float,
        wait_s: float = 0.0,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._client = client
        self._place = Place(client, worker, Keys(prefix), in_ms(run_ttl_s), clock)
        self._wait_s = wait_s

    def __repr__(self) -> str:
        return f"<RedisStore {self._client.name} prefix={self._place.keys.prefix}>"

    async def open(self) -> None:
        await self._client.open(self._wait_s)

    async def close(self) -> None:
        await self._place.settle()
        await self._client.close()

    async def ping(self) -> None:
        place = self._place
        if await place.ask(("SET", place.keys.probe, place.worker, "EX", _PROBE_S)) != b"OK":
            raise StoreUnavailable("The store did not take a write.")

    async def create(self, run: Run, key: IdempotencyKey | None, claim: Claim | None = None) -> Created:
        return await creation.create(self._place, run, key, claim)

    async def reserved(self, key: IdempotencyKey) -> Run | None:
        return await creation.reserved(self._place, key)

    async def get(self, run_id: str) -> Run | None:
        return await reads.get(self._place, run_id)

    async def list_runs(
        self, owner: str, *, conversation: str | None, status: Status | None, before: str | None, limit: int
    ) -> Page:
        return await reads.list_runs(self._place, owner, conversation, status, before, limit)

    async def delete(self, run_id: str) -> None:
        await removal.delete(self._place, run_id)

    async def append(self, batch: Sequence[Append]) -> list[AppendResult]:
        return await appends.append(self._place, batch) if batch else []

    async def read(self, run_id: str, after: Position, max_bytes: int) -> Read | None:
        return await reads.read(self._place, run_id, after, max_bytes)

    async def contents(self, run_id: str) -> Contents | None:
        return await reads.contents(self._place, run_id)

    async def tops(self, run_ids: Sequence[str]) -> list[Top | None]:
        return await reads.tops(self._place, run_ids)

    async def take_lease(self, run_id: str, *, seen: int, tag: int, holder: str, lease_s: float) -> Lease | None:
        return await leases.take(self._place, run_id, seen, tag, holder, lease_s)

    async def renew_leases(self, held: Sequence[tuple[str, int]], lease_s: float) -> list[RenewResult]:
        return await leases.renew(self._place, held, lease_s) if held else []

    async def release_lease(self, run_id: str, token: int) -> None:
        await leases.release(self._place, run_id, token)

    async def stale(self, limit: int) -> list[Stale]:
        return await leases.stale(self._place, limit)

    async def cancel(self, run_id: str, tag: int) -> Cancelled | None:
        return await leases.cancel(self._place, run_id, tag)

    async def give_up(self, run_id: str, *, seen: int, tag: int, end: End) -> Entry | None:
        return await leases.give_up(self._place, run_id, seen, tag, end)

    async def expire(self, limit: int) -> int:
        return await removal.expire(self._place, limit)
