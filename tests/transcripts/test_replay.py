"""The scripted server plays its side of each scene to the tests' own readers, who end where the server did."""

import asyncio
from pathlib import Path

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError

from tests.support.event_source import EventSource, Over
from tests.support.room_client import RoomClient
from tests.transcripts.acts import Act
from tests.transcripts.replay import Replay
from tests.transcripts.transcript import RECORDED, Line, Transcript, recorded

pytestmark = pytest.mark.anyio

PIECES = pytest.mark.parametrize("piece", [0, 1], ids=["whole", "byte by byte"])


class Reader:
    """Who starts a run, follows it as a browser does, and cancels it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.source: EventSource | None = None
        self.following: asyncio.Task[Over] | None = None

    async def does(self, act: Act) -> None:
        async with httpx2.AsyncClient(base_url=self.url, trust_env=False, verify=False) as http:
            match act:
                case {"create": body}:
                    await http.post("/v1/runs", json=body, headers={"Idempotency-Key": "of-the-test"})
                case {"cancel": run}:
                    await http.post(f"/v1/runs/{run}/cancel")
                case {"watch": run, "after": None}:
                    self.source = EventSource(f"{self.url}/v1/runs/{run}/events")
                    self.following = asyncio.create_task(self._follow(self.source))
                case {"watch": run, "after": after}:
                    over = await EventSource(f"{self.url}/v1/runs/{run}/events", after=after).read()
                    assert over is Over.STOPPED

    async def _follow(self, source: EventSource) -> Over:
        over = await source.read()
        while source.follower.end is None:
            over = await source.read()
        return over


@PIECES
@pytest.mark.parametrize("path", recorded("run"), ids=lambda path: path.stem)
async def test_who_follows_a_run_ends_where_the_server_did(path: Path, piece: int) -> None:
    transcript = Transcript.read(path)
    async with Replay(transcript, piece) as replay:
        reader = Reader(replay.url)
        async for act in replay.acts():
            await reader.does(act)
        assert not replay.complaints
        assert reader.source is not None and reader.following is not None
        assert await reader.following is Over.CLOSED
    follower, holds = reader.source.follower, transcript.holds
    assert (follower.parts, follower.text) == (holds["parts"], holds["output"])
    assert follower.end is not None and follower.end["status"] == holds["status"]
    assert reader.source.last_id == holds["position"]


async def does(member: RoomClient, command: Line) -> None:
    """What the user does in the room."""
    chosen = ("type", "text", "client_id") if command["type"] == "message" else ("type",)
    fields = {name: value for name, value in command.items() if name not in chosen}
    if command["type"] == "message":
        await member.say(command["text"], **fields)
    else:
        await member.ask(command["type"], **fields)


@PIECES
@pytest.mark.parametrize("path", recorded("room"), ids=lambda path: path.stem)
async def test_who_is_in_a_room_ends_where_the_server_did(path: Path, piece: int) -> None:
    transcript = Transcript.read(path)
    holds = transcript.holds
    async with Replay(transcript, piece) as replay:
        ann = RoomClient(replay.url, "lobby", "Ann")
        async for act in replay.acts():
            match act:
                case {"join": _}:
                    await ann.come_in()
                case {"command": command}:
                    await does(ann, command)
        assert not replay.complaints
        await ann.until(lambda view: view.position == holds["position"], f"is at {holds['position']}")
        await ann.until(lambda view: view.members == holds["members"], f"knows that {holds['members']} are there")
        await ann.until(
            lambda view: view.marks | holds["marks"] == view.marks, f"knows that they have read {holds['marks']}"
        )
        await ann.until(lambda view: view.settled, "has heard of its own")
        await ann.leave()
    for message in holds["messages"]:
        if "run" in message and message["id"] in ann.view.answers:
            answer = ann.view.answers[message["id"]]
            assert answer.end is not None and (answer.text, answer.end["status"]) == (
                message["text"],
                message["status"],
            )


async def test_who_asks_for_something_else_is_complained_about() -> None:
    async with Replay(Transcript.read(RECORDED / "run-resumed.jsonl")) as replay:
        async with httpx2.AsyncClient(base_url=replay.url, trust_env=False, verify=False) as http:
            with pytest.raises(httpx2.RemoteProtocolError):
                await http.post("/v1/runs", json={"input": "something else"})
        (complaint,) = replay.complaints
    assert complaint.startswith("at line 2: ") and '"something else"' in complaint


async def test_who_says_something_else_is_complained_about() -> None:
    async with Replay(Transcript.read(RECORDED / "room-answer.jsonl")) as replay:
        async with connect(replay.url.replace("http", "ws") + "/v1/rooms/lobby/ws", proxy=None) as socket:
            await socket.send('{"type":"join","name":"Eve"}')
            with pytest.raises(ConnectionClosedError):
                await socket.recv()
        assert [act async for act in replay.acts()] == [{"join": "lobby", "name": "Ann"}]
        (complaint,) = replay.complaints
    assert complaint.startswith("at line 3: ") and '"Eve"' in complaint
