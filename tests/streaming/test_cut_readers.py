"""Readers whose connections are cut anywhere, while runs stream, miss nothing and get nothing twice."""

import asyncio
import random

import pytest

from tests.streaming.lines import LineReader
from tests.streaming.stage import Stage
from tests.streaming.texts import pieces, seeded
from tests.support.event_source import EventSource, Over
from tests.support.upstream import Script

pytestmark = pytest.mark.anyio

RUNS = 4
READERS = 2  # of each run
CUTS = 25  # of each reader: 200 in all
HEAD_BYTES = 600  # about a response's head with its first event; some cuts fall into it


async def test_event_sources_cut_two_hundred_times(stage: Stage) -> None:
    with seeded() as seed:
        scripts = [script(seed + number, 1_000) for number in range(RUNS)]
        runs = [await stage.start(one) for one in scripts]
        readers = [stage.reader(run_id) for run_id in runs for _ in range(READERS)]
        await asyncio.gather(
            *(cut_and_finish(reader, random.Random(f"{seed} {number}")) for number, reader in enumerate(readers))
        )
        for number, reader in enumerate(readers):
            expected = scripts[number // READERS].text
            assert reader.text == expected == (await stage.run(runs[number // READERS]))["output"]
            assert reader.follower.end is not None
            assert reader.follower.end["status"] == "completed"


async def cut_and_finish(reader: EventSource, chance: random.Random) -> None:
    """Cut it in mid-run as often as asked; what it reads is checked as it comes."""
    for _ in range(CUTS):
        known = reader.follower.snapshots if reader.last_id else None
        over = await reader.read(chance.randrange(0, 3 * HEAD_BYTES))
        assert over is Over.CUT, f"{over}: the run must outlast the cuts"
        assert known in (None, reader.follower.snapshots), "a position of this log needs no snapshot"
    assert reader.follower.end is None
    await reader.follow()


async def test_line_readers_cut_anywhere_resume_with_after(stage: Stage) -> None:
    with seeded() as seed:
        chance = random.Random(seed)
        one = script(seed, 400)
        run_id = await stage.start(one)
        readers = [LineReader(stage.client, run_id) for _ in range(4)]

        async def follow(reader: LineReader) -> None:
            for _ in range(15):
                await reader.read(chance.randrange(1, 2 * HEAD_BYTES))
            while await reader.read():
                pass

        await asyncio.gather(*(follow(reader) for reader in readers))
        for reader in readers:
            assert reader.follower.text == one.text
            assert reader.follower.end is not None


@pytest.mark.parametrize("split", [1, 2, 3, 7])
async def test_an_upstream_may_split_its_bytes_anywhere(stage: Stage, split: int) -> None:
    one = Script(pieces=pieces(40, split), split=split)
    run_id = await stage.start(one)
    reader = stage.reader(run_id)
    await reader.follow()
    assert reader.text == one.text == (await stage.run(run_id))["output"]


def script(seed: int, tokens: int) -> Script:
    """An answer that takes its time, so that it outlasts the cuts; its bytes are split anywhere."""
    return Script(pieces=pieces(tokens, seed), interval_s=0.004, split=random.Random(seed).choice([5, 11, 64]))
