"""What a chat may ask: all that OpenAI's reference knows; what would silently not be done is refused by its name."""

from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.api.calls import QUICK
from tests.streaming.stage import SCRIPTED, staged

HELLO = [{"role": "user", "content": "hello"}]
# Every field of OpenAI's reference that may be null.
NULLABLE = [
    "audio", "frequency_penalty", "function_call", "functions", "logit_bias", "logprobs", "max_completion_tokens",
    "max_tokens", "metadata", "modalities", "model", "moderation", "n", "parallel_tool_calls", "prediction",
    "presence_penalty", "prompt_cache_key", "prompt_cache_retention", "reasoning_effort", "response_format",
    "safety_identifier", "seed", "service_tier", "stop", "store", "stream", "stream_options", "temperature",
    "tool_choice", "tools", "top_logprobs", "top_p", "user", "verbosity", "web_search_options"
]  # fmt: skip


def ask(api: httpx2.Client, **fields: Any) -> httpx2.Response:
    """Ask the demo model, which answers at once."""
    return api.post("/v1/chat/completions", json={"messages": HELLO, **QUICK, **fields})


def test_null_is_as_good_as_nothing(api: httpx2.Client) -> None:
    response = ask(api, **dict.fromkeys(NULLABLE))
    assert response.status_code == 200, response.text
    nulls = dict.fromkeys(("name", "tool_calls", "tool_call_id", "refusal", "audio", "function_call", "annotations"))
    assert ask(api, messages=[{**HELLO[0], **nulls}]).status_code == 200
    assert ask(api, stream=True, stream_options={"include_usage": None}).status_code == 200


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        # that would silently not be done
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"audio": {"voice": "alloy", "format": "mp3"}}, "audio"),
        ({"moderation": {"model": "any"}}, "moderation"),
        ({"functions": [{"name": "look"}]}, "functions"),
        ({"function_call": "auto"}, "function_call"),
        ({"tools": [{"type": "function"}, {"type": "custom", "custom": {"name": "f"}}]}, "tools[1].type"),
        ({"max_tokens": 3, "max_completion_tokens": 4}, "max_tokens"),
        # out of bounds
        ({"n": 0}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_completion_tokens": 0}, "max_completion_tokens"),
        ({"temperature": -1}, "temperature"),
        ({"top_p": 1.5}, "top_p"),
        ({"model": ""}, "model"),
        ({"stop": ["a"] * 17}, "stop"),
        ({"stop": [""]}, "stop[0]"),
        ({"metadata": {"a": "x" * 513}}, "metadata[...]"),
        ({"messages": []}, "messages"),
        # of a wrong type
        ({"messages": None}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": [*HELLO, "hello"]}, "messages[1]"),
        ({"model": 4}, "model"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": True}, "stream_options"),
        ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
        ({"max_tokens": "3"}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"temperature": "hot"}, "temperature"),
        ({"seed": 1.5}, "seed"),
        ({"stop": 3}, "stop"),
        ({"tools": {}}, "tools"),
        ({"tools": ["look"]}, "tools[0]"),
        ({"tool_choice": 1}, "tool_choice"),
        ({"response_format": "json"}, "response_format"),
        ({"frequency_penalty": "much"}, "frequency_penalty"),
        ({"presence_penalty": []}, "presence_penalty"),
        ({"logit_bias": {"50256": "never"}}, "logit_bias[...]"),
        ({"parallel_tool_calls": "no"}, "parallel_tool_calls"),
        ({"reasoning_effort": 3}, "reasoning_effort"),
        ({"user": 12}, "user"),
        ({"store": "no"}, "store"),
        ({"failover": "no"}, "failover"),
        ({"restart": 1}, "restart"),
        # in a message
        ({"messages": [*HELLO, {"role": "function", "name": "f", "content": "1"}]}, "messages[1].role"),
        ({"messages": [{"role": "robot", "content": "hello"}]}, "messages[0].role"),
        ({"messages": [{"role": ["user"], "content": "hello"}]}, "messages[0].role"),
        ({"messages": [{"content": "hello"}]}, "messages[0].role"),
        ({"messages": [*HELLO, {"role": "user"}]}, "messages[1].content"),
        ({"messages": [{"role": "system", "content": None}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": ["a"]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": "a", "name": 3}]}, "messages[0].name"),
        ({"messages": [{"role": "assistant", "tool_calls": [3]}]}, "messages[0].tool_calls[0]"),
        ({"messages": [{"role": "assistant", "tool_calls": [{}]}]}, "messages[0].tool_calls[0].function"),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"function": "x"}]}]},
            "messages[0].tool_calls[0].function",
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f"}}, {"function": {}}]}]},
            "messages[0].tool_calls[1].function.name",
        ),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_refused_by_its_name(api: httpx2.Client, fields: dict[str, Any], param: str) -> None:
    response = ask(api, **fields)
    assert (response.status_code, response.headers["content-type"]) == (400, "application/json"), response.text
    error = response.json()["error"]
    assert (error["param"], error["type"], error["code"]) == (param, "invalid_request_error", "invalid_value")
    assert error["message"].startswith(f"{param}: ")
    assert "headwater-run" not in response.headers, "nothing was started"


