"""Keys made for a test: in the files that an operator would name, and for forging with."""

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

AnyPrivate = RSAPrivateKey | Ed25519PrivateKey | Ed448PrivateKey


def rsa(bits: int = 2_048) -> RSAPrivateKey:
    return generate_private_key(65_537, bits)


def jwk_of(key: AnyPrivate, **members: object) -> dict[str, Any]:
    """The public half, as a member of a JWKS."""
    return {**_algorithm(key).to_jwk(key.public_key(), as_dict=True), **members}


def private_jwk_of(key: AnyPrivate, **members: object) -> dict[str, Any]:
    """Both halves, as no server should have them."""
    return {**_algorithm(key).to_jwk(key, as_dict=True), **members}


def _algorithm(key: AnyPrivate) -> Any:
    return jwt.get_algorithm_by_name("RS256" if isinstance(key, RSAPrivateKey) else "EdDSA")


def oct_jwk(secret: bytes, **members: object) -> dict[str, Any]:
    return {"kty": "oct", "k": base64url(secret), **members}


def write_jwks(path: Path, *keys: dict[str, Any]) -> Path:
    path.write_text(json.dumps({"keys": keys}))
    return path


def write_pem(path: Path, key: Any, password: bytes | None = None) -> Path:
    locked: KeySerializationEncryption = BestAvailableEncryption(password) if password else NoEncryption()
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked))
    return path


def public_pem(key: AnyPrivate) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def forge(header: object, claims: object, secret: bytes) -> str:
    """A token signed with HMAC, whatever its header says; bytes stand for themselves."""
    parts = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in (header, claims)]
    signed = ".".join(map(base64url, parts))
    return f"{signed}.{base64url(hmac.digest(secret, signed.encode(), hashlib.sha256))}"
