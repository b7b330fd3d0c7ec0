"""What goes wrong in a simulated world, as its plan says."""

import math
from typing import TYPE_CHECKING

from headwater.core.lifecycle import ENDED
from tests.simulation.plan import FREEZE_TIMES, Action
from tests.simulation.store import LAG_WRITES
from tests.simulation.worker import Reset, Worker

if TYPE_CHECKING:
    from tests.simulation.world import World

# It takes at least so long, which is longer than between two sweeps: so whoever lives has seen that the store was away.
FAILOVER_S = 0.7


class Mishaps:
    """Brings them about, and ends them."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._upset_at = -math.inf
        """When the store last forgot, or its clock jumped."""

    def begin(self) -> None:
        """From now on."""
        world = self._world
        kinds, weather, chance = world.plan.kinds, world.weather, world.chance
        if "fail" in kinds:
            weather.failing = chance.choice((0.02, 0.2))
        if "lose_news" in kinds:
            weather.news_lost = chance.choice((0.1, 0.5, 0.9))
        if "muddle_news" in kinds:
            weather.news_doubled, weather.news_late_s = 0.2, chance.choice((0.05, 0.6))
        for action in world.plan.actions:
            world.loop.call_at(action.at_s, self._act, action)

    def end(self) -> None:
        """All is calm: no fault begins any more. What lasts, a stall, a failover or a freeze, ends when it ends."""
        self._world.weather.failing = 0.0
        for reader in self._world.readers:
            reader.calm_down()

    def _act(self, action: Action) -> None:
        world, now = self._world, self._world.loop.time()
        chance, weather, worker = world.chance, world.weather, self._victim()
        until = now + action.for_s
        world.say(f"{action.kind}: {worker}, {action.for_s:g} s")
        match action.kind:
            case "kill":
                self._kill(worker)
            case "freeze":
                world.loop.freeze(worker.process)
                world.loop.call_at(now + FREEZE_TIMES * action.for_s, self._thaw, worker)
            case "drain":
                worker.leaving = True
                world.start_worker()
                world.do(self._see_off(worker))
            case "outage":
                weather.out_until = max(until, weather.out_until)
            case "cut_off":
                weather.cut_off[worker.process] = until
            case "stall":
                weather.stalled_until = max(until, weather.stalled_until)
            case "failover":
                until = max(until, now + FAILOVER_S)
                weather.out_until = max(until, weather.out_until)
                world.loop.call_at(until, self._forget)
            case "forget":
                self._forget()
            case "clock":
                world.books.off_s += chance.uniform(-1.0, 1.0)
                self._upset_at = now
            case "deafen":
                worker.broadcaster.deaf = True
                world.loop.call_at(until, self._listen_again, worker)
            case "cancel":
                world.do(world.cancel(f"run_{chance.randrange(world.plan.runs)}"))

    def _victim(self) -> Worker:
        """Rather one that has something to lose."""
        world = self._world
        busy = {world.books.holders.get(row.run.id) for row in world.books.rows if row.run.status not in ENDED}
        those = [worker for worker in world.workers if worker.is_well and worker.process.name in busy]
        return world.chance.choice(those) if those and world.chance.random() < 0.7 else world.some_worker()

    def _forget(self) -> None:
        world = self._world
        world.books.forget(world.chance.choice((1, 2, 3, LAG_WRITES)))
        self._upset_at = world.loop.time()
        if "kill" in world.plan.kinds and world.chance.random() < 0.6:
            self._kill(self._victim())  # it ran where the old primary did

    def _kill(self, worker: Worker) -> None:
        worker.kill()
        self._world.start_worker()

    def _thaw(self, worker: Worker) -> None:
        if worker.process.frozen and not worker.process.dead:
            self._world.weather.disturb(worker.process)
            self._world.loop.thaw(worker.process)
            self._world.say(f"{worker} is thawed")

    def _listen_again(self, worker: Worker) -> None:
        self._world.loop.call_soon(worker.broadcaster.listen_again, context=worker.process.context)

    async def _see_off(self, worker: Worker) -> None:
        try:
            await worker.ask(worker.drain(self._world.plan.config.drain_s))
        except Reset:
            return
        worker.kill()
        self._world.say(f"{worker} has left")

    def on_taken(self, run_id: str, before: str, by: str) -> None:
        """A lease was taken from somebody: who could not help losing it, or a promise is broken."""
        world = self._world
        world.say(f"{by} takes {run_id} from {before}")
        world.tally["taken over"] += 1
        holder = next(worker for worker in world.workers if worker.process.name == before)
        if world.chance.random() < 0.5:  # the worst moment to come back, just before the new one writes
            world.loop.call_later(0.02 * world.chance.random(), self._thaw, holder)
        upset_at = max(self._upset_at, world.weather.disturbed.get(holder.process, -math.inf))
        is_well = holder.is_well and not holder.process.frozen
        if is_well and world.loop.time() - upset_at > world.plan.upset_s:
            world.blame(f"{by} took {run_id} from {before}, who is well")
