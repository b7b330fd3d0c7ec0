"""What the SQLite store acknowledged outlives the death of its process."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from headwater.core.events import Text
from headwater.core.position import START, parse_position
from tests.store.producing import take
from tests.store.sqlite_maker import SqliteMaker

pytestmark = pytest.mark.anyio

ACKNOWLEDGED = 300

APPEND_FOR_EVER = """
import asyncio, sys
from headwater.core.events import Entry, Text, encode_events
from headwater.core.events import Text
from headwater.core.position import START
from headwater.core.run import Run, RunRequest
from headwater.store.base import Append, Outcome
from headwater.store.sqlite import SqliteStore

async def main():
    store = SqliteStore(sys.argv[1], run_ttl_s=60)
    await store.open()
    runs = ["run_a", "run_b", "run_c"]
    for run_id in runs:
        await store.create(Run(id=run_id, owner="ann", model="demo", request=RunRequest(input="x"), created_at=0), None)
        await store.take_lease(run_id, seen=0, tag=7, holder="w", lease_s=3)
    at = START
    while True:
        events = tuple(Text(f"{at.seq + n}") for n in (1, 2))
        entry = Entry(at, at.seq + 2, 7, events)
        batch = [Append(run_id, 1, entry, encode_events(events)) for run_id in runs]
        assert all(result.outcome is Outcome.STORED for result in await store.append(batch))
        at = entry.position
        print(at, flush=True)

asyncio.run(main())
"""


async def test_no_acknowledged_entry_is_lost_to_kill_9(tmp_path: Path) -> None:
    maker = SqliteMaker(str(tmp_path / "headwater.db"))
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = (sys.executable, "-c", APPEND_FOR_EVER, maker.path)
    process = await asyncio.create_subprocess_exec(*command, env=environ, stdout=PIPE)
    assert process.stdout is not None
    try:
        heard = [await process.stdout.readline() for _ in range(ACKNOWLEDGED)]
    finally:
        process.kill()
    heard += (await process.stdout.read()).splitlines(keepends=True)
    assert await process.wait() == -9
    store = await maker.open()
    last = parse_position([line for line in heard if line.endswith(b"\n")][-1].decode().strip())
    assert last.seq >= 2 * ACKNOWLEDGED
    maker.now += 1e9  # the leases of the dead are long over
    for run_id in ("run_a", "run_b", "run_c"):
        read = await store.read(run_id, START, 100_000_000)
        assert read is not None
        events = [event for entry in read.entries for event in entry.events]
        assert events == [Text(str(n + 1)) for n in range(len(events))]
        assert len(events) >= last.seq
        heir = await take(store, run_id, seen=1)
        assert heir.at.seq == len(events)
    await maker.close()
