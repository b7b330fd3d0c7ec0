"""What is wrong with a request to a room is said precisely, and changes nothing."""

import json
from typing import Any

import httpx2
import pytest

from headwater.core.commands import CLIENT_ID_MAX, MENTIONS_MAX, TEXT_CHARS
from tests.api.calls import BODY_MAX, problem
from tests.api.rooms import make, new_name, page, say

NOWHERE = "/v1/rooms/nowhere"  # where nobody ever says or hears anything: that would make it


@pytest.fixture(scope="module")
def room(api: httpx2.Client) -> Any:
    return make(api)


def test_looking_at_a_room_that_is_not_there_does_not_make_it(api: httpx2.Client) -> None:
    for path in ("", "/messages"):
        assert "nowhere" in problem(api.get(f"{NOWHERE}{path}"), 404, "unknown_room")["detail"]
    assert api.head(f"{NOWHERE}/events").status_code == 404
    problem(api.get(NOWHERE), 404, "unknown_room")


@pytest.mark.parametrize("name", ["a%20b", "x" * 129, "a/b", "%00", "é", ""])
def test_what_is_no_name_is_no_address(api: httpx2.Client, name: str) -> None:
    problem(api.put(f"/v1/rooms/{name}", json={}), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/v1/rooms", "GET, HEAD"),
        ("POST", f"{NOWHERE}", "DELETE, GET, HEAD, PUT"),
        ("DELETE", f"{NOWHERE}/messages", "GET, HEAD, POST"),
        ("POST", f"{NOWHERE}/events", "GET, HEAD"),
    ],
)
def test_a_wrong_method_is_refused_with_the_right_ones(
    api: httpx2.Client, method: str, path: str, allowed: str
) -> None:
    response = api.request(method, path)
    problem(response, 405, "method_not_allowed")
    assert response.headers["allow"] == allowed


# -- settings


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"topic": "a"}, "topic"),
        ({"title": 5}, "title"),
        ({"title": "t" * 257}, "title"),
        ({"title": "a\0b"}, "title"),
        ({"instructions": ["a"]}, "instructions"),
        ({"instructions": "é" * 12_000 + "\0"}, "instructions"),
        ({"model": ""}, "model"),
        ({"model": "m" * 257}, "model"),
        ({"model": "gpt-9"}, "model"),
        ({"policy": "sometimes"}, "policy"),
        ({"concurrency": "none"}, "concurrency"),
        ({"context_bytes": 0}, "context_bytes"),
        ({"context_bytes": 2**30}, "context_bytes"),
        ({"context_bytes": 1.5}, "context_bytes"),
        ({"retention": 5}, "retention"),
        ({"retention": {"count": 0}}, "retention.count"),
        ({"retention": {"count": 1_000_001}}, "retention.count"),
        ({"retention": {"age_s": 0}}, "retention.age_s"),
        ({"retention": {"age_s": 1e308}}, "retention.age_s"),
        ({"retention": {"age": 1}}, "retention.age"),
        ({"budgets": {"runs_per_day": -1}}, "budgets.runs_per_day"),
        ({"budgets": {"runs": 1}}, "budgets.runs"),
        ({"name": "other"}, "name"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_by_its_path(api: httpx2.Client, settings: Any, field: str) -> None:
    path = f"/v1/rooms/{new_name()}"
    document = problem(api.put(path, json=settings), 422, "invalid")
    assert document["field"] == field
    assert field in document["detail"]
    assert api.get(path).status_code == 404, "it was not made"


def test_an_unknown_model_is_refused_with_the_known_ones(api: httpx2.Client) -> None:
    document = problem(api.put(f"/v1/rooms/{new_name()}", json={"model": "gpt-9"}), 422, "invalid")
    assert document["detail"] == "There is no model 'gpt-9' here. Known are demo."


def test_a_refused_setting_leaves_the_room_as_it_was(api: httpx2.Client) -> None:
    room = make(api, title="Help")
    problem(api.put(f"/v1/rooms/{room['name']}", json={"title": "Other", "policy": "?"}), 422, "invalid")
    assert api.get(f"/v1/rooms/{room['name']}").json() == room


# -- messages


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "text"),
        ({"text": ""}, "text"),
        ({"text": None}, "text"),
        ({"text": 5}, "text"),
        ({"text": "x" * (TEXT_CHARS + 1)}, "text"),
        ({"text": "a\0b"}, "text"),
        ({"text": "a", "txt": "b"}, "txt"),
        ({"text": "a", "client_id": ""}, "client_id"),
        ({"text": "a", "client_id": "c" * (CLIENT_ID_MAX + 1)}, "client_id"),
        ({"text": "a", "client_id": 7}, "client_id"),
        ({"text": "a", "reply_to": ""}, "reply_to"),
        ({"text": "a", "reply_to": "m" * 65}, "reply_to"),
        ({"text": "a", "mentions": "demo"}, "mentions"),
        ({"text": "a", "mentions": [""]}, "mentions[0]"),
        ({"text": "a", "mentions": ["m" * 257]}, "mentions[0]"),
        ({"text": "a", "mentions": ["m"] * (MENTIONS_MAX + 1)}, "mentions"),
        ({"text": "a", "mentions": ["a", "b\0"]}, "mentions[1]"),
        ({"text": "a", "name": ""}, "name"),
        ({"text": "a", "name": "n" * 65}, "name"),
        ({"text": "a", "name": "Ann\nBob"}, "name"),
        ({"text": "a", "ref": "1"}, "ref"),
    ],
)
def test_a_message_that_cannot_be_is_refused_by_its_path(api: httpx2.Client, room: Any, body: Any, field: str) -> None:
    document = problem(api.post(room["messages_url"], json=body), 422, "invalid")
    assert document["field"] == field
    assert field in document["detail"]
    assert page(api, room)["data"] == []


