"""Requests that are refused for what is around their body: address, method, size, the HTTP itself."""

import re
from typing import Any

import httpx2
import pytest

from headwater.web.runs import FORMATS
from tests.api.calls import BODY_MAX, LAST, QUICK, ended, exchange, problem, raw_problem, split, start
from tests.support.server import ServerProcess

POST = b"POST /v1/runs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def run(api: httpx2.Client) -> Any:
    return ended(api, start(api))


# -- addresses


@pytest.mark.parametrize(
    "position",
    ["abc", "1", "1-", "-1-2", "01-2", "1-0", "0-5", "9999999999999-1", "1-2-3", "1_2", " 1-2", "١-٢", "1-2\0"],
)
def test_a_malformed_position_is_refused(api: httpx2.Client, run: Any, position: str) -> None:
    document = problem(api.get(run["events_url"], params={"after": position}), 400, "malformed_position")
    assert document["field"] == "after"


@pytest.mark.parametrize("position", [b"abc", b"\xff", b"1-2, 3-4"])
def test_a_malformed_last_event_id_is_refused_though_after_is_fine(
    api: httpx2.Client, run: Any, position: bytes
) -> None:
    response = api.get(run["events_url"], params={"after": "0-0"}, headers={b"Last-Event-ID": position})
    assert problem(response, 400, "malformed_position")["field"] == "Last-Event-ID"


def test_an_unknown_format_is_refused_with_the_known_ones(api: httpx2.Client, run: Any) -> None:
    for name in ("xml", "", "NATIVE"):
        document = problem(api.get(run["events_url"], params={"format": name}), 422, "invalid")
        assert document["detail"] == f"format must be one of {', '.join(FORMATS)}, not {name!r}."
    body = {"input": "hello", "extra": QUICK}
    assert problem(api.post("/v1/runs?format=xml", json=body), 422, "invalid")["field"] == "format"


@pytest.mark.parametrize("limit", ["0", "101", "-1", "abc", "", "1.5", "1e1", "١"])
def test_a_wrong_page_size_is_refused(api: httpx2.Client, limit: str) -> None:
    document = problem(api.get("/v1/runs", params={"limit": limit}), 422, "invalid")
    assert (document["field"], document["limit"]) == ("limit", 100)


def test_a_list_is_refused_for_an_unknown_status_or_begin(api: httpx2.Client) -> None:
    document = problem(api.get("/v1/runs?status=done"), 422, "invalid")
    assert "queued, in_progress, completed, failed, cancelled, incomplete" in document["detail"]
    assert problem(api.get("/v1/runs?before=run_nope"), 404, "unknown_run")["field"] == "before"


@pytest.mark.parametrize(
    "path", ["/nope", "/v1", "/v1/run", "/v1/runs/a%20b", "/v1/runs/%ff%00/events", "/v1/rooms/a/ws"]
)
def test_elsewhere_there_is_nothing(api: httpx2.Client, path: str) -> None:
    problem(api.get(path), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v1/runs", "GET, HEAD, POST"),
        ("OPTIONS", "/v1/runs", "GET, HEAD, POST"),
        ("PATCH", "/v1/runs/run_x", "DELETE, GET, HEAD"),
        ("GET", "/v1/runs/run_x/cancel", "POST"),
        ("POST", "/v1/runs/run_x/events", "GET, HEAD"),
        ("DELETE", "/", "GET, HEAD"),
    ],
)
def test_a_wrong_method_is_refused_with_the_right_ones(
    api: httpx2.Client, method: str, path: str, allowed: str
) -> None:
    response = api.request(method, path)
    assert allowed in problem(response, 405, "method_not_allowed")["detail"]
    assert response.headers["allow"] == allowed


# -- sizes: none of these sends all that it announces, so an answer shows that nobody waits for it


@pytest.mark.parametrize(
    "sent",
    [
        b"Content-Length: %d\r\n\r\n" % (BODY_MAX + 1) + b"x" * 10,
        b"Content-Length: %d\r\nExpect: 100-continue\r\n\r\n" % (BODY_MAX + 1),
        b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % (4 * BODY_MAX) + b"x" * (BODY_MAX + 1),
    ],
    ids=["declared", "expecting to be asked for it", "chunked"],
)
def test_a_body_over_the_limit_is_refused_without_being_read(server: ServerProcess, sent: bytes) -> None:
    answer = exchange(server, POST + sent)
    assert raw_problem(answer, 413, "too_large")["limit"] == BODY_MAX
    assert split(answer)[1]["connection"] == "close"


def test_a_body_that_does_not_come_is_not_waited_for(server: ServerProcess) -> None:
    assert (
        "within 1 s"
        in raw_problem(exchange(server, POST + b"Content-Length: 9\r\n\r\n{"), 408, "request_timeout")["detail"]
    )


def test_a_head_over_the_limit_is_refused(server: ServerProcess) -> None:
    head = b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: %b\r\n" % (n, b"x" * 1000) for n in range(80))
    assert raw_problem(exchange(server, head), 431, "head_too_large")["limit"] == 65_536
    assert raw_problem(exchange(server, b"GET / HTTP/1.1\r\nX: ", b"x" * 70_000), 431, "head_too_large")


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHos"], ids=["nothing", "half a head"])
def test_a_head_that_does_not_come_is_not_waited_for(server: ServerProcess, sent: bytes) -> None:
    assert "within 1 s" in raw_problem(exchange(server, sent), 408, "request_timeout")["detail"]


# -- the HTTP itself


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"BREW /v1/runs HTTP/1.1\r\nHost: x\r\n\r\n",
        POST + b"Content-Length: nine\r\n\r\n",
        POST + b"Content-Length: 99999999999999999999999\r\n\r\n",
        POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
    ids=["TLS", "unknown method", "no number", "huge number", "two lengths", "length and chunks"],
)
def test_what_is_no_http_is_refused_too(server: ServerProcess, sent: bytes) -> None:
    raw_problem(exchange(server, sent), 400, "bad_request")


def test_a_connection_goes_on_after_refusals(server: ServerProcess) -> None:
    """Sent all at once: each is answered, in order, and a refused body is not taken for the next request."""
    inner = b"GET /v1/runs HTTP/1.1\r\nHost: x"
    refused = [
        (POST + b"Content-Length: 2\r\n\r\n{}", b"422"),
        (POST + b"Content-Length: 1\r\n\r\n{", b"400"),
        (b"POST /v1/runs HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(inner) + inner, b"415"),
        (b"POST /nope HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", b"404"),
        (b"PUT /v1/runs HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", b"405"),
    ]
    answer = exchange(server, b"".join(sent for sent, _ in refused) + LAST)
    assert re.findall(rb"HTTP/1\.1 (\d{3}) ", answer) == [status for _, status in refused] + [b"200"]
    assert answer.endswith(b'{"status":"ok"}')


def test_garbage_behind_a_request_does_not_end_up_in_its_answer(server: ServerProcess, run: Any) -> None:
    follow = f"GET {run['events_url']} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    assert b"400 Bad Request" not in exchange(server, follow + b"\x00garbage\r\n\r\n")
