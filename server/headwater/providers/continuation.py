"""How an upstream is asked to go on with an answer that was broken off, and what of it may come again. No I/O.

The conversation stays what it is, and ends in what is written: nothing is added that the caller did not say.
"""

from collections.abc import Iterable
from os.path import commonprefix
from typing import Any, Literal

from msgspec.structs import replace

from headwater.core.events import Text, Usage
from headwater.core.run import Message, RunRequest
from headwater.providers.base import Step

Continuation = Literal["vllm", "prefix", "trailing", "none"]
"""How: `continue_final_message`, a message with `prefix`, or just an assistant's message at the end; or not at all."""

_LIMITS = frozenset({"max_tokens", "max_completion_tokens", "num_predict"})
_VLLM = {"add_generation_prompt": False, "continue_final_message": True}


def can_continue(request: RunRequest, way: Continuation) -> bool:
    """Whether an answer to `request` can be gone on with in this way."""
    if way == "none":
        return False
    last = _begun(request, way)
    if last is None:
        return True
    # Of an answer that the caller began, a `prefix` may come again: whether it did, what is written does not tell.
    fixed = way == "prefix" or last.tool_calls or {"content", "role"} & (last.extra or {}).keys()
    return not fixed and not isinstance(last.content, list)


def continued(request: RunRequest, text: str, way: Continuation) -> RunRequest:
    """The request for what follows `text`. Only for what `can_continue`."""
    messages = [Message("user", request.input)] if isinstance(request.input, str) else request.input
    if last := _begun(request, way):
        assert not isinstance(last.content, list)
        messages = [*messages[:-1], replace(last, content=(last.content or "") + text)]
    else:
        extra = {"prefix": True} if way == "prefix" else None
        messages = [*messages, Message("assistant", text, extra=extra)]
    if way == "vllm":
        return replace(request, input=messages, extra=(request.extra or {}) | _VLLM)
    return replace(request, input=messages)


def left_of_limits(extra: dict[str, Any] | None, tokens: int) -> dict[str, Any] | None:
    """`extra`, with the limits of tokens in it less by what is written; None where one is reached."""
    left = dict(extra or {})
    if isinstance(options := left.get("options"), dict):  # Ollama's
        left["options"] = left_of_limits(options, tokens)
        if left["options"] is None:
            return None
    for name in _LIMITS & left.keys():
        limit = left[name]
        if isinstance(limit, int) and limit > 0:  # else none, or the upstream's to refuse
            if limit <= tokens:
                return None
            left[name] = limit - tokens
    return left


def _begun(request: RunRequest, way: Continuation) -> Message | None:
    """The assistant's message that ends the request and that its answer goes on with, if there is one."""
    if isinstance(request.input, str) or (last := request.input[-1]).role != "assistant":
        return None
    match way:
        case "vllm":
            begun = (request.extra or {}).get("continue_final_message")
        case "prefix":
            begun = (last.extra or {}).get("prefix")
        case _:
            begun = True
    return last if begun else None


class Overlap:
    """Takes off the rest of an answer what comes again of its beginning, wherever the pieces are cut.

    `whole` takes all of `again` or nothing; otherwise as much of it goes as comes. What may still turn out to be
    the whole is held back until something else comes; from an answer that breaks off there it is not the answer's.
    """

    def __init__(self, again: str, *, whole: bool) -> None:
        self._again = again
        self._whole = whole
        self._at = 0  # so much of it came

    def take(self, steps: list[Step]) -> list[Step]:
        """The same without it."""
        return [*self._without(steps)] if self._again else steps

    def _without(self, steps: list[Step]) -> Iterable[Step]:
        for step in steps:
            if isinstance(step, Text):
                if text := self._cut(step.text):
                    yield Text(text)
            else:
                if self._at and not isinstance(step, Usage) and (held := self._close()):
                    yield Text(held)
                yield step

    def _cut(self, text: str) -> str:
        again, at = self._again, self._at
        left = len(again) - at
        if not again:
            return text
        if len(text) < left and again.startswith(text, at):
            self._at += len(text)
            return ""
        if text.startswith(again[at:]):
            self._again = ""
            return text[left:]
        if self._whole:
            return self._close() + text
        self._again = ""
        return text[len(commonprefix([again[at:], text])) :]

    def _close(self) -> str:
        """What was held back; nothing more is taken off."""
        held = self._again[: self._at] if self._whole else ""
        self._again = ""
        return held
