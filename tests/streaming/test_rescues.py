"""What becomes of answers whose upstream fails: the next one goes on, in the same stream, wherever that is sound."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import anyio.to_thread
import httpx2
import pytest

from tests.streaming.stage import DEADLINE_S, SCRIPTED, SETTINGS, Stage, staged
from tests.support.server import ServerProcess, free_port
from tests.support.upstream import Script, Upstream
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

WHOLE = Script().text
CALL = {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "look", "arguments": "{}"}}]}
ONCE: list[tuple[str, str]] = []
AGAIN = [("failover", "continued")]
TWICE = 2 * AGAIN


def models_file(upstream: Upstream) -> str:
    """Models that continue and such that cannot, with and without a fallback."""
    table = 'provider = "openai"\nfirst_token_timeout_s = 2\nidle_timeout_s = 2\n'
    there, away = f'base_url = "{upstream.url}"\n', f'base_url = "http://127.0.0.1:{free_port()}/v1"\n'
    vllm, backup = 'continuation = "vllm"\n', 'fallbacks = ["backup"]\n'
    return (
        f"[models.steady]\n{table}{there}{vllm}{backup}"
        f"[models.backup]\n{table}{there}{vllm}"
        f"[models.alone]\n{table}{there}{vllm}"
        f"[models.stubborn]\n{table}{there}"
        f"[models.backed]\n{table}{there}{backup}"
        f"[models.away]\n{table}{away}{backup}"
        f"[models.tired]\n{table}{there}{backup}"
    )


@pytest.fixture(scope="module")
async def rescued(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    directory = tmp_path_factory.mktemp("rescued")
    async with Upstream({SCRIPTED: Script()}) as upstream:
        (directory / "headwater.toml").write_text(models_file(upstream))
        async with (
            ServerProcess(directory, settings=SETTINGS | {"breaker_failures": 1000}) as server,
            httpx2.AsyncClient(base_url=server.url, timeout=DEADLINE_S) as client,
        ):
            yield Stage(server, upstream, client)


class Case(NamedTuple):
    """A fault of the first request, or the first few; how the answer ends; its later attempts."""

    name: str
    tries: list[dict[str, Any]]
    attempts: list[tuple[str, str]]
    model: str = "steady"
    script: Script = Script()
    end: tuple[str, str | None] = ("completed", None)
    text: str = WHOLE


CUT = {"fault": "cut", "after": 3}
CASES = [
    Case("refused connection", [], AGAIN, "away"),
    Case("reset before headers", [{"fault": "reset_before_headers"}], ONCE),
    Case("closed before headers", [{"fault": "close_before_headers"}], ONCE),
    Case("429", [{"status": 429}], ONCE),
    Case("429 for a minute", [{"status": 429, "retry_after": "60"}], AGAIN),
    Case("500", [{"status": 500}, {"status": 500}], AGAIN),
    Case("503", [{"status": 503}, {"status": 503}], AGAIN),
    Case("not allowed", [{"status": 401}], AGAIN),
    Case("the request's own fault", [{"status": 400}], ONCE, end=("failed", "upstream_error"), text=""),
    Case("silence before headers", [{"fault": "silence"}], AGAIN),
    Case("a first token that never comes", [{"start_s": 30}], AGAIN),
    Case("slow first token", [{"start_s": 0.5}], ONCE),
    Case("error in the first event", [{"fault": "error"}], AGAIN),
    Case("cut", [CUT], AGAIN),
    Case("reset", [{"fault": "reset", "after": 3}], AGAIN),
    Case("stall", [{"fault": "stall", "after": 3}], AGAIN),
    Case("stall with comments", [{"fault": "stall", "after": 3, "keep_alive_s": 0.3}], AGAIN),
    Case("malformed line", [{"fault": "malformed", "after": 3}], AGAIN),
    Case("error in mid-answer", [{"fault": "error", "after": 3}], AGAIN),
    Case("no [DONE]", [{"done": False}], ONCE),
    Case("[DONE] after an error", [{"fault": "error_done", "after": 3}], AGAIN),
    Case("[DONE] without a reason", [{"fault": "done", "after": 3}], AGAIN),
    Case("filter", [{"finish_reason": "content_filter"}], ONCE, end=("incomplete", "content_filter")),
    Case(
        "refusal of the continuation",
        [CUT],
        TWICE,
        script=Script(continuing="refuse"),
        end=("incomplete", "upstream_cut"),
        text="0 1 2 ",
    ),
    Case("the fallback continues", [CUT, {"status": 400}], TWICE),
    Case("flapping", [{"status": 503}, CUT, {"fault": "error"}, {"fault": "stall", "after": 2}], 3 * AGAIN),
    Case("alone it goes on by itself", [CUT, {"fault": "cut", "after": 2}], TWICE, "alone"),
    Case(
        "never a token more",
        [CUT, *3 * [{"fault": "cut"}]],
        TWICE,
        "alone",
        end=("incomplete", "upstream_cut"),
        text="0 1 2 ",
    ),
    Case("the fallback of one that cannot", [CUT], AGAIN, "backed"),
    Case("none that can", [CUT], ONCE, "stubborn", end=("incomplete", "upstream_cut"), text="0 1 2 "),
    Case("nothing was shown, so it begins anew", [{"fault": "cut"}], AGAIN, "stubborn"),
    Case(
        "a tool was called",
        [{"fault": "cut", "after": 1}],
        ONCE,
        script=Script(deltas=[CALL, {"content": "so"}]),
        end=("incomplete", "upstream_cut"),
        text="",
    ),
    Case(
        "it has begun to think",
        [{"fault": "cut", "after": 2}],
        ONCE,
        script=Script(deltas=[{"reasoning_content": "hm"}, {"content": "so"}, {"content": " it"}]),
        end=("incomplete", "upstream_cut"),
        text="so",
    ),
]


async def play(stage: Stage, case: Case, **fields: Any) -> Any:
    """The run that came of it, which a reader saw in the same way, never set back."""
    script = Script(**{name: getattr(case.script, name) for name in Script.__struct_fields__} | {"tries": case.tries})
    run_id = await stage.start(model=case.model, extra=script.extra(), **fields)
    reader = stage.reader(run_id)
    await reader.follow()
    run = await stage.run(run_id)
    assert (reader.text, reader.follower.snapshots <= 1) == (run["output"], True)
    return run


def later(run: Any) -> list[tuple[str, str]]:
    return [(one["reason"], one["how"]) for one in run["attempts"][1:]]


async def complaint(stage: Stage, case: Case) -> str | None:
    run = await play(stage, case)
    said = ((run["status"], run["reason"]), run["output"], later(run))
    if said == (case.end, case.text, case.attempts):
        return None
    return f"{case.name}: {said} instead of {(case.end, case.text, case.attempts)}; {run['error']}"


async def test_every_fault_has_the_outcome_that_is_promised(rescued: Stage) -> None:
    found = await asyncio.gather(*(complaint(rescued, case) for case in CASES))
    wrong = [line for line in found if line is not None]
    assert not wrong, "\n".join(wrong)


async def test_one_field_turns_it_off(rescued: Stage) -> None:
    run = await play(rescued, Case("cut", [CUT], ONCE), failover=False)
    assert (run["reason"], run["output"], later(run)) == ("upstream_cut", "0 1 2 ", [])
    run = await play(rescued, Case("refused", [], ONCE, "away"), failover=False)
    assert (run["reason"], later(run)) == ("upstream_unreachable", [])


async def test_a_json_document_begins_anew_only_where_that_was_asked_for(rescued: Stage) -> None:
    wanted = {"response_format": {"type": "json_object"}}
    run = await play(rescued, Case("cut", [CUT], ONCE), **wanted)
    assert (run["reason"], run["output"], later(run)) == ("upstream_cut", "0 1 2 ", [])
    run = await play(rescued, Case("cut", [CUT], ONCE), **wanted, restart=True)
    assert (run["status"], run["output"], later(run)) == ("completed", WHOLE, [("failover", "restarted")])


async def test_where_all_is_withdrawn_the_next_is_asked_first(rescued: Stage) -> None:
    """One that breaks off again and again brings nothing that stays, however much it brings."""
    wanted = {"response_format": {"type": "json_object"}, "restart": True}
    run = await play(rescued, Case("cut", [CUT], ONCE), **wanted)
    assert (run["output"], run["attempts"][1]["model"]) == (WHOLE, "backup")
    run = await play(rescued, Case("cut", 9 * [CUT], ONCE, "alone"), **wanted)
    assert (run["reason"], later(run)) == ("upstream_cut", [("failover", "restarted")])


async def test_all_attempts_are_paid_for_and_told(rescued: Stage) -> None:
    run = await play(rescued, Case("cut", [CUT | {"usage": "every"}], AGAIN, "backed"))
    first, second = run["attempts"]
    assert second["model"] == "backup"
    assert first["usage"]["input_tokens"] > 0 and "estimated" not in first["usage"], "what its upstream said"
    assert run["usage"]["input_tokens"] == first["usage"]["input_tokens"] + second["usage"]["input_tokens"]
    assert run["usage"]["output_tokens"] == first["usage"]["output_tokens"] + second["usage"]["output_tokens"]


async def test_no_more_than_so_many_attempts(rescued: Stage) -> None:
    case = Case("a token a time", 30 * [{"fault": "cut", "after": 1}], ONCE, "alone", Script(tokens=30))
    run = await play(rescued, case)
    assert (run["reason"], len(run["attempts"])) == ("upstream_cut", 10)
    assert len(run["output"].split()) == 10


async def test_a_model_that_fails_again_and_again_is_asked_after_its_fallbacks(tmp_path: Path) -> None:
    async with Upstream({SCRIPTED: Script()}) as upstream:
        (tmp_path / "headwater.toml").write_text(models_file(upstream))
        async with (
            ServerProcess(tmp_path, settings=SETTINGS | {"breaker_failures": 2, "breaker_rest_s": 600}) as server,
            httpx2.AsyncClient(base_url=server.url, timeout=DEADLINE_S) as client,
        ):
            stage = Stage(server, upstream, client)
            for _ in range(2):
                run = await play(stage, Case("down", [{"status": 401}], AGAIN, "tired"))
                assert run["attempts"][1]["model"] == "backup"
            before = len(upstream.exchanges)
            run = await play(stage, Case("fine", [], ONCE, "tired"))
            assert (run["status"], run["attempts"][1]["model"]) == ("completed", "backup")
            assert len(upstream.exchanges) == before + 1, "it was not asked at all"
            assert await stage.metric('headwater_breakers_opened_total{model="tired"}') == 1


async def test_an_answer_that_has_finished_is_not_handed_over(tmp_path: Path) -> None:
    """Its upstream has said that it is, and only keeps the count of its tokens to itself for a while."""
    async with staged(tmp_path) as stage:
        run_id = await stage.start(Script(usage="none", done=False, end="open"))

        async def has_all() -> bool:
            return bool((await stage.run(run_id))["output"] == WHOLE)

        await eventually(has_all, DEADLINE_S, "all of it has come")
        stage.server.signal(signal.SIGTERM)
        assert await anyio.to_thread.run_sync(stage.server.wait) == 0
        await anyio.to_thread.run_sync(stage.server.start)
        run = await stage.ended(run_id)
        assert (run["status"], run["output"], later(run)) == ("completed", WHOLE, [])
