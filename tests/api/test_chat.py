"""`POST /v1/chat/completions`: an answer as OpenAI's clients want it, whole or chunk by chunk, and again by its key."""

from typing import Any

import httpx2
import pytest

from tests.api.calls import QUICK, SLOW, cancel, ended, get, messages, problem, producing, start

HELLO = [{"role": "user", "content": "hello"}]


def ask(api: httpx2.Client, headers: dict[str, str] | None = None, **fields: Any) -> httpx2.Response:
    """Ask the demo model, which answers at once."""
    body = {"messages": HELLO, **QUICK, **fields}
    return api.post("/v1/chat/completions", json=body, headers=headers)


def run_of(api: httpx2.Client, response: httpx2.Response) -> Any:
    """The run behind an answer."""
    return api.get(f"/v1/runs/{response.headers['headwater-run']}").json()


def text_of(stream: str) -> str:
    """The content of the chunks, which must come to [DONE]."""
    *chunks, done = messages(stream)
    assert done.data == "[DONE]"
    choices = [choice for chunk in chunks for choice in chunk.json["choices"]]
    return "".join(choice["delta"].get("content", "") for choice in choices)


def test_a_whole_answer(api: httpx2.Client) -> None:
    response = ask(api)
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    answer, run = response.json(), run_of(api, response)
    assert answer["id"] == run["id"].replace("run_", "chatcmpl-")
    assert (answer["object"], answer["model"]) == ("chat.completion", "demo")
    assert answer["created"] == int(run["created_at"])
    (choice,) = answer["choices"]
    assert choice["message"] == {"role": "assistant", "content": run["output"], "refusal": None}
    assert (choice["index"], choice["finish_reason"]) == (0, "stop")
    assert answer["usage"]["completion_tokens"] == run["usage"]["output_tokens"] == 20
    assert response.headers["location"] == response.headers["content-location"] == run["url"]


def test_a_streamed_answer(api: httpx2.Client) -> None:
    response = ask(api, stream=True)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/event-stream")
    run = run_of(api, response)
    assert text_of(response.text) == run["output"] != ""
    *chunks, done = messages(response.text)
    assert all("usage" not in chunk.json for chunk in chunks), "nobody asked for it"
    assert chunks[0].json["choices"][0]["delta"]["role"] == "assistant"
    assert chunks[-1].json["choices"] == [{"index": 0, "delta": {}, "finish_reason": "stop"}]
    assert done.id == run["position"]
    assert "retry:" not in response.text and "event:" not in response.text


def test_a_stream_with_its_usage(api: httpx2.Client) -> None:
    response = ask(api, stream=True, stream_options={"include_usage": True})
    *chunks, usage, _ = messages(response.text)
    assert [chunk.json["usage"] for chunk in chunks] == [None] * len(chunks)
    assert (usage.json["choices"], usage.json["usage"]["completion_tokens"]) == ([], 20)
    assert ask(api, stream=True, stream_options={"include_usage": False}).text.count('"usage"') == 0


def test_an_answer_that_was_cut_at_its_limit_is_one(api: httpx2.Client) -> None:
    response = ask(api, max_tokens=3)
    (choice,) = response.json()["choices"]
    assert (response.status_code, choice["finish_reason"]) == (200, "length")


def test_the_same_key_is_the_same_answer(api: httpx2.Client) -> None:
    headers = {"Idempotency-Key": "the same chat"}
    first, again = ask(api, headers), ask(api, headers)
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json() == first.json()
    other = ask(api, headers, max_tokens=1)
    assert other.status_code == 409
    assert other.headers["x-should-retry"] == "false", "the SDKs would come again"
    assert other.json()["error"]["code"] == "idempotency_conflict"


