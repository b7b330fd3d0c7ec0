"""From JSON to our types. Fields that a newer server adds are left aside."""

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, TypeVar, cast

from headwater_client.core.trouble import Broken
from headwater_client.runs import Failure, Page, Part, Run, RunAttempt, ToolCall, Usage

T = TypeVar("T")


def known(kind: type[T], data: Any, **nested: Callable[[Any], Any]) -> T:
    """An object of this type from what a server said; `nested` reads fields that are objects. Raises Broken."""
    try:
        given = {field.name: data[field.name] for field in fields(cast(Any, kind)) if field.name in data}
        for name, read in nested.items():
            if given.get(name) is not None:
                given[name] = read(given[name])
        return kind(**given)
    except (TypeError, AttributeError, ValueError) as error:
        raise Broken(f"this is no {kind.__name__}: {data!r:.200}") from error


def json_of(text: str | bytes) -> dict[str, Any]:
    """The JSON object in it. Raises Broken."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Broken(f"this is no JSON: {text!r:.200}") from error
    if not isinstance(data, dict):
        raise Broken(f"this is no JSON object: {text!r:.200}")
    return data


def part_of(data: Mapping[str, Any]) -> Part:
    """A part, or the content of a delta."""
    return known(Part, data, tool_call=tool_call_of)


def parts_of(data: Any) -> tuple[Part, ...]:
    return tuple(part_of(part) for part in data)


def tool_call_of(data: Any) -> ToolCall:
    return known(ToolCall, data)


def usage_of(data: Any) -> Usage:
    return known(Usage, data)


def failure_of(data: Any) -> Failure:
    return known(Failure, data)


def attempts_of(data: Any) -> tuple[RunAttempt, ...]:
    return tuple(known(RunAttempt, attempt, usage=usage_of) for attempt in data)


def run_of(data: Any) -> Run:
    return known(Run, data, parts=parts_of, usage=usage_of, error=failure_of, attempts=attempts_of)


def page_of(data: Any) -> Page:
    try:
        return Page(tuple(run_of(row) for row in data["data"]), bool(data["has_more"]))
    except (KeyError, TypeError) as error:
        raise Broken(f"this is no page of runs: {data!r:.200}") from error
