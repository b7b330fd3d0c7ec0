"""One chunk of a chat completions stream: as much of its shape as we read.

What comes with every token is spared the collector of cycles (`gc=False`): nothing decoded is part of one.
"""

from typing import Any

import msgspec
from msgspec import Struct

from headwater.core.events import Delta, Reasoning, Refusal, Text, Usage
from headwater.providers.openai_tools import CallDelta, FunctionDelta
from headwater.providers.wire_json import decode_loose


class Piece(Struct):
    """One part of a content that is a list: Mistral's reasoning models send such."""

    type: str = ""
    text: str | None = None
    thinking: list["Piece"] | str | None = None


class Message(Struct, gc=False):
    """A `delta`, or the whole `message` of an answer that was not streamed."""

    content: str | list[Piece] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[CallDelta] | None = None
    function_call: FunctionDelta | None = None

    def texts(self) -> list[Delta]:
        """What it adds but for tool calls."""
        deltas: list[Delta] = []
        # Both names at once are one text, twice.
        if reasoning := self.reasoning_content or self.reasoning:
            deltas.append(Reasoning(reasoning))
        if content := self.content:
            if isinstance(content, str):
                deltas.append(Text(content))
            else:
                deltas += _pieces(content)
        if self.refusal:
            deltas.append(Refusal(self.refusal))
        return deltas


class Choice(Struct, gc=False):
    index: int = 0
    delta: Message | None = None
    message: Message | None = None
    finish_reason: str | None = None


class PromptDetails(Struct):
    cached_tokens: int | None = None


class CompletionDetails(Struct):
    reasoning_tokens: int | None = None


class Counted(Struct):
    """A `usage`, any part of which a server may leave out."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None

    def usage(self) -> Usage:
        """The same in our words."""
        prompt, completion = self.prompt_tokens_details, self.completion_tokens_details
        return Usage(
            input_tokens=self.prompt_tokens or 0,
            output_tokens=self.completion_tokens or 0,
            reasoning_tokens=(completion and completion.reasoning_tokens) or 0,
            cached_tokens=(prompt and prompt.cached_tokens) or 0,
        )


class Chunk(Struct, gc=False):
    choices: list[Choice] | None = None
    usage: Counted | None = None
    error: Any = None
    object: str | None = None
    message: Any = None

    def reported_error(self) -> Any:
        """The error that it is, in OpenAI's shape or in that of older vLLM, or None."""
        return self.error or ((self.message or "unknown") if self.object == "error" else None)


_decoder = msgspec.json.Decoder(Chunk)
_decode = _decoder.decode


def decode_chunk(data: bytes) -> tuple[Chunk, bool]:
    """The chunk, and whether its strings may hold halves of surrogate pairs. Raises BadShape."""
    return decode_loose(data, _decoder, Chunk)


def plain_text(data: bytes) -> str | None:
    """The text of a chunk that holds nothing else, or None."""
    try:
        chunk = _decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
    choices = chunk.choices
    if choices is None or len(choices) != 1 or chunk.usage is not None or chunk.reported_error():
        return None
    choice = choices[0]
    delta = choice.delta
    if delta is None or choice.index or choice.finish_reason:
        return None
    content = delta.content
    if not isinstance(content, str) or delta.reasoning_content or delta.reasoning or delta.refusal:
        return None
    return None if delta.tool_calls or delta.function_call is not None else content or None


def _pieces(content: list[Piece]) -> list[Delta]:
    deltas: list[Delta] = []
    for piece in content:
        if piece.type == "thinking" and piece.thinking:
            parts = piece.thinking
            thought = parts if isinstance(parts, str) else "".join(part.text or "" for part in parts)
            if thought:
                deltas.append(Reasoning(thought))
        elif piece.text:
            deltas.append(Text(piece.text))
    return deltas
