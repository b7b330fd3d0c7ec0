"""From a reply that is no success to an error that says what to do, or to a trouble that may pass."""

from typing import Any, Final

from headwater_client.core.decoding import json_of
from headwater_client.core.steps import Lost, Reply
from headwater_client.core.trouble import Broken, Trouble
from headwater_client.errors import (
    BadRequest,
    Forbidden,
    HeadwaterError,
    NotFound,
    NotHeadwater,
    ServerError,
    Unauthorized,
    Unavailable,
)

# 408: our request did not arrive in time; 502 and 504 are a proxy's, whose server is away.
_PASSING: Final = (408, 429, 502, 503, 504)
_PROBLEM: Final = "application/problem+json"


def trouble_of(answer: Reply | Lost, url: str) -> Trouble:
    """The trouble that this is. Raises the error where trying again will not help."""
    if isinstance(answer, Lost):
        if answer.hopeless:
            raise NotHeadwater(
                f"{url} cannot be used: {answer.error}. Check the address.", code="not_headwater"
            ) from answer.error
        return Trouble(answer.error, silent=answer.silent)
    if answer.status in _PASSING:
        wait = _seconds(answer.headers.get("retry-after"))
        detail = _problem(answer).get("detail") or "it cannot serve for now"
        code = _problem(answer).get("code") or "unavailable"
        error = Unavailable(
            f"{url} answered {answer.status}: {detail}", code=code, status=answer.status, retry_after=wait or None
        )
        return Trouble(error, at_least_s=wait)
    raise error_of(answer, url)


def error_of(reply: Reply, url: str) -> HeadwaterError:
    """The error that this reply is."""
    problem = _problem(reply)
    code, detail, status = problem.get("code"), problem.get("detail"), reply.status
    if status == 401:
        return unauthorized(detail)
    if status == 403 and code is not None:
        return Forbidden(f"Not allowed: {detail}", code=code, status=status)
    if code is None or code == "not_found":
        return not_headwater(reply, url)
    if status == 404:
        return NotFound(detail or "There is no such thing.", code=code, status=status)
    if status >= 500:
        request_id = reply.headers.get("x-request-id")
        where = f" The server's log says more, under the request id {request_id}." if request_id else ""
        return ServerError(f"The server failed: {detail}{where}", code=code, status=status)
    field, limit = problem.get("field"), problem.get("limit")
    return BadRequest(detail or f"The request was refused: {code}.", code=code, status=status, field=field, limit=limit)


def room_error(code: str, detail: str) -> HeadwaterError:
    """The error that a room answered with."""
    if code == "unauthenticated":
        return unauthorized(detail)
    if code == "forbidden":
        return Forbidden(f"Not allowed: {detail}", code=code)
    if code.startswith("unknown_"):
        return NotFound(detail, code=code)
    if code == "damaged_log":
        return ServerError(f"The server failed: {detail}", code=code)
    return BadRequest(detail, code=code)


def unauthorized(detail: str | None = None) -> Unauthorized:
    """Nobody believes who we are."""
    said = detail or "the server asks who is there"
    return Unauthorized(
        f"{said.rstrip('.')}. Give the client a valid token or API key, or a function that fetches a newer one.",
        code="unauthenticated",
        status=401,
    )


def not_headwater(reply: Reply, url: str) -> NotHeadwater:
    """Somebody else answered."""
    what = reply.media_type or "nothing that has a type"
    to = reply.headers.get("location")
    moved = f" It leads to {to}: give the client the address that it is reached at without that." if to else ""
    return NotHeadwater(
        f"What answers at {url} is no Headwater: it said {reply.status} with {what}. "
        f"Check the address: it is the server's own, with the path under which it is mounted, and without /v1.{moved}",
        code="not_headwater",
        status=reply.status,
    )


def _problem(reply: Reply) -> dict[str, Any]:
    """The problem document, empty where the reply has none."""
    if reply.media_type != _PROBLEM:
        return {}
    try:
        return json_of(reply.body)
    except Broken:
        return {}


def _seconds(value: str | None) -> float:
    """A `Retry-After` as Headwater sends it; 0 for a date, or nothing."""
    return float(value) if value is not None and value.isascii() and value.isdigit() else 0.0
