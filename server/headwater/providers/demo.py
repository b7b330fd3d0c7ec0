"""The demo model: quotes Headwater's documentation word by word, at the pace and with the faults asked for.

The answer is a pure function of the request. Only *when* its words come depends on the clock.
"""

import asyncio
import math
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from itertools import islice
from typing import Annotated, Literal, NamedTuple

from msgspec import Meta, Struct

from headwater.core.events import FinishReason, Text, Usage
from headwater.core.run import RunRequest
from headwater.errors import Invalid
from headwater.providers.base import Finish, Provider, ProviderError, Step, Written
from headwater.providers.demo_corpus import Corpus, excerpt, terms
from headwater.providers.prompt import question, word_count
from headwater.providers.strict import Misfit, convert

# A word and the space before it, as tokenizers have it; joined they are the text.
_TOKEN = re.compile(r"\s*\S+|\s+\Z")

# Whom a question in a room is for: not what it is about.
_MENTION = re.compile(r"@[\w.-]+")

# A timer's own lateness is about a millisecond, so a finer beat would cost CPU and gain no smoothness.
_BEAT_S = 0.005
# Long enough to see what a page shows while it waits; shorter than any sensible first-token timeout.
SLOW_START_S = 5.0

# Tens of words a second is what hosted models stream; ten thousand is beyond any of them and still cheap to make.
Pace = Annotated[float, Meta(gt=0, le=10_000)]
# Some megabyte of text: ten times the longest answer that models give, and quick to build.
Count = Annotated[int, Meta(ge=1, le=200_000)]


class DemoOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """What `extra.demo` may ask for.

    `tokens` makes the answer exactly that long, repeating it as needed. `fault` spoils it after
    `after` tokens: the stream is cut, stalls, reports an error or turns to garbage. With
    `slow_start` the first token waits `SLOW_START_S`; the default pace is a quick reader's.
    """

    tokens_per_s: Pace = 30.0
    tokens: Count | None = None
    fault: Literal["cut", "stall", "error", "slow_start", "garbage"] | None = None
    after: Annotated[int, Meta(ge=0, le=200_000)] = 5


class Answer(NamedTuple):
    """A whole answer, and whether it ends by itself or at `max_output_tokens`."""

    text: str
    finish: FinishReason


_SELF = (
    "I am Headwater's built-in demo model: not a language model, but a keyword search over Headwater's own "
    "documentation, streamed word by word."
)
_PLUG_IN = (
    "To plug in a real model, set OPENAI_BASE_URL and OPENAI_API_KEY to any server that speaks chat completions, "
    "list your models in headwater.toml, or write an async generator in Python; docs/models.md shows all three."
)


def tokens(text: str, start: int = 0) -> Iterator[str]:
    """The tokens of `text` from the character `start` on. Joined, they are the text from there."""
    return (match[0] for match in _TOKEN.finditer(text, start))


def compose(corpus: Corpus, asked: str) -> str:
    """What the demo says to a question, at its natural length."""
    best = corpus.rank(asked, limit=3)
    if not corpus.sections:
        return f"{_SELF} The documentation is not installed here, so there is nothing to quote. {_PLUG_IN}"
    section = best[0] if best else corpus.sections[0]
    if best:
        lead = "Nearest to your question is"
    else:
        lead = "None of your words occur in it, so this is how it begins:" if terms(asked) else "This is how it begins:"
    quoted, whole = excerpt(section)
    more = "" if whole else f"(There is more of this section in {section.source}.) "
    others = " and ".join(f"“{other.title}” in {other.source}" for other in best[1:])
    also = f"See also {others}. " if others else ""
    return f"{_SELF} {lead} “{section.title}” in {section.source}:\n\n{quoted}\n\n{more}{also}{_PLUG_IN}"


