"""The python provider: what a function may yield, how its end is read, and how it is stopped."""

import asyncio
import re
import sys
import textwrap
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from headwater.core.events import Reasoning, Refusal, Text, ToolCall, Usage, decode_events, encode_events
from headwater.core.run import RunRequest
from headwater.errors import ConfigError
from headwater.providers.base import Finish, ProviderError, Step, Written
from headwater.providers.python import PythonProvider, load_function, provider_of
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

REQUEST = RunRequest(input="hello")


def answering(*items: Any) -> PythonProvider:
    """A provider whose function yields these."""

    async def answer(request: RunRequest) -> AsyncGenerator[Any, None]:
        for item in items:
            yield item

    return PythonProvider(answer, "mine")


async def steps_of(provider: PythonProvider) -> list[Step]:
    return [step for batch in [batch async for batch in provider.generate(REQUEST)] for step in batch]


async def failure_of(provider: PythonProvider) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await steps_of(provider)
    return caught.value


# -- what a function may yield


class Shout(str):
    """A str, but not exactly."""


@pytest.mark.parametrize(
    ("item", "step"),
    [
        ("Hi", Text("Hi")),
        (Shout("Hi"), Text("Hi")),
        (Reasoning("hm"), Reasoning("hm")),
        (ToolCall(0, "a", "f", "{}"), ToolCall(0, "a", "f", "{}")),
        ({"text": "Hi"}, Text("Hi")),
        ({"reasoning": "hm"}, Reasoning("hm")),
        ({"refusal": "no"}, Refusal("no")),
        ({"tool_call": {"index": 1, "name": "f"}}, ToolCall(1, name="f")),
        ({"tool_call": {"index": 1, "arguments": '{"a"'}}, ToolCall(1, arguments='{"a"')),
        ("👩\u200d👧\u2028漢字", Text("👩\u200d👧\u2028漢字")),
        ("\ud83d\ude00", Text("😀")),
        ("a\ud83d", Text("a\ufffd")),
        (ToolCall(0, arguments="\ud83d"), ToolCall(0, arguments="\ufffd")),
    ],
)
async def test_each_shape_becomes_the_delta_that_it_means_and_can_be_stored(item: Any, step: Any) -> None:
    got, end = await steps_of(answering(item))
    assert (got, end) == (step, Finish("stop"))
    assert not isinstance(got, (Finish, Usage))
    assert decode_events(encode_events([got])) == (step,)


async def test_a_count_on_the_way_goes_through() -> None:
    assert await steps_of(answering("a", Usage(3, 1), "b")) == [Text("a"), Usage(3, 1), Text("b"), Finish("stop")]


async def test_a_burst_comes_as_one_list() -> None:
    assert [len(batch) async for batch in answering(*"abc").generate(REQUEST)] == [4]


async def test_empty_text_is_no_event() -> None:
    assert await steps_of(answering("", Text(""), {"reasoning": ""}, "x")) == [Text("x"), Finish("stop")]


@pytest.mark.parametrize(
    ("item", "word"),
    [
        (7, "int"),
        (b"bytes", "bytes"),
        (None, "NoneType"),
        ({}, "(none)"),
        ({"txt": "x"}, "txt"),
        ({"text": "x", "reasoning": "y"}, "reasoning, text"),
        ({"text": 7}, "int"),
        (Text(7), "int"),  # type: ignore[arg-type]  # what an unchecked caller might do
        ({"tool_call": {"index": -1}}, "tool_call.index"),
        ({"tool_call": {"index": 0, "arguments": {}}}, "tool_call.arguments"),
        ({"tool_call": {"index": 0, "args": ""}}, "tool_call.args"),
        ({"tool_call": {"name": "f"}}, "tool_call.index"),
        (Finish("done"), "Finish.reason"),  # type: ignore[arg-type]  # what an unchecked caller might do
        (Usage(1, -1.5), "Usage.output_tokens"),  # type: ignore[arg-type]  # what an unchecked caller might do
        (Finish("stop", Usage("many")), "Finish.usage.input_tokens"),  # type: ignore[arg-type]  # what an unchecked caller might do
    ],
)
async def test_anything_else_is_bad_data_and_named(item: Any, word: str) -> None:
    steps: list[Step] = []
    with pytest.raises(ProviderError) as caught:
        async for batch in answering("before", item, "after").generate(REQUEST):
            steps += batch
    assert caught.value.reason == "bad_upstream_data"
    assert word in caught.value.detail
    assert steps == [Text("before")]


async def test_the_function_gets_the_request() -> None:
    seen: list[RunRequest] = []

    async def answer(request: RunRequest) -> AsyncGenerator[str, None]:
        seen.append(request)
        yield "x"

    await steps_of(PythonProvider(answer, "mine"))
    assert seen == [REQUEST]


