"""Who is in a room on any worker, who is typing, and how far somebody has read."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack

import pytest

from tests.support.room_client import RoomClient
from tests.support.room_view import Push, RoomView
from tests.support.sockets import room, say
from tests.workers.cluster import Cluster

pytestmark = pytest.mark.anyio

CROWD = 60
"""Members who come at once."""


class Noting(RoomView):
    """Also keeps what it was told of who comes and leaves."""

    def __init__(self) -> None:
        super().__init__()
        self.presences: list[Push] = []

    def take(self, push: Push) -> None:
        if push["type"] == "presence":
            self.presences.append(push)
        super().take(push)


class Watcher(RoomClient):
    """Somebody who notes who comes and leaves."""

    def __init__(self, where: str, room: str, name: str = "watcher") -> None:
        super().__init__(where, room, name)
        self.view: Noting = Noting()

    @property
    def came(self) -> list[str]:
        """The names of those who came, in the order in which it was told."""
        return [member["name"] for push in self.view.presences for member in push["joined"]]

    @property
    def left(self) -> list[str]:
        """Of those who left."""
        return [member["name"] for push in self.view.presences for member in push["left"]]


def names(members: Sequence[Push]) -> set[str]:
    return {member["name"] for member in members}


async def test_who_comes_in_is_told_who_is_there_on_any_worker(three_workers: Cluster) -> None:
    here, there, _ = three_workers.urls
    async with RoomClient(here, "snapshot", "ann") as ann, RoomClient(there, "snapshot", "bob") as bob:
        for one in (ann, bob):
            await one.until(lambda view: len(view.members) == 2, "sees the other")
        for number, worker in enumerate(three_workers.workers):
            with room(worker, "snapshot") as socket:
                joined = await asyncio.to_thread(say, socket, "join", name=f"cid {number}")
            assert {"ann", "bob", f"cid {number}"} <= names(joined["members"]), f"at {worker}"
            assert joined["you"]["id"] in [member["id"] for member in joined["members"]]


async def test_of_many_who_come_and_leave_at_once_is_told_in_few_words(three_workers: Cluster) -> None:
    urls = three_workers.urls
    async with Watcher(urls[0], "crowd") as watcher:
        crowd = [RoomClient(urls[number % len(urls)], "crowd", f"m{number}") for number in range(CROWD)]
        async with AsyncExitStack() as stack:
            await asyncio.gather(*(stack.enter_async_context(one) for one in crowd))
            for one in (watcher, *crowd):
                await one.until(lambda view: len(view.members) == CROWD + 1, "knows of all")
            assert sorted(watcher.came) == sorted([one.name for one in crowd]), "and of nobody twice"
            assert len(watcher.view.presences) <= CROWD / 4
        await watcher.until(lambda view: len(view.members) == 1, "is alone")
        assert sorted(watcher.left) == sorted([one.name for one in crowd])
        assert len(watcher.view.presences) <= CROWD / 2


async def test_people_are_counted_and_not_their_connections(three_workers: Cluster) -> None:
    here, there, elsewhere = three_workers.urls
    async with Watcher(here, "people") as watcher:
        phone, laptop = RoomClient(there, "people", "bob"), RoomClient(elsewhere, "people", "bob")
        async with laptop:
            await watcher.until(lambda view: "guest:bob" in view.members, "sees him")
            async with phone, RoomClient(here, "people", "cid"):
                await watcher.until(lambda view: "guest:cid" in view.members, "sees the next")
            await watcher.until(lambda view: "guest:cid" not in view.members, "sees the next leave")
            assert "guest:bob" in watcher.view.members
        await watcher.until(lambda view: "guest:bob" not in view.members, "sees him leave")
        assert (watcher.came, watcher.left) == (["bob", "cid"], ["cid", "bob"])


async def test_who_is_cut_and_comes_back_at_once_has_not_left(three_workers: Cluster) -> None:
    here, there, elsewhere = three_workers.urls
    places = iter([there, elsewhere])
    async with Watcher(here, "cut") as watcher, RoomClient(lambda: next(places), "cut", "bob") as bob:
        await watcher.until(lambda view: "guest:bob" in view.members, "sees him")
        bob.cut()
        await bob.until(lambda view: view.joined == 2, "is back")
        async with RoomClient(here, "cut", "cid"):
            await watcher.until(lambda view: "guest:cid" in view.members, "sees the next")
        assert "guest:bob" in watcher.view.members and bob.view.members["guest:bob"] == "bob"


async def test_all_who_type_are_told_on_every_worker_until_it_wears_off(three_workers: Cluster) -> None:
    async with AsyncExitStack() as stack:
        trio = [
            await stack.enter_async_context(RoomClient(url, "typing", name))
            for url, name in zip(three_workers.urls, ("ann", "bob", "cid"), strict=True)
        ]
        ann, bob, _ = trio

        async def all_see(*typing: str) -> None:
            for one in trio:
                await one.until(lambda view: names(view.typing) == set(typing), f"sees {typing} typing")

        await ann.ask("typing", on=True)
        await all_see("ann")
        await bob.ask("typing", on=True)
        await all_see("ann", "bob")
        await ann.ask("typing", on=False)
        await all_see("bob")
        await ann.ask("typing", on=True)
        await all_see("ann", "bob")
        await bob.say("here it is")
        await all_see("ann")
        await all_see()  # though she says nothing, and is still there


async def test_how_far_somebody_has_read_is_told_on_every_worker_and_to_who_comes_later(three_workers: Cluster) -> None:
    here, there, elsewhere = three_workers.urls
    async with RoomClient(here, "marks", "ann") as ann, RoomClient(there, "marks", "bob") as bob:
        for text in ("one", "two"):
            await ann.say(text)
        await bob.until(lambda view: view.seq == 2, "hears both")
        first, second = [push["position"] for push in bob.view.messages]
        await bob.ask("read", position=second)
        await ann.until(lambda view: view.marks == {"guest:bob": 2}, "is told")
        await ann.ask("read", position=first)
        await bob.until(lambda view: view.marks == {"guest:ann": 1, "guest:bob": 2}, "is told")
        await bob.ask("read", position=first)  # never back
        await ann.ask("read", position=second)
        await bob.until(lambda view: view.marks == {"guest:ann": 2, "guest:bob": 2}, "is told")
        async with RoomClient(elsewhere, "marks", "cid") as cid:
            assert cid.view.marks == {"guest:ann": 2, "guest:bob": 2}
            refused = await cid.ask("read", position="3-1")
            assert (refused["type"], refused["code"]) == ("error", "invalid")
