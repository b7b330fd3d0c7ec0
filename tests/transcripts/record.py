"""`python -m tests.transcripts.record [scene …]`: play the scenes to a server, and write down what it says.

A transcript that says the same as before, but for how deltas were merged, is left as it is.
"""

import asyncio
import sys
import tempfile
from pathlib import Path

import uvloop

from tests.transcripts.rehearsal import Rehearsal
from tests.transcripts.scenes import ROOMS, RUNS, Scene
from tests.transcripts.stage import staged
from tests.transcripts.transcript import RECORDED, Transcript, channels


async def record(name: str, scene: Scene, of: str) -> Transcript:
    """The conversation of one scene."""
    header = {"scene": name, "of": of, "about": scene.about, "settings": scene.settings}
    with tempfile.TemporaryDirectory() as directory:
        async with staged(Path(directory), header) as stage:
            play = Rehearsal(stage)
            await scene.play(play)
            await stage.settles(of)
            play.note()
            return Transcript(header, play.lines, await stage.holds(of))


def says_the_same(one: Transcript, other: Transcript) -> bool:
    """Whether two transcripts differ only in what may differ."""

    def rest(transcript: Transcript) -> object:
        others = [line for line in transcript.lines if line["at"] != "server"]
        said = [channels(transcript.said(on)) for on in transcript.connections]
        return transcript.header, transcript.holds, others, said

    return rest(one) == rest(other)


async def main(names: list[str]) -> None:
    """Record the scenes of these names, or all."""
    for of, scenes in (("run", RUNS), ("room", ROOMS)):
        for name, scene in scenes.items():
            if names and name not in names:
                continue
            path = RECORDED / f"{of}-{name}.jsonl"
            fresh = await record(name, scene, of)
            same = path.exists() and says_the_same(Transcript.read(path), fresh)
            if not same:
                fresh.write(path)
            sys.stdout.write(f"{'as before' if same else 'written  '}  {path.name}\n")


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(sys.argv[1:]))
