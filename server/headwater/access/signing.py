"""Minting tokens, for tests and scripts: an app mints its own, with whatever its language has for it."""

from collections.abc import Mapping
from pathlib import Path

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from headwater.access.jwks import EDDSA, FILE_BYTES_MAX, HS256, RS256, check_size, secret_key
from headwater.config import Config
from headwater.errors import ConfigError


class Signer:
    """Signs claims with one key."""

    def __init__(
        self, algorithm: str, key: jwt.PyJWK | RSAPrivateKey | Ed25519PrivateKey, kid: str | None = None
    ) -> None:
        self.algorithm = algorithm
        self._key = key
        self._kid = kid

    def __repr__(self) -> str:
        return f"<Signer {self.algorithm}>"

    def mint(self, claims: Mapping[str, object]) -> str:
        """A token that claims this."""
        headers = {"kid": self._kid} if self._kid is not None else None
        return jwt.encode(dict(claims), self._key, algorithm=self.algorithm, headers=headers)


def signer_from(config: Config, private_key: Path | None, kid: str | None) -> Signer:
    """Signs with a private key's file, or else with HEADWATER_JWT_SECRET. It reads the disk; raises ConfigError."""
    if private_key is None:
        if not str(config.jwt_secret):
            raise ConfigError("nothing to sign with: set HEADWATER_JWT_SECRET, or name a file with --private-key")
        signer = Signer(HS256, secret_key(str(config.jwt_secret), "HEADWATER_JWT_SECRET"), kid)
    else:
        signer = _read_private(private_key, kid)
    if config.jwt_alg not in ("", signer.algorithm):
        raise ConfigError(f"that key signs with {signer.algorithm}, but HEADWATER_JWT_ALG is {config.jwt_alg}")
    return signer


def _read_private(path: Path, kid: str | None) -> Signer:
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        key = load_pem_private_key(data, password=None)
    except TypeError:
        raise ConfigError(f"{path}: needs a password: give a key without one") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigError(f"{path}: is no private key in PEM form") from None
    if isinstance(key, RSAPrivateKey):
        check_size(key, f"{path}:")
        return Signer(RS256, key, kid)
    if isinstance(key, Ed25519PrivateKey):
        return Signer(EDDSA, key, kid)
    raise ConfigError(f"{path}: must be a key of RSA or Ed25519")
