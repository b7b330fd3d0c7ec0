"""The Python client, asyncio's and the other: in each recorded scene it ends where the server did."""

import asyncio
import random
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest

from headwater_client import AsyncClient, Client, HeadwaterError, Room
from tests.support.waiting import eventually, wait_until
from tests.transcripts.acts import Act
from tests.transcripts.replay import Replay
from tests.transcripts.transcript import Line, Transcript, knowledge, recorded

pytestmark = pytest.mark.anyio

PIECES = pytest.mark.parametrize("piece", [0, 1], ids=["whole", "byte by byte"])


@pytest.fixture(autouse=True)
def nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before coming back: the jitter is as small as it can be."""
    monkeypatch.setattr(random, "random", lambda: 0.0)


@asynccontextmanager
async def client_at(url: str) -> AsyncIterator[AsyncClient]:
    """A client that trusts no certificates, since none are shown: to read all those that there are takes a while."""
    async with httpx.AsyncClient(verify=False) as http, AsyncClient(url, http=http) as client:
        yield client


def wire(value: Any) -> Any:
    """A value of the client's as it would be on the wire."""
    if is_dataclass(value):
        named = {field.name: wire(getattr(value, field.name)) for field in fields(value)}
        return {name: each for name, each in named.items() if each is not None and each is not False}
    return [wire(each) for each in value] if isinstance(value, tuple | list) else value


def run_known(watch: Any) -> Line:
    """What a watch says of its run."""
    end = wire(watch.end)
    return {**end, "output": watch.text, "parts": wire(watch.parts), "position": watch.position}


def room_known(room: Any) -> Line:
    """What a room says of itself."""
    members = {member.id: member.name for member in room.members.values()}
    messages = [
        {**wire(message), "text": message.text, "parts": wire(message.parts), "reactions": message.reactions}
        for message in room.messages
    ]
    return {"position": room.position, "members": members, "marks": room.marks, "messages": messages}


def is_settled(room: Any, holds: Line) -> bool:
    """Whether all has been heard that was said."""
    known, wanted = knowledge(room_known(room)), knowledge(holds)
    same = all(known[name] == wanted[name] for name in ("position", "members", "marks"))
    return same and not any(message.pending for message in room.messages)


def does(room: Any, command: Line) -> Any:
    """A command, done by the method for it; what to await, if it is answered."""
    match command:
        case {"type": "message", "text": text, "client_id": _, **rest}:
            return room.say(text, **rest)
        case {"type": "typing"}:
            return room.send_typing()
        case {"type": "read", "position": position}:
            return room.mark_read(position)
        case {"type": kind, **rest}:
            return getattr(room, kind)(**rest)


# -- with asyncio


async def in_run(client: AsyncClient, replay: Replay) -> Line:
    watch, following = None, None
    async for act in replay.acts():
        match act:
            case {"create": {"input": question, "model": model}}:
                await client.create(question, model=model)
            case {"cancel": run}:
                await client.cancel(run)
            case {"watch": run, "after": None}:
                watch = client.watch(run)
                following = asyncio.create_task(watch.result())
            case {"watch": run, "after": after}:
                again = await client.watch(run, after=after).result()
                assert following is not None and again.status == (await following).status
    assert watch is not None and following is not None
    assert not replay.complaints
    await following
    return run_known(watch)


async def in_room(client: AsyncClient, replay: Replay) -> tuple[Line, list[str]]:
    holds, refused, doing = replay.transcript.holds, list[str](), set[asyncio.Task[None]]()

    async def do(command: Coroutine[Any, Any, object]) -> None:
        try:
            await command
        except HeadwaterError as error:
            refused.append(error.code)

    acts = replay.acts()
    assert await anext(acts) == {"join": "lobby", "name": "Ann"}
    async with client.room("lobby", name="Ann") as room:
        async for act in acts:
            if (done := does(room, act["command"])) is not None:
                doing.add(asyncio.create_task(do(done)))
        assert not replay.complaints
        await asyncio.gather(*doing)
        await eventually(lambda: is_settled(room, holds), what=f"{holds} is heard")
        return room_known(room), refused


@PIECES
@pytest.mark.parametrize("path", recorded("run"), ids=lambda path: path.stem)
async def test_a_run_ends_where_the_server_did(path: Path, piece: int) -> None:
    transcript = Transcript.read(path)
    async with Replay(transcript, piece, retry_ms=1) as replay, client_at(replay.url) as client:
        assert knowledge(await in_run(client, replay)) == knowledge(transcript.holds)


@PIECES
@pytest.mark.parametrize("path", recorded("room"), ids=lambda path: path.stem)
async def test_a_room_ends_where_the_server_did(path: Path, piece: int) -> None:
    transcript = Transcript.read(path)
    async with Replay(transcript, piece, retry_ms=1) as replay, client_at(replay.url) as client:
        known, refused = await in_room(client, replay)
        assert knowledge(known) == knowledge(transcript.holds)
        assert refused == transcript.refusals


# -- without


def acts_at(url: str) -> Iterator[Act]:
    with httpx2.Client(base_url=url, trust_env=False, verify=False, timeout=30) as http:
        while (response := http.get("/next")).status_code == 200:
            yield response.json()


def in_run_without(url: str) -> Line:
    with httpx.Client(verify=False) as http, Client(url, http=http) as client, ThreadPoolExecutor() as pool:
        watch: Any = None
        following: Future[Any] | None = None
        for act in acts_at(url):
            match act:
                case {"create": {"input": question, "model": model}}:
                    client.create(question, model=model)
                case {"cancel": run}:
                    client.cancel(run)
                case {"watch": run, "after": None}:
                    watch = client.watch(run)
                    following = pool.submit(watch.result)
                case {"watch": run, "after": after}:
                    assert following is not None
                    assert client.watch(run, after=after).result().status == following.result().status
        assert following is not None
        following.result()
        return run_known(watch)


def in_room_without(url: str, holds: Line) -> tuple[Line, list[str]]:
    refused: list[str] = []

    def do(room: Room, command: Line) -> None:
        try:
            does(room, command)
        except HeadwaterError as error:
            refused.append(error.code)

    acts = acts_at(url)
    assert next(acts) == {"join": "lobby", "name": "Ann"}
    with httpx.Client(verify=False) as http, Client(url, http=http) as client, client.room("lobby", name="Ann") as room:
        with ThreadPoolExecutor(max_workers=1) as pool:  # the next act comes while this one waits for its answer
            for doing in [pool.submit(do, room, act["command"]) for act in acts]:
                doing.result()
        wait_until(lambda: is_settled(room, holds), what=f"{holds} is heard")
        return room_known(room), refused


@pytest.mark.parametrize("path", recorded("run"), ids=lambda path: path.stem)
async def test_a_run_ends_where_the_server_did_without_asyncio(path: Path) -> None:
    transcript = Transcript.read(path)
    async with Replay(transcript, retry_ms=1) as replay:
        known = await asyncio.to_thread(in_run_without, replay.url)
        assert not replay.complaints
    assert knowledge(known) == knowledge(transcript.holds)


@pytest.mark.parametrize("path", recorded("room"), ids=lambda path: path.stem)
async def test_a_room_ends_where_the_server_did_without_asyncio(path: Path) -> None:
    transcript = Transcript.read(path)
    async with Replay(transcript) as replay:
        known, refused = await asyncio.to_thread(in_room_without, replay.url, transcript.holds)
        assert not replay.complaints
    assert knowledge(known) == knowledge(transcript.holds)
    assert refused == transcript.refusals
