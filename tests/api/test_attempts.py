"""What a run says of its attempts, each with what it cost; and whether a request may be rescued at all."""

from typing import Any

import httpx2
import msgspec
import pytest

from headwater.core.content import Content
from headwater.core.events import Attempt, End, Event, Text, Usage
from headwater.core.position import Position
from headwater.core.run import Run, RunRequest
from headwater.runs import Answer
from headwater.store.base import Contents, Top
from headwater.web.render import run_answer
from headwater.web.runs import FORMATS
from tests.api.calls import ended, messages, problem, start


def attempts_of(*events: Event) -> Any:
    """Those of a run that was asked of `demo` and went so."""
    content = Content()
    for event in events:
        content.add(event)
    status = "in_progress" if content.end is None else content.end.status
    run = Run(id="run_1", owner="default", model="demo", request=RunRequest(input="hi"), created_at=1.0, status=status)
    at = Position(len(events), 7)
    top = Top(at, status)
    contents = Contents(at, content.parts(), content.text, content.attempts, content.tries, content.end, top)
    return msgspec.to_builtins(run_answer(Answer(run, contents), "").attempts)


def told(number: int, model: str, usage: Any, reason: str | None = None, how: str | None = None) -> dict[str, Any]:
    return {"number": number, "reason": reason, "how": how, "model": model, "usage": usage}


def test_each_attempt_has_what_it_alone_cost_and_the_last_has_the_rest() -> None:
    assert attempts_of(
        Text("a"),
        Attempt(2, "failover", "continued", "backup", Usage(6, 1)),
        Text("b"),
        Attempt(3, "takeover", "continued", None, Usage(7, 1, cached_tokens=6)),
        Text("c"),
        End("completed", "stop", usage=Usage(21, 5, cached_tokens=13)),
    ) == [
        told(1, "demo", {"input_tokens": 6, "output_tokens": 1}),
        told(2, "backup", {"input_tokens": 7, "output_tokens": 1, "cached_tokens": 6}, "failover", "continued"),
        told(3, "backup", {"input_tokens": 8, "output_tokens": 3, "cached_tokens": 7}, "takeover", "continued"),
    ]


def test_before_the_end_nobody_knows_what_the_last_one_costs() -> None:
    first, second = attempts_of(Text("a"), Attempt(2, "drain", "continued", usage=Usage(6, 1)))
    assert first == told(1, "demo", {"input_tokens": 6, "output_tokens": 1})
    assert second == told(2, "demo", None, "drain", "continued")


def test_what_is_estimated_says_so_and_nothing_falls_below_zero() -> None:
    lost = Usage(9, 9, estimated=True)
    _, last = attempts_of(
        Text("a"), Attempt(2, "takeover", "restarted", usage=lost), End("completed", "stop", usage=Usage(12, 4))
    )
    assert last["usage"] == {"input_tokens": 3, "estimated": True}


def test_what_an_attempt_did_not_tell_is_unknown() -> None:
    first, last = attempts_of(Attempt(2, "takeover", "continued"), End("completed", "stop", usage=Usage(6, 2)))
    assert (first["usage"], last["usage"]) == (None, {"input_tokens": 6, "output_tokens": 2})


CUT = {"demo": {"fault": "cut", "after": 3, "tokens_per_s": 10_000, "tokens": 8}}
UNBROKEN = {"demo": {"tokens_per_s": 10_000, "tokens": 8}}


def test_an_answer_that_was_cut_is_whole_in_every_form(api: httpx2.Client) -> None:
    text = ended(api, start(api, UNBROKEN))["output"]
    run = ended(api, start(api, CUT))
    assert (run["status"], run["output"], run["parts"]) == ("completed", text, [{"text": text}])
    first, second = run["attempts"]
    assert (first["number"], second["number"], second["reason"], second["how"]) == (1, 2, "failover", "continued")
    assert first["usage"]["output_tokens"] + second["usage"]["output_tokens"] == run["usage"]["output_tokens"] == 8
    followed = {form: api.get(run["events_url"], params={"format": form, "after": "0-0"}).text for form in FORMATS}
    assert followed["text"] == text
    assert "".join(one.json.get("text", "") for one in messages(followed["native"])) == text
    assert '"event":"attempt"' in followed["ndjson"]
    chunks = [one.json["choices"][0] for one in messages(followed["chat"]) if one.data != "[DONE]"]
    assert "".join(chunk["delta"].get("content", "") for chunk in chunks) == text
    assert [chunk["finish_reason"] for chunk in chunks if chunk["finish_reason"]] == ["stop"]
    told = [one.json for one in messages(followed["responses"])]
    assert [one["text"] for one in told if one["type"] == "response.output_text.done"] == [text]


def test_one_that_is_not_to_be_rescued_tells_its_openai_client_of_the_cut(api: httpx2.Client) -> None:
    body = {"messages": [{"role": "user", "content": "hello"}], **CUT, "failover": False}
    response = api.post("/v1/chat/completions", json=body)
    assert (response.status_code, response.json()["error"]["code"]) == (502, "upstream_cut")
    rescued = api.post("/v1/chat/completions", json=body | {"failover": None})
    assert rescued.json()["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize(("field", "value"), [("failover", None), ("failover", 1), ("restart", "yes")])
def test_whether_it_may_be_rescued_is_yes_or_no(api: httpx2.Client, field: str, value: object) -> None:
    response = api.post("/v1/runs", json={"input": "hi", field: value})
    assert problem(response, 422, "invalid")["field"] == field
