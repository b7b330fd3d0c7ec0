"""Keys, tickets, and the keys of HEADWATER_KEYS."""

import hashlib
import re

import pytest
from starlette.datastructures import Secret

from headwater.access.secrets import configured_keys, digest, key_id, new_key, new_ticket, not_valid
from headwater.core.access import SCOPES
from headwater.errors import ConfigError
from headwater.store.vault import ApiKey

GOOD = "correct-horse-battery"


def given(text: str) -> list[ApiKey]:
    return configured_keys(Secret(text))


def refusal(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        given(text)
    return str(caught.value)


def test_a_key_names_its_id_and_hides_160_bits() -> None:
    found, text = new_key()
    shape = re.fullmatch(r"hwk_([a-z2-7]{12})_([a-z2-7]{32})", text)
    assert shape is not None and shape[1] == found == key_id(text)
    assert len({new_key() for _ in range(100)}) == 100


def test_a_ticket_hides_160_bits() -> None:
    assert re.fullmatch(r"hwt_[a-z2-7]{32}", new_ticket())
    assert new_ticket() != new_ticket()


@pytest.mark.parametrize(
    "change", ["{}x", "x{}", "{}\n", " {}", "hwk_{}", ""], ids=["longer", "before", "line", "space", "twice", "empty"]
)
def test_what_is_not_made_like_a_key_has_no_id(change: str) -> None:
    _, text = new_key()
    assert key_id(change.format(text)) is None
    assert key_id(text[:-1]) is None and key_id(text.upper()) is None and key_id(new_ticket()) is None


def test_all_of_a_credential_is_hashed() -> None:
    _, text = new_key()
    assert digest(text) == hashlib.sha256(text.encode()).hexdigest()
    assert len(digest("é\ud800")) == 64, "whatever a frame brought"


def test_what_is_not_valid_is_refused_alike() -> None:
    assert (not_valid().detail, not_valid().headers) == (not_valid().detail, not_valid().headers)
    assert not_valid().status == 401 and "get a new one" in not_valid().detail


def test_no_keys_are_configured_by_default() -> None:
    assert given("") == []


def test_a_secret_alone_may_do_everything() -> None:
    (key,) = given(GOOD)
    assert (key.id, key.name, key.tenant) == ("env:key1", "key1", "default")
    assert frozenset(key.scopes) == SCOPES
    assert key.digest == digest(GOOD) and key.expires_at is None
    assert GOOD not in repr(key)


def test_keys_have_names_scopes_and_tenants() -> None:
    first, second, third = given(
        f"{GOOD}1, web={GOOD}2;scopes=runs:read runs:write;tenant=acme ,{GOOD}3;tenant=b.c;scopes=admin"
    )
    assert (first.id, second.id, third.id) == ("env:key1", "env:web", "env:key3")
    assert (second.name, second.tenant, second.scopes) == ("web", "acme", ("runs:read", "runs:write"))
    assert (third.name, third.tenant, third.scopes) == ("key3", "b.c", ("admin",))
    assert [key.digest for key in (first, second, third)] == [digest(f"{GOOD}{number}") for number in (1, 2, 3)]


def test_a_secret_in_base64_needs_a_name() -> None:
    padded = "Y29ycmVjdC1ob3JzZQ=="
    (key,) = given(f"web={padded}")
    assert (key.name, key.digest) == ("web", digest(padded))
    assert "NAME=SECRET" in refusal(padded), "or its end would be taken for an empty variable"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("hunter", "entry 1: a secret has at least 8 characters"),
        ("two words of a secret", "entry 1: a secret has at least 8 characters"),
        ("correct-hörse-battery", "of ASCII"),
        ("web=", "entry 1: has nothing after its ="),
        ("a-name-that-is-long-enough=", "entry 1: has nothing after its ="),
        ("web=hunter", "at least 8 characters"),
        (f"my web={GOOD}", "entry 1: a name is"),
        (f"={GOOD}", "entry 1: a name is"),
        (f"{GOOD},", "entry 2: a secret has at least"),
        (",", "entry 1: a secret has at least"),
        (" ", "entry 1: a secret has at least"),
        (f"{GOOD},{GOOD}", "entry 2: has the secret of one before it"),
        (f"a={GOOD},a={GOOD}2", "entry 2: has the name of one before it"),
        (f"key2={GOOD},{GOOD}2", "entry 2: has the name of one before it"),
        (f"{GOOD};scopes=runs:all", "there is no scope 'runs:all'"),
        (f"{GOOD};scopes=", "scopes= names none"),
        (f"{GOOD};scopes", "each once"),
        (f"{GOOD};scope=runs:read", "each once"),
        (f"{GOOD};tenant=a/b", "a tenant is"),
        (f"{GOOD};tenant=", "a tenant is"),
        (f"{GOOD};tenant=a;tenant=b", "each once"),
        (f"{GOOD};{GOOD}", "each once"),
    ],
)
def test_what_cannot_be_used_is_refused_by_its_number_without_the_secret(text: str, why: str) -> None:
    said = refusal(text)
    assert said.startswith("HEADWATER_KEYS: entry ") and why in said and "\n" not in said
    assert not [word for word in ("horse", "hörse", "hunter", "words", "long-enough") if word in said]
