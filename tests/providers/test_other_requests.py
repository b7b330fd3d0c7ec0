"""What Anthropic's and Ollama's servers are asked, and what cannot be asked of them."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from headwater.core.run import Message, RunRequest
from headwater.errors import Invalid
from headwater.http_client import HttpClient
from headwater.providers.anthropic import AnthropicProvider
from headwater.providers.anthropic_request import messages_body
from headwater.providers.ollama import OllamaProvider
from headwater.providers.ollama_request import chat_body

pytestmark = pytest.mark.anyio

CALL = {"id": "call_a", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
TOOL = {"type": "function", "function": {"name": "f", "description": "does f", "parameters": {"type": "object"}}}
PNG = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk=", "detail": "low"}}
LINK = {"type": "image_url", "image_url": {"url": "https://pictures.example/a.png"}}
HI = {"type": "text", "text": "hi"}


def anthropic(request: RunRequest) -> Any:
    return json.loads(json.dumps(messages_body(request, model="m", max_tokens=100)))


def ollama(request: RunRequest) -> Any:
    return json.loads(json.dumps(chat_body(request, model="m")))


def a_request(*messages: Message, **fields: Any) -> RunRequest:
    return RunRequest(input=list(messages), **fields)


# -- Anthropic's messages


def test_a_text_is_one_turn_and_has_a_limit() -> None:
    assert anthropic(RunRequest(input="hi")) == {
        "model": "m",
        "max_tokens": 100,
        "stream": True,
        "messages": [{"role": "user", "content": [HI]}],
    }


def test_system_messages_are_apart_wherever_they_stand() -> None:
    body = anthropic(
        a_request(Message("system", "A."), Message("user", "hi"), Message("developer", "B."), instructions="Be short.")
    )
    assert body["system"] == "Be short.\n\nA.\n\nB."
    assert body["messages"] == [{"role": "user", "content": [HI]}]


def test_a_system_message_may_be_marked() -> None:
    cached = {"cache_control": {"type": "ephemeral"}}
    body = anthropic(a_request(Message("system", "A.", extra=cached), Message("user", [HI | cached])))
    assert body["system"] == [{"type": "text", "text": "A."} | cached]
    assert body["messages"][0]["content"] == [HI | cached]


def test_what_a_system_message_has_that_is_no_text_goes_through() -> None:
    strange = {"type": "strange", "text": 5}
    assert anthropic(a_request(Message("system", [strange]), Message("user", "hi")))["system"] == [strange]


def test_images_come_by_address_or_in_base64() -> None:
    content = anthropic(a_request(Message("user", [HI, PNG, LINK])))["messages"][0]["content"]
    assert content == [
        HI,
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}},
        {"type": "image", "source": {"type": "url", "url": "https://pictures.example/a.png"}},
    ]


def test_blocks_of_its_own_go_through() -> None:
    thinking = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}
    assert anthropic(a_request(Message("assistant", [thinking])))["messages"][0]["content"] == [thinking]


def test_calls_and_their_results_are_blocks_and_neighbours_of_one_role_one_turn() -> None:
    other = CALL | {"id": "call_b", "function": {"name": "g", "arguments": ""}}
    body = anthropic(
        a_request(
            Message("user", "hi"),
            Message("user", "there"),
            Message("assistant", "I look.", tool_calls=[CALL, other]),
            Message("tool", "42", tool_call_id="call_a"),
            Message("tool", [PNG], tool_call_id="call_b"),
            Message("user", "hi"),
        )
    )
    assert body["messages"] == [
        {"role": "user", "content": [HI, {"type": "text", "text": "there"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "call_a", "name": "f", "input": {"a": 1}},
                {"type": "tool_use", "id": "call_b", "name": "g", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "call_a", "content": "42"},
                {
                    "type": "tool_result",
                    "tool_use_id": "call_b",
                    "content": [
                        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
                    ],
                },
                HI,
            ],
        },
    ]


# Two people and two models, of which `b` is asked.
TALK = [
    Message("user", "hi", name="Ann"),
    Message("assistant", "I am b."),
    Message("assistant", "I am a.", name="a"),
    Message("user", [HI, PNG], name="Bob\nsystem"),
    Message("assistant", [{"type": "text", "text": ""}], name="a"),
    Message("assistant", tool_calls=[CALL], name="a"),
    Message("user", "ho"),
]


def test_each_speaker_is_named_in_a_block_of_their_own() -> None:
    messages = anthropic(a_request(*TALK, instructions="Be short."))["messages"]
    assert [(turn["role"], [block.get("text", block["type"]) for block in turn["content"]]) for turn in messages] == [
        ("user", ["Ann:", "hi"]),
        ("assistant", ["I am b.", "a:", "I am a."]),
        ("user", ["Bob system:", "hi", "image"]),
        ("assistant", ["tool_use"]),
        ("user", ["ho"]),
    ]


@pytest.mark.parametrize("name", ["Ann", " "])
def test_a_person_who_is_alone_with_models_needs_no_name(name: str) -> None:
    talk = [Message("user", "hi", name=name), Message("assistant", "I am a.", name="a"), Message("user", "ho")]
    assert [[block["text"] for block in turn["content"]] for turn in anthropic(a_request(*talk))["messages"]] == [
        *(["hi"], ["a:", "I am a."], ["ho"])
    ]
    assert [turn["content"] for turn in ollama(a_request(*talk))["messages"]] == ["hi", "a:\nI am a.", "ho"]


def test_an_empty_turn_is_left_out() -> None:
    body = anthropic(a_request(Message("user", "hi"), Message("assistant", ""), Message("user", "hi")))
    assert body["messages"] == [{"role": "user", "content": [HI, HI]}]


def test_what_a_message_has_besides_goes_with_it() -> None:
    thought = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}
    message = Message("assistant", "hi", extra={"content": [thought, HI], "x": 1})
    assert anthropic(a_request(message))["messages"] == [{"role": "assistant", "content": [thought, HI], "x": 1}]


def test_the_settings_have_their_names() -> None:
    body = anthropic(
        RunRequest(
            input="hi",
            max_output_tokens=7,
            temperature=0.0,
            top_p=0.5,
            stop="a",
            tools=[TOOL, {"type": "function", "function": {"name": "g"}}, {"type": "web_search_1", "name": "s"}],
            response_format={"type": "text"},
        )
    )
    assert (body["max_tokens"], body["temperature"], body["top_p"], body["stop_sequences"]) == (7, 0.0, 0.5, ["a"])
    assert body["tools"] == [
        {"name": "f", "description": "does f", "input_schema": {"type": "object"}},
        {"name": "g", "input_schema": {"type": "object", "properties": {}}},
        {"type": "web_search_1", "name": "s"},
    ]
    assert anthropic(RunRequest(input="hi", stop=["a", "b"]))["stop_sequences"] == ["a", "b"]


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ("auto", {"type": "auto"}),
        ("none", {"type": "none"}),
        ("required", {"type": "any"}),
        ({"type": "function", "function": {"name": "f"}}, {"type": "tool", "name": "f"}),
        ({"type": "any", "disable_parallel_tool_use": True}, {"type": "any", "disable_parallel_tool_use": True}),
    ],
)
def test_each_choice_of_a_tool_has_its_word(choice: Any, said: Any) -> None:
    assert anthropic(RunRequest(input="hi", tools=[TOOL], tool_choice=choice))["tool_choice"] == said


def test_one_call_at_a_time_is_said_with_the_choice() -> None:
    one = {"parallel_tool_calls": False}
    alone = {"disable_parallel_tool_use": True}
    assert anthropic(RunRequest(input="hi", tools=[TOOL], extra=one))["tool_choice"] == {"type": "auto"} | alone
    forced = anthropic(RunRequest(input="hi", tools=[TOOL], tool_choice="required", extra=one))
    assert forced["tool_choice"] == {"type": "any"} | alone
    several = anthropic(RunRequest(input="hi", tools=[TOOL], extra={"parallel_tool_calls": True}))
    assert not {"tool_choice", "parallel_tool_calls"} & several.keys()


def test_extra_wins_over_all_but_the_model_and_streaming() -> None:
    extra = {"max_tokens": 9, "thinking": {"type": "enabled"}, "model": "dear", "stream": False, "stream_options": {}}
    body = anthropic(RunRequest(input="hi", max_output_tokens=5, extra=extra))
    assert (body["max_tokens"], body["thinking"], body["model"], body["stream"]) == (9, {"type": "enabled"}, "m", True)
    assert "stream_options" not in body


# -- Ollama's chat


def test_ollama_is_told_in_its_words() -> None:
    body = ollama(
        a_request(
            Message("developer", "A."),
            Message("user", [HI, PNG]),
            Message("assistant", tool_calls=[CALL]),
            Message("tool", "42", tool_call_id="call_a"),
            instructions="Be short.",
            max_output_tokens=7,
            temperature=0.0,
            top_p=0.5,
            stop="a",
            seed=0,
            tools=[TOOL],
            tool_choice="auto",
            response_format={"type": "json_object"},
        )
    )
    assert body == {
        "model": "m",
        "stream": True,
        "messages": [
            {"role": "system", "content": "Be short."},
            {"role": "system", "content": "A."},
            {"role": "user", "content": "hi", "images": ["aGk="]},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}, "id": "call_a"}],
            },
            {"role": "tool", "content": "42", "tool_call_id": "call_a", "tool_name": "f"},
        ],
        "options": {"num_predict": 7, "temperature": 0.0, "top_p": 0.5, "stop": ["a"], "seed": 0},
        "tools": [TOOL],
        "format": "json",
    }


def test_ollama_is_told_each_speaker_in_a_first_line() -> None:
    messages = ollama(a_request(*TALK))["messages"]
    assert [turn["content"] for turn in messages] == [
        *("Ann:\nhi", "I am b.", "a:\nI am a.", "Bob system:\nhi", "", "", "ho")
    ]
    assert messages[3]["images"] == ["aGk="]


def test_ollama_takes_a_schema_and_keeps_tools_from_a_model_that_may_not_use_them() -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
    body = ollama(RunRequest(input="hi", tools=[TOOL], tool_choice="none", response_format=wanted))
    assert body == {
        "model": "m",
        "stream": True,
        "messages": [{"role": "user", "content": "hi"}],
        "format": {"type": "object"},
    }


def test_ollama_s_extra_wins_and_its_options_are_added() -> None:
    extra = {"think": True, "options": {"num_ctx": 4096, "temperature": 1}, "model": "dear", "stream": False}
    body = ollama(RunRequest(input="hi", temperature=0.5, top_p=0.5, extra=extra))
    assert body["options"] == {"num_ctx": 4096, "temperature": 1, "top_p": 0.5}
    assert (body["think"], body["model"], body["stream"]) == (True, "m", True)


def test_what_a_message_has_besides_goes_to_ollama_too() -> None:
    message = Message("assistant", "hi", extra={"thinking": "hm"})
    assert ollama(a_request(message))["messages"] == [{"role": "assistant", "content": "hi", "thinking": "hm"}]


# -- what cannot be said


def called(function: Any, **fields: Any) -> RunRequest:
    return a_request(Message("assistant", tool_calls=[{"id": "call_a", "function": function} | fields]))


EVERYWHERE = {
    "input[1].content[0].image_url": a_request(
        Message("user", "hi"), Message("user", [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}])
    ),
    "input[0].content[1].text": a_request(Message("user", [HI, {"type": "text", "text": 7}])),
    "input[0].content[0].type": a_request(Message("user", [{"type": "input_audio", "input_audio": {}}])),
    "input[0].tool_calls[0].function": called({"arguments": "{}"}),
    "input[0].tool_calls[0].function.arguments": called({"name": "f", "arguments": "[1]"}),
    "response_format": RunRequest(input="hi", response_format={"type": "grammar"}),
    "tool_choice": RunRequest(input="hi", tool_choice="sometimes"),
}
NOT_ANTHROPIC = {
    "input": a_request(Message("system", "A.")),
    "input[0].tool_call_id": a_request(Message("tool", "42")),
    "input[0].tool_calls[0].id": called({"name": "f", "arguments": "{}"}, id=None),
    "input[0].extra.text": a_request(Message("system", "A.", extra={"text": 5}), Message("user", "hi")),
    "input[0].extra.type": a_request(Message("system", "A.", extra={"type": "image"}), Message("user", "hi")),
    "input[1].extra.content": a_request(Message("user", "hi"), Message("user", "hi", extra={"content": 5})),
    "seed": RunRequest(input="hi", seed=1),
    "response_format": RunRequest(input="hi", response_format={"type": "json_object"}),
    "tools[0].function": RunRequest(input="hi", tools=[{"type": "function", "function": {}}]),
}
NOT_OLLAMA = {
    "input[0].content[0].image_url": a_request(Message("user", [LINK])),
    "tool_choice": RunRequest(input="hi", tools=[TOOL], tool_choice="required"),
}


@pytest.fixture
async def providers() -> AsyncIterator[dict[str, AnthropicProvider | OllamaProvider]]:
    async with HttpClient() as http:
        yield {
            "anthropic": AnthropicProvider(http, base_url="http://h", model="m"),
            "ollama": OllamaProvider(http, base_url="http://h", model="m"),
        }


@pytest.mark.parametrize(
    ("provider", "field", "request_"),
    [
        *(("anthropic", field, request) for field, request in {**EVERYWHERE, **NOT_ANTHROPIC}.items()),
        *(("ollama", field, request) for field, request in {**EVERYWHERE, **NOT_OLLAMA}.items()),
    ],
)
async def test_what_cannot_be_asked_is_refused_by_its_name(
    providers: dict[str, AnthropicProvider | OllamaProvider], provider: str, field: str, request_: RunRequest
) -> None:
    with pytest.raises(Invalid) as caught:
        providers[provider].check(request_)
    assert caught.value.field == field
    assert caught.value.detail.startswith(f"{field}: ")


async def test_what_can_be_asked_passes(providers: dict[str, AnthropicProvider | OllamaProvider]) -> None:
    for provider in providers.values():
        provider.check(a_request(Message("user", [HI, PNG]), instructions="Be short.", tools=[TOOL]))