def test_a_key_whose_answer_is_there_streams_it_again(api: httpx2.Client) -> None:
    headers = {"Idempotency-Key": "the same stream"}
    first, again = ask(api, headers, stream=True), ask(api, headers, stream=True)
    assert again.headers["headwater-run"] == first.headers["headwater-run"]
    assert text_of(again.text) == text_of(first.text)


def test_what_is_not_known_here_goes_to_the_provider(api: httpx2.Client) -> None:
    """The demo model takes its pace that way, and refuses what is wrong with it by the name that was sent."""
    refused = ask(api, demo={"tokens": "many"})
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "demo.tokens"
    assert refused.json()["error"]["message"].startswith("demo.tokens: ")


def test_metadata_is_kept_with_the_run(api: httpx2.Client) -> None:
    assert run_of(api, ask(api, metadata={"page": "help"}))["metadata"] == {"page": "help"}


# -- a run that was started elsewhere, in this format


def chat_events(api: httpx2.Client, run: Any, **params: str) -> httpx2.Response:
    """The run's events as chunks."""
    return api.get(run["events_url"], params={"format": "chat", **params})


def test_any_run_is_told_in_chunks(api: httpx2.Client) -> None:
    run = ended(api, start(api))
    assert text_of(chat_events(api, run).text) == run["output"]
    with_usage = messages(chat_events(api, run, include_usage="true").text)
    assert with_usage[-2].json["usage"]["completion_tokens"] == 20
    assert '"usage"' not in chat_events(api, run, include_usage="false").text


def test_a_run_can_be_started_and_told_in_chunks(api: httpx2.Client) -> None:
    body = {"input": "hello", "extra": QUICK}
    params = {"format": "chat", "include_usage": "true"}
    response = api.post("/v1/runs", params=params, json=body)
    assert text_of(response.text) == run_of(api, response)["output"]
    assert messages(response.text)[-2].json["usage"]["completion_tokens"] == 20


def test_chunks_go_on_after_any_of_them(api: httpx2.Client) -> None:
    run = ended(api, start(api))
    first = messages(chat_events(api, run, after="0-0", include_usage="true").text)
    for place, chunk in enumerate(first[:-1]):
        rest = messages(chat_events(api, run, after=chunk.id or "", include_usage="true").text)
        assert [one.data for one in rest][-3:] == [one.data for one in first][-3:], "finish, usage and [DONE]"
        assert len(rest) <= max(3, len(first) - place)
    assert chat_events(api, run, after=first[-1].id or "").status_code == 204


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("form", ["native", "ndjson", "text", None])
def test_a_usage_that_no_format_would_tell_is_refused(api: httpx2.Client, method: str, form: str | None) -> None:
    path = "/v1/runs" if method == "POST" else start(api)["events_url"]
    params = {"include_usage": "true"} | ({"format": form} if form else {})
    response = api.request(method, path, params=params, json={"input": "hello"} if method == "POST" else None)
    assert problem(response, 422, "invalid")["field"] == "include_usage"


def test_a_usage_is_asked_for_with_a_word_that_is_known(api: httpx2.Client) -> None:
    response = chat_events(api, start(api), include_usage="maybe")
    assert problem(response, 422, "invalid")["field"] == "include_usage"


def test_whoever_comes_in_the_middle_gets_what_there_was_in_one_chunk(api: httpx2.Client) -> None:
    run = start(api, SLOW)
    before = producing(api, run)["output"]
    with api.stream("GET", run["events_url"], params={"format": "chat"}) as response:
        lines = response.iter_lines()
        first = messages("".join(f"{next(lines)}\n" for _ in range(3)))[0].json["choices"][0]["delta"]
        assert first["role"] == "assistant"
        assert first["content"].startswith(before)
        cancel(api, run)
        rest = messages("\n".join(lines) + "\n\n")
    assert rest[-1].json["error"]["code"] == "cancelled"
    content = [chunk.json["choices"][0]["delta"]["content"] for chunk in rest[:-1]]
    assert first["content"] + "".join(content) == get(api, run)["output"]
