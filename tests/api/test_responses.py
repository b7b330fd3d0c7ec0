"""Responses over the network: whole, streamed and in the background, and what becomes of them afterwards."""

from typing import Any

import httpx2
import pytest

from tests.api.calls import QUICK, SLOW, exchange
from tests.formats.responses import events
from tests.support.server import ServerProcess
from tests.support.waiting import wait_until

URL = "/v1/responses"
CUT = {"demo": {"tokens": 20, "tokens_per_s": 10_000, "fault": "cut", "after": 5}}
FAIL = {"demo": {"fault": "error", "after": 0}}


def create(api: httpx2.Client, input: Any = "hello", extra: Any = QUICK, **fields: Any) -> Any:
    """A response."""
    answer = api.post(URL, json={"model": "demo", "input": input, **extra, **fields})
    assert answer.status_code == 200, answer.text
    return answer.json()


def retrieve(api: httpx2.Client, id: str, **query: Any) -> httpx2.Response:
    return api.get(f"{URL}/{id}", params=query)


def error(response: httpx2.Response, status: int, code: str, param: str | None = None) -> str:
    """The message of OpenAI's error object, which the answer must be."""
    assert response.status_code == status, (response.status_code, response.text)
    told = response.json()["error"]
    assert (told["code"], told["param"]) == (code, param), told
    message: str = told["message"]
    return message


def test_a_response_comes_whole(api: httpx2.Client) -> None:
    answer = api.post(URL, json={"model": "demo", "input": "hello", "metadata": {"a": "b"}, **QUICK})
    response = answer.json()
    assert (answer.status_code, response["object"], response["status"]) == (200, "response", "completed")
    assert response["id"].removeprefix("resp_") == answer.headers["headwater-run"].removeprefix("run_")
    (item,) = response["output"]
    assert (item["type"], item["status"], item["role"]) == ("message", "completed", "assistant")
    assert item["content"][0]["text"] and response["usage"]["output_tokens"] == 20
    assert (response["metadata"], response["store"], response["background"]) == ({"a": "b"}, True, False)
    assert response["completed_at"] >= response["created_at"]
    assert retrieve(api, response["id"]).json() == response


def test_a_response_streams_to_its_end(api: httpx2.Client) -> None:
    answer = api.post(URL, json={"model": "demo", "input": "hello", "stream": True, **QUICK})
    assert answer.headers["content-type"].startswith("text/event-stream")
    told = events(answer.content)
    assert [event["type"] for event in told[:3]] == [
        "response.created", "response.in_progress", "response.output_item.added"
    ]  # fmt: skip
    final = told[-1]["response"]
    assert told[-1]["type"] == "response.completed" and b"[DONE]" not in answer.content
    fetched = retrieve(api, final["id"]).json()
    assert {**fetched, "completed_at": None} == {**final, "completed_at": None}
    assert events(retrieve(api, final["id"], stream="true").content)[-1] == told[-1]


def test_a_response_is_made_in_the_background(api: httpx2.Client) -> None:
    response = create(api, background=True)
    assert (response["status"], response["output"], response["background"]) == ("queued", [], True)
    done = wait_until(lambda: (now := retrieve(api, response["id"]).json())["status"] == "completed" and now)
    assert done["output"][0]["content"][0]["text"]


def test_a_background_response_can_be_followed_from_the_start(api: httpx2.Client) -> None:
    answer = api.post(URL, json={"input": "hello", "background": True, "stream": True, **QUICK})
    assert events(answer.content)[-1]["response"]["background"] is True


def test_a_key_makes_one_response(api: httpx2.Client) -> None:
    for fields in ({}, {"background": True}):
        body = {"model": "demo", "input": "hello", **QUICK, **fields}
        headers = {"Idempotency-Key": f"response {fields}"}
        first, again = (api.post(URL, json=body, headers=headers) for _ in range(2))
        assert first.json()["id"] == again.json()["id"] and again.headers["idempotent-replayed"] == "true"
        streamed = api.post(URL, json=body | {"stream": True}, headers=headers)
        assert events(streamed.content)[-1]["response"]["id"] == first.json()["id"]


def test_any_response_can_be_cancelled(api: httpx2.Client) -> None:
    response = create(api, extra=SLOW, background=True)
    cancelled = api.post(f"{URL}/{response['id']}/cancel").json()
    assert (cancelled["id"], cancelled["status"]) == (response["id"], "cancelled")
    assert api.post(f"{URL}/{response['id']}/cancel").json() == cancelled, "once is enough"
    last = events(retrieve(api, response["id"], stream="1").content)[-1]
    assert (last["type"], last["response"]["status"]) == ("response.incomplete", "cancelled")


