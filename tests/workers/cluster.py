"""Several workers on one Redis, the scripted upstream that they all ask, and a client of them."""

import asyncio
import random
import secrets
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import httpx2
from redis.asyncio import Redis

from tests.streaming.stage import DEADLINE_S, ENDED, SCRIPTED, SETTINGS
from tests.support.event_source import EventSource
from tests.support.redis_server import test_redis_url
from tests.support.server import ServerProcess
from tests.support.upstream import Exchange, Script, Upstream
from tests.support.waiting import eventually

WORKERS = 3

# Of a worker that died is heard soon. A loaded machine may keep a living one waiting for most of a second.
QUICK: dict[str, Any] = {"lease_s": 1.0, "renew_s": 0.3, "sweep_s": 0.2}
WITHIN_S = 2.0
"""Beyond the lease: what the fifth invariant gives to whoever ends a dead worker's runs."""


class Cluster:
    """Workers as processes of their own; as an async context manager it starts them, and leaves none behind.

    `store` is where they keep their runs, or one address for each. `settings` are fields of Config. All chance comes
    from `seed`. Where a `worker` may be named it is one of `workers`; without it, it is any that runs.
    """

    def __init__(
        self,
        directory: Path,
        store: str | Sequence[str],
        *,
        workers: int = WORKERS,
        seed: int = 0,
        models: Mapping[str, Script] | None = None,
        continuation: str = "none",
        may_crash: bool = False,
        **settings: object,
    ) -> None:
        self.stores = [store] * workers if isinstance(store, str) else list(store)
        self.prefix = f"test-{secrets.token_hex(8)}"
        self.chance = random.Random(seed)
        self.upstream = Upstream({SCRIPTED: Script(), **(models or {})})
        self.client = httpx2.AsyncClient(timeout=DEADLINE_S)
        self.workers: list[ServerProcess] = []
        self._directory = directory
        self._settings = {**SETTINGS, "redis_prefix": self.prefix, **settings}
        self._continuation = continuation
        self._may_crash = may_crash
        self._questions: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"<Cluster {self.workers} {self.upstream}>"

    # -- life

    async def __aenter__(self) -> Self:
        await self.upstream.__aenter__()
        self.workers = [self.worker(store) for store in self.stores]
        try:
            await _all(worker.__aenter__() for worker in self.workers)
        except BaseException as error:
            await self.__aexit__(type(error))
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            await self.client.aclose()
            await _all(worker.__aexit__(kind) for worker in self.workers)
        finally:
            await self.upstream.__aexit__()
            if test_redis_url() in self.stores:  # it outlives the tests
                await self._forget()

    def worker(self, store: str) -> ServerProcess:
        """One more worker, not yet started, on the same runs."""
        return ServerProcess(
            self._directory,
            store=store,
            settings=self._settings,
            env={"OPENAI_BASE_URL": self.upstream.url, "OPENAI_CONTINUATION": self._continuation},
            may_crash=self._may_crash,
        )

    async def _forget(self) -> None:
        async with Redis.from_url(self.stores[0]) as redis:
            async for name in redis.scan_iter(match=f"{self.prefix}:*"):
                await redis.delete(name)

    # -- places

    @property
    def urls(self) -> list[str]:
        """Where the workers are."""
        return [worker.url for worker in self.workers]

    def any_worker(self) -> ServerProcess:
        """One that runs."""
        return self.chance.choice([worker for worker in self.workers if worker.running])

    def any_url(self) -> str:
        """Where one is that runs."""
        return self.any_worker().url

    # -- runs

    async def start(
        self,
        script: Script | None = None,
        *,
        at: ServerProcess | None = None,
        demo: dict[str, Any] | None = None,
        **fields: Any,
    ) -> str:
        """The id of a new run, which the upstream answers by `script`, or the demo model as it is told."""
        body = self.question(script, demo=demo, **fields)
        response = await self.post(body, at=at)
        assert response.status_code == 202, response.text
        run_id: str = response.json()["id"]
        return run_id

    def question(
        self, script: Script | None = None, *, demo: dict[str, Any] | None = None, **fields: Any
    ) -> dict[str, Any]:
        """The body of a run, whose input is like no other's."""
        body = {"input": secrets.token_hex(8), **fields}
        if script is not None:
            body |= {"model": SCRIPTED, "extra": script.extra()}
        elif demo is not None:
            body |= {"model": "demo", "extra": {"demo": demo}}
        return body

    async def post(
        self, body: dict[str, Any], *, at: ServerProcess | None = None, key: str | None = None
    ) -> httpx2.Response:
        """What a worker says to a run of this body."""
        headers = {} if key is None else {"Idempotency-Key": key}
        response = await self.client.post(f"{(at or self.any_worker()).url}/v1/runs", json=body, headers=headers)
        if run_id := response.headers.get("headwater-run"):
            self._questions[run_id] = body["input"]
        return response

    async def run(self, run_id: str, *, at: ServerProcess | None = None) -> Any:
        """The run now."""
        response = await self.client.get(self._url(run_id, at))
        assert response.status_code == 200, response.text
        return response.json()

    async def ended(self, run_id: str, *, at: ServerProcess | None = None) -> Any:
        """The run, once it has ended."""

        async def look() -> Any:
            run = await self.run(run_id, at=at)
            return run if run["status"] in ENDED else None

        return await eventually(look, DEADLINE_S, f"{run_id} has ended")

    async def cancel(self, run_id: str, *, at: ServerProcess | None = None) -> Any:
        """Cancel it; the run then."""
        response = await self.client.post(f"{self._url(run_id, at)}/cancel")
        assert response.status_code == 200, response.text
        return response.json()

    def reader(
        self, run_id: str, *, at: ServerProcess | None = None, first: ServerProcess | None = None, **options: Any
    ) -> EventSource:
        """One that follows it as a browser does: always `at` one worker, or, from the `first` on, each time at any."""
        if at is not None:
            return EventSource(f"{self._url(run_id, at)}/events", **options)
        return Wanderer(self, f"{self._url(run_id, first)}/events", **options)

    def calls(self, run_id: str) -> list[Exchange]:
        """The requests at the upstream for this run."""
        question = self._questions[run_id]
        return [one for one in self.upstream.exchanges if one.body and _question_of(one) == question]

    async def asked(self, run_id: str) -> Exchange:
        """The newest of them, once there is one."""
        return (await eventually(lambda: self.calls(run_id), DEADLINE_S, "the upstream is asked"))[-1]

    async def metric(self, worker: ServerProcess, name: str) -> float:
        """A counter of a worker's, with its labels as Prometheus writes them; 0 where it was not counted yet."""
        lines = (await self.client.get(f"{worker.url}/metrics")).text.splitlines()
        return next((float(line.rpartition(" ")[2]) for line in lines if line.rpartition(" ")[0] == name), 0.0)

    def _url(self, run_id: str, at: ServerProcess | None) -> str:
        return f"{(at or self.any_worker()).url}/v1/runs/{run_id}"


def _question_of(exchange: Exchange) -> Any:
    return next(one["content"] for one in reversed(exchange.body["messages"]) if one["role"] == "user")


class Wanderer(EventSource):
    """A reader that comes back to any worker that runs, as one does behind a balancer."""

    def __init__(self, cluster: Cluster, url: str, **options: Any) -> None:
        super().__init__(url, **options)
        self._cluster = cluster
        self._tried = False

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        if self._tried:
            self.url = urlsplit(f"{self._cluster.any_url()}{self.url.path}")
        self._tried = True
        return await super()._open()


async def _all(awaitables: Iterable[Awaitable[object]]) -> None:
    """Do them at once; raises the first error after all are done."""
    for result in await asyncio.gather(*awaitables, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
