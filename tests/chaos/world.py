"""What is to go wrong: workers as processes of their own, the store that they share, and the upstream they ask."""

import asyncio
import random
import secrets
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, Self

import anyio.to_thread
import httpx2

from headwater.errors import StoreUnavailable
from headwater.redis_client import RedisClient
from headwater.store.redis import RedisStore
from headwater.store.redis.keys import Keys
from tests.chaos.questions import MODELS_FILE, STORIES, load_answers
from tests.support.cutting_proxy import CuttingProxy
from tests.support.redis_server import RedisSentinel, RedisServer, sentinel
from tests.support.server import ServerProcess, free_port
from tests.support.upstream import Upstream
from tests.support.waiting import eventually, lasting

ASK_S = 20.0  # for an answer that is no stream: a worker may be frozen for a while
AGAIN_S = 0.1  # between two tries of a request that was refused for now
NAME_S = 20.0  # for a worker to say its name: the store may fail over meanwhile
TAKEN_S = 3.0  # for it to take what it was asked
# Bytes of answers until a connection is cut: of a short answer, or of a part of a long one.
CUT_WITHIN = 12_000
# Of connections go through the network that cuts, and of those so many are spared.
CUT_SHARE, SPARED = 0.5, 0.3

QUICK: dict[str, Any] = {"lease_s": 1.5, "renew_s": 0.4, "sweep_s": 0.2}
"""So that more happens in a minute. A busy machine loses such a lease at times: one more takeover."""

SETTINGS: dict[str, object] = {
    "retry_ms_min": 5,  # readers on loopback come back at once
    "retry_ms_max": 20,
    "drain_s": 4,
    "drain_spread_s": 0.3,
    "store_timeout_s": 1,
    "wait_for_store_s": 30,  # a worker may start while there is no primary
    "first_token_timeout_s": 3,  # three times as long as the slowest first token
    "idle_timeout_s": 1.5,
    "connect_timeout_s": 2,
    "max_runs": 200,
}

_CRASH = "Traceback (most recent call last)"


class Worker:
    """One place among the workers, and who fills it; `lock` is held by the fault that it suffers."""

    def __init__(self, process: ServerProcess) -> None:
        self.process = process
        self.lock = asyncio.Lock()
        self.name = ""
        """How it signs its leases; empty where that is not known."""
        self.frozen = False

    def __repr__(self) -> str:
        return repr(self.process)

    @property
    def running(self) -> bool:
        return self.process.running

    async def start(self) -> None:
        """Start it, until it is ready."""
        self.name = ""
        await anyio.to_thread.run_sync(self.process.start)

    async def kill(self) -> None:
        """SIGKILL."""
        self.frozen = False
        await anyio.to_thread.run_sync(self.process.kill)

    async def terminate(self) -> int:
        """SIGTERM; its exit code."""
        self.process.signal(signal.SIGTERM)
        return await anyio.to_thread.run_sync(self.process.wait)

    def freeze(self) -> None:
        """SIGSTOP."""
        self.frozen = True
        self.process.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self.frozen = False
        if self.running:
            self.process.signal(signal.SIGCONT)