def fit(text: str, wanted: int | None, at_most: int | None) -> Answer:
    """`text` repeated or cut to `wanted` tokens, of which `at_most` may be given."""
    words = list(tokens(text))
    wanted = wanted or len(words)
    count = min(wanted, at_most or wanted)
    rounds, rest = divmod(count, len(words))
    repeated = "\n\n".join([text] * rounds + ["".join(words[:rest])] * bool(rest))
    return Answer(repeated, "length" if count < wanted else "stop")


def beats(words: Iterator[str], per_s: float) -> Iterator[tuple[float, list[Step]]]:
    """The words in equal lists, with the seconds after the first at which each is due.

    Due by the schedule, not after the one before: lateness does not add up.
    """
    size = math.ceil(per_s * _BEAT_S)
    sent = 0
    while words_now := list(islice(words, size)):
        yield sent / per_s, [Text(word) for word in words_now]
        sent += size


class DemoProvider(Provider):
    """Answers from `corpus`. Faults are refused unless `faults`; `clock` and `sleep` count in seconds."""

    def __init__(
        self,
        corpus: Corpus,
        *,
        faults: bool = False,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._corpus = corpus
        self._faults = faults
        self._clock = clock
        self._sleep = sleep

    def __repr__(self) -> str:
        return f"<DemoProvider {self._corpus!r} faults={self._faults}>"

    def check(self, request: RunRequest) -> None:
        self.options(request)

    def options(self, request: RunRequest) -> DemoOptions:
        """What `extra.demo` asks for. Raises Invalid, naming the field."""
        try:
            options = convert((request.extra or {}).get("demo", {}), DemoOptions, at="extra.demo")
        except Misfit as misfit:
            raise Invalid(f"{misfit.path}: {misfit.why}", field=misfit.path) from None
        if options.fault is not None and not self._faults:
            raise Invalid(
                "extra.demo.fault: faults are off; start the server with --faults to allow them",
                field="extra.demo.fault",
            )
        return options

    def answer(self, request: RunRequest) -> Answer:
        """The whole answer: the same for the same request, whatever its pace. Raises Invalid."""
        wanted = self.options(request).tokens
        return fit(compose(self._corpus, _MENTION.sub("", question(request))), wanted, request.max_output_tokens)

    def generate(self, request: RunRequest) -> AsyncGenerator[list[Step], None]:
        return self._stream(request, "")

    def continues(self, request: RunRequest) -> bool:
        return True

    def generate_from(self, request: RunRequest, written: Written) -> AsyncGenerator[list[Step], None]:
        """The rest, exactly. A fault strikes at its place in the answer: what begins after that place is spared."""
        return self._stream(request, written.text)

    async def _stream(self, request: RunRequest, done: str) -> AsyncGenerator[list[Step], None]:
        answer, options, start = self.answer(request), self.options(request), len(done)
        if not answer.text.startswith(done):
            detail = "the demo's answer to this request does not begin like that"
            raise ProviderError("upstream_error", detail, status=400)
        words = tokens(answer.text, start)
        fault = options.fault
        if fault == "slow_start":
            if start == 0:
                await self._sleep(SLOW_START_S)
            fault = None
        if fault:
            ahead = options.after - sum(1 for _ in tokens(answer.text[:start]))
            if ahead > 0 or start == 0:
                words = islice(words, ahead)
            else:
                fault = None
        begun, given = self._clock(), 0
        for due_s, beat in beats(words, options.tokens_per_s):
            if due_s:
                await self._sleep(max(0.0, begun + due_s - self._clock()))
            given += len(beat)
            yield beat
        usage = Usage(input_tokens=word_count(request), output_tokens=given)
        if fault:
            await _strike(fault, usage)
        else:
            yield [Finish(answer.finish, usage)]


async def _strike(fault: str, usage: Usage) -> None:
    """Go wrong as asked. A cut is a stream that just ends."""
    match fault:
        case "stall":
            await asyncio.get_running_loop().create_future()
        case "error":
            raise ProviderError("upstream_error", "the demo model was asked to fail", usage)
        case "garbage":
            raise ProviderError("bad_upstream_data", "the demo model was asked to send garbage", usage)
