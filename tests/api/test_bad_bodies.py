"""Bodies that are refused: precisely, as problem documents, and without a trace."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.api.calls import QUICK, problem

HEADERS = {"Content-Type": "application/json"}


@pytest.fixture(autouse=True)
def nothing_is_started(api: httpx2.Client) -> Iterator[None]:
    before = api.get("/v1/runs").json()["data"][:1]
    yield
    after = api.get("/v1/runs").json()["data"][:1]
    assert [run["id"] for run in after] == [run["id"] for run in before]


def post(api: httpx2.Client, body: str | bytes) -> httpx2.Response:
    content = body.encode() if isinstance(body, str) else body
    return api.post("/v1/runs", content=content, headers=HEADERS)


def nested(levels: int) -> str:
    """A request with so many levels of arrays and objects."""
    return '{"input":"a","extra":{"a":' + "[" * (levels - 2) + "]" * (levels - 2) + "}}"


@pytest.mark.parametrize(
    ("body", "byte"),
    [
        ("", 0),
        ("  ", 2),
        ("{", 1),
        ('{"input": "hi",}', 15),
        ('{"input": "hi"} x', 17),
        ("{'input': 'hi'}", 1),
        ('{"input": NaN}', 10),
        (b'{"input":"a\0b"}', 11),
        (b'\xef\xbb\xbf{"input":"a"}', 0),
        ('{"input":"a"}'.encode("utf-16"), 0),
        (b'{"input":"\xff"}', 10),
        (b'{"\xff":"a"}', 2),
        (b'{"input":"\xed\xa0\x80"}', 10),
    ],
)
def test_what_is_no_json_is_refused_with_the_byte(api: httpx2.Client, body: str | bytes, byte: int) -> None:
    detail = problem(post(api, body), 400, "malformed_json")["detail"]
    assert detail.rstrip(".").rpartition("at byte ")[2] == str(byte), detail


@pytest.mark.parametrize("text", [r"a\ud800b", r"\ud800", r"\udc00", r"\ud800\ud800", r"\ud83d\u0041 and more text"])
def test_a_lone_surrogate_is_no_text(api: httpx2.Client, text: str) -> None:
    problem(post(api, f'{{"input":"{text}"}}'), 400, "malformed_json")
    problem(post(api, f'{{"input":"a","extra":{{"{text}":1}}}}'), 400, "malformed_json")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "input"),
        ({"input": None}, "input"),
        ({"input": 5}, "input"),
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": [{"role": "user", "content": 5}]}, "input[0].content"),
        ({"input": [{"role": "user"}, {"role": "robot", "content": "a"}]}, "input[1].role"),
        ({"input": [{"content": "a"}]}, "input[0].role"),
        ({"input": [{"role": "user", "text": "a"}]}, "input[0].text"),
        ({"input": "a", "imput": "b"}, "imput"),
        ({"input": "a", "model": ""}, "model"),
        ({"input": "a", "conversation": "c" * 257}, "conversation"),
        ({"input": "a", "temperature": -1}, "temperature"),
        ({"input": "a", "top_p": 1.5}, "top_p"),
        ({"input": "a", "max_output_tokens": 0}, "max_output_tokens"),
        ({"input": "a", "max_output_tokens": 1.5}, "max_output_tokens"),
        ({"input": "a", "seed": "7"}, "seed"),
        ({"input": "a", "stop": [""]}, "stop[0]"),
        ({"input": "a", "stop": ["a"] * 17}, "stop"),
        ({"input": "a", "stream": "yes"}, "stream"),
        ({"input": "a", "tools": {}}, "tools"),
        ({"input": "a", "metadata": {"": "a"}}, "metadata"),
        ({"input": "a", "metadata": {"a": 1}}, "metadata[...]"),
        ({"input": "a", "metadata": {str(number): "a" for number in range(17)}}, "metadata"),
        ({"input": "a", "extra": {"demo": {"tokens": 0}}}, "extra.demo.tokens"),
        ({"input": "a", "extra": {"demo": {"fault": "flood"}}}, "extra.demo.fault"),
        ({"input": "a", "extra": {"demo": {"speed": 1}}}, "extra.demo.speed"),
    ],
)
def test_a_wrong_missing_or_unknown_field_is_refused_by_its_path(api: httpx2.Client, body: Any, field: str) -> None:
    document = problem(post(api, json.dumps(body)), 422, "invalid")
    assert document["field"] == field
    assert field in document["detail"]


@pytest.mark.parametrize("body", ["[]", "null", "5", '"hi"', "true"])
def test_a_body_that_is_no_object_has_no_field(api: httpx2.Client, body: str) -> None:
    document = problem(post(api, body), 422, "invalid")
    assert "field" not in document
    assert "Expected `object`" in document["detail"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (r'{"input":"a\u0000b"}', "input"),
        (r'{"input":[{"role":"user","content":"\u0000"}]}', "input[0].content"),
        (r'{"input":"a","extra":{"a":{"b":["x","\u0000"]}}}', "extra.a.b[1]"),
        (r'{"input":"a","extra":{"a\u0000":1}}', "extra.a\0"),
    ],
)
def test_a_nul_is_refused_wherever_it_is(api: httpx2.Client, body: str, field: str) -> None:
    document = problem(post(api, body), 422, "invalid")
    assert (document["field"], "contains a NUL character" in document["detail"]) == (field, True)


def test_very_deep_json_is_refused(api: httpx2.Client) -> None:
    document = problem(post(api, nested(66)), 422, "invalid")
    assert (document["limit"], document["field"].startswith("extra.a[0][0]")) == (64, True)
    for body in (nested(3000), nested(20_000)):
        assert problem(post(api, body), 422, "invalid")["limit"] == 64
    objects = '{"input":"a","extra":' + '{"a":' * 3000 + "1" + "}" * 3001
    assert problem(post(api, objects), 422, "invalid")["limit"] == 64
    unclosed = post(api, nested(3000).replace("]", ""))  # which of its faults shows first is the interpreter's affair
    assert unclosed.json()["code"] in ("invalid", "malformed_json")


@pytest.mark.parametrize("number", ["1e400", "-1e400", "1e999999", "1" * 5000, "-" + "9" * 20_000])
@pytest.mark.parametrize("field", ["temperature", "seed", "max_output_tokens", "extra"])
def test_a_number_beyond_all_bounds_is_refused(api: httpx2.Client, number: str, field: str) -> None:
    value = f'{{"n":{number}}}' if field == "extra" else number
    document = problem(post(api, f'{{"input":"a","{field}":{value}}}'), 422, "invalid")
    assert document["field"] in (field, "extra[...]")
    assert len(document["detail"]) < 200, "the number is not said again"


def test_an_unknown_model_is_refused_with_the_known_ones(api: httpx2.Client) -> None:
    document = problem(post(api, '{"input":"a","model":"gpt-9"}'), 404, "unknown_model")
    assert document["detail"] == "There is no model 'gpt-9' here. Known are demo."
    assert document["field"] == "model"
    long = problem(post(api, json.dumps({"input": "a", "model": "m" * 256})), 404, "unknown_model")
    assert len(long["detail"]) < 150


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonp", "multipart/form-data"]
)
def test_another_content_type_is_refused(api: httpx2.Client, kind: str) -> None:
    headers = {"Content-Type": kind} if kind else {}
    response = api.post("/v1/runs", content=b'{"input":"a"}', headers=headers)
    detail = problem(response, 415, "unsupported_media_type")["detail"]
    assert "must be application/json" in detail and kind in detail


@pytest.mark.parametrize("key", ["", "k" * 256, "a\tb"])
def test_an_unusable_idempotency_key_is_refused(api: httpx2.Client, key: str) -> None:
    body = {"input": "a", "extra": QUICK}
    response = api.post("/v1/runs", json=body, headers={"Idempotency-Key": key})
    document = problem(response, 400, "bad_request")
    assert (document["field"], document["limit"]) == ("Idempotency-Key", 255)
