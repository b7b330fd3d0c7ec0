"""Whole answers as five kinds of servers send them: however they are cut, they mean the same, or say that they are cut.

The files are ours, made after what those servers document.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.core.events import Reasoning, Text, ToolCall, Usage
from headwater.providers.answer import AnswerStream
from headwater.providers.anthropic_stream import MessageStream
from headwater.providers.base import Step
from headwater.providers.ollama_stream import OllamaStream
from headwater.providers.openai_stream import ChatStream
from headwater.providers.upstream_errors import Scrubber
from tests.providers.answers import Answer, ended, joined, play

FOLDER = Path(__file__).parent / "transcripts"


class Transcript(NamedTuple):
    """A file, what it means, and the last bytes without which the protocol has not said that it is whole."""

    stream: Callable[[Scrubber], AnswerStream]
    means: Answer
    terminal: bytes
    reported: list[Usage]

    def open(self) -> AnswerStream:
        return self.stream(Scrubber())


TRANSCRIPTS = {
    "openai_text.sse": Transcript(
        ChatStream,
        Answer([Text("Grüß dich, 👩‍👧\u2028漢字.")], "stop", Usage(19, 8)),
        b'"finish_reason":"stop"}],"usage":null,"obfuscation":"a"}',
        [],
    ),
    "openai_tools.sse": Transcript(
        ChatStream,
        Answer(
            [
                ToolCall(0, "call_A1", "get_weather", '{"city":"Zürich"}'),
                ToolCall(1, "call_B2", "get_time", '{"zone":"CET"}'),
            ],
            "tool_calls",
            Usage(81, 37, 12, 64),
        ),
        b'"finish_reason":"tool_calls"}],"usage":null,"obfuscation":"ab"}',
        [],
    ),
    "vllm_reasoning.sse": Transcript(
        ChatStream,
        Answer([Reasoning("Two and two."), Text("\n\n4 🙂")], "stop", Usage(14, 9)),
        b'"completion_tokens":9}}',
        [Usage(14, count) for count in (0, 1, 4, 6, 8, 9)],
    ),
    "deepseek_reasoning.sse": Transcript(
        ChatStream,
        Answer([Reasoning("The user greets — 你好。"), Text("Hello!")], "stop", Usage(20, 11, 7, 16)),
        b'"prompt_cache_miss_tokens":4}}',
        [Usage(20, 11, 7, 16)],
    ),
    "anthropic_tools.sse": Transcript(
        MessageStream,
        Answer(
            [
                Reasoning("They want the weather. 🌦"),
                Text("I'll look it up für\u2028dich."),
                ToolCall(0, "toolu_01A", "get_weather", '{"city": "Zürich"}'),
                ToolCall(1, "toolu_01B", "get_time", "{}"),
            ],
            "tool_calls",
            Usage(2125, 89, cached_tokens=2000),
        ),
        b'{"type":"message_stop"}',
        [Usage(2125, 1, cached_tokens=2000, estimated=True), Usage(2125, 89, cached_tokens=2000)],
    ),
    "ollama_tools.ndjson": Transcript(
        OllamaStream,
        Answer(
            [
                Reasoning("Look it up. 🔎"),
                Text("One moment…\u2028"),
                ToolCall(0, "call_7x", "get_weather", '{"city": "Zürich", "days": 2}'),
                ToolCall(1, None, "get_time", "{}"),
            ],
            "tool_calls",
            Usage(171, 42),
        ),
        b'"eval_duration":987654321}',
        [],
    ),
}

EACH = pytest.mark.parametrize("name", TRANSCRIPTS)


def bytes_of(name: str) -> bytes:
    return (FOLDER / name).read_bytes()


def test_every_transcript_is_played() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(TRANSCRIPTS)


@EACH
def test_whole_it_means_what_it_says(name: str) -> None:
    transcript = TRANSCRIPTS[name]
    stream = transcript.open()
    steps = stream.feed(bytes_of(name))
    assert [step for step in steps if isinstance(step, Usage)] == transcript.reported
    assert ended(stream, steps) == transcript.means
    assert stream.settled and stream.done


@EACH
def test_byte_by_byte_it_means_the_same(name: str) -> None:
    transcript, data = TRANSCRIPTS[name], bytes_of(name)
    stream = transcript.open()
    steps = [step for at in range(len(data)) for step in stream.feed(data[at : at + 1])]
    assert [step for step in steps if isinstance(step, Usage)] == transcript.reported
    assert ended(stream, steps) == transcript.means


@EACH
@settings(max_examples=60, deadline=None)
@given(cuts=st.lists(st.floats(0, 1), max_size=12))
def test_cut_anywhere_into_pieces_it_means_the_same(name: str, cuts: list[float]) -> None:
    transcript, data = TRANSCRIPTS[name], bytes_of(name)
    places = [0, *sorted(int(cut * len(data)) for cut in cuts), len(data)]
    pieces = [data[start:end] for start, end in zip(places, places[1:], strict=False)]
    assert play(transcript.open(), *pieces) == transcript.means


@EACH
def test_cut_off_anywhere_before_its_end_it_is_never_whole(name: str) -> None:
    """And what came of it is the beginning of the whole, and holds all that came in time."""
    transcript, data = TRANSCRIPTS[name], bytes_of(name)
    whole_at = data.index(transcript.terminal) + len(transcript.terminal)
    stream, steps = transcript.open(), list[Step]()
    for at in range(len(data)):
        answer = play(transcript.open(), data[:at], cut="reset")
        assert answer.reason == ("upstream_cut" if at < whole_at else transcript.means.reason), at
        assert is_beginning(joined(steps), answer.deltas), at
        assert is_beginning(answer.deltas, transcript.means.deltas), at
        steps += stream.feed(data[at : at + 1])


def is_beginning(deltas: list[Any], whole: list[Any]) -> bool:
    """Whether the last of these is the beginning of its counterpart, and those before it are theirs."""
    if not deltas:
        return True
    last, counterpart = deltas[-1], whole[len(deltas) - 1]
    if isinstance(last, ToolCall):
        begins = (counterpart.arguments or "").startswith(last.arguments or "")
    else:
        begins = counterpart.text.startswith(last.text)
    return deltas[:-1] == whole[: len(deltas) - 1] and type(last) is type(counterpart) and begins
