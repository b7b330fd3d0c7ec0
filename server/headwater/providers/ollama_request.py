"""A run's request as the body of Ollama's `POST /api/chat`."""

from typing import Any

from headwater.core.run import Message, RunRequest
from headwater.providers.request_parts import (
    FIXED,
    TEXT_PARTS,
    Image,
    Part,
    calls_of,
    image_of,
    messages_of,
    part_text,
    parts_of,
    place_of,
    refuse,
    speakers_of,
    stops_of,
)

_FIXED = FIXED | {"options"}  # which are added to ours


def chat_body(request: RunRequest, *, model: str) -> dict[str, Any]:
    """The body. `extra` wins over all that is not `FIXED`; its `options` are added to ours.

    Raises Invalid for what cannot be said in it.
    """
    body: dict[str, Any] = {"model": model, "messages": _messages(request), "stream": True}
    extra = request.extra or {}
    own = extra.get("options")
    if options := _options(request) | (own if isinstance(own, dict) else {}):
        body["options"] = options
    choice = request.tool_choice
    if choice not in (None, "auto", "none"):
        refuse("tool_choice", "this model's server knows auto and none only")
    if request.tools is not None and choice != "none":
        body["tools"] = request.tools
    if (form := _format(request.response_format)) is not None:
        body["format"] = form
    return body | {name: value for name, value in extra.items() if name not in _FIXED}


def _options(request: RunRequest) -> dict[str, Any]:
    options = {
        "num_predict": request.max_output_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "stop": stops_of(request) or None,
        "seed": request.seed,
    }
    return {name: value for name, value in options.items() if value is not None}


def _format(wanted: dict[str, Any] | None) -> Any:
    """What the answer must be: "json" or a schema; None for text."""
    match wanted:
        case None | {"type": "text"}:
            return None
        case {"type": "json_object"}:
            return "json"
        case {"type": "json_schema", "json_schema": {"schema": dict(schema)}}:
            return schema
    refuse("response_format", "must be of type text, json_object, or json_schema with a json_schema.schema")


def _messages(request: RunRequest) -> list[Part]:
    tools: dict[str, str] = {}  # the names of the calls so far, by id: a result has only the id
    messages = messages_of(request)
    return [
        _message(message, place_of(request, number), tools, speaker) | (message.extra or {})
        for number, (message, speaker) in enumerate(zip(messages, speakers_of(messages), strict=True))
    ]


def _message(message: Message, at: str, tools: dict[str, str], speaker: str | None) -> Part:
    where = f"{at}.content" if at.startswith("input[") else at
    texts: list[str] = []
    images: list[str] = []
    for number, part in enumerate(parts_of(message.content)):
        _take_part(part, f"{where}[{number}]", texts, images)
    if speaker is not None and (any(texts) or images):
        texts.insert(0, speaker)
    role = "system" if message.role == "developer" else message.role
    turn: Part = {"role": role, "content": "\n".join(texts)}
    if images:
        turn["images"] = images
    calls = calls_of(message, at)
    if calls:
        tools |= {call.id: call.name for call in calls if call.id}
        turn["tool_calls"] = [
            {"function": {"name": call.name, "arguments": call.arguments}} | ({"id": call.id} if call.id else {})
            for call in calls
        ]
    if message.role == "tool" and message.tool_call_id:
        turn["tool_call_id"] = message.tool_call_id
    if message.role == "tool" and (name := message.name or tools.get(message.tool_call_id or "")):
        turn["tool_name"] = name
    return turn


def _take_part(part: Part, at: str, texts: list[str], images: list[str]) -> None:
    kind = part.get("type")
    if kind in TEXT_PARTS:
        texts.append(part_text(part, at))
    elif kind == "refusal":
        texts.append(str(part.get("refusal") or ""))
    elif kind == "image_url":
        image = image_of(part, at)
        if not isinstance(image, Image):
            refuse(f"{at}.image_url", "must be data:TYPE;base64,DATA: this model's server fetches no address")
        images.append(image.data)
    else:
        refuse(f"{at}.type", "must be text or image_url: this model's server knows nothing else")
