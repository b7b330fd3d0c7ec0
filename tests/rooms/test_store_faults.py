"""Redis is killed, wiped, replaced by a copy that lacks the newest, and the news of it are lost: everybody ends with
the same, and is told where what they knew is no longer so."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.streaming.texts import pieces
from tests.support.faulty_proxy import FaultyProxy
from tests.support.redis_server import RedisServer
from tests.support.room_client import RoomClient
from tests.support.room_view import RoomView
from tests.support.upstream import Script
from tests.support.waiting import eventually
from tests.workers.cluster import Cluster

pytestmark = pytest.mark.anyio

TELLER = "teller"
STORY = Script(pieces=pieces(120, seed=5), interval_s=0.02)
CHECK_S = 1.0
LOST = 4409
MEMBERS, MESSAGES = 6, 10
# From the loss until everybody is in again: two looks at the store, and a slow machine.
SOON_S = 2 * CHECK_S + 4.0


class Place:
    """Three workers on a Redis that forgets nothing, and the network before it."""

    def __init__(self, redis: RedisServer, proxy: FaultyProxy, cluster: Cluster) -> None:
        self.redis = redis
        self.proxy = proxy
        self.cluster = cluster

    def member(self, room: str, number: int) -> RoomClient:
        """Somebody who always comes to the same worker; neighbours come to different ones."""
        urls = self.cluster.urls
        return RoomClient(urls[number % len(urls)], room, f"m{number}")

    def wipe(self) -> None:
        """Everything that was stored is gone."""
        self.redis.ask("FLUSHALL")

    def fail_over(self, to: RedisServer) -> None:
        """Another takes the place of the one that is there."""
        self.proxy.target = ("127.0.0.1", to.port)
        self.proxy.cut()


@pytest.fixture(scope="module")
async def built(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    directory = tmp_path_factory.mktemp("faults")
    async with (
        RedisServer(directory, appendonly=True) as redis,
        FaultyProxy("127.0.0.1", redis.port) as proxy,
        Cluster(directory, proxy.url, models={TELLER: STORY}, check_s=CHECK_S, store_timeout_s=1) as cluster,
    ):
        yield Place(redis, proxy, cluster)


@pytest.fixture
async def place(built: Place) -> AsyncIterator[Place]:
    """As it is after any test: in order."""
    yield built
    built.proxy.drop_messages = 0.0
    if not built.redis.running:
        await asyncio.to_thread(built.redis.start)
    if built.proxy.target[1] != built.redis.port:
        built.fail_over(built.redis)


# -- what happens


async def come(stack: AsyncExitStack, members: Sequence[RoomClient]) -> None:
    """All of them come in, and know of each other."""
    for member in members:
        await stack.enter_async_context(member)


async def talk(members: Sequence[RoomClient], messages: int, word: str = "says", *, tokens: int = 0) -> None:
    """Each says so many things, one after another, and between two hears so many `tokens` of an answer."""

    async def one(member: RoomClient) -> None:
        for number in range(messages):
            await member.until(partial(may_go_on, number * tokens), "hears the answer")
            await member.say(f"{member.name} {word} {number}")
            await member.until(lambda view: not view.outbox, "is answered")

    await asyncio.gather(*(one(member) for member in members))


def may_go_on(token: int, view: RoomView) -> bool:
    """Whether the answer has come so far, or is lost."""
    return grown(view) >= token or view.began > 1


def grown(view: RoomView) -> int:
    """How far the room's answer has come."""
    return max((answer.seq for answer in view.answers.values()), default=0)


async def all_until(members: Sequence[RoomClient], condition: Any, what: str) -> None:
    await asyncio.gather(*(member.until(condition, what) for member in members))


async def everybody_agrees(members: Sequence[RoomClient]) -> None:
    """All have heard as much, and what two of them know of is the same."""
    await all_until(members, lambda view: view.settled, "has heard of its own")
    furthest = max(member.view.seq for member in members)
    await all_until(members, lambda view: view.seq >= furthest, "has heard all")
    known: dict[int, tuple[str, str]] = {}
    for member in members:
        for seq, what in history(member.view).items():
            assert known.setdefault(seq, what) == what, f"{member!r} has another {seq}"


def history(view: RoomView) -> dict[int, tuple[str, str]]:
    """What it holds of the room's messages, from the page and since: the ids and the texts, by seq."""
    said = [push for push in (*view.page, *view.messages) if "run" not in push]
    return {push["seq"]: (push["id"], push["text"]) for push in said}


def texts(view: RoomView) -> list[str]:
    return [text for _, text in history(view).values()]


# -- restarted


async def test_a_redis_that_is_killed_and_restarted_while_people_talk_and_an_answer_grows(place: Place) -> None:
    async with AsyncExitStack() as stack:
        members = [place.member("restarted", number) for number in range(MEMBERS)]
        await come(stack, members)
        await members[0].say("Tell me the story.", mentions=[TELLER])
        talking = asyncio.create_task(talk(members, MESSAGES, tokens=6))
        for token in (20, 50):
            await members[1].until(partial(may_go_on, token))
            await asyncio.to_thread(place.redis.kill)
            await asyncio.to_thread(place.redis.restart)
        await talking
        events = MEMBERS * MESSAGES + 3  # the question, and the answer's two
        await all_until(members, lambda view: view.seq == events and view.settled, "has heard all")
    for member in members:
        (answer,) = member.view.answers.values()
        assert answer.end is not None
        assert (answer.end["status"], answer.text) == ("completed", STORY.text)
        assert answer.text.startswith(answer.grown) and answer.rewritten == 0
        assert (member.view.began, member.view.log) == (1, members[0].view.log), f"{member!r} did not recover"
        assert len(set(texts(member.view))) == MEMBERS * MESSAGES + 1


