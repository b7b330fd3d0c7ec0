"""OpenAI's Python SDK, unmodified, on responses. It holds every object and event to its own schema here."""

from typing import Any

import pytest
from openai import BadRequestError, ConflictError, NotFoundError, OpenAI
from openai.types.responses import FunctionToolParam, Response
from pydantic import BaseModel

from tests.clients.scene import MODELS, SUMS, TOOL, WILD, Scene
from tests.streaming.stage import DEADLINE_S
from tests.support.waiting import wait_until

TOOLS: list[FunctionToolParam] = [{"type": "function", "strict": False, **TOOL}]


class City(BaseModel):
    """What a user of `text_format` wants to have."""

    city: str
    people: int


def text_of(events: list[Any]) -> str:
    return "".join(event.delta for event in events if event.type == "response.output_text.delta")


def calls_of(response: Response) -> list[tuple[str, str, str]]:
    return [(item.call_id, item.name, item.arguments) for item in response.output if item.type == "function_call"]


# -- whole, streamed, and in the background


def test_a_whole_response_is_the_runs_output(scene: Scene, client: OpenAI) -> None:
    raw = client.responses.with_raw_response.create(model="wild", input="hello", instructions="be brief")
    response = raw.parse()
    run = scene.run(raw.headers["headwater-run"])
    assert raw.headers["content-location"] == f"/v1/runs/{run['id']}"
    assert (response.status, response.output_text, run["output"]) == ("completed", WILD, WILD)
    assert response.id == run["id"].replace("run_", "resp_")
    assert response.usage is not None
    assert response.usage.output_tokens == run["usage"]["output_tokens"] == len(MODELS["wild"].all_deltas())
    assert client.responses.retrieve(response.id).to_dict() == response.to_dict()


def test_a_streamed_response_is_the_same(scene: Scene, client: OpenAI) -> None:
    raw = client.responses.with_raw_response.create(model="wild", input="hello", stream=True)
    events: list[Any] = list(raw.parse())
    run = scene.run(raw.headers["headwater-run"])
    assert text_of(events) == run["output"] == WILD
    assert (events[0].type, events[-1].type) == ("response.created", "response.completed")
    numbers = [event.sequence_number for event in events]
    assert numbers == sorted(set(numbers))
    final = events[-1].response
    assert final.output_text == WILD
    later = client.responses.retrieve(final.id).to_dict()
    assert later.pop("completed_at"), "which no event has: it is the store that says when"
    assert final.to_dict() == later


def test_a_response_in_the_background_is_polled(client: OpenAI) -> None:
    response = client.responses.create(model="wild", input="hello", background=True)
    assert response.status in ("queued", "in_progress")
    assert response.background is True

    def look() -> Response | None:
        now = client.responses.retrieve(response.id)
        return now if now.status not in ("queued", "in_progress") else None

    ended = wait_until(look, DEADLINE_S, "the response has ended")
    assert (ended.status, ended.output_text) == ("completed", WILD)


