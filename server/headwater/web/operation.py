"""What an endpoint is: whom it is open to, and what the document at /openapi.json says of it."""

from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from typing import Any, Final, Literal

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from headwater.core.access import Principal, Scope
from headwater.errors import Forbidden, HeadwaterError
from headwater.state import AppState
from headwater.web.auth import principal_of

_ATTRIBUTE: Final = "headwater_operation"

Endpoint = Callable[[Request[AppState]], Awaitable[Response]]
Schema = Mapping[str, Any]
"""A JSON schema."""


class Parameter(Struct, frozen=True, kw_only=True):
    """One that may be left out, in the query or a header."""

    name: str
    where: Literal["query", "header"]
    description: str
    schema: Schema
    example: str | int


class Body(Struct, frozen=True):
    """A JSON body: the Struct that it is decoded into, and instances of it by name."""

    kind: type[Struct]
    examples: Mapping[str, Struct]


class Answer(Struct, frozen=True, kw_only=True):
    """One way to succeed. A Struct as its example is what its JSON is an instance of; None for no body.

    `name` tells it from others of the same status and media type.
    """

    status: int = 200
    name: str = ""
    description: str
    media_type: str = "application/json"
    example: Struct | str | Mapping[str, Any] | None
    headers: Mapping[str, str] = {}


class Operation(Struct, frozen=True, kw_only=True):
    """`needs` is the scope that its callers must have, None where it takes none to come.

    `guarded` is whether a credential is looked at at all, `errors` one of each kind that the endpoint itself raises.
    """

    needs: Scope | None
    guarded: bool
    body: Body | None
    parameters: tuple[Parameter, ...]
    answers: tuple[Answer, ...]
    errors: tuple[HeadwaterError, ...]


def operation(
    needs: Scope | None,
    *answers: Answer,
    guarded: bool | None = None,
    body: Body | None = None,
    parameters: tuple[Parameter, ...] = (),
    errors: tuple[HeadwaterError, ...] = (),
) -> Callable[[Endpoint], Endpoint]:
    """Refuse whoever lacks the scope, before the endpoint reads anything of the request; the rest describes it."""

    def declare(endpoint: Endpoint) -> Endpoint:
        @wraps(endpoint)
        async def checked(request: Request[AppState]) -> Response:
            if needs is not None:
                _check(principal_of(request), needs)
            return await endpoint(request)

        declared = Operation(
            needs=needs,
            guarded=needs is not None if guarded is None else guarded,
            body=body,
            parameters=parameters,
            answers=answers,
            errors=errors,
        )
        setattr(checked, _ATTRIBUTE, declared)
        return checked

    return declare


def operation_of(endpoint: Callable[..., object]) -> Operation:
    """What was declared of a route's endpoint. Raises AttributeError where nothing was."""
    declared: Operation = getattr(endpoint, _ATTRIBUTE)
    return declared


def _check(principal: Principal, needs: Scope) -> None:
    if not principal.may(needs):
        has = " ".join(sorted(principal.scopes)) or "none"
        raise Forbidden(f"This needs the scope {needs}; the credential has {has}.")