async def test_the_functions_in_the_documentation_work() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "models.md").read_text()
    examples = [code for code in re.findall(r"```python\n(.*?)```", guide, re.DOTALL) if "async def" in code]
    assert len(examples) == 3
    for example in examples:
        names: dict[str, Any] = {"Finish": Finish, "Usage": Usage}
        exec(example, names)  # our own documentation
        steps = await steps_of(PythonProvider(names["answer"], "mine"))
        assert isinstance(steps[0], Text | Reasoning) and isinstance(steps[-1], Finish)


# -- how it continues


async def test_a_function_that_knows_what_is_done_goes_on_from_there() -> None:
    seen: list[tuple[RunRequest, str]] = []

    async def answer(request: RunRequest, done: str) -> AsyncGenerator[str, None]:
        seen.append((request, done))
        yield "abc"[len(done) :]

    mine = PythonProvider(answer, "mine")
    assert mine.continues(REQUEST)
    assert await steps_of(mine) == [Text("abc"), Finish("stop")]
    rest = [step async for steps in mine.generate_from(REQUEST, Written("ab", 1)) for step in steps]
    assert rest == [Text("c"), Finish("stop")]
    assert seen == [(REQUEST, ""), (REQUEST, "ab")]


async def test_the_one_in_the_documentation_does() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "models.md").read_text()
    (example,) = (code for code in re.findall(r"```python\n(.*?)```", guide, re.DOTALL) if "done" in code)
    names: dict[str, Any] = {}
    exec(example, names)  # our own documentation
    mine = PythonProvider(names["answer"], "mine")
    rest = [step async for steps in mine.generate_from(REQUEST, Written("You ", 1)) for step in steps]
    assert rest == [Text("asked: "), Text("hello "), Finish("stop")]


def test_one_that_does_not_know_begins_anew() -> None:
    assert not answering("a").continues(REQUEST)


# -- how its end is read


async def test_returning_is_a_complete_answer_even_an_empty_one() -> None:
    assert await steps_of(answering()) == [Finish("stop")]


async def test_its_own_finish_is_the_last_thing_heard_of_it() -> None:
    finish = Finish("length", Usage(1, 2))
    assert await steps_of(answering("a", finish, "b")) == [Text("a"), finish]


