"""What comes in: bodies, headers and query parameters, refused with precise errors."""

import asyncio
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.types import Scope

from headwater.core.position import Position, parse_position
from headwater.errors import (
    BadRequest,
    Invalid,
    MalformedJSON,
    MalformedPosition,
    RequestTimeout,
    TooLarge,
    UnsupportedMediaType,
)
from headwater.state import AppState

Body = TypeVar("Body")

# Levels of arrays and objects: tools' JSON schemas have some ten; Python's own limit is near a thousand.
DEPTH_MAX = 64
# Characters of a key in a path that an error names.
KEY_SHOWN = 64
# As the Idempotency-Key draft and its users have it: a UUID, or a name with one in it.
IDEMPOTENCY_KEY_MAX = 255

_OVER: Final = (None, object())
"""What comes behind the last item of an array or object."""

_AT_BYTE = re.compile(r"\(byte (\d+)\)")
_AT_PATH = re.compile(r" - at (`key` in )?`\$(.*?)`$")
_NAMED_FIELD = re.compile(r"(?:missing required|contains unknown) field `(.+?)`")


async def read_json(request: Request[AppState], kind: type[Body], limit: int) -> Body:
    """The body, of at most `limit` bytes, as a Struct. Raises the 4xx that says what is wrong with it, and where."""
    body = await _read_body(request, limit)
    value = _decode(body, kind)
    if _may_be_strange(body):
        _refuse_strange(msgspec.to_builtins(value))
    return value


async def read_open_json(request: Request[AppState], kind: type[Body], limit: int) -> tuple[Body, dict[str, Any]]:
    """The same, for a Struct that names only some of the fields; and all of them as they came."""
    body = await _read_body(request, limit)
    given = _decode(body, dict[str, Any])
    if _may_be_strange(body):
        _refuse_strange(given)
    try:
        return msgspec.convert(given, kind), given
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from None


async def read_form(request: Request[AppState], limit: int) -> dict[str, str]:
    """The fields of a page's form, the last of each name. Raises the 4xx that says what is wrong with the body."""
    body = await _read_body(request, limit, "application/x-www-form-urlencoded")
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, errors="strict"))
    except ValueError:
        raise BadRequest("The body is not a form in UTF-8.") from None


def _may_be_strange(body: bytes) -> bool:
    return b"\\u0000" in body or body.count(b"[") + body.count(b"{") > DEPTH_MAX


async def _read_body(request: Request[AppState], limit: int, wanted: str = "application/json") -> bytes:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != wanted:
        given = f"not {media_type}" if media_type else "and there was none"
        raise UnsupportedMediaType(f"The Content-Type must be {wanted}, {given}.")
    config = request.state["config"]
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise _too_large(limit)
    body = bytearray()
    try:
        async with asyncio.timeout(config.head_timeout_s):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise _too_large(limit)
    except TimeoutError:
        detail = f"The body did not arrive within {config.head_timeout_s:g} s."
        raise RequestTimeout(detail, headers={"Connection": "close"}) from None
    except ClientDisconnect:
        raise BadRequest("The connection was closed before the body was complete.") from None
    return bytes(body)


def _too_large(limit: int) -> TooLarge:
    # The rest of the body is not read, so the connection cannot be used again.
    return TooLarge(f"The body is over the limit of {limit} bytes.", limit=limit, headers={"Connection": "close"})


def _decode(body: bytes, kind: type[Body]) -> Body:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from None
    except msgspec.DecodeError as error:
        at = _AT_BYTE.search(str(error))
        byte = int(at[1]) if at else len(body)
        reason = str(error).partition(": ")[2].partition(" (byte")[0] or str(error)
        raise MalformedJSON(f"The body is not JSON: {reason}, at byte {byte}.") from None
    except UnicodeDecodeError:
        raise MalformedJSON(_utf8_error(body)) from None
    except RecursionError:
        raise Invalid(f"The body is nested more than {DEPTH_MAX} levels deep.", limit=DEPTH_MAX) from None


