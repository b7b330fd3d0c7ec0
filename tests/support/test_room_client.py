"""The member that judges the rooms is judged here: by a small room that keeps its promises, and by broken ones."""

import asyncio
import json
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed

from tests.support.room_client import Refused, RoomClient
from tests.support.room_view import Push, RoomView

pytestmark = pytest.mark.anyio

YOU = {"id": "guest:ann", "name": "ann", "role": "write"}


class SmallRoom:
    """A room in memory. It keeps the messages it is `deaf_to`, counted as they come, but drops their connections."""

    def __init__(self, deaf_to: Collection[int] = ()) -> None:
        self.log: list[Push] = []
        self.here: set[ServerConnection] = set()
        self.messages = 0
        self.url = ""
        self._deaf_to = deaf_to

    @asynccontextmanager
    async def open(self) -> AsyncIterator["SmallRoom"]:
        async with serve(self._hold, "127.0.0.1", 0) as server:
            self.url = f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
            yield self

    async def _hold(self, socket: ServerConnection) -> None:
        name = ""
        with suppress(ConnectionClosed):
            while command := json.loads(await socket.recv()):
                if command["type"] == "join":
                    name = command["name"]
                    await self._let_in(socket, command)
                elif command["type"] == "message":
                    await self._said(socket, name, command)
                else:
                    await socket.send(json.dumps({"type": "ok", "ref": command["ref"]}))
        self.here.discard(socket)

    async def _let_in(self, socket: ServerConnection, join: Push) -> None:
        since = int(join["since"].partition("-")[0]) if "since" in join else 0
        you = {"id": f"guest:{join['name']}", "name": join["name"], "role": "write"}
        joined = {"type": "joined", "ref": join["ref"], "you": you, "members": [you], "position": f"{len(self.log)}-7"}
        how = {"recovered": True, "events": self.log[since:]} if since else {"recovered": False, "messages": []}
        self.here.add(socket)
        await socket.send(json.dumps(joined | how))

    async def _said(self, socket: ServerConnection, name: str, command: Push) -> None:
        self.messages += 1
        said = next((one for one in self.log if one["client_id"] == command["client_id"]), None)
        if said is None:
            seq = len(self.log) + 1
            said = {"type": "message", "seq": seq, "position": f"{seq}-7", "id": f"msg_{seq}", "by": f"guest:{name}"}
            said |= {"name": name, "at": 0.0, "text": command["text"], "client_id": command["client_id"]}
            self.log.append(said)
            broadcast(self.here, json.dumps(said))
        if self.messages in self._deaf_to:
            socket.transport.abort()
        else:
            told = {"type": "ok", "ref": command["ref"], "message": said["id"]}
            await socket.send(json.dumps(told))


async def test_members_who_are_cut_come_back_and_miss_nothing_and_send_again_what_was_not_answered() -> None:
    async with SmallRoom(deaf_to=range(1, 16, 3)).open() as room:
        members = [RoomClient(room.url, "small", name, cuts=[3, 3, 6]) for name in ("ann", "bob")]
        async with members[0], members[1]:
            for number in range(8):
                for member in members:
                    await member.say(f"{number}")
            for member in members:
                await member.until(lambda view: view.seq == 16 and view.settled)
    for member in members:
        assert member.view.log == room.log
        assert (member.cuts_made, member.view.began) == (3, 1)
        assert member.view.ids == {one["client_id"]: one["id"] for one in room.log if one["name"] == member.name}
    assert room.messages > 16, "some were sent again"


async def test_an_answer_to_a_command_is_its_own_and_a_lost_connection_is_said() -> None:
    async with SmallRoom().open() as room, RoomClient(room.url, "small", "ann") as ann:
        assert (await ann.ask("ping"))["type"] == "ok"
        asked = asyncio.create_task(ann.ask("ping"))
        await asyncio.sleep(0)
        ann.cut()
        with pytest.raises(ConnectionError):
            await asked
        await ann.until(lambda view: view.joined == 2)


async def test_a_member_who_does_not_read_hears_later_what_was_said_meanwhile() -> None:
    async with (
        SmallRoom().open() as room,
        RoomClient(room.url, "small", "ann", receive_buffer=4096) as ann,
        RoomClient(room.url, "small", "bob") as bob,
    ):
        ann.stop_reading()
        for number in range(5):
            await bob.say(f"{number}")
        await bob.until(lambda view: view.seq == 5)
        assert ann.view.seq <= 1, "only what it was waiting for already"
        ann.read_on()
        await ann.until(lambda view: view.seq == 5)


