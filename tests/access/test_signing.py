"""What is minted here, a server with the same settings believes."""

import secrets
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from starlette.datastructures import Secret

from headwater.access.signing import signer_from
from headwater.access.tokens import Tokens
from headwater.config import Config
from headwater.errors import ConfigError
from tests.access.keys import AnyPrivate, jwk_of, rsa, write_jwks, write_pem

CLAIMS = {"sub": "ann", "exp": 2_000_000_000}
NOW = 1_800_000_000.0
LONG = secrets.token_hex(16)


def refusal(private_key: Path | None, **settings: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        signer_from(Config(**settings), private_key, None)
    return str(caught.value)


def test_with_the_shared_secret() -> None:
    config = Config(jwt_secret=Secret(LONG))
    tokens = Tokens.from_config(config)
    assert tokens is not None
    signer = signer_from(config, None, None)
    assert tokens.verify(signer.mint(CLAIMS), NOW).subject == "user:ann"
    assert LONG not in repr(signer)


@pytest.mark.parametrize("make", [rsa, Ed25519PrivateKey.generate], ids=["RSA", "Ed25519"])
@pytest.mark.parametrize("kid", [None, "2026"])
def test_with_a_private_key(tmp_path: Path, make: Any, kid: str | None) -> None:
    key: AnyPrivate = make()
    signer = signer_from(Config(), write_pem(tmp_path / "key.pem", key), kid)
    public = [jwk_of(key) if kid is None else jwk_of(key, kid=kid)]
    file = write_jwks(tmp_path / "keys.json", *public)
    tokens = Tokens.from_config(Config(jwt_alg=signer.algorithm, jwt_jwks=str(file)))
    assert tokens is not None
    token = signer.mint(CLAIMS)
    assert tokens.verify(token, NOW).subject == "user:ann"
    assert jwt.get_unverified_header(token).get("kid") == kid


def test_without_a_key(tmp_path: Path) -> None:
    assert "set HEADWATER_JWT_SECRET" in refusal(None)
    assert refusal(tmp_path / "key.pem").endswith("key.pem: cannot be read: No such file or directory")


def test_with_a_key_that_the_server_would_not_believe(tmp_path: Path) -> None:
    file = write_pem(tmp_path / "key.pem", Ed25519PrivateKey.generate())
    assert refusal(file, jwt_alg="RS256") == "that key signs with EdDSA, but HEADWATER_JWT_ALG is RS256"
    assert "has 31 bytes" in refusal(None, jwt_secret=Secret(LONG[1:]))


def test_with_a_key_that_is_none(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_text("-----BEGIN PRIVATE KEY-----\nmarked\n-----END PRIVATE KEY-----\n")
    said = refusal(file)
    assert said.endswith("key.pem: is no private key in PEM form") and "marked" not in said
    assert refusal(write_pem(file, Ed25519PrivateKey.generate(), b"password")).endswith("give a key without one")
    assert refusal(write_pem(file, rsa(1_024))).endswith("has 1024 bits, and RSA must have at least 2048")
    for other in (Ed448PrivateKey.generate(), generate_ec(SECP256R1())):
        assert refusal(write_pem(file, other)).endswith("must be a key of RSA or Ed25519")
