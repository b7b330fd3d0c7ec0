"""What is done once a run is over: those that are not to be stored are forgotten."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from headwater.background import Forgetting
from headwater.core.events import End, Text
from headwater.core.run import ResponseOptions, Run, RunRequest
from headwater.errors import StoreUnavailable
from headwater.store.sqlite import SqliteStore
from tests.store.producing import start
from tests.support.waiting import eventually, lasting

pytestmark = pytest.mark.anyio

UNSTORED = RunRequest(input="hello", response=ResponseOptions(store=False))


@pytest.fixture
async def store() -> AsyncIterator[SqliteStore]:
    store = SqliteStore(":memory:", run_ttl_s=60.0)
    await store.open()
    yield store
    await store.close()


async def over(store: SqliteStore, request: RunRequest) -> Run:
    """A run that has ended."""
    producer = await start(store, request=request)
    await producer.write(Text("a"), End("completed", "stop"))
    run = await store.get(producer.run_id)
    assert run is not None
    return run


async def test_a_run_that_is_not_to_be_stored_is_removed_after_a_while(store: SqliteStore) -> None:
    gone: list[Run] = []
    forgetting = Forgetting(store, gone.append, after_s=0.2)
    kept, other = await over(store, RunRequest(input="hello")), await over(store, UNSTORED)
    for run in (kept, other):
        forgetting.ended(run)
    assert await store.get(other.id) is not None, "whoever follows it has a while to come to its end"

    async def removed() -> bool:
        return await store.get(other.id) is None

    await eventually(removed)
    assert await store.get(kept.id) is not None
    assert [run.id for run in await eventually(lambda: gone)] == [other.id]


async def test_what_waits_to_be_removed_is_little(store: SqliteStore) -> None:
    gone: list[Run] = []
    forgetting = Forgetting(store, gone.append)
    runs = [await over(store, UNSTORED) for _ in range(20)]
    before = len(asyncio.all_tasks())
    for run in runs:
        forgetting.ended(run)
    assert len(asyncio.all_tasks()) == before + 1, "one task for all of them"
    await forgetting.close()
    assert [run.id for run in gone] == [run.id for run in runs]
    assert {(run.request.input, run.caller) for run in gone} == {("", runs[0].caller)}, "not what was asked"


async def test_one_that_ends_after_all_others_were_removed_is_removed_too(store: SqliteStore) -> None:
    gone: list[Run] = []
    forgetting = Forgetting(store, gone.append, after_s=0.01)
    first, second = await over(store, UNSTORED), await over(store, UNSTORED)
    forgetting.ended(first)
    await eventually(lambda: len(gone) == 1)
    forgetting.ended(second)
    await eventually(lambda: len(gone) == 2)


async def test_a_worker_that_stops_forgets_at_once(store: SqliteStore) -> None:
    forgetting = Forgetting(store, lambda run: None)
    run = await over(store, UNSTORED)
    forgetting.ended(run)
    async with asyncio.timeout(10):
        await forgetting.close()
    assert await store.get(run.id) is None


async def test_what_cannot_be_removed_is_left_to_expire(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def away(run_id: str) -> None:
        raise StoreUnavailable("no answer")

    monkeypatch.setattr(store, "delete", away)
    gone: list[Run] = []
    forgetting = Forgetting(store, gone.append, after_s=0.01)
    forgetting.ended(await over(store, UNSTORED))
    await lasting(0.1)
    await forgetting.close()
    assert gone == [] and "left to expire" in caplog.text
