"""A server in the test's own process, on a real socket: for what can only be seen, or hurried, from within."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import cast

import anyio.to_thread
import uvicorn

import headwater
from headwater.departures import Departures
from headwater.state import AppState
from headwater.web.connection import Connection
from tests.streaming.stage import DEADLINE_S, SCRIPTED
from tests.support.server import free_port
from tests.support.upstream import Script, Upstream
from tests.support.waiting import eventually

HASTY_S = 0.01
"""Between looks, where a test waits for what they find."""
NEVER_S = 600.0
"""Where it is to be seen what is done without another look."""

Cancel = Callable[[str], Awaitable[object]]


class Inside:
    """A running server with its parts, and the upstream that it asks."""

    def __init__(self, url: str, upstream: Upstream, state: AppState) -> None:
        self.url = url
        self.upstream = upstream
        self.state = state

    async def status(self, run_id: str) -> str:
        """The run's, now."""
        (top,) = await self.state["store"].tops([run_id])
        assert top is not None
        return top.status

    async def ended(self, run_id: str) -> str:
        """The run's status, once it has ended and nobody watches over it."""

        async def look() -> str | None:
            status = await self.status(run_id)
            return None if status in ("queued", "in_progress") else status

        status = await eventually(look, DEADLINE_S, f"{run_id} has ended")
        await eventually(lambda: self.watched == 0, DEADLINE_S, "nothing is watched any more")
        return status

    @property
    def watched(self) -> int:
        """How many runs are watched that were left."""
        return sum(task.get_name().startswith("left ") for task in asyncio.all_tasks())

    async def newest(self) -> str:
        """The run that was started last."""
        page = await self.state["store"].list_runs("default", conversation=None, status=None, before=None, limit=1)
        return page.runs[0].id


class _Server(uvicorn.Server):
    """uvicorn without its signals, with the state of a lifespan that is entered already."""

    def __init__(self, config: uvicorn.Config, state: AppState) -> None:
        super().__init__(config)
        self._state = state

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: object = None) -> None:
        self.lifespan.state.update(cast(dict[str, object], self._state))
        await super().startup()


@asynccontextmanager
async def inside(
    directory: Path,
    *,
    look_s: float = HASTY_S,
    http: type[asyncio.Protocol] = Connection,
    cancel: Callable[[Cancel], Cancel] = lambda cancel: cancel,
    **settings: object,
) -> AsyncIterator[Inside]:
    """A server whose looks at what was left are `look_s` apart; `http` is how it speaks, `cancel` what its is made."""
    async with Upstream({SCRIPTED: Script()}) as upstream:
        config = headwater.Config(store=f"sqlite:{directory / 'headwater.db'}", **settings)  # type: ignore[arg-type]
        environ = {"OPENAI_BASE_URL": upstream.url}
        app = await anyio.to_thread.run_sync(partial(headwater.create_app, config, environ=environ))
        async with headwater.lifespan(app) as entered:
            state = cast(AppState, dict(entered))
            departures = Departures(
                state["store"], state["hub"], state["executor"], cancel(state["runs"].stop), look_s=look_s
            )
            state["departures"] = departures
            port = free_port()
            options = uvicorn.Config(app, port=port, http=http, ws="none", lifespan="off", log_config=None)
            server = _Server(options, state)
            serving = asyncio.ensure_future(server.serve())
            await eventually(lambda: server.started, what="it listens")
            try:
                yield Inside(f"http://127.0.0.1:{port}", upstream, state)
            finally:
                server.should_exit = server.force_exit = True
                await serving
                await departures.close()
