"""OpenAI's Python SDK, unmodified, on chat completions. It holds every object to its own schema here."""

from typing import Any

import pytest
from openai import LengthFinishReasonError, OpenAI
from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam, ChatCompletionToolParam
from pydantic import BaseModel

from tests.clients.scene import MODELS, SUMS, TOOL, WILD, Scene

TOOLS: list[ChatCompletionToolParam] = [{"type": "function", "function": TOOL}]


class City(BaseModel):
    """What a user of `parse` wants to have."""

    city: str
    people: int


def ask(question: str = "hello") -> list[ChatCompletionMessageParam]:
    return [{"role": "system", "content": "be brief"}, {"role": "user", "content": question}]


def text_of(chunks: list[ChatCompletionChunk]) -> str:
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


def test_a_streamed_answer_is_the_runs_output_and_its_usage(scene: Scene, client: OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model="wild", messages=ask(), stream=True, stream_options={"include_usage": True}
    )
    run_id = raw.headers["headwater-run"]
    assert raw.headers["content-location"] == f"/v1/runs/{run_id}"
    chunks = list(raw.parse())
    run = scene.run(run_id)
    assert (text_of(chunks), run["output"]) == (WILD, WILD)
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason] == ["stop"]
    assert [choice.delta.role for chunk in chunks for choice in chunk.choices if choice.delta.role] == ["assistant"]
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1
    assert not any(chunk.usage for chunk in chunks[:-1])
    usage = chunks[-1].usage
    assert usage is not None
    assert chunks[-1].choices == []
    assert usage.prompt_tokens == run["usage"]["input_tokens"]
    assert usage.completion_tokens == run["usage"]["output_tokens"] == len(MODELS["wild"].all_deltas())
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


def test_usage_comes_only_to_those_who_ask_for_it(client: OpenAI) -> None:
    with client.chat.completions.create(model="demo", messages=ask(), stream=True, extra_body=quick(9)) as stream:
        chunks = list(stream)
    assert not any(chunk.usage for chunk in chunks)
    assert all(chunk.choices for chunk in chunks)
    assert len(text_of(chunks).split()) == 9


def test_a_whole_answer_is_the_streamed_one(scene: Scene, client: OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model="wild", messages=ask())
    answer = raw.parse()
    run = scene.run(raw.headers["headwater-run"])
    assert raw.headers["content-location"] == f"/v1/runs/{run['id']}"
    (choice,) = answer.choices
    assert (choice.message.content, choice.message.role, choice.finish_reason) == (WILD, "assistant", "stop")
    assert choice.message.tool_calls is None
    assert answer.usage is not None
    assert answer.usage.completion_tokens == run["usage"]["output_tokens"]
    assert scene.asked("hello").body["messages"] == ask()


def test_a_response_can_be_read_as_it_streams(scene: Scene, client: OpenAI) -> None:
    with client.chat.completions.with_streaming_response.create(
        model="demo", messages=ask(), stream=True, extra_body=quick(40)
    ) as response:
        run_id = response.headers["headwater-run"]
        assert text_of(list(response.parse())) == scene.ended(run_id)["output"]


# -- tools


def test_the_fragments_of_tool_calls_come_whole(client: OpenAI) -> None:
    calls: dict[int, list[Any]] = {}
    finish = None
    for chunk in client.chat.completions.create(model="tools", messages=ask(), tools=TOOLS, stream=True):
        for choice in chunk.choices:
            finish = choice.finish_reason or finish
            for call in choice.delta.tool_calls or ():
                known = calls.setdefault(call.index, ["", "", ""])
                assert call.function is not None
                fresh = (call.id or "", call.function.name or "", call.function.arguments or "")
                calls[call.index] = [old + new for old, new in zip(known, fresh, strict=True)]
    assert finish == "tool_calls"
    assert [tuple(call) for _, call in sorted(calls.items())] == SUMS


def test_tool_calls_are_answered_in_a_second_turn(scene: Scene, client: OpenAI) -> None:
    answer = client.chat.completions.create(model="tools", messages=ask("what is 1+2?"), tools=TOOLS)
    (choice,) = answer.choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content == "Let me add."
    assert [calls_of(call) for call in choice.message.tool_calls or ()] == SUMS

    results: list[ChatCompletionMessageParam] = [
        {"role": "tool", "tool_call_id": "call_a", "content": "three, of the test"},
        {"role": "tool", "tool_call_id": "call_b", "content": "seven, of the test"},
    ]
    # As users write it: the message that came goes back as it is.
    turns: list[Any] = [*ask("what is 1+2?"), choice.message, *results]
    second = client.chat.completions.create(model="wild", messages=turns, tools=TOOLS)
    assert second.choices[0].message.content == WILD
    _, _, called, *answered = scene.asked("seven, of the test").body["messages"]
    assert (called["role"], called["content"]) == ("assistant", "Let me add.")
    functions = [(call["id"], call["function"]["name"], call["function"]["arguments"]) for call in called["tool_calls"]]
    assert functions == SUMS
    assert answered == results
    assert scene.asked("seven, of the test").body["tools"] == TOOLS


