"""The demo model goes wrong as it is asked to, and the run says so."""

from pathlib import Path
from typing import Any

import pytest

from tests.streaming.stage import Stage, staged

pytestmark = pytest.mark.anyio

FAST = {"tokens_per_s": 10_000, "tokens": 40}
ENDS = {
    "cut": ("incomplete", "upstream_cut"),
    "stall": ("incomplete", "idle_timeout"),
    "error": ("failed", "upstream_error"),
    "garbage": ("failed", "bad_upstream_data"),
}


async def whole(stage: Stage) -> str:
    """What the demo says where nothing goes wrong."""
    output: str = (await stage.ended(await stage.start(demo=FAST, input="same")))["output"]
    return output


@pytest.mark.parametrize("after", [0, 7])
@pytest.mark.parametrize("fault", ENDS)
async def test_a_fault_after_some_tokens(stage: Stage, fault: str, after: int) -> None:
    run_id = await stage.start(demo={**FAST, "fault": fault, "after": after}, input="same", failover=False)
    reader = stage.reader(run_id)
    await reader.follow()
    run = await stage.run(run_id)
    expected: tuple[Any, ...] = ENDS[fault]
    if fault == "stall" and after == 0:
        expected = ("failed", "first_token_timeout")
    assert (run["status"], run["reason"]) == expected
    assert run["output"] == reader.text
    answer = await whole(stage)
    assert answer.startswith(run["output"])
    assert len(run["output"].split()) == after


@pytest.mark.parametrize("fault", ENDS)
async def test_it_goes_on_behind_the_fault_where_it_may(stage: Stage, fault: str) -> None:
    run_id = await stage.start(demo={**FAST, "fault": fault, "after": 7}, input="same")
    reader = stage.reader(run_id)
    await reader.follow()
    run = await stage.run(run_id)
    assert (run["status"], [(one["reason"], one["how"]) for one in run["attempts"]]) == (
        "completed",
        [(None, None), ("failover", "continued")],
    )
    assert run["output"] == reader.text == await whole(stage)


async def test_a_slow_start_is_waited_for_or_given_up(stage: Stage) -> None:
    run = await stage.ended(await stage.start(demo={**FAST, "fault": "slow_start"}))
    assert (run["status"], run["reason"], run["output"]) == ("failed", "first_token_timeout", "")


async def test_faults_are_refused_where_they_are_off(tmp_path: Path) -> None:
    async with staged(tmp_path, faults=False) as stage:
        body = {"input": "hi", "extra": {"demo": {"fault": "cut"}}}
        response = await stage.client.post("/v1/runs", json=body)
        assert response.status_code == 422
        assert response.json()["field"] == "extra.demo.fault"
