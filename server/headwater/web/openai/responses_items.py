"""The input of a run as the items of a response."""

from typing import Any, Final

from headwater.core.run import Message, Run
from headwater.formats.openai import item_id

Json = dict[str, Any]


def input_items(run: Run) -> list[Json]:
    """All input in order, what was said before it included. Their ids stay the same."""
    given = run.request.input
    messages = [Message("user", given)] if isinstance(given, str) else given
    items = [item for message in messages for item in _items(message)]
    return [{"id": item_id(_PREFIXES[item["type"]], run.id, index)} | item for index, item in enumerate(items)]


# They are not those of the output, whose numbers begin anew.
_PREFIXES: Final = {"message": "msg_in", "function_call": "fc_in", "function_call_output": "fco_in"}


def _items(message: Message) -> list[Json]:
    if message.role == "tool":
        output = message.content if isinstance(message.content, str) else _parts(message)
        return [_item("function_call_output", call_id=message.tool_call_id, output=output)]
    items = []
    if message.content is not None:
        items.append(_item("message", role=message.role, content=_parts(message)))
    for call in message.tool_calls or ():
        given = call.get("function")
        function = given if isinstance(given, dict) else {}  # runs are started with calls of any shape
        name, arguments = function.get("name"), function.get("arguments")
        items.append(_item("function_call", call_id=call.get("id"), name=name, arguments=arguments))
    return items


def _item(type: str, **fields: Any) -> Json:
    return {"type": type, "status": "completed"} | fields


def _parts(message: Message) -> list[Json]:
    content = message.content
    given = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
    return [_part(part, message.role) for part in given]


def _part(part: Json, role: str) -> Json:
    match part:
        case {"type": "text", "text": text}:
            if role == "assistant":
                return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
            return {"type": "input_text", "text": text}
        case {"type": "image_url", "image_url": {"url": url, **more}}:
            return {"type": "input_image", "image_url": url, "detail": more.get("detail", "auto"), "file_id": None}
        case {"type": "file", "file": dict(file)}:
            return {"type": "input_file"} | file
        case _:
            return part
