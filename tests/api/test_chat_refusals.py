"""What this server itself refuses on OpenAI's routes it refuses as OpenAI would, with the headers of every route."""

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from headwater.errors import Invalid
from headwater.web.openai.chat_request import in_their_words
from tests.api.calls import BODY_MAX, DEADLINE_S, QUICK, SLOW, cancel, producing, start
from tests.support.keys import JWT_SECRET, bearer, token
from tests.support.server import ServerProcess

CHAT = "/v1/chat/completions"
BODY = {"messages": [{"role": "user", "content": "hello"}], **QUICK}
KEY = "a-key-of-the-tests"
REQUESTS = 5


def refused(response: httpx2.Response, status: int, code: str, type: str = "invalid_request_error") -> Any:
    """The error object that the response must be."""
    assert (response.status_code, response.headers["content-type"]) == (status, "application/json"), response.text
    error = response.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert (error["code"], error["type"]) == (code, type)
    assert error["message"]
    return error


# -- a request that is none


@pytest.mark.parametrize(
    ("headers", "content", "status", "code", "param"),
    [
        ({"Content-Type": "application/json"}, b'{"messages": [', 400, "malformed_json", None),
        ({"Content-Type": "application/json"}, b"[]", 400, "invalid_value", None),
        ({"Content-Type": "application/json"}, b'{"messages":[{"role":"user","content":"\\u0000"}]}', 400,
         "invalid_value", "messages[0].content"),
        ({"Content-Type": "text/plain"}, b"{}", 415, "unsupported_media_type", None),
        ({"Content-Type": "application/json"}, b" " * (BODY_MAX + 1), 413, "too_large", None),
        ({"Content-Type": "application/json", "Idempotency-Key": ""}, b"{}", 400, "bad_request", "Idempotency-Key"),
        ({"Content-Type": "application/json", "Headwater-On-Disconnect": "stop"}, b"{}", 400, "bad_request",
         "Headwater-On-Disconnect"),
        ({"Content-Type": "application/json", "Origin": "https://evil.example"}, b"{}", 403, "forbidden", "Origin"),
    ],
    ids=["not JSON", "no object", "NUL", "media type", "too large", "key", "on disconnect", "origin"],
)  # fmt: skip
def test_what_is_wrong_with_a_request_is_named(
    api: httpx2.Client, headers: dict[str, str], content: bytes, status: int, code: str, param: str | None
) -> None:
    kind = "permission_error" if status == 403 else "invalid_request_error"
    assert refused(api.post(CHAT, content=content, headers=headers), status, code, kind)["param"] == param


@pytest.mark.parametrize("path", ["/v1/embeddings", "/v1/chat/nothing", "/v1/files/file-1"])
def test_what_is_not_offered_is_said_as_openai_says_it(api: httpx2.Client, path: str) -> None:
    assert refused(api.post(path, json={}), 404, "not_found")["message"] == f"There is nothing at {path}."


@pytest.mark.parametrize("path", ["/chat/completions", "/responses", "/models"])
def test_a_client_whose_base_url_lacks_its_end_is_told_so(api: httpx2.Client, path: str) -> None:
    assert "base URL of an OpenAI client ends in /v1" in refused(api.post(path, json={}), 404, "not_found")["message"]


def test_a_field_that_the_provider_refuses_has_the_name_that_it_came_by() -> None:
    error = Invalid("input[0].extra.text: not on this model.", field="input[0].extra.text")
    told = in_their_words(error)
    assert (told.field, told.detail) == ("messages[0].text", "messages[0].text: not on this model.")


@pytest.mark.parametrize(("method", "path"), [("GET", CHAT), ("DELETE", CHAT), ("POST", "/v1/models")])
def test_another_method_is_told_the_right_one(api: httpx2.Client, method: str, path: str) -> None:
    response = api.request(method, path)
    refused(response, 405, "method_not_allowed")
    assert response.headers["allow"] == ("POST" if path == CHAT else "GET, HEAD")


