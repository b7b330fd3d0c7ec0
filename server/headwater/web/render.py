"""What goes out: JSON bodies and problem documents."""

import logging
from typing import Any

import msgspec
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route

from headwater.core.events import Attempt
from headwater.core.lifecycle import ENDED
from headwater.core.run import Run
from headwater.errors import HeadwaterError, MethodNotAllowed, NotFound, Unavailable
from headwater.formats.native import end_fields
from headwater.runs import Answer

log = logging.getLogger("headwater.web")

_encode = msgspec.json.Encoder().encode

# A passing trouble whose end nobody knows: soon enough for a person who waits, rare enough for a store in need.
RETRY_AFTER_S = 1


def json_response(
    content: Any, status: int = 200, headers: dict[str, str] | None = None, background: BackgroundTask | None = None
) -> Response:
    """A JSON body."""
    return Response(_encode(content), status, headers, "application/json", background)


def run_summary(run: Run, root: str) -> dict[str, Any]:
    """A run without its output; `root` is the path under which Headwater is mounted."""
    url = f"{root}/v1/runs/{run.id}"
    return {
        "id": run.id,
        "object": "run",
        "status": run.status,
        "model": run.model,
        "conversation": run.conversation,
        "metadata": run.request.metadata or {},
        "created_at": _time(run.created_at),
        "started_at": _time(run.started_at),
        "ended_at": _time(run.ended_at),
        "expires_at": _time(run.expires_at),
        "cancel_requested": run.cancelled and run.status not in ENDED,
        "position": str(run.position),
        "url": url,
        "events_url": f"{url}/events",
        "cancel_url": f"{url}/cancel",
    }


def run_answer(answer: Answer, root: str) -> dict[str, Any]:
    """A run with its output so far. `position` is where its events go on from this output."""
    contents, end = answer.contents, answer.contents.end
    said = end_fields(end) if end is not None else {}
    return run_summary(answer.run, root) | {
        "position": str(contents.top.position if end is not None else contents.position),
        "output": contents.text,
        "parts": contents.parts,
        "attempts": _attempts(contents.attempts, said.get("usage")),
        "finish_reason": said.get("finish_reason"),
        "reason": said.get("reason"),
        "error": said.get("error"),
        "usage": said.get("usage"),
    }


def _attempts(later: list[Attempt], usage: object) -> list[dict[str, Any]]:
    """The first attempt, which no event marks, and the later ones; the usage is the last one's."""
    rows: list[dict[str, Any]] = [{"number": 1, "reason": None, "how": None, "usage": None}]
    rows += [{"number": a.number, "reason": a.reason, "how": a.how, "usage": None} for a in later]
    rows[-1]["usage"] = usage
    return rows


def _time(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


# -- problem documents (RFC 9457)


def problem(error: HeadwaterError) -> Response:
    """The error as `application/problem+json`."""
    document: dict[str, Any] = {
        "type": "about:blank",
        "title": error.title,
        "status": error.status,
        "code": error.code,
        "detail": error.detail,
    }
    headers = dict(error.headers)
    if error.field is not None:
        document["field"] = error.field
    if error.limit is not None:
        document["limit"] = error.limit
    retry_after = error.retry_after
    if retry_after is None and isinstance(error, Unavailable):
        retry_after = RETRY_AFTER_S
    if retry_after is not None:
        document["retry_after"] = retry_after
        headers["Retry-After"] = str(retry_after)
    return Response(_encode(document), error.status, headers, "application/problem+json")


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
    document = {"type": "about:blank", "title": error.detail, "status": error.status_code, "code": "http_error"}
    return Response(_encode(document), error.status_code, headers, "application/problem+json")


def _allowed(request: Request) -> str:
    """The methods of all routes of this path; Starlette's own answer names those of the first."""
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    here = [route for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    return ", ".join(sorted({method for route in here for method in route.methods or ()}))


async def on_crash(request: Request, error: Exception) -> Response:
    """The last handler: what no one foresaw. Starlette logs it after this."""
    return problem(HeadwaterError("Something went wrong here that is not your fault. The server's log says what."))