@pytest.mark.parametrize(
    "fields",
    [
        {"n": 1},
        {"logprobs": False, "top_logprobs": 0},
        {"modalities": ["text"]},
        {"functions": []},
        {"max_tokens": 3, "max_completion_tokens": 3},
        {"stop": []},
        {"stream_options": {"include_usage": True, "include_obfuscation": False}},
        {"messages": [{"role": "assistant", "content": None}, *HELLO]},
        {"messages": [{"role": "developer", "content": [{"type": "text", "text": "a"}]}, *HELLO]},
    ],
    ids=str,
)
def test_what_asks_for_nothing_special_is_taken(api: httpx2.Client, fields: dict[str, Any]) -> None:
    assert ask(api, **fields).status_code == 200


def test_a_body_without_messages_is_told_what_is_missing(api: httpx2.Client) -> None:
    error = api.post("/v1/chat/completions", json={}).json()["error"]
    assert (error["param"], error["code"]) == ("messages", "invalid_value")


# -- what comes to the model's server


@pytest.mark.anyio
async def test_what_is_the_models_server_s_to_do_comes_to_it_as_it_was_sent(tmp_path: Path) -> None:
    handed_on = {
        "frequency_penalty": 0.5,
        "presence_penalty": -0.5,
        "logit_bias": {"50256": -100},
        "parallel_tool_calls": False,
        "prediction": {"type": "content", "content": "a"},
        "reasoning_effort": "low",
        "service_tier": "flex",
        "store": False,
        "user": "u-1",
        "verbosity": "low",
        "top_k": 40,
        "chat_template_kwargs": {"thinking": True},
    }
    known = {
        "temperature": 0.5,
        "top_p": 0.9,
        "stop": ["a"],
        "seed": 7,
        "tools": [{"type": "function", "function": {"name": "look", "strict": None}}],
        "tool_choice": "auto",
        "response_format": {"type": "json_object"},
    }
    rescue = {"failover": False, "restart": True}
    kept = rescue | {"n": 1, "logprobs": False, "metadata": {"a": "b"}, "stream_options": {"include_obfuscation": True}}
    turns = [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": [{"type": "text", "text": "hello"}], "name": "ada"},
        {
            "role": "assistant",
            "refusal": "no",
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f"}}],
        },
        {"role": "tool", "content": "1", "tool_call_id": "c"},
    ]
    async with staged(tmp_path) as stage:
        body = {"model": SCRIPTED, "messages": turns, "max_completion_tokens": 9, **handed_on, **known, **kept}
        assert (await stage.client.post("/v1/chat/completions", json=body)).status_code == 200
        sent = stage.upstream.exchanges[-1].body
    assert {name: sent[name] for name in handed_on} == handed_on
    assert {name: sent[name] for name in known} == known
    assert not kept.keys() - {"stream_options"} & sent.keys()
    assert sent["stream_options"] == {"include_usage": True}
    assert (sent["model"], sent["stream"], sent["max_tokens"]) == (SCRIPTED, True, 9)
    assert sent["messages"] == turns
