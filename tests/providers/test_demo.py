"""The demo model: what it says, how it says it again, when its words come, and how it fails on request."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.core.events import Text, Usage
from headwater.core.run import Message, RunRequest
from headwater.errors import Invalid
from headwater.providers.base import Finish, ProviderError, Step, Written
from headwater.providers.demo import SLOW_START_S, DemoProvider, tokens
from headwater.providers.demo_corpus import Corpus, Section, excerpt, load_corpus, sections

pytestmark = pytest.mark.anyio

GUIDE = """# The guide

Where it all begins.

![A picture](x.svg)

## Resuming a stream

Send the id of the last event back, and the stream resumes there.

```html
# not a heading
<script></script>
```

## Cancelling

A cancel closes the upstream — at once ✂️.

## Empty

## Limits

A body may have 4 MB. Resuming has no limit.
"""
CORPUS = Corpus(sections(GUIDE, "docs/guide.md"))


class FakeTime:
    """A clock that only sleeping moves, by `late_s` more than was asked."""

    def __init__(self, late_s: float = 0.0) -> None:
        self.now = 100.0
        self.late_s = late_s

    def clock(self) -> float:
        return self.now

    async def sleep(self, delay_s: float) -> None:
        assert delay_s >= 0
        self.now += delay_s + self.late_s


def demo(time: FakeTime | None = None, *, faults: bool = True, corpus: Corpus = CORPUS) -> DemoProvider:
    time = time or FakeTime()
    return DemoProvider(corpus, faults=faults, clock=time.clock, sleep=time.sleep)


def ask(question: Any = "How do I resume?", *, max_output_tokens: int | None = None, **options: Any) -> RunRequest:
    return RunRequest(input=question, max_output_tokens=max_output_tokens, extra={"demo": options})


async def collect(answer: AsyncGenerator[list[Step], None]) -> list[list[Step]]:
    async with aclosing(answer):
        return [batch async for batch in answer]


async def until_failure(answer: AsyncGenerator[list[Step], None]) -> tuple[list[Step], ProviderError]:
    steps: list[Step] = []
    with pytest.raises(ProviderError) as caught:
        async for batch in answer:
            steps += batch
    return steps, caught.value


def text(batches: list[list[Step]]) -> str:
    return "".join(step.text for batch in batches for step in batch if isinstance(step, Text))


# -- what it says


def test_a_document_is_cut_at_its_headings_but_not_inside_code() -> None:
    assert [section.title for section in CORPUS.sections] == ["The guide", "Resuming a stream", "Cancelling", "Limits"]
    assert CORPUS.sections[0].text == "Where it all begins."
    assert "# not a heading" in CORPUS.sections[1].text


@pytest.mark.parametrize("question", ["resume", "How can I RESUME it?", "resumed streams", "what about resuming?"])
def test_the_section_about_the_question_is_the_first_in_rank(question: str) -> None:
    assert CORPUS.rank(question, 3)[0].title == "Resuming a stream"


def test_sections_that_share_no_word_with_the_question_are_not_ranked() -> None:
    assert [section.title for section in CORPUS.rank("cancel", 3)] == ["Cancelling"]
    assert CORPUS.rank("zebra and the of", 3) == []


def test_an_excerpt_ends_with_a_paragraph_and_never_inside_code() -> None:
    paragraph = "word " * 100 + "end."
    code = "```\n" + "line\n\n" * 50 + "```"
    quoted, whole = excerpt(Section("x.md", "X", f"{paragraph}\n\n{code}\n\n{paragraph}"))
    assert quoted == f"{paragraph}\n\n{code}"
    assert not whole
    assert excerpt(Section("x.md", "X", "short")) == ("short", True)


def test_the_answer_names_its_section_says_what_it_is_and_how_to_plug_in_a_model() -> None:
    answer = demo().answer(ask("how do I resume?")).text
    assert "“Resuming a stream” in docs/guide.md" in answer
    assert "the stream resumes there" in answer
    assert "See also “Limits” in docs/guide.md" in answer
    assert "not a language model" in answer
    assert "OPENAI_BASE_URL" in answer and "headwater.toml" in answer


def test_a_question_without_a_match_gets_the_beginning_and_no_false_claim() -> None:
    answer = demo().answer(ask("zebra")).text
    assert "None of your words occur" in answer
    assert "Where it all begins." in answer


def test_a_question_without_any_telling_word_is_simply_shown_the_beginning() -> None:
    answer = demo().answer(ask("What is Headwater?")).text
    assert "documentation, streamed word by word. This is how it begins: “The guide”" in answer


def test_without_documentation_it_says_so() -> None:
    assert "not installed" in demo(corpus=Corpus([])).answer(ask()).text


def test_the_last_user_message_is_the_question_whatever_came_before() -> None:
    history = [
        Message("user", "how do I resume?"),
        Message("assistant", "…"),
        Message("user", [{"type": "text", "text": "and how do I"}, {"type": "text", "text": "cancel?"}]),
        Message("assistant", "Resuming"),
    ]
    assert "“Cancelling” in" in demo().answer(ask(history)).text
    assert "it begins: “The guide” in" in demo().answer(ask([Message("system", "resume")])).text


def test_the_documentation_is_found_in_a_checkout_and_in_an_installed_package(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "guide.md").write_text(GUIDE)
    (tmp_path / "README.md").write_text("# Read me\n\nHello.")
    package = tmp_path / "server" / "headwater"
    package.mkdir(parents=True)
    assert {section.source for section in load_corpus(package).sections} == {"README.md", "docs/guide.md"}
    (package / "_docs").mkdir()
    (package / "_docs" / "README.md").write_text("# Installed\n\nHello.")
    (package / "_docs" / "models.md").write_text("# Models\n\nHello.")
    assert [(section.source, section.title) for section in load_corpus(package).sections] == [
        ("README.md", "Installed"),
        ("docs/models.md", "Models"),
    ]


@pytest.mark.parametrize(
    ("question", "title"),
    [
        ("How do I use my own model?", "Use your own model"),
        ("How do I resume after a reload?", "Resuming a stream"),
        ("How do I cancel a run?", "Cancelling a run"),
        ("What is an idempotency key?", "Idempotency-Key"),
        ("Which status codes are there?", "Status codes and problem documents"),
    ],
)
def test_our_own_documentation_answers_what_newcomers_ask(question: str, title: str) -> None:
    assert load_corpus().rank(question, 1)[0].title == title


# -- saying it again


@given(st.text(), st.integers(min_value=0, max_value=50))
def test_the_tokens_of_any_text_from_anywhere_joined_are_that_text(anything: str, start: int) -> None:
    assert "".join(tokens(anything, start)) == anything[start:]


async def test_the_same_request_gets_the_same_answer_at_any_pace() -> None:
    slow = text(await collect(demo().generate(ask(tokens_per_s=3))))
    fast = text(await collect(demo().generate(ask(tokens_per_s=10_000))))
    assert slow == fast == demo().answer(ask()).text


@given(st.data())
def test_any_prefix_can_be_continued_exactly(data: st.DataObject) -> None:
    request = ask(tokens=data.draw(st.integers(1, 300)), max_output_tokens=data.draw(st.integers(1, 300)))
    whole = demo().answer(request).text
    done = whole[: data.draw(st.integers(0, len(whole)))]
    rest = asyncio.run(collect(demo().generate_from(request, Written(done, 0))))
    assert done + text(rest) == whole
    assert isinstance(rest[-1][0], Finish)


async def test_what_is_no_prefix_of_the_answer_cannot_be_continued() -> None:
    _, error = await until_failure(demo().generate_from(ask(), Written("Something else", 2)))
    assert (error.reason, error.status) == ("upstream_error", 400)
    assert "does not begin" in error.detail


@pytest.mark.parametrize("count", [1, 2, 57, 58, 59, 1000, 200_000])
def test_the_answer_is_exactly_as_long_as_asked(count: int) -> None:
    answer = demo().answer(ask(tokens=count))
    assert sum(1 for _ in tokens(answer.text)) == count
    assert answer.finish == "stop"


async def test_max_output_tokens_ends_it_with_length() -> None:
    *words, end = await collect(demo().generate(ask("one two three", tokens=10, max_output_tokens=4)))
    assert len(words) == 4
    assert end == [Finish("length", Usage(input_tokens=3, output_tokens=4))]
    assert demo().answer(ask(tokens=4, max_output_tokens=4)).finish == "stop"


async def test_usage_counts_the_words_of_all_messages_and_of_the_answer() -> None:
    messages = [Message("user", "one two"), Message("assistant", "three"), Message("user", "four")]
    request = RunRequest(input=messages, instructions="five six", extra={"demo": {"tokens": 7}})
    assert (await collect(demo().generate(request)))[-1] == [Finish("stop", Usage(input_tokens=6, output_tokens=7))]


# -- when its words come


@pytest.mark.parametrize(("rate", "size"), [(1, 1), (30, 1), (200, 1), (201, 2), (1_000, 5), (10_000, 50)])
async def test_words_come_in_equal_lists_no_closer_than_a_timer_can_tell(rate: int, size: int) -> None:
    time = FakeTime()
    count = size * 10
    arrivals = []
    async for batch in demo(time).generate(ask(tokens=count, tokens_per_s=rate)):
        if isinstance(batch[0], Text):
            assert len(batch) == size
            arrivals.append(time.now - 100.0)
    assert arrivals == pytest.approx([size * beat / rate for beat in range(10)])
    assert arrivals[1] >= 0.0049


async def test_lateness_does_not_add_up() -> None:
    time = FakeTime(late_s=0.002)
    await collect(demo(time).generate(ask(tokens=101, tokens_per_s=100)))
    assert time.now - 100.0 == pytest.approx(1.0, abs=0.003)


async def test_without_a_wish_it_speaks_at_reading_pace() -> None:
    time = FakeTime()
    await collect(demo(time).generate(RunRequest(input="resume", extra={"demo": {"tokens": 31}})))
    assert time.now - 100.0 == pytest.approx(1.0)


# -- what it refuses


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"tokens_per_s": "fast"}, "extra.demo.tokens_per_s"),
        ({"tokens_per_s": 0}, "extra.demo.tokens_per_s"),
        ({"tokens_per_s": 10_001}, "extra.demo.tokens_per_s"),
        ({"tokens": 0}, "extra.demo.tokens"),
        ({"tokens": 1.5}, "extra.demo.tokens"),
        ({"tokens": 200_001}, "extra.demo.tokens"),
        ({"after": -1}, "extra.demo.after"),
        ({"pace": 1}, "extra.demo.pace"),
        ([], "extra.demo"),
        (None, "extra.demo"),
    ],
)
def test_a_wish_it_cannot_grant_is_refused_by_its_field(options: Any, field: str) -> None:
    with pytest.raises(Invalid) as caught:
        demo().check(RunRequest(input="x", extra={"demo": options}))
    assert caught.value.field == field
    assert caught.value.detail.startswith(f"{field}: ")


def test_an_unknown_fault_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(Invalid, match="cut, stall, error, slow_start, garbage"):
        demo().check(ask(fault="explode"))


def test_faults_are_refused_unless_the_server_allows_them() -> None:
    with pytest.raises(Invalid, match="--faults") as caught:
        demo(faults=False).check(ask(fault="cut"))
    assert caught.value.field == "extra.demo.fault"
    demo(faults=False).check(ask(tokens_per_s=5))


# -- how it fails on request


async def test_a_cut_ends_without_a_finish() -> None:
    batches = await collect(demo().generate(ask(fault="cut", after=7)))
    assert [len(batch) for batch in batches] == [1] * 7
    assert not any(isinstance(step, Finish) for batch in batches for step in batch)
    assert await collect(demo().generate(ask(fault="cut", after=0))) == []


@pytest.mark.parametrize(("fault", "reason"), [("error", "upstream_error"), ("garbage", "bad_upstream_data")])
async def test_an_error_comes_after_its_tokens_and_tells_the_usage(fault: str, reason: str) -> None:
    steps, error = await until_failure(demo().generate(ask("resume", fault=fault, after=3)))
    assert len(steps) == 3
    assert error.reason == reason
    assert error.usage == Usage(input_tokens=1, output_tokens=3)


async def test_a_stall_gives_its_tokens_and_then_nothing_until_it_is_closed() -> None:
    answer = demo().generate(ask(fault="stall", after=1))
    assert len(await anext(answer)) == 1
    waiting = asyncio.ensure_future(anext(answer))
    await asyncio.wait({waiting}, timeout=0.05)
    assert not waiting.done()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await answer.aclose()


async def test_a_slow_start_delays_the_first_token_only() -> None:
    time = FakeTime()
    batches = await collect(demo(time).generate(ask(fault="slow_start", tokens=11, tokens_per_s=10)))
    assert time.now - 100.0 == pytest.approx(SLOW_START_S + 1.0)
    assert isinstance(batches[-1][0], Finish)


async def test_a_continuation_meets_only_the_fault_that_lies_ahead() -> None:
    request = ask(fault="error", after=5)
    spoken = [*tokens(demo().answer(request).text)]
    steps, _ = await until_failure(demo().generate_from(request, Written("".join(spoken[:2]), 2)))
    assert len(steps) == 3
    rest = await collect(demo().generate_from(request, Written("".join(spoken[:5]), 5)))
    assert text(rest) == "".join(spoken[5:])
    assert isinstance(rest[-1][0], Finish)
