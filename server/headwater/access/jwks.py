"""The keys that tokens are verified with: a shared secret, or a file of public keys (RFC 7517).

What is wrong with them is one ConfigError of one line, which quotes nothing of a key.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from jwt.algorithms import HMACAlgorithm

from headwater.errors import ConfigError

HS256, RS256, EDDSA = "HS256", "RS256", "EdDSA"
ALGORITHMS: Final = (HS256, RS256, EDDSA)
# RFC 7518: a shared secret as long as the hash, and 2048 bits of RSA.
SECRET_BYTES_MIN: Final = 32
RSA_BITS_MIN: Final = 2_048
# Hundreds of keys fit; a larger file is some other file, named by mistake.
FILE_BYTES_MAX: Final = 1024 * 1024

# Members that only who signs may have (RFC 7518, 6.2.2, 6.3.2); `k` of a shared secret, where one is not wanted.
_PRIVATE = ("d", "p", "q", "dp", "dq", "qi", "oth")
_KINDS = {HS256: ("oct", None), RS256: ("RSA", None), EDDSA: ("OKP", "Ed25519")}


def secret_key(text: str, setting: str) -> jwt.PyJWK:
    """The key that a shared secret is."""
    data = text.encode(errors="surrogateescape")  # as the environment had it
    if len(data) < SECRET_BYTES_MIN:
        raise ConfigError(f"{setting} has {len(data)} bytes, and must have at least {SECRET_BYTES_MIN}")
    try:
        HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(data)
    except jwt.InvalidKeyError:
        raise ConfigError(f"{setting} is a key for something else, which others may know; choose a secret") from None
    return jwt.PyJWK(HMACAlgorithm.to_jwk(data, as_dict=True), HS256)


def read_jwks(path: Path, algorithm: str) -> dict[str | None, jwt.PyJWK]:
    """The keys of this file for this algorithm, by kid; None stands for an only one without. It reads the disk."""
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    if len(data) > FILE_BYTES_MAX:
        raise ConfigError(f"{path}: is larger than {FILE_BYTES_MAX} bytes, so it is hardly a JWKS")
    try:
        return _keys(_parse(data), algorithm)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def check_size(key: object, where: str) -> None:
    """Raises ConfigError for an RSA key, public or private, that is too short to trust."""
    if isinstance(key, RSAPublicKey | RSAPrivateKey) and key.key_size < RSA_BITS_MIN:
        raise ConfigError(f"{where} has {key.key_size} bits, and RSA must have at least {RSA_BITS_MIN}")


def _parse(data: bytes) -> list[dict[str, Any]]:
    try:
        document = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError):
        raise ConfigError('is not a JWKS: it must be JSON, {"keys": […]}') from None
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list) or not all(isinstance(key, dict) for key in keys):
        raise ConfigError('is not a JWKS: it must be {"keys": […]}')
    return keys


def _keys(members: list[dict[str, Any]], algorithm: str) -> dict[str | None, jwt.PyJWK]:
    kids = set()
    found: dict[str | None, jwt.PyJWK] = {}
    for number, member in enumerate(members):
        where = f"keys[{number}]"
        kid = member.get("kid")
        if not isinstance(kid, str | None):
            raise ConfigError(f"{where}.kid must be a string")
        if kid is not None and kid in kids:
            raise ConfigError(f"{where}.kid is that of a key before it")
        kids.add(kid)
        _refuse_private(member, algorithm, where)
        if not _fits(member, algorithm):
            continue
        if found and None in (kid, *found):
            raise ConfigError(f"{where}: where there are several keys, each needs a kid")
        found[kid] = _key(member, algorithm, where)
    if not found:
        kind, curve = _KINDS[algorithm]
        raise ConfigError(f"has no key for {algorithm}: one of kty {kind}" + (f" and crv {curve}" if curve else ""))
    return found


def _refuse_private(member: Mapping[str, Any], algorithm: str, where: str) -> None:
    if any(name in member for name in _PRIVATE) or ("k" in member and algorithm != HS256):
        raise ConfigError(f"{where} holds a private part, which only who signs should have; give the public key alone")


def _fits(member: Mapping[str, Any], algorithm: str) -> bool:
    """Whether a key is for verifying by this algorithm: a file may hold others beside them."""
    kind, curve = _KINDS[algorithm]
    operations = member.get("key_ops", ["verify"])
    return (
        member.get("kty") == kind
        and (curve is None or member.get("crv") == curve)
        and member.get("alg", algorithm) == algorithm
        and member.get("use", "sig") == "sig"
        and isinstance(operations, list)
        and "verify" in operations
    )


def _key(member: dict[str, Any], algorithm: str, where: str) -> jwt.PyJWK:
    try:
        key = jwt.PyJWK(member, algorithm)
    except Exception:  # whatever it says, it may quote the key
        raise ConfigError(f"{where} is no usable {algorithm} key") from None
    check_size(key.key, where)
    if algorithm == HS256 and len(key.key) < SECRET_BYTES_MIN:
        raise ConfigError(f"{where} has {len(key.key)} bytes, and must have at least {SECRET_BYTES_MIN}")
    return key