@pytest.mark.parametrize("path", ["/v1/chat/nothing", "/v1/chat/completions/x"])
def test_an_address_where_nothing_is_says_so(api: httpx2.Client, path: str) -> None:
    assert path in refused(api.get(path), 404, "not_found")["message"]


def test_the_native_routes_speak_as_before(api: httpx2.Client) -> None:
    for path in ("/v1/runs/run_unknown", "/v1/nothing", "/v1/chatter"):
        assert api.get(path).headers["content-type"] == "application/problem+json"


def test_a_model_that_is_not_there(api: httpx2.Client) -> None:
    error = refused(api.post(CHAT, json={**BODY, "model": "gpt-9"}), 404, "model_not_found")
    assert error["param"] == "model"


# -- somebody who may not


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    """A server that asks who is there, and takes a few requests a minute of each."""
    settings = {"keys": KEY, "jwt_secret": JWT_SECRET, "requests_per_minute": REQUESTS, "drain_s": 0}
    with (
        ServerProcess(tmp_path_factory.mktemp("asking"), settings=settings) as server,
        httpx2.Client(base_url=server.url, timeout=DEADLINE_S) as client,
    ):
        yield client


@pytest.mark.parametrize("path", [CHAT, "/v1/models", "/v1/models/demo"])
def test_whoever_is_not_known_is_asked_who_they_are(asking: httpx2.Client, path: str) -> None:
    for headers in ({}, bearer("wrong")):
        response = asking.request("POST" if path == CHAT else "GET", path, headers=headers)
        refused(response, 401, "invalid_api_key", "authentication_error")
        assert response.headers["www-authenticate"].startswith("Bearer")


def test_whoever_may_not_is_told_what_it_takes(asking: httpx2.Client) -> None:
    reader = bearer(token(sub="reader", scope="runs:read"))
    error = refused(asking.post(CHAT, json=BODY, headers=reader), 403, "forbidden", "permission_error")
    assert "runs:write" in error["message"]
    assert asking.get("/v1/models", headers=reader).status_code == 200
    writer = bearer(token(sub="writer", scope="runs:write"))
    refused(asking.get("/v1/models", headers=writer), 403, "forbidden", "permission_error")


def test_whoever_asks_too_often_is_told_when_to_come_back(asking: httpx2.Client) -> None:
    eager = bearer(token(sub="eager", scope="runs:write"))
    for left in range(REQUESTS - 1, -1, -1):
        response = asking.post(CHAT, json=BODY, headers=eager)
        assert response.status_code == 200, response.text
        assert f"r={left};" in response.headers["ratelimit"]
    for stream in (False, True):
        response = asking.post(CHAT, json={**BODY, "stream": stream}, headers=eager)
        refused(response, 429, "rate_limit_exceeded", "rate_limit_error")
        assert 1 <= int(response.headers["retry-after"]) <= 60
        assert f"q={REQUESTS};" in response.headers["ratelimit-policy"]


# -- a server that is full


def test_a_chat_for_which_there_is_no_room_comes_back_later(tmp_path_factory: pytest.TempPathFactory) -> None:
    settings = {"max_runs": 1, "max_queued": 1, "max_subscribers": 1, "drain_s": 0, "drain_spread_s": 0}
    with (
        ServerProcess(tmp_path_factory.mktemp("full"), settings=settings) as server,
        httpx2.Client(base_url=server.url, timeout=DEADLINE_S) as api,
    ):
        running = producing(api, start(api, SLOW))
        waiting = start(api, SLOW)
        for stream in (False, True):
            response = api.post(CHAT, json={**BODY, "stream": stream})
            refused(response, 429, "rate_limit_exceeded", "rate_limit_error")
            assert response.headers["retry-after"] == "1"
        for run in (waiting, running):
            cancel(api, run)
        assert api.post(CHAT, json=BODY).status_code == 200
