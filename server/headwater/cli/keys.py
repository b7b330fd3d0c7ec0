"""`headwater keys`: make, list and revoke API keys, while servers run."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import click
import msgspec

from headwater.access.secrets import GIVEN, digest, key_id, new_key, ordered
from headwater.app import open_vault
from headwater.cli.common import SCOPE_HELP, naming, refusals, scopes_of, seconds, settings
from headwater.cli.tables import table, when
from headwater.config import Config
from headwater.core.access import DEFAULT_TENANT, SCOPES
from headwater.core.claims import check_name, check_tenant
from headwater.errors import ConfigError
from headwater.redis_client import without_secrets
from headwater.store.vault import ApiKey, Vault

T = TypeVar("T")

# Most that a revoked key may still be used: as high as HEADWATER_KEY_CHECK_S can be set.
REVOKED_S = 5
# What an app's server needs; what shows the whole server is asked for by name.
DEFAULT_SCOPES = SCOPES - {"admin"}

_ID = re.compile(r"[a-z2-7]{12}")
_store = click.option("--store", help="The store of the servers: as for serve.  [sqlite:headwater.db]")


@click.group("keys")
def group() -> None:
    """Make, list and revoke API keys. Running servers follow within seconds."""


@group.command()
@click.option("--name", required=True, help="What it is for; lists show it.")
@click.option("--scope", "scopes", multiple=True, help=SCOPE_HELP)
@click.option("--tenant", default=DEFAULT_TENANT, help="Whose runs and rooms.  [default]")
@click.option("--expires-in", help="Such as 30d, 12h or 3600 (seconds).  [never]")
@_store
def create(name: str, scopes: Sequence[str], tenant: str, expires_in: str | None, store: str | None) -> None:
    """Make a key, and show it this once: on stdout, alone. Without --scope it may do all but admin."""
    with refusals():
        text, key = _made(name, scopes, tenant, expires_in)
        config = settings(store=store)
        _with_vault(config, lambda vault: vault.add_key(key))
    click.echo(text)
    until = f" until {when(key.expires_at)}" if key.expires_at is not None else ""
    click.echo(
        f"Key {key.id} ({key.name}), tenant {key.tenant}, may {' '.join(key.scopes)}{until}. "
        f"It is good for servers on {without_secrets(config.store)}.\n"
        "It is shown this once, and kept nowhere: keep it where secrets belong.",
        err=True,
    )


def _made(name: str, scopes: Sequence[str], tenant: str, expires_in: str | None) -> tuple[str, ApiKey]:
    """A new key, and what is kept of it. Raises ConfigError."""
    now = time.time()
    with naming("--name"):
        check_name(name)
    chosen = scopes_of(scopes) or DEFAULT_SCOPES
    with naming("--tenant"):
        check_tenant(tenant)
    with naming("--expires-in"):
        expires_at = now + seconds(expires_in) if expires_in is not None else None
    found, text = new_key()
    return text, ApiKey(
        id=found,
        name=name,
        tenant=tenant,
        scopes=ordered(chosen),
        digest=digest(text),
        created_at=now,
        expires_at=expires_at,
    )


@group.command("list")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for scripts.")
@_store
def list_keys(as_json: bool, store: str | None) -> None:
    """List all keys, revoked and expired ones too. The keys themselves are kept nowhere."""
    with refusals():
        found = _with_vault(settings(store=store), lambda vault: vault.keys())
    now = time.time()
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode([_fields(key, now) for key in found])).decode())
    elif not found:
        click.echo("There are none. Make one: headwater keys create --name NAME", err=True)
    else:
        click.echo(table([_HEAD, *(_row(key, now) for key in found)]))


@group.command()
@click.argument("id")
@_store
def revoke(id: str, store: str | None) -> None:
    """Revoke the key with this ID, for good."""
    with refusals():
        _check_id(id)
        if not _with_vault(settings(store=store), lambda vault: vault.revoke_key(id, time.time())):
            raise ConfigError(f"there is no key {id}: headwater keys list shows them")
    click.echo(f"Revoked {id}. Within {REVOKED_S} s all workers refuse it, and end the streams that it opened.")


def _check_id(text: str) -> None:
    """Raises ConfigError, which does not repeat what could be a secret."""
    if key_id(text) is not None:
        raise ConfigError("that is a key itself: give its ID, the 12 characters after hwk_")
    if text.startswith(GIVEN):
        raise ConfigError("that key is in HEADWATER_KEYS: take it out there, and restart the servers")
    if not _ID.fullmatch(text):
        raise ConfigError("an ID has 12 letters and digits: headwater keys list shows them")


def _with_vault(config: Config, use: Callable[[Vault], Awaitable[T]]) -> T:
    """What `use` gives of the configured store's vault."""

    async def used() -> T:
        async with open_vault(config) as vault:
            return await use(vault)

    return asyncio.run(used())


# -- how they are shown

_HEAD = ("ID", "NAME", "TENANT", "SCOPES", "CREATED", "EXPIRES", "STATE")


def _row(key: ApiKey, now: float) -> tuple[str, ...]:
    expires = when(key.expires_at) if key.expires_at is not None else "never"
    return key.id, key.name, key.tenant, " ".join(key.scopes), when(key.created_at), expires, _state(key, now)


def _fields(key: ApiKey, now: float) -> dict[str, Any]:
    fields = msgspec.structs.asdict(key)
    del fields["digest"]
    return {**fields, "state": _state(key, now)}


def _state(key: ApiKey, now: float) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.expires_at is not None and key.expires_at <= now else "active"
