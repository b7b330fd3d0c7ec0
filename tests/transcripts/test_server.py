"""The server says in each recorded scene what it said when that was recorded."""

from pathlib import Path

import pytest

from tests.transcripts.scenes import ROOMS, RUNS
from tests.transcripts.stage import staged
from tests.transcripts.transcript import Transcript, recorded

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("path", recorded(), ids=lambda path: path.stem)
async def test_the_server_says_what_is_recorded(path: Path, tmp_path: Path) -> None:
    transcript = Transcript.read(path)
    async with staged(tmp_path, transcript.header) as stage:
        for number, line in enumerate(transcript.lines):
            if line["at"] != "server":
                await stage.says_as(transcript, upto=number)
                await stage.play(line)
        await stage.says_as(transcript, upto=len(transcript.lines))
        await stage.settles(transcript.header["of"])
        assert await stage.holds(transcript.header["of"]) == transcript.holds


def test_each_scene_is_recorded_and_nothing_else_is() -> None:
    scenes = {f"run-{name}" for name in RUNS} | {f"room-{name}" for name in ROOMS}
    assert {path.stem for path in recorded()} == scenes
