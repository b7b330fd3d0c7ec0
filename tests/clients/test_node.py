"""OpenAI's SDK for Node, unmodified: one process plays every case of node_client.mjs at once."""

import shutil

import pytest

from tests.clients.scene import CALLS, MODELS, SUMS, WILD, Scene
from tests.clients.told import HERE, Script, Told

TOKENS = len(MODELS["wild"].all_deltas())

NODE = Script("node_client.mjs")


# -- chat completions


@NODE.check
def a_streamed_chat_is_the_runs_output_and_its_usage(scene: Scene, told: Told) -> None:
    chat = told.value("chatStream")
    run = scene.run(chat["run"])
    assert chat["text"] == run["output"] == WILD
    assert chat["finish"] == "stop"
    assert chat["usage"]["completion_tokens"] == run["usage"]["output_tokens"] == TOKENS
    assert chat["location"] == f"/v1/runs/{run['id']}"


@NODE.check
def a_whole_chat_is_the_same(scene: Scene, told: Told) -> None:
    chat = told.value("chatWhole")
    assert chat["message"]["content"] == scene.run(chat["run"])["output"] == WILD
    assert (chat["finish_reason"], chat["usage"]["completion_tokens"]) == ("stop", TOKENS)


@NODE.check
def the_helper_of_chats_puts_tool_calls_together(scene: Scene, told: Told) -> None:
    chat = told.value("chatTools")
    calls = chat["message"]["tool_calls"]
    assert [(call["id"], call["function"]["name"], call["function"]["arguments"]) for call in calls] == SUMS
    assert (chat["message"]["content"], chat["finish_reason"]) == (CALLS[0]["content"], "tool_calls")
    assert chat["done"] == 2


@NODE.check
def what_tools_gave_goes_back_in_a_second_turn(scene: Scene, told: Told) -> None:
    assert told.value("chatSecondTurn")["content"] == WILD
    _, called, *results = scene.asked("of node").body["messages"]
    assert [(call["id"], call["function"]["arguments"]) for call in called["tool_calls"]] == [
        (id, arguments) for id, _, arguments in SUMS
    ]
    assert [result["tool_call_id"] for result in results] == ["call_a", "call_b"]


@NODE.check
def reasoning_comes_beside_the_text_of_a_chat(scene: Scene, told: Told) -> None:
    assert told.value("chatReasoning") == {"reasoning": "hm, well", "text": "Yes."}


@NODE.check
def a_run_whose_chat_was_left_is_cancelled(scene: Scene, told: Told) -> None:
    assert scene.ended(told.value("chatLeft"))["status"] == "cancelled"


@NODE.check
def the_models_are_listed(scene: Scene, told: Told) -> None:
    names, retrieved = told.value("models")
    assert {"demo", *MODELS} <= set(names)
    assert retrieved == "demo"


# -- responses


@NODE.check
def a_streamed_response_is_the_runs_output(scene: Scene, told: Told) -> None:
    response = told.value("responseStream")
    assert response["text"] == scene.run(response["run"])["output"] == WILD
    assert response["last"] == "response.completed"
    assert response["numbers"] == sorted(set(response["numbers"]))


@NODE.check
def a_whole_response_is_the_same(scene: Scene, told: Told) -> None:
    response = told.value("responseWhole")
    assert response["text"] == scene.run(response["run"])["output"] == WILD
    assert (response["status"], response["usage"]["output_tokens"]) == ("completed", TOKENS)


@NODE.check
def the_helper_of_responses_has_every_item(scene: Scene, told: Told) -> None:
    response = told.value("responseHelper")
    assert (response["status"], response["text"]) == ("completed", CALLS[0]["content"])
    assert [item["type"] for item in response["output"]] == ["message", "function_call", "function_call"]
    calls = [(item["call_id"], item["name"], item["arguments"]) for item in response["output"][1:]]
    assert calls == SUMS


