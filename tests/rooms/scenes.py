"""Members whose sockets are cut at random: what they do, and what must be true of it, in any size."""

import asyncio
import random
from collections.abc import Awaitable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.streaming.texts import pieces
from tests.support.room_client import RoomClient
from tests.support.room_view import Answer, RoomView
from tests.support.upstream import Script
from tests.workers.cluster import WORKERS, Cluster

TELLER = "teller"
"""The model that tells the story."""

# So long that nobody hears its end: it is stopped. Listeners come once one of the first tokens is there.
TOKENS, INTERVAL_S, MET_BEFORE = 1_000, 0.03, 50
# Of text in each token.
PIECES = 8
# Of a member's messages that are under way at once: more than one, so that their order could suffer.
UNDER_WAY = 3
# One who came in the middle is cut within so many pushes, a second of the story.
CUT_WITHIN = 30


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
    """In each room somebody asks for the story, and others come in its middle, each of whom is cut so many times in it.

    Once all have come back, whoever asked has heard enough.
    """
    chance = random.Random(seed)
    audiences = [
        [
            RoomClient(
                cluster.any_url,
                f"story-{seed}-{number}",
                f"listener {who}",
                cuts=sorted(chance.choices(range(CUT_WITHIN), k=cuts)),
            )
            for who in range(joining)
        ]
        for number in range(rooms)
    ]
    await _all(_tell_a_story(cluster, audience, chance) for audience in audiences)
    return Tally.of([listener for audience in audiences for listener in audience])


async def _tell_a_story(cluster: Cluster, audience: Sequence[RoomClient], chance: random.Random) -> None:
    async with AsyncExitStack() as stack:
        asker = await stack.enter_async_context(RoomClient(cluster.any_url, audience[0].room, "asker"))
        asked = await asker.say("Tell me the story.", mentions=[TELLER])
        await _all(_come_in_the_middle(stack, asker, one, chance.randrange(1, MET_BEFORE)) for one in audience)
        assert (await asker.ask("cancel", client_id=asked))["type"] == "ok"
        await _all(one.until(lambda view: _answer(view).end, "hears the end") for one in (asker, *audience))
    story = _answer(asker.view)
    assert story.end is not None
    assert (story.end["status"], len(story.text) > 0) == ("cancelled", True), f"it was not told: {story.end}"
    assert STORY.text.startswith(story.text)
    for one in (asker, *audience):
        answer = _answer(one.view)
        assert answer.end == story.end, f"{one!r} heard another end than {asker!r}"
        assert story.text.startswith(answer.grown), f"what {one!r} saw grow is not what it became"
        assert answer.rewritten == 0, f"{one!r} was told anew what it had"
        assert one.view.began == 1, f"{one!r} did not recover"


async def _come_in_the_middle(stack: AsyncExitStack, asker: RoomClient, listener: RoomClient, token: int) -> None:
    """Return once it has come back for the last time, and follows the story."""
    await asker.until(lambda view: view.answers and _answer(view).seq >= token, "hears the story begin")
    await stack.enter_async_context(listener)
    await listener.until(lambda view: listener.calm and listener.is_in and _answer(view).seq > 0, "is in the middle")
    assert _answer(listener.view).snapshots > 0, f"{listener!r} came in the middle, and was told no beginning"


def _answer(view: RoomView) -> Answer:
    (answer,) = view.answers.values()
    return answer


async def _all(awaitables: Iterable[Awaitable[object]]) -> None:
    async with asyncio.TaskGroup() as group:
        for awaitable in awaitables:
            group.create_task(_wait_for(awaitable))


async def _wait_for(awaitable: Awaitable[object]) -> None:
    await awaitable
