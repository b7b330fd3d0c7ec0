"""Credentials in tables. One transaction each."""

import logging
import sqlite3
from typing import Any, Final

import msgspec

from headwater.store.sqlite.sweeps import sweep
from headwater.store.sqlite.threads import Database
from headwater.store.sqlite.transactions import transaction
from headwater.store.vault import ApiKey, Vault

log = logging.getLogger("headwater.store")

_KEYS: Final = """
    SELECT id, name, tenant, scopes, digest, created_at, expires_at, revoked_at FROM api_keys ORDER BY created_at, id
"""
_ADD_KEY: Final = """
    INSERT INTO api_keys (id, name, tenant, scopes, digest, created_at, expires_at, revoked_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING
"""

# Beside the tickets, under a name that is no digest, and until no time that comes.
_PAGE_SECRET: Final = ("page secret", 9e15)

_scopes_decoder = msgspec.json.Decoder(tuple[str, ...])


class SqliteVault(Vault):
    """Keys and tickets in an open database, which is the caller's to open and close."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __repr__(self) -> str:
        return f"<SqliteVault in {self._database!r}>"

    async def add_key(self, key: ApiKey) -> None:
        await self._database.in_writer(_add_key, key)

    async def keys(self) -> list[ApiKey]:
        return await self._database.in_reader(_keys)

    async def revoke_key(self, key_id: str, at: float) -> bool:
        return await self._database.in_writer(_revoke_key, key_id, at)

    async def version(self) -> int:
        return await self._database.in_reader(_version)

    async def add_ticket(self, digest: str, payload: bytes, ttl_s: float) -> None:
        await self._database.in_writer(_add_ticket, digest, payload, ttl_s)

    async def ticket(self, digest: str, *, use_up: bool) -> bytes | None:
        if use_up:
            return await self._database.in_writer(_use_up_ticket, digest)
        return await self._database.in_reader(_ticket, digest)

    async def page_secret(self, fresh: str) -> str:
        return await self._database.in_writer(_page_secret, fresh)


def _add_key(db: sqlite3.Connection, _: float, key: ApiKey) -> None:
    scopes = msgspec.json.encode(key.scopes).decode()
    times = (key.created_at, key.expires_at, key.revoked_at)
    with transaction(db):
        if db.execute(_ADD_KEY, (key.id, key.name, key.tenant, scopes, key.digest, *times)).rowcount:
            _change(db)


def _revoke_key(db: sqlite3.Connection, _: float, key_id: str, at: float) -> bool:
    with transaction(db):
        if db.execute("UPDATE api_keys SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL", (at, key_id)).rowcount:
            _change(db)
            return True
        return db.execute("SELECT 1 FROM api_keys WHERE id = ?", (key_id,)).fetchone() is not None


def _change(db: sqlite3.Connection) -> None:
    db.execute("UPDATE vault SET version = version + 1")


def _version(db: sqlite3.Connection, _: float) -> int:
    version: int = db.execute("SELECT ifnull(max(version), 0) FROM vault").fetchone()[0]
    return version


def _keys(db: sqlite3.Connection, _: float) -> list[ApiKey]:
    return [key for row in db.execute(_KEYS).fetchall() if (key := _key(row)) is not None]


def _key(row: tuple[Any, ...]) -> ApiKey | None:
    """The key, unless it is damaged, which lets nobody in and keeps nobody else out."""
    key_id, name, tenant, scopes, digest, created_at, expires_at, revoked_at = row
    try:
        return ApiKey(
            id=key_id,
            name=name,
            tenant=tenant,
            scopes=_scopes_decoder.decode(scopes),
            digest=digest,
            created_at=created_at,
            expires_at=expires_at,
            revoked_at=revoked_at,
        )
    except msgspec.MsgspecError as error:
        log.error("what is stored of the API key %r is damaged, it lets nobody in: %s", key_id, error)
        return None


def _add_ticket(db: sqlite3.Connection, now: float, digest: str, payload: bytes, ttl_s: float) -> None:
    with transaction(db):
        sweep(db, "tickets", now)
        db.execute("REPLACE INTO tickets (digest, payload, until) VALUES (?, ?, ?)", (digest, payload, now + ttl_s))


def _ticket(db: sqlite3.Connection, now: float, digest: str) -> bytes | None:
    row = db.execute("SELECT payload FROM tickets WHERE digest = ? AND until > ?", (digest, now)).fetchone()
    return None if row is None else bytes(row[0])


def _use_up_ticket(db: sqlite3.Connection, now: float, digest: str) -> bytes | None:
    with transaction(db):
        payload = _ticket(db, now, digest)
        if payload is not None:
            db.execute("DELETE FROM tickets WHERE digest = ?", (digest,))
        return payload


def _page_secret(db: sqlite3.Connection, now: float, fresh: str) -> str:
    name, until = _PAGE_SECRET
    with transaction(db):
        db.execute("INSERT OR IGNORE INTO tickets (digest, payload, until) VALUES (?, ?, ?)", (name, fresh, until))
        return str(db.execute("SELECT payload FROM tickets WHERE digest = ?", (name,)).fetchone()[0])
