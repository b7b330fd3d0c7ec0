"""The body of a response as the request of a run: nothing that was asked is silently left out."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from headwater.core.run import Message, Run, RunRequest
from headwater.errors import Invalid
from headwater.web.openai.responses_input import messages_of
from headwater.web.openai.responses_items import input_items
from headwater.web.openai.responses_request import ResponseRequest, run_request


def asked(input: Any = "hi", history: tuple[Message, ...] = (), **fields: Any) -> RunRequest:
    """The run that this body asks for."""
    body = {"input": input, **fields}
    return run_request(msgspec.convert(body, ResponseRequest), body, history)


def conversation(*items: Any) -> list[Message]:
    messages = asked(list(items)).input
    assert isinstance(messages, list)
    return messages


def refused(field: str, input: Any = "hi", **fields: Any) -> str:
    """The sentence, which must name the field."""
    with pytest.raises(Invalid) as refusal:
        asked(input, **fields)
    assert refusal.value.field == field
    assert refusal.value.detail.startswith(f"{field}: ")
    return refusal.value.detail


def user_says(part: Any) -> dict[str, Any]:
    """The fields of a body with this part."""
    return {"input": [{"role": "user", "content": [part]}]}


USER = {"role": "user", "content": "hi"}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{}", "status": "completed"}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "42"}
CALLED = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def test_text_is_asked_as_it_is() -> None:
    request = asked("hi", instructions="be brief", max_output_tokens=9, temperature=0.5, top_p=0.9, metadata={"a": "b"})
    assert (request.input, request.instructions, request.max_output_tokens) == ("hi", "be brief", 9)
    assert (request.temperature, request.top_p, request.metadata, request.extra) == (0.5, 0.9, {"a": "b"}, None)


def test_nulls_are_as_good_as_nothing() -> None:
    names = [name for name in ResponseRequest.__struct_fields__ if name != "input"]
    nulls: dict[str, Any] = dict.fromkeys([*names, "unknown"])
    assert asked("hi", **nulls) == asked("hi")


def test_whether_and_how_it_is_rescued_is_the_runs_to_know_and_not_the_upstreams() -> None:
    request = asked("hi", failover=False, restart=True)
    assert (request.failover, request.restart, request.extra) == (False, True, None)
    request = asked("hi")
    assert (request.failover, request.restart) == (True, None)


def test_messages_come_in_their_roles() -> None:
    assert conversation(
        {"role": "developer", "content": "be brief"},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},
        {"role": "assistant", "content": [{"type": "output_text", "text": "a", "annotations": []}], "id": "msg_1"},
    ) == [Message("developer", "be brief"), Message("user", "hi"), Message("assistant", "a")]


def test_parts_are_those_of_chat_completions() -> None:
    content = [
        {"type": "input_text", "text": "look"},
        {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "low", "file_id": None},
        {"type": "input_file", "file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"},
        {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
    ]
    (message,) = conversation({"role": "user", "content": content})
    assert message.content == [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"}},
        {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
    ]


def test_what_an_assistant_said_is_one_text_unless_it_refused() -> None:
    texts = [{"type": "output_text", "text": "a"}, {"type": "output_text", "text": "b"}]
    refusal = {"type": "refusal", "refusal": "no"}
    said, refused_ = conversation(
        {"role": "assistant", "content": texts}, {"role": "assistant", "content": [*texts, refusal]}
    )
    assert said.content == "ab"
    assert refused_.content == [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}, refusal]


def test_calls_and_the_text_before_them_were_one_answer() -> None:
    said = {"role": "assistant", "content": "let me see"}
    thought = {"type": "reasoning", "id": "rs_1", "summary": []}
    other = CALL | {"call_id": "c2"}
    assert conversation(USER, thought, said, thought, CALL, other, OUTPUT, OUTPUT | {"call_id": "c2"}) == [
        Message("user", "hi"),
        Message("assistant", "let me see", tool_calls=[CALLED, CALLED | {"id": "c2"}]),
        Message("tool", "42", tool_call_id="c1"),
        Message("tool", "42", tool_call_id="c2"),
    ]


class InOrder(list[dict[str, Any]]):
    """Items that can only be gone through, and so often: to look back from each would take for ever."""

    def __init__(self, items: list[dict[str, Any]]) -> None:
        super().__init__(items)
        self.times = 0

    def __iter__(self) -> Iterator[dict[str, Any]]:
        self.times += 1
        return super().__iter__()

    def __getitem__(self, index: Any) -> Any:
        raise AssertionError("they are looked at one after another")


def test_many_calls_are_taken_in_one_pass() -> None:
    calls = [{"type": "function_call", "call_id": f"c{n}", "name": "f", "arguments": "{}"} for n in range(16_000)]
    items = InOrder([{"role": "assistant", "content": "let me see"}, *calls])
    (message,) = messages_of(items)
    assert items.times == 1
    assert message.content == "let me see" and message.tool_calls is not None
    assert [call["id"] for call in message.tool_calls] == [call["call_id"] for call in calls]


def test_a_call_behind_an_output_is_another_answer() -> None:
    roles = [message.role for message in conversation(USER, CALL, OUTPUT, CALL | {"call_id": "c2"})]
    assert roles == ["user", "assistant", "tool", "assistant"]


def test_an_output_may_have_parts() -> None:
    image = {"type": "input_image", "image_url": "https://example.com/a.png"}
    *_, output = conversation(USER, CALL, OUTPUT | {"output": [image]})
    assert output.content == [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]


def test_what_was_said_before_comes_first() -> None:
    before = (Message("user", "a"), Message("assistant", "b"))
    assert asked("hi", before).input == [*before, Message("user", "hi")]
    assert asked([USER], before).input == [*before, Message("user", "hi")]


def test_options_go_where_chat_completions_have_them() -> None:
    request = asked(
        tools=[{"type": "function", "name": "f", "parameters": {}, "strict": None}],
        tool_choice={"type": "function", "name": "f"},
        text={"format": {"type": "json_schema", "name": "n", "schema": {}}, "verbosity": "low"},
        reasoning={"effort": "high", "summary": "auto"},
        parallel_tool_calls=False,
        user="u",
        top_k=3,
        include=["reasoning.encrypted_content"],
        stream_options={"include_obfuscation": False},
    )
    assert request.tools == [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    assert request.tool_choice == {"type": "function", "function": {"name": "f"}}
    assert request.response_format == {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}}
    assert request.extra == {
        "verbosity": "low", "reasoning_effort": "high", "parallel_tool_calls": False, "user": "u", "top_k": 3
    }  # fmt: skip
    assert request.response is not None and request.response.reasoning == {"effort": "high", "summary": "auto"}


def test_what_the_response_says_again_is_kept_with_the_request() -> None:
    request = asked(background=True, previous_response_id="resp_0")
    assert request.response is not None and request.stored
    assert (request.response.background, request.response.previous) == (True, "resp_0")
    assert not asked(store=False).stored
    stored = msgspec.json.decode(msgspec.json.encode(request), type=RunRequest)
    assert stored == request


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("conversation", {"conversation": "conv_1"}),
        ("prompt", {"prompt": {"id": "pmpt_1"}}),
        ("truncation", {"truncation": "auto"}),
        ("top_logprobs", {"top_logprobs": 2}),
        ("include[1]", {"include": ["reasoning.encrypted_content", "message.output_text.logprobs"]}),
        ("max_tool_calls", {"max_tool_calls": 3}),
        ("background", {"background": True, "store": False}),
        ("moderation", {"moderation": {"model": "m"}}),
        ("context_management", {"context_management": [{"type": "compaction"}]}),
        ("tools[0].type", {"tools": [{"type": "custom", "name": "f"}]}),
        ("tools[0].type", {"tools": [{}]}),
        ("tools[1].name", {"tools": [{"type": "web_search"}, {"type": "function"}]}),
        ("text.format.type", {"text": {"format": {}}}),
        ("input[0].type", {"input": [{"type": "item_reference", "id": "msg_1"}]}),
        ("input[0].type", {"input": [{"id": "msg_1"}]}),
        ("input[1].type", {"input": [USER, {"type": "web_search_call"}]}),
        ("input[0].role", {"input": [{"role": "tool", "content": "a"}]}),
        ("input[0].role", {"input": [{"type": "message", "content": "a"}]}),
        ("input[0].content", {"input": [{"role": "user"}]}),
        ("input[0].content[0]", user_says("a")),
        ("input[0].content[0].type", user_says({"type": "video"})),
        ("input[0].content[0].text", user_says({"type": "input_text"})),
        ("input[0].content[0].file_id", user_says({"type": "input_file", "file_id": "f"})),
        ("input[0].content[0].file_url", user_says({"type": "input_file", "file_url": "f"})),
        ("input[0].content[0].file_id", user_says({"type": "input_image", "file_id": "f"})),
        ("input[0].call_id", {"input": [{"type": "function_call", "name": "f", "arguments": "{}"}]}),
        ("input[0].output", {"input": [{"type": "function_call_output", "call_id": "c"}]}),
        ("input", {"input": [{"type": "reasoning", "summary": []}]}),
    ],
)  # fmt: skip
def test_what_would_silently_not_be_done_is_refused(field: str, fields: dict[str, Any]) -> None:
    refused(field, **fields)


def test_a_sentence_says_what_to_do() -> None:
    assert "previous_response_id" in refused("conversation", conversation="conv_1")


def test_items_of_input_come_back_with_ids_that_stay() -> None:
    image = {"type": "input_image", "image_url": "https://example.com/a.png", "detail": "low", "file_id": None}
    file = {"type": "input_file", "file_data": "AA==", "filename": "a.pdf"}
    given = [
        {"role": "user", "content": [{"type": "input_text", "text": "hi"}, image, file]},
        {"role": "assistant", "content": "let me see"},
        CALL,
        OUTPUT,
    ]
    run = Run(id="run_1", owner="ann", model="demo", request=asked(given), created_at=0.0)
    items = input_items(run)
    assert [item["id"] for item in items] == ["msg_in_1_0", "msg_in_1_1", "fc_in_1_2", "fco_in_1_3"]
    assert items[0]["content"] == [{"type": "input_text", "text": "hi"}, image, file]
    assert items[1]["content"] == [{"type": "output_text", "text": "let me see", "annotations": [], "logprobs": []}]
    assert items[2] == CALL | {"id": "fc_in_1_2"}
    assert (items[3]["call_id"], items[3]["output"]) == ("c1", "42")


def test_calls_of_any_shape_are_told_as_far_as_they_can_be() -> None:
    calls: list[Any] = [{"function": "x"}, {}, {"id": "c1", "function": {"name": "f"}}]
    messages = [Message("assistant", tool_calls=calls)]
    run = Run(id="run_1", owner="ann", model="demo", request=RunRequest(input=messages), created_at=0.0)
    assert [(item["call_id"], item["name"]) for item in input_items(run)] == [(None, None), (None, None), ("c1", "f")]


def test_the_items_of_input_can_be_sent_again() -> None:
    given = [{"role": "user", "content": [{"type": "input_text", "text": "hi"}]}, CALL, OUTPUT]
    run = Run(id="run_1", owner="ann", model="demo", request=asked(given), created_at=0.0)
    assert asked(input_items(run)).input == asked(given).input
