"""The contract of what is kept of credentials: API keys as hashes, and tickets for a while.

Any method raises `StoreUnavailable` when the store could not answer.
"""

from abc import ABC, abstractmethod

from msgspec import Struct


class ApiKey(Struct, frozen=True, kw_only=True):
    """A key as it is kept. `digest` is the SHA-256 of the secret, in hex: the secret itself is kept nowhere.

    Times are Unix seconds. A revoked key stays listed.
    """

    id: str
    name: str
    tenant: str
    scopes: tuple[str, ...]
    digest: str
    created_at: float
    expires_at: float | None = None
    revoked_at: float | None = None


class Vault(ABC):
    """Keys, and tickets. `tests/store/contract/vault.py` holds every engine to it."""

    @abstractmethod
    async def add_key(self, key: ApiKey) -> None:
        """Keep a key. Idempotent by its id: of one that is kept nothing changes."""

    @abstractmethod
    async def keys(self) -> list[ApiKey]:
        """Every key, oldest first, revoked and expired ones too."""

    @abstractmethod
    async def revoke_key(self, key_id: str, at: float) -> bool:
        """Revoke a key for good; of one that is revoked the first time stays. False if there is no such key."""

    @abstractmethod
    async def version(self) -> int:
        """A number that is another one after any change to the keys, by whichever process: cheap to ask often."""

    @abstractmethod
    async def add_ticket(self, digest: str, payload: bytes, ttl_s: float) -> None:
        """Keep what a ticket stands for, so long by the store's clock.

        `digest` is the SHA-256 of the ticket, in hex.
        """

    @abstractmethod
    async def ticket(self, digest: str, *, use_up: bool) -> bytes | None:
        """What the ticket stands for, or None if there is none (any more).

        With `use_up` exactly one caller gets it: it is gone with the answer.
        """

    @abstractmethod
    async def page_secret(self, fresh: str) -> str:
        """What the page's cookies are signed with by all servers on this store: `fresh`, if there is none yet."""
