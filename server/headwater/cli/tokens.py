"""`headwater tokens`: mint tokens as an app would, for a try or a script."""

import time
from collections.abc import Sequence
from pathlib import Path

import click

from headwater.access.secrets import ordered
from headwater.access.signing import signer_from
from headwater.access.tokens import TOKEN_MAX
from headwater.cli.common import SCOPE_HELP, naming, refusals, scopes_of, seconds, settings
from headwater.config import Config
from headwater.core.access import DEFAULT_TENANT, ROLES
from headwater.core.claims import check_name, check_rooms, check_runs, check_subject, check_tenant
from headwater.errors import ConfigError


@click.group("tokens")
def group() -> None:
    """Mint tokens that a server with the same settings takes."""


@group.command()
@click.option("--sub", required=True, help="Whom it speaks for: the app's own id of a user.")
@click.option("--name", help="What others see of them.")
@click.option("--tenant", default=DEFAULT_TENANT, help="Whose runs and rooms.  [default]")
@click.option("--scope", "scopes", multiple=True, help=SCOPE_HELP)
@click.option("--run", "runs", multiple=True, metavar="ID", help="A run to share, once or more.")
@click.option("--room", "rooms", multiple=True, metavar="NAME=ROLE", help=f"A room, and there: {', '.join(ROLES)}.")
@click.option("--expires-in", default="1h", help="Such as 30d, 12h or 3600 (seconds).  [1h]")
@click.option(
    "--private-key",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Sign with this key (PEM, RSA or Ed25519) instead of HEADWATER_JWT_SECRET.",
)
@click.option("--kid", help="The name that the key has in the servers' JWKS.")
def mint(
    sub: str,
    name: str | None,
    tenant: str,
    scopes: Sequence[str],
    runs: Sequence[str],
    rooms: Sequence[str],
    expires_in: str,
    private_key: Path | None,
    kid: str | None,
) -> None:
    """Mint a token: on stdout, alone. It may do nothing but what --scope, --run and --room say."""
    with refusals():
        config = settings()
        claims = _standing(config, expires_in) | _identity(sub, name, tenant) | _powers(scopes, runs, rooms)
        token = signer_from(config, private_key, kid).mint(claims)
        if len(token) > TOKEN_MAX:
            raise ConfigError(f"the token has {len(token)} characters, and servers take {TOKEN_MAX}: share less")
    click.echo(token)
    if not (scopes or runs or rooms):
        click.echo("It may do nothing: that takes --scope, --run or --room.", err=True)


def _standing(config: Config, expires_in: str) -> dict[str, object]:
    """Who minted it, for whom, and for how long."""
    now = int(time.time())
    with naming("--expires-in"):
        claims: dict[str, object] = {"iat": now, "exp": now + seconds(expires_in)}
    if config.jwt_issuer:
        claims["iss"] = config.jwt_issuer
    if config.jwt_audience:
        claims["aud"] = config.jwt_audience
    return claims


def _identity(sub: str, name: str | None, tenant: str) -> dict[str, object]:
    with naming("--sub"):
        claims: dict[str, object] = {"sub": check_subject(sub)}
    if name is not None:
        with naming("--name"):
            claims["name"] = check_name(name)
    with naming("--tenant"):
        claims["tenant"] = check_tenant(tenant)
    return claims


def _powers(scopes: Sequence[str], runs: Sequence[str], rooms: Sequence[str]) -> dict[str, object]:
    claims: dict[str, object] = {"scope": " ".join(ordered(scopes_of(scopes)))}
    if runs:
        with naming("--run"):
            claims["runs"] = sorted(check_runs(runs))
    if rooms:
        pairs = [room.partition("=") for room in rooms]
        with naming("--room"):
            if not all(separator for _, separator, _ in pairs):
                raise ValueError("write NAME=ROLE")
            claims["rooms"] = check_rooms({name: role for name, _, role in pairs})
    return claims
