"""Members whose sockets are cut at random: what they do, and what must be true of it, in any size."""

import asyncio
import random
from collections.abc import Awaitable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.streaming.texts import pieces
from tests.support.room_client import RoomClient
from tests.support.upstream import Script
from tests.workers.cluster import WORKERS, Cluster

TELLER = "teller"
"""The model that tells the story."""

# Slow enough to be met in the middle, by members who come before the last of these tokens, however busy the machine.
TOKENS, INTERVAL_S, MET_BEFORE = 150, 0.03, 50
# Of text in each token.
PIECES = 8
# Of a member's messages that are under way at once: more than one, so that their order could suffer.
UNDER_WAY = 3
# One who came in the middle is cut within so many pushes, half a second of the story.
CUT_WITHIN = 15


def _story() -> Script:
    small = pieces(TOKENS * PIECES, seed=1)
    tokens = ["".join(small[start : start + PIECES]) for start in range(0, len(small), PIECES)]
    return Script(pieces=tokens, interval_s=INTERVAL_S)


STORY = _story()


def workers_on_redis(directory: Path, redis_url: str) -> Cluster:
    """Three workers on one Redis, not yet started, and the teller."""
    return Cluster(directory, redis_url, workers=WORKERS, models={TELLER: STORY})


def worker_on_sqlite(directory: Path) -> Cluster:
    """One worker on a SQLite file, not yet started, and the teller."""
    return Cluster(directory, f"sqlite:{directory / 'rooms.db'}", workers=1, models={TELLER: STORY})


@dataclass
class Tally:
    """What happened."""

    members: int
    events: int
    connections: int
    cuts: int

    @classmethod
    def of(cls, members: Sequence[RoomClient]) -> "Tally":
        """All members' together; `events` as each of them heard them."""
        return cls(
            len(members),
            members[0].view.seq,
            sum(member.connections for member in members),
            sum(member.cuts_made for member in members),
        )


async def everybody_talks(cluster: Cluster, seed: int, *, members: int, messages: int, cuts: int) -> Tally:
    """Each of the members says so many messages while sockets are cut; `cuts` are of all members together."""
    chance = random.Random(seed)
    room, there_is = f"talk-{seed}", range(members * messages)
    everybody = [
        RoomClient(cluster.any_url, room, f"m{number}", cuts=sorted(chance.choices(there_is, k=cuts // members)))
        for number in range(members)
    ]
    async with AsyncExitStack() as stack:
        await _all(stack.enter_async_context(member) for member in everybody)
        await _all(_talk(member, messages) for member in everybody)
        await _all(_hear_all(member, members * messages) for member in everybody)
    for member in everybody:
        _heard_all_once(member, everybody, messages)
    return Tally.of(everybody)


async def _talk(member: RoomClient, messages: int) -> None:
    for number in range(messages):
        await member.until(lambda view: len(view.outbox) < UNDER_WAY)
        await member.say(f"{member.name} says {number}")


async def _hear_all(member: RoomClient, events: int) -> None:
    await member.until(lambda view: view.seq == events and view.settled and member.calm, "has heard all")


def _heard_all_once(member: RoomClient, everybody: Sequence[RoomClient], messages: int) -> None:
    """The same sequence as everybody, all of what was said in it once, and each in the order of its sender."""
    view = member.view
    assert view.log == everybody[0].view.log, f"{member!r} and {everybody[0]!r} heard different things"
    assert view.began == 1, f"{member!r} did not recover"
    assert len({push["id"] for push in view.log}) == len(everybody) * messages
    own = [push for push in view.messages if push["by"] == view.you["id"]]
    assert [push["text"] for push in own] == [f"{member.name} says {number}" for number in range(messages)]
    assert {push["client_id"]: push["id"] for push in own} == view.ids


async def everybody_hears_the_story(cluster: Cluster, seed: int, *, rooms: int, joining: int, cuts: int) -> Tally:
    """In each room somebody asks for the story, and others come in its middle, each of whom is cut so many times."""
    chance = random.Random(seed)
    listeners: list[RoomClient] = []
    async with AsyncExitStack() as stack:
        told: list[Awaitable[Any]] = []
        for number in range(rooms):
            asker = await stack.enter_async_context(RoomClient(cluster.any_url, f"story-{seed}-{number}", "asker"))
            await asker.say("Tell me the story.", mentions=[TELLER])
            told.append(_hear_out(asker))
            for who in range(joining):
                heard = sorted(chance.choices(range(CUT_WITHIN), k=cuts))
                listener = RoomClient(cluster.any_url, asker.room, f"listener {who}", cuts=heard)
                listeners.append(listener)
                told.append(_come_in_the_middle(stack, asker, listener, chance.randrange(1, MET_BEFORE)))
        await _all(told)
    for listener in listeners:
        _heard_the_story(listener, cuts)
    return Tally.of(listeners)


async def _come_in_the_middle(stack: AsyncExitStack, asker: RoomClient, listener: RoomClient, token: int) -> None:
    await asker.until(lambda view: any(answer.seq >= token for answer in view.answers.values()))
    await stack.enter_async_context(listener)
    await _hear_out(listener)


async def _hear_out(member: RoomClient) -> None:
    view = await member.until(lambda view: any(answer.end for answer in view.answers.values()), "hears the end")
    (answer,) = view.answers.values()
    assert answer.end is not None
    assert (answer.end["status"], answer.text) == ("completed", STORY.text), f"{member!r} was told {answer.end}"
    assert answer.text.startswith(answer.grown), f"what {member!r} saw grow is not what it became"


def _heard_the_story(listener: RoomClient, cuts: int) -> None:
    (answer,) = listener.view.answers.values()
    assert listener.cuts_made == cuts, f"{listener!r} came too late to be cut so often"
    assert answer.snapshots >= 1, f"{listener!r} was not in the middle of it"
    assert answer.rewritten == 0, f"{listener!r} was told anew what it had"
    assert listener.view.began == 1, f"{listener!r} did not recover"


async def _all(awaitables: Iterable[Awaitable[object]]) -> None:
    async with asyncio.TaskGroup() as group:
        for awaitable in awaitables:
            group.create_task(_wait_for(awaitable))


async def _wait_for(awaitable: Awaitable[object]) -> None:
    await awaitable
