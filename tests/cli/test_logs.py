"""What the server logs of an address: never a ticket."""

import contextlib
import logging
import re
from pathlib import Path

import httpx2
import pytest
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from headwater.cli.logs import WithoutTickets, without_tickets
from tests.api.calls import DEADLINE_S
from tests.support.server import ServerProcess

DEBUG = {"log_level": "debug"}


@pytest.mark.parametrize(
    ("written", "logged"),
    [
        ("/v1/runs/run_a/events?ticket=hwt_marked", "/v1/runs/run_a/events?ticket=…"),
        ("/x?after=1-2&ticket=hwt_marked&format=text", "/x?after=1-2&ticket=…&format=text"),
        ("/x?ticket=marked&ticket=marked", "/x?ticket=…&ticket=…"),
        ("/x?%74icke%74=marked", "/x?%74icke%74=…"),
        ("/x?ticket=mar=ked", "/x?ticket=…"),
        ("/x?a?ticket=marked", "/x?a?ticket=…"),
        ("/x?ticket=", "/x?ticket=…"),
        ("/x?tickets=12&my_ticket=7", "/x?tickets=12&my_ticket=7"),
        ("/ticket=12?a=b", "/ticket=12?a=b"),
        ("/x", "/x"),
    ],
)
def test_tickets_are_taken_out_of_addresses(written: str, logged: str) -> None:
    assert without_tickets(written) == logged


def test_of_a_record_only_the_tickets_are_gone() -> None:
    args = ("127.0.0.1:1", "GET", "/x?ticket=marked&after=1", "1.1", 200)
    record = logging.LogRecord("uvicorn.access", logging.INFO, "", 1, '%s - "%s %s HTTP/%s" %d', args, None)
    assert WithoutTickets().filter(record)
    assert record.getMessage() == '127.0.0.1:1 - "GET /x?ticket=…&after=1 HTTP/1.1" 200'


def test_the_access_log_has_requests_but_no_tickets(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, settings=DEBUG) as server:
        httpx2.get(f"{server.url}/v1/runs/run_x/events?ticket=marked&after=1-2", timeout=DEADLINE_S)
        assert server.terminate() == 0
        assert re.search(r'"GET /v1/runs/run_x/events\?ticket=…&after=1-2 HTTP/1.1" 4', server.stderr)
        assert "marked" not in server.stderr


def test_the_log_of_web_sockets_has_no_credential_of_any_kind(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, settings=DEBUG) as server:
        address = f"ws://127.0.0.1:{server.port}/v1/rooms/lobby/ws?ticket=marked"
        offered = [Subprotocol("headwater.v1"), Subprotocol("headwater.token.marked")]
        headers = {"Authorization": "Bearer marked"}
        with (
            contextlib.suppress(WebSocketException),  # it may be refused
            connect(address, subprotocols=offered, additional_headers=headers, proxy=None) as socket,
        ):
            socket.send('{"type": "auth", "token": "marked"}')
            socket.recv(DEADLINE_S)
        assert server.terminate() == 0
        assert "WebSocket /v1/rooms/lobby/ws?ticket=…" in server.stderr, "it was seen"
        assert "marked" not in server.stderr
