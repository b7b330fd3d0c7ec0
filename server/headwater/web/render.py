"""What goes out: JSON bodies."""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import convert
from msgspec.structs import asdict
from starlette.background import BackgroundTask
from starlette.responses import Response

from headwater.core.events import Attempt, Usage
from headwater.core.lifecycle import ENDED
from headwater.core.run import Run
from headwater.runs import Answer
from headwater.web.shapes import Part, RunAnswer, RunAttempt, RunList, RunSummary

_encode = msgspec.json.Encoder().encode


def json_response(
    content: Any, status: int = 200, headers: dict[str, str] | None = None, background: BackgroundTask | None = None
) -> Response:
    """A JSON body."""
    return Response(_encode(content), status, headers, "application/json", background)


def run_summary(run: Run, root: str) -> RunSummary:
    """A run without its output; `root` is the path under which Headwater is mounted."""
    url = f"{root}/v1/runs/{run.id}"
    return RunSummary(
        id=run.id,
        object="run",
        status=run.status,
        model=run.model,
        conversation=run.conversation,
        metadata=run.request.metadata or {},
        created_at=round(run.created_at, 3),
        started_at=_time(run.started_at),
        ended_at=_time(run.ended_at),
        expires_at=_time(run.expires_at),
        cancel_requested=run.cancelled and run.status not in ENDED,
        position=str(run.position),
        url=url,
        events_url=f"{url}/events",
        cancel_url=f"{url}/cancel",
    )


def run_list(runs: Sequence[Run], root: str, *, has_more: bool) -> RunList:
    """A page of runs."""
    return RunList(object="list", data=[run_summary(run, root) for run in runs], has_more=has_more)


def run_answer(answer: Answer, root: str) -> RunAnswer:
    """A run with its output so far. `position` is where its events go on from this output."""
    contents, end = answer.contents, answer.contents.end
    usage = end.usage if end is not None else None
    about = asdict(run_summary(answer.run, root))
    about["position"] = str(contents.top.position if end is not None else contents.position)
    return RunAnswer(
        **about,
        output=contents.text,
        parts=convert(contents.parts, list[Part]),
        attempts=_attempts(answer.run.model, contents.attempts, usage),
        finish_reason=end.finish_reason if end is not None else None,
        reason=end.reason if end is not None else None,
        error=end.error if end is not None else None,
        usage=usage,
    )


def _attempts(model: str, later: Sequence[Attempt], total: Usage | None) -> list[RunAttempt]:
    """The first attempt, which no event marks, and the later ones: each event says what the try before it cost."""
    costs = [attempt.usage for attempt in later]
    costs.append(None if total is None else _less(total, [cost for cost in costs if cost is not None]))
    told = [RunAttempt(number=1, reason=None, how=None, model=model, usage=costs[0])]
    for attempt, usage in zip(later, costs[1:], strict=True):
        model = attempt.model or model
        one = RunAttempt(number=attempt.number, reason=attempt.reason, how=attempt.how, model=model, usage=usage)
        told.append(one)
    return told


def _less(total: Usage, others: Sequence[Usage]) -> Usage | None:
    """What is left of the whole run's usage for its last try; None where that brought nothing."""
    known = sum(others, Usage())
    rest = Usage(
        input_tokens=max(0, total.input_tokens - known.input_tokens),
        output_tokens=max(0, total.output_tokens - known.output_tokens),
        reasoning_tokens=max(0, total.reasoning_tokens - known.reasoning_tokens),
        cached_tokens=max(0, total.cached_tokens - known.cached_tokens),
        estimated=total.estimated or known.estimated,
    )
    return None if others and rest in (Usage(), Usage(estimated=True)) else rest


def _time(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
