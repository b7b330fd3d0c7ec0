"""Who missed more than is read from the store at once."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from tests.support.room_client import RoomClient
from tests.support.server import ServerProcess

pytestmark = pytest.mark.anyio

MISSED = 120
TEXT = "x" * 200


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    with ServerProcess(tmp_path, settings={"read_bytes": 4096, "window_bytes": 4096}) as server:
        yield server.url


async def test_they_get_the_first_part_with_the_join_and_the_rest_as_pushes(url: str) -> None:
    async with RoomClient(url, "lobby", "Ann") as ann:
        async with RoomClient(url, "lobby", "Ben") as ben:
            await ann.say("before")
            await ben.until(lambda view: view.seq == 1)
        for number in range(MISSED):
            await ann.say(f"{number} {TEXT}")
        await ann.until(lambda view: view.seq == 1 + MISSED and view.settled)
    view = ben.view
    async with connect(f"{url.replace('http', 'ws')}/v1/rooms/lobby/ws", max_size=None) as socket:
        await socket.send(json.dumps({"type": "join", "name": "Ben", "since": view.position}))
        joined = json.loads(await socket.recv())
        view.take(joined)
        while view.seq < 1 + MISSED:
            view.take(json.loads(await socket.recv()))
    assert joined["recovered"] and 0 < len(joined["events"]) < MISSED
    # Not in the order of saying: whoever is too fast is asked to send again, which may be after the next.
    assert view.log[1:] == ann.view.log[1:]
    assert {push["text"].partition(" ")[0] for push in view.messages[1:]} == {str(n) for n in range(MISSED)}
