"""An event loop whose time is a number, and the processes that live on it."""

import asyncio
import heapq
import random
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar
from typing import Any, TypeVar

T = TypeVar("T")

# Callbacks in one schedule: some hundred times what one takes, so beyond it something spins while no time passes.
STEPS_MAX = 1_000_000


class Process:
    """What dies and freezes as one: whatever it began bears its mark, in the context of each callback."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.frozen = False
        """Its callbacks are held back; for ever, if it is dead."""
        self.dead = False
        self.held: list[_Soon | _Timer] = []
        self.context = Context()
        self.context.run(_process.set, self)

    def __repr__(self) -> str:
        return self.name


_process: ContextVar[Process | None] = ContextVar("process", default=None)


def this_process() -> Process:
    """Whose callback this is."""
    process = _process.get()
    assert process is not None
    return process


class _Soon(asyncio.Handle):
    process: Process | None = None


class _Timer(asyncio.TimerHandle):
    process: Process | None = None


class VirtualLoop(asyncio.BaseEventLoop):
    """Jumps to the next timer when nothing is ready.

    What is ready of one process is run in its order, as any event loop does; which process comes first is drawn.
    """

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self.steps = 0
        self._chance = chance
        self._now = 0.0
        self._soon: list[_Soon | _Timer] = []
        self._timers: list[_Timer] = []
        self.world = Context()
        """The context of what belongs to no process: the network, the store, and people."""

    def time(self) -> float:
        return self._now

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> _Soon:  # type: ignore[override]
        handle = _Soon(callback, args, self, context)
        handle.process = _process.get() if context is None else context.get(_process)
        self._soon.append(handle)
        return handle

    call_soon_threadsafe = call_soon  # type: ignore[assignment]  # there is but one thread

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> _Timer:
        timer = _Timer(when, callback, args, self, context)
        timer.process = _process.get() if context is None else context.get(_process)
        heapq.heappush(self._timers, timer)
        return timer

    def _run_once(self) -> None:
        timers = self._timers
        while timers and (timers[0].cancelled() or timers[0].when() <= self._now or not self._soon):
            timer = heapq.heappop(timers)
            if not timer.cancelled():
                self._now = max(self._now, timer.when())
                self._soon.append(timer)
        if not self._soon:
            raise AssertionError("nothing will ever happen again")
        ready, self._soon = self._soon, []
        self.steps += len(ready)
        if self.steps > STEPS_MAX:
            raise AssertionError("it goes round and round")
        queues: dict[Process | None, list[_Soon | _Timer]] = {}
        for handle in ready:
            queues.setdefault(handle.process, []).append(handle)
        order = list(queues.items())
        if len(order) > 1:
            self._chance.shuffle(order)
        for process, handles in order:
            for handle in handles:
                if handle.cancelled():
                    continue
                if process is not None and process.frozen:
                    process.held.append(handle)
                else:
                    handle._run()

    def pause(self, seconds: float) -> "asyncio.Future[None]":
        """Let so much virtual time pass."""
        future: asyncio.Future[None] = self.create_future()
        self.call_later(seconds, _finish, future)
        return future

    def freeze(self, process: Process) -> None:
        """Run nothing of it until it is thawed."""
        process.frozen = True

    def thaw(self, process: Process) -> None:
        """Let it go on: what fell due meanwhile is late."""
        process.frozen = False
        self._soon += process.held
        process.held = []

    def begin(self, process: Process, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """A task of this process."""
        return self.create_task(work, context=process.context)

    def end_everything(self, processes: list[Process]) -> None:
        """Cancel all tasks, also those of the dead, and close."""
        for process in processes:
            self.thaw(process)
        while tasks := asyncio.all_tasks(self):
            for task in tasks:
                task.cancel()  # again, if one has swallowed it
            self.run_until_complete(asyncio.wait(tasks, timeout=1.0))
        self.run_until_complete(self.shutdown_asyncgens())
        self.close()


def _finish(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