def calls_of(call: Any) -> tuple[str, str, str]:
    return call.id, call.function.name, call.function.arguments


def test_the_streaming_helper_puts_the_calls_together(client: OpenAI) -> None:
    with client.chat.completions.stream(model="tools", messages=ask(), tools=TOOLS) as stream:
        kinds = [event.type for event in stream]
        message = stream.get_final_completion().choices[0].message
    assert message.role == "assistant"
    assert message.content == "Let me add."
    assert [calls_of(call) for call in message.tool_calls or ()] == SUMS
    assert kinds.count("tool_calls.function.arguments.done") == 2


@pytest.mark.parametrize("model", ["careless", "twins"])
def test_calls_whose_model_does_not_tell_them_apart_can_be_answered_all_the_same(client: OpenAI, model: str) -> None:
    whole = client.chat.completions.create(model=model, messages=ask(), tools=TOOLS).choices[0].message
    with client.chat.completions.stream(model=model, messages=ask(), tools=TOOLS) as stream:
        streamed = stream.get_final_completion().choices[0].message
    for message in (whole, streamed):
        assert len({call.id for call in message.tool_calls or () if call.id}) == 2


# -- the helpers, and what is not text


def test_the_streaming_helper_has_the_final_completion(scene: Scene, client: OpenAI) -> None:
    with client.chat.completions.stream(model="wild", messages=ask(), stream_options={"include_usage": True}) as stream:
        texts = [event.delta for event in stream if event.type == "content.delta"]
        final = stream.get_final_completion()
    assert "".join(texts) == final.choices[0].message.content == WILD
    assert final.usage is not None
    assert final.usage.completion_tokens == len(MODELS["wild"].all_deltas())


def test_an_answer_is_parsed_into_the_users_type(scene: Scene, client: OpenAI) -> None:
    answer = client.chat.completions.parse(model="typed", messages=ask("where, as a type?"), response_format=City)
    assert answer.choices[0].message.parsed == City(city="Łódź", people=3)
    form = scene.asked("where, as a type?").body["response_format"]
    assert (form["type"], form["json_schema"]["name"]) == ("json_schema", "City")
    with client.chat.completions.stream(model="typed", messages=ask(), response_format=City) as stream:
        assert stream.get_final_completion().choices[0].message.parsed == City(city="Łódź", people=3)


def test_reasoning_and_refusals_come_beside_the_text(client: OpenAI) -> None:
    with client.chat.completions.stream(model="reasoning", messages=ask()) as stream:
        message: Any = stream.get_final_completion().choices[0].message
    assert (message.content, message.reasoning_content) == ("Yes.", "hm, well")
    with client.chat.completions.stream(model="refusing", messages=ask()) as stream:
        message = stream.get_final_completion().choices[0].message
    assert (message.content, message.refusal) == (None, "I will not.")
    whole: Any = client.chat.completions.create(model="reasoning", messages=ask()).choices[0].message
    assert (whole.content, whole.reasoning_content) == ("Yes.", "hm, well")


def test_an_answer_that_is_too_long_says_so(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="short", messages=ask(), max_completion_tokens=5)
    assert answer.choices[0].finish_reason == "length"
    with (
        client.chat.completions.stream(model="short", messages=ask()) as stream,
        pytest.raises(LengthFinishReasonError),
    ):
        stream.get_final_completion()


# -- what is Headwater's own


def test_whoever_closes_the_stream_ends_the_run_unless_told_otherwise(scene: Scene, client: OpenAI) -> None:
    def leave(headers: dict[str, str]) -> str:
        raw = client.chat.completions.with_raw_response.create(
            model="demo", messages=ask(), stream=True, extra_body=quick(300, per_s=600), extra_headers=headers
        )
        with raw.parse() as stream:
            next(stream)
        return str(raw.headers["headwater-run"])

    left, going_on = leave({}), leave({"Headwater-On-Disconnect": "continue"})
    assert scene.ended(left)["status"] == "cancelled"
    assert scene.ended(going_on)["status"] == "completed"


def test_a_request_that_is_repeated_with_its_key_starts_one_run(client: OpenAI) -> None:
    headers = {"Idempotency-Key": "chat-repeated"}

    def once() -> tuple[str, str | None]:
        raw = client.chat.completions.with_raw_response.create(
            model="demo", messages=ask(), extra_headers=headers, extra_body=quick(20)
        )
        return str(raw.headers["headwater-run"]), raw.parse().choices[0].message.content

    assert once() == once()


def test_the_models_are_listed(client: OpenAI) -> None:
    names = {model.id for model in client.models.list()}
    assert names >= {"demo", *MODELS}
    assert client.models.retrieve("demo").id == "demo"


def quick(tokens: int, per_s: int = 5_000) -> dict[str, Any]:
    """What makes the demo model's answer so many tokens long, and fast."""
    return {"demo": {"tokens": tokens, "tokens_per_s": per_s}}
