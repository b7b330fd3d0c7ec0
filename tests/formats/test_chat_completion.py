"""The whole answer as one `chat.completion`."""

import pytest

from headwater.core.content import Part
from headwater.core.events import End, Failure, Usage
from headwater.core.run import RunRequest
from headwater.formats.base import Head
from headwater.formats.chat import completion

HEAD = Head("run_x7", "demo", 1767225600.25, RunRequest(input="hi"))
STOP = End("completed", "stop", usage=Usage(6, 20, 5, 4))


def test_a_text_is_the_content() -> None:
    assert completion(HEAD, [{"text": "Hi"}], STOP) == {
        "id": "chatcmpl-x7",
        "object": "chat.completion",
        "created": 1767225600,
        "model": "demo",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hi", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 6,
            "completion_tokens": 20,
            "total_tokens": 26,
            "prompt_tokens_details": {"cached_tokens": 4},
            "completion_tokens_details": {"reasoning_tokens": 5},
        },
    }


def test_an_answer_of_every_kind() -> None:
    call = {"index": 0, "id": "call_1", "name": "look", "arguments": "{}"}
    parts: list[Part] = [{"reasoning": "h"}, {"text": "a"}, {"reasoning": "m"}, {"tool_call": call}, {"text": "b"}]
    message = completion(HEAD, parts, End("completed", "tool_calls"))["choices"][0]["message"]
    assert message == {
        "role": "assistant",
        "content": "ab",
        "refusal": None,
        "reasoning_content": "hm",
        "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}],
    }


def test_calls_alone_have_no_content_and_a_refusal_is_none() -> None:
    call = {"index": 0, "arguments": "{}"}
    assert completion(HEAD, [{"tool_call": call}], STOP)["choices"][0]["message"]["content"] is None
    refused = completion(HEAD, [{"refusal": "no"}], STOP)["choices"][0]["message"]
    assert refused == {"role": "assistant", "content": None, "refusal": "no"}


@pytest.mark.parametrize(
    ("end", "finish"),
    [
        (End("incomplete", "length", "length"), "length"),
        (End("incomplete", "content_filter", "content_filter"), "content_filter"),
        (End("incomplete", None, "length", Failure("length", "over our own limit")), "length"),
    ],
)
def test_it_says_why_it_stops(end: End, finish: str) -> None:
    assert completion(HEAD, [{"text": "a"}], end)["choices"][0]["finish_reason"] == finish


def test_nobody_counted() -> None:
    usage = completion(HEAD, [], End("completed", "stop"))["usage"]
    assert (usage["total_tokens"], usage["estimated"]) == (0, True)
