"""Problem documents (RFC 9457): how everything but the OpenAI routes says what is wrong."""

import msgspec
from msgspec import UNSET
from starlette.responses import Response

from headwater.errors import HeadwaterError, Unavailable
from headwater.web.shapes import Problem

_encode = msgspec.json.Encoder().encode

PROBLEM = "application/problem+json"
# A passing trouble whose end nobody knows: soon enough for a person who waits, rare enough for a store in need.
RETRY_AFTER_S = 1


def problem(error: HeadwaterError) -> Response:
    """The error as `application/problem+json`."""
    return Response(_encode(problem_of(error)), error.status, refusal_headers(error), PROBLEM)


def problem_of(error: HeadwaterError) -> Problem:
    """The error's document."""
    retry_after = _retry_after(error)
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


def refusal_headers(error: HeadwaterError) -> dict[str, str]:
    """The headers of an error's answer, in whatever shape it is."""
    retry_after = _retry_after(error)
    return error.headers | ({"Retry-After": str(retry_after)} if retry_after is not None else {})


def _retry_after(error: HeadwaterError) -> int | None:
    if error.retry_after is None and isinstance(error, Unavailable):
        return RETRY_AFTER_S
    return error.retry_after
