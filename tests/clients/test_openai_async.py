"""OpenAI's asynchronous Python SDK, unmodified: what differs from the other is how it reads."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from openai import APIError, AsyncOpenAI, BadRequestError
from openai.types.chat import ChatCompletionMessageParam

from tests.clients.scene import KEY, MODELS, SUMS, TOOL, WILD, Scene
from tests.streaming.stage import DEADLINE_S

pytestmark = pytest.mark.anyio

ASK: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hello"}]


@pytest.fixture
async def client(scene: Scene) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(
        api_key=KEY, base_url=scene.url, max_retries=0, timeout=DEADLINE_S, _strict_response_validation=True
    ) as client:
        yield client


async def test_a_chat_streams_and_comes_whole(scene: Scene, client: AsyncOpenAI) -> None:
    raw = await client.chat.completions.with_raw_response.create(
        model="wild", messages=ASK, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in raw.parse()]
    run = scene.run(raw.headers["headwater-run"])
    assert "".join(one.delta.content or "" for chunk in chunks for one in chunk.choices) == run["output"] == WILD
    usage = chunks[-1].usage
    assert usage is not None
    assert usage.completion_tokens == run["usage"]["output_tokens"]
    whole = await client.chat.completions.create(model="wild", messages=ASK)
    assert whole.choices[0].message.content == WILD


async def test_a_response_is_read_as_it_streams(scene: Scene, client: AsyncOpenAI) -> None:
    async with client.chat.completions.with_streaming_response.create(
        model="wild", messages=ASK, stream=True
    ) as response:
        run_id = response.headers["headwater-run"]
        assert response.headers["content-location"] == f"/v1/runs/{run_id}"
        stream = await response.parse()
        texts = [chunk.choices[0].delta.content or "" async for chunk in stream]
    assert "".join(texts) == scene.ended(run_id)["output"]


async def test_the_helper_of_chats_puts_tool_calls_together(client: AsyncOpenAI) -> None:
    tools: Any = [{"type": "function", "function": TOOL}]
    async with client.chat.completions.stream(model="tools", messages=ASK, tools=tools) as stream:
        async for _ in stream:
            pass
        message = (await stream.get_final_completion()).choices[0].message
    calls = [(call.id, call.function.name, call.function.arguments) for call in message.tool_calls or ()]
    assert calls == SUMS


async def test_the_helper_of_responses_has_the_final_one(client: AsyncOpenAI) -> None:
    async with client.responses.stream(model="wild", input="hello") as stream:
        texts = [event.delta async for event in stream if event.type == "response.output_text.delta"]
        final = await stream.get_final_response()
    assert "".join(texts) == final.output_text == WILD
    assert final.usage is not None
    assert final.usage.output_tokens == len(MODELS["wild"].all_deltas())


async def test_a_response_that_was_cut_is_resumed_exactly(client: AsyncOpenAI) -> None:
    stream = await client.responses.create(model="wild", input="hello", background=True, stream=True)
    before: list[Any] = []
    async with stream:
        async for event in stream:
            before.append(event)
            if len(before) == 8:
                break
    id, number = before[0].response.id, before[-1].sequence_number
    async with await client.responses.retrieve(id, stream=True, starting_after=number) as rest:
        after: list[Any] = [event async for event in rest]
    deltas = [event.delta for event in before + after if event.type == "response.output_text.delta"]
    assert "".join(deltas) == (await client.responses.retrieve(id)).output_text == WILD


async def test_what_goes_wrong_raises(client: AsyncOpenAI) -> None:
    with pytest.raises(BadRequestError, match="scripted 400"):
        await client.chat.completions.create(model="picky", messages=ASK, stream=True)
    stream = await client.chat.completions.create(model="spoiled", messages=ASK, stream=True)
    with pytest.raises(APIError, match="scripted error"):
        [chunk async for chunk in stream]
