"""Which settings of tokens a server starts with. What is refused is refused in one line, without a part of a key."""

import json
import secrets
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import ECAlgorithm
from starlette.datastructures import Secret

from headwater.access.tokens import Tokens
from headwater.config import Config
from headwater.errors import ConfigError
from tests.access.keys import jwk_of, oct_jwk, private_jwk_of, public_pem, rsa, write_jwks

LONG = secrets.token_hex(16)  # 32 bytes
JWKS = "keys.json"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files are named as they lie in the folder that the server was started in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ed(**members: object) -> dict[str, Any]:
    return jwk_of(Ed25519PrivateKey.generate(), **members)


def found(**settings: Any) -> Tokens | None:
    return Tokens.from_config(Config(**settings))


def refusal(**settings: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        found(**settings)
    error = caught.value
    assert "\n" not in str(error)
    assert error.__context__ is None or error.__suppress_context__, "nothing that could quote the key comes with it"
    return str(error)


def of_file(*keys: dict[str, Any], algorithm: str = "EdDSA") -> Tokens | None:
    write_jwks(Path(JWKS), *keys)
    return found(jwt_alg=algorithm, jwt_jwks=JWKS)


def refusal_of_file(*keys: dict[str, Any], algorithm: str = "EdDSA") -> str:
    write_jwks(Path(JWKS), *keys)
    return refusal(jwt_alg=algorithm, jwt_jwks=JWKS)


# -- which settings go together


def test_tokens_are_for_those_who_set_them_up() -> None:
    assert found() is None


@pytest.mark.parametrize("algorithm", ["none", "hs256", "HS512", "ES256", "HS256,RS256"])
def test_there_are_three_algorithms(algorithm: str) -> None:
    said = refusal(jwt_alg=algorithm, jwt_secret=Secret(LONG))
    assert said == f"HEADWATER_JWT_ALG must be HS256, RS256 or EdDSA, not {algorithm!r}"


def test_a_secret_has_32_bytes() -> None:
    assert found(jwt_secret=Secret(LONG)) is not None
    said = refusal(jwt_secret=Secret(LONG[:-1]))
    assert said == "HEADWATER_JWT_SECRET has 31 bytes, and must have at least 32"


def test_a_secret_is_counted_in_bytes() -> None:
    assert found(jwt_secret=Secret("é" * 16)) is not None


def test_a_public_key_is_no_secret() -> None:
    for known in (public_pem(rsa()).decode(), json.dumps(ed())):
        said = refusal(jwt_secret=Secret(known))
        assert said.startswith("HEADWATER_JWT_SECRET is a key for something else")


@pytest.mark.parametrize("algorithm", ["RS256", "EdDSA"])
def test_a_secret_is_for_hs256(algorithm: str) -> None:
    said = refusal(jwt_alg=algorithm, jwt_secret=Secret(LONG))
    assert f"for {algorithm} name a file" in said and LONG not in said


def test_there_is_one_place_for_keys() -> None:
    assert refusal(jwt_secret=Secret(LONG), jwt_jwks=JWKS, jwt_alg="HS256").endswith("are both set: use one of them")


def test_a_file_needs_an_algorithm() -> None:
    write_jwks(Path(JWKS), ed())
    assert refusal(jwt_jwks=JWKS).startswith("HEADWATER_JWT_JWKS needs HEADWATER_JWT_ALG, one of HS256")


@pytest.mark.parametrize("setting", [{"jwt_alg": "EdDSA"}, {"jwt_issuer": "app"}, {"jwt_audience": "us"}])
def test_a_rule_needs_a_key(setting: dict[str, str]) -> None:
    (name,) = setting
    said = refusal(**setting)
    assert said.startswith(f"HEADWATER_{name.upper()} ") and "HEADWATER_JWT_JWKS" in said


# -- the file


def test_a_file_that_is_not_there() -> None:
    assert refusal(jwt_alg="EdDSA", jwt_jwks=JWKS) == "keys.json: cannot be read: No such file or directory"


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "7", "{}", '{"keys": {}}', '{"keys": [7]}', '{"keys": ["a"]}', '{"a": [' * 3_000, "-----BEGIN\n"],
    ids=lambda text: text[:20],
)
def test_a_file_that_is_no_set_of_keys(text: str) -> None:
    Path(JWKS).write_text(text)
    assert refusal(jwt_alg="EdDSA", jwt_jwks=JWKS).startswith("keys.json: is not a JWKS: it must be")


