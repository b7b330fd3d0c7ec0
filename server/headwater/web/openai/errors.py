"""OpenAI's error object: how its routes say what is wrong, so that its SDKs raise what their users catch.

The shape is that of the API reference: `{"error": {"message", "type", "param", "code"}}`.
"""

from typing import Final, Literal

import msgspec
from msgspec import Struct
from starlette.responses import Response
from starlette.types import Scope

from headwater.errors import (
    Conflict,
    Forbidden,
    HeadwaterError,
    Invalid,
    NotFound,
    TooMany,
    Unauthenticated,
    UnknownModel,
    UpstreamFailed,
)
from headwater.web.parse import path_of
from headwater.web.problems import refusal_headers

_encode = msgspec.json.Encoder().encode

_ROUTES: Final = ("/v1/chat/", "/v1/models", "/v1/responses")
# What else their clients ask for, and where they ask when their base URL lacks its end.
_OTHERS: Final = tuple(
    f"/v1/{name}"
    for name in (
        *("assistants", "audio", "batches", "completions", "conversations", "embeddings", "files", "fine_tuning"),
        *("images", "moderations", "realtime", "threads", "uploads", "vector_stores", "videos"),
    )
)
_WITHOUT_BASE: Final = ("/chat/completions", "/completions", "/embeddings", "/models", "/responses")

ErrorType = Literal[
    "invalid_request_error", "authentication_error", "permission_error", "rate_limit_error", "server_error"
]


class ErrorObject(Struct, frozen=True, kw_only=True):
    """`code` is for programs, `message` for a person, `param` the part of the input that is wrong."""

    message: str
    type: ErrorType
    param: str | None
    code: str | None


class ErrorBody(Struct, frozen=True):
    """The body of every refusal on these routes."""

    error: ErrorObject


def speaks_openai(scope: Scope) -> bool:
    """Whether whoever asked for this path expects OpenAI's answers."""
    path = path_of(scope)
    return is_openai(path) or path.startswith((*_OTHERS, *_WITHOUT_BASE))


def nothing_at(scope: Scope) -> NotFound:
    """The refusal of an address that there is not, with a hint where a client was set up half."""
    hint = ": the base URL of an OpenAI client ends in /v1 here" if path_of(scope).startswith(_WITHOUT_BASE) else ""
    return NotFound(f"There is nothing at {scope['path']}{hint}.")


def is_openai(path: str) -> bool:
    """Whether this path, within the app, is one of OpenAI's."""
    return path.startswith(_ROUTES)


def openai_error(error: HeadwaterError) -> Response:
    """The error as OpenAI would say it."""
    headers = refusal_headers(error)
    if isinstance(error, Conflict):
        headers["x-should-retry"] = "false"  # the SDKs take a 409 for a lock that will be free soon
    return Response(_encode(error_body(error)), status_of(error), headers, "application/json")


def error_body(error: HeadwaterError) -> ErrorBody:
    """The error's object."""
    code = error.reason if isinstance(error, UpstreamFailed) else _CODES.get(type(error), error.code)
    return ErrorBody(ErrorObject(message=error.detail, type=_type(error), param=error.field, code=code))


def status_of(error: HeadwaterError) -> int:
    """Its status on these routes: a value that is refused is a 400 there."""
    return 400 if isinstance(error, Invalid) else error.status


# What its documentation calls them.
_CODES: Final[dict[type[HeadwaterError], str]] = {
    Invalid: "invalid_value",
    TooMany: "rate_limit_exceeded",
    Unauthenticated: "invalid_api_key",
    UnknownModel: "model_not_found",
}


def _type(error: HeadwaterError) -> ErrorType:
    match error:
        case Unauthenticated():
            return "authentication_error"
        case Forbidden():
            return "permission_error"
        case HeadwaterError(status=429):
            return "rate_limit_error"
        case HeadwaterError(status=status) if status >= 500:
            return "server_error"
        case _:
            return "invalid_request_error"
