"""What no body may have, wherever it stands in it: looked for without holding more than one way down."""

import tracemalloc
from typing import Any

import msgspec
import pytest
from starlette.requests import Request

from headwater.config import Config
from headwater.core.run import RunBody
from headwater.errors import Invalid
from headwater.web.parse import DEPTH_MAX, read_json, read_open_json

pytestmark = pytest.mark.anyio

LIMIT = 1024 * 1024


async def refused(body: Any) -> Invalid:
    """How it is refused, by both ways to read it."""
    data = msgspec.json.encode(body)
    errors = []
    for read in (read_json, read_open_json):
        with pytest.raises(Invalid) as refusal:
            await read(_request(data), RunBody, LIMIT)
        errors.append(refusal.value)
    assert str(errors[0]) == str(errors[1])
    return errors[0]


def _request(data: bytes) -> Request[Any]:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": data, "more_body": False}

    headers = [(b"content-type", b"application/json")]
    return Request({"type": "http", "method": "POST", "headers": headers, "state": {"config": Config()}}, receive)


def nested(levels: int) -> Any:
    value: Any = []
    for _ in range(levels - 1):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("extra", "path"),
    [
        ({"a": [0, {"b": "x\0"}]}, "extra.a[1].b"),
        ({"a": [[], {}, ["x\0"]]}, "extra.a[2][0]"),
        ({"a": {"b": 1}, "c": "\0"}, "extra.c"),
        ({"a": {"k\0": 1}}, "extra.a.k\0"),
    ],
)
async def test_a_nul_is_told_of_by_its_path(extra: Any, path: str) -> None:
    error = await refused({"input": "a", "extra": extra})
    assert (error.field, error.detail) == (path, f"{path}: contains a NUL character.")


async def test_deep_nesting_is_told_of_by_its_path() -> None:
    error = await refused({"input": "a", "extra": {"a": 1, "b": nested(DEPTH_MAX)}})
    assert error.field == "extra.b" + "[0]" * (DEPTH_MAX - 2 + 1) and error.limit == DEPTH_MAX


async def test_a_long_key_is_shown_by_its_beginning() -> None:
    error = await refused({"input": "a", "extra": {"k" * 20_000: ["\0"]}})
    assert error.field == f"extra.{'k' * 64}[0]"


async def test_a_wide_body_under_a_long_key_takes_little_memory() -> None:
    data = msgspec.json.encode({"input": "a", "extra": {"k" * 20_000: [0] * 20_000, "b": [[]] * 70}})
    request = _request(data)
    tracemalloc.start()
    try:
        await read_open_json(request, RunBody, LIMIT)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 32 * len(data), f"{peak} bytes for a body of {len(data)}"
