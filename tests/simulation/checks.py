"""What must be true of a world once all is over: the invariants of docs/architecture.md."""

from typing import TYPE_CHECKING

from headwater.core.events import End
from tests.simulation.history import History
from tests.store.model import Row

if TYPE_CHECKING:
    from tests.simulation.world import World


def check_world(world: "World") -> None:
    """Blame whatever is not as promised."""
    for row in world.books.rows:
        history = world.books.histories[row.run.id]
        history.check_log(row.log)
        _check_end(world, row, history)
    for reader in world.readers:
        row = next(row for row in world.books.rows if row.run.id == reader.run_id)
        history = world.books.histories[row.run.id]
        at = reader.end_position
        if row.top == at:
            continue  # what it holds there was checked as it came
        if at not in history.forgotten:
            world.blame(f"{reader} ended at {at}, the log at {row.top}")
        else:
            world.say(f"{reader} saw an end that was forgotten: {row.top} is another")
            world.excused += 1


def _check_end(world: "World", row: Row, history: History) -> None:
    run = row.run
    end = row.log[-1].events[-1] if row.log else None
    if not isinstance(end, End):
        return
    text = "".join(text for kind, text in history.told[row.top] if kind == "text")
    if end.status != run.status:
        world.blame(f"{run.id}: its end says {end.status}, its status {run.status}")
    if run.cancelled and end.status != "cancelled":
        world.blame(f"{run.id}: was cancelled, and is {end.status}")
    if end.status == "cancelled" and run.id not in world.books.cancelled:
        world.blame(f"{run.id}: nobody cancelled it, and it is cancelled")
    if end.status == "completed" and text not in world.scripts[run.id].whole:
        world.blame(f"{run.id}: completed as {text!r}, which is none of {world.scripts[run.id].whole}")


