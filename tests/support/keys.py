"""API keys in a store, as `headwater keys` makes them, and tokens as an app's backend mints them."""

import time
from typing import Any

import jwt

from headwater.access.secrets import digest, new_key
from headwater.app import open_vault
from headwater.config import Config
from headwater.core.access import SCOPES
from headwater.store.vault import ApiKey

JWT_SECRET = "a secret of the tests, and of nothing else"


async def add_key(
    config: Config, *, scopes: frozenset[str] = SCOPES, tenant: str = "default", expires_in: float | None = None
) -> str:
    """A new key in the store that `config` names."""
    key_id, key = new_key()
    now = time.time()
    kept = ApiKey(
        id=key_id,
        name="test",
        tenant=tenant,
        scopes=tuple(sorted(scopes)),
        digest=digest(key),
        created_at=now,
        expires_at=None if expires_in is None else now + expires_in,
    )
    async with open_vault(config) as vault:
        await vault.add_key(kept)
    return key


async def revoke(config: Config, key: str) -> None:
    """Revoke it."""
    async with open_vault(config) as vault:
        assert await vault.revoke_key(key.split("_")[1], time.time())


def token(*, expires_in: float = 600.0, secret: str = JWT_SECRET, **claims: Any) -> str:
    """A signed token; `scope` and others are claims."""
    return jwt.encode({"sub": "ann", "exp": time.time() + expires_in, **claims}, secret, "HS256")


def bearer(credential: str) -> dict[str, str]:
    """The header that carries it."""
    return {"Authorization": f"Bearer {credential}"}
