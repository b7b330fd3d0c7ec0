"""What goes out: JSON bodies and problem documents."""

import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from msgspec import UNSET, convert
from msgspec.structs import asdict
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route

from headwater.core.events import Attempt, Usage
from headwater.core.lifecycle import ENDED
from headwater.core.run import Run
from headwater.errors import HeadwaterError, MethodNotAllowed, NotFound, Unavailable
from headwater.runs import Answer
from headwater.web.shapes import Part, Problem, RunAnswer, RunAttempt, RunList, RunSummary

log = logging.getLogger("headwater.web")

_encode = msgspec.json.Encoder().encode

PROBLEM = "application/problem+json"
# A passing trouble whose end nobody knows: soon enough for a person who waits, rare enough for a store in need.
RETRY_AFTER_S = 1


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
        attempts=_attempts(contents.attempts, usage),
        finish_reason=end.finish_reason if end is not None else None,
        reason=end.reason if end is not None else None,
        error=end.error if end is not None else None,
        usage=usage,
    )


def _attempts(later: list[Attempt], usage: Usage | None) -> list[RunAttempt]:
    """The first attempt, which no event marks, and the later ones; the usage is the last one's."""
    tries: list[Attempt | None] = [None, *later]
    return [
        RunAttempt(
            number=1 if one is None else one.number,
            reason=None if one is None else one.reason,
            how=None if one is None else one.how,
            usage=usage if one is tries[-1] else None,
        )
        for one in tries
    ]


def _time(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


# -- problem documents (RFC 9457)


def problem(error: HeadwaterError) -> Response:
    """The error as `application/problem+json`."""
    document = problem_of(error)
    headers = dict(error.headers)
    if document.retry_after is not UNSET:
        headers["Retry-After"] = str(document.retry_after)
    return Response(_encode(document), error.status, headers, PROBLEM)


def problem_of(error: HeadwaterError) -> Problem:
    """The error's document."""
    retry_after = error.retry_after
    if retry_after is None and isinstance(error, Unavailable):
        retry_after = RETRY_AFTER_S
    return Problem(
        type="about:blank",
        title=error.title,
        status=error.status,
        code=error.code,
        detail=error.detail,
        field=UNSET if error.field is None else error.field,
        limit=UNSET if error.limit is None else error.limit,
        retry_after=UNSET if retry_after is None else retry_after,
    )


async def on_headwater_error(request: Request, error: Exception) -> Response:
    """Starlette's handler for our own errors."""
    assert isinstance(error, HeadwaterError)
    return problem(error)


async def on_http_exception(request: Request, error: Exception) -> Response:
    """Starlette's handler for what its router raises."""
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == 405:
        allowed = _allowed(request)
        detail = f"{request.method} is not allowed here. Allowed: {allowed}."
        return problem(MethodNotAllowed(detail, headers={"Allow": allowed}))
    if error.status_code == 404:
        return problem(NotFound(f"There is nothing at {request.url.path}."))
    title = HTTPStatus(error.status_code).phrase
    document = Problem(
        type="about:blank", title=title, status=error.status_code, code="http_error", detail=error.detail
    )
    return Response(_encode(document), error.status_code, headers, PROBLEM)


def _allowed(request: Request) -> str:
    """The methods of all routes of this path; Starlette's own answer names those of the first."""
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    here = [route for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    return ", ".join(sorted({method for route in here for method in route.methods or ()}))


async def on_crash(request: Request, error: Exception) -> Response:
    """The last handler: what no one foresaw. Starlette logs it after this."""
    return problem(HeadwaterError("Something went wrong here that is not your fault. The server's log says what."))