# -- wiped


async def test_after_a_wipe_everybody_is_told_soon_though_nobody_says_anything(place: Place) -> None:
    async with AsyncExitStack() as stack:
        members = [place.member("wiped", number) for number in range(MEMBERS)]
        await come(stack, members)
        await talk(members, 2)
        await everybody_agrees(members)
        before = members[0].view.position
        place.wipe()
        began = time.monotonic()
        await all_until(members, lambda view: view.began == 2, "is told")
        assert time.monotonic() - began < SOON_S
        for member in members:
            assert [code for code, _ in member.closes] == [LOST]
            assert (member.view.page, member.view.seq) == ([], 0), "nothing is left, and nothing is pretended"
        await talk(members, 2)
        await everybody_agrees(members)
        assert members[0].view.seq == MEMBERS * 2 and members[0].view.position != before, "it is another history"


@pytest.mark.parametrize("restarts", [False, True], ids=["wiped", "restarted empty"])
async def test_a_wipe_while_people_talk_and_an_answer_grows(place: Place, restarts: bool) -> None:
    async with AsyncExitStack() as stack:
        members = [place.member(f"wiped-talk-{restarts}", number) for number in range(MEMBERS)]
        await come(stack, members)
        await members[0].say("Tell me the story.", mentions=[TELLER])
        talking = asyncio.create_task(talk(members, MESSAGES, tokens=6))
        await members[1].until(lambda view: grown(view) >= 20)
        place.wipe()
        if restarts:
            await asyncio.to_thread(place.redis.kill)
            await asyncio.to_thread(place.redis.restart)
        await talking
        await all_until(members, lambda view: view.began >= 2, "is told")
        await talk(members, 1, "says at last")
        await everybody_agrees(members)
        for member in members:
            assert not member.view.answers, "the answer is lost, too"
            assert {f"{one.name} says at last 0" for one in members} <= set(texts(member.view))
            assert len(texts(member.view)) == len(set(texts(member.view))), "nothing is there twice"


async def test_who_comes_back_later_to_another_history_is_told_however_long_that_is(place: Place) -> None:
    async with AsyncExitStack() as stack:
        members = [place.member("back", number) for number in range(3)]
        await come(stack, members)
        await talk(members, 1)
        await everybody_agrees(members)
        away, *others = members
        await away.leave()
        place.wipe()
        await all_until(others, lambda view: view.began == 2, "is told")
        await talk(others, 5)
        await everybody_agrees(others)
        assert others[0].view.seq > away.view.seq
        await away.come_in()
        await away.until(lambda view: view.began == 2, "is told")
        assert history(away.view) == history(others[0].view)
        await talk(members, 1, "says again")
        await everybody_agrees(members)


# -- a replica takes over


async def test_a_replica_that_lacks_the_newest_takes_over(place: Place, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        replica = await stack.enter_async_context(RedisServer(tmp_path, replica_of=place.redis))
        members = [place.member("failover", number) for number in range(MEMBERS)]
        early, late, *present = members
        await come(stack, members)
        await talk(members, 1)
        await everybody_agrees(members)
        await early.leave()
        await eventually(lambda: in_step(place.redis, replica), what="the replica is in step")
        replica.ask("REPLICAOF", "NO", "ONE")
        await talk(present, 2, "says in vain")
        await everybody_agrees([late, *present])
        await late.leave()
        place.fail_over(replica)
        await all_until(present, lambda view: view.began == 2, "is told")
        await early.come_in()
        await early.until(lambda view: view.joined == 2)
        assert early.view.began == 1, "what it knows has survived"
        await talk([early, *present], 3, "says again")
        await late.come_in()
        await late.until(lambda view: view.began == 2, "is told")
        await everybody_agrees(members)
        for member in members:
            assert sorted(texts(member.view)) == sorted(
                [f"{one.name} says 0" for one in members]
                + [f"{one.name} says again {number}" for one in (early, *present) for number in range(3)]
            )


def in_step(primary: RedisServer, replica: RedisServer) -> bool:
    """Whether the replica has all that the primary has."""
    there, here = primary.ask("INFO", "replication"), replica.ask("INFO", "replication")
    return bool(there["master_repl_offset"] == here["slave_repl_offset"])


# -- news that are lost


async def test_what_no_worker_was_told_of_is_found_by_looking(place: Place) -> None:
    async with AsyncExitStack() as stack:
        members = [place.member("dropped", number) for number in range(3)]
        await come(stack, members)
        await talk(members, 1)
        await everybody_agrees(members)
        place.proxy.drop_messages = 1.0
        dropped = place.proxy.dropped
        began = time.monotonic()
        await talk(members[:1], 3, "is not heard")
        await everybody_agrees(members)
        assert time.monotonic() - began < SOON_S
        assert place.proxy.dropped >= dropped + 2 * 3, "each of the others was not told"
        assert [member.connections for member in members] == [1, 1, 1]
