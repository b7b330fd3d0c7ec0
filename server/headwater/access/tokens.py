"""Tokens that the app minted (JWT, RFC 7519): whether one is valid, and whom it speaks for.

The algorithm is the configuration's, never what a token says of itself (RFC 8725).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jwt
from jwt.types import Options

from headwater.access.jwks import ALGORITHMS, HS256, read_jwks, secret_key
from headwater.access.secrets import not_valid
from headwater.config import Config
from headwater.core.access import Principal
from headwater.core.claims import principal_of, time_of
from headwater.errors import ConfigError

# What servers and proxies let through in one header; looked at before anything is decoded.
TOKEN_MAX = 8 * 1024


class Tokens:
    """Verifies tokens with `keys`, by kid, of one algorithm. An `issuer` or `audience` of None may be any."""

    def __init__(
        self,
        algorithm: str,
        keys: Mapping[str | None, jwt.PyJWK],
        *,
        issuer: str | None = None,
        audience: str | None = None,
        skew_s: float = 0.0,
    ) -> None:
        self.algorithm = algorithm
        self._keys = dict(keys)
        self._issuer = issuer
        self._audience = audience
        self._skew_s = skew_s
        # The times are looked at here: a leeway is for a minter's clock that is ahead, and lengthens no token's life.
        self._options: Options = {
            "require": ["exp", "sub"],
            "verify_exp": False,
            "verify_nbf": False,
            "verify_iat": False,
            "verify_aud": audience is not None,
        }

    def __repr__(self) -> str:
        return f"<Tokens {self.algorithm} keys={len(self._keys)}>"

    @classmethod
    def from_config(cls, config: Config) -> "Tokens | None":
        """What the HEADWATER_JWT_… settings describe, or None if they name no key. Reads a file; raises ConfigError."""
        secret, file, algorithm = str(config.jwt_secret), config.jwt_jwks, config.jwt_alg
        _check(config)
        if not secret and not file:
            return None
        keys: Mapping[str | None, jwt.PyJWK]
        if secret:
            algorithm, keys = HS256, {None: secret_key(secret, "HEADWATER_JWT_SECRET")}
        else:
            keys = read_jwks(Path(file), algorithm)
        return cls(
            algorithm,
            keys,
            issuer=config.jwt_issuer or None,
            audience=config.jwt_audience or None,
            skew_s=config.jwt_skew_s,
        )

    def verify(self, token: str, now: float) -> Principal:
        """Whom the token speaks for at `now`, in Unix seconds. Raises Unauthenticated, alike for whatever is wrong."""
        try:
            return self._principal(token, now)
        except (jwt.PyJWTError, ValueError, RecursionError):  # what is no token can be anything
            raise not_valid() from None

    def _principal(self, token: str, now: float) -> Principal:
        if len(token) > TOKEN_MAX:
            raise ValueError("it is too long")
        header = jwt.get_unverified_header(token)
        if "crit" in header:
            raise ValueError("it asks for what we may not know")
        claims: dict[str, Any] = jwt.decode(
            token,
            self._key(header.get("kid")),
            algorithms=[self.algorithm],
            options=self._options,
            audience=self._audience,
            issuer=self._issuer,
        )
        for claim in ("nbf", "iat"):
            if claim in claims and time_of(claims, claim) > now + self._skew_s:
                raise ValueError("it is not valid yet")
        if time_of(claims, "exp") <= now:
            raise ValueError("it has expired")
        return principal_of(claims)

    def _key(self, kid: str | None) -> jwt.PyJWK:
        """The key that a token names; an only one need not be named, and one without a name cannot be."""
        if len(self._keys) == 1:
            ((name, key),) = self._keys.items()
            if kid is None or name is None or kid == name:
                return key
        elif kid is not None and kid in self._keys:
            return self._keys[kid]
        raise ValueError("there is no such key")


def _check(config: Config) -> None:
    """Raises ConfigError for settings that contradict each other, or of which one is missing."""
    secret, file, algorithm = str(config.jwt_secret), config.jwt_jwks, config.jwt_alg
    if algorithm and algorithm not in ALGORITHMS:
        raise ConfigError(
            f"HEADWATER_JWT_ALG must be {', '.join(ALGORITHMS[:-1])} or {ALGORITHMS[-1]}, not {algorithm!r}"
        )
    if secret and file:
        raise ConfigError("HEADWATER_JWT_SECRET and HEADWATER_JWT_JWKS are both set: use one of them")
    if secret and algorithm not in ("", HS256):
        raise ConfigError(
            f"HEADWATER_JWT_SECRET is for HS256; for {algorithm} name a file of public keys with HEADWATER_JWT_JWKS"
        )
    if file and not algorithm:
        raise ConfigError(f"HEADWATER_JWT_JWKS needs HEADWATER_JWT_ALG, one of {', '.join(ALGORITHMS)}")
    for name in ("jwt_alg", "jwt_issuer", "jwt_audience"):
        if getattr(config, name) and not (secret or file):
            raise ConfigError(
                f"HEADWATER_{name.upper()} says how tokens are checked, but with which key? "
                "Set HEADWATER_JWT_SECRET or HEADWATER_JWT_JWKS too"
            )