def test_a_response_can_be_deleted_once_it_has_ended(api: httpx2.Client) -> None:
    going = create(api, extra=SLOW, background=True)
    refused = error(api.delete(f"{URL}/{going['id']}"), 409, "run_not_ended")
    assert refused.startswith(f"Response '{going['id']}' is ") and "run_" not in refused
    api.post(f"{URL}/{going['id']}/cancel")
    assert api.delete(f"{URL}/{going['id']}").json() == {"id": going["id"], "object": "response", "deleted": True}
    error(retrieve(api, going["id"]), 404, "response_not_found")


@pytest.mark.parametrize("id", ["resp_unknown", "run_unknown", "nothing"])
def test_an_unknown_response_is_not_found_by_its_name(api: httpx2.Client, id: str) -> None:
    for call in (
        retrieve(api, id), retrieve(api, id, stream="true"), api.delete(f"{URL}/{id}"),
        api.post(f"{URL}/{id}/cancel"), api.get(f"{URL}/{id}/input_items"),
    ):  # fmt: skip
        assert error(call, 404, "response_not_found") == f"Response with id '{id}' not found."


@pytest.mark.parametrize("name", ["input_tokens", "compact"])
def test_what_openai_has_beside_responses_is_not_taken_for_one(api: httpx2.Client, name: str) -> None:
    assert error(api.post(f"{URL}/{name}", json={}), 404, "not_found") == f"There is nothing at {URL}/{name}."
    assert error(retrieve(api, f"{name}s"), 404, "response_not_found") == f"Response with id '{name}s' not found."


def test_a_run_of_any_kind_is_a_response_too(api: httpx2.Client) -> None:
    body = {"input": "hello", "extra": QUICK, "tools": [{"type": "function", "function": {"name": "f"}}]}
    run = api.post("/v1/runs", json=body).json()
    done = wait_until(lambda: (now := retrieve(api, run["id"]).json())["status"] == "completed" and now)
    assert done["id"] == "resp_" + run["id"].removeprefix("run_") and done["tools"][0]["name"] == "f"
    told = api.get(f"/v1/runs/{run['id']}/events", params={"format": "responses"})
    assert told.content == retrieve(api, run["id"], stream="true").content


def test_a_run_can_be_started_in_this_form(api: httpx2.Client) -> None:
    told = events(api.post("/v1/runs?format=responses", json={"input": "hello", "extra": QUICK}).content)
    assert told[-1]["type"] == "response.completed"


def test_the_body_of_a_run_does_not_know_what_is_kept_for_responses(api: httpx2.Client) -> None:
    answer = api.post("/v1/runs", json={"input": "hello", "response": {"store": False}})
    assert (answer.status_code, answer.json()["field"]) == (422, "response")


# -- going on from another


def test_a_response_goes_on_from_another_and_from_all_before_it(api: httpx2.Client) -> None:
    first = create(api, "one", instructions="be brief")
    second = create(api, [{"role": "user", "content": "two"}], previous_response_id=first["id"])
    third = create(api, "three", previous_response_id=second["id"])
    api.delete(f"{URL}/{first['id']}")
    assert (third["previous_response_id"], third["instructions"]) == (second["id"], None)
    items = api.get(f"{URL}/{third['id']}/input_items", params={"order": "asc"}).json()["data"]
    assert [(item["role"], item["content"][0]["text"]) for item in items] == [
        ("user", "one"),
        ("assistant", first["output"][0]["content"][0]["text"]),
        ("user", "two"),
        ("assistant", second["output"][0]["content"][0]["text"]),
        ("user", "three"),
    ]


def test_one_cannot_go_on_from_what_is_not_there_or_not_over(api: httpx2.Client) -> None:
    gone, hidden = create(api), create(api, store=False)
    api.delete(f"{URL}/{gone['id']}")
    field = "previous_response_id"
    for id in ("resp_unknown", gone["id"], hidden["id"]):
        answer = api.post(URL, json={"input": "and?", field: id})
        assert (
            error(answer, 400, "previous_response_not_found", field) == f"Previous response with id '{id}' not found."
        )
    going = create(api, extra=SLOW, background=True)
    assert "Wait for its end" in error(
        api.post(URL, json={"input": "?", field: going["id"]}), 400, "invalid_value", field
    )
    api.post(f"{URL}/{going['id']}/cancel")


def test_a_conversation_has_a_limit(api: httpx2.Client) -> None:
    half = "x" * 40_000  # of a limit of 64 KB
    first = create(api, half)
    answer = api.post(URL, json={"input": half, "previous_response_id": first["id"]})
    assert "longer than the limit" in error(answer, 400, "invalid_value", "previous_response_id")


