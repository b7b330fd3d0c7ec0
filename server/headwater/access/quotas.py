"""How much a principal and an address may use, counted over all workers."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import count
from typing import TypeGuard

from msgspec import Struct

from headwater.config import Config
from headwater.core.access import ANONYMOUS, Principal
from headwater.core.events import End
from headwater.core.lifecycle import ENDED
from headwater.core.run import Run
from headwater.errors import StoreUnavailable, TooMany
from headwater.store.base import Store
from headwater.store.limits import CONNECTIONS, Charge, Limits

MINUTE_S = 60.0
DAY_S = 86_400.0
# A place of a connection whose worker died comes free after this; kept three times in it.
SEAT_S = 15.0
# A place of a run that is being created; once it is there, it is asked whether it has ended.
STARTING_S = 60.0
# Longer than answers take. A run that goes on for longer is not counted any more.
RUN_S = 86_400.0


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
        self._seats: set[Seat] = set()
        self._left: list[tuple[str, str]] = []
        self._spent: dict[str, int] = {}
        self._something = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Quotas {'counting' if self.counting else 'idle'} seats={len(self._seats)}>"

    @property
    def counting(self) -> bool:
        """Whether limits hold at all."""
        return self._config.insecure_no_auth or self._asks()

    @property
    def loops(self) -> tuple[Callable[[], Awaitable[None]], ...]:
        """What must run for as long as this worker does."""
        return (self._keep_for_ever, self._write_for_ever)

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
        tops = await self._store.tops(holders)
        # One that is not there may be about to be created: its place expires soon if it is not.
        ended = [(name, run_id) for run_id, top in zip(holders, tops, strict=True) if top and top.status in ENDED]
        await self._limits.let_go(ended)

    async def run_created(self, caller: str, run_id: str) -> None:
        """Keep its place for as long as it may go on."""
        if self.counting and self._config.parallel_runs:
            await self._limits.keep([(_runs(caller), run_id)], RUN_S)

    async def run_gone(self, caller: str, run_id: str) -> None:
        """It was not created after all, or has been deleted."""
        if self.counting and self._config.parallel_runs:
            await self._limits.let_go([(_runs(caller), run_id)])

    def spend(self, run: Run, end: End) -> None:
        """Count what an ended run has used."""
        if self.counting and self._config.output_tokens_per_day and end.usage is not None:
            self._spent[run.caller] = self._spent.get(run.caller, 0) + end.usage.output_tokens
            self._something.set()

    # -- connections

    async def sit_down(self, principal: Principal, address: str) -> "Seat":
        """Take a place for a connection that lasts; close it. Raises TooMany, StoreUnavailable."""
        seat = Seat(f"{self._worker}:{next(self._numbers)}", self._stand_up)
        if not self.counting:
            return seat
        wanted = [(f"{CONNECTIONS}@{address}", self._config.address_connections, "from this address")]
        if _is_counted(principal):
            wanted.append((f"{CONNECTIONS}{principal.id}", self._config.connections, "of this credential"))
        self._seats.add(seat)
        try:
            for name, limit, whose in wanted:
                if not limit:
                    continue
                seat.held.append((name, seat.id))  # first: a lost answer may have taken it
                if not await self._limits.hold(name, seat.id, limit, SEAT_S):
                    seat.held.pop()
                    raise TooMany(
                        f"There are {limit} connections {whose}, as many as there may be. Close one first.",
                        limit=limit,
                        retry_after=1,
                    )
        except BaseException:
            seat.close()
            raise
        return seat

    def _stand_up(self, seat: "Seat") -> None:
        self._seats.discard(seat)
        if seat.held:
            self._left += seat.held
            self._something.set()

    # -- what can wait a moment is written together

    async def _write_for_ever(self) -> None:
        """Give up the places of connections that are over, and count what ended runs have used."""
        while True:
            await self._something.wait()
            self._something.clear()
            with suppress(StoreUnavailable):  # places expire by themselves
                left, self._left = self._left, []
                await self._limits.let_go(left)
            while self._spent:
                caller, tokens = self._spent.popitem()
                try:
                    await self._limits.add(_tokens(caller), tokens, DAY_S)
                except StoreUnavailable:
                    self._spent[caller] = self._spent.get(caller, 0) + tokens
                    await asyncio.sleep(1.0)

    async def _keep_for_ever(self) -> None:
        """Keep the places of connections that go on."""
        while True:
            await asyncio.sleep(SEAT_S / 3)
            held = [place for seat in self._seats for place in seat.held]
            if held:
                try:
                    await self._limits.keep(held, SEAT_S)
                except StoreUnavailable:
                    continue


class Seat:
    """A connection's places among those that its principal and its address may have."""

    __slots__ = ("_on_close", "held", "id")

    def __init__(self, seat_id: str, on_close: Callable[["Seat"], None]) -> None:
        self.id = seat_id
        self.held: list[tuple[str, str]] = []
        self._on_close = on_close

    def close(self) -> None:
        """The connection is over."""
        self._on_close(self)


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
