"""Which tokens are believed. Every one that is not is refused with the same words."""

import json
import math
import secrets
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Secret

from headwater.access.secrets import not_valid
from headwater.access.tokens import TOKEN_MAX, Tokens
from headwater.config import Config
from headwater.core.access import Principal
from headwater.errors import Unauthenticated
from tests.access.keys import base64url, forge, jwk_of, oct_jwk, public_pem, rsa, write_jwks

NOW = 1_800_000_000.5
SECRET = secrets.token_bytes(32)
HEADER = {"alg": "HS256", "typ": "JWT"}
CLAIMS: dict[str, Any] = {"sub": "ann", "exp": NOW + 60, "scope": "runs:read"}


def tokens(**settings: Any) -> Tokens:
    """What these settings describe, with a shared secret unless they name a file."""
    if "jwt_jwks" not in settings:
        settings["jwt_secret"] = Secret(SECRET.hex())
    found = Tokens.from_config(Config(**settings))
    assert found is not None
    return found


def signed(claims: object = CLAIMS, header: object = HEADER) -> str:
    return forge(header, claims, SECRET.hex().encode())


def refused(by: Tokens, token: str, now: float = NOW) -> None:
    """Whatever is wrong, nobody learns what."""
    with pytest.raises(Unauthenticated) as caught:
        by.verify(token, now)
    assert (caught.value.detail, caught.value.headers) == (not_valid().detail, not_valid().headers)
    assert caught.value.__cause__ is None and caught.value.__suppress_context__


@pytest.fixture(scope="module")
def rsa_key() -> RSAPrivateKey:
    return rsa()


@pytest.fixture(scope="module")
def ed_key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


# -- what is believed


def test_a_token_speaks_for_whom_it_names() -> None:
    assert tokens().verify(signed(), NOW) == Principal(
        tenant="default", subject="user:ann", scopes=frozenset({"runs:read"}), expires_at=NOW + 60
    )


def test_the_secret_need_not_be_said_to_be_for_hs256() -> None:
    assert tokens(jwt_alg="HS256").verify(signed(), NOW) == tokens().verify(signed(), NOW)


def test_a_kid_is_of_no_matter_where_there_is_one_key_without() -> None:
    assert tokens().verify(signed(header={**HEADER, "kid": "2026"}), NOW).subject == "user:ann"


@pytest.mark.parametrize("algorithm", ["HS256", "RS256", "EdDSA"])
def test_a_file_of_keys_says_who_may_sign(
    tmp_path: Path, rsa_key: RSAPrivateKey, ed_key: Ed25519PrivateKey, algorithm: str
) -> None:
    key: Any = {"HS256": SECRET, "RS256": rsa_key, "EdDSA": ed_key}[algorithm]
    member = oct_jwk(SECRET, kid="a") if algorithm == "HS256" else jwk_of(key, kid="a")
    by = tokens(jwt_alg=algorithm, jwt_jwks=str(write_jwks(tmp_path / "keys.json", member)))
    assert by.verify(jwt.encode(CLAIMS, key, algorithm), NOW).subject == "user:ann"
    assert by.verify(jwt.encode(CLAIMS, key, algorithm, headers={"kid": "a"}), NOW).subject == "user:ann"
    refused(by, jwt.encode(CLAIMS, key, algorithm, headers={"kid": "b"}))


def test_of_several_keys_the_kid_decides(tmp_path: Path, ed_key: Ed25519PrivateKey) -> None:
    other = Ed25519PrivateKey.generate()
    file = write_jwks(tmp_path / "keys.json", jwk_of(ed_key, kid="old"), jwk_of(other, kid="new"))
    by = tokens(jwt_alg="EdDSA", jwt_jwks=str(file))
    for key, kid in ((ed_key, "old"), (other, "new")):
        assert by.verify(jwt.encode(CLAIMS, key, "EdDSA", headers={"kid": kid}), NOW).subject == "user:ann"
    refused(by, jwt.encode(CLAIMS, ed_key, "EdDSA", headers={"kid": "new"}))
    refused(by, jwt.encode(CLAIMS, ed_key, "EdDSA", headers={"kid": "older"}))
    refused(by, jwt.encode(CLAIMS, ed_key, "EdDSA"))


# -- who signed


