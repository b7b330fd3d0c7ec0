"""Who is asking, and what they may do and see. Pure: credentials are checked elsewhere."""

from collections.abc import Mapping
from typing import Final, Literal

from msgspec import Struct

Scope = Literal["runs:read", "runs:write", "rooms:read", "rooms:write", "admin"]
SCOPES: Final[frozenset[str]] = frozenset(Scope.__args__)  # type: ignore[attr-defined]  # typing knows its own
"""What a credential may do in its tenant. `admin` includes all others, and /metrics."""

Role = Literal["read", "write", "moderate"]
ROLES: Final[tuple[Role, ...]] = ("read", "write", "moderate")
"""In a room: watch, take part, moderate; each includes those before it."""

DEFAULT_TENANT: Final = "default"


class Principal(Struct, frozen=True, kw_only=True):
    """Who is asking.

    `tenant` is what runs and rooms belong to; empty for one who only has what was shared with them. `subject` names
    the principal for good, as `key:<id>` or `user:<sub>`; limits and idempotency keys are per tenant and subject.
    `runs` and `rooms` were shared by claim. `key` is the id of the API key that it rests on, `expires_at` the end of
    the credential in Unix seconds. `by_ticket`: it stands in for another one, and can make no more of its kind.
    """

    tenant: str
    subject: str
    scopes: frozenset[str]
    name: str | None = None
    runs: frozenset[str] = frozenset()
    rooms: Mapping[str, Role] | None = None
    key: str | None = None
    expires_at: float | None = None
    by_ticket: bool = False

    @property
    def id(self) -> str:
        """What limits and idempotency keys are counted under: no two principals share one."""
        return f"{self.tenant}/{self.subject}"

    def may(self, scope: Scope) -> bool:
        """Whether this scope's routes are open at all; what lies behind them is told by `sees_run` and `role_in`."""
        return self.has(scope) or scope in self._claimed()

    def _claimed(self) -> set[Scope]:
        """The scopes of the routes to what was shared. A room's ticket opens its WebSocket alone, and once."""
        claimed: set[Scope] = {"runs:read"} if self.runs else set()
        if self.rooms and not self.by_ticket:
            claimed.add("rooms:read")
            if any(role != "read" for role in self.rooms.values()):
                claimed.add("rooms:write")
        return claimed

    def has(self, scope: Scope) -> bool:
        """Whether it may do this in its tenant."""
        return scope in self.scopes or "admin" in self.scopes

    def sees_run(self, owner: str, run_id: str) -> bool:
        """Whether a run of the tenant `owner` exists for this principal."""
        return run_id in self.runs or self.owns(owner)

    def owns(self, owner: str) -> bool:
        """Whether it acts for the tenant `owner`, which may delete what is its own."""
        return self.tenant == owner and (self.has("runs:read") or self.has("runs:write"))

    def role_in(self, room: str) -> Role | None:
        """What it may do in a room of its tenant: as the claim says, where there is one, else by its scopes."""
        if self.rooms is not None:
            return self.rooms.get(room)
        if "admin" in self.scopes:
            return "moderate"
        return "write" if "rooms:write" in self.scopes else "read" if "rooms:read" in self.scopes else None

    def may_in(self, room: str, role: Role) -> bool:
        """Whether it may do in a room of its tenant what takes this role."""
        has = self.role_in(room)
        return has is not None and ROLES.index(has) >= ROLES.index(role)


ANONYMOUS: Final = Principal(tenant=DEFAULT_TENANT, subject="anonymous", scopes=SCOPES)
"""Whoever reaches a server that asks nobody who they are."""
