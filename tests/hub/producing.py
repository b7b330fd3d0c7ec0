"""A producer that tells its hub of what the store has taken."""

from headwater.core.events import End, Entry, Event
from headwater.core.run import Run
from headwater.hub import Hub
from headwater.store.base import Lease, Store
from tests.store.producing import Producer, a_run, start, take


class PublishingProducer(Producer):
    """Writes to the store, then publishes, as a worker does."""

    def __init__(self, store: Store, lease: Lease, hub: Hub) -> None:
        super().__init__(store, lease)
        self.run = lease.run
        self.hub = hub

    async def say(self, *events: Event) -> Entry:
        """Write events and publish them."""
        entry = await self.say_nothing(*events)
        self.hub.publish(self.run_id, entry)
        return entry

    async def say_nothing(self, *events: Event) -> Entry:
        """Write events whose news is lost."""
        return (await self.write(*events)).entry

    async def end(self) -> Entry:
        """Complete the run."""
        return await self.say(End("completed", "stop"))


async def produce(store: Store, hub: Hub) -> PublishingProducer:
    """A new run in production."""
    plain = await start(store)
    return await _publishing(store, hub, plain)


async def take_over(store: Store, hub: Hub, run_id: str, seen: int) -> PublishingProducer:
    """The run of a producer whose lease was released."""
    return await _publishing(store, hub, await take(store, run_id, seen=seen))


async def _publishing(store: Store, hub: Hub, plain: Producer) -> PublishingProducer:
    run = await store.get(plain.run_id)
    assert run is not None
    return PublishingProducer(store, Lease(run, plain.token, plain.tag), hub)


async def queued(store: Store) -> Run:
    """A run that nobody has taken."""
    return (await store.create(a_run(), None)).run