def test_the_helper_has_the_final_response(client: OpenAI) -> None:
    with client.responses.stream(model="wild", input="hello") as stream:
        texts = [event.delta for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert "".join(texts) == final.output_text == WILD


def test_the_helper_parses_into_the_users_type(scene: Scene, client: OpenAI) -> None:
    with client.responses.stream(model="typed", input="as a type, streamed", text_format=City) as stream:
        assert stream.get_final_response().output_parsed == City(city="Łódź", people=3)
    parsed = client.responses.parse(model="typed", input="as a type", text_format=City)
    assert parsed.output_parsed == City(city="Łódź", people=3)
    form = scene.asked("as a type").body["response_format"]
    assert (form["type"], form["json_schema"]["name"]) == ("json_schema", "City")


# -- tools, and what is not text


@pytest.mark.parametrize("streamed", [False, True])
def test_tool_calls_are_items(client: OpenAI, streamed: bool) -> None:
    if streamed:
        with client.responses.stream(model="tools", input="hello", tools=TOOLS) as stream:
            arguments = {
                event.item_id: event.arguments
                for event in stream
                if event.type == "response.function_call_arguments.done"
            }
            response: Response = stream.get_final_response()
        assert list(arguments.values()) == [call[2] for call in SUMS]
    else:
        response = client.responses.create(model="tools", input="hello", tools=TOOLS)
    assert calls_of(response) == SUMS
    assert response.output_text == "Let me add."
    assert {item.status for item in response.output if item.type == "function_call"} == {"completed"}


def test_tool_calls_are_answered_in_a_second_turn(scene: Scene, client: OpenAI) -> None:
    first = client.responses.create(model="tools", input="what is 1+2, in items?", tools=TOOLS)
    results: list[Any] = [
        {"type": "function_call_output", "call_id": call_id, "output": f"{call_id}, in items"}
        for call_id, _, _ in calls_of(first)
    ]
    # As users write it: the items that came go back as they are.
    items: list[Any] = [{"role": "user", "content": "what is 1+2, in items?"}, *first.output, *results]
    assert client.responses.create(model="wild", input=items, tools=TOOLS).output_text == WILD
    told = scene.asked("call_b, in items").body["messages"]
    assert [message["role"] for message in told] == ["user", "assistant", "tool", "tool"]
    assert told[1]["content"] == "Let me add."
    sent = [(call["id"], call["function"]["name"], call["function"]["arguments"]) for call in told[1]["tool_calls"]]
    assert sent == SUMS

    # And as others do: only the results, and where they belong.
    again = [item | {"output": "by its id"} for item in results]
    chained = client.responses.create(
        model="wild",
        input=again,
        previous_response_id=first.id,
        tools=TOOLS,
    )
    assert chained.output_text == WILD
    assert [message["role"] for message in scene.asked("by its id").body["messages"]] == [
        message["role"] for message in told
    ]


@pytest.mark.parametrize("model", ["careless", "twins"])
def test_calls_whose_model_does_not_tell_them_apart_can_be_answered_all_the_same(client: OpenAI, model: str) -> None:
    with client.responses.stream(model=model, input="hello", tools=TOOLS) as stream:
        streamed: Response = stream.get_final_response()
    assert len({call_id for call_id, _, _ in calls_of(streamed) if call_id}) == 2
    assert calls_of(client.responses.retrieve(streamed.id)) == calls_of(streamed)


def test_reasoning_and_refusals_are_items(client: OpenAI) -> None:
    with client.responses.stream(model="reasoning", input="hello") as stream:
        reasoned: Response = stream.get_final_response()
    reasoning, message = reasoned.output
    assert reasoning.type == "reasoning"
    assert [part.text for part in reasoning.content or ()] == ["hm, well"]
    assert (message.type, reasoned.output_text) == ("message", "Yes.")
    with client.responses.stream(model="refusing", input="hello") as stream:
        refused: Response = stream.get_final_response()
    (item,) = refused.output
    assert item.type == "message"
    (part,) = item.content
    assert part.type == "refusal"
    assert part.refusal == "I will not."
    # They go back without harm.
    turns: list[Any] = [*reasoned.output, *refused.output, {"role": "user", "content": "so?"}]
    assert client.responses.create(model="wild", input=turns).output_text == WILD


def test_an_answer_that_is_too_long_is_incomplete(client: OpenAI) -> None:
    response = client.responses.create(model="short", input="hello", max_output_tokens=5)
    assert response.status == "incomplete"
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"
    assert response.output_text == MODELS["short"].text


@pytest.mark.parametrize(
    ("model", "kind"), [("spoiled", "upstream_error"), ("cut", "upstream_cut"), ("cut-call", "upstream_cut")]
)
def test_an_answer_that_broke_off_says_so(client: OpenAI, model: str, kind: str) -> None:
    events: list[Any] = list(client.responses.create(model=model, input="hello", stream=True))
    final = events[-1].response
    assert (events[-1].type, final.status) == ("response.failed", "failed")
    assert (final.error.code, final.error.type) == ("server_error", kind)
    assert client.responses.create(model=model, input="hello").status == "failed"
    # Half a call is never passed off as a whole one.
    assert "response.function_call_arguments.done" not in {event.type for event in events}
    calls = [item.status for item in final.output if item.type == "function_call"]
    assert calls == (["incomplete"] if model == "cut-call" else [])


# -- cancelled, deleted, listed, chained


def test_a_response_under_way_is_cancelled_before_it_is_deleted(scene: Scene, client: OpenAI) -> None:
    with client.responses.create(model="slow", input="hello", background=True, stream=True) as stream:
        response = next(event.response for event in stream if event.type == "response.created")
        with pytest.raises(ConflictError):
            client.responses.delete(response.id)
        cancelled = client.responses.cancel(response.id)
        assert cancelled.status == "cancelled"
        last: Any = list(stream)[-1]
    assert (last.type, last.response.status) == ("response.incomplete", "cancelled")
    assert scene.run(response.id.replace("resp_", "run_"))["status"] == "cancelled"
    client.responses.delete(response.id)


def test_a_response_outlives_whoever_leaves_it_unless_told_otherwise(scene: Scene, client: OpenAI) -> None:
    def leave(headers: dict[str, str]) -> Any:
        raw = client.responses.with_raw_response.create(model="wild", input="hello", stream=True, extra_headers=headers)
        with raw.parse() as stream:
            next(stream)
        return scene.ended(raw.headers["headwater-run"])

    assert leave({})["output"] == WILD
    assert leave({"Headwater-On-Disconnect": "cancel"})["status"] == "cancelled"


def test_a_response_that_was_deleted_is_not_found(scene: Scene, client: OpenAI) -> None:
    response = client.responses.create(model="wild", input="hello")
    client.responses.delete(response.id)
    for call in (client.responses.retrieve, client.responses.delete, client.responses.cancel):
        with pytest.raises(NotFoundError, match=response.id):
            call(response.id)
    with pytest.raises(NotFoundError):
        client.responses.input_items.list(response.id)
    with pytest.raises(BadRequestError) as refused:
        client.responses.create(model="wild", input="hello", previous_response_id=response.id)
    assert refused.value.param == "previous_response_id"
    assert scene.http.get(f"/v1/runs/{response.id.replace('resp_', 'run_')}").status_code == 404


def test_a_response_that_is_not_stored_cannot_be_had_again(client: OpenAI) -> None:
    response = client.responses.create(model="wild", input="hello", store=False)
    assert (response.output_text, response.to_dict()["store"]) == (WILD, False)
    with pytest.raises(NotFoundError):
        client.responses.retrieve(response.id)


def test_a_response_goes_on_from_another_and_lists_its_input(scene: Scene, client: OpenAI) -> None:
    first = client.responses.create(model="wild", input="one", instructions="be brief")
    second = client.responses.create(model="wild", input="two, chained", previous_response_id=first.id)
    assert second.previous_response_id == first.id
    assert [(message["role"], message["content"]) for message in scene.asked("two, chained").body["messages"]] == [
        ("user", "one"),
        ("assistant", WILD),
        ("user", "two, chained"),
    ]
    inputs = [
        (item.role, item.content[0].text)
        for item in client.responses.input_items.list(second.id, order="asc", limit=2)
        if item.type == "message" and item.content[0].type in ("input_text", "output_text")
    ]
    assert inputs == [("user", "one"), ("assistant", WILD), ("user", "two, chained")]
    page = client.responses.input_items.list(second.id, limit=2)
    assert page.has_more
    asc = [item.id for item in client.responses.input_items.list(second.id, order="asc")]
    assert [item.id for item in client.responses.input_items.list(second.id, limit=1)] == asc[::-1]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"truncation": "auto"}, "truncation"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"previous_response_id": "resp_unknown"}, "previous_response_id"),
        ({"temperature": -1}, "temperature"),
        ({"background": True, "store": False}, "background"),
    ],
)
def test_what_a_response_cannot_have_is_named(client: OpenAI, fields: dict[str, Any], param: str) -> None:
    body: dict[str, Any] = {"model": "demo", "input": "x", **fields}
    with pytest.raises(BadRequestError) as refused:
        client.responses.create(**body)
    assert refused.value.param == param


def test_a_response_that_there_is_not_is_not_found(client: OpenAI) -> None:
    with pytest.raises(NotFoundError, match="resp_unknown"):
        client.responses.retrieve("resp_unknown")
    with pytest.raises(NotFoundError):
        client.responses.retrieve("resp_unknown", stream=True)
