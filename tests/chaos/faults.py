"""What goes wrong: each fault as a function, and the driver that draws them."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from typing import Any, Final

from headwater.core.events import Entry, Text, encode_events
from headwater.errors import StoreUnavailable
from headwater.store.base import Append, Outcome
from tests.chaos.load import Asked, Kill, Load
from tests.chaos.questions import MARK_OF_STRANGERS
from tests.chaos.report import Fault
from tests.chaos.world import Worker
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually, lasting

EVERY_S = 1.2  # between two strokes, on average, of which some are of several faults at once
AT_ONCE = (1, 1, 1, 2, 3)
FREEZE_S = (0.2, 6.0)  # below a lease, and far above it
AWAY_S = (0.0, 1.5)  # until somebody starts a worker again
# Below what Sentinel takes for the primary's death.
STALL_S = (0.1, 1.0)
UNHEARD_S = (0.05, 0.4)  # of writes that a failover loses
WITH_A_WORKER = 0.4  # of failovers take a worker with them
FREE_S = 30.0  # for a worker that another fault has
AT_MOST = 6  # faults at once: beyond there would be nobody left to do anything
FAILOVER_S = 30.0  # for a replica to be promoted, which takes two or three seconds


class Window:
    """A time on the monotonic clock in which something was wrong; without an `end` it is not over yet."""

    def __init__(self, start: float, end: float = float("inf")) -> None:
        self.start = start
        self.end = end

    def holds(self, start: float, end: float) -> bool:
        """Whether it has any of the time from start to end."""
        return start <= self.end and end >= self.start


class Havoc:
    """Spoils the world under a load.

    `windows` are the times whose writes were lost, and `troubles` those that may keep a worker from taking a run over.
    """

    def __init__(self, load: Load, name: str) -> None:
        self.load = load
        self.world = load.world
        self.tally = load.tally
        self.windows: list[Window] = []
        self.troubles: list[Window] = []
        self.freeze_s = FREEZE_S
        self._chance = self.world.chance(f"{name}/faults")
        self._tasks: set[asyncio.Task[None]] = set()

    async def wreak(self, until: float) -> None:
        """Faults until then, on the loop's clock; return once the last is over."""
        loop = asyncio.get_running_loop()
        while loop.time() < until:
            await lasting(self._chance.expovariate(1 / EVERY_S))
            for _ in range(self._chance.choice(AT_ONCE)):
                self._strike(self._chance.choices(list(SHARES), list(SHARES.values()))[0])
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def wreak_each(self, strokes: Sequence["Stroke"], seconds: float) -> None:
        """Each of these once, in any order, spread over the time; return once the last is over."""
        for stroke in self._chance.sample(strokes, len(strokes)):
            await lasting(self._chance.uniform(0.5, 1.5) * seconds / (len(strokes) + 1))
            self._strike(stroke)
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _strike(self, fault: "Stroke") -> None:
        if len(self._tasks) >= AT_MOST:
            return
        task = asyncio.create_task(fault(self, random.Random(self._chance.random())))
        self._tasks.add(task)
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.tally.fail("errors seen", f"a fault could not be made: {type(error).__name__}: {error}")

    def count(self, fault: Fault) -> None:
        """One more of these."""
        self.tally.faults[fault] += 1

    @contextlib.contextmanager
    def _troubled(self) -> Iterator[None]:
        window = Window(time.monotonic())
        self.troubles.append(window)
        try:
            yield
        finally:
            window.end = time.monotonic()

    # -- workers

    async def kill(self, chance: random.Random) -> None:
        """kill -9 of a worker, and a new one starts after a moment."""
        async with self._any_worker(chance) as worker:
            await self.strike_dead(worker)
            await lasting(chance.uniform(*AWAY_S))
            await self.revive(worker)

    async def kill_in_peace(self) -> None:
        """One more when all else is over, for so long that nobody still looks away: what is promised of it is exact."""
        await lasting(self.world.lease_s)
        await self.kill(random.Random(self._chance.random()))

    async def strike_dead(self, worker: Worker) -> None:
        """Kill it, and note whose producer it was."""
        produced = await self._produced_by(worker)
        await worker.kill()
        now = time.monotonic()
        self.troubles.append(Window(now, now))
        for asked, seq in produced:
            asked.kills.append(Kill(now, seq))
        self.count("kills")

    async def revive(self, worker: Worker) -> None:
        """Start it again, and know its name."""
        await worker.start()
        if self.world.kind != "sqlite":
            with contextlib.suppress(Exception):  # the store is away: it is not known, then
                await self.world.learn_name(worker)

    async def _produced_by(self, worker: Worker) -> list[tuple[Asked, int]]:
        """The runs that it produces now, as far as one can know, each with the top of its log."""
        found = []
        for asked in self.load.in_flight:
            if self.world.kind == "sqlite":
                run = (await self.world.ask(lambda: worker.process.url, "GET", f"/v1/runs/{asked.id}")).json()
                if run["status"] == "in_progress":
                    found.append((asked, int(run["position"].partition("-")[0])))
            elif worker.name and await self.world.holder(asked.id) == worker.name:
                with contextlib.suppress(StoreUnavailable):
                    stored = await self.world.store.get(asked.id)
                    if stored is not None and stored.status == "in_progress" and not stored.cancelled:
                        found.append((asked, stored.position.seq))
        return found

    async def freeze(self, chance: random.Random) -> None:
        """A worker stands still for a while, and goes on as if nothing had been."""
        async with self._any_worker(chance) as worker:
            self.count("freezes")
            with self._troubled():
                worker.freeze()
                await lasting(chance.uniform(*self.freeze_s))
                worker.thaw()

    async def drain(self, chance: random.Random) -> None:
        """A worker is asked to leave, and a new one starts in its place."""
        async with self._any_worker(chance) as worker:
            await self.replace(worker)

    async def replace(self, worker: Worker) -> None:
        """A new one, once this one has gone."""
        await self.dismiss(worker)
        await self.revive(worker)

    async def dismiss(self, worker: Worker) -> None:
        """SIGTERM, until it has gone."""
        self.count("drains")
        code = await worker.terminate()
        if code != 0:
            self.tally.fail("errors seen", f"a drained worker ended with {code}")

    async def roll(self, chance: random.Random) -> None:
        """All of them, one after another."""
        for worker in list(self.world.workers):
            if not worker.lock.locked():
                async with self._having(worker):
                    await self.replace(worker)

    @contextlib.asynccontextmanager
    async def _any_worker(self, chance: random.Random) -> AsyncIterator[Worker]:
        """One that lives and suffers nothing yet, once there is one; it is this fault's for the block."""

        def free() -> list[Worker]:
            return [worker for worker in self.world.workers if not worker.lock.locked() and worker.running]

        worker = chance.choice(await eventually(free, FREE_S, "a worker is to be had"))
        async with self._having(worker):
            yield worker

    @contextlib.asynccontextmanager
    async def _having(self, worker: Worker) -> AsyncIterator[None]:
        """It is this fault's for the block. Where no other is left in peace, nobody may be there to take over."""
        async with worker.lock:
            alone = all(one.lock.locked() for one in self.world.workers)
            with self._troubled() if alone else contextlib.nullcontext():
                yield

    # -- connections

    async def cut(self, chance: random.Random) -> None:
        """All subscribers behind the bad network lose their connections."""
        self.world.network.cut()

    async def cut_store(self, chance: random.Random) -> None:
        """Workers lose connections to Redis: some of those for requests, or those for news, or all."""
        redis = self.world.primary
        if redis is None or self.world.redis_lock.locked():
            return
        async with self.world.redis_lock:
            self.count("store cuts")
            with self._troubled():
                await self._cut_clients(redis, chance)

    async def _cut_clients(self, redis: RedisServer, chance: random.Random) -> None:
        clients = await asyncio.to_thread(redis.ask, "CLIENT", "LIST")
        share = chance.choice((0.3, 0.7, 1.0))
        news_alone = chance.random() < 0.3
        for line in str(clients).splitlines():
            fields = dict(field.split("=", 1) for field in line.split(" ") if "=" in field)
            hit = fields["name"] == "headwater" and chance.random() < share
            if hit and (not news_alone or int(fields["sub"])):
                await asyncio.to_thread(redis.ask, "CLIENT", "KILL", "ID", fields["id"])

    async def stall_store(self, chance: random.Random) -> None:
        """Redis answers nobody for a moment, or takes no writes."""
        redis = self.world.primary
        if redis is None or self.world.redis_lock.locked():
            return
        async with self.world.redis_lock:
            self.count("store cuts")
            seconds = chance.uniform(*STALL_S)
            with self._troubled():
                if chance.random() < 0.5:
                    await asyncio.to_thread(redis.ask, "CLIENT", "PAUSE", int(seconds * 1_000), "WRITE")
                    await lasting(seconds)
                else:
                    await asyncio.to_thread(redis.freeze)
                    await lasting(seconds)
                    redis.thaw()

    async def fail_over(self, chance: random.Random) -> None:
        """The primary dies, and its replica, which had not heard the last writes, takes its place."""
        world = self.world
        if world.sentinel is None or world.redis_lock.locked():
            return
        async with world.redis_lock:
            assert world.primary is not None and world.replica is not None
            old, new = world.primary, world.replica
            self.count("failovers")
            await eventually(lambda: new.role == "connected", FAILOVER_S, f"{new!r} is in step")
            window = Window(time.monotonic())
            self.windows.append(window)
            await asyncio.to_thread(old.part, new)
            await lasting(chance.uniform(*UNHEARD_S))
            if chance.random() < WITH_A_WORKER:
                async with self._any_worker(chance) as worker:
                    await self.strike_dead(worker)
                    await self._promote(old, new, window)
                    await self.revive(worker)
            else:
                await self._promote(old, new, window)

    async def _promote(self, old: RedisServer, new: RedisServer, window: Window) -> None:
        with self._troubled():
            await self._let_take_over(old, new, window)
        self.world.primary, self.world.replica = new, old
        await asyncio.to_thread(old.start)
        await asyncio.to_thread(old.become_replica_of, new)

    async def _let_take_over(self, old: RedisServer, new: RedisServer, window: Window) -> None:
        watcher = self.world.sentinel
        assert watcher is not None
        await asyncio.to_thread(old.kill)
        window.end = time.monotonic()
        await asyncio.to_thread(new.forget_parting)

        def promoted() -> bool:
            return watcher.master_port == new.port and new.role == "master"

        await eventually(lambda: asyncio.to_thread(promoted), FAILOVER_S, f"{new!r} is promoted")

    # -- strangers

    async def zombie(self, chance: random.Random) -> None:
        """Somebody who had the lease of a run before writes on the very top of its log."""
        if self.world.kind == "sqlite":
            return
        running = [asked for asked in self.load.in_flight if asked.kills] or self.load.in_flight
        if not running:
            return
        asked = chance.choice(running)
        with contextlib.suppress(StoreUnavailable):
            run = await self.world.store.get(asked.id)
            if run is None or run.status != "in_progress" or run.token < 1:
                return
            self.count("zombies")
            top, tag = run.position, chance.randrange(1, 10**12)
            events = (Text(MARK_OF_STRANGERS),)
            entry = Entry(top, top.seq + 1, tag, events)
            item = Append(run.id, run.token - 1, entry, encode_events(events))
            (result,) = await self.world.store.append([item])
            if result.outcome not in (Outcome.FENCED, Outcome.ENDED, Outcome.GONE):
                self.tally.fail("stale writes taken", f"{run.id}: {result.outcome} with token {run.token - 1}")


Stroke = Callable[[Havoc, random.Random], Coroutine[Any, Any, None]]

SHARES: Final[Mapping[Stroke, int]] = {
    Havoc.kill: 5,
    Havoc.freeze: 4,
    Havoc.drain: 3,
    Havoc.roll: 1,
    Havoc.cut: 4,
    Havoc.cut_store: 3,
    Havoc.stall_store: 2,
    Havoc.fail_over: 2,
    Havoc.zombie: 8,
}