async def test_a_member_who_is_sent_away_for_good_does_not_come_back() -> None:
    async def send_away(socket: ServerConnection) -> None:
        await socket.close(4403, "not here")

    async with serve(send_away, "127.0.0.1", 0) as server:
        ann = RoomClient(f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}", "small", "ann")
        with pytest.raises(Refused, match="4403"):
            await ann.come_in()
        assert ann.connections == 1


# -- the view


def joined(position: str = "4-7", **fields: Any) -> Push:
    how = {"recovered": False, "messages": []} if "recovered" not in fields else {}
    return {"type": "joined", "you": YOU, "members": [YOU], "position": position, **how, **fields}


def placed(kind: str, seq: int, **fields: Any) -> Push:
    return {"type": kind, "seq": seq, "position": f"{seq}-7", **fields}


def message(seq: int, client_id: str = "c", by: str = "guest:bob") -> Push:
    return placed("message", seq, id=f"msg_{seq}", by=by, client_id=client_id, text="hi")


def end(seq: int, text: str) -> Push:
    return placed("end", seq, message="a", run="r", status="completed", text=text, parts=[{"text": text}])


RUN = placed("run", 5, message="a", run="r")
HEL = {"type": "delta", "message": "a", "after": 0, "seq": 2, "text": "hel"}
BACK = joined("5-7", recovered=True, events=[])


BROKEN: dict[str, tuple[list[Push], str]] = {
    "hole": ([message(6)], "a hole"),
    "repeat": ([message(5), message(5)], "a repeat"),
    "another's position": ([message(5) | {"position": "6-7"}], "differ"),
    "own message twice": ([message(5, "mine", "guest:ann"), message(6, "mine", "guest:ann")], "replaced before"),
    "too little missed": ([joined("6-7", recovered=True, events=[message(5)])], "do not lead to"),
    "hole in what was missed": ([joined("6-7", recovered=True, events=[message(6)])], "a hole"),
    "page out of order": ([joined("6-7", messages=[{"seq": 3}, {"seq": 2}])], "out of order"),
    "delta of nothing": ([HEL], "never began"),
    "delta twice": ([RUN, HEL, HEL], "overlap"),
    "delta left out": ([RUN, HEL | {"after": 1}], "a gap"),
    "no snapshot": ([RUN, HEL, BACK, HEL | {"after": 2, "seq": 3}], "a gap"),
    "delta after the end": ([RUN, end(6, "x"), HEL], "goes on"),
    "two ends": ([RUN, end(6, "x"), end(7, "x")], "a second end"),
    "two texts": ([RUN, end(6, "x") | {"text": "y"}], "its parts"),
    "two runs": ([RUN, RUN | {"seq": 6, "position": "6-7"}], "begins twice"),
    "unknown": ([{"type": "news"}], "unknown push"),
}


@pytest.mark.parametrize(("told", "complaint"), BROKEN.values(), ids=BROKEN)
def test_the_view_sees_each_broken_promise(told: list[Push], complaint: str) -> None:
    view = RoomView()
    view.say("mine", {})
    view.take(joined())
    with pytest.raises(AssertionError, match=complaint):
        for push in told:
            view.take(push)


def test_an_answer_grows_and_after_a_rejoin_its_snapshot_replaces_what_there_was() -> None:
    view = RoomView()
    for push in (joined(), RUN, HEL, HEL | {"after": 2, "seq": 3, "text": "lo"}, BACK):
        view.take(push)
    view.take({"type": "snapshot", "message": "a", "seq": 4, "parts": [{"text": "hello "}]})
    view.take(HEL | {"after": 4, "seq": 5, "text": "wor"})
    answer = view.answers["a"]
    assert (answer.text, answer.rewritten) == ("hello wor", 0)
    view.take(end(6, "hello world"))
    assert (answer.text, answer.grown, view.seq) == ("hello world", "hello wor", 6)


def test_what_was_said_is_unheard_until_it_is_told_and_unacknowledged_until_it_is_answered() -> None:
    view = RoomView()
    view.take(joined())
    for client_id in ("one", "two", "three"):
        view.say(client_id, {})
    view.acknowledged("one", {"type": "ok", "message": "msg_5"})
    view.take(message(5, "one", "guest:ann"))
    view.take(message(6, "two", "guest:ann"))
    view.acknowledged("three", {"type": "error", "retryable": False})
    assert (set(view.outbox), view.local, view.settled) == ({"two"}, set(), False)
    with pytest.raises(AssertionError, match="msg_6"):
        view.acknowledged("two", {"type": "ok", "message": "msg_9"})
    view.acknowledged("two", {"type": "ok", "message": "msg_6"})
    assert view.settled
