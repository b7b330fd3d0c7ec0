"""A room that is removed while people are in it: all are sent away, and who comes back begins anew."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

import pytest
from starlette.testclient import TestClient, WebSocketTestSession
from starlette.websockets import WebSocketDisconnect

from headwater.app import create_app
from headwater.config import Config
from headwater.hub import Hub
from tests.support.room_client import RoomClient
from tests.support.room_view import RoomView
from tests.workers.cluster import Cluster

pytestmark = pytest.mark.anyio

LOST = 4409


async def all_until(members: Sequence[RoomClient], condition: Callable[[RoomView], object], what: str) -> None:
    await asyncio.gather(*(member.until(condition, what) for member in members))


async def test_everybody_is_sent_away_from_every_worker_and_comes_back_to_a_new_room(three_workers: Cluster) -> None:
    await everybody_begins_anew(three_workers)


async def test_on_sqlite_everybody_is_sent_away_and_comes_back_to_a_new_room(one_worker: Cluster) -> None:
    await everybody_begins_anew(one_worker)


async def everybody_begins_anew(cluster: Cluster) -> None:
    """Members on all workers talk in a room, which is removed, and go on talking in that which they come back to."""
    urls = cluster.urls
    async with AsyncExitStack() as stack:
        members = [
            await stack.enter_async_context(RoomClient(urls[number % len(urls)], "removed", f"m{number}"))
            for number in range(4)
        ]
        for member in members:
            await member.say(f"{member.name} was here")
        await all_until(members, lambda view: view.settled and view.seq == len(members), "has heard all")
        response = await cluster.client.delete(f"{urls[-1]}/v1/rooms/removed")
        assert response.status_code == 204, response.text
        await all_until(members, lambda view: view.began == 2 and len(view.members) == len(members), "is back")
        assert [member.view.page + member.view.log for member in members] == [[]] * len(members)
        await members[0].say("and again")
        await all_until(members, lambda view: view.settled and view.seq == 1, "hears what is said now")
        for member in members:
            assert [code for code, _ in member.closes] == [LOST]
            assert member.view.log == members[0].view.log


async def never(hub: Hub) -> None:
    """No look at the store saves what was not told."""


def test_where_rooms_are_not_made_by_coming_in_all_are_sent_away_and_nobody_comes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Hub, "_compare", never)
    config = Config(store="sqlite::memory:", rooms_on_the_fly=False)
    with TestClient(create_app(config)) as client:
        client.put("/v1/rooms/lobby", json={}).raise_for_status()
        with client.websocket_connect("/v1/rooms/lobby/ws") as socket:
            socket.send_json({"type": "join", "ref": "1"})
            joined = until(socket, "1")
            client.delete("/v1/rooms/lobby").raise_for_status()
            with pytest.raises(WebSocketDisconnect) as closed:
                until(socket, "never")
            assert closed.value.code == LOST
        with client.websocket_connect("/v1/rooms/lobby/ws") as socket:
            socket.send_json({"type": "join", "ref": "2", "since": joined["position"]})
            refused = until(socket, "2")
            assert (refused["code"], refused["retryable"]) == ("unknown_room", False)


def until(socket: WebSocketTestSession, ref: str) -> Any:
    """The answer to a command."""
    while (push := socket.receive_json()).get("ref") != ref:
        pass
    return push
