"""What responses have flat and chat completions nested is the same there and back."""

from typing import Any

import pytest

from headwater.formats.responses.tools import (
    format_asked,
    format_told,
    tool_asked,
    tool_choice_asked,
    tool_choice_told,
    tool_told,
)

FUNCTION = {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True}


def test_a_function_is_nested_for_chat_completions() -> None:
    inner = {name: value for name, value in FUNCTION.items() if name != "type"}
    assert tool_asked(FUNCTION) == {"type": "function", "function": inner}


@pytest.mark.parametrize("tool", [FUNCTION, {"type": "web_search", "size": 1}, {"type": "mcp", "server_label": "s"}])
def test_a_tool_comes_back_as_it_was_given(tool: Any) -> None:
    assert tool_told(tool_asked(tool)) == tool


def test_a_function_comes_back_with_all_that_clients_look_for() -> None:
    told = tool_told(tool_asked({"type": "function", "name": "f"}))
    assert told == {"type": "function", "name": "f", "description": None, "parameters": None, "strict": None}


@pytest.mark.parametrize(
    ("choice", "nested"),
    [
        ("required", "required"),
        ({"type": "function", "name": "f"}, {"type": "function", "function": {"name": "f"}}),
        (
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]},
            },
        ),
        ({"type": "web_search"}, {"type": "web_search"}),
    ],
)
def test_a_choice_of_tools_is_nested_and_comes_back(choice: Any, nested: Any) -> None:
    assert tool_choice_asked(choice) == nested
    assert tool_choice_told(nested) == choice


@pytest.mark.parametrize("tools", [5, "x", {"a": 1}, ["x", None, 3, {}], [{"type": ["function"]}]])
def test_what_is_strange_in_a_choice_is_told_as_it_is(tools: Any) -> None:
    choice = {"type": "allowed_tools", "mode": "auto", "tools": tools}
    assert tool_choice_told(tool_choice_asked(choice)) == choice
    assert tool_choice_told({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": tools}}) == choice
    for strange in ({"type": "allowed_tools", "allowed_tools": tools}, {"type": "function", "function": tools}, {}):
        if not (isinstance(tools, dict) and strange):
            assert tool_choice_told(strange) == strange


@pytest.mark.parametrize(
    ("form", "nested"),
    [
        ({"type": "text"}, None),
        ({"type": "json_object"}, {"type": "json_object"}),
        (
            {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True},
            {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True}},
        ),
    ],
)
def test_a_form_of_text_is_nested_and_comes_back(form: Any, nested: Any) -> None:
    assert format_asked(form) == nested
    assert format_told(nested) == form
