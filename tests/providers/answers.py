"""What came of a stream that was fed by hand."""

from dataclasses import dataclass
from typing import Any

from headwater.core.events import Delta, Entry, Usage, merge
from headwater.core.position import START
from headwater.providers.answer import AnswerStream
from headwater.providers.base import Finish, ProviderError, Step


@dataclass
class Answer:
    """Its deltas with neighbours joined, as a log would join them, and how it ended."""

    deltas: list[Any]
    reason: str
    usage: Usage | None = None
    detail: str = ""


def play(stream: AnswerStream, *chunks: bytes, cut: str | None = None) -> Answer:
    """The answer of a body that comes in these chunks; `cut` says why the connection broke, if it did."""
    return ended(stream, [step for chunk in chunks for step in stream.feed(chunk)], cut)


def ended(stream: AnswerStream, steps: list[Step], cut: str | None = None) -> Answer:
    """The answer of a stream that gave these steps, and is now over."""
    steps += stream.close()
    deltas = joined(steps)
    try:
        finish = stream.finish(cut)
    except ProviderError as error:
        return Answer(deltas, error.reason, error.usage, error.detail)
    return Answer(deltas, finish.reason, finish.usage)


def joined(steps: list[Step]) -> list[Any]:
    """The deltas among the steps, neighbours joined."""
    deltas: tuple[Delta, ...] = tuple(step for step in steps if not isinstance(step, (Finish, Usage)))
    return [span.event for span in merge([Entry(START, len(deltas), 1, deltas)])]