class World:
    """As an async context manager everything stands, and nothing is left behind.

    With `store` "sentinel" there are a primary, a replica and a Sentinel, with "redis" a Redis alone, with "sqlite" a
    file and one worker. All chance comes from `seed`; each actor has a `chance` of its own.
    """

    def __init__(
        self, directory: Path, seed: object, *, store: str = "sentinel", workers: int = 3, **settings: object
    ) -> None:
        self.directory = directory
        self.seed = seed
        self.kind = store
        self.prefix = f"chaos-{secrets.token_hex(4)}"
        self.upstream = Upstream(STORIES)
        self.client = httpx2.AsyncClient(timeout=ASK_S, limits=httpx2.Limits(max_connections=None))
        self.workers: list[Worker] = []
        self.primary: RedisServer | None = None
        self.replica: RedisServer | None = None
        self.sentinel: RedisSentinel | None = None
        self.redis_lock = asyncio.Lock()
        self.refused = 0
        """Requests that are no stream, and were answered with: not now."""
        self.network: CuttingProxy
        self.settings: dict[str, object] = {**SETTINGS, **settings, "redis_prefix": self.prefix}
        self._count = 1 if store == "sqlite" else workers
        self._address = ""
        self._read: dict[Path, int] = {}
        self._store: RedisStore | None = None
        self._links: RedisClient | None = None
        self._stack = AsyncExitStack()

    def chance(self, who: object) -> random.Random:
        """The chance of one actor: the same whatever the others do."""
        return random.Random(f"{self.seed}/{who}")

    @property
    def lease_s(self) -> float:
        """Of the workers."""
        return float(str(self.settings.get("lease_s", 3.0)))

    # -- life

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        for worker in self.workers:
            worker.thaw()
        with anyio.CancelScope(shield=True):
            await self._stack.aclose()

    async def _start(self) -> None:
        await anyio.to_thread.run_sync(load_answers)
        await self._stack.enter_async_context(self.upstream)
        models = MODELS_FILE.format(url=self.upstream.url, dead=free_port())
        await anyio.Path(self.directory / "headwater.toml").write_text(models)
        self._address = await self._start_store()
        self.workers = [self._worker(self._address) for _ in range(self._count)]
        for worker in self.workers:
            self._stack.callback(worker.process.close)
        async with asyncio.TaskGroup() as starting:
            for worker in self.workers:
                starting.create_task(worker.start())
        network = CuttingProxy(
            [worker.process.port for worker in self.workers], self.chance("cuts"), within=CUT_WITHIN, spared=SPARED
        )
        self.network = await self._stack.enter_async_context(network)
        self._stack.push_async_callback(self.client.aclose)

    async def _start_store(self) -> str:
        """The store's address for the workers."""
        if self.kind == "sqlite":
            return f"sqlite:{self.directory / 'chaos.db'}"
        self.primary = await self._stack.enter_async_context(RedisServer(self.directory))
        address = self.primary.url
        if self.kind == "sentinel":
            self.replica = await self._stack.enter_async_context(RedisServer(self.directory, replica_of=self.primary))
            self.sentinel = await self._stack.enter_async_context(sentinel(self.directory, self.primary))
            address = self.sentinel.url()
        self._links = RedisClient(address, timeout_s=2.0)
        self._store = RedisStore(self._links, "stranger", prefix=self.prefix, run_ttl_s=3_600)
        await self._store.open()
        self._stack.push_async_callback(self._store.close)
        return address

    def _worker(self, address: str) -> Worker:
        process = ServerProcess(self.directory, store=address, settings=self.settings, may_crash=True, measured=False)
        return Worker(process)

    async def add_worker(self) -> Worker:
        """One more, on a port of its own, that readers know of once it is ready."""
        worker = self._worker(self._address)
        self._stack.callback(worker.process.close)
        await worker.start()
        self.workers.append(worker)
        return worker

    # -- places

    def running(self) -> list[Worker]:
        """The workers that live and turn."""
        return [worker for worker in self.workers if worker.running and not worker.frozen]

    def where(self, chance: random.Random, *, cut: bool = False) -> Callable[[], str]:
        """An address for each connection: of any worker that lives, or of the network that cuts."""

        def draw() -> str:
            if cut and chance.random() < CUT_SHARE:
                return self.network.url
            living = [worker for worker in self.workers if worker.running] or self.workers
            return chance.choice(living).process.url

        return draw

    def crashes(self) -> list[str]:
        """The tracebacks in the workers' logs since they were last asked for."""
        found = []
        for log in self.directory.glob("server-*.stderr"):
            text = log.read_text(errors="replace")
            at = self._read.get(log, 0)
            self._read[log] = len(text)
            found += [f"{log.name}: {part[:2_500]}" for part in text[at:].split(_CRASH)[1:]]
        return found

    # -- requests

    async def ask(
        self, where: Callable[[], str], method: str, path: str, *, deadline_s: float = 90.0, **options: Any
    ) -> httpx2.Response:
        """The answer, asked for again, anywhere, while it is refused for now or the connection is lost."""

        async def once() -> httpx2.Response | None:
            try:
                response = await self.client.request(method, where() + path, **options)
                if response.status_code not in (429, 503):
                    return response
                self.refused += 1
            except Exception as error:
                if not is_lost(error):
                    raise
            await lasting(AGAIN_S)
            return None

        return await eventually(once, deadline_s, f"{method} {path} is answered")

    # -- looks behind the workers' backs

    @property
    def store(self) -> RedisStore:
        """The store as another worker sees it: Redis only."""
        assert self._store is not None, "there is no Redis"
        return self._store

    async def holder(self, run_id: str) -> str:
        """Who signed the newest lease of the run; empty if nobody has, or nobody can say."""
        if self._links is None:
            return ""
        with suppress(StoreUnavailable):
            if name := await self._links.one(("HGET", Keys(self.prefix).run(run_id), "holder")):
                return str(name.decode())
        return ""

    async def learn_name(self, worker: Worker) -> None:
        """How this worker signs: what it is asked it produces itself, unless another has to take that over.

        Raises AssertionError where that cannot be known, as the store is away.
        """
        others = {other.name for other in self.workers if other is not worker}

        async def signed() -> str | None:
            asked = {"input": "who are you?"}
            response = await self.ask(lambda: worker.process.url, "POST", "/v1/runs", deadline_s=NAME_S, json=asked)
            with suppress(AssertionError):  # a failover may have lost the run
                name = await eventually(lambda: self.holder(response.json()["id"]), TAKEN_S)
                return name if name not in others else None
            return None

        worker.name = await eventually(signed, NAME_S, f"{worker!r} says its name")


def is_lost(error: Exception) -> bool:
    """Whether it says of a client's connection that it was refused or lost."""
    lost_as_made = isinstance(error, AttributeError) and "getpeername" in str(error)  # as the client's library has it
    return lost_as_made or isinstance(error, httpx2.TransportError)
