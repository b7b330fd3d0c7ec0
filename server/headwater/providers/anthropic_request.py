"""A run's request as the body of Anthropic's `POST /v1/messages`."""

from typing import Any

from headwater.core.run import Message, RunRequest
from headwater.providers.request_parts import (
    FIXED,
    TEXT_PARTS,
    Image,
    Part,
    calls_of,
    function_of,
    image_of,
    messages_of,
    part_text,
    parts_of,
    place_of,
    refuse,
    speakers_of,
    stops_of,
)

_FIXED = FIXED | {"parallel_tool_calls"}  # which is said with the choice of a tool
# Parts of OpenAI's that have no counterpart; others are taken for Anthropic's own and go through as they are.
_UNKNOWN = ("input_audio", "file", "input_file", "input_image", "audio")
_CHOICES = {"auto": "auto", "none": "none", "required": "any"}


def messages_body(request: RunRequest, *, model: str, max_tokens: int) -> dict[str, Any]:
    """The body. `extra` wins over all that is not `FIXED`; `max_tokens` is for requests without a limit.

    Raises Invalid for what cannot be said in it.
    """
    body: dict[str, Any] = {"model": model, "max_tokens": request.max_output_tokens or max_tokens, "stream": True}
    system, messages = _conversation(request)
    if not messages:
        refuse("input", "needs a message of the user's; system messages alone are not answered here")
    if system:
        plain = all(block.keys() == {"type", "text"} and block["type"] == "text" for block in system)
        body["system"] = "\n\n".join(block["text"] for block in system) if plain else system
    body["messages"] = messages
    for name in ("temperature", "top_p"):
        if (value := getattr(request, name)) is not None:
            body[name] = value
    if stops := stops_of(request):
        body["stop_sequences"] = stops
    if request.tools is not None:
        body["tools"] = [_tool(tool, f"tools[{number}]") for number, tool in enumerate(request.tools)]
    if request.tool_choice is not None:
        body["tool_choice"] = _choice(request.tool_choice)
    if (request.extra or {}).get("parallel_tool_calls") is False and body.get("tools"):  # as OpenAI's clients say it
        body["tool_choice"] = body.get("tool_choice", {"type": "auto"}) | {"disable_parallel_tool_use": True}
    if request.seed is not None:
        refuse("seed", "this model's server knows no seed; leave it out")
    if request.response_format is not None and request.response_format.get("type") != "text":
        refuse("response_format", "this model's server knows only text; ask for JSON in words, or give a tool")
    return body | {name: value for name, value in (request.extra or {}).items() if name not in _FIXED}


def _conversation(request: RunRequest) -> tuple[list[Part], list[Part]]:
    """What is for `system`, and the turns: neighbours of one role are one turn."""
    system: list[Part] = []
    turns: list[Part] = []
    messages = messages_of(request)
    for number, (message, speaker) in enumerate(zip(messages, speakers_of(messages), strict=True)):
        at = place_of(request, number)
        blocks = _blocks(message, at)
        if speaker is not None and blocks:
            blocks.insert(0, {"type": "text", "text": speaker})
        if message.role in ("system", "developer"):
            for name in ("type", "text"):
                if message.extra and name in message.extra:
                    refuse(f"{at}.extra.{name}", "would replace what the content says; leave it out")
            if blocks and message.extra:
                blocks[-1] = blocks[-1] | message.extra
            system += blocks
            continue
        role = "assistant" if message.role == "assistant" else "user"
        turn: Part = {"role": role, "content": blocks} | (message.extra or {})
        if isinstance(turn["content"], str):
            turn["content"] = parts_of(turn["content"])
        if not isinstance(turn["content"], list | None):
            refuse(f"{at}.extra.content", "must be a string or a list of blocks")
        if not turn["content"]:
            continue  # an empty turn, such as an answer that was cancelled at once, is refused there
        if turns and turns[-1]["role"] == turn["role"]:
            before = turns.pop()
            turn = before | turn | {"content": [*before["content"], *turn["content"]]}
        turns.append(turn)
    return system, turns


def _blocks(message: Message, at: str) -> list[Part]:
    """The content of one message."""
    where = f"{at}.content" if at.startswith("input[") else at
    blocks = [
        block
        for number, part in enumerate(parts_of(message.content))
        if (block := _block(part, f"{where}[{number}]")) is not None
    ]
    if message.role == "tool":
        if not message.tool_call_id:
            refuse(f"{at}.tool_call_id", "is required: it says which call this is the result of")
        content = message.content if isinstance(message.content, str) else blocks
        return [{"type": "tool_result", "tool_use_id": message.tool_call_id, "content": content}]
    for number, call in enumerate(calls_of(message, at)):
        if call.id is None:
            refuse(f"{at}.tool_calls[{number}].id", "is required: its result names it")
        blocks.append({"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments})
    return blocks


def _block(part: Part, at: str) -> Part | None:
    kind = part.get("type")
    if kind in TEXT_PARTS:
        return part | {"type": "text"} if part_text(part, at) else None
    if kind == "refusal":
        return {"type": "text", "text": str(part.get("refusal"))} if part.get("refusal") else None
    if kind == "image_url":
        image = image_of(part, at)
        if isinstance(image, Image):
            return {"type": "image", "source": {"type": "base64", **image._asdict()}}
        return {"type": "image", "source": {"type": "url", "url": image}}
    if kind in _UNKNOWN:
        refuse(f"{at}.type", f"{kind} is not known to this model's server; send text, image_url or its own blocks")
    return part


def _tool(tool: Part, at: str) -> Part:
    function = function_of(tool, at)
    if function is None:
        return tool
    described = {"description": function["description"]} if function.get("description") else {}
    schema = function.get("parameters") or {"type": "object", "properties": {}}
    return {"name": function["name"], **described, "input_schema": schema}


def _choice(choice: str | dict[str, Any]) -> dict[str, Any]:
    if isinstance(choice, str):
        if choice not in _CHOICES:
            refuse("tool_choice", "must be auto, none, required or {type: function, function: {name}}")
        return {"type": _CHOICES[choice]}
    function = choice.get("function")
    if choice.get("type") == "function" and isinstance(function, dict):
        return {"type": "tool", "name": function.get("name")}
    return choice
