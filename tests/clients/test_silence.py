"""A stream that says nothing for a while is kept alive by comments, which no client may take for events.

Before the first token and between the others, for everybody at once: each of them waits for more than two seconds.
Clients of other environments have a silence among their cases.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from anyio import to_thread
from langchain_openai import ChatOpenAI
from openai import AsyncOpenAI, OpenAI

from tests.clients.scene import KEY, MODELS, Scene, on_stage
from tests.streaming.stage import DEADLINE_S

pytestmark = pytest.mark.anyio

CHAT: dict[str, Any] = {"model": "sleepy", "messages": [{"role": "user", "content": "hello"}]}
RESPONSE: dict[str, Any] = {"model": "sleepy", "input": "hello"}
TEXT = MODELS["sleepy"].text


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A server that begins its streams before there is a token to tell."""
    with on_stage(tmp_path_factory.mktemp("silence"), first_byte_s=0.2) as scene:
        yield scene


def raw(scene: Scene, path: str, body: dict[str, Any]) -> str:
    """What goes over the wire."""
    return scene.http.post(path, json=body | {"stream": True}).text


def comments_before_each_token(lines: list[str]) -> list[int]:
    counts = [0]
    for line in lines:
        if line.startswith(":"):
            counts[-1] += 1
        elif '"delta":"' in line or '"content":"' in line:
            counts.append(0)
    return counts


async def test_comments_do_no_client_any_harm(patient: Scene) -> None:
    options: dict[str, Any] = {"api_key": KEY, "base_url": patient.url, "max_retries": 0, "timeout": DEADLINE_S}
    with OpenAI(**options, _strict_response_validation=True) as client:
        async with AsyncOpenAI(**options, _strict_response_validation=True) as quick:
            told = await together(
                {
                    "raw chat": lambda: raw(patient, "/v1/chat/completions", CHAT),
                    "raw response": lambda: raw(patient, "/v1/responses", RESPONSE),
                    "chat": lambda: chat_text(client),
                    "response": lambda: response_text(client),
                    "chain on chat": lambda: chain_text(ChatOpenAI(model="sleepy", **options)),
                    "chain on responses": lambda: chain_text(
                        ChatOpenAI(model="sleepy", use_responses_api=True, **options)
                    ),
                },
                {"async chat": async_chat_text(quick), "async response": async_response_text(quick)},
            )
    for name in ("raw chat", "raw response"):
        before_first, before_second, *_ = comments_before_each_token(told.pop(name).split("\n"))
        assert before_first > 0, f"{name}: where there is no id yet"
        assert before_second > 0, f"{name}: where there is one"
    assert told == dict.fromkeys(told, TEXT)


async def together(blocking: dict[str, Callable[[], str]], others: dict[str, Awaitable[str]]) -> dict[str, str]:
    """What each comes to, all at once."""
    threads = {name: to_thread.run_sync(act) for name, act in blocking.items()}
    acts: dict[str, Awaitable[str]] = {**threads, **others}
    return dict(zip(acts, await asyncio.gather(*acts.values()), strict=True))


def chat_text(client: OpenAI) -> str:
    with client.chat.completions.stream(**CHAT) as stream:
        text = "".join(event.delta for event in stream if event.type == "content.delta")
        assert stream.get_final_completion().choices[0].message.content == text
    return text


def response_text(client: OpenAI) -> str:
    with client.responses.stream(**RESPONSE) as stream:
        text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        assert stream.get_final_response().output_text == text
    return text


def chain_text(chat: ChatOpenAI) -> str:
    return "".join(chunk.text for chunk in chat.stream("hello"))


async def async_chat_text(client: AsyncOpenAI) -> str:
    stream = await client.chat.completions.create(**CHAT, stream=True)
    return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])


async def async_response_text(client: AsyncOpenAI) -> str:
    stream = await client.responses.create(**RESPONSE, stream=True)
    return "".join([event.delta async for event in stream if event.type == "response.output_text.delta"])
