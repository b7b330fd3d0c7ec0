"""The JavaScript client, in Node: in each recorded scene it ends where the server did. One process plays all scenes."""

import asyncio
import json
import shutil
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.transcripts.replay import Replay
from tests.transcripts.transcript import Line, Transcript, knowledge, recorded

pytestmark = pytest.mark.anyio

HERE = Path(__file__).parent
MODULE = HERE.parents[1] / "clients" / "js" / "src" / "index.js"


async def in_node(scenes: list[Line]) -> dict[str, Line]:
    """What the client knows at the end of each scene, by its name."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no node on the PATH: install Node 20 or newer, and run make test")
    process = await asyncio.create_subprocess_exec(
        node, HERE / "js_client.mjs", MODULE, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        said, _ = await process.communicate(json.dumps(scenes).encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0
    return {one["name"]: one["told"] for one in map(json.loads, said.decode().split("\n")[:-1])}


@pytest.mark.parametrize("piece", [0, 1], ids=["whole", "byte by byte"])
async def test_the_client_ends_where_the_server_did(piece: int, subtests: pytest.Subtests) -> None:
    transcripts = {path.stem: Transcript.read(path) for path in recorded()}
    async with AsyncExitStack() as stack:
        replays = {
            name: await stack.enter_async_context(Replay(transcript, piece, retry_ms=1))
            for name, transcript in transcripts.items()
        }
        told = await in_node(
            [{"name": name, "url": replay.url, "holds": replay.transcript.holds} for name, replay in replays.items()]
        )
        for name, replay in replays.items():
            with subtests.test(name):
                assert not replay.complaints
                assert "failed" not in told[name], told[name]["failed"]
                assert knowledge(told[name]) == knowledge(replay.transcript.holds)
                assert told[name].get("refused", []) == replay.transcript.refusals