@pytest.mark.parametrize(
    ("content", "kind", "status", "code"),
    [
        ("{", "application/json", 400, "malformed_json"),
        ('{"text": "\\ud800"}', "application/json", 400, "malformed_json"),
        ("[]", "application/json", 422, "invalid"),
        ('{"text": "hello"}', "text/plain", 415, "unsupported_media_type"),
        (json.dumps({"text": "x" * BODY_MAX}), "application/json", 413, "too_large"),
    ],
)
def test_a_body_that_is_none_is_refused(
    api: httpx2.Client, room: Any, content: str, kind: str, status: int, code: str
) -> None:
    headers = {"Content-Type": kind}
    problem(api.post(room["messages_url"], content=content, headers=headers), status, code)
    content = content.replace("text", "title")
    problem(api.put(f"/v1/rooms/{room['name']}", content=content, headers=headers), status, code)


@pytest.mark.parametrize("key", ["", "k" * (CLIENT_ID_MAX + 1), "a\tb"])
def test_an_unusable_idempotency_key_is_refused(api: httpx2.Client, room: Any, key: str) -> None:
    response = api.post(room["messages_url"], json={"text": "a"}, headers={"Idempotency-Key": key})
    document = problem(response, 400, "bad_request")
    assert (document["field"], document["limit"]) == ("Idempotency-Key", CLIENT_ID_MAX)


def test_two_names_for_one_message_are_refused(api: httpx2.Client, room: Any) -> None:
    body = {"text": "a", "client_id": "one"}
    response = api.post(room["messages_url"], json=body, headers={"Idempotency-Key": "other"})
    assert problem(response, 422, "invalid")["field"] == "client_id"


def test_a_reply_to_what_is_not_there_is_refused(api: httpx2.Client, room: Any) -> None:
    elsewhere = say(api, make(api), "elsewhere")
    for message in ("msg_nope", elsewhere["id"]):
        response = api.post(room["messages_url"], json={"text": "a", "reply_to": message})
        document = problem(response, 404, "unknown_message")
        assert (document["field"], message in document["detail"]) == ("reply_to", True)
    assert page(api, room)["data"] == []


# -- pages


@pytest.mark.parametrize("limit", ["0", "101", "-1", "abc", "", "1.5"])
def test_a_wrong_page_size_is_refused(api: httpx2.Client, room: Any, limit: str) -> None:
    for url in ("/v1/rooms", room["messages_url"]):
        document = problem(api.get(url, params={"limit": limit}), 422, "invalid")
        assert (document["field"], document["limit"]) == ("limit", 100)


def test_a_list_that_begins_nowhere_is_refused(api: httpx2.Client, room: Any) -> None:
    for before in ("nowhere", "", "a/b", "a\0b"):
        assert problem(api.get("/v1/rooms", params={"before": before}), 404, "unknown_room")["field"] == "before"
    for before in ("msg_nope", "", "17", "a/b", "a\0b"):
        document = problem(api.get(room["messages_url"], params={"before": before}), 404, "unknown_message")
        assert document["field"] == "before"


# -- positions


@pytest.mark.parametrize("position", ["abc", "1", "1-", "-1-2", "01-2", "0-5", "9999999999999-1", "1-2\0"])
def test_a_malformed_position_is_refused(api: httpx2.Client, room: Any, position: str) -> None:
    document = problem(api.get(room["events_url"], params={"after": position}), 400, "malformed_position")
    assert document["field"] == "after"


def test_a_malformed_last_event_id_is_refused_though_after_is_fine(api: httpx2.Client, room: Any) -> None:
    response = api.get(room["events_url"], params={"after": "0-0"}, headers={"Last-Event-ID": "abc"})
    assert problem(response, 400, "malformed_position")["field"] == "Last-Event-ID"
