"""`headwater tokens`: a server with the same settings takes what it mints."""

import secrets
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from headwater.access.tokens import Tokens
from headwater.config import config_from
from headwater.core.access import Principal
from headwater.errors import Unauthenticated
from tests.access.keys import jwk_of, write_jwks, write_pem
from tests.cli.command import done, headwater, refusal

LONG = secrets.token_hex(16)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no `.env` lies."""
    monkeypatch.chdir(tmp_path)


def minted(*args: str, **settings: object) -> str:
    """The token alone."""
    return done("tokens", "mint", *args, **settings).stdout.strip()


def believed(token: str, now: float | None = None, **settings: Any) -> Principal:
    """Whom a server with these settings takes it for."""
    environ = {f"HEADWATER_{name.upper()}": str(value) for name, value in settings.items()}
    tokens = Tokens.from_config(config_from(environ))
    assert tokens is not None
    return tokens.verify(token, time.time() if now is None else now)


def test_a_token_stands_alone_on_stdout() -> None:
    result = done("tokens", "mint", "--sub", "ann", "--scope", "runs:read", jwt_secret=LONG)
    assert result.stdout.count(".") == 2 and result.stdout.count("\n") == 1 and result.stderr == ""
    assert believed(result.stdout.strip(), jwt_secret=LONG).id == "default/user:ann"


def test_it_says_what_was_asked_for() -> None:
    args = ["--sub", "ann", "--name", "Ann", "--tenant", "acme", "--scope", "runs:read rooms:read"]
    args += ["--scope", "runs:write", "--run", "run_a", "--run", "run_b", "--room", "lobby=write", "--room", "a.b=read"]
    principal = believed(minted(*args, jwt_secret=LONG), jwt_secret=LONG)
    assert (principal.id, principal.name) == ("acme/user:ann", "Ann")
    assert principal.scopes == {"runs:read", "runs:write", "rooms:read"}
    assert principal.runs == {"run_a", "run_b"} and principal.rooms == {"lobby": "write", "a.b": "read"}


@pytest.mark.parametrize(("args", "seconds"), [([], 3600), (["--expires-in", "30d"], 30 * 86_400)])
def test_it_ends_when_it_shall(args: list[str], seconds: int) -> None:
    token = minted("--sub", "ann", "--run", "run_a", *args, jwt_secret=LONG)
    claims = jwt.decode(token, LONG, ["HS256"])
    assert claims["exp"] - claims["iat"] == seconds and abs(claims["iat"] - time.time()) < 60
    with pytest.raises(Unauthenticated):
        believed(token, now=claims["exp"], jwt_secret=LONG)


def test_it_names_issuer_and_audience_where_the_servers_expect_them() -> None:
    settings: dict[str, Any] = {"jwt_secret": LONG, "jwt_issuer": "https://app.example", "jwt_audience": "headwater"}
    assert believed(minted("--sub", "ann", "--run", "run_a", **settings), **settings).subject == "user:ann"


def test_a_private_key_signs_it(tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    file = write_pem(tmp_path / "key.pem", key)
    jwks = write_jwks(tmp_path / "keys.json", jwk_of(Ed25519PrivateKey.generate(), kid="a"), jwk_of(key, kid="b"))
    settings: dict[str, Any] = {"jwt_alg": "EdDSA", "jwt_jwks": jwks}
    token = minted("--sub", "ann", "--run", "run_a", "--private-key", str(file), "--kid", "b", **settings)
    assert believed(token, **settings).subject == "user:ann"


def test_a_token_that_may_do_nothing_is_minted_and_said_so() -> None:
    result = done("tokens", "mint", "--sub", "ann", jwt_secret=LONG)
    assert believed(result.stdout.strip(), jwt_secret=LONG).scopes == frozenset()
    assert result.stderr == "It may do nothing: that takes --scope, --run or --room.\n"


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (["--sub", ""], "--sub: a subject has 1 to 256 printable characters"),
        (["--name", "a\nb"], "--name: a name has"),
        (["--tenant", "a b"], "--tenant: a tenant is"),
        (["--scope", "read"], "--scope: there is no scope 'read'"),
        (["--run", "run a"], "--run: runs are at most 1000 ids of runs"),
        (["--room", "lobby"], "--room: write NAME=ROLE"),
        (["--room", "lobby=owner"], "--room: a role in a room is one of read, write, moderate"),
        (["--room", "a/b=read"], "--room: rooms are"),
        (["--expires-in", "1y"], "--expires-in: must be a time"),
        (["--private-key", "away.pem"], "away.pem: cannot be read: No such file or directory"),
        ([f"--run=run_{number:050}" for number in range(200)], "the token has "),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_cannot_be_is_refused(args: list[str], why: str) -> None:
    assert refusal("tokens", "mint", "--sub", "ann", *args, jwt_secret=LONG).startswith(why)


def test_without_a_key_it_says_what_to_set() -> None:
    assert refusal("tokens", "mint", "--sub", "ann") == (
        "nothing to sign with: set HEADWATER_JWT_SECRET, or name a file with --private-key"
    )


def test_a_secret_is_no_option() -> None:
    said = headwater("tokens", "mint", "--help").output + headwater("keys", "create", "--help").output
    assert "--secret" not in said and "--jwt" not in said and "--key " not in said
