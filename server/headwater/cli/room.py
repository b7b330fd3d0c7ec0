"""`headwater room`: be in a room, from the terminal."""

import asyncio
import getpass
import re

import click

from headwater.cli.remote import Server, one_line, remote
from headwater.cli.screen import Paper, PlainPaper, paper
from headwater.cli.talk import Talk
from headwater.cli.terminal import Terminal, Typed, before, interrupts
from headwater_client import AsyncRoom, HeadwaterError, Notice

# Others see for some seconds that one is writing.
_TYPING_EVERY_S = 3.0
# At the end of a piped input: an answer that was asked for begins within a moment.
_QUIET_S = 2.0

_MENTION = re.compile(r"(?<![\w.])@([\w-]+(?:\.[\w-]+)*)")
_HELP = "/stop stops the answers, /who says who is there, /quit leaves, //x is said as /x; @demo asks the model demo"


@click.command()
@click.argument("name")
@click.option("--name", "as_name", help="How others see you, where no token says it.  [your login name]")
@remote
def room(server: Server, name: str, as_name: str | None) -> int:
    """Be in the room NAME: see what is said, and answers grow. What you type is said; @MODEL asks a model.

    Typing /stop stops the answers, /who says who is there, /quit or Ctrl-C leaves. At the end of a piped input it
    leaves once everything is said and answered.
    """
    return asyncio.run(_Visit(server).to(name, as_name or _login_name()))


class _Visit:
    """One is in a room, from its join to its end."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._terminal = Terminal(server.url)
        self._talk: Talk | None = None
        self._news = asyncio.Event()
        self._stopping: set[asyncio.Task[None]] = set()
        self._last_said: str | None = None
        self._typing_at = float("-inf")

    async def to(self, name: str, as_name: str) -> int:
        """The exit code."""
        client = self._server.client(self._terminal)
        async with client, client.room(name, name=as_name, on_status=self._tell) as room:
            self._terminal.reached = True
            with interrupts() as pressed, paper() as where:
                self._talk = Talk(room, where)
                stay = asyncio.create_task(self._stay(room, self._talk, where))
                try:
                    if await before(stay, pressed):
                        await stay
                finally:
                    self._talk = None
                    stay.cancel()
                    await asyncio.gather(stay, *self._stopping, return_exceptions=True)
        return 0

    def _tell(self, notice: Notice) -> None:
        if self._talk is None:
            self._terminal.tell(notice)
        elif (said := self._terminal.said_of(notice)) is not None:
            self._talk.note(said)

    async def _stay(self, room: AsyncRoom, talk: Talk, where: Paper) -> None:
        """Until somebody leaves, or there is no room any more."""
        hearing = asyncio.create_task(self._hear(room, talk))
        obeying = asyncio.create_task(self._obey(room, talk, where))
        try:
            done, _ = await asyncio.wait({hearing, obeying}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            hearing.cancel()
            obeying.cancel()
            await asyncio.gather(hearing, obeying, return_exceptions=True)

    async def _hear(self, room: AsyncRoom, talk: Talk) -> None:
        async for event in room:
            talk.take(event)
            self._news.set()

    # -- what is typed

    async def _obey(self, room: AsyncRoom, talk: Talk, where: Paper) -> None:
        typed = Typed()
        piece = b"-"
        while piece:
            piece = await typed.piece()
            try:
                lines = where.typed(piece)
            except EOFError:
                return
            for line in lines:
                if not self._do(room, talk, line.strip()):
                    return
            self._tell_of_typing(room, where)
        if isinstance(where, PlainPaper):
            await self._everything_answered(room)

    def _do(self, room: AsyncRoom, talk: Talk, line: str) -> bool:
        """What a line asks for; whether to stay."""
        match line:
            case "":
                pass
            case "/quit":
                return False
            case "/who":
                talk.who()
            case "/help":
                talk.note(_HELP)
            case "/stop":
                task = asyncio.create_task(self._stop(room, talk))
                self._stopping.add(task)
                task.add_done_callback(self._stopping.discard)
            case _ if line.startswith("/") and not line.startswith("//"):
                talk.note(f"there is no {line.split()[0]}: {_HELP}")
            case _:
                self._say(room, talk, line.removeprefix("/"))
        return True

    def _say(self, room: AsyncRoom, talk: Talk, text: str) -> None:
        try:
            self._last_said = room.post(text, mentions=list(dict.fromkeys(_MENTION.findall(text))))
        except HeadwaterError as error:
            talk.note(one_line(error.message))

    async def _stop(self, room: AsyncRoom, talk: Talk) -> None:
        runs = [message.run for message in room.messages if message.growing and message.run is not None]
        try:
            for run in runs:
                await room.cancel(run=run)
            if not runs and self._last_said is not None:  # its answer may be about to begin
                await room.cancel(client_id=self._last_said)
            elif not runs:
                talk.note("nothing is being answered")
        except HeadwaterError as error:
            talk.note(one_line(error.message))

    def _tell_of_typing(self, room: AsyncRoom, where: Paper) -> None:
        now = asyncio.get_running_loop().time()
        if where.begun and not where.begun.startswith("/") and now - self._typing_at >= _TYPING_EVERY_S:
            self._typing_at = now
            room.send_typing()

    async def _everything_answered(self, room: AsyncRoom) -> None:
        while True:
            busy = any(message.pending or message.growing for message in room.messages)
            self._news.clear()
            try:
                async with asyncio.timeout(None if busy else _QUIET_S):
                    await self._news.wait()
            except TimeoutError:
                return


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have none
        return "guest"
