"""The body of `POST /v1/chat/completions`, after OpenAI's API reference, as the request of a run."""

import re
from typing import Annotated, Any, Final, get_args, get_type_hints

import msgspec
from msgspec import Meta, Struct, ValidationError
from msgspec.structs import fields

from headwater.core.run import Label, Message, RunRequest, Stops
from headwater.errors import Invalid


class StreamOptions(Struct, frozen=True, omit_defaults=True):
    """What a streamed answer shall also tell; what it has no other use for is passed over."""

    include_usage: bool | None = None


class _Forwarded(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is the model's server's to do: checked, and handed on as it came. So is every field that is not known."""

    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    parallel_tool_calls: bool | None = None
    prediction: dict[str, Any] | None = None
    prompt_cache_key: str | None = None
    reasoning_effort: str | None = None
    safety_identifier: str | None = None
    service_tier: str | None = None
    # Whether that server keeps the answer. For how long it is kept here is for the operator to say.
    store: bool | None = None
    user: str | None = None
    verbosity: str | None = None


class ChatRequest(_Forwarded, frozen=True, kw_only=True, omit_defaults=True):
    """A completion to be made. Null is as good as nothing; fields that are not here go to the model's server."""

    messages: Annotated[list[dict[str, Any]], Meta(min_length=1)]
    model: Label | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
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
    # Of a run, and of no OpenAI server: whether it is rescued, and how.
    failover: bool | None = None
    restart: bool | None = None
    # What would come to nothing here is taken as far as it asks for nothing.
    n: Annotated[int, Meta(ge=1)] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    modalities: list[str] | None = None
    audio: dict[str, Any] | None = None
    moderation: dict[str, Any] | None = None
    functions: list[dict[str, Any]] | None = None
    function_call: str | dict[str, Any] | None = None


_TAKEN: Final = frozenset(field.name for field in fields(ChatRequest)) - {field.name for field in fields(_Forwarded)}
_OF_A_MESSAGE: Final = frozenset(field.name for field in fields(Message)) - {"extra"}
_ROLES: Final = get_args(get_type_hints(Message)["role"])
# Who has nothing to say without a content; an assistant may only have called tools.
_SPEAKERS: Final = ("system", "developer", "user")
_AT: Final = re.compile(r" - at `\$(.*)`$")


def run_request(chat: ChatRequest, body: dict[str, Any]) -> RunRequest:
    """The run that the body asks for. Raises Invalid for what would silently not be done."""
    _check(chat)
    handed_on = {name: value for name, value in body.items() if name not in _TAKEN and value is not None}
    return RunRequest(
        input=[_message(message, f"messages[{index}]") for index, message in enumerate(chat.messages)],
        model=chat.model,
        max_output_tokens=chat.max_completion_tokens if chat.max_completion_tokens is not None else chat.max_tokens,
        temperature=chat.temperature,
        top_p=chat.top_p,
        stop=chat.stop,
        seed=chat.seed,
        tools=chat.tools,
        tool_choice=chat.tool_choice,
        response_format=chat.response_format,
        failover=chat.failover is not False,
        restart=chat.restart,
        metadata=chat.metadata,
        extra=handed_on or None,
    )


def in_their_words(error: Invalid) -> Invalid:
    """What is wrong with a run's request, by the names that its fields have in a chat."""
    field = error.field or ""
    if field.startswith("extra."):
        theirs = field.removeprefix("extra.")
    elif re.match(r"input\b", field):
        theirs = "messages" + field.removeprefix("input").replace(".extra.", ".", 1)
    else:
        return error
    return Invalid(error.detail.replace(field, theirs, 1), field=theirs, limit=error.limit)


def _message(message: dict[str, Any], at: str) -> Message:
    """What is not known of a message goes to the provider as it is, too: clients send answers back as they got them."""
    role = message.get("role")
    if role == "function":
        raise _refused(f"{at}.role", "messages of the old functions are not taken; send role tool with a tool_call_id")
    if role not in _ROLES:
        raise _refused(f"{at}.role", f"must be one of {', '.join(_ROLES)}")
    if role in _SPEAKERS and message.get("content") is None:
        raise _refused(f"{at}.content", f"must not be missing from a message of role {role}")
    _check_calls(message.get("tool_calls"), f"{at}.tool_calls")
    known = {name: value for name, value in message.items() if name in _OF_A_MESSAGE}
    extra = {name: value for name, value in message.items() if name not in _OF_A_MESSAGE and value is not None}
    try:
        return msgspec.convert(known | ({"extra": extra} if extra else {}), Message)
    except ValidationError as error:
        found = _AT.search(str(error))
        path = found[1] if found else ""
        raise _refused(f"{at}{path}", _AT.sub("", str(error))) from None


def _check_calls(calls: object, at: str) -> None:
    for index, call in enumerate(calls if isinstance(calls, list) else ()):
        if not isinstance(call, dict) or call.get("type", "function") != "function":
            continue
        function = call.get("function")
        if not isinstance(function, dict):
            raise _refused(f"{at}[{index}].function", "must be an object with name and arguments")
        if not isinstance(function.get("name"), str):
            raise _refused(f"{at}[{index}].function.name", "must be a string")


def _check(chat: ChatRequest) -> None:
    if chat.n is not None and chat.n > 1:
        raise Invalid("n: one answer is made for a request; send several requests instead.", field="n", limit=1)
    if chat.logprobs:
        raise _refused("logprobs", "the probabilities of tokens are not kept here")
    if chat.top_logprobs:
        raise _refused("top_logprobs", "the probabilities of tokens are not kept here")
    if chat.modalities and chat.modalities != ["text"]:
        raise _refused("modalities", 'answers are text here; send ["text"], or leave it out')
    if chat.audio is not None:
        raise _refused("audio", "answers are text here")
    if chat.moderation is not None:
        raise _refused("moderation", "what a moderation finds is not kept here")
    if chat.functions:
        raise _refused("functions", "this old field is not taken; use tools")
    if chat.function_call is not None:
        raise _refused("function_call", "this old field is not taken; use tool_choice")
    if chat.max_tokens is not None and chat.max_completion_tokens not in (None, chat.max_tokens):
        raise _refused("max_tokens", "says something else than max_completion_tokens; send one of them")
    for index, tool in enumerate(chat.tools or ()):
        if tool.get("type") == "custom":
            raise _refused(f"tools[{index}].type", "calls with free text are not kept here; use a function")


def _refused(field: str, why: str) -> Invalid:
    return Invalid(f"{field}: {why}.", field=field)
