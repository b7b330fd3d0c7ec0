"""Every fault of an upstream: the right status and reason, the text that came, and never a false `completed`."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import anyio.to_thread
import httpx2
import pytest

from tests.streaming.stage import DEADLINE_S, ENDED, SCRIPTED, SETTINGS, Stage, staged
from tests.support.server import ServerProcess, free_port
from tests.support.upstream import Exchange, Script, Upstream
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio


def words(count: int) -> str:
    """The text of the first so many tokens."""
    return Script(tokens=count).text


End = tuple[str, str | None, str | None]
"""Status, reason and finish_reason."""

STOP: End = ("completed", None, "stop")
CUT: End = ("incomplete", "upstream_cut", None)
IDLE: End = ("incomplete", "idle_timeout", None)
NO_REASON: End = ("incomplete", "no_finish_reason", None)
ERROR: End = ("failed", "upstream_error", None)
BAD: End = ("failed", "bad_upstream_data", None)
SILENT: End = ("failed", "first_token_timeout", None)


class Case(NamedTuple):
    """What the upstream does, and what the run must say."""

    name: str
    script: Script
    end: End
    output: str


CALL = {"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": {"name": "look", "arguments": ""}}]}
MORE = {"tool_calls": [{"index": 0, "function": {"arguments": '{"q":1}'}}]}
NOTHING: dict[str, Any] = {"content": ""}
HTML = "<!doctype html><title>502 Bad Gateway</title>"
JSON_ERROR = '{"error": {"message": "out of order", "type": "server_error"}}'
ALL = words(8)

CASES = [
    Case("cut after 40", Script(tokens=80, fault="cut", after=40), CUT, words(40)),
    Case("reset after 40", Script(tokens=80, fault="reset", after=40), CUT, words(40)),
    Case("cut of a body without framing", Script(fault="cut", after=3, end="close"), CUT, words(3)),
    Case("cut before a token", Script(fault="cut"), CUT, ""),
    Case("cut after the last token", Script(tokens=5, fault="cut", after=5), CUT, words(5)),
    Case("cut of a tool call", Script(deltas=[CALL, MORE], fault="cut", after=1), CUT, ""),
    Case("an empty body", Script(body=""), CUT, ""),
    Case("HTML called a stream", Script(body=HTML), CUT, ""),
    Case("neither reason nor [DONE]", Script(finish_reason=None, done=False), CUT, ALL),
    Case("stall", Script(fault="stall", after=3), IDLE, words(3)),
    Case("stall with comments", Script(fault="stall", after=3, keep_alive_s=0.2), IDLE, words(3)),
    Case("[DONE] in mid-answer", Script(fault="done", after=3), NO_REASON, words(3)),
    Case("[DONE] without a reason", Script(finish_reason=None), NO_REASON, ALL),
    Case("an unknown finish_reason", Script(finish_reason="tired"), NO_REASON, ALL),
    Case("length", Script(finish_reason="length"), ("incomplete", "length", "length"), ALL),
    Case("filter", Script(finish_reason="content_filter"), ("incomplete", "content_filter", "content_filter"), ALL),
    Case("garbage in mid-stream", Script(fault="malformed", after=3), BAD, words(3)),
    Case("HTML instead of a stream", Script(body=HTML, content_type="text/html"), BAD, ""),
    Case("a JSON error in a 200", Script(body=JSON_ERROR, content_type="application/json"), BAD, ""),
    Case("an error inside a 200", Script(fault="error", after=3), ERROR, words(3)),
    Case("an error before a token", Script(fault="error"), ERROR, ""),
    Case("[DONE] after an error", Script(fault="error_done", after=3), ERROR, words(3)),
    Case("busy for an hour", Script(refusals=[429], retry_after="3600"), ERROR, ""),
    Case("refused", Script(status=400), ERROR, ""),
    Case("not allowed", Script(status=401), ERROR, ""),
    Case("silence before the headers", Script(fault="silence"), SILENT, ""),
    Case("headers, then silence", Script(start_s=30), SILENT, ""),
    Case("headers, then comments only", Script(start_s=30, keep_alive_s=0.2), SILENT, ""),
    Case("headers, then counts only", Script(deltas=[NOTHING] * 60, interval_s=0.1, usage="every"), SILENT, ""),
    Case(
        "a token, then counts only",
        Script(deltas=[{"content": "0 "}, *[NOTHING] * 60], interval_s=0.1, usage="every"),
        IDLE,
        words(1),
    ),
    Case("a slow first token", Script(start_s=0.5), STOP, ALL),
    Case("no [DONE]", Script(done=False), STOP, ALL),
    Case("no [DONE], no end of the body", Script(done=False, end="open"), STOP, ALL),
    Case("no usage, no [DONE], no end of the body", Script(usage="none", done=False, end="open"), STOP, ALL),
    Case("busy twice, then fine", Script(refusals=[429, 429]), STOP, ALL),
    Case("broken twice, then fine", Script(refusals=[500, 503]), STOP, ALL),
    Case("reset once, then fine", Script(refusals=[0]), STOP, ALL),
    Case("busy for a moment", Script(refusals=[429], retry_after="0.2"), STOP, ALL),
    Case("reasoning first", Script(deltas=[{"reasoning_content": "hm"}, {"content": "yes"}]), STOP, "yes"),
    Case("a refusal", Script(deltas=[{"refusal": "no"}]), STOP, ""),
    Case("calls", Script(deltas=[CALL, MORE], finish_reason="tool_calls"), ("completed", None, "tool_calls"), ""),
]

WIRES = ("messages", "ollama")
"""Models behind which the same upstream stands, asked as Anthropic's and as Ollama's."""
# Here only the last word of the protocol says that an answer is whole.
ELSEWHERE = {"no [DONE]": CUT}
# What a wire cannot say, and what only OpenAI's may do without.
CHAT_ONLY = {
    "no [DONE], no end of the body",
    "no usage, no [DONE], no end of the body",
    "headers, then counts only",
    "a token, then counts only",
    "a refusal",
    "cut of a tool call",
}
NOT_OLLAMA = {"filter", "calls"}

PARTS = {
    "calls": [{"tool_call": {"index": 0, "id": "call_1", "name": "look", "arguments": '{"q":1}'}}],
    "reasoning first": [{"reasoning": "hm"}, {"text": "yes"}],
    "a refusal": [{"refusal": "no"}],
    "cut of a tool call": [{"tool_call": {"index": 0, "id": "call_1", "name": "look", "arguments": ""}}],
}
TRIES = {
    "busy twice, then fine": 3,
    "broken twice, then fine": 3,
    "busy for an hour": 1,
    "refused": 1,
    "not allowed": 1,
}


@pytest.fixture(scope="module")
async def patient(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """A stage that gives retries, and a usage that does not come, their time; it has models on all three wires."""
    directory = tmp_path_factory.mktemp("patient")
    async with Upstream({SCRIPTED: Script()}) as upstream:
        (directory / "headwater.toml").write_text("".join(map(partial(models_file, upstream), WIRES)))
        server = ServerProcess(
            directory,
            settings=SETTINGS | {"first_token_timeout_s": 20, "idle_timeout_s": 20},
            env={"OPENAI_BASE_URL": upstream.url},
        )
        async with server, httpx2.AsyncClient(base_url=server.url, timeout=DEADLINE_S) as client:
            yield Stage(server, upstream, client)


def models_file(upstream: Upstream, wire: str) -> str:
    """A hasty model and a patient one."""
    provider = {"messages": "anthropic"}.get(wire, wire)
    table = f'provider = "{provider}"\nbase_url = "{upstream.root}"\n'
    hasty = "first_token_timeout_s = 3\nidle_timeout_s = 3\n"
    return f"[models.{wire}]\n{table}{hasty}[models.patient-{wire}]\n{table}"


async def play(stage: Stage, case: Case, model: str = SCRIPTED) -> Any:
    """The run that came of it where nobody may go on with it, which a reader saw in the same way."""
    run_id = await stage.start(model=model, extra=case.script.extra(), failover=False)
    reader = stage.reader(run_id)
    await reader.follow()
    run = await stage.run(run_id)
    follower = reader.follower
    assert follower.end is not None
    assert run["status"] in ENDED
    for key in ("status", "reason", "finish_reason", "usage", "error"):
        assert follower.end.get(key) == run[key], f"{case.name}: the reader and the run differ in {key}"
    assert (follower.text, follower.parts) == (run["output"], run["parts"]), case.name
    return run


async def complaint(stage: Stage, case: Case, model: str = SCRIPTED) -> str | None:
    """What is wrong with the run that comes of it."""
    run = await play(stage, case, model)
    said = ((run["status"], run["reason"], run["finish_reason"]), run["output"])
    if said != case[2:]:
        return f"{model}, {case.name}: {said} instead of {case[2:]}; {run['error']}"
    if case.name in PARTS and run["parts"] != PARTS[case.name]:
        return f"{model}, {case.name}: {run['parts']}"
    status, reason, finish_reason = case.end
    if status != "completed" and finish_reason is None and run["error"]["code"] != reason:
        return f"{model}, {case.name}: the error is {run['error']}"
    return None


def is_slow(case: Case) -> bool:
    """Whether it waits for something that comes, or that its timeouts are not to be about."""
    return bool(case.script.refusals) or case.script.end == "open"


async def test_each_fault_has_its_honest_end(stage: Stage, patient: Stage) -> None:
    """All at once, on one server: none may disturb another."""
    found = await asyncio.gather(*(complaint(patient if is_slow(case) else stage, case) for case in CASES))
    wrong = [line for line in found if line is not None]
    assert not wrong, "\n".join(wrong)


async def test_each_fault_has_its_honest_end_on_the_other_wires(patient: Stage) -> None:
    """The same faults of servers that speak Anthropic's messages and Ollama's chat."""
    plays = []
    for wire in WIRES:
        skipped = CHAT_ONLY | (NOT_OLLAMA if wire == "ollama" else set())
        for case in CASES:
            if case.name not in skipped:
                elsewhere = case._replace(end=ELSEWHERE.get(case.name, case.end))
                model = f"patient-{wire}" if is_slow(case) else wire
                plays.append(complaint(patient, elsewhere, model))
    assert len(plays) > 60
    wrong = [line for line in await asyncio.gather(*plays) if line is not None]
    assert not wrong, "\n".join(wrong)


async def test_an_overloaded_server_is_asked_again_although_it_answered_200(patient: Stage) -> None:
    run = await play(patient, Case("overloaded", Script(refusals=[200, 200]), STOP, ALL), "patient-messages")
    assert (run["status"], run["output"]) == ("completed", ALL)
    newest = patient.upstream.exchanges[-1]
    assert sum(one.body == newest.body for one in patient.upstream.exchanges) == 3


@pytest.mark.parametrize("name", TRIES)
async def test_it_is_asked_again_only_where_that_helps(patient: Stage, name: str) -> None:
    case = next(case for case in CASES if case.name == name)
    await patient.ended(await patient.start(case.script))
    newest = await patient.exchange()
    assert sum(one.body == newest.body for one in patient.upstream.exchanges) == TRIES[name]


@pytest.mark.parametrize("fault", ["cut", "reset", "error"])
async def test_after_the_first_token_it_is_never_asked_again(patient: Stage, fault: Any) -> None:
    await patient.ended(await patient.start(Script(fault=fault, after=1)))
    newest = await patient.exchange()
    assert sum(one.body == newest.body for one in patient.upstream.exchanges) == 1


async def test_a_timeout_closes_the_upstream(stage: Stage) -> None:
    for script in (Script(fault="stall", after=3), Script(fault="silence")):
        await stage.ended(await stage.start(script))
        exchange = await stage.exchange()
        await eventually(partial(_is_closed, exchange), what="the upstream is closed")


def _is_closed(exchange: Exchange) -> bool:
    return exchange.closed_at is not None


async def test_usage_is_kept_whatever_the_end(stage: Stage) -> None:
    counted = await stage.ended(await stage.start(Script()))
    assert counted["usage"] == {"input_tokens": 3, "output_tokens": 8}
    cut = await stage.ended(await stage.start(Script(fault="cut", after=5, usage="every")))
    assert cut["usage"] == {"input_tokens": 3, "output_tokens": 4}, "what it had counted before the fifth was sent"
    uncounted = await stage.ended(await stage.start(Script(fault="cut", after=5)))
    assert uncounted["usage"] == {"output_tokens": 5, "estimated": True}


async def test_an_estimate_counts_what_is_in_the_log(stage: Stage) -> None:
    """A cancel withdraws what was under way; the end counts none of it."""
    for _ in range(2):
        run_id = await stage.start(Script(tokens=20_000, fault="stall", after=20_000))
        await eventually(partial(_has_output, stage, run_id), what="it speaks")
        await stage.cancel(run_id)
        run = await stage.ended(run_id)
        events_before_the_end = int(run["position"].partition("-")[0]) - 1
        assert run["usage"] == {"output_tokens": events_before_the_end, "estimated": True}


async def _has_output(stage: Stage, run_id: str) -> bool:
    return bool((await stage.run(run_id))["output"])


async def test_usage_is_kept_on_the_other_wires(patient: Stage) -> None:
    async def usage(wire: str, script: Script) -> Any:
        return (await play(patient, Case("usage", script, STOP, ALL), wire))["usage"]

    for wire in WIRES:
        assert await usage(wire, Script()) == {"input_tokens": 3, "output_tokens": 8}
    cut = Script(fault="cut", after=5)
    assert await usage("ollama", cut) == {"output_tokens": 5, "estimated": True}
    assert await usage("messages", cut) == {"input_tokens": 3, "output_tokens": 5, "estimated": True}, (
        "what its start said of the input, and what was delivered"
    )


async def test_a_refusal_is_told_with_its_status(patient: Stage) -> None:
    for model in (SCRIPTED, *WIRES):
        run = await play(patient, Case("busy", Script(refusals=[429], retry_after="3600"), ERROR, ""), model)
        assert (run["error"]["upstream_status"], run["error"]["retry_after_s"]) == (429, 3600), model


async def test_an_upstream_that_is_not_there(tmp_path: Path) -> None:
    models = f'[models.away]\nprovider = "openai"\nbase_url = "http://127.0.0.1:{free_port()}/v1"\nmodel = "any"\n'
    (tmp_path / "headwater.toml").write_text(models)
    async with staged(tmp_path) as stage:
        run = await stage.ended(await stage.start(model="away"))
        assert (run["status"], run["reason"], run["output"]) == ("failed", "upstream_unreachable", "")
        assert "cannot be reached" in run["error"]["detail"]


async def test_no_secret_is_told(tmp_path: Path) -> None:
    """Even where an upstream repeats the key that it refuses."""
    key = "sk-very-secret-0123456789"
    refusal = Script(status=401, body=f'{{"error": {{"message": "Incorrect API key provided: {key}"}}}}')
    async with staged(tmp_path, models={"refuses": refusal}) as stage:
        models = f'[models.keyed]\nprovider = "openai"\nbase_url = "{stage.upstream.url}"\nmodel = "refuses"\n'
        (tmp_path / "headwater.toml").write_text(models + f'api_key = "{key}"\n')
        await anyio.to_thread.run_sync(stage.server.restart)
        run_id = await stage.start(model="keyed")
        run = await stage.ended(run_id)
        assert (run["status"], run["reason"]) == ("failed", "upstream_error")
        events = (await stage.client.get(f"/v1/runs/{run_id}/events")).text
        assert (await stage.exchange()).headers["authorization"] == f"Bearer {key}"
        assert key not in str(run) + events + stage.server.stderr + stage.server.stdout
