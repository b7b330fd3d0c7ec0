"""Whatever the API takes is refused by a provider with a clear word, or can be sent: nothing in between."""

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from headwater.core.run import Message, RunRequest
from headwater.errors import Invalid
from headwater.providers.anthropic_request import messages_body
from headwater.providers.ollama_request import chat_body
from headwater.providers.openai_request import request_body
from headwater.providers.request_parts import encoded

Body = Callable[[RunRequest], bytes]

BODIES: dict[str, Body] = {
    "openai": lambda request: request_body(request, model="m"),
    "anthropic": lambda request: encoded(messages_body(request, model="m", max_tokens=9)),
    "ollama": lambda request: encoded(chat_body(request, model="m")),
}
EACH = pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)

# Names and values that mean something to somebody, in places where they need not: that is where code stumbles.
SHAPES = ["type", "text", "content", "role", "name", "function", "arguments", "id", "image_url", "url", "refusal"]
SETTINGS = ["schema", "json_schema", "options", "tools", "tool_choice", "parallel_tool_calls", "system", "models"]
KINDS = ["text", "input_text", "image_url", "refusal", "function", "json_schema", "json_object", "auto", "required"]
TEXTS = ["", "{}", "[1]", '{"a": 1}', "data:image/png;base64,aGk=", "https://h/a.png", "\ud7ff\U0001f600"]
names = st.sampled_from(SHAPES + SETTINGS)
words = st.sampled_from(KINDS + TEXTS)
scalars = st.none() | st.booleans() | st.integers(-1, 1) | st.just(10**30) | st.floats(0, 1) | words
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=3), max_leaves=5
)
objects = st.dictionaries(names, values, max_size=3)
typed = st.builds(lambda kind, more: more | {"type": kind}, words, objects)
calls = st.builds(
    lambda name, arguments, more: more | {"id": "a", "function": {"name": name, "arguments": arguments}},
    words,
    values,
    objects,
)
collisions = st.dictionaries(st.sampled_from(["type", "text", "content", "role"]), values, max_size=2)
messages = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "developer", "user", "assistant", "tool"])},
    optional={
        "content": words | st.lists(typed | objects, max_size=2),
        "name": words,
        "tool_calls": st.lists(calls | objects, max_size=2),
        "tool_call_id": words,
        "extra": collisions,
    },
)
requests = st.fixed_dictionaries(
    {"input": words | st.lists(messages, min_size=1, max_size=3)},
    optional={
        "instructions": words,
        "stop": words | st.lists(words, max_size=2),
        "tools": st.lists(typed | objects, max_size=2),
        "tool_choice": words | typed,
        "response_format": typed,
        "extra": objects,
    },
)


@EACH
@given(given_=requests)
@example(given_={"input": [{"role": "system", "content": "a", "extra": {"text": 5}}, {"role": "user", "content": "b"}]})
@example(
    given_={"input": [{"role": "system", "content": [{"type": "a", "text": 5}]}, {"role": "user", "content": "b"}]}
)
@example(given_={"input": [{"role": "user", "content": "a"}, {"role": "user", "extra": {"content": 5}}]})
@settings(max_examples=300)
def test_a_request_is_refused_or_can_be_sent(body: Body, given_: dict[str, Any]) -> None:
    try:
        request = msgspec.json.decode(json.dumps(given_), type=RunRequest)
    except msgspec.ValidationError:
        assume(False)
        return
    try:
        sent = json.loads(body(request))
    except Invalid as refusal:
        assert refusal.field
    else:
        assert (sent["model"], sent["stream"]) == ("m", True)


@EACH
def test_what_is_asked_is_what_the_history_shows_and_of_the_model_that_the_operator_chose(body: Body) -> None:
    asked = RunRequest(input=[Message("user", "hi")])
    other: dict[str, Any] = {"messages": [{"role": "user", "content": "ho"}], "input": "ho", "models": ["dear"]}
    assert json.loads(body(msgspec.structs.replace(asked, extra=other))) == json.loads(body(asked))


@pytest.mark.parametrize("name", ["anthropic", "ollama"])
def test_arguments_nested_beyond_all_bounds_are_refused(name: str) -> None:
    for depth in (*range(900, 1000), 100_000):
        arguments = '{"a":' * depth + "1" + "}" * depth
        call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": arguments}}
        try:
            assert arguments.encode() in BODIES[name](RunRequest(input=[Message("assistant", tool_calls=[call])]))
        except Invalid as refusal:
            assert (refusal.field or "").startswith("input")
        else:
            assert depth < 1000
