"""A run that was shared, as a response: its guests see what it answers, and nothing of what it was asked."""

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.api.calls import DEADLINE_S, QUICK
from tests.formats.responses import events
from tests.support.keys import JWT_SECRET, bearer, token
from tests.support.server import ServerProcess

SECRETS = ("be discreet", "my diagnosis", "look_it_up", "case-7", "ann@example.com")
ASKED = {
    "model": "demo",
    "instructions": "be discreet",
    "input": [{"role": "user", "content": "my diagnosis"}],
    "tools": [{"type": "function", "name": "look_it_up"}],
    "metadata": {"case": "case-7"},
    "user": "ann@example.com",
    **QUICK,
}
NOTHING: dict[str, Any] = {"instructions": None, "tools": [], "metadata": {}, "user": None}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    settings = {"jwt_secret": JWT_SECRET, "drain_s": 0, "drain_spread_s": 0}
    with ServerProcess(tmp_path_factory.mktemp("guests"), settings=settings) as server:
        yield server


@pytest.fixture(scope="module")
def owner() -> dict[str, str]:
    return bearer(token(sub="owner", tenant="default", scope="runs:read runs:write"))


@pytest.fixture(scope="module")
def response(api: httpx2.Client, owner: dict[str, str]) -> Any:
    answer = api.post("/v1/responses", json=ASKED, headers=owner)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture(params=["a ticket", "a claim", "a claim in its tenant"])
def guest(
    request: pytest.FixtureRequest, api: httpx2.Client, owner: dict[str, str], response: Any
) -> Iterator[httpx2.Client]:
    """Somebody with whom the run of the response was shared."""
    run = response["id"].replace("resp_", "run_")
    params, headers = {}, {}
    if request.param == "a ticket":
        params["ticket"] = api.post("/v1/tickets", json={"run": run}, headers=owner).json()["ticket"]
    else:
        tenant = "default" if request.param == "a claim in its tenant" else "elsewhere"
        headers = bearer(token(sub="guest", tenant=tenant, runs=[run]))
    with httpx2.Client(base_url=api.base_url, params=params, headers=headers, timeout=DEADLINE_S) as client:
        yield client


def test_a_guest_is_told_the_answer_and_nothing_of_what_was_asked(guest: httpx2.Client, response: Any) -> None:
    told = guest.get(f"/v1/responses/{response['id']}")
    assert told.status_code == 200 and not any(secret in told.text for secret in SECRETS)
    assert told.json()["output"] == response["output"] and told.json()["usage"] == response["usage"]
    assert {name: told.json()[name] for name in NOTHING} == NOTHING
    assert told.json().keys() == response.keys(), "clients find every field that they know"


def test_a_guest_is_refused_the_input(guest: httpx2.Client, response: Any) -> None:
    refused = guest.get(f"/v1/responses/{response['id']}/input_items")
    assert refused.status_code == 403 and "only its owner" in refused.json()["error"]["message"]
    assert not any(secret in refused.text for secret in SECRETS)


def test_a_guests_stream_has_nothing_of_what_was_asked(
    guest: httpx2.Client, api: httpx2.Client, owner: dict[str, str], response: Any
) -> None:
    id = response["id"]
    for url, query in (
        (f"/v1/responses/{id}", {"stream": "true"}),
        (f"/v1/responses/{id}", {"stream": "true", "starting_after": "0"}),
        (f"/v1/runs/{id.replace('resp_', 'run_')}/events", {"format": "responses"}),
    ):
        for _ in range(2):  # the frames of one must not be found by the other
            owners = api.get(url, params=query, headers=owner)
            assert events(owners.content)[-1]["response"]["instructions"] == "be discreet"
            told = guest.get(url, params={**dict(guest.params), **query})
            assert told.status_code == 200 and not any(secret in told.text for secret in SECRETS)
            last = events(told.content)[-1]
            assert (last["type"], last["response"]["output"]) == ("response.completed", response["output"])


def test_the_owner_is_told_all(api: httpx2.Client, owner: dict[str, str], response: Any) -> None:
    told = api.get(f"/v1/responses/{response['id']}", headers=owner)
    assert told.json() == response and response["tools"][0]["name"] == "look_it_up"
    items = api.get(f"/v1/responses/{response['id']}/input_items", headers=owner).json()["data"]
    assert items[0]["content"][0]["text"] == "my diagnosis"


def test_nobody_goes_on_from_what_was_shared_with_them(api: httpx2.Client, response: Any) -> None:
    run = response["id"].replace("resp_", "run_")
    writer = bearer(token(sub="guest", tenant="elsewhere", scope="runs:write runs:read", runs=[run]))
    body = {"model": "demo", "input": "what was said?", "previous_response_id": response["id"]}
    refused = api.post("/v1/responses", json=body, headers=writer)
    assert refused.status_code == 403 and refused.json()["error"]["param"] == "previous_response_id"