def _utf8_error(body: bytes) -> str:
    try:
        body.decode()
    except UnicodeDecodeError as error:
        return f"The body is not UTF-8, at byte {error.start}."
    return "The body is not UTF-8."


def _invalid(message: str) -> Invalid:
    """msgspec's message, with the path of the field taken out of it."""
    at = _AT_PATH.search(message)
    path = at[2].lstrip(".") if at else ""
    reason = message[: at.start()] if at else message
    if at and at[1]:
        reason = f"{reason} as a key"
    named = _NAMED_FIELD.search(reason)
    if named is not None:
        path = f"{path}.{named[1]}" if path else named[1]
    return Invalid(f"{path or 'The body'}: {reason}.", field=path or None)


def _refuse_strange(value: dict[str, Any]) -> None:
    """Refuse NUL characters, which stores and clients cut strings at, and very deep nesting.

    It holds one way down at a time, and no path before there is something to say: bodies may be wide, and keys long.
    """
    way: list[object] = []
    levels = [_items(value)]
    while levels:
        step, inner = next(levels[-1], _OVER)
        if inner is _OVER[1]:
            levels.pop()
            del way[-1:]
        elif len(levels) > DEPTH_MAX:
            path = _path([*way, step])
            raise Invalid(f"{path}: nested more than {DEPTH_MAX} levels deep.", field=path, limit=DEPTH_MAX)
        elif _has_nul(step) or _has_nul(inner):
            path = _path([*way, step])
            raise Invalid(f"{path}: contains a NUL character.", field=path)
        elif isinstance(inner, dict | list | tuple):
            way.append(step)
            levels.append(_items(inner))


def _items(container: dict[str, Any] | Sequence[Any]) -> Iterator[tuple[object, Any]]:
    return iter(container.items()) if isinstance(container, dict) else enumerate(container)


def _has_nul(leaf: object) -> bool:
    return isinstance(leaf, str) and "\0" in leaf


def _path(way: Sequence[object]) -> str:
    """A way down as errors name it, of each key its beginning."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{str(step)[:KEY_SHOWN]}" for step in way)
    return "".join(steps).removeprefix(".")


def position_of(request: Request[AppState]) -> Position | None:
    """Where to go on: `Last-Event-ID`, which beats `?after=`; None for neither."""
    source, text = "Last-Event-ID", request.headers.get("last-event-id", "")
    if not text:
        source, text = "after", request.query_params.get("after", "")
    if not text:
        return None
    try:
        return parse_position(text)
    except ValueError as error:
        raise MalformedPosition(f"{source}: {error}.", field=source) from None


def idempotency_key(request: Request[AppState], longest: int = IDEMPOTENCY_KEY_MAX) -> str | None:
    """The header's value. Raises BadRequest if it is no usable key."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not 1 <= len(key) <= longest or not key.isprintable():
        raise BadRequest(
            f"Idempotency-Key must be 1 to {longest} printable characters.", field="Idempotency-Key", limit=longest
        )
    return key


def whole_number(request: Request[AppState], name: str, *, default: int, low: int, high: int) -> int:
    """A query parameter within bounds. Raises Invalid."""
    text = request.query_params.get(name)
    if text is None:
        return default
    if not re.fullmatch(r"[0-9]{1,9}", text, re.ASCII) or not low <= int(text) <= high:
        raise Invalid(f"{name} must be a whole number from {low} to {high}, not {text!r}.", field=name, limit=high)
    return int(text)


Choice = TypeVar("Choice")


def one_of(request: Request[AppState], name: str, choices: dict[str, Choice]) -> Choice | None:
    """A query parameter that names one of `choices`; None if it is absent. Raises Invalid, listing them."""
    text = request.query_params.get(name)
    if text is None:
        return None
    if text not in choices:
        raise Invalid(f"{name} must be one of {', '.join(choices)}, not {text!r}.", field=name)
    return choices[text]


def wants_event_stream(request: HTTPConnection[AppState]) -> bool:
    """Whether the caller asked for server-sent events by `Accept`."""
    return "text/event-stream" in request.headers.get("accept", "")


def path_of(scope: Scope) -> str:
    """The path within this app, wherever it is mounted."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", "")) or "/"