def test_a_file_that_is_far_too_large() -> None:
    Path(JWKS).write_bytes(b" " * (1024 * 1024 + 1))
    assert "so it is hardly a JWKS" in refusal(jwt_alg="EdDSA", jwt_jwks=JWKS)


def test_a_file_without_a_key_of_the_algorithm() -> None:
    assert refusal_of_file() == "keys.json: has no key for EdDSA: one of kty OKP and crv Ed25519"
    others = [jwk_of(rsa(), kid="a"), jwk_of(Ed448PrivateKey.generate(), kid="b"), ed(kid="c", use="enc")]
    others += [ed(kid="d", alg="ES256"), ed(kid="e", key_ops=["sign"]), ed(kid="f", key_ops=None)]
    assert "has no key for EdDSA" in refusal_of_file(*others)
    assert refusal_of_file(ed(), algorithm="RS256") == "keys.json: has no key for RS256: one of kty RSA"


def test_keys_of_others_are_left_alone() -> None:
    elliptic = ECAlgorithm.to_jwk(generate_ec(SECP256R1()).public_key(), as_dict=True)
    tokens = of_file(elliptic, jwk_of(rsa(1_024)), {"kty": "future"}, ed(use="sig", alg="EdDSA", key_ops=["verify"]))
    assert repr(tokens) == "<Tokens EdDSA keys=1>"


def test_several_keys_have_names_of_their_own() -> None:
    assert repr(of_file(ed(kid="a"), ed(kid="b"), ed(kid="c"))) == "<Tokens EdDSA keys=3>"
    assert refusal_of_file(ed(kid="a"), ed(kid="a")) == "keys.json: keys[1].kid is that of a key before it"
    assert refusal_of_file(jwk_of(rsa(), kid="a"), ed(kid="a")).endswith("keys[1].kid is that of a key before it")
    for nameless in ([ed(), ed(kid="a")], [ed(kid="a"), ed()], [ed(), ed()]):
        assert refusal_of_file(*nameless) == "keys.json: keys[1]: where there are several keys, each needs a kid"
    assert refusal_of_file(ed(kid=7)) == "keys.json: keys[0].kid must be a string"


@pytest.mark.parametrize("algorithm", ["HS256", "RS256", "EdDSA"])
def test_a_private_key_is_refused_and_said_so(algorithm: str) -> None:
    good = {"HS256": oct_jwk(secrets.token_bytes(32)), "RS256": jwk_of(rsa()), "EdDSA": ed()}[algorithm]
    for key in (rsa(), Ed25519PrivateKey.generate()):
        private = private_jwk_of(key, kid="a")
        said = refusal_of_file(good | {"kid": "b"}, private, algorithm=algorithm)
        assert said.startswith("keys.json: keys[1] holds a private part") and private["d"] not in said


def test_a_shared_secret_is_as_private_beside_public_keys() -> None:
    assert "holds a private part" in refusal_of_file(ed(kid="a"), oct_jwk(secrets.token_bytes(32), kid="b"))


def test_a_short_rsa_key_is_refused() -> None:
    assert of_file(jwk_of(rsa()), algorithm="RS256") is not None
    said = refusal_of_file(jwk_of(rsa(1_024)), algorithm="RS256")
    assert said == "keys.json: keys[0] has 1024 bits, and RSA must have at least 2048"


def test_a_short_shared_secret_is_refused() -> None:
    assert of_file(oct_jwk(secrets.token_bytes(32)), algorithm="HS256") is not None
    said = refusal_of_file(oct_jwk(secrets.token_bytes(31)), algorithm="HS256")
    assert said == "keys.json: keys[0] has 31 bytes, and must have at least 32"


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [
        ("EdDSA", {"kty": "OKP", "crv": "Ed25519"}),
        ("EdDSA", {"kty": "OKP", "crv": "Ed25519", "x": "marked"}),
        ("EdDSA", {"kty": "OKP", "crv": "Ed25519", "x": 7}),
        ("RS256", {"kty": "RSA", "n": "marked"}),
        ("RS256", {"kty": "RSA", "n": "!marked", "e": "AQAB"}),
        ("RS256", {"kty": "RSA", "n": "AQAB", "e": "AQAB"}),
        ("HS256", {"kty": "oct"}),
        ("HS256", {"kty": "oct", "k": 7}),
    ],
)
def test_half_a_key_is_refused_and_not_quoted(algorithm: str, key: dict[str, Any]) -> None:
    said = refusal_of_file(key, algorithm=algorithm)
    assert said.startswith("keys.json: keys[0] ") and "marked" not in said
