"""The body of `POST /v1/responses`, after OpenAI's API reference, as the request of a run."""

from collections.abc import Sequence
from typing import Annotated, Any, Final

from msgspec import Meta, Struct
from msgspec.structs import fields

from headwater.core.run import Label, Message, ResponseOptions, RunRequest
from headwater.formats.responses.tools import format_asked, tool_asked, tool_choice_asked
from headwater.web.openai.responses_input import messages_of, refuse


class TextOptions(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the text of the answer shall be like."""

    format: dict[str, Any] | None = None
    verbosity: str | None = None


class _Forwarded(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is the model's server's to do: checked, and handed on as it came. So is every field that is not known."""

    parallel_tool_calls: bool | None = None
    prompt_cache_key: str | None = None
    safety_identifier: str | None = None
    service_tier: str | None = None
    user: str | None = None


class ResponseRequest(_Forwarded, frozen=True, kw_only=True, omit_defaults=True):
    """A response to be made. Null is as good as nothing; fields that are not here go to the model's server."""

    input: Annotated[str, Meta(min_length=1)] | Annotated[list[dict[str, Any]], Meta(min_length=1)]
    model: Label | None = None
    stream: bool | None = None
    background: bool | None = None
    store: bool | None = None
    previous_response_id: str | None = None
    instructions: str | None = None
    max_output_tokens: Annotated[int, Meta(ge=1)] | None = None
    temperature: Annotated[float, Meta(ge=0)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    text: TextOptions | None = None
    reasoning: dict[str, Any] | None = None
    metadata: Annotated[dict[Label, Annotated[str, Meta(max_length=512)]], Meta(max_length=16)] | None = None
    # Of a run, and of no OpenAI server: whether it is rescued, and how.
    failover: bool | None = None
    restart: bool | None = None
    # These ask for nothing that makes a difference here.
    include: list[str] | None = None
    stream_options: dict[str, Any] | None = None
    # What would come to nothing here is taken as far as it asks for nothing.
    truncation: str | None = None
    top_logprobs: int | None = None
    max_tool_calls: int | None = None
    conversation: str | dict[str, Any] | None = None
    prompt: dict[str, Any] | None = None
    moderation: dict[str, Any] | None = None
    context_management: list[dict[str, Any]] | None = None


_TAKEN: Final = frozenset(field.name for field in fields(ResponseRequest)) - {
    field.name for field in fields(_Forwarded)
}


def run_request(asked: ResponseRequest, body: dict[str, Any], history: Sequence[Message]) -> RunRequest:
    """The run that the body asks for, after what was said before.

    Raises Invalid for what would silently not be done.
    """
    _check(asked)
    text, reasoning = asked.text or TextOptions(), asked.reasoning or {}
    extra = {name: value for name, value in body.items() if name not in _TAKEN and value is not None}
    if text.verbosity is not None:
        extra["verbosity"] = text.verbosity
    if reasoning.get("effort") is not None:
        extra["reasoning_effort"] = reasoning["effort"]
    return RunRequest(
        input=_input(asked.input, history),
        model=asked.model,
        instructions=asked.instructions,
        max_output_tokens=asked.max_output_tokens,
        temperature=asked.temperature,
        top_p=asked.top_p,
        tools=None if asked.tools is None else [tool_asked(tool) for tool in asked.tools],
        tool_choice=None if asked.tool_choice is None else tool_choice_asked(asked.tool_choice),
        response_format=None if text.format is None else format_asked(text.format),
        failover=asked.failover is not False,
        restart=asked.restart,
        metadata=asked.metadata,
        extra=extra or None,
        response=ResponseOptions(
            store=asked.store is not False,
            background=bool(asked.background),
            previous=asked.previous_response_id,
            reasoning=asked.reasoning,
        ),
    )


def _input(given: str | list[dict[str, Any]], history: Sequence[Message]) -> str | list[Message]:
    if isinstance(given, str):
        return [*history, Message("user", given)] if history else given
    return [*history, *messages_of(given)]


# Of the fields that would come to nothing here: why.
_REFUSED: Final = {
    "conversation": "conversations are not kept here; go on from one by previous_response_id",
    "prompt": "prompts are not kept here; send instructions and input",
    "top_logprobs": "the probabilities of tokens are not kept here",
    "max_tool_calls": "tools are not called here, but by you",
    "moderation": "what a moderation finds is not kept here",
    "context_management": "nothing of the input is made shorter here",
}


def _check(asked: ResponseRequest) -> None:
    for name, why in _REFUSED.items():
        if getattr(asked, name) not in (None, 0, []):
            refuse(name, why)
    if asked.background and asked.store is False:
        refuse("background", "a response that is not stored cannot be fetched later; leave out store, or background")
    if asked.truncation not in (None, "disabled"):
        refuse("truncation", "nothing of the input is left out here; it must be disabled")
    for index, name in enumerate(asked.include or ()):
        if "logprobs" in name:
            refuse(f"include[{index}]", "the probabilities of tokens are not kept here")
    for index, tool in enumerate(asked.tools or ()):
        _check_tool(tool, f"tools[{index}]")
    if asked.text is not None and asked.text.format is not None and not isinstance(asked.text.format.get("type"), str):
        refuse("text.format.type", "must be text, json_object or json_schema")


def _check_tool(tool: dict[str, Any], at: str) -> None:
    match tool.get("type"):
        case "custom":
            refuse(f"{at}.type", "calls with free text are not kept here; use a function")
        case "function" if not isinstance(tool.get("name"), str):
            refuse(f"{at}.name", "must be a string")
        case str():
            pass
        case _:
            refuse(f"{at}.type", "must be a string, such as function")
