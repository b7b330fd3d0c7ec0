"""Our JavaScript client on three workers, through a network that cuts its lines: what it does, in any size."""

import asyncio
import contextlib
import json
import random
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.clients.told import Told
from tests.streaming.texts import pieces
from tests.support.cutting_proxy import CuttingProxy
from tests.support.upstream import Script
from tests.workers.cluster import Cluster

PROGRAM = Path(__file__).with_name("headwater_client.mjs")
_DEADLINE_S = 300.0  # only ends a hang; a test has its own, which is shorter

TELLER = "teller"
"""Tells its story to rooms."""
STORY = Script(pieces=pieces(80, seed=11), interval_s=0.01)

# Of an answer, and so many bytes of its stream that it is cut again and again.
TOKENS, INTERVAL_S = 60, 0.02
CUT_BYTES = 3_000
# Of a room, and how often at most: what was missed comes in one piece, which must get through at last.
ROOM_CUT_BYTES, ROOM_CUTS = 12_000, 20


def three_workers(directory: Path, redis_url: str) -> Cluster:
    """Not yet started; the teller is among their models."""
    return Cluster(directory, redis_url, models={TELLER: STORY})


@dataclass
class Tally:
    """What happened."""

    runs: int = 0
    exact: int = 0
    members: int = 0
    cuts: int = 0
    retries: int = 0


async def play(cases: Mapping[str, Mapping[str, Any]], *args: str, **job: Any) -> Told:
    """What the client says came of these cases, all played at once; `args` are Node's own."""
    node = shutil.which("node")
    assert node is not None
    process = await asyncio.create_subprocess_exec(
        node,
        *args,
        str(PROGRAM),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_DEADLINE_S):
            out, err = await process.communicate(json.dumps({"cases": cases, **job}).encode())
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    assert process.returncode == 0, f"{PROGRAM.name} ended with {process.returncode}:\n{err.decode()}"
    return Told(json.loads(out))


@asynccontextmanager
async def cut_lines(cluster: Cluster, seed: int, within: int, limit: int | None = None) -> AsyncIterator[CuttingProxy]:
    """Every connection goes to any of the workers, and is cut somewhere within so many bytes."""
    ports = [worker.port for worker in cluster.workers]
    async with CuttingProxy(ports, random.Random(seed), within=within, limit=limit) as proxy:
        yield proxy


async def everybody_reads(cluster: Cluster, seed: int, *, runs: int) -> Tally:
    """So many runs are started and followed at once; every text must be exact, and no run started twice."""
    scripts = [Script(pieces=pieces(TOKENS, seed=seed + number), interval_s=INTERVAL_S) for number in range(runs)]
    bodies = [cluster.question(script) for script in scripts]
    async with cut_lines(cluster, seed, CUT_BYTES) as proxy:
        told = (await play({"runs": {"kind": "runs"}}, url=proxy.url, bodies=bodies)).value("runs")
        tally = Tally(runs=len(told), cuts=proxy.cuts)
    for one, script, body in zip(told, scripts, bodies, strict=True):
        run = await cluster.run(one["run"])
        assert one["text"] == run["output"] == script.text, f"{one['run']} was read as something else"
        assert (one["status"], one["ends"], one["sums"]) == ("completed", 1, True), one
        asked = [call for call in cluster.upstream.exchanges if call.body and body["input"] in json.dumps(call.body)]
        assert len(asked) == 1, f"{one['run']} was started {len(asked)} times"
        tally.exact += 1
        tally.retries += one["retries"]
    return tally


async def everybody_talks(cluster: Cluster, seed: int, *, members: int, messages: int) -> Tally:
    """In one room each says so many messages, and one asks for the story; all must hold the same, once."""
    case = {"kind": "talk", "room": f"js-{seed}", "members": members, "messages": messages, "model": TELLER}
    async with cut_lines(cluster, seed, ROOM_CUT_BYTES, ROOM_CUTS * members) as proxy:
        told = (await play({"talk": case}, url=proxy.url)).value("talk")
        tally = Tally(members=members, cuts=proxy.cuts)
    everybody = told["members"]
    assert len(set(told["ids"])) == members * messages
    for one in everybody:
        assert one["log"] == everybody[0]["log"], f"{one['name']} and {everybody[0]['name']} heard different things"
        assert len({id for id, _, _ in one["log"]}) == len(one["log"]) == members * messages + 1
        own = [text for _, by, text in one["log"] if by == f"guest:{one['name']}" and text != "Tell me."]
        assert own == [f"{one['name']} says {number}" for number in range(messages)]
        assert set(one["echoes"].values()) == {1}, f"a local copy was replaced twice: {one['echoes']}"
        assert len(one["echoes"]) == messages + (one is everybody[0])
        assert (one["resets"], one["answer"], one["grown"]) == (1, STORY.text, True)
        tally.retries += one["retries"]
    return tally
