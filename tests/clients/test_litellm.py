"""LiteLLM's SDK, unmodified: one process plays every case of litellm_client.py."""

import pytest

from tests.clients.scene import CALLS, MODELS, SUMS, WILD, Scene
from tests.clients.told import HERE, Script, Told

PYTHON = HERE.parents[1] / ".venv" / "litellm" / "bin" / "python"
CALLED = [list(call) for call in SUMS]  # JSON has no tuples
TOKENS = len(MODELS["wild"].all_deltas())

LITELLM = Script("litellm_client.py")


@LITELLM.check
def a_streamed_chat_comes_whole_with_its_usage(scene: Scene, told: Told) -> None:
    chat = told.value("chat_stream")
    assert (chat["text"], chat["finish"]) == (WILD, "stop")
    assert chat["chunks"] > 2
    assert chat["usage"]["completion_tokens"] == TOKENS


@LITELLM.check
def a_whole_chat_is_the_same(scene: Scene, told: Told) -> None:
    chat = told.value("chat_whole")
    assert scene.run(chat["headers"]["llm_provider-headwater-run"])["output"] == WILD
    assert (chat["text"], chat["finish"], chat["usage"]["completion_tokens"]) == (WILD, "stop", TOKENS)


@LITELLM.check
def tool_calls_come_whole(scene: Scene, told: Told) -> None:
    chat = told.value("chat_tools")
    assert (chat["calls"], chat["text"], chat["finish"]) == (CALLED, CALLS[0]["content"], "tool_calls")


@LITELLM.check
def reasoning_comes_beside_the_text(scene: Scene, told: Told) -> None:
    chat = told.value("chat_reasoning")
    assert (chat["reasoning"], chat["text"]) == ("hm, well", "Yes.")


@LITELLM.check
def comments_in_a_silence_do_no_harm(scene: Scene, told: Told) -> None:
    assert told.value("chat_quiet")["text"] == told.value("response_quiet")["text"] == MODELS["quiet"].text


@LITELLM.check
def a_response_comes_whole_and_streamed(scene: Scene, told: Told) -> None:
    whole, streamed = told.value("response_whole"), told.value("response_stream")
    assert (whole["text"], whole["status"]) == (WILD, "completed")
    assert streamed["text"] == WILD
    assert streamed["kinds"][-1] == "response.completed"
    assert streamed["kinds"].count("response.output_text.delta") > 1, "it streams"


@LITELLM.check
def tool_calls_are_items_of_a_response(scene: Scene, told: Told) -> None:
    for case in ("response_tools", "response_stream_tools"):
        calls = [item for item in told.value(case)["output"] if item["type"] == "function_call"]
        assert [[call["call_id"], call["name"], call["arguments"]] for call in calls] == CALLED


ERRORS = [
    ("picky", "BadRequestError", 400),
    ("busy", "RateLimitError", 429),
    ("down", "ServiceUnavailableError", 503),
    ("unknown", "NotFoundError", 404),
    ("stranger", "AuthenticationError", 401),
    ("response_picky", "BadRequestError", 400),
]


@LITELLM.check
def errors_are_of_their_own_classes(scene: Scene, told: Told) -> None:
    for case, name, status in ERRORS:
        error = told.error(case)
        assert (case, error["name"], error["status"]) == (case, name, status)


@LITELLM.check
def an_answer_that_breaks_off_is_an_error(scene: Scene, told: Told) -> None:
    assert "scripted error" in told.error("spoiled")["message"]


def test_litellm(scene: Scene, subtests: pytest.Subtests) -> None:
    if not PYTHON.exists():
        pytest.skip("there is no .venv/litellm: run make test, which installs LiteLLM there")
    LITELLM.play(scene, PYTHON, subtests)
