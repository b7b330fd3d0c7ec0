"""Parts of a request, which come in OpenAI's shape, taken apart for upstreams that want them in another.

`at` is where a part stands in the request, such as `input[0].content[1]`: what an error names.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

import msgspec

from headwater.core.run import Message, RunRequest
from headwater.errors import Invalid

Part = dict[str, Any]

TEXT_PARTS = ("text", "input_text", "output_text")
# What `extra` cannot change: the operator chose the model, also where a router would take several; answers are
# streamed; and what is asked upstream is what the run's history says was asked.
FIXED = frozenset({"model", "models", "stream", "stream_options", "messages", "input"})

_encode = msgspec.json.Encoder().encode


class Image(NamedTuple):
    """An image that came in the request itself, in base64."""

    media_type: str
    data: str


class Call(NamedTuple):
    """A whole tool call of an earlier turn."""

    id: str | None
    name: str
    arguments: dict[str, Any]


def refuse(at: str, why: str) -> NoReturn:
    """Raise Invalid for the field `at`."""
    raise Invalid(f"{at}: {why}", field=at)


def encoded(body: Part) -> bytes:
    """The body in JSON. Raises Invalid."""
    try:
        return _encode(body)
    except RecursionError:  # the arguments of a call are text in the request, so nothing bounded them before
        refuse("input", "the arguments of a tool call are nested too deeply")


def messages_of(request: RunRequest) -> list[Message]:
    """The conversation as messages, the instructions first."""
    lead = [Message("system", request.instructions)] if request.instructions is not None else []
    return lead + ([Message("user", request.input)] if isinstance(request.input, str) else request.input)


def place_of(request: RunRequest, number: int) -> str:
    """Where the message of this number, of `messages_of`, stands in the request."""
    if request.instructions is not None:
        number -= 1
    return "instructions" if number < 0 else "input" if isinstance(request.input, str) else f"input[{number}]"


def speakers_of(messages: Sequence[Message]) -> list[str | None]:
    """What to write before each message for an upstream that has no field for who speaks, if anything.

    A person is named where several speak. An assistant's message that bears a name is another model's.
    """
    names = [" ".join((message.name or "").split()) for message in messages]  # a name is no place for lines
    people = {name for message, name in zip(messages, names, strict=True) if message.role == "user" and name}
    named = ("user", "assistant") if len(people) > 1 else ("assistant",)
    return [
        f"{name}:" if name and message.content and message.role in named else None
        for message, name in zip(messages, names, strict=True)
    ]


def parts_of(content: str | list[Part] | None) -> list[Part]:
    """A message's content as parts; text that is empty is none."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return content or []


def part_text(part: Part, at: str) -> str:
    """The text of a text part. Raises Invalid."""
    text = part.get("text")
    return text if isinstance(text, str) else refuse(f"{at}.text", "must be a string")


def image_of(part: Part, at: str) -> Image | str:
    """The image of an `image_url` part, or the address where it lies. Raises Invalid."""
    value = part.get("image_url")
    url = value.get("url") if isinstance(value, dict) else value
    if isinstance(url, str):
        head, comma, data = url.partition(",")
        if head.startswith("data:") and head.endswith(";base64") and comma and data:
            return Image(head.removeprefix("data:").partition(";")[0], data)
        if url.startswith(("http://", "https://")):
            return url
    refuse(f"{at}.image_url", "must be an http:// or https:// URL, or data:TYPE;base64,DATA")


def calls_of(message: Message, at: str) -> list[Call]:
    """The tool calls that an assistant's message made, their arguments decoded. Raises Invalid."""
    return [_call(call, f"{at}.tool_calls[{number}]") for number, call in enumerate(message.tool_calls or ())]


def _call(call: Part, at: str) -> Call:
    function = call.get("function")
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        refuse(f"{at}.function", "must have a name")
    id, arguments = call.get("id"), function.get("arguments")
    try:
        decoded = msgspec.json.decode(arguments) if isinstance(arguments, str) and arguments.strip() else arguments
    except (msgspec.MsgspecError, RecursionError):
        decoded = arguments
    if not isinstance(decoded or {}, dict):
        refuse(f"{at}.function.arguments", "must be a JSON object, as text: this upstream wants it decoded")
    return Call(id if isinstance(id, str) else None, function["name"], decoded or {})


def function_of(tool: Part, at: str) -> Part | None:
    """The `function` of a tool in OpenAI's shape; None for a tool in the upstream's own. Raises Invalid."""
    if "function" not in tool:
        return None
    function = tool["function"]
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        refuse(f"{at}.function", "must have a name")
    return function


def stops_of(request: RunRequest) -> list[str]:
    """The stop sequences, as a list."""
    return [request.stop] if isinstance(request.stop, str) else list(request.stop or ())
