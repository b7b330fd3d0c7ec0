"""What must be true of a world once all is over: the promises of docs/architecture.md."""

from typing import TYPE_CHECKING

from headwater.core.events import Attempt, End
from headwater.core.lifecycle import ENDED
from tests.simulation.history import History
from tests.simulation.reader import Reader
from tests.store.model import Row

if TYPE_CHECKING:
    from tests.simulation.world import World

TOO_LATE = {"forget", "fail", "cut_off", "freeze", "stall", "outage", "clock"}
"""What can keep a producer from writing again what a store has lost, until somebody else has begun."""


def check_leases(world: "World") -> None:
    """By now each unfinished run is held again, by a worker that lives."""
    living = {worker.process.name for worker in world.workers if not worker.process.dead}
    for row in world.books.rows:
        held = row.lease_until > world.loop.time() + world.books.off_s and world.books.holders[row.run.id] in living
        if row.run.status not in ENDED and not held:
            world.blame(f"{row.run.id}: {world.plan.taken_s:g} s after all was well nobody carries on with it")


def check_world(world: "World") -> None:
    """Blame whatever is not as promised."""
    rows = {row.run.id: row for row in world.books.rows}
    for run_id, row in rows.items():
        history = world.books.histories[run_id]
        history.check_log(row.log)
        _check_end(world, row, history)
        _count(world, row)
    for reader in world.readers:
        _check_reader(world, reader, rows[reader.run_id])


def _check_end(world: "World", row: Row, history: History) -> None:
    run, script = row.run, world.scripts[row.run.id]
    end = row.log[-1].events[-1] if row.log else None
    if not isinstance(end, End):
        return  # which is blamed already
    text = "".join(text for kind, text in history.told[row.top] if kind == "text")
    if end.status != run.status:
        world.blame(f"{run.id}: its end says {end.status}, its status {run.status}")
    if run.cancelled and end.status != "cancelled":
        world.blame(f"{run.id}: was cancelled, and is {end.status}")
    if end.status == "cancelled" and run.id not in world.books.cancelled:
        world.blame(f"{run.id}: nobody cancelled it, and it is cancelled")
    if end.status == "completed" and text not in script.whole:
        world.blame(f"{run.id}: completed as {text!r}, which is none of {script.whole}")
    if text and text not in script.said:
        world.blame(f"{run.id}: holds {text!r}, which nobody said")


def _check_reader(world: "World", reader: Reader, row: Row) -> None:
    """What it holds was checked at each position: here only that it ended where the log does."""
    world.tally["connections"] += reader.connections
    at, history = reader.end_position, world.books.histories[row.run.id]
    if row.top == at:
        return
    dead = {worker.process.name for worker in world.workers if worker.process.dead}
    may_be_lost = (
        row.run.cancelled or world.plan.kinds & TOO_LATE or dead & {by.name for by in history.writers.values()}
    )
    if at in history.forgotten and may_be_lost:
        world.tally["ends that a store forgot for good"] += 1
    else:
        world.blame(f"{reader} ended at {at}, the log at {row.top}")


def _count(world: "World", row: Row) -> None:
    tally = world.tally
    tally["runs"] += 1
    tally["readers"] += world.plan.readers
    tally[f"ended {row.run.status}"] += 1
    for entry in row.log:
        for event in entry.events:
            if isinstance(event, Attempt):
                tally[f"{event.reason}, {event.how}"] += 1
