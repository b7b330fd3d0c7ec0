"""What was said before a response: the conversation of the one that it goes on from."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final

import msgspec

from headwater.core.access import Principal
from headwater.core.lifecycle import ENDED
from headwater.core.run import Message, RunRequest
from headwater.errors import Forbidden, Invalid, UnknownPrevious, UnknownRun
from headwater.formats.openai import run_id_of
from headwater.formats.responses.items import attempt_of, items_of, made_call_id
from headwater.runs import Answer, Runs

_FIELD: Final = "previous_response_id"

_encode = msgspec.json.Encoder().encode


async def history_of(
    runs: Runs, principal: Principal, previous: str, answered: Collection[str], limit: int
) -> list[Message]:
    """Its input and its output; instructions are not handed on. `answered` has the ids of the calls with an output.

    Raises UnknownPrevious, Forbidden, Invalid, for one too that is clearly over the `limit` of bytes.
    """
    try:
        answer = await runs.read(principal, run_id_of(previous))
    except UnknownRun:
        answer = None
    if answer is None or not answer.run.request.stored:
        raise UnknownPrevious(f"Previous response with id '{previous[:64]}' not found.", field=_FIELD)
    if not principal.owns(answer.run.owner):
        raise Forbidden(f"{_FIELD}: {previous} was shared with you: only its owner may go on from it.", field=_FIELD)
    if answer.run.status not in ENDED:
        raise Invalid(
            f"{_FIELD}: {previous} is {answer.run.status}. Wait for its end, or cancel it, before going on from it.",
            field=_FIELD,
        )
    asked = _asked(answer.run.request)
    # What is made of a long one, only to be refused, would keep everybody waiting.
    if sum(map(len, _texts(asked, answer))) > limit:
        raise _too_long(limit)
    return [*asked, *_said(answer, answered)]


def _asked(request: RunRequest) -> list[Message]:
    return [Message("user", request.input)] if isinstance(request.input, str) else request.input


def _texts(asked: Sequence[Message], answer: Answer) -> Iterator[str]:
    """The long strings of a conversation: their characters are never more than its bytes."""
    yield from (message.content for message in asked if isinstance(message.content, str))
    for part in answer.contents.parts:
        match part:
            case {"text": content} | {"refusal": content}:
                yield content
            case {"tool_call": {"arguments": arguments}} if answer.run.status == "completed":
                yield arguments


def _said(answer: Answer, answered: Collection[str]) -> list[Message]:
    """The output as one message, without what the model thought, and without calls that were cut off."""
    run, contents = answer.run, answer.contents
    attempt = attempt_of(contents.attempts)
    texts: list[str] = []
    calls: list[dict[str, Any]] = []
    for item, content in items_of(run.id, contents.parts, attempt):
        if item.kind in ("text", "refusal"):
            texts.append(content)
        elif item.is_call and run.status == "completed":
            # The id came late, if it did: whoever followed the stream knows the call by the one that was made for it.
            made = made_call_id(run.id, attempt, item.index)
            function = {"name": item.name, "arguments": content}
            calls.append({"id": made if made in answered else item.call_id, "type": "function", "function": function})
    if not texts and not calls:
        return []
    return [Message("assistant", "".join(texts) if texts else None, tool_calls=calls or None)]


def check_size(request: RunRequest, limit: int) -> None:
    """What a response goes on from counts like input that is sent. Raises Invalid."""
    if len(_encode(request.input)) > limit:
        raise _too_long(limit)


def _too_long(limit: int) -> Invalid:
    return Invalid(
        f"{_FIELD}: the conversation has become longer than the limit of {limit} bytes.", field=_FIELD, limit=limit
    )
