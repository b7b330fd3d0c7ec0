"""Whatever goes wrong, OpenAI's Python SDK raises the error that its users catch."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from openai import (
    APIConnectionError,
    APIError,
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    InternalServerError,
    NotFoundError,
    OpenAI,
    PermissionDeniedError,
    RateLimitError,
)
from openai.types.chat import ChatCompletionChunk

from tests.clients.scene import KEY, MANY, PARALLEL_RUNS, READER, Scene, on_stage
from tests.streaming.stage import DEADLINE_S
from tests.support.keys import bearer

Call = Callable[[OpenAI, str], object]


def chat(client: OpenAI, model: str) -> object:
    return client.chat.completions.create(model=model, messages=[{"role": "user", "content": "hello"}])


def chat_stream(client: OpenAI, model: str) -> object:
    messages: Any = [{"role": "user", "content": "hello"}]
    with client.chat.completions.create(model=model, messages=messages, stream=True) as stream:
        return list(stream)


def response(client: OpenAI, model: str) -> object:
    return client.responses.create(model=model, input="hello")


def response_stream(client: OpenAI, model: str) -> object:
    with client.responses.create(model=model, input="hello", stream=True) as stream:
        return list(stream)


CALLS = [chat, chat_stream, response, response_stream]


def made(scene: Scene, key: str = KEY) -> OpenAI:
    return OpenAI(api_key=key, base_url=scene.url, max_retries=0, timeout=DEADLINE_S, _strict_response_validation=True)


@pytest.mark.parametrize("call", CALLS)
def test_refusals_are_of_their_own_classes(scene: Scene, client: OpenAI, call: Call) -> None:
    with made(scene, "no-key-of-theirs") as stranger, pytest.raises(AuthenticationError) as unknown:
        call(stranger, "demo")
    assert unknown.value.code == "invalid_api_key"
    with made(scene, READER) as reader, pytest.raises(PermissionDeniedError, match="runs:write"):
        call(reader, "demo")
    with pytest.raises(NotFoundError) as missing:
        call(client, "no-such-model")
    assert (missing.value.code, missing.value.param) == ("model_not_found", "model")


@pytest.mark.parametrize("call", CALLS)
def test_what_the_upstream_refused_before_a_token_is_a_status(client: OpenAI, call: Call) -> None:
    with pytest.raises(BadRequestError, match="scripted 400") as picky:
        call(client, "picky")
    assert picky.value.type == "invalid_request_error"
    with pytest.raises(RateLimitError, match="scripted 429") as busy:
        call(client, "busy")
    assert (busy.value.type, busy.value.response.headers["retry-after"]) == ("rate_limit_error", "30")
    with pytest.raises(InternalServerError, match="scripted 503") as down:
        call(client, "down")
    assert down.value.type == "server_error"
    assert down.value.response.headers["headwater-run"].startswith("run_")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "nobody", "content": "x"}]}, "messages[0].role"),
        ({"temperature": -1}, "temperature"),
    ],
)
def test_what_a_chat_cannot_have_is_named(client: OpenAI, fields: dict[str, Any], param: str) -> None:
    body: dict[str, Any] = {"model": "demo", "messages": [{"role": "user", "content": "x"}], **fields}
    with pytest.raises(BadRequestError) as refused:
        client.chat.completions.create(**body)
    assert (refused.value.param, refused.value.type) == (param, "invalid_request_error")
    assert param in refused.value.message


def test_our_own_limit_is_a_rate_limit(scene: Scene) -> None:
    http, headers = scene.http, bearer(MANY)
    body = {"model": "slow", "input": "many"}
    runs = [http.post("/v1/runs", json=body, headers=headers).json() for _ in range(PARALLEL_RUNS)]
    try:
        with made(scene, MANY) as client:
            for call in CALLS:
                with pytest.raises(RateLimitError) as limited:
                    call(client, "demo")
                assert (limited.value.code, limited.value.type) == ("rate_limit_exceeded", "rate_limit_error")
                assert int(limited.value.response.headers["retry-after"]) > 0
    finally:
        for run in runs:
            http.post(run["cancel_url"], headers=headers)


# -- in mid-answer


@pytest.mark.parametrize("model", ["spoiled", "cut", "cut-call"])
def test_an_answer_that_breaks_off_in_mid_stream_raises_after_what_came(client: OpenAI, model: str) -> None:
    chunks: list[ChatCompletionChunk] = []
    with (
        pytest.raises(APIError) as broken,
        client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "hello"}], stream=True
        ) as stream,
    ):
        chunks.extend(stream)
    assert not isinstance(broken.value, APIStatusError)
    assert broken.value.code == ("upstream_error" if model == "spoiled" else "upstream_cut")
    assert chunks, "what came before it was told"
    assert not any(choice.finish_reason for chunk in chunks for choice in chunk.choices)


@pytest.mark.parametrize("model", ["spoiled", "cut", "cut-call"])
def test_half_an_answer_is_never_passed_off_as_whole(client: OpenAI, model: str) -> None:
    with pytest.raises(InternalServerError):
        chat(client, model)


def test_a_cancelled_answer_raises(scene: Scene, client: OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model="slow", messages=[{"role": "user", "content": "hello"}], stream=True
    )
    with raw.parse() as stream:
        next(stream)
        scene.http.post(f"{raw.headers['content-location']}/cancel")
        with pytest.raises(APIError) as cancelled:
            list(stream)
    assert cancelled.value.code == "cancelled"


def test_a_conflict_is_not_tried_again(scene: Scene) -> None:
    key = {"Idempotency-Key": "conflicting"}
    tries = []
    with made(scene) as client:
        client.with_options(max_retries=0).chat.completions.create(
            model="demo",
            messages=[{"role": "user", "content": "one"}],
            extra_headers=key,
            extra_body={"demo": {"tokens": 3, "tokens_per_s": 1000}},
        )
        patient = client.with_options(max_retries=2)
        with pytest.raises(APIStatusError) as conflict:
            patient.chat.completions.create(
                model="demo", messages=[{"role": "user", "content": "two"}], extra_headers=key
            )
        tries.append(conflict.value.request.headers["x-stainless-retry-count"])
    assert conflict.value.status_code == 409
    assert tries == ["0"]


def test_a_server_that_dies_in_mid_answer_is_a_lost_connection_and_loses_no_word(tmp_path: Path) -> None:
    with (
        on_stage(tmp_path, lease_s=1, renew_s=0.3, sweep_s=0.2) as scene,
        OpenAI(api_key=KEY, base_url=scene.url, max_retries=0, timeout=DEADLINE_S) as client,
    ):
        chat: Any = client.chat.completions.create(
            model="slow", messages=[{"role": "user", "content": "hello"}], stream=True
        )
        response: Any = client.responses.create(model="slow", input="hello", stream=True)
        with chat, response:
            next(chat)
            before = [next(response) for _ in range(6)]
            scene.server.kill()
            with pytest.raises(APIConnectionError):
                list(chat)
            with pytest.raises(APIConnectionError):
                before.extend(response)
        scene.server.restart()
        id, number = before[0].response.id, before[-1].sequence_number
        after: list[Any] = list(client.responses.retrieve(id, stream=True, starting_after=number))
    final = after[-1].response
    assert (final.status, final.error.type) == ("failed", "producer_lost")
    deltas = [event.delta for event in before + after if event.type == "response.output_text.delta"]
    assert "".join(deltas) == final.output_text != ""