@pytest.mark.parametrize("error", [ValueError("key sk-123"), SystemExit(3), asyncio.CancelledError(), KeyError()])
async def test_raising_is_an_upstream_error_that_keeps_the_words_to_the_log(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    async def answer(request: RunRequest) -> AsyncGenerator[str, None]:
        yield "a"
        raise error

    failure = await failure_of(PythonProvider(answer, "mine"))
    assert failure.reason == "upstream_error"
    assert failure.detail == f"the model's function raised {type(error).__name__}"
    assert "mine" in caplog.text and type(error).__name__ in caplog.text


async def test_what_it_yielded_before_it_raised_is_not_lost() -> None:
    async def answer(request: RunRequest) -> AsyncGenerator[str, None]:
        yield "a"
        yield "b"
        raise ValueError

    steps: list[Step] = []
    with pytest.raises(ProviderError):
        async for batch in PythonProvider(answer, "mine").generate(REQUEST):
            steps += batch
    assert steps == [Text("a"), Text("b")]


async def test_it_may_say_itself_what_went_wrong() -> None:
    async def answer(request: RunRequest) -> AsyncGenerator[str, None]:
        yield "a"
        raise ProviderError("upstream_cut", "the index went away")

    failure = await failure_of(PythonProvider(answer, "mine"))
    assert (failure.reason, failure.detail) == ("upstream_cut", "the index went away")


# -- how it is stopped


class Recorder:
    """A function that yields one word, then waits; it records what becomes of it."""

    def __init__(self) -> None:
        self.events: list[str] = []

    async def __call__(self, request: RunRequest) -> AsyncGenerator[str, None]:
        self.events.append("started")
        try:
            yield "first"
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            self.events.append("cancelled")
            raise
        finally:
            await asyncio.sleep(0)
            self.events.append("cleaned up")


async def test_closing_stops_the_function_where_it_waits_and_lets_it_clean_up() -> None:
    recorder = Recorder()
    answer = PythonProvider(recorder, "mine").generate(REQUEST)
    assert await anext(answer) == [Text("first")]
    await answer.aclose()
    assert recorder.events == ["started", "cancelled", "cleaned up"]


async def test_cancelling_the_reader_stops_the_function() -> None:
    recorder = Recorder()

    async def read() -> None:
        async for _ in PythonProvider(recorder, "mine").generate(REQUEST):
            pass

    reading = asyncio.create_task(read())
    await eventually(lambda: bool(recorder.events))
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await eventually(lambda: recorder.events == ["started", "cancelled", "cleaned up"])


async def test_an_answer_that_nobody_began_to_read_never_starts_the_function() -> None:
    recorder = Recorder()
    answer = PythonProvider(recorder, "mine").generate(REQUEST)
    await answer.aclose()
    await asyncio.sleep(0)
    assert recorder.events == []


async def test_after_its_finish_the_function_cleans_up_undisturbed() -> None:
    events: list[str] = []

    async def answer(request: RunRequest) -> AsyncGenerator[Any, None]:
        try:
            yield Finish("stop")
        finally:
            for _ in range(5):
                await asyncio.sleep(0)
            events.append("cleaned up")

    assert await steps_of(PythonProvider(answer, "mine")) == [Finish("stop")]
    assert events == ["cleaned up"]


async def test_a_function_runs_ahead_of_its_reader_only_so_far() -> None:
    made = 0

    async def answer(request: RunRequest) -> AsyncGenerator[str, None]:
        nonlocal made
        while True:
            made += 1
            yield "x"

    reading = PythonProvider(answer, "mine").generate(REQUEST)
    await anext(reading)
    for _ in range(10):
        await asyncio.sleep(0)
    assert made < 1_000
    await reading.aclose()


async def test_a_function_that_swallows_its_cancellation_is_left_behind_and_stopped_at_its_next_word(
    caplog: pytest.LogCaptureFixture,
) -> None:
    deaf, over = asyncio.Event(), asyncio.Event()

    async def wait_deaf(event: asyncio.Event) -> None:
        while not event.is_set():
            try:
                await event.wait()
            except asyncio.CancelledError:
                continue

    async def answer(request: RunRequest) -> AsyncGenerator[str, None]:
        try:
            yield "first"
            await wait_deaf(deaf)
            while True:
                yield "more"
        finally:
            over.set()

    provider = PythonProvider(answer, "mine")
    reading = provider.generate(REQUEST)
    await anext(reading)
    async with asyncio.timeout(30):
        await reading.aclose()
    assert "does not stop" in caplog.text
    assert repr(provider) == "<PythonProvider mine stuck=1>"
    assert await steps_of(answering("still")) == [Text("still"), Finish("stop")]
    deaf.set()
    await eventually(lambda: over.is_set() and repr(provider).endswith("stuck=0>"))


async def test_a_function_that_fails_while_it_is_stopped_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    async def answer(request: RunRequest) -> AsyncGenerator[str, None]:
        try:
            yield "first"
            await asyncio.get_running_loop().create_future()
        finally:
            raise ValueError("in the clean-up")

    reading = PythonProvider(answer, "mine").generate(REQUEST)
    await anext(reading)
    await reading.aclose()
    await eventually(lambda: "failed while it was stopped" in caplog.text)


# -- how it is found


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that the server was started in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path


def test_a_function_is_loaded_from_the_folder_that_the_server_was_started_in(project: Path) -> None:
    source = """
        class Answers:
            async def answer(self, request):
                yield "hi"

        async def plain(request, temperature=1):
            yield "hi"

        bound = Answers().answer
    """
    (project / "headwater_answers_a.py").write_text(textwrap.dedent(source))
    for name in ("plain", "bound"):
        assert load_function(f"headwater_answers_a:{name}").__name__ in ("plain", "answer")


@pytest.mark.parametrize(
    ("source", "path", "line"),
    [
        ("", "headwater_answers_b", "must be package.module:function"),
        ("", "no_such_module_here:answer", "there is no module 'no_such_module_here'"),
        ("", "headwater_answers_b:answer", "has no 'answer'"),
        ("import no_such_module_here", "headwater_answers_b:answer", "there is no module 'no_such_module_here'"),
        ("raise ValueError('line\\nbreak')", "headwater_answers_b:answer", "it raised ValueError: line break"),
        ("raise SystemExit", "headwater_answers_b:answer", "it raised SystemExit"),
        ("def answer(request): return []", "headwater_answers_b:answer", "async generator function"),
        ("async def answer(request): return 1", "headwater_answers_b:answer", "async generator function"),
        ("async def answer(): yield 1", "headwater_answers_b:answer", "must take one argument"),
        ("async def answer(request, more): yield 1", "headwater_answers_b:answer", "and at most done besides"),
        ("answer = 3", "headwater_answers_b:answer", "async generator function"),
        ("this is no Python", "headwater_answers_b:answer", "it raised SyntaxError"),
    ],
)
def test_a_function_that_cannot_be_used_is_one_clear_line(
    project: Path, source: str, path: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "headwater_answers_b.py").write_text(source)
    monkeypatch.delitem(sys.modules, "headwater_answers_b", raising=False)
    with pytest.raises(ConfigError, match=line) as caught:
        load_function(path)
    assert "\n" not in str(caught.value)
    sys.modules.pop("headwater_answers_b", None)


async def test_code_may_give_a_function_or_a_provider() -> None:
    ready = answering("hi")
    assert provider_of(ready, "mine") is ready

    async def answer(request: RunRequest) -> AsyncGenerator[str, None]:
        yield "hi"

    made = provider_of(answer, "mine")
    assert isinstance(made, PythonProvider)
    with pytest.raises(ConfigError, match="mine must be an async generator function"):
        provider_of(print, "mine")  # type: ignore[arg-type]  # what an unchecked caller might do
