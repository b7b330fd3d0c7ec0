"""Tools, the choice among them, and the form of an answer: flat in responses, nested in chat completions.

A run's request has them as chat completions do. Nothing is lost either way.
"""

from typing import Any, Final

Json = dict[str, Any]

_NESTED: Final = ("function", "custom")
# What OpenAI's clients find on every function, whether it was given or not.
_OF_FUNCTIONS: Final = ("description", "parameters", "strict")


def tool_asked(tool: Json) -> Json:
    """A response's tool as chat completions have it; what only responses have stays as it is."""
    kind = tool.get("type")
    if kind not in _NESTED or kind in tool:
        return tool
    return {"type": kind, kind: {name: value for name, value in tool.items() if name != "type" and value is not None}}


def tool_told(tool: Json) -> Json:
    """The way back."""
    kind = tool.get("type")
    if kind not in _NESTED or not isinstance(inner := tool.get(kind), dict):
        return tool
    return {"type": kind} | (dict.fromkeys(_OF_FUNCTIONS) if kind == "function" else {}) | inner


def tool_choice_asked(choice: str | Json) -> str | Json:
    """A response's `tool_choice` as chat completions have it."""
    if isinstance(choice, str):
        return choice
    kind = choice.get("type")
    if kind == "allowed_tools" and kind not in choice:
        tools = choice.get("tools") or []
        if isinstance(tools, list):
            tools = [tool_asked(tool) if isinstance(tool, dict) else tool for tool in tools]
        return {"type": kind, kind: {"mode": choice.get("mode", "auto"), "tools": tools}}
    return tool_asked(choice)


def tool_choice_told(choice: str | Json) -> str | Json:
    """The way back. What is strange is told as it is: whoever reads the answer can do nothing about it."""
    if isinstance(choice, str):
        return choice
    kind = choice.get("type")
    if kind == "allowed_tools" and isinstance(allowed := choice.get(kind), dict):
        tools = allowed.get("tools") or []
        if isinstance(tools, list):
            tools = [_name_told(tool) if isinstance(tool, dict) else tool for tool in tools]
        return {"type": kind} | allowed | {"tools": tools}
    return _name_told(choice)


def _name_told(choice: Json) -> Json:
    kind = choice.get("type")
    inner = choice.get(kind) if kind in _NESTED else None
    return {"type": kind} | inner if isinstance(inner, dict) else choice


def format_asked(form: Json) -> Json | None:
    """A response's `text.format` as the `response_format` of chat completions; None for plain text."""
    kind = form.get("type")
    if kind == "text":
        return None
    if kind != "json_schema" or kind in form:
        return form
    return {"type": kind, kind: {name: value for name, value in form.items() if name != "type" and value is not None}}


def format_told(form: Json | None) -> Json:
    """The way back."""
    if form is None:
        return {"type": "text"}
    inner = form.get("json_schema")
    return {"type": "json_schema"} | inner if isinstance(inner, dict) else form