def test_a_token_without_a_signature_is_none() -> None:
    unsigned = f"{base64url(json.dumps({'alg': 'none'}).encode())}.{base64url(json.dumps(CLAIMS).encode())}."
    for by in (tokens(), tokens(jwt_alg="HS256")):
        refused(by, unsigned)
        refused(by, signed(header={"alg": "none"}))
        refused(by, signed(header={"alg": "None"}))
        refused(by, signed().rpartition(".")[0] + ".")


def test_a_public_key_is_no_secret_to_sign_with(tmp_path: Path, rsa_key: RSAPrivateKey) -> None:
    member = jwk_of(rsa_key)
    by = tokens(jwt_alg="RS256", jwt_jwks=str(write_jwks(tmp_path / "keys.json", member)))
    for secret in (public_pem(rsa_key), public_pem(rsa_key).strip(), json.dumps(member).encode(), member["n"].encode()):
        refused(by, forge(HEADER, CLAIMS, secret))
        refused(by, forge({"alg": "RS256"}, CLAIMS, secret))


@pytest.mark.parametrize("alg", ["HS384", "HS512", "RS256", "EdDSA", "hs256", "", None, 7, ["HS256"], {}])
def test_the_algorithm_is_ours_to_choose(alg: object) -> None:
    refused(tokens(), signed(header={**HEADER, "alg": alg}))


def test_another_algorithm_of_the_same_key_is_refused(tmp_path: Path, rsa_key: RSAPrivateKey) -> None:
    by = tokens(jwt_alg="RS256", jwt_jwks=str(write_jwks(tmp_path / "keys.json", jwk_of(rsa_key))))
    refused(by, jwt.encode(CLAIMS, rsa_key, "RS512"))
    refused(by, jwt.encode(CLAIMS, rsa_key, "PS256"))
    refused(tokens(), jwt.encode(CLAIMS, SECRET.hex(), "HS512", headers={"alg": "HS512"}))


def test_another_signature_is_refused(ed_key: Ed25519PrivateKey) -> None:
    header, claims, signature = signed().split(".")
    refused(tokens(), forge(HEADER, CLAIMS, secrets.token_bytes(32)))
    refused(tokens(), f"{header}.{claims}.{signature[::-1]}")
    refused(tokens(), f"{header}.{base64url(json.dumps({**CLAIMS, 'sub': 'bob'}).encode())}.{signature}")
    refused(tokens(), jwt.encode(CLAIMS, ed_key, "EdDSA"))


def test_a_key_that_a_token_brings_along_is_not_used(ed_key: Ed25519PrivateKey, tmp_path: Path) -> None:
    by = tokens(jwt_alg="EdDSA", jwt_jwks=str(write_jwks(tmp_path / "keys.json", jwk_of(ed_key))))
    mine = Ed25519PrivateKey.generate()
    for header in ({"jwk": jwk_of(mine)}, {"jku": "http://127.0.0.1/keys.json"}, {"x5u": "http://127.0.0.1/"}):
        refused(by, jwt.encode(CLAIMS, mine, "EdDSA", headers=header))


# -- how it is written


@pytest.mark.parametrize("token", ["", ".", "..", "...", "a.b.c", "hwk_x", "\ud800.a.b", "é.é.é", "a" * 100_000])
def test_what_is_no_token_is_refused(token: str) -> None:
    refused(tokens(), token)


def test_a_token_has_a_size() -> None:
    def padded(length: int) -> str:
        return signed({**CLAIMS, "pad": "x" * length})

    length = next(length for length in range(TOKEN_MAX) if len(padded(length)) >= TOKEN_MAX)
    assert len(padded(length)) == TOKEN_MAX
    assert tokens().verify(padded(length), NOW).subject == "user:ann"
    refused(tokens(), padded(length + 1))


@pytest.mark.parametrize("deep", [b"[" * 3_000, b'{"a":' * 1_000 + b"1" + b"}" * 1_000, b"[" * 2_000 + b"]" * 2_000])
def test_nesting_harms_nobody(deep: bytes) -> None:
    refused(tokens(), signed(deep))
    refused(tokens(), signed(header=deep))


@pytest.mark.parametrize(
    "written", [b"", b"null", b"[]", b"7", b'"ann"', b"{", b"\xff\xfe", b'{"exp": 1' + b"0" * 5_000]
)
def test_claims_are_an_object(written: bytes) -> None:
    refused(tokens(), signed(written))
    refused(tokens(), signed(header=written))


@pytest.mark.parametrize("crit", [["b64"], ["exp"], [], "b64", None])
def test_what_a_token_calls_critical_is_refused(crit: object) -> None:
    refused(tokens(), signed(header={**HEADER, "crit": crit, "b64": True}))
    refused(tokens(), signed(header={**HEADER, "crit": crit, "b64": False}))


