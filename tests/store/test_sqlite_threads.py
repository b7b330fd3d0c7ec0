"""What the SQLite store does in its threads, and when."""

import asyncio
import sqlite3
import threading

import pytest

from headwater.core.events import Text
from headwater.core.position import START
from headwater.errors import StoreUnavailable
from headwater.store.sqlite import SqliteStore
from tests.store.producing import entries, start, texts
from tests.store.sqlite_maker import SqliteMaker
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio


class Gate:
    """Holds the writing thread until it is opened."""

    def __init__(self) -> None:
        self.reached, self._open = threading.Event(), threading.Event()

    def close(self, store: SqliteStore) -> asyncio.Future[None]:
        return asyncio.ensure_future(store.in_writer(self._hold))

    def _hold(self, _: sqlite3.Connection, __: float) -> None:
        self.reached.set()
        assert self._open.wait(20)

    def open(self) -> None:
        self._open.set()


async def test_a_write_goes_on_though_its_caller_gave_up(maker: SqliteMaker) -> None:
    store = await maker.open()
    one = await start(store)
    gate = Gate()
    held = gate.close(store)
    await eventually(gate.reached.is_set)
    item = one.next(*texts("a", "b"))
    caller = asyncio.ensure_future(store.append([item]))
    await eventually(lambda: "2 waiting" in repr(store))
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    reading = await store.read(one.run_id, START, 1000)
    assert reading is not None and reading.entries == (), "readers do not wait for the writer"
    gate.open()
    await held
    await store.ping()
    assert await entries(store, one.run_id) == (item.entry,)
    assert "0 waiting" in repr(store)


async def test_closing_waits_for_what_was_accepted(maker: SqliteMaker) -> None:
    store = await maker.open()
    one = await start(store)
    gate = Gate()
    held = gate.close(store)
    item = one.next(Text("a"))
    writing = asyncio.ensure_future(store.append([item]))
    await eventually(gate.reached.is_set)
    closing = asyncio.ensure_future(store.close())
    await eventually(lambda: "closed" in repr(store))
    gate.open()
    await asyncio.gather(held, writing, closing)
    store = await maker.open()
    assert await entries(store, one.run_id) == (item.entry,)


async def test_more_waiting_than_a_disk_can_serve_is_refused(
    maker: SqliteMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headwater.store.sqlite.threads._WAITING_MAX", 3)
    store = await maker.open()
    gate = Gate()
    held = [gate.close(store), *(asyncio.ensure_future(store.ping()) for _ in range(2))]
    await eventually(gate.reached.is_set)
    await eventually(lambda: "3 waiting" in repr(store))
    with pytest.raises(StoreUnavailable, match="3 operations are waiting"):
        await store.get("run_x")
    gate.open()
    await asyncio.gather(*held)
    await store.ping()
