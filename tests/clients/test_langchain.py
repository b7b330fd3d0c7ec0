"""LangChain's ChatOpenAI, unmodified, on chat completions and on responses."""

from functools import reduce
from operator import add as joined
from typing import Any

import httpx2
import openai
import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI

from tests.clients.scene import KEY, MODELS, WILD, Scene
from tests.streaming.stage import DEADLINE_S

TOKENS = len(MODELS["wild"].all_deltas())
SUMS = [("call_a", "add", {"a": 1, "b": 2}), ("call_b", "add", {"a": 3, "b": 4})]

BOTH = pytest.mark.parametrize("responses", [False, True], ids=["chat", "responses"])
"""The two APIs that it speaks."""


def model(scene: Scene, name: str, *, responses: bool, **options: Any) -> ChatOpenAI:
    return ChatOpenAI(
        model=name,
        base_url=scene.url,
        api_key=KEY,
        max_retries=0,
        timeout=DEADLINE_S,
        use_responses_api=responses,
        stream_usage=True,
        **options,
    )


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def calls_of(message: AIMessage) -> list[tuple[str | None, str, dict[str, Any]]]:
    return [(call["id"], call["name"], call["args"]) for call in message.tool_calls]


def whole(chunks: list[AIMessageChunk]) -> AIMessageChunk:
    """The chunks put together by what LangChain has for it."""
    return reduce(joined, chunks)


@BOTH
def test_a_stream_is_the_answer_with_its_usage(scene: Scene, responses: bool) -> None:
    chunks: Any = list(model(scene, "wild", responses=responses).stream("hello"))
    assert len(chunks) > 2
    answer = whole(chunks)
    assert answer.text == WILD
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["output_tokens"] == TOKENS


@BOTH
def test_invoke_has_the_whole(scene: Scene, responses: bool) -> None:
    answer = model(scene, "wild", responses=responses).invoke("hello")
    assert answer.text == WILD
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["output_tokens"] == TOKENS


@BOTH
def test_an_answer_says_which_run_it_is(scene: Scene, responses: bool) -> None:
    asked = model(scene, "wild", responses=responses, include_response_headers=True)
    chunks: Any = list(asked.stream("hello"))
    for answer in (asked.invoke("hello"), whole(chunks)):
        run_id = answer.response_metadata["headers"]["headwater-run"]
        assert answer.response_metadata["headers"]["content-location"] == f"/v1/runs/{run_id}"
        assert scene.run(run_id)["output"] == WILD


@BOTH
@pytest.mark.anyio
async def test_it_does_as_much_without_blocking(scene: Scene, responses: bool) -> None:
    async with httpx2.AsyncClient(timeout=DEADLINE_S) as http:
        chat = model(scene, "wild", responses=responses, http_async_client=http)
        assert (await chat.ainvoke("hello")).text == WILD
        assert "".join([chunk.text async for chunk in chat.astream("hello")]) == WILD


@BOTH
def test_bound_tools_are_called_and_answered(scene: Scene, responses: bool) -> None:
    question = f"what is 1+2 for {'responses' if responses else 'chat'}?"
    asked = model(scene, "tools", responses=responses).bind_tools([add])
    chunks: Any = list(asked.stream(question))
    called = whole(chunks)
    assert calls_of(called) == SUMS
    assert called.text == "Let me add."
    assert calls_of(asked.invoke(question)) == SUMS

    results = [ToolMessage(content=f"of {question}", tool_call_id=call["id"]) for call in called.tool_calls]
    turns: list[BaseMessage] = [HumanMessage(content=question), called, *results]
    answer = model(scene, "wild", responses=responses).bind_tools([add]).invoke(turns)
    assert answer.text == WILD
    messages = scene.asked(f"of {question}").body["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "tool"]
    assert [call["id"] for call in messages[1]["tool_calls"]] == ["call_a", "call_b"]
    assert [message["tool_call_id"] for message in messages[2:]] == ["call_a", "call_b"]


@BOTH
def test_reasoning_is_no_part_of_the_text_and_goes_back_without_harm(scene: Scene, responses: bool) -> None:
    chunks: Any = list(model(scene, "reasoning", responses=responses).stream("hello"))
    answer = whole(chunks)
    assert answer.text == "Yes."
    turns = [HumanMessage(content="hello"), answer, HumanMessage(content="and then?")]
    assert model(scene, "wild", responses=responses).invoke(turns).text == WILD


@BOTH
def test_errors_are_those_of_openai(scene: Scene, responses: bool) -> None:
    with pytest.raises(openai.BadRequestError, match="scripted 400"):
        model(scene, "picky", responses=responses).invoke("hello")
    with pytest.raises(openai.RateLimitError, match="scripted 429"):
        list(model(scene, "busy", responses=responses).stream("hello"))
    broken = ValueError if responses else openai.APIError
    with pytest.raises(broken, match="scripted error"):
        list(model(scene, "spoiled", responses=responses).stream("hello"))
