"""Bodies that look dangerous and are not."""

import httpx2
import pytest

from tests.api.calls import BODY_MAX, ended


@pytest.mark.parametrize(
    "body",
    [
        r'{"input":"\\u0000 is how JSON writes it"}',
        r'{"input":"\ud83d\ude00 \ud83d\udc68\u200d\ud83d\udc69"}',
        '{"input":"a","extra":{"n":18446744073709551617,"m":1e-400,"o":-0}}',
        '{"input":"a","seed":123456789012345678901234567890}',
        '{"input":"a","extra":{"a":' + "[" * 60 + "]" * 60 + "}}",
        ' \r\n\t{"input":"a"}\n',
        '{"input":"a","input":"b"}',
    ],
    ids=["escaped backslash", "surrogate pairs", "numbers", "seed", "deep", "space", "twice"],
)
def test_it_is_taken(api: httpx2.Client, body: str) -> None:
    sent = body.rstrip()[:-1] + ',"max_output_tokens":2}'
    response = api.post("/v1/runs", content=sent.encode(), headers={"Content-Type": "application/json"})
    assert response.status_code == 202, response.text
    assert ended(api, response.json())["output"] == "I am"


def test_a_body_of_exactly_the_limit_is_taken(api: httpx2.Client) -> None:
    frame = '{"input":"","max_output_tokens":2}'
    body = frame.replace('""', '"' + "a" * (BODY_MAX - len(frame)) + '"')
    assert len(body) == BODY_MAX
    response = api.post("/v1/runs", content=body.encode(), headers={"Content-Type": "Application/JSON; charset=utf-8"})
    assert response.status_code == 202, response.text
    assert ended(api, response.json())["status"] == "incomplete"
