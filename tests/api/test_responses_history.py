"""What a response goes on from: what is too long is refused before anything is made of it."""

from typing import Any, cast

import pytest

from headwater.core.access import ANONYMOUS, Principal
from headwater.core.content import Part
from headwater.core.run import Message, Run, RunRequest
from headwater.errors import Invalid
from headwater.runs import Answer, Runs
from headwater.store.base import Contents
from headwater.web.openai.responses_history import history_of

pytestmark = pytest.mark.anyio

LIMIT = 1000


class One:
    """The one run that there is."""

    def __init__(self, input: str, parts: list[Part]) -> None:
        run = Run(
            id="run_1", owner="default", model="demo", request=RunRequest(input=input), created_at=0.0,
            status="completed",
        )  # fmt: skip
        contents = Contents(run.position, parts, "", [], [0], None, cast(Any, None))
        self._answer = Answer(run, contents)

    async def read(self, principal: Principal, run_id: str) -> Answer:
        return self._answer


async def history(input: str, parts: list[Part]) -> list[Message]:
    return await history_of(cast(Runs, One(input, parts)), ANONYMOUS, "resp_1", (), LIMIT)


@pytest.mark.parametrize(
    ("input", "part"),
    [
        ("x" * (LIMIT + 1), {"text": "a"}),
        ("a", {"text": "x" * (LIMIT + 1)}),
        ("a", {"refusal": "x" * (LIMIT + 1)}),
        ("a", {"tool_call": {"id": "c1", "name": "f", "arguments": "x" * (LIMIT + 1)}}),
        ("x" * (LIMIT // 2), {"text": "x" * (LIMIT // 2 + 1)}),
    ],
    ids=["input", "text", "refusal", "arguments", "together"],
)
async def test_what_is_clearly_too_long_is_refused_as_it_is(input: str, part: Part) -> None:
    with pytest.raises(Invalid, match="longer than the limit of 1000 bytes") as refusal:
        await history(input, [part])
    assert (refusal.value.field, refusal.value.limit) == ("previous_response_id", LIMIT)


async def test_thoughts_do_not_count_as_they_are_not_handed_on() -> None:
    messages = await history("hello", [{"reasoning": "x" * (LIMIT + 1)}, {"text": "hi"}])
    assert messages == [Message("user", "hello"), Message("assistant", "hi")]
