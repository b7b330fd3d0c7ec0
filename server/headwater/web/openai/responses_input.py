"""The input of a response, item by item, as the messages of a run."""

from collections.abc import Sequence
from typing import Any, Final, Literal, NoReturn, TypeGuard, get_args

from headwater.core.run import Message
from headwater.errors import Invalid

Json = dict[str, Any]
Role = Literal["system", "developer", "user", "assistant"]

_ROLES: Final = get_args(Role)


def messages_of(items: Sequence[Json]) -> list[Message]:
    """The conversation. Raises Invalid for what would silently be left out."""
    messages: list[Message] = []
    for index, item in enumerate(items):
        at = f"input[{index}]"
        match item.get("type", "message" if "role" in item else None):
            case "message":
                messages.append(_message(item, at))
            case "function_call":
                _calls(messages).append(_call(item, at))
            case "function_call_output":
                output = _content(item.get("output"), f"{at}.output")
                messages.append(Message("tool", output, tool_call_id=_text(item, "call_id", at)))
            case "reasoning":
                pass  # a model's thoughts are its own affair
            case "item_reference":
                refuse(f"{at}.type", "items are not kept by their ids here; send the item itself")
            case None:
                refuse(f"{at}.type", "is missing; send a message with role and content, or an item with a type")
            case other:
                known = "message, function_call, function_call_output or reasoning"
                refuse(f"{at}.type", f"items are {known} here, not {str(other)[:64]!r}")
    if not messages:
        refuse("input", "has nothing but reasoning")
    return messages


def _calls(messages: list[Message]) -> list[Json]:
    """Where the next call belongs: calls that stand together, and the text before them, were one answer."""
    before = messages[-1] if messages and messages[-1].role == "assistant" else None
    if before is not None and before.tool_calls is not None:
        return before.tool_calls
    calls: list[Json] = []
    content = None if before is None else before.content
    messages[-1 if before else len(messages) :] = [Message("assistant", content, tool_calls=calls)]
    return calls


def _call(item: Json, at: str) -> Json:
    function = {"name": _text(item, "name", at), "arguments": _text(item, "arguments", at)}
    return {"id": _text(item, "call_id", at), "type": "function", "function": function}


def _message(item: Json, at: str) -> Message:
    role = item.get("role")
    if not _is_role(role):
        refuse(f"{at}.role", f"must be one of {', '.join(_ROLES)}")
    content = _content(item.get("content"), f"{at}.content")
    if isinstance(content, list) and role == "assistant" and all(part["type"] == "text" for part in content):
        content = "".join(part["text"] for part in content)  # of which not every server takes the parts
    return Message(role, content)


def _is_role(role: object) -> TypeGuard[Role]:
    return role in _ROLES


def _content(content: object, at: str) -> str | list[Json]:
    """Text, or parts as chat completions have them; one text alone is text."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        refuse(at, "must be a string or a list of parts")
    parts = [_part(part, f"{at}[{index}]") for index, part in enumerate(content)]
    if len(parts) == 1 and parts[0]["type"] == "text":
        text: str = parts[0]["text"]
        return text
    return parts


def _part(part: object, at: str) -> Json:
    if not isinstance(part, dict):
        refuse(at, "must be an object with a type")
    match part.get("type"):
        case "input_text" | "output_text" | "text":
            return {"type": "text", "text": _text(part, "text", at)}
        case "refusal":
            return {"type": "refusal", "refusal": _text(part, "refusal", at)}
        case "input_image":
            _refuse_stored(part, at)
            detail = {"detail": part["detail"]} if part.get("detail") is not None else {}
            return {"type": "image_url", "image_url": {"url": _text(part, "image_url", at)} | detail}
        case "input_file":
            _refuse_stored(part, at)
            if part.get("file_url") is not None:
                refuse(f"{at}.file_url", "files are not fetched here; send file_data")
            name = {"filename": part["filename"]} if part.get("filename") is not None else {}
            return {"type": "file", "file": {"file_data": _text(part, "file_data", at)} | name}
        case "input_audio" if isinstance(part.get("input_audio"), dict):
            return {"type": "input_audio", "input_audio": part["input_audio"]}
        case other:
            known = "input_text, input_image, input_file, input_audio, output_text or refusal"
            refuse(f"{at}.type", f"parts are {known} here, not {str(other)[:64]!r}")


def _refuse_stored(part: Json, at: str) -> None:
    if part.get("file_id") is not None:
        refuse(f"{at}.file_id", "files are not kept here; send what is in it")


def _text(item: Json, name: str, at: str) -> str:
    value = item.get(name)
    return value if isinstance(value, str) else refuse(f"{at}.{name}", "must be a string")


def refuse(field: str, why: str) -> NoReturn:
    """Raise Invalid for this field."""
    raise Invalid(f"{field}: {why}.", field=field)
