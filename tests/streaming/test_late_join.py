"""Who joins late gets one snapshot of about the size of its text, then goes live."""

import asyncio
import json
from pathlib import Path

import pytest

from tests.streaming.stage import DEADLINE_S, Stage, staged
from tests.streaming.texts import FAMILY
from tests.support.event_source import EventSource
from tests.support.sse import Message
from tests.support.upstream import Script
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

TOKENS = 20_000
JOINERS = 50


class Weigher:
    """A reader that weighs its snapshots, in bytes."""

    def __init__(self, stage: Stage, run_id: str) -> None:
        self.reader: EventSource = stage.reader(run_id, on_message=self._weigh)
        self.snapshots: list[tuple[int, str]] = []

    def _weigh(self, message: Message) -> None:
        if message.event == "snapshot":
            text = "".join(part["text"] for part in message.json["parts"])
            self.snapshots.append((len(message.data.encode()), text))


async def reached(stage: Stage, run_id: str, seq: int) -> None:
    """Return once the run's log has so many events."""

    async def look() -> bool:
        return int((await stage.summary(run_id))["position"].partition("-")[0]) >= seq

    await eventually(look, DEADLINE_S, f"seq {seq}")


async def test_at_twenty_thousand_tokens_one_snapshot_then_live(tmp_path: Path) -> None:
    async with staged(tmp_path, measured=False) as stage:
        run_id = await stage.start(demo={"tokens": TOKENS + 25_000, "tokens_per_s": 10_000})
        await reached(stage, run_id, TOKENS)
        before = await stage.metric("headwater_snapshots_total")
        joiners = [Weigher(stage, run_id) for _ in range(JOINERS)]
        await asyncio.gather(*(joiner.reader.follow() for joiner in joiners))
        output = (await stage.run(run_id))["output"]
        for joiner in joiners:
            assert joiner.reader.text == output
            ((size, text),) = joiner.snapshots
            assert size <= 1.1 * len(json.dumps(text, ensure_ascii=False).encode())
            assert joiner.reader.follower.deltas > 0, "and then it goes live"
        assert await stage.metric("headwater_snapshots_total") == before + 1


async def test_a_snapshot_of_wide_characters_is_no_larger_either(stage: Stage) -> None:
    run_id = await stage.start(Script(pieces=[f"{FAMILY} 流れ\n" for _ in range(500)]))
    await stage.ended(run_id)
    joiner = Weigher(stage, run_id)
    await joiner.reader.follow()
    ((size, text),) = joiner.snapshots
    assert text == joiner.reader.text == (await stage.run(run_id))["output"]
    assert size <= 1.1 * len(json.dumps(text, ensure_ascii=False).encode())


async def test_one_who_joins_after_the_end_gets_all_and_the_end(stage: Stage) -> None:
    run_id = await stage.start(Script(tokens=100))
    run = await stage.ended(run_id)
    reader = stage.reader(run_id)
    await reader.follow()
    assert (reader.text, reader.follower.snapshots, reader.follower.deltas) == (run["output"], 1, 0)
    assert reader.last_id == run["position"]
    assert reader.connections == 2, "the stream, and a 204"
