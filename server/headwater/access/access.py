"""From a credential to a principal, and from there on to the moment when it is one no more."""

import asyncio
import hmac
import logging
import time
from collections.abc import Callable, Mapping, Sequence

import msgspec
from msgspec import Struct

from headwater.access.secrets import digest, key_id, new_ticket, not_valid
from headwater.access.tokens import Tokens
from headwater.config import Config
from headwater.core.access import ANONYMOUS, Principal, Role
from headwater.errors import StoreUnavailable
from headwater.store.vault import ApiKey, Vault

log = logging.getLogger("headwater.access")

# The longest that the loop is asked to wait at once; a token may be good for years.
LONGEST_WAIT_S = 3600.0

_encode = msgspec.json.Encoder().encode
_principal_decoder = msgspec.json.Decoder(Principal)


class Ticket(Struct, frozen=True):
    """What a page puts into a URL in place of its credential. `expires_at` is in Unix seconds."""

    ticket: str
    expires_at: float


class Access:
    """Checks credentials. The keys are in memory, and looked for anew whenever the store says that they changed."""

    def __init__(
        self,
        vault: Vault,
        tokens: Tokens | None,
        given: Sequence[ApiKey],
        config: Config,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._vault = vault
        self._tokens = tokens
        self._given = tuple(given)
        self._config = config
        self._clock = clock
        self._keys: dict[str, ApiKey] = {}
        self._had_keys = False
        self._version: int | None = None
        self._watches: set[Watch] = set()

    def __repr__(self) -> str:
        return f"<Access {'asks' if self.asks else 'open'} keys={len(self._keys)} watches={len(self._watches)}>"

    @property
    def asks(self) -> bool:
        """Whether anybody is asked who they are: once there was a key, or a way to check tokens."""
        return bool(self._given or self._tokens or self._had_keys)

    async def open(self) -> None:
        """Read the keys. Raises StoreUnavailable."""
        await self._refresh()

    # -- credentials

    async def principal(self, credential: str) -> Principal:
        """Who an API key or a token speaks for.

        Raises Unauthenticated, alike for all that say nothing, StoreUnavailable.
        """
        key = self._find_given(credential) or await self._find_kept(credential)
        if key is not None:
            return _speaker(key)
        if self._tokens is not None and credential.count(".") == 2:
            return self._tokens.verify(credential, self._clock())
        raise not_valid()

    def _find_given(self, credential: str) -> ApiKey | None:
        hashed = digest(credential)
        matches = [key for key in self._given if hmac.compare_digest(key.digest, hashed)]  # all, in the same time
        return matches[0] if matches else None

    async def _find_kept(self, credential: str) -> ApiKey | None:
        """Raises Unauthenticated for a key of ours that is wrong, revoked or expired."""
        found = key_id(credential)
        if found is None:
            return None
        if found not in self._keys:
            await self._refresh()  # it may have been made a moment ago
        key = self._keys.get(found)
        # Compared in any case, so that an id that exists takes no longer than one that does not.
        right = hmac.compare_digest(key.digest if key is not None else "", digest(credential))
        if key is None or not right or not self._is_good(key):
            raise not_valid()
        return key

    def _key(self, key_id: str) -> ApiKey | None:
        return self._keys.get(key_id) or next((key for key in self._given if key.id == key_id), None)

    def _is_good(self, key: ApiKey) -> bool:
        return key.revoked_at is None and (key.expires_at is None or self._clock() < key.expires_at)

    async def _refresh(self) -> None:
        version = await self._vault.version()
        if version != self._version:
            keys = {key.id: key for key in await self._vault.keys()}
            if keys and not self.asks:
                log.info("there is a key now: from now on everybody is asked for one")
            if self._keys and not keys:
                log.error("the store has lost all keys: nobody is let in by one until there are new ones")
            self._keys = keys
            # A store that forgets must open nothing.
            self._had_keys = self._had_keys or bool(keys)
            self._version = version

    # -- tickets

    async def run_ticket(self, principal: Principal, run_id: str) -> Ticket:
        """A ticket to follow this one run, as often as its holder comes back. Raises StoreUnavailable."""
        shared = _narrowed(principal, runs=frozenset({run_id}))
        return await self._issue(shared, self._config.ticket_run_s)

    async def room_ticket(self, principal: Principal, room: str) -> Ticket:
        """A ticket to enter this one room once, in the role that the principal has there. Raises StoreUnavailable."""
        role = principal.role_in(room)
        assert role is not None, "whoever is let in has a role"
        shared = _narrowed(principal, rooms={room: role})
        return await self._issue(shared, self._config.ticket_room_s)

    async def _issue(self, principal: Principal, ttl_s: float) -> Ticket:
        now = self._clock()
        if principal.expires_at is not None:
            ttl_s = max(0.001, min(ttl_s, principal.expires_at - now))
        ticket = new_ticket()
        await self._vault.add_ticket(digest(ticket), _encode(principal), ttl_s)
        return Ticket(ticket, round(now + ttl_s, 3))

    async def ticket_holder(self, ticket: str, *, use_up: bool) -> Principal:
        """Whom a ticket speaks for. Raises Unauthenticated, StoreUnavailable."""
        kept = await self._vault.ticket(digest(ticket), use_up=use_up)
        if kept is None:
            raise not_valid()
        principal = _principal_decoder.decode(kept)
        if principal.key is not None and self._key(principal.key) is None:
            await self._refresh()  # it may have been made a moment ago
        if self._is_over(principal):
            raise not_valid()
        return principal

    # -- afterwards

    def watch(self, principal: Principal, on_over: Callable[[], None]) -> "Watch":
        """Call `on_over` once, when the principal's credential has expired or been revoked; close it when done."""
        watch = Watch(principal, on_over, self._clock, self._watches.discard)
        self._watches.add(watch)
        return watch

    async def look_after(self) -> None:
        """For ever: hear of new and revoked keys."""
        while True:
            await asyncio.sleep(self._config.key_check_s)
            try:
                await self._refresh()
            except StoreUnavailable as error:
                log.warning("keys were not looked for: %s", error.detail)
            for watch in tuple(self._watches):
                if self._is_over(watch.principal):
                    self._end(watch)

    def _end(self, watch: "Watch") -> None:
        try:
            watch.end()
        except Exception:  # of the one connection: the others' ends must come in time
            log.exception("a connection could not be told that its credential is over")

    def _is_over(self, principal: Principal) -> bool:
        if principal.expires_at is not None and self._clock() >= principal.expires_at:
            return True
        if principal.key is None:
            return principal.subject == ANONYMOUS.subject and self.asks
        key = self._key(principal.key)
        return key is None or not self._is_good(key)


class Watch:
    """Waits for the end of one principal's credential, for a connection that outlives a request."""

    __slots__ = ("_clock", "_forget", "_on_over", "_timer", "principal")

    def __init__(
        self,
        principal: Principal,
        on_over: Callable[[], None],
        clock: Callable[[], float],
        forget: Callable[["Watch"], None],
    ) -> None:
        self.principal = principal
        self._on_over = on_over
        self._clock = clock
        self._forget = forget
        self._timer: asyncio.TimerHandle | None = None
        self._set_timer()

    def change(self, principal: Principal) -> None:
        """It has a newer credential."""
        self.principal = principal
        self._set_timer()

    def close(self) -> None:
        """Nobody needs to know any more."""
        if self._timer is not None:
            self._timer.cancel()
        self._forget(self)

    def end(self) -> None:
        """It is over."""
        self.close()
        self._on_over()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.principal.expires_at is not None:
            left = self.principal.expires_at - self._clock()
            self._timer = asyncio.get_running_loop().call_later(min(left, LONGEST_WAIT_S), self._look)

    def _look(self) -> None:
        expires_at = self.principal.expires_at
        if expires_at is not None and self._clock() >= expires_at:
            self.end()
        else:
            self._set_timer()


def _narrowed(
    principal: Principal, *, runs: frozenset[str] = frozenset(), rooms: Mapping[str, Role] | None = None
) -> Principal:
    """The same with nothing but these."""
    return msgspec.structs.replace(principal, scopes=frozenset(), runs=runs, rooms=rooms or {}, by_ticket=True)


def _speaker(key: ApiKey) -> Principal:
    return Principal(
        tenant=key.tenant,
        subject=f"key:{key.id}",
        scopes=frozenset(key.scopes),
        name=key.name,
        key=key.id,
        expires_at=key.expires_at,
    )
