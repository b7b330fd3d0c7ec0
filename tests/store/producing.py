"""Runs and producers for the tests of stores."""

from typing import Any

from headwater.core.events import Entry, Event, Text, encode_events
from headwater.core.position import START, Position
from headwater.core.run import Run, RunRequest
from headwater.entropy import new_run_id, new_tag
from headwater.store.base import Append, AppendResult, IdempotencyKey, Lease, Outcome, Store


def a_run(owner: str = "ann", **fields: Any) -> Run:
    """A new run as a use case hands it to a store."""
    fields = {"id": new_run_id(), "model": "demo", "request": RunRequest(input="hello"), "created_at": 0.0, **fields}
    return Run(owner=owner, **fields)


def a_key(owner: str = "ann", key: str = "k1", body_hash: str = "h1", ttl_s: float = 600.0) -> IdempotencyKey:
    """A reservation."""
    return IdempotencyKey(owner, key, body_hash, ttl_s)


def an_append(run_id: str, token: int, tag: int, after: Position, *events: Event) -> Append:
    """An append as the executor freezes it."""
    entry = Entry(after, after.seq + len(events), tag, events)
    return Append(run_id, token, entry, encode_events(events))


def texts(*words: str) -> tuple[Text, ...]:
    """A delta for each word."""
    return tuple(Text(word) for word in words)


async def entries(store: Store, run_id: str) -> tuple[Entry, ...]:
    """The whole log."""
    read = await store.read(run_id, START, 100_000_000)
    assert read is not None and read.joined
    return read.entries


class Producer:
    """A worker that holds a lease and knows the top of its log."""

    def __init__(self, store: Store, lease: Lease) -> None:
        self.store = store
        self.run_id = lease.run.id
        self.token = lease.token
        self.tag = lease.tag
        self.at = lease.run.position

    def next(self, *events: Event) -> Append:
        """What it would append now."""
        return an_append(self.run_id, self.token, self.tag, self.at, *events)

    async def send(self, item: Append) -> AppendResult:
        """Send one append by itself, and stand behind it if it was stored."""
        (result,) = await self.store.append([item])
        if result.outcome is Outcome.STORED:
            self.at = item.entry.position
        return result

    async def write(self, *events: Event) -> Append:
        """Append events; they must be stored."""
        item = self.next(*events)
        result = await self.send(item)
        assert (result.outcome, result.top) == (Outcome.STORED, item.entry.position)
        return item


async def take(store: Store, run_id: str, *, seen: int = 0, lease_s: float = 3.0) -> Producer:
    """Take a run that is free."""
    lease = await store.take_lease(run_id, seen=seen, tag=new_tag(), holder="worker", lease_s=lease_s)
    assert lease is not None
    return Producer(store, lease)


async def start(store: Store, owner: str = "ann", *, lease_s: float = 3.0, **fields: Any) -> Producer:
    """Create a run and take it."""
    run = a_run(owner, **fields)
    await store.create(run, None)
    return await take(store, run.id, lease_s=lease_s)
