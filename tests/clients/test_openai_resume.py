"""A response that was cut, resumed by OpenAI's Python SDK from any event's number: nothing is lost, or told twice."""

from typing import Any

import pytest
from openai import BadRequestError, OpenAI

from tests.clients.scene import SUMS, WILD, Scene
from tests.clients.test_openai_responses import TOOLS, calls_of, text_of


def test_a_stream_that_was_cut_is_resumed_exactly(scene: Scene, client: OpenAI) -> None:
    for cut_after in (1, 2, 3, 4, 5, 9, 20):
        before: list[Any] = []
        with client.responses.create(model="wild", input="hello", background=True, stream=True) as stream:
            for event in stream:
                before.append(event)
                if len(before) == cut_after:
                    break
        id, number = before[0].response.id, before[-1].sequence_number
        after: list[Any] = list(client.responses.retrieve(id, stream=True, starting_after=number))
        assert text_of(before) + text_of(after) == WILD
        numbers = [event.sequence_number for event in before + after]
        assert numbers == sorted(set(numbers))
        assert (before + after)[-1].response.output_text == WILD


@pytest.mark.parametrize("model", ["tools", "reasoning", "refusing", "short"])
def test_a_response_is_resumed_after_any_number(client: OpenAI, model: str) -> None:
    """After those of its events, and between them, where others' events may lie: deltas are merged as they come."""
    response = client.responses.create(model=model, input="hello")
    events: list[Any] = list(client.responses.retrieve(response.id, stream=True))
    ends, deltas = steps(events)
    for number in range(events[-1].sequence_number + 1):
        rest: list[Any] = list(client.responses.retrieve(response.id, stream=True, starting_after=number))
        rest_ends, rest_deltas = steps(rest)
        assert all(event.sequence_number > number for event in rest)
        assert rest_ends == [event for event in ends if event.sequence_number > number]
        for item, text in deltas.items():
            assert text.endswith(rest_deltas.get(item, ""))
        if number in [event.sequence_number for event in events]:
            left = steps([event for event in events if event.sequence_number > number])[1]
            assert {item: text for item, text in rest_deltas.items() if text} == left


def steps(events: list[Any]) -> tuple[list[Any], dict[str, str]]:
    """The events that are no deltas, and the deltas of each item, joined."""
    deltas: dict[str, str] = {}
    for event in events:
        if event.type.endswith(".delta"):
            deltas[event.item_id] = deltas.get(event.item_id, "") + event.delta
    return [event for event in events if not event.type.endswith(".delta")], deltas


def test_the_helper_replays_a_response_from_its_beginning(client: OpenAI) -> None:
    response = client.responses.create(model="tools", input="hello", tools=TOOLS)
    numbers = [event.sequence_number for event in client.responses.retrieve(response.id, stream=True)]
    middle = numbers[len(numbers) // 2]
    with client.responses.stream(response_id=response.id, starting_after=middle) as stream:
        shown = [event.sequence_number for event in stream]
        final = stream.get_final_response()
    assert shown == [number for number in numbers if number > middle]
    assert calls_of(final) == SUMS


def test_a_place_that_there_is_not_is_refused(client: OpenAI) -> None:
    response = client.responses.create(model="short", input="hello")
    with pytest.raises(BadRequestError) as refused:
        client.responses.retrieve(response.id, stream=True, starting_after=1_000_000)
    assert refused.value.param == "starting_after"
