"""A server, the scripted upstream that it asks, and a client: what every test here plays on."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2

from tests.support.event_source import EventSource
from tests.support.server import ServerProcess
from tests.support.upstream import Exchange, Script, Upstream
from tests.support.waiting import eventually

DEADLINE_S = 30.0  # generous: only ends a hang
ENDED = ("completed", "failed", "cancelled", "incomplete")
SCRIPTED = "scripted"
"""The model behind which the upstream stands."""

# Loopback readers come back at once, so that a test need not wait for them.
SETTINGS = {"retry_ms_min": 1, "retry_ms_max": 2, "drain_s": 0, "drain_spread_s": 0, "faults": True}


class Stage:
    """Starts runs, looks at them, and makes readers of them."""

    def __init__(self, server: ServerProcess, upstream: Upstream, client: httpx2.AsyncClient) -> None:
        self.server = server
        self.upstream = upstream
        self.client = client
        self._started = 0

    async def start(self, script: Script | None = None, *, demo: dict[str, Any] | None = None, **fields: Any) -> str:
        """The id of a new run, which the upstream answers by `script`, or the demo model as it is told."""
        self._started += 1
        body = {"input": f"{self._started}", **fields}
        if script is not None:
            body |= {"model": SCRIPTED, "extra": script.extra()}
        elif demo is not None:
            body |= {"model": "demo", "extra": {"demo": demo}}
        response = await self.client.post("/v1/runs", json=body)
        assert response.status_code == 202, response.text
        run_id: str = response.json()["id"]
        return run_id

    async def run(self, run_id: str) -> Any:
        """The run now."""
        response = await self.client.get(f"/v1/runs/{run_id}")
        assert response.status_code == 200, response.text
        return response.json()

    async def summary(self, run_id: str) -> Any:
        """The run now, without its output; for long ones."""
        rows = (await self.client.get("/v1/runs", params={"limit": 100})).json()["data"]
        return next(row for row in rows if row["id"] == run_id)

    async def ended(self, run_id: str) -> Any:
        """The run, once it has ended."""

        async def look() -> Any:
            run = await self.run(run_id)
            return run if run["status"] in ENDED else None

        return await eventually(look, DEADLINE_S, f"{run_id} has ended")

    async def cancel(self, run_id: str) -> Any:
        """Cancel it; the run then."""
        response = await self.client.post(f"/v1/runs/{run_id}/cancel")
        assert response.status_code == 200, response.text
        return response.json()

    def events_url(self, run_id: str) -> str:
        """Where its events are."""
        return f"{self.server.url}/v1/runs/{run_id}/events"

    def reader(self, run_id: str, **options: Any) -> EventSource:
        """One that follows it as a browser does."""
        return EventSource(self.events_url(run_id), **options)

    async def exchange(self) -> Exchange:
        """The newest request at the upstream, of the run that was started last, once it has arrived."""
        wanted = str(self._started)

        def look() -> Exchange | None:
            newest = [one for one in self.upstream.exchanges if _asked(one) == wanted]
            return newest[-1] if newest else None

        return await eventually(look, DEADLINE_S, "the upstream is asked")

    async def metric(self, name: str) -> float:
        """A counter of the server's, with its labels as Prometheus writes them; 0 where it was not counted yet."""
        lines = (await self.client.get("/metrics")).text.splitlines()
        return next((float(line.rpartition(" ")[2]) for line in lines if line.rpartition(" ")[0] == name), 0.0)


def _asked(exchange: Exchange) -> str | None:
    if not exchange.path.endswith("/chat/completions"):
        return None
    question: str = exchange.body["messages"][-1]["content"]
    return question


@asynccontextmanager
async def staged(
    directory: Path, *, models: Mapping[str, Script] | None = None, measured: bool = True, **settings: object
) -> AsyncIterator[Stage]:
    """A stage of its own; `settings` are fields of the server's Config.

    `models` are for scripts that are too long to come inside each request.
    """
    async with Upstream({SCRIPTED: Script(), **(models or {})}) as upstream:
        server = ServerProcess(
            directory,
            settings=SETTINGS | settings,
            env={"OPENAI_BASE_URL": upstream.url},
            measured=measured,
        )
        async with server, httpx2.AsyncClient(base_url=server.url, timeout=DEADLINE_S) as client:
            yield Stage(server, upstream, client)
