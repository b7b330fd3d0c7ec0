"""The document at /openapi.json, made of the route table, what its endpoints declare, and the Structs."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from msgspec import Struct, to_builtins
from msgspec.json import schema_components
from msgspec.structs import fields
from starlette.routing import BaseRoute, Route
from starlette.schemas import BaseSchemaGenerator, EndpointInfo

from headwater.errors import (
    BadRequest,
    Forbidden,
    HeadTooLarge,
    HeadwaterError,
    Invalid,
    MalformedJSON,
    MethodNotAllowed,
    NotFound,
    RequestTimeout,
    TooLarge,
    TooMany,
    Unauthenticated,
    UnsupportedMediaType,
)
from headwater.formats.openai import response_id
from headwater.version import VERSION
from headwater.web.examples import ROOM_NAME, RUN_ID, STORE_AWAY
from headwater.web.openai.errors import ErrorBody, error_body, is_openai, status_of
from headwater.web.operation import Answer, Body, Operation, Parameter, operation_of
from headwater.web.problems import PROBLEM, problem_of
from headwater.web.shapes import Problem

Json = dict[str, Any]

_SCHEMA: Final = "#/components/schemas/{name}"

_ABOUT: Final = (
    "Start a model's answer once; every token of it is kept, and whoever may see it follows it from anywhere. "
    "Errors are problem documents (RFC 9457), and on OpenAI's routes its error objects. "
    "A server without keys and tokens asks nobody who they are. "
    "HEAD works wherever GET does. A passing refusal of a GET that accepts `text/event-stream` is a 200 with a "
    "`retry:` and a close, as an EventSource gives up for good on anything else."
)
_SECURITY: Final = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key, or a token that the app minted (JWT). "
        "Its scopes are among runs:read, runs:write, rooms:read, rooms:write and admin, which includes all others.",
    },
    "ticket": {
        "type": "apiKey",
        "in": "query",
        "name": "ticket",
        "description": "From `POST /v1/tickets`, for one run: where a browser lets a page set no header.",
    },
}
_RATES: Final = {
    "RateLimit": "Of the tightest limit, where limits hold: what is left of it, and for how long.",
    "RateLimit-Policy": "What that limit is.",
}
_PATH: Final = {
    "run_id": ("The run's id, as its start gave it.", RUN_ID),
    "model": ("The model's name, which may hold slashes.", "demo"),
    "room": ("The room's name.", ROOM_NAME),
    "response_id": ("The response's id, as its start gave it; a run's will do.", response_id(RUN_ID)),
}

# What never comes to the app: whatever the path, it is said in one way.
_BEFORE: Final = (
    BadRequest("This is not a request that HTTP/1.1 knows."),
    RequestTimeout("The request's headers did not arrive within 30 s."),
    HeadTooLarge("The request's line and headers are over the limit of 65536 bytes.", limit=65536),
)
# What stands before every endpoint can answer, and what reading a body can.
_ALWAYS: Final = (
    MethodNotAllowed("PUT is not allowed here. Allowed: GET, HEAD, POST."),
    HeadwaterError("Something went wrong here that is not your fault. The server's log says what."),
)
_GUARDED: Final = (
    Unauthenticated("The credential is not valid, or not any more: get a new one."),
    TooMany("More than 1200 requests a minute from this credential. Try again in 7 s.", limit=1200, retry_after=7),
    STORE_AWAY,
)
_FOREIGN: Final = Forbidden(
    "Pages of this origin may not use this server: add it to HEADWATER_ORIGINS.", field="Origin"
)
_READING: Final = (
    MalformedJSON("The body is not JSON: invalid character, at byte 10."),
    RequestTimeout("The body did not arrive within 30 s."),
    TooLarge("The body is over the limit of 1048576 bytes.", limit=1048576),
    UnsupportedMediaType("The Content-Type must be application/json, not text/plain."),
)
_HEADERS: Final = {
    401: {"WWW-Authenticate": "How to say who you are."},
    405: {"Allow": "The methods of this address."},
    429: {"Retry-After": "Seconds to wait."} | _RATES,
    503: {"Retry-After": "Seconds to wait."},
}


class _Shape(NamedTuple):
    """How errors are told."""

    media_type: str
    kind: type[Struct]
    status_of: Callable[[HeadwaterError], int]
    body_of: Callable[[HeadwaterError], Struct]


_PROBLEM: Final = _Shape(PROBLEM, Problem, lambda error: error.status, problem_of)
_OPENAI: Final = _Shape("application/json", ErrorBody, status_of, error_body)


class Document(BaseSchemaGenerator):
    """Describes every route that is not hidden. Raises AttributeError for an endpoint that declares nothing."""

    def get_schema(self, routes: list[BaseRoute]) -> Json:
        endpoints = self.get_endpoints(routes)
        convertors = {route.path_format: route.param_convertors for route in routes if isinstance(route, Route)}
        paths: dict[str, Json] = {}
        for endpoint in endpoints:
            operation = operation_of(endpoint.func)
            path = paths.setdefault(endpoint.path, {})
            path[endpoint.http_method] = _described(endpoint, operation)
            if patterns := convertors.get(endpoint.path):
                path["parameters"] = [_path_parameter(name, one.regex) for name, one in patterns.items()]
        kinds = {kind: None for endpoint in endpoints for kind in _kinds(operation_of(endpoint.func))}
        return {
            "openapi": "3.1.0",
            "info": {"title": "Headwater", "version": VERSION, "description": _ABOUT},
            "paths": paths,
            "components": {
                "schemas": schema_components([*kinds, Problem, ErrorBody], ref_template=_SCHEMA)[1],
                "securitySchemes": _SECURITY,
            },
        }


def _kinds(operation: Operation) -> Iterator[type[Struct]]:
    if operation.body is not None:
        yield operation.body.kind
    yield from (type(answer.example) for answer in operation.answers if isinstance(answer.example, Struct))


def _described(endpoint: EndpointInfo, operation: Operation) -> Json:
    """An operation object."""
    told: Json = {"operationId": endpoint.func.__name__, "tags": [_tag(endpoint.path)]}
    told |= _words(endpoint.func, operation)
    if operation.guarded:
        told["security"] = _security(endpoint, operation)
    if operation.parameters:
        told["parameters"] = [_parameter(parameter) for parameter in operation.parameters]
    if operation.body is not None:
        told["requestBody"] = _request(operation.body)
    told["responses"] = _answers(operation) | _refusals(endpoint, operation)
    return told


def _tag(path: str) -> str:
    """What it is about: a collection of the API, or operations."""
    _, version, collection, *_ = [*path.split("/"), ""]
    return collection if version == "v1" else "ops"


def _words(func: Callable[..., object], operation: Operation) -> Json:
    """The docstring, without the route before its first sentence; and the scope."""
    first, _, rest = (func.__doc__ or "").strip().partition("\n")
    summary = first.rpartition("`: ")[2]
    needs = f"Needs the scope `{operation.needs}`." if operation.needs is not None else ""
    description = "\n\n".join(text for text in (rest.strip(), needs) if text)
    return {"summary": summary[:1].upper() + summary[1:]} | ({"description": description} if description else {})


def _security(endpoint: EndpointInfo, operation: Operation) -> list[Json]:
    scopes = [operation.needs] if operation.needs is not None else []
    if operation.needs == "runs:read" and "{run_id}" in endpoint.path:
        return [{"bearer": scopes}, {"ticket": []}]
    return [{"bearer": scopes}]


def _path_parameter(name: str, regex: str) -> Json:
    description, example = _PATH[name]
    schema = {"type": "string", "pattern": f"^{regex}$"}
    return {
        "name": name, "in": "path", "required": True, "description": description, "schema": schema, "example": example
    }  # fmt: skip


def _parameter(parameter: Parameter) -> Json:
    return {
        "name": parameter.name,
        "in": parameter.where,
        "description": parameter.description,
        "schema": parameter.schema,
        "example": parameter.example,
    }


def _request(body: Body) -> Json:
    examples = {name: {"value": to_builtins(example)} for name, example in body.examples.items()}
    return {"required": True, "content": {"application/json": {"schema": _ref(body.kind), "examples": examples}}}


def _ref(kind: type[Struct]) -> Json:
    return {"$ref": _SCHEMA.format(name=kind.__name__)}


# -- what comes back


def _answers(operation: Operation) -> Json:
    by_status: dict[int, list[Answer]] = {}
    for answer in operation.answers:
        by_status.setdefault(answer.status, []).append(answer)
    rates = _RATES if operation.guarded else {}
    return {str(status): _answer(answers, rates) for status, answers in by_status.items()}


def _answer(answers: Sequence[Answer], rates: dict[str, str]) -> Json:
    headers: dict[str, str] = {}
    by_type: dict[str, list[Answer]] = {}
    for answer in answers:
        headers |= answer.headers
        if answer.example is not None:
            by_type.setdefault(answer.media_type, []).append(answer)
    description = " ".join(dict.fromkeys(answer.description for answer in answers))
    content = {media_type: _content(some) for media_type, some in by_type.items()}
    return {"description": description} | _headers(headers | rates) | ({"content": content} if content else {})


def _content(answers: Sequence[Answer]) -> Json:
    example = answers[0].example
    if isinstance(example, Struct):
        return {"schema": _ref(type(example)), "example": to_builtins(example)}
    schema = {"type": "string" if isinstance(example, str) else "object"}
    if len(answers) == 1:
        return {"schema": schema, "example": example}
    return {"schema": schema, "examples": {answer.name: {"value": answer.example} for answer in answers}}


def _headers(headers: dict[str, str]) -> Json:
    described = {name: {"description": text, "schema": {"type": "string"}} for name, text in headers.items()}
    return {"headers": described} if described else {}


# -- what is refused


def _errors(endpoint: EndpointInfo, operation: Operation) -> Iterator[HeadwaterError]:
    """One of each kind that can come from the app, what the endpoint itself says first."""
    yield from operation.errors
    yield from _ALWAYS
    if "{" in endpoint.path:
        yield NotFound(f"There is nothing at {re.sub('{.+?}', 'run:1', endpoint.path)}.")
    if operation.guarded:
        yield from _GUARDED
    if operation.needs is not None:
        yield Forbidden(f"This needs the scope {operation.needs}; the credential has rooms:read.")
    if endpoint.http_method != "get":
        yield _FOREIGN
    if operation.body is not None:
        yield from _READING
        missing = next((field.encode_name for field in fields(operation.body.kind) if field.required), "run")
        yield Invalid(f"{missing}: Object missing required field `{missing}`.", field=missing)


def _refusals(endpoint: EndpointInfo, operation: Operation) -> Json:
    """The errors by status, each in its shape, with an example of each code."""
    shape = _OPENAI if is_openai(endpoint.path) else _PROBLEM
    told = [(shape, error) for error in _errors(endpoint, operation)] + [(_PROBLEM, error) for error in _BEFORE]
    by_status: dict[int, dict[_Shape, list[HeadwaterError]]] = {}
    for said, error in told:
        by_status.setdefault(said.status_of(error), {}).setdefault(said, []).append(error)
    return {str(status): _refusal(status, by_status[status]) for status in sorted(by_status)}


def _refusal(status: int, shapes: dict[_Shape, list[HeadwaterError]]) -> Json:
    titles = dict.fromkeys(error.title for errors in shapes.values() for error in errors)
    content = {shape.media_type: _examples(shape, errors) for shape, errors in shapes.items()}
    return {"description": "; ".join(titles)} | _headers(_HEADERS.get(status, {})) | {"content": content}


def _examples(shape: _Shape, errors: Sequence[HeadwaterError]) -> Json:
    examples: dict[str, Json] = {}
    for error in errors:
        examples.setdefault(error.code, {"value": to_builtins(shape.body_of(error))})
    return {"schema": _ref(shape.kind), "examples": examples}
