"""Readers whose connections are cut anywhere, and who come back to any worker, miss nothing and get nothing twice."""

import asyncio
import random
from dataclasses import dataclass

import pytest

from tests.streaming.texts import pieces, seeded
from tests.support.event_source import EventSource, Over
from tests.support.sse import Message
from tests.support.upstream import Script
from tests.workers.cluster import Cluster

pytestmark = pytest.mark.anyio

RUNS = 20
READERS = 4  # of each run
CUTS = 11  # of each reader
CUT_BYTES = 1_200  # of a response at most, some 400 of which are its head
TOKENS, INTERVAL_S = 120, 0.07
PIECES = 16  # of text in each token
# Each reader is left alone until some token up to this one, so that cuts fall into all of a run.
FIRST_CUT = 60
# From there a reader cannot have come further when it was cut for the last time: no run is too short for it.
TEXT_BYTES = (CUTS + 1) * CUT_BYTES


@dataclass
class Tally:
    """What all readers saw, counted on its own: `Follower` checks the same and stops at the first."""

    readers: int = 0
    cuts: int = 0
    ranges: int = 0
    gaps: int = 0
    repeats: int = 0
    ends: int = 0


class Counted:
    """One reader, whose every event goes into the tally."""

    def __init__(self, cluster: Cluster, run_id: str, tally: Tally) -> None:
        self.reader: EventSource = cluster.reader(run_id, on_message=self._count)
        self._tally = tally
        self._seq = 0
        tally.readers += 1

    def _count(self, message: Message) -> None:
        if message.event == "run":
            return
        data = message.json
        if message.event != "snapshot":
            self._tally.ranges += 1
            self._tally.gaps += data["after"] > self._seq
            self._tally.repeats += data["after"] < self._seq or data["seq"] <= self._seq
        self._tally.ends += message.event == "end"
        self._seq = data["seq"]

    async def cut_and_finish(self, chance: random.Random) -> None:
        """Cut it anywhere, in the middle of a frame or of a character, as often as asked, then let it finish."""
        reader, first = self.reader, chance.randrange(FIRST_CUT)
        await reader.read(until=lambda follower: follower.seq >= first)
        for _ in range(CUTS):
            known = reader.follower.snapshots if reader.last_id else None
            over = await reader.read(chance.randrange(0, CUT_BYTES))
            assert known in (None, reader.follower.snapshots), "a position of this log needs no snapshot"
            if over is not Over.CUT:
                break  # it began so late that the run has ended
            self._tally.cuts += 1
        if reader.follower.end is None:
            await reader.follow()


async def test_eighty_readers_cut_over_eight_hundred_times(cluster: Cluster) -> None:
    with seeded() as seed:
        cluster.chance.seed(seed)
        scripts = [script(seed + number) for number in range(RUNS)]
        runs = await asyncio.gather(*(cluster.start(one) for one in scripts))
        tally = Tally()
        readers = [Counted(cluster, run_id, tally) for run_id in runs for _ in range(READERS)]
        await asyncio.gather(
            *(reader.cut_and_finish(random.Random(f"{seed} {number}")) for number, reader in enumerate(readers))
        )
        for number, counted in enumerate(readers):
            run = await cluster.run(runs[number // READERS])
            reader = counted.reader
            assert reader.text == run["output"] == scripts[number // READERS].text
            assert reader.follower.end is not None
            assert (reader.follower.end["status"], run["status"]) == ("completed", "completed")
            assert reader.last_id == run["position"]
        assert (tally.readers, tally.gaps, tally.repeats, tally.ends) == (RUNS * READERS, 0, 0, RUNS * READERS), tally
        assert tally.cuts >= 800


def script(seed: int) -> Script:
    """An answer that takes its time; an emoji's parts may come in different tokens."""
    small = pieces(TOKENS * PIECES, seed)
    tokens = ["".join(small[start : start + PIECES]) for start in range(0, len(small), PIECES)]
    assert sum(len(token.encode()) for token in tokens[FIRST_CUT:]) > TEXT_BYTES
    return Script(pieces=tokens, interval_s=INTERVAL_S)
