"""A run's request as the body of `POST …/chat/completions`."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any, Final, Literal

import msgspec
from msgspec.structs import replace

from headwater.core.run import Message, RunRequest
from headwater.providers.request_parts import FIXED

TokenLimitField = Literal["max_tokens", "max_completion_tokens"]

_SAME_NAME = ("temperature", "top_p", "stop", "seed", "tools", "tool_choice", "response_format")

# What a name is upstream: it refuses any other, and with it the request.
_NAME: Final = re.compile("[A-Za-z0-9_-]{1,64}")
_UNFIT: Final = re.compile("[^A-Za-z0-9_-]+")
# The same without room for a number.
_STEM_MAX: Final = 56

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
        names = _names(request.input)
        messages.extend(_message(message, names.get(message.name or "")) for message in request.input)
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


def _message(message: Message, name: str | None) -> Message | dict[str, Any]:
    """The message under its speaker's name, with its `extra` among its own fields, where it wins."""
    if name is not None and name != message.name:
        message = replace(message, name=name)
    if message.extra is None:
        return message
    fields: dict[str, Any] = msgspec.to_builtins(message)
    del fields["extra"]
    return fields | message.extra


def _names(messages: Sequence[Message]) -> dict[str, str]:
    """The speakers' names as they can be sent: those that fit as they are, each of the others unlike all."""
    spoken = dict.fromkeys(message.name for message in messages if message.name)
    names = {name: name for name in spoken if _NAME.fullmatch(name)}
    taken = set(names)
    numbers: defaultdict[str, Iterator[int]] = defaultdict(lambda: count(2))
    for name in spoken:
        if name in names:
            continue
        plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
        stem = _UNFIT.sub("_", plain)[:_STEM_MAX].strip("_") or "speaker"
        fitting = stem
        while fitting in taken:
            fitting = f"{stem}_{next(numbers[stem])}"
        taken.add(fitting)
        names[name] = fitting
    return names


def _stream_options(extra: object, include_usage: bool) -> dict[str, Any]:
    options = dict(extra) if isinstance(extra, dict) else {}
    if include_usage:
        options["include_usage"] = True
    return options
