"""Rooms under a server that is not ours, which makes its own frames."""

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient, WebSocketTestSession

from headwater.app import create_app
from headwater.config import Config

LONG = "ä" * 15_000
BEN = {"id": "guest:Ben", "name": "Ben"}


@pytest.fixture
def client() -> Iterator[TestClient]:
    with TestClient(create_app(Config(store="sqlite::memory:"))) as client:
        yield client


def until(socket: WebSocketTestSession, kind: str) -> Any:
    while (push := socket.receive_json())["type"] != kind:
        pass
    return push


def test_a_room_is_the_same(client: TestClient) -> None:
    with client.websocket_connect("/v1/rooms/lobby/ws") as ann, client.websocket_connect("/v1/rooms/lobby/ws") as ben:
        for socket, name in ((ann, "Ann"), (ben, "Ben")):
            socket.send_json({"type": "join", "name": name})
            assert until(socket, "joined")["you"]["id"] == f"guest:{name}"
        ann.send_json({"type": "message", "client_id": "1", "text": LONG, "mentions": ["demo"]})
        assert until(ben, "message")["text"] == LONG
        first = until(ben, "delta")
        assert (first["after"], first["text"]) == (0, "I")
        ben.send_json({"type": "cancel", "run": until(ann, "run")["run"]})
        assert until(ann, "end")["status"] == "cancelled"
        assert until(ben, "end")["status"] == "cancelled"


def test_who_leaves_is_gone(client: TestClient) -> None:
    with client.websocket_connect("/v1/rooms/lobby/ws") as ann:
        ann.send_json({"type": "join", "name": "Ann"})
        assert until(ann, "joined")["members"] == [{"id": "guest:Ann", "name": "Ann"}]
        with client.websocket_connect("/v1/rooms/lobby/ws") as ben:
            ben.send_json({"type": "join", "name": "Ben"})
            while BEN not in until(ann, "presence")["joined"]:
                pass
        while BEN not in until(ann, "presence")["left"]:
            pass
