"""The encoders of one live log, one for each form, and how those that must know all of it are told."""

import asyncio
from collections.abc import Awaitable, Callable

from headwater.errors import UnknownRun
from headwater.formats.base import Format, Head, Remembering
from headwater.store.base import Logs


class Encoders:
    """Shared by all readers of a log. `refilled` returns once the log has found out what became of its history."""

    def __init__(self, head: Head, store: Logs, read_bytes: int, refilled: Callable[[], Awaitable[None]]) -> None:
        self._head = head
        self._store = store
        self._read_bytes = read_bytes
        self._refilled = refilled
        self._formats: dict[type[Format], Format] = {}
        self._learning: dict[type[Remembering], asyncio.Task[None]] = {}
        self._histories = 0

    def get(self, form: type[Format]) -> Format:
        """The encoder for this form."""
        encoder = self._formats.get(form)
        if encoder is None:
            encoder = self._formats[form] = form(self._head)
        return encoder

    def forget(self) -> None:
        """History was rewritten: they must be told anew."""
        self._histories += 1
        for encoder in self._formats.values():
            if isinstance(encoder, Remembering):
                encoder.forget()

    async def teach(self, form: type[Remembering]) -> None:
        """Tell the encoder of this form all that the store holds: its readers may begin anywhere.

        Raises StoreUnavailable, UnknownRun, DamagedLog.
        """
        learning = self._learning.get(form)
        if learning is None:
            learning = self._learning[form] = asyncio.create_task(self._teach(form))
            learning.add_done_callback(lambda _: self._learning.pop(form))
        await asyncio.shield(learning)

    async def _teach(self, form: type[Remembering]) -> None:
        encoder = self.get(form)
        assert isinstance(encoder, Remembering)
        while True:
            histories = self._histories
            read = await self._store.read(self._head.id, encoder.reached, self._read_bytes)
            if read is None:
                raise UnknownRun(f"There is no run {self._head.id}.")
            if histories != self._histories:
                continue
            if not read.joined:
                if read.top.position.seq < encoder.reached.seq:
                    return  # the store lost the newest, which its producer may yet write again
                await self._refilled()
                if histories == self._histories:
                    encoder.forget()
                continue
            encoder.learn(read.entries)
            if not read.entries or read.entries[-1].position == read.top.position:
                return

    def close(self) -> None:
        """Nobody waits for them any more."""
        for learning in self._learning.values():
            learning.cancel()
