"""One request: when it is repeated, and which error says what to do."""

from dataclasses import replace
from typing import Any

import pytest

from headwater_client import (
    BadRequest,
    Forbidden,
    HeadwaterError,
    NotFound,
    NotHeadwater,
    Resumed,
    Retrying,
    RunAttempt,
    ServerError,
    TooManyRetries,
    Unauthorized,
    Usage,
)
from headwater_client.core import calls
from headwater_client.core.address import address, checked_room, socket_address
from headwater_client.core.steps import Lost, Reply
from tests.clients.python.driving import CUT, MAX_WAIT_S, RUN, World, problem, reply


def with_retry_after(answer: Reply, seconds: str) -> Reply:
    return replace(answer, headers={**answer.headers, "retry-after": seconds})


def test_a_run_that_may_have_been_started_is_asked_for_under_the_same_key() -> None:
    world = World([CUT, reply(502, b"<html>", "text/html"), reply(202, RUN)])
    run = world.play(calls.create(world.rules, "hi", {"model": "demo"}, "key-1"))
    assert (run.id, run.output) == ("run_1", "abc")
    assert [request.headers["Idempotency-Key"] for request in world.asked] == ["key-1"] * 3
    assert {request.body for request in world.asked} == {b'{"input": "hi", "model": "demo"}'}
    assert [type(notice) for notice in world.notices] == [Retrying, Retrying, Resumed]


def test_waits_double_up_to_some_seconds() -> None:
    world = World([CUT] * 10 + [reply(200, RUN)], max_wait_s=1_000)
    world.play(calls.get(world.rules, "run_1"))
    assert world.slept == [0.25, 0.5, 1, 2, 4, 4, 4, 4, 4, 4]


def test_it_gives_up_after_what_is_allowed_and_says_of_what() -> None:
    world = World([CUT] * 100)
    with pytest.raises(TooManyRetries, match="cut") as caught:
        world.play(calls.create(world.rules, "hi", {}, "key-1"))
    assert sum(world.slept) == MAX_WAIT_S
    assert (caught.value.tries, caught.value.waited_s) == (len(world.asked), MAX_WAIT_S)
    assert caught.value.__cause__ is CUT.error
    assert caught.value.idempotency_key == "key-1"


def test_a_server_that_asks_to_wait_is_waited_for() -> None:
    world = World([with_retry_after(problem(429, "too_many"), "7"), reply(200, RUN)])
    world.play(calls.get(world.rules, "run_1"))
    assert world.slept == [7.25]


def test_a_server_that_asks_to_wait_for_too_long_is_not() -> None:
    world = World([with_retry_after(problem(503, "draining"), "3600")])
    with pytest.raises(TooManyRetries) as caught:
        world.play(calls.get(world.rules, "run_1"))
    assert (caught.value.retry_after, world.slept) == (3600, [])


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        (problem(401, "unauthenticated"), Unauthorized, "unauthenticated"),
        (problem(403, "forbidden"), Forbidden, "forbidden"),
        (problem(404, "unknown_run"), NotFound, "unknown_run"),
        (problem(404, "not_found"), NotHeadwater, "not_headwater"),
        (problem(409, "idempotency_conflict"), BadRequest, "idempotency_conflict"),
        (problem(422, "invalid"), BadRequest, "invalid"),
        (problem(500, "internal_error"), ServerError, "internal_error"),
        (reply(403, b"no", "text/html"), NotHeadwater, "not_headwater"),
        (reply(404, b"no", "text/html"), NotHeadwater, "not_headwater"),
        (reply(500, b"no", "text/html"), NotHeadwater, "not_headwater"),
        (reply(301, b"", "text/html", location="https://other.test/"), NotHeadwater, "not_headwater"),
        (reply(200, b"<html>", "text/html"), NotHeadwater, "not_headwater"),
        (reply(200, {"id": "run_1"}), NotHeadwater, "not_headwater"),
        (reply(200, ["run_1"]), NotHeadwater, "not_headwater"),
        (Lost(OSError("untrusted"), hopeless=True), NotHeadwater, "not_headwater"),
    ],
)
def test_what_will_not_pass_is_an_error_at_once(answer: Any, kind: type[HeadwaterError], code: str) -> None:
    world = World([answer])
    with pytest.raises(kind) as caught:
        world.play(calls.get(world.rules, "run_1"))
    assert (type(caught.value), caught.value.code, world.slept) == (kind, code, [])
    assert str(caught.value) == caught.value.message


