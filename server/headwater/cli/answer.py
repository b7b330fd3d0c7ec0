"""An answer as it comes, to its end or to Ctrl-C: what `chat` and `watch` have in common."""

import asyncio

from headwater.cli.attempts import how_it_goes_on
from headwater.cli.remote import one_line
from headwater.cli.terminal import Terminal, Typed, before, interrupts
from headwater_client import AsyncClient, AsyncWatch, Attempt, Delta, End, Snapshot, TooManyRetries

# Those that one code does not say to everybody; docs/protocol.md has them all.
_REASONS = {
    "length": "it reached the most tokens that it may have",
    "upstream_cut": "the model's server broke it off",
    "drained": "the server was stopped before it was whole",
}
_QUESTION = "Cancel the answer (c), or leave it running (Enter, or Ctrl-C again)? "


async def follow(client: AsyncClient, run: str, after: str | None, terminal: Terminal) -> int:
    """Show it to its end; the exit code."""
    reader = _Reader(client.watch(run, after=after), after, terminal)
    reading = asyncio.create_task(reader.to_the_end())
    try:
        with interrupts() as pressed:
            if not await before(reading, pressed):
                reader.hold()
                if not await _cancel_it(terminal, pressed):
                    return _left(reader, terminal, "It goes on.")
                cancelling = asyncio.create_task(_cancel(client, run, reader, reading))
                if not await before(cancelling, pressed):
                    cancelling.cancel()
                    return _left(reader, terminal, "Perhaps it was not cancelled yet.")
            return await reading
    except TooManyRetries:
        terminal.note(f"Once the server is there again: {reader.to_go_on}")
        raise
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def _cancel_it(terminal: Terminal, pressed: "asyncio.Queue[None]") -> bool:
    """Ask once; where nobody can be asked, it is left running."""
    if not terminal.asks:
        return False
    terminal.note("")
    terminal.note(_QUESTION, nl=False)
    typed = asyncio.create_task(Typed().piece())
    answered = await before(typed, pressed)
    if not answered:
        typed.cancel()
        terminal.note("")
    return answered and typed.result().strip().lower() in (b"c", b"cancel")


async def _cancel(client: AsyncClient, run: str, reader: "_Reader", reading: "asyncio.Task[int]") -> None:
    await client.cancel(run)
    reader.go_on()
    await asyncio.wait({reading})


def _left(reader: "_Reader", terminal: Terminal, said: str) -> int:
    terminal.note(f"{said} Follow it with: {reader.to_go_on}")
    return 1


class _Reader:
    """Writes what comes, and knows how far it got."""

    def __init__(self, watch: AsyncWatch, after: str | None, terminal: Terminal) -> None:
        self._watch = watch
        self._terminal = terminal
        self._position = after
        self._began_later = after is not None
        self._written: list[str] = []
        self._free = asyncio.Event()
        self._free.set()

    @property
    def to_go_on(self) -> str:
        """The command that goes on where this one was."""
        after = f" --after {self._position}" if self._position else ""
        return f"headwater watch {self._watch.run_id}{after}"

    def hold(self) -> None:
        """Write nothing for now."""
        self._free.clear()

    def go_on(self) -> None:
        """Write again."""
        self._free.set()

    async def to_the_end(self) -> int:
        """The exit code: 0 where the answer is whole."""
        async for event in self._watch:
            self._terminal.reached = True
            await self._free.wait()
            match event:
                case Delta():
                    self._write(event.text or event.refusal or "")
                case Snapshot():
                    if not self._snapshot(event.text):
                        return 1
                case Attempt(how="continued"):
                    self._terminal.note(how_it_goes_on(event), dim=True)
                case Attempt():
                    if not self._withdrawn(how_it_goes_on(event)):
                        return 1
                case End():
                    return self._ended(event)
            self._position = self._watch.position
        return 1

    def _write(self, text: str) -> None:
        self._written.append(text)
        self._terminal.write(text)

    def _snapshot(self, text: str) -> bool:
        """All of it so far, of which the beginning is written already; whether to go on."""
        written = "".join(self._written)
        if self._began_later:
            self._began_later = False
            self._terminal.note("The text up to there is merged by now: the answer from its beginning")
            written = ""
        elif not text.startswith(written):
            if not self._withdrawn():
                return False
            written = ""
        self._write(text[len(written) :])
        return True

    def _withdrawn(self, how: str = "begun anew") -> bool:
        """A person sees that it begins anew; a program's input cannot be taken back."""
        if any(self._written):
            if not self._terminal.shows:
                self._terminal.note(
                    "headwater: the answer was begun anew, and what was written is not part of it: "
                    f"headwater watch {self._watch.run_id} writes the new one"
                )
                return False
            self._terminal.note(how, dim=True)
        self._written.clear()
        return True

    def _ended(self, end: End) -> int:
        terminal = self._terminal
        terminal.end_line()
        for part in self._watch.parts:
            if part.tool_call is not None:
                terminal.note(f"It calls {part.tool_call.name}({part.tool_call.arguments})")
        if end.status == "completed":
            return 0
        why = _REASONS.get(end.reason or "", end.reason)
        if end.error is not None:
            why = end.error.detail or end.error.code
        said = f": {one_line(why)}" if why else ""
        terminal.note(f"headwater: the answer is {end.status.replace('_', ' ')}{said}")
        return 1
