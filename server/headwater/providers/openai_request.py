"""A run's request as the body of `POST …/chat/completions`."""

from typing import Any, Literal

import msgspec

from headwater.core.run import Message, RunRequest
from headwater.providers.request_parts import FIXED

TokenLimitField = Literal["max_tokens", "max_completion_tokens"]

_SAME_NAME = ("temperature", "top_p", "stop", "seed", "tools", "tool_choice", "response_format")

_encode = msgspec.json.Encoder().encode


def request_body(
    request: RunRequest,
    *,
    model: str,
    token_limit_field: TokenLimitField = "max_tokens",
    include_usage: bool = True,
) -> bytes:
    """The JSON body. `extra` wins over all that is not `FIXED`; its `stream_options` are added to ours."""
    messages: list[Any] = []
    if request.instructions is not None:
        messages.append({"role": "system", "content": request.instructions})
    if isinstance(request.input, str):
        messages.append({"role": "user", "content": request.input})
    else:
        messages.extend(_message(message) for message in request.input)
    body: dict[str, Any] = {"model": model, "messages": messages, "stream": True}
    if request.max_output_tokens is not None:
        body[token_limit_field] = request.max_output_tokens
    for name in _SAME_NAME:
        value = getattr(request, name)
        if value is not None:
            body[name] = value
    extra = request.extra or {}
    body |= {name: value for name, value in extra.items() if name not in FIXED}
    if options := _stream_options(extra.get("stream_options"), include_usage):
        body["stream_options"] = options
    return _encode(body)


def _message(message: Message) -> Message | dict[str, Any]:
    """The message with its `extra` among its own fields, where it wins."""
    if message.extra is None:
        return message
    fields: dict[str, Any] = msgspec.to_builtins(message)
    del fields["extra"]
    return fields | message.extra


def _stream_options(extra: object, include_usage: bool) -> dict[str, Any]:
    options = dict(extra) if isinstance(extra, dict) else {}
    if include_usage:
        options["include_usage"] = True
    return options