def test_an_error_names_the_field_and_the_limit() -> None:
    world = World([problem(422, "invalid", field="temperature", limit=2)])
    with pytest.raises(BadRequest) as caught:
        world.play(calls.get(world.rules, "run_1"))
    assert (caught.value.field, caught.value.limit, caught.value.status) == ("temperature", 2, 422)


def test_a_refused_token_is_replaced_once() -> None:
    world = World([problem(401, "unauthenticated"), reply(200, RUN)], tokens=["old", "new"])
    world.play(calls.get(world.rules, "run_1"))
    assert [request.headers["Authorization"] for request in world.asked] == ["Bearer old", "Bearer new"]
    assert (world.rejected, world.slept) == ([None, "old"], [])


@pytest.mark.parametrize("tokens", [["old", "old"], [None, None], ["old", None], ["old", "new"]])
def test_a_token_that_is_refused_again_is_not_asked_for_again(tokens: list[str | None]) -> None:
    world = World([problem(401, "unauthenticated")] * 2, tokens=list(tokens))
    with pytest.raises(Unauthorized, match="token"):
        world.play(calls.get(world.rules, "run_1"))
    assert len(world.rejected) == 2
    assert len(world.asked) == (2 if tokens == ["old", "new"] else 1)


def test_a_run_that_was_deleted_by_the_request_before_is_deleted() -> None:
    world = World([CUT, problem(404, "unknown_run")])
    world.play(calls.delete(world.rules, "run_1"))
    with pytest.raises(NotFound):
        World([problem(404, "unknown_run")]).play(calls.delete(world.rules, "run_1"))


def test_a_query_says_only_what_was_asked() -> None:
    world = World([reply(200, {"object": "list", "data": [RUN], "has_more": True})])
    page = world.play(calls.runs(world.rules, {"limit": 1, "before": None}))
    assert ([run.id for run in page.runs], page.has_more) == (["run_1"], True)
    assert world.asked[0].query == {"limit": "1"}


def test_an_id_cannot_lead_elsewhere() -> None:
    assert calls.run_path("../x?y#z") == "/v1/runs/..%2Fx%3Fy%23z"


def test_an_address_is_one() -> None:
    assert address("https://app.test:8443/llm/") == "https://app.test:8443/llm"
    assert socket_address("https://app.test/llm", "lobby") == "wss://app.test/llm/v1/rooms/lobby/ws"
    said = ("localhost:8000", "ftp://app.test", "http://", "http://app.test/?a=b", "")
    for wrong in (*said, "http://[x", "http://app.test:x", "http://app.test:99999", "http://a b", "http://a\x1b"):
        with pytest.raises(NotHeadwater):
            address(wrong)


@pytest.mark.parametrize("url", ["http://ann:secret@app.test", "https://ann@app.test/llm", "ann:secret@app.test"])
def test_an_address_has_no_password_and_none_is_repeated(url: str) -> None:
    with pytest.raises(NotHeadwater, match="give a token") as refused:
        address(url)
    assert "secret" not in str(refused.value) and "ann" not in str(refused.value)
    assert address("http://app.test/@ann") == "http://app.test/@ann"


def test_a_run_tells_of_its_attempts() -> None:
    tries = [
        {"number": 1, "reason": None, "how": None, "model": "demo", "usage": {"output_tokens": 9}},
        {"number": 2, "reason": "failover", "how": "continued", "model": "backup", "usage": None},
    ]
    world = World([reply(200, {**RUN, "attempts": tries})])
    run = world.play(calls.get(world.rules, "run_1"))
    assert run.attempts == (
        RunAttempt(1, model="demo", usage=Usage(output_tokens=9)),
        RunAttempt(2, "failover", "continued", "backup"),
    )


def test_a_room_has_a_name_that_a_room_can_have() -> None:
    assert checked_room("Help-2.a_b~c") == "Help-2.a_b~c"
    for wrong in ("", "my room", "a/b", "x" * 129, "caf\u00e9", "a\n", ".", ".."):
        with pytest.raises(BadRequest) as caught:
            checked_room(wrong)
        assert caught.value.field == "room"