def test_input_comes_in_pages(api: httpx2.Client) -> None:
    items = [{"role": "user", "content": str(number)} for number in range(5)]
    url = f"{URL}/{create(api, items)['id']}/input_items"

    def page(**query: Any) -> tuple[list[str], Any]:
        told = api.get(url, params=query).json()
        assert told["object"] == "list"
        assert (told["first_id"], told["last_id"]) == (told["data"][0]["id"], told["data"][-1]["id"])
        return [item["content"][0]["text"] for item in told["data"]], told

    assert page()[0] == ["4", "3", "2", "1", "0"]
    first, told = page(limit=2)
    assert (first, told["has_more"]) == (["4", "3"], True)
    rest, told = page(limit=3, after=told["last_id"])
    assert (rest, told["has_more"]) == (["2", "1", "0"], False)
    assert page(order="asc", limit=1)[0] == ["0"]
    for query, param in (({"after": "msg_1"}, "after"), ({"limit": 101}, "limit"), ({"limit": 0}, "limit")):
        error(api.get(url, params=query), 400, "invalid_value", param)


# -- what is not stored


def test_a_response_that_is_not_stored_is_nowhere_but_in_its_answer(api: httpx2.Client) -> None:
    response = create(api, store=False)
    assert response["store"] is False and response["output"]
    id = response["id"]
    for call in (retrieve(api, id), retrieve(api, id, stream="true"), api.delete(f"{URL}/{id}")):
        error(call, 404, "response_not_found")
    error(api.get(f"{URL}/{id}/input_items"), 404, "response_not_found")
    error(api.post(f"{URL}/{id}/cancel"), 404, "response_not_found")


def test_a_response_that_is_not_stored_streams_and_can_be_cancelled(api: httpx2.Client) -> None:
    with api.stream("POST", URL, json={"input": "hello", "stream": True, "store": False, **SLOW}) as answer:
        pieces = answer.iter_bytes()
        told = next(pieces)
        run = answer.headers["headwater-run"]
        assert api.get(f"/v1/runs/{run}").json()["status"] == "in_progress"
        assert api.post(f"{URL}/{run}/cancel").json()["status"] == "cancelled"
        told += b"".join(pieces)
    assert events(told)[-1]["response"]["status"] == "cancelled"


# -- what goes wrong


def test_an_end_without_a_word_is_an_error(api: httpx2.Client) -> None:
    for fields in ({}, {"stream": True}):
        answer = api.post(URL, json={"model": "demo", "input": "hello", **FAIL, **fields})
        error(answer, 502, "upstream_error")
        assert answer.headers["headwater-run"].startswith("run_")


def test_an_answer_that_stops_short_says_so(api: httpx2.Client) -> None:
    response = create(api, failover=False, extra=CUT)
    assert (response["status"], response["incomplete_details"]) == ("failed", None)
    assert (response["output"][0]["status"], response["error"]["type"]) == ("incomplete", "upstream_cut")
    streamed = api.post(URL, json={"model": "demo", "input": "hello", "stream": True, "failover": False, **CUT})
    last = events(streamed.content)[-1]
    assert (last["type"], last["response"]["error"]["type"]) == ("response.failed", "upstream_cut")


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"stream": "perhaps"}, "stream"),
        ({"starting_after": 3}, "starting_after"),
        ({"stream": "true", "starting_after": "-1"}, "starting_after"),
        ({"stream": "true", "starting_after": "two"}, "starting_after"),
        ({"stream": "true", "starting_after": "9" * 30}, "starting_after"),
        ({"stream": "true", "starting_after": 10**9}, "starting_after"),
    ],
)
def test_a_query_that_means_nothing_is_refused(api: httpx2.Client, query: Any, param: str) -> None:
    error(retrieve(api, create(api)["id"], **query), 400, "invalid_value", param)


def test_a_model_that_is_not_there_is_said(api: httpx2.Client) -> None:
    error(api.post(URL, json={"model": "gpt-9", "input": "hello"}), 404, "model_not_found", "model")


def test_a_body_without_input_is_refused(api: httpx2.Client) -> None:
    bodies: list[dict[str, Any]] = [{}, {"input": ""}, {"input": []}, {"input": None}, {"input": 3}]
    for body in bodies:
        error(api.post(URL, json={"model": "demo"} | body), 400, "invalid_value", "input")


def test_a_head_of_a_stream_has_no_body_and_an_end(server: ServerProcess, api: httpx2.Client) -> None:
    response = create(api, extra=SLOW, background=True)
    request = f"HEAD {URL}/{response['id']}?stream=true HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = exchange(server, request.encode())
    assert answer.startswith(b"HTTP/1.1 200") and b"text/event-stream" in answer and answer.endswith(b"\r\n\r\n")
    api.post(f"{URL}/{response['id']}/cancel")
