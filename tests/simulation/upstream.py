"""Upstreams that answer by a script, and what they were asked and said."""

import random
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from headwater.core.events import Reasoning, Text, Usage
from headwater.core.run import RunRequest
from headwater.providers.base import Finish, Provider, ProviderError, Step, Written
from tests.simulation.loop import Process, VirtualLoop, this_process

Trouble = Literal["cut", "error", "stall", "garbage", "unreachable"]
TROUBLES: tuple[Trouble, ...] = ("cut", "error", "stall", "garbage", "unreachable")
# Longer than any timeout: whoever waits for it has forgotten to give up.
FOR_EVER_S = 1e6


class Script:
    """How a run's answer comes. Each try from the beginning has other words, as a model's has."""

    def __init__(self, chance: random.Random, say: Callable[[str], None], blame: Callable[[str], None]) -> None:
        self.words = chance.choice((1, 2, chance.randint(1, 12), chance.randint(1, 12)))
        self.pace_s = chance.choice((0.002, 0.03, 0.1, 0.2, 0.4))
        self.reasons = chance.random() < 0.15
        """It thinks aloud before it speaks, so that it cannot be continued."""
        self.continues = {"main": chance.random() < 0.6, "backup": chance.random() < 0.6}
        self.troubles: list[Trouble] = []
        """What befalls the next tries."""
        self.said: set[str] = set()
        """All that readers may hold of it."""
        self.whole: set[str] = set()
        """The answers that were said to be finished."""
        self.tries = 0
        self.open: list[Process] = []
        """Whose connections are under way."""
        self.chance = chance
        self.say = say
        self.blame = blame

    @contextmanager
    def connection(self) -> Iterator[str]:
        """One try: the letter that its words bear."""
        self.tries += 1
        process = this_process()
        self.open.append(process)
        try:
            yield chr(ord("a") + (self.tries - 1) % 26) * (1 + (self.tries - 1) // 26)
        finally:
            self.open.remove(process)


class ScriptedProvider(Provider):
    """Answers each run by its script, whose name is the run's input."""

    def __init__(self, name: str, scripts: dict[str, Script], loop: VirtualLoop) -> None:
        self._name = name
        self._scripts = scripts
        self._loop = loop

    def continues(self, request: RunRequest) -> bool:
        return self._script(request).continues[self._name]

    async def generate(self, request: RunRequest) -> AsyncGenerator[list[Step], None]:
        script = self._script(request)
        with script.connection() as letter:
            if script.reasons:
                yield [Reasoning(f"hm{letter}")]
            async for steps in self._speak(script, letter, ""):
                yield steps

    async def generate_from(self, request: RunRequest, written: Written) -> AsyncGenerator[list[Step], None]:
        script = self._script(request)
        if not script.continues[self._name] or written.text not in script.said:
            script.blame(f"{request.input}: asked to go on with {written.text!r}, of {script.said}")
        with script.connection() as letter:
            async for steps in self._speak(script, letter, written.text):
                yield steps

    def _script(self, request: RunRequest) -> Script:
        assert isinstance(request.input, str)
        return self._scripts[request.input]

    async def _speak(self, script: Script, letter: str, written: str) -> AsyncGenerator[list[Step], None]:
        chance, said = script.chance, written.count(" ")
        trouble = script.troubles.pop() if script.troubles else None
        befalls = chance.randint(said, script.words) if trouble else -1
        text = written
        script.say(f"{self._name} answers with {letter!r} after {written!r}: {trouble or 'well'}")
        while True:
            if said == befalls and trouble is not None:
                if trouble == "cut":
                    return
                await self._suffer(trouble)
            if said >= script.words:
                break
            await self._loop.pause(script.pace_s * 2 * chance.random())
            together = min(chance.choice((1, 1, 1, 3)), script.words - said, befalls - said if befalls > said else 9)
            words = [f"{said + n}{letter} " for n in range(1, together + 1)]
            said += together
            for word in words:
                text += word
                script.said.add(text)
            yield [Text(word) for word in words]
        script.whole.add(text)
        yield [Finish("stop", Usage(output_tokens=said))]

    async def _suffer(self, trouble: Trouble) -> None:
        match trouble:
            case "stall":
                await self._loop.pause(FOR_EVER_S)
            case "garbage":
                raise ProviderError("bad_upstream_data", "It said something else.")
            case "unreachable":
                raise ProviderError("upstream_unreachable", "Nobody is there.")
            case _:
                raise ProviderError("upstream_error", "It failed.", status=500)
