"""Chat completions lose nothing: whoever is cut off anywhere, or comes late, has the whole answer, and has it once."""

from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from headwater.core.content import Content
from headwater.core.events import Attempt, Delta, End, Entry, Event, Usage, merge
from headwater.core.position import START, Position, parse_position
from headwater.core.run import RunRequest
from headwater.core.window import cut
from headwater.formats.base import Frame, Head
from headwater.formats.chat import ChatWithUsage
from tests.core.logs import deltas, entry, events_after, log_of, tags
from tests.support.sse import EventStreamParser, Message

FORMAT = ChatWithUsage(Head("run_x7", "demo", 0.0, RunRequest(input="hi")))
STOP = End("completed", "stop", usage=Usage(6, 20))


def told(*frames: Frame) -> list[Message]:
    """The events of these frames."""
    return EventStreamParser().feed(b"".join(frame.data for frame in frames))


def fold(messages: Sequence[Message]) -> dict[str, Any]:
    """What a client makes of these chunks: the texts and the calls' arguments, joined; roles, finish and [DONE]."""
    answer: dict[str, Any] = {"content": "", "reasoning_content": "", "refusal": "", "roles": 0, "calls": {}}
    for message in messages:
        if message.data == "[DONE]":
            answer["done"] = True
        for choice in message.json["choices"] if message.data != "[DONE]" else ():
            delta = choice["delta"]
            for name in ("content", "reasoning_content", "refusal"):
                answer[name] += delta.get(name, "")
            answer["roles"] += "role" in delta
            for call in delta.get("tool_calls", ()):
                answer["calls"].setdefault(call["index"], []).append(call["function"]["arguments"])
            if choice["finish_reason"]:
                answer["finish"] = choice["finish_reason"]
        if message.data != "[DONE]" and message.json.get("usage"):
            answer["usage"] = message.json["usage"]["total_tokens"]
    return answer | {"calls": {index: "".join(pieces) for index, pieces in answer["calls"].items()}}


def outcome(log: Sequence[Entry]) -> dict[str, Any]:
    """The same from the events themselves."""
    content = Content()
    for event in events_after(log, START):
        content.add(event)
    texts: dict[str, str] = {"text": "", "reasoning": "", "refusal": ""}
    calls = {}
    for part in content.parts():
        for kind in texts.keys() & part.keys():
            texts[kind] += part[kind]
        if "tool_call" in part:
            calls[part["tool_call"]["index"]] = part["tool_call"]["arguments"]
    return {
        "content": texts["text"],
        "reasoning_content": texts["reasoning"],
        "refusal": texts["refusal"],
        "roles": 1,
        "calls": calls,
        "done": True,
        "finish": "stop",
        "usage": 26,
    }


def ended(batches: Sequence[tuple[int, Sequence[Event]]], tag: int) -> list[Entry]:
    """A log of these, and an end."""
    log = log_of(batches)
    return [*log, entry(log[-1].position if log else START, tag, STOP)]


going_on = st.builds(Attempt, st.integers(2, 9), st.sampled_from(["takeover", "drain"]), st.just("continued"))
said: st.SearchStrategy[Delta | Attempt] = st.one_of(deltas, deltas, deltas, going_on)
answers = st.builds(ended, st.lists(st.tuples(tags, st.lists(said, min_size=1, max_size=4)), max_size=6), tags)


def rest_of(log: Sequence[Entry], position: Position) -> list[Entry]:
    """What a reader at this position still has to see."""
    return list(log) if position == START else cut(log, position)


def from_there(log: Sequence[Entry], position: Position, data: st.DataObject) -> list[Message]:
    """What one at this position is told, in frames that begin anywhere."""
    entries = rest_of(log, position)
    border = data.draw(st.integers(0, len(entries)))
    return told(*(FORMAT.spans(merge(some)) for some in (entries[:border], entries[border:]) if some))


@given(answers, st.data())
def test_whoever_resumes_anywhere_has_the_whole_answer(log: list[Entry], data: st.DataObject) -> None:
    whole = from_there(log, START, data)
    assert fold(whole) == outcome(log)
    seen: list[Message] = []
    position = START
    for _ in range(3):
        ahead = from_there(log, position, data)
        taken = ahead[: data.draw(st.integers(0, len(ahead)))]
        seen += taken
        ids = [message.id for message in taken if message.id is not None]
        position = parse_position(ids[-1]) if ids else position
    seen += from_there(log, position, data) if position != log[-1].position else []
    folded = fold(seen)
    folded["roles"] = min(folded["roles"], 1)  # with nothing before it, a finish that is told again has it again
    assert folded == outcome(log)


@given(answers, st.data())
def test_whoever_joins_late_has_the_whole_answer(log: list[Entry], data: st.DataObject) -> None:
    content = Content()
    position = START
    for one_entry in log[: data.draw(st.integers(0, len(log) - 1))]:
        for event in one_entry.events:
            content.add(event)
        position = one_entry.position
    if not content.parts():
        position = START  # whoever finds nothing begins at the start
    parts = content.parts()
    first = told(FORMAT.snapshot(position, parts, replaces=False)) if parts else []
    assert fold([*first, *from_there(log, position, data)]) == outcome(log)
