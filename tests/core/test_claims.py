"""What a token may claim, and what comes of it."""

import math
from typing import Any, get_args

import pytest
from msgspec import structs

from headwater.core.access import SCOPES, Scope
from headwater.core.claims import NAME_MAX, SHARED_MAX, SUBJECT_MAX, TIME_MAX, check_scopes, check_tenant, principal_of

CLAIMS: dict[str, Any] = {"sub": "ann", "exp": 2_000_000_000}


def test_the_least_that_a_token_can_say() -> None:
    principal = principal_of(CLAIMS)
    assert principal.id == "default/user:ann"
    assert (principal.scopes, principal.runs, principal.rooms) == (frozenset(), frozenset(), None)
    assert (principal.name, principal.key, principal.expires_at) == (None, None, 2_000_000_000)
    assert not principal.may("runs:read"), "what is not claimed is not given"


def test_all_that_a_token_can_say() -> None:
    shared = {"runs": ["run_a", "run_b", "run_a"], "rooms": {"lobby": "read", "team~1": "moderate"}}
    principal = principal_of({**CLAIMS, **shared, "name": "Ann", "tenant": "acme", "scope": "runs:write rooms:read"})
    assert (principal.tenant, principal.subject, principal.name) == ("acme", "user:ann", "Ann")
    assert principal.scopes == {"runs:write", "rooms:read"}
    assert principal.runs == {"run_a", "run_b"}
    assert (principal.role_in("lobby"), principal.role_in("team~1"), principal.role_in("other")) == (
        "read",
        "moderate",
        None,
    )


def test_what_was_shared_opens_the_routes_to_it() -> None:
    known: tuple[Scope, ...] = get_args(Scope)

    def open_to(**claims: Any) -> set[str]:
        principal = principal_of({**CLAIMS, **claims})
        return {scope for scope in known if principal.may(scope)}

    assert open_to(runs=["run_a"]) == {"runs:read"}
    assert open_to(rooms={}) == open_to() == set()
    assert open_to(rooms={"lobby": "read"}) == {"rooms:read"}
    assert open_to(rooms={"lobby": "read", "team": "write"}) == {"rooms:read", "rooms:write"}
    assert open_to(rooms={"lobby": "moderate"}, scope="runs:write") == {"rooms:read", "rooms:write", "runs:write"}


def test_a_rooms_ticket_opens_no_route() -> None:
    principal = structs.replace(principal_of({**CLAIMS, "rooms": {"lobby": "write"}}), by_ticket=True)
    assert not principal.may("rooms:read") and not principal.may("rooms:write")


def test_scopes_of_other_services_travel_in_the_same_token() -> None:
    principal = principal_of({**CLAIMS, "scope": "openid runs:read  billing:write Admin"})
    assert principal.scopes == {"runs:read"}


def test_claims_of_other_services_do_too() -> None:
    assert principal_of({**CLAIMS, "role": 7, "scp": ["admin"], "admin": True}) == principal_of(CLAIMS)


def test_no_claim_of_a_room_shuts_out_and_an_empty_one_does() -> None:
    scoped = {**CLAIMS, "scope": "rooms:write"}
    assert principal_of(scoped).role_in("lobby") == "write"
    assert principal_of({**scoped, "rooms": {}}).role_in("lobby") is None


@pytest.mark.parametrize("name", ["Ann O'Neil", "안나", "👩‍👩‍👧", "x" * NAME_MAX, "علی‌رضا"])
def test_a_name_is_what_people_write(name: str) -> None:
    assert principal_of({**CLAIMS, "name": name}).name == name


def test_an_empty_name_is_none() -> None:
    assert principal_of({**CLAIMS, "name": ""}).name is None


@pytest.mark.parametrize("subject", ["a", "auth0|5f7c", "a/b c:d", "é" * SUBJECT_MAX])
def test_a_subject_is_what_identity_providers_write(subject: str) -> None:
    assert principal_of({**CLAIMS, "sub": subject}).subject == f"user:{subject}"


@pytest.mark.parametrize("exp", [0, -1, 1.5, TIME_MAX])
def test_an_end_is_any_time(exp: float) -> None:
    assert principal_of({**CLAIMS, "exp": exp}).expires_at == exp


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        ("sub", None),
        ("sub", ""),
        ("sub", 7),
        ("sub", "x" * (SUBJECT_MAX + 1)),
        ("sub", "a\nb"),
        ("sub", "a\x00"),
        ("sub", "a\ud800"),
        ("name", None),
        ("name", 7),
        ("name", "x" * (NAME_MAX + 1)),
        ("name", "a\nb"),
        ("name", "a\u2028b"),
        ("name", "a\ud800"),
        ("tenant", None),
        ("tenant", ""),
        ("tenant", "a/b"),
        ("tenant", "a\n"),
        ("tenant", "x" * 65),
        ("tenant", ["acme"]),
        ("scope", ["runs:read"]),
        ("scope", None),
        ("runs", "run_a"),
        ("runs", None),
        ("runs", [7]),
        ("runs", [["run_a"]]),
        ("runs", ["run a"]),
        ("runs", [""]),
        ("runs", ["x" * 65]),
        ("runs", [f"run_{number}" for number in range(SHARED_MAX + 1)]),
        ("rooms", None),
        ("rooms", ["lobby"]),
        ("rooms", {"lobby": "owner"}),
        ("rooms", {"lobby": 7}),
        ("rooms", {"lobby": ["read"]}),
        ("rooms", {"a/b": "read"}),
        ("rooms", {"": "read"}),
        ("rooms", {"x" * 129: "read"}),
        ("rooms", {f"room{number}": "read" for number in range(SHARED_MAX + 1)}),
        ("exp", None),
        ("exp", True),
        ("exp", "2000000000"),
        ("exp", math.nan),
        ("exp", math.inf),
        ("exp", -math.inf),
        ("exp", TIME_MAX + 1),
        ("exp", 10**400),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_is_malformed_is_refused_by_its_claim(claim: str, value: object) -> None:
    with pytest.raises(ValueError) as caught:
        principal_of({**CLAIMS, claim: value})
    assert {"sub": "sub", "rooms": "ro"}.get(claim, claim) in str(caught.value)


@pytest.mark.parametrize("claim", ["sub", "exp"])
def test_what_is_missing_is_refused(claim: str) -> None:
    with pytest.raises(ValueError, match=claim):
        principal_of({name: value for name, value in CLAIMS.items() if name != claim})


def test_an_unknown_scope_is_named_beside_the_known() -> None:
    assert check_scopes([*SCOPES, "admin"]) == SCOPES and check_scopes([]) == frozenset()
    with pytest.raises(ValueError) as caught:
        check_scopes(["runs:read", "runs:delete"])
    assert str(caught.value) == (
        "there is no scope 'runs:delete': there are admin, rooms:read, rooms:write, runs:read, runs:write"
    )


def test_a_tenant_is_a_plain_name() -> None:
    assert check_tenant("Acme.eu-1_x") == "Acme.eu-1_x"
    with pytest.raises(ValueError, match="1 to 64"):
        check_tenant("../acme")
