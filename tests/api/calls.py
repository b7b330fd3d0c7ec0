"""What the tests of the API say again and again."""

import json
import socket
from typing import Any

import httpx2

from tests.support.server import ServerProcess
from tests.support.sse import EventStreamParser, Message
from tests.support.waiting import wait_until

BODY_MAX = 64 * 1024
DEADLINE_S = 20.0  # generous: only ends a hang

QUICK = {"demo": {"tokens": 20, "tokens_per_s": 10_000}}
SLOW = {"demo": {"tokens": 100_000, "tokens_per_s": 50}}
"""`extra` of a run that is over at once, and of one that outlasts every test."""

LAST = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
"""The last request of a raw connection: its answer shows that what came before left the connection in order."""

ENDED = ("completed", "failed", "cancelled", "incomplete")


def start(api: httpx2.Client, extra: Any = QUICK, **fields: Any) -> Any:
    """Start a run; its summary."""
    response = api.post("/v1/runs", json={"input": "hello", "extra": extra, **fields})
    assert response.status_code == 202, response.text
    return response.json()


def get(api: httpx2.Client, run: Any) -> Any:
    """The run now."""
    response = api.get(run["url"])
    assert response.status_code == 200, response.text
    return response.json()


def producing(api: httpx2.Client, run: Any) -> Any:
    """The run, once it has output."""
    return wait_until(lambda: (now := get(api, run))["output"] and now, what="it has output")


def ended(api: httpx2.Client, run: Any) -> Any:
    """The run, once it has ended."""
    return wait_until(lambda: (now := get(api, run))["status"] in ENDED and now, what="it has ended")


def cancel(api: httpx2.Client, run: Any) -> Any:
    """Cancel it; the run then."""
    response = api.post(run["cancel_url"])
    assert response.status_code == 200, response.text
    return response.json()


def messages(stream: str) -> list[Message]:
    """The messages of an event stream."""
    return EventStreamParser().feed(stream.encode())


def problem(response: httpx2.Response, status: int, code: str) -> Any:
    """The problem document that the response must be."""
    assert response.status_code == status, (response.status_code, response.text)
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    assert (document["type"], document["status"], document["code"]) == ("about:blank", status, code)
    assert document["title"] and document["detail"]
    return document


def exchange(server: ServerProcess, *pieces: bytes) -> bytes:
    """Send these bytes over one connection; all that comes back until the server closes it."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE_S) as connection:
        for piece in pieces:
            connection.sendall(piece)
        answer = bytearray()
        try:
            while received := connection.recv(65_536):
                answer += received
        except ConnectionResetError:  # it closed without reading all that was sent
            pass
        return bytes(answer)


def split(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    """The status, headers and raw rest of an answer."""
    head, _, rest = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return int(first.split(" ")[1]), headers, rest


def raw_problem(answer: bytes, status: int, code: str) -> Any:
    """`problem` for raw bytes."""
    given, headers, body = split(answer)
    assert (given, headers["content-type"]) == (status, "application/problem+json"), answer
    document = json.loads(body)
    assert (document["status"], document["code"]) == (status, code)
    return document