@NODE.check
def reasoning_is_an_item_of_a_response(scene: Scene, told: Told) -> None:
    response = told.value("responseReasoning")
    reasoning, message = response["output"]
    assert (reasoning["type"], reasoning["content"][0]["text"]) == ("reasoning", "hm, well")
    assert (message["type"], response["text"]) == ("message", "Yes.")


@NODE.check
def a_response_that_was_cut_is_resumed_exactly(scene: Scene, told: Told) -> None:
    resumed = told.value("responseResumed")
    before, after = resumed["before"], resumed["after"]
    assert before["text"] + after["text"] == resumed["whole"] == WILD
    numbers = before["numbers"] + after["numbers"]
    assert numbers == sorted(set(numbers))
    assert after["last"] == "response.completed"


@NODE.check
def an_ended_response_is_replayed_by_the_helper(scene: Scene, told: Told) -> None:
    replayed = told.value("responseReplayed")
    assert (replayed["text"], replayed["sameId"]) == (WILD, True)
    assert min(replayed["numbers"]) > 40


@NODE.check
def a_response_in_the_background_is_polled(scene: Scene, told: Told) -> None:
    polled = told.value("responseBackground")
    assert polled["first"] in ("queued", "in_progress")
    assert (polled["status"], polled["text"]) == ("completed", WILD)


@NODE.check
def a_response_is_cancelled(scene: Scene, told: Told) -> None:
    assert told.value("responseCancelled") == "cancelled"


@NODE.check
def a_response_goes_on_from_another(scene: Scene, told: Told) -> None:
    chained = told.value("responseChained")
    assert chained["previous"] == chained["first"]
    assert [(item["role"], item["content"][0]["text"]) for item in chained["items"]] == [
        ("user", "one"),
        ("assistant", WILD),
        ("user", "two"),
    ]
    assert chained["deleted"] == {"id": chained["first"], "object": "response", "deleted": True}


# -- silence, and what goes wrong


@NODE.check
def comments_in_a_silence_do_no_harm(scene: Scene, told: Told) -> None:
    assert told.value("chatQuiet")["message"]["content"] == MODELS["quiet"].text
    assert told.value("responseQuiet") == {"status": "completed", "text": MODELS["quiet"].text}


ERRORS = [
    ("chatPicky", "BadRequestError", 400, "upstream_error"),
    ("chatBusy", "RateLimitError", 429, "upstream_error"),
    ("chatDown", "InternalServerError", 503, "upstream_error"),
    ("chatTwo", "BadRequestError", 400, "invalid_value"),
    ("chatUnknownModel", "NotFoundError", 404, "model_not_found"),
    ("chatStranger", "AuthenticationError", 401, "invalid_api_key"),
    ("chatSpoiled", "APIError", None, "upstream_error"),
    ("chatCut", "APIError", None, "upstream_cut"),
    ("responsePicky", "BadRequestError", 400, "upstream_error"),
    ("responseUnknownModel", "NotFoundError", 404, "model_not_found"),
]


@NODE.check
def errors_are_of_their_own_classes(scene: Scene, told: Told) -> None:
    for case, name, status, code in ERRORS:
        error = told.error(case)
        assert (case, error["name"], error.get("status"), error["code"]) == (case, name, status, code)


@NODE.check
def errors_name_what_is_wrong(scene: Scene, told: Told) -> None:
    assert told.error("chatTwo")["param"] == "n"
    assert told.error("chatUnknownModel")["param"] == "model"


@NODE.check
def a_response_that_is_gone_is_not_found(scene: Scene, told: Told) -> None:
    for case in ("responseGone", "responseUnknown"):
        assert (told.error(case)["name"], told.error(case)["status"]) == ("NotFoundError", 404)


@NODE.check
def a_response_that_broke_off_says_so(scene: Scene, told: Told) -> None:
    assert told.value("responseSpoiled") == "failed"


def test_node(scene: Scene, subtests: pytest.Subtests) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no node on the PATH: install Node 20 or newer, and run make test")
    if not (HERE / "node_modules" / "openai").is_dir():
        pytest.skip("tests/clients/node_modules has no openai: run make test, which installs it with npm")
    NODE.play(scene, node, subtests)
