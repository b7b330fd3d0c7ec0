"""How much a principal and an address may use, counted over all workers."""

from collections.abc import Awaitable, Callable, Collection
from itertools import count
from typing import TypeGuard

from msgspec import Struct

from headwater.access.ledger import SEAT_S, Ledger, Place
from headwater.config import Config
from headwater.core.access import ANONYMOUS, Principal
from headwater.core.events import End
from headwater.core.lifecycle import ENDED
from headwater.core.run import Run
from headwater.errors import TooMany
from headwater.store.base import Store
from headwater.store.limits import CONNECTIONS, Charge, Limits

MINUTE_S = 60.0
# A place of a run that is being created; once it is there, it is asked whether it has ended.
STARTING_S = 60.0


class Rates(Struct, frozen=True):
    """How a response's `RateLimit` fields read: of the tightest limit, what is left of it until `resets_s` from now."""

    policy: str
    limit: int
    window_s: int
    left: int
    resets_s: int


class Quotas:
    """Counts what is used. Where nobody is asked who they are, and only this machine comes, nothing is counted."""

    def __init__(self, worker: str, limits: Limits, store: Store, config: Config, asks: Callable[[], bool]) -> None:
        self._worker = worker
        self._numbers = count(1)
        self._limits = limits
        self._store = store
        self._config = config
        self._asks = asks
        self._ledger = Ledger(limits)

    def __repr__(self) -> str:
        return f"<Quotas {'counting' if self.counting else 'idle'} {self._ledger!r}>"

    @property
    def counting(self) -> bool:
        """Whether limits hold at all."""
        return self._config.insecure_no_auth or self._asks()

    @property
    def loops(self) -> tuple[Callable[[], Awaitable[None]], ...]:
        """What must run for as long as this worker does."""
        return (self._ledger.write_for_ever,)

    # -- requests

    async def request(self, principal: Principal | None, address: str) -> Rates | None:
        """Count a request. Raises TooMany, StoreUnavailable."""
        if not self.counting:
            return None
        charges: list[tuple[str, Charge]] = []
        if self._config.address_requests_per_minute:
            limit = self._config.address_requests_per_minute
            charges.append(("address", Charge(f"requests:@{address}", limit, MINUTE_S)))
        if _is_counted(principal) and self._config.requests_per_minute:
            limit = self._config.requests_per_minute
            charges.append(("requests", Charge(f"requests:{principal.id}", limit, MINUTE_S)))
        if not charges:
            return None
        verdicts = await self._limits.charge([charge for _, charge in charges])
        rates = [
            Rates(policy, charge.limit, int(charge.window_s), verdict.left, max(1, round(verdict.resets_s + 0.5)))
            for (policy, charge), verdict in zip(charges, verdicts, strict=True)
        ]
        for rate, verdict in zip(rates, verdicts, strict=True):
            if not verdict.admitted:
                whose = "this address" if rate.policy == "address" else "this credential"
                raise TooMany(
                    f"More than {rate.limit} requests a minute from {whose}. Try again in {rate.resets_s} s.",
                    limit=rate.limit,
                    retry_after=rate.resets_s,
                    headers=rate_headers(rate),
                )
        return min(rates, key=lambda rate: rate.left)

    def input_bytes(self) -> int:
        """Of a run's body."""
        limit = self._config.input_bytes if self.counting else 0
        return min(limit, self._config.max_body_bytes) if limit else self._config.max_body_bytes

    # -- runs

    async def before_run(self, principal: Principal, run_id: str) -> None:
        """Take a place for a run that is about to be created. Raises TooMany, StoreUnavailable."""
        if not (self.counting and _is_counted(principal)):
            return
        if self._config.output_tokens_per_day:
            await self._check_tokens(principal)
        limit = self._config.parallel_runs
        if not limit:
            return
        name = _runs(principal.id)
        if await self._limits.hold(name, run_id, limit, STARTING_S):
            return
        await self._free_ended(name)
        if not await self._limits.hold(name, run_id, limit, STARTING_S):
            raise TooMany(
                f"This credential has {limit} runs under way, as many as it may. Wait for one to end, or cancel one.",
                limit=limit,
                retry_after=1,
            )

    async def _check_tokens(self, principal: Principal) -> None:
        limit = self._config.output_tokens_per_day
        used, resets_s = await self._limits.used(_tokens(principal.id))
        if used >= limit:
            wait_s = max(1, round(resets_s + 0.5))
            raise TooMany(
                f"This credential has used its {limit} output tokens of the day. Try again in {wait_s} s.",
                limit=limit,
                retry_after=wait_s,
            )

    async def _free_ended(self, name: str) -> None:
        """A place is given up by whoever needs one, so that no end is missed, whoever wrote it."""
        holders = await self._limits.holders(name)
        tops = await self._store.tops(list(holders))
        over = [
            (name, run_id)
            for (run_id, left_s), top in zip(holders.items(), tops, strict=True)
            # One that is not there has expired, unless it is about to be created.
            if (top.status in ENDED if top is not None else left_s > STARTING_S)
        ]
        await self._limits.let_go(over)

    def run_created(self, run: Run) -> None:
        """Keep its place for as long as it may go on."""
        if self.counting and self._config.parallel_runs:
            self._ledger.keep_run((_runs(run.caller), run.id))

    def run_gone(self, run: Run) -> None:
        """It was not created after all, or has been deleted."""
        if self.counting and self._config.parallel_runs:
            self._ledger.leave([(_runs(run.caller), run.id)])

    def spend(self, run: Run, end: End) -> None:
        """Count what an ended run has used."""
        if self.counting and self._config.output_tokens_per_day:
            self._ledger.use(_tokens(run.caller), end)

    # -- connections

    async def sit_down(self, principal: Principal, address: str) -> "Seat":
        """Take a place for a connection that lasts; close it. Raises TooMany, StoreUnavailable."""
        seat = Seat(self._ledger.leave)
        if not self.counting:
            return seat
        wanted = [(f"{CONNECTIONS}@{address}", self._config.address_connections, "from this address")]
        if _is_counted(principal):
            wanted.append((f"{CONNECTIONS}{principal.id}", self._config.connections, "of this credential"))
        member = f"{self._worker}:{next(self._numbers)}"
        try:
            for name, limit, whose in wanted:
                if not limit:
                    continue
                seat.held.append((name, member))  # first: a lost answer may have taken it
                if not await self._limits.hold(name, member, limit, SEAT_S):
                    seat.held.pop()
                    raise TooMany(
                        f"As many connections {whose} are open as may be: {limit}. Close one first.",
                        limit=limit,
                        retry_after=1,
                    )
        except BaseException:
            seat.close()
            raise
        self._ledger.seats.update(seat.held)
        return seat


class Seat:
    """A connection's places among those that its principal and its address may have."""

    __slots__ = ("_leave", "held")

    def __init__(self, leave: Callable[[Collection[Place]], None]) -> None:
        self.held: list[Place] = []
        self._leave = leave

    def close(self) -> None:
        """The connection is over."""
        if self.held:
            held, self.held = self.held, []
            self._leave(held)


def rate_headers(rate: Rates) -> dict[str, str]:
    """`RateLimit-Policy` and `RateLimit`, by draft-ietf-httpapi-ratelimit-headers."""
    return {
        "RateLimit-Policy": f'"{rate.policy}";q={rate.limit};w={rate.window_s}',
        "RateLimit": f'"{rate.policy}";r={rate.left};t={rate.resets_s}',
    }


def _is_counted(principal: Principal | None) -> TypeGuard[Principal]:
    """One whom nobody asked who they are shares their name with everybody: only addresses tell them apart."""
    return principal is not None and principal.subject != ANONYMOUS.subject


def _runs(caller: str) -> str:
    return f"runs:{caller}"


def _tokens(caller: str) -> str:
    return f"tokens:{caller}"
