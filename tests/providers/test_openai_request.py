"""What an upstream is asked, and when it is asked again."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.core.run import Message, RunRequest
from headwater.providers.openai_request import request_body
from headwater.providers.retry import RetryPolicy, retry_after_s
from headwater.providers.upstream_errors import Scrubber, body_message

NOW = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


def body_of(request: RunRequest, **options: Any) -> Any:
    return json.loads(request_body(request, model="m", **options))


def test_a_text_is_one_message_of_the_user() -> None:
    assert body_of(RunRequest(input="hi")) == {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_instructions_lead_and_messages_stay_as_they_are() -> None:
    call = {"id": "call_a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        Message("user", [{"type": "text", "text": "hi"}], name="ann"),
        Message("assistant", tool_calls=[call]),
        Message("tool", "42", tool_call_id="call_a"),
    ]
    assert body_of(RunRequest(input=messages, instructions="Be short."))["messages"] == [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": [{"type": "text", "text": "hi"}], "name": "ann"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "content": "42", "tool_call_id": "call_a"},
    ]


def names_sent(*names: str | None) -> list[str | None]:
    messages = body_of(RunRequest(input=[Message("user", "hi", name=name) for name in names]))["messages"]
    return [message.get("name") for message in messages]


def test_a_speaker_s_name_is_made_of_what_the_upstream_takes() -> None:
    assert names_sent("ann", "Zoë B.", "Анна", "a" * 65, None) == ["ann", "Zoe_B", "speaker", "a" * 56, None]


def test_different_speakers_have_different_names() -> None:
    assert names_sent("Ann?", "Ann", "Ann!", "Анна", "Ян", "Ann?", "Ann_2") == [
        *("Ann_3", "Ann", "Ann_4", "speaker", "speaker_2", "Ann_3", "Ann_2")
    ]


@given(st.lists(st.text(min_size=1, max_size=70), max_size=8))
def test_each_speaker_keeps_one_name_that_the_upstream_takes_and_no_other_has(names: list[str]) -> None:
    sent = names_sent(*names)
    assert all(re.fullmatch("[A-Za-z0-9_-]{1,64}", name or "") for name in sent)
    assert len(set(zip(names, sent, strict=True))) == len(set(names)) == len(set(sent))


def test_a_name_goes_with_what_a_message_has_besides() -> None:
    messages = [Message("user", "hi", name="Ann B", extra={"x": 1}), Message("assistant", "ho", name="big model")]
    assert body_of(RunRequest(input=messages))["messages"] == [
        {"role": "user", "content": "hi", "name": "Ann_B", "x": 1},
        {"role": "assistant", "content": "ho", "name": "big_model"},
    ]


def test_what_a_message_has_besides_is_part_of_it_and_wins() -> None:
    messages = [Message("assistant", "hi", extra={"prefix": True, "content": "ho"}), Message("user", "hi", extra={})]
    assert body_of(RunRequest(input=messages))["messages"] == [
        {"role": "assistant", "content": "ho", "prefix": True},
        {"role": "user", "content": "hi"},
    ]


def test_the_settings_go_through_even_where_they_are_zero() -> None:
    settings: dict[str, Any] = {
        "temperature": 0.0,
        "top_p": 0.0,
        "stop": ["a"],
        "seed": 0,
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "tool_choice": "auto",
        "response_format": {"type": "json_object"},
    }
    body = body_of(RunRequest(input="hi", metadata={"a": "b"}, conversation="c", **settings))
    assert {name: body[name] for name in settings} == settings
    assert set(body) == {"model", "messages", "stream", "stream_options", *settings}


def test_the_token_limit_has_the_name_that_the_server_knows() -> None:
    request = RunRequest(input="hi", max_output_tokens=5)
    assert body_of(request)["max_tokens"] == 5
    newer = body_of(request, token_limit_field="max_completion_tokens")
    assert newer["max_completion_tokens"] == 5
    assert "max_tokens" not in newer


def test_extra_wins_over_all_but_the_model_and_streaming() -> None:
    extra = {
        "temperature": 1,
        "top_k": 3,
        "model": "dear",
        "stream": False,
        "stream_options": {"continuous_usage_stats": True},
    }
    body = body_of(RunRequest(input="hi", temperature=0.5, extra=extra))
    assert (body["temperature"], body["top_k"], body["model"], body["stream"]) == (1, 3, "m", True)
    assert body["stream_options"] == {"continuous_usage_stats": True, "include_usage": True}


def test_usage_is_not_asked_of_a_server_that_cannot_tell() -> None:
    assert "stream_options" not in body_of(RunRequest(input="hi"), include_usage=False)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("3", 3.0),
        ("0.5", 0.5),
        (" 7 ", 7.0),
        ("Tue, 14 Nov 2023 22:13:30 GMT", 10.0),
        ("Tue, 14 Nov 2023 22:13:30 -0000", 10.0),
        ("Tue, 14 Nov 2023 22:13:00 GMT", 0.0),
        ("soon", None),
        ("-3", None),
        ("", None),
        ("1e999", None),
        ("9" * 400, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, seconds: float | None) -> None:
    assert retry_after_s({"retry-after": value}, NOW) == seconds


def test_no_retry_after_asks_for_nothing() -> None:
    assert retry_after_s({}, NOW) is None


def test_waits_are_drawn_up_to_a_bound_that_doubles() -> None:
    policy = RetryPolicy(tries_max=10, base_s=0.5, cap_s=3.0)
    assert [policy.wait_s(failures, 1.0, None) for failures in range(1, 6)] == [0.5, 1.0, 2.0, 3.0, 3.0]
    assert policy.wait_s(3, 0.0, None) == 0.0


def test_the_number_of_tries_is_bounded() -> None:
    policy = RetryPolicy(tries_max=2)
    assert policy.wait_s(1, 0.5, None) is not None
    assert policy.wait_s(2, 0.5, None) is None


def test_a_wait_is_never_shorter_than_was_asked_for_and_too_long_a_one_is_given_up() -> None:
    policy = RetryPolicy(base_s=0.5, retry_after_max_s=20)
    assert policy.wait_s(1, 0.5, 7.0) == 7.25
    assert policy.wait_s(1, 0.5, 20.5) is None


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error":{"message":"no","type":"x"}}', "no"),
        (b'{"error":"no"}', "no"),
        (b'{"message":"no"}', "no"),
        (b'{"detail":"no"}', "no"),
        (b'{"detail":[{"loc":["body"],"msg":"no"}]}', "no"),
        (b'[{"error":{"code":400,"message":"no"}}]', "no"),
        (b'{"error":{"code":"no"}}', "no"),
        (b'{"error":{"error":{"error":{"error":{"error":"no"}}}}}', ""),
        (b"{}", ""),
        (b"null", ""),
        (b"no upstream", "no upstream"),
        (b"<html>no</html>", ""),
        (b"", ""),
    ],
)
def test_the_sentence_of_an_error_is_found(body: bytes, message: str) -> None:
    assert body_message(body, "application/json") == message


def test_secrets_are_taken_out_before_a_message_is_shortened() -> None:
    scrub = Scrubber(["opensesame-1", "opensesame", "short"])
    assert scrub("a opensesame-1 b opensesame c short") == "a *** b *** c short"
    assert "opensesame"[:5] not in scrub("x" * 295 + " opensesame")
    assert scrub("Incorrect API key provided: sk-abc***def. Authorization: Bearer abc.def") == (
        "Incorrect API key provided: ***. Authorization: ***"
    )
    assert len(scrub("x" * 1000)) == 300
