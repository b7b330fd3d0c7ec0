"""What is refused, and what went wrong, as whoever asked expects to be told."""

from http import HTTPStatus

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope

from headwater.errors import HeadwaterError, MethodNotAllowed
from headwater.web.openai.errors import nothing_at, openai_error, speaks_openai
from headwater.web.problems import PROBLEM, problem
from headwater.web.shapes import Problem


def refusal(scope: Scope, error: HeadwaterError) -> Response:
    """The answer that says what is wrong."""
    return openai_error(error) if speaks_openai(scope) else problem(error)


async def on_headwater_error(request: Request, error: Exception) -> Response:
    """Starlette's handler for our own errors."""
    assert isinstance(error, HeadwaterError)
    return refusal(request.scope, error)


async def on_http_exception(request: Request, error: Exception) -> Response:
    """Starlette's handler for what its router raises."""
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == 405:
        allowed = _allowed(request)
        detail = f"{request.method} is not allowed here. Allowed: {allowed}."
        return refusal(request.scope, MethodNotAllowed(detail, headers={"Allow": allowed}))
    if error.status_code == 404:
        return refusal(request.scope, nothing_at(request.scope))
    title = HTTPStatus(error.status_code).phrase
    document = Problem(
        type="about:blank", title=title, status=error.status_code, code="http_error", detail=error.detail
    )
    return Response(msgspec.json.encode(document), error.status_code, headers, PROBLEM)


def _allowed(request: Request) -> str:
    """The methods of all routes of this path; Starlette's own answer names those of the first."""
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    here = [route for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    return ", ".join(sorted({method for route in here for method in route.methods or ()}))


def on_crash(scope: Scope) -> Response:
    """What no one foresaw."""
    return refusal(
        scope, HeadwaterError("Something went wrong here that is not your fault. The server's log says what.")
    )
