"""The python provider: any async generator function of the user's answers.

The function runs in a task of its own, so that one which swallows its cancellation cannot hold up
the run, and so that all of it, its clean-up too, runs in one task, as cancel scopes demand.
"""

import asyncio
import importlib
import inspect
import logging
import os
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

from headwater.core.run import RunRequest
from headwater.errors import ConfigError
from headwater.providers.base import Finish, Provider, ProviderError, Step, Written
from headwater.providers.steps import to_step

log = logging.getLogger(__name__)

AnswerFunction = Callable[..., AsyncGenerator[Any, None]]
"""Takes the request, and where it has a parameter `done`, the text of the answer that there is already, "" at first.

Yields str, deltas, or their JSON shapes such as {"reasoning": "…"}; at most one Finish, last.
"""

# How far a function may run ahead of the log; enough for a burst to become one append.
_AHEAD = 256
# A well-behaved generator stops within milliseconds, and a cancel is answered within a second.
_CLOSE_S = 0.5
# Answers that ignored their cancellation and still run; each holds memory that only it can give back.
_STUCK_MAX = 100


def load_function(path: str) -> AnswerFunction:
    """The function that `package.module:function` names, found as `python -m` would find it.

    Imports the module: call it at start. Raises ConfigError.
    """
    module_name, colon, name = path.partition(":")
    if not (module_name and colon and name):
        raise ConfigError(f"{path!r} must be package.module:function")
    if os.getcwd() not in sys.path:
        # The console command's path begins with the folder of the command, not with the user's project.
        sys.path.insert(0, os.getcwd())
    try:
        function = getattr(importlib.import_module(module_name), name, None)
    except ModuleNotFoundError as error:
        raise ConfigError(f"importing {module_name}: there is no module {error.name!r}") from error
    except (Exception, SystemExit) as error:
        raise ConfigError(f"importing {module_name}: it raised {_brief(error)}") from error
    if function is None:
        raise ConfigError(f"the module {module_name} has no {name!r}")
    return checked_function(function, path)


def checked_function(function: object, name: str) -> AnswerFunction:
    """`function`, if it is an async generator function that takes a request. Raises ConfigError."""
    if not (inspect.isasyncgenfunction(function) or inspect.isasyncgenfunction(type(function).__call__)):
        raise ConfigError(f"{name} must be an async generator function: async def, with a yield in it")
    assert callable(function)
    try:
        inspect.signature(function).bind(None, **({"done": ""} if _takes_done(function) else {}))
    except TypeError:
        raise ConfigError(f"{name} must take one argument, the request, and at most done besides") from None
    return function


def _takes_done(function: AnswerFunction) -> bool:
    """Whether it can go on with an answer that was broken off."""
    return "done" in [*inspect.signature(function).parameters][1:]


def _brief(error: BaseException) -> str:
    """An error in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__


class PythonProvider(Provider):
    """Answers with `function`; `name` is what logs and errors call it. Raises ConfigError if it cannot be one."""

    def __init__(self, function: AnswerFunction, name: str) -> None:
        self._function = checked_function(function, name)
        self._takes_done = _takes_done(self._function)
        self._name = name
        self._stuck: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<PythonProvider {self._name} stuck={len(self._stuck)}>"

    def generate(self, request: RunRequest) -> AsyncGenerator[list[Step], None]:
        return self._generate(request, "")

    def continues(self, request: RunRequest) -> bool:
        return self._takes_done

    def generate_from(self, request: RunRequest, written: Written) -> AsyncGenerator[list[Step], None]:
        return self._generate(request, written.text)

    async def _generate(self, request: RunRequest, done: str) -> AsyncGenerator[list[Step], None]:
        if len(self._stuck) >= _STUCK_MAX:
            raise ProviderError("upstream_error", f"{len(self._stuck)} earlier answers of this model have not stopped")
        steps: asyncio.Queue[Step | ProviderError] = asyncio.Queue(_AHEAD)
        answer = self._function(request, done=done) if self._takes_done else self._function(request)
        task = asyncio.create_task(self._pump(answer, steps), name=f"answer of {self._name}")
        finished = False
        try:
            while not finished:
                batch, failure = _take(await steps.get(), steps)
                finished = failure is None and isinstance(batch[-1], Finish)
                if batch:
                    yield batch
                if failure is not None:
                    raise failure
        finally:
            await self._stop(task, cancel=not finished)

    async def _pump(self, answer: AsyncGenerator[Any, None], steps: "asyncio.Queue[Step | ProviderError]") -> None:
        """Put what the function yields into `steps`, and last a Finish or what went wrong."""
        task = asyncio.current_task()
        assert task is not None
        last: Finish | ProviderError = Finish("stop")  # returning is how a function says that its answer is whole
        async with aclosing(answer):
            try:
                async for item in answer:
                    if task.cancelling():
                        return  # it swallowed its cancellation
                    step = to_step(item)
                    if isinstance(step, Finish):
                        last = step
                        break
                    if step is not None:
                        await steps.put(step)
            except ProviderError as error:
                last = error
            except (Exception, SystemExit, asyncio.CancelledError) as error:
                if task.cancelling():
                    raise
                # Its text may hold a secret, so only our log has it.
                log.exception("the function of model %s raised", self._name)
                last = ProviderError("upstream_error", f"the model's function raised {type(error).__name__}")
            await steps.put(last)

    async def _stop(self, task: asyncio.Task[None], *, cancel: bool) -> None:
        """See the task end. One that does not is left to itself, counted, and logged."""
        if cancel:
            task.cancel()
        try:
            await asyncio.wait({task}, timeout=_CLOSE_S)
        finally:
            if not task.done():
                task.cancel()
                log.error("an answer of model %s does not stop: does its function swallow CancelledError?", self._name)
                self._stuck.add(task)
            task.add_done_callback(self._stopped)

    def _stopped(self, task: asyncio.Task[None]) -> None:
        self._stuck.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("an answer of model %s failed while it was stopped", self._name, exc_info=error)


def _take(
    first: Step | ProviderError, steps: "asyncio.Queue[Step | ProviderError]"
) -> tuple[list[Step], ProviderError | None]:
    """`first` and all that waits, so that a burst becomes one list; what went wrong apart."""
    batch: list[Step] = []
    item = first
    while not isinstance(item, ProviderError):
        batch.append(item)
        if steps.empty():
            return batch, None
        item = steps.get_nowait()
    return batch, item


def provider_of(answer: Provider | AnswerFunction, name: str) -> Provider:
    """`answer` itself if it is a provider, else one that calls it. Raises ConfigError."""
    return answer if isinstance(answer, Provider) else PythonProvider(answer, name)
