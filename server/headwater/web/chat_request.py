"""The body of `POST /v1/chat/completions`, after OpenAI's API reference, as the request of a run."""

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import fields

from headwater.core.run import Label, Message, RunRequest, Stops
from headwater.errors import Invalid


class StreamOptions(Struct, frozen=True):
    """What a streamed answer shall also tell; what it has no other use for is passed over."""

    include_usage: bool | None = None


class ChatRequest(Struct, frozen=True, kw_only=True):
    """The fields that are known here. All others go to the provider as they are."""

    messages: Annotated[list[dict[str, Any]], Meta(min_length=1)]
    model: Label | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Annotated[int, Meta(ge=1)] | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Meta(ge=1)] | None = None
    temperature: Annotated[float, Meta(ge=0)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    stop: str | Stops | None = None
    seed: int | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None
    metadata: Annotated[dict[Label, Annotated[str, Meta(max_length=512)]], Meta(max_length=16)] | None = None
    logprobs: bool | None = None
    modalities: list[str] | None = None
    functions: list[dict[str, Any]] | None = None


_KNOWN: Final = frozenset(field.name for field in fields(ChatRequest))
_OF_A_MESSAGE: Final = frozenset(field.name for field in fields(Message)) - {"extra"}


def run_request(chat: ChatRequest, body: dict[str, Any]) -> RunRequest:
    """The run that the body asks for. Raises Invalid for what would silently not be done."""
    _check(chat)
    unknown = {name: value for name, value in body.items() if name not in _KNOWN and value is not None}
    return RunRequest(
        input=[_message(message, index) for index, message in enumerate(chat.messages)],
        model=chat.model,
        max_output_tokens=chat.max_completion_tokens if chat.max_completion_tokens is not None else chat.max_tokens,
        temperature=chat.temperature,
        top_p=chat.top_p,
        stop=chat.stop,
        seed=chat.seed,
        tools=chat.tools,
        tool_choice=chat.tool_choice,
        response_format=chat.response_format,
        metadata=chat.metadata,
        extra=unknown or None,
    )


def _message(message: dict[str, Any], index: int) -> Message:
    """What is not known of a message goes to the provider as it is, too: clients send answers back as they got them."""
    known = {name: value for name, value in message.items() if name in _OF_A_MESSAGE}
    extra = {name: value for name, value in message.items() if name not in _OF_A_MESSAGE and value is not None}
    try:
        return msgspec.convert(known | ({"extra": extra} if extra else {}), Message)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$")
        field = f"messages[{index}]{path.removesuffix('`')}"
        raise Invalid(f"{field}: {reason}.", field=field) from None


def _check(chat: ChatRequest) -> None:
    if chat.n is not None and chat.n > 1:
        raise Invalid("n: one answer is made for a request; send several requests instead.", field="n", limit=1)
    if chat.logprobs:
        raise Invalid("logprobs: the probabilities of tokens are not kept here.", field="logprobs")
    if chat.modalities and chat.modalities != ["text"]:
        raise Invalid("modalities: answers are text here.", field="modalities")
    if chat.functions:
        raise Invalid("functions: this old field is not known here; use tools.", field="functions")