@pytest.mark.parametrize("kid", [7, None, ["a"], {}])
def test_a_kid_is_a_string(kid: object) -> None:
    refused(tokens(), signed(header={**HEADER, "kid": kid}))


@pytest.mark.parametrize(
    ("claim", "value"),
    [("sub", 7), ("sub", ""), ("scope", ["admin"]), ("tenant", "a/b"), ("runs", "all"), ("rooms", []), ("name", 7)],
)
def test_malformed_claims_are_refused_as_all_else(claim: str, value: object) -> None:
    refused(tokens(), signed({**CLAIMS, claim: value}))


@given(st.one_of(st.text(), st.lists(st.binary().map(base64url), min_size=3, max_size=3).map(".".join)))
def test_nothing_that_is_sent_is_more_than_refused(token: str) -> None:
    refused(tokens(), token)


_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
_CLAIM_NAMES = st.sampled_from(["sub", "exp", "nbf", "iat", "iss", "aud", "jti", "tenant", "scope", "runs", "rooms"])


@given(st.dictionaries(_CLAIM_NAMES, _ANYTHING, min_size=1), st.booleans())
def test_nothing_that_is_signed_is_more_than_refused(claims: dict[str, object], strict: bool) -> None:
    by = tokens(jwt_issuer="app", jwt_audience="us") if strict else tokens()
    try:
        by.verify(signed({**CLAIMS, **claims}), NOW)
    except Unauthenticated as error:
        assert error.detail == not_valid().detail


# -- when


def test_its_end_is_exact() -> None:
    by = tokens(jwt_skew_s=300)
    assert by.verify(signed(), NOW + 59.999).expires_at == NOW + 60
    refused(by, signed(), NOW + 60)
    refused(by, signed(), NOW + 61)


@pytest.mark.parametrize("exp", [None, True, "1900000000", math.nan, math.inf, 10**30, 1.9e12, -1, 0])
def test_its_end_is_a_time_in_seconds(exp: object) -> None:
    refused(tokens(), signed({**CLAIMS, "exp": exp}))


@pytest.mark.parametrize("claim", ["exp", "sub"])
def test_it_has_an_end_and_a_subject(claim: str) -> None:
    refused(tokens(), signed({name: value for name, value in CLAIMS.items() if name != claim}))


@pytest.mark.parametrize("claim", ["nbf", "iat"])
def test_a_minters_clock_may_be_a_little_ahead(claim: str) -> None:
    by = tokens(jwt_skew_s=10)
    assert by.verify(signed({**CLAIMS, claim: NOW + 10}), NOW).subject == "user:ann"
    refused(by, signed({**CLAIMS, claim: NOW + 10.001}))
    refused(tokens(jwt_skew_s=0.001), signed({**CLAIMS, claim: NOW + 1}))


@pytest.mark.parametrize("claim", ["nbf", "iat"])
@pytest.mark.parametrize("value", ["1800000000", None, True, math.nan, -math.inf, [], {}])
def test_a_beginning_is_a_time_too(claim: str, value: object) -> None:
    refused(tokens(), signed({**CLAIMS, claim: value}))


# -- for whom


def test_the_issuer_is_the_one_that_is_expected() -> None:
    by = tokens(jwt_issuer="https://app.example")
    assert by.verify(signed({**CLAIMS, "iss": "https://app.example"}), NOW).subject == "user:ann"
    for wrong in ("https://app.example/", "", None, ["https://app.example"], 7):
        refused(by, signed({**CLAIMS, "iss": wrong}))
    refused(by, signed())


def test_the_audience_is_among_those_that_it_names() -> None:
    by = tokens(jwt_audience="headwater")
    for right in ("headwater", ["billing", "headwater"]):
        assert by.verify(signed({**CLAIMS, "aud": right}), NOW).subject == "user:ann"
    for wrong in ("billing", "headwater2", ["billing"], [], "", None, 7, {"headwater": 1}, ["headwater", 7]):
        refused(by, signed({**CLAIMS, "aud": wrong}))
    refused(by, signed())


def test_where_none_is_expected_any_will_do() -> None:
    assert tokens().verify(signed({**CLAIMS, "iss": "x", "aud": ["y"]}), NOW).subject == "user:ann"


def test_keys_are_not_shown() -> None:
    assert repr(tokens()) == "<Tokens HS256 keys=1>"
