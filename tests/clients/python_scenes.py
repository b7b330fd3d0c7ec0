"""Runs and rooms of the Python client, whose lines are cut at random: what must be true of them, in any size."""

import asyncio
import random
import secrets
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import anyio.to_thread

from headwater_client import AsyncClient, AsyncRoom, Client, Joined, Refused, RoomEvent, Said
from tests.streaming.stage import DEADLINE_S, SCRIPTED
from tests.streaming.texts import pieces
from tests.support.cutting_proxy import CuttingProxy
from tests.support.upstream import Script
from tests.support.waiting import eventually
from tests.workers.cluster import WORKERS, Cluster

# Bytes until a line is cut, of some 7,000 of an answer token by token. Who was away is told the rest in one event: it
# has half of these at most, so that nobody is unlucky for as long as the client tries.
WITHIN, SPARED = 6_000, 0.1
TOKENS, PIECES, INTERVAL_S = 60, 1, 0.05
# Who was away from a room is told all that was said at once: it has half of these at most. So that lines are cut often
# all the same, everybody's are cut so many times.
ROOM_WITHIN, ALL_CUT = 100_000, 6


def workers_on_redis(directory: Path, redis_url: str) -> Cluster:
    """Three workers on one Redis, not yet started."""
    return Cluster(directory, redis_url, workers=WORKERS)


def lossy(cluster: Cluster, seed: int, within: int) -> CuttingProxy:
    """A network before all workers, not yet started."""
    return CuttingProxy([worker.port for worker in cluster.workers], random.Random(seed), within=within, spared=SPARED)


def script(seed: int) -> Script:
    """An answer that takes its time; an emoji's parts may come in different tokens."""
    small = pieces(TOKENS * PIECES, seed)
    tokens = ["".join(small[start : start + PIECES]) for start in range(0, len(small), PIECES)]
    return Script(pieces=tokens, interval_s=INTERVAL_S)


async def answers_are_exact(cluster: Cluster, seed: int, runs: int) -> str:
    """Every second of so many is streamed by the sync client; each text is its script's, and was asked for once."""
    scripts = [script(seed + number) for number in range(runs)]
    async with lossy(cluster, seed, WITHIN) as network:
        with Client(network.url) as client:
            async with AsyncClient(network.url) as async_client:
                threads = anyio.CapacityLimiter(runs)

                def stream(number: int) -> str:
                    extra = scripts[number].extra()
                    return "".join(client.stream(f"{seed} {number}", model=SCRIPTED, extra=extra))

                async def text_of(number: int) -> str:
                    if number % 2:
                        return await anyio.to_thread.run_sync(stream, number, limiter=threads)
                    extra = scripts[number].extra()
                    streaming = async_client.stream(f"{seed} {number}", model=SCRIPTED, extra=extra)
                    return "".join([piece async for piece in streaming])

                texts = await asyncio.gather(*(text_of(number) for number in range(runs)))
    exact = sum(text == one.text for text, one in zip(texts, scripts, strict=True))
    assert exact == runs, f"{exact} of {runs} texts are exact"
    asked = [one.body["messages"][-1]["content"] for one in cluster.upstream.exchanges if one.body]
    assert all(asked.count(f"{seed} {number}") == 1 for number in range(runs)), "an answer was asked for twice"
    assert network.cuts >= runs // 2, f"the network was too good: {network!r}"
    return f"{exact} of {runs} texts exact, {network.cuts} cuts"


@dataclass
class Heard:
    """A member, and what iterating the room told."""

    room: AsyncRoom
    events: list[RoomEvent] = field(default_factory=list)

    async def listen(self) -> None:
        async for event in self.room:
            self.events.append(event)

    @property
    def said(self) -> list[str]:
        """The ids of the messages that were told, each as often as it was."""
        return [event.message.id for event in self.events if isinstance(event, Said) and not event.message.pending]


async def everybody_hears_the_same(cluster: Cluster, seed: int, members: int, messages: int) -> str:
    """Each says so many messages. All hold the same, in one order, and were told each once."""
    name = f"python-{secrets.token_hex(4)}"
    async with AsyncExitStack() as stack:
        network = await stack.enter_async_context(lossy(cluster, seed, ROOM_WITHIN))
        client = await stack.enter_async_context(AsyncClient(network.url))
        everybody = [
            Heard(await stack.enter_async_context(client.room(name, name=f"m{number}"))) for number in range(members)
        ]
        listening = [asyncio.create_task(one.listen()) for one in everybody]
        talking = [_talk(one.room, f"m{number}", messages) for number, one in enumerate(everybody)]
        await asyncio.gather(*talking, _cut_all(network, everybody, members * messages))
        await eventually(partial(_have_heard, everybody, members * messages), DEADLINE_S, "everybody has heard all")
        held = [[(message.id, message.text) for message in one.room.messages] for one in everybody]
        for one in everybody:
            await one.room.leave()
        await asyncio.gather(*listening)
    assert all(each == held[0] for each in held), "members hold different things"
    assert len(dict(held[0])) == members * messages
    for number, one in enumerate(everybody):
        own = [text for _, text in held[0] if text.startswith(f"m{number} ")]
        assert own == [f"m{number} says {count}" for count in range(messages)], own
        told = [id for id, _ in held[0]]
        assert one.said == told[len(told) - len(one.said) :]
        assert [event.recovered for event in one.events if isinstance(event, Joined)].count(False) == 1
        assert not any(isinstance(event, Refused) for event in one.events)
    assert network.cuts >= members * ALL_CUT // 2, f"the network was too good: {network!r}"
    return f"{members} members heard {members * messages} messages once, {network.cuts} cuts"


async def _cut_all(network: CuttingProxy, everybody: Sequence[Heard], messages: int) -> None:
    """Cut everybody at once, again and again while they talk: whenever all have heard so much more."""
    for number in range(1, ALL_CUT + 1):
        heard = partial(_have_heard, everybody, messages * number // (ALL_CUT + 1))
        await eventually(heard, DEADLINE_S, "they talk")
        network.cut()


def _have_heard(everybody: Sequence[Heard], messages: int) -> bool:
    return all([message.pending for message in one.room.messages].count(False) >= messages for one in everybody)


async def _talk(room: AsyncRoom, name: str, messages: int) -> None:
    for count in range(messages):
        assert await room.say(f"{name} says {count}")
