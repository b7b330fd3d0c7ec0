"""Contract: creating, idempotency keys, listing."""

import asyncio

import pytest

from headwater.core.events import Status
from headwater.core.position import START
from headwater.core.run import Message, RunRequest
from headwater.errors import IdempotencyConflict, UnknownRun
from headwater.store.base import Store
from tests.store.maker import StoreMaker
from tests.store.producing import a_key, a_run, start


async def ids(
    store: Store,
    *,
    conversation: str | None = None,
    status: Status | None = None,
    before: str | None = None,
    limit: int = 100,
) -> list[str]:
    page = await store.list_runs("ann", conversation=conversation, status=status, before=before, limit=limit)
    return [run.id for run in page.runs]


class Runs:
    async def test_a_created_run_is_queued_and_reads_back_as_written(self, store: Store) -> None:
        request = RunRequest(
            input=[Message("user", [{"type": "text", "text": "naïve 👩‍👩‍👧 \u2028 \x00"}])],
            model="fast",
            temperature=0.5,
            stop=["a", "b"],
            extra={"deep": {"list": [1, 2.5, None, True]}},
            metadata={"k": "v"},
        )
        run = a_run(request=request, model="fast", conversation="c1", created_at=123.0, token=9, cancelled=True)
        created = await store.create(run, None)
        assert created.fresh
        got = created.run
        assert (got.id, got.owner, got.model, got.conversation, got.request) == (run.id, "ann", "fast", "c1", request)
        assert got.created_at > 1e9, "the store's clock, not the caller's"
        assert (got.status, got.position, got.token, got.cancelled) == ("queued", START, 0, False)
        assert (got.started_at, got.ended_at, got.expires_at) == (None, None, None)
        assert await store.get(run.id) == got

    async def test_that_a_request_asked_to_stream_is_not_stored(self, store: Store) -> None:
        run = a_run(request=RunRequest(input="hi", stream=True))
        assert (await store.create(run, None)).run.request == RunRequest(input="hi")

    async def test_an_unknown_run_is_none(self, store: Store) -> None:
        assert await store.get("run_nowhere") is None

    async def test_creating_the_same_run_again_gives_the_first(self, store: Store) -> None:
        run = a_run()
        first = await store.create(run, None)
        again = await store.create(a_run(id=run.id, model="other"), a_key())
        assert (again.fresh, again.run) == (False, first.run)

    async def test_one_key_starts_one_run_however_many_ask_at_once(self, store: Store) -> None:
        answers = await asyncio.gather(*(store.create(a_run(), a_key()) for _ in range(20)))
        assert len({answer.run.id for answer in answers}) == 1
        assert [answer.fresh for answer in answers].count(True) == 1
        assert await ids(store) == [answers[0].run.id]

    async def test_a_key_with_another_body_conflicts_and_changes_nothing(self, store: Store) -> None:
        first = await store.create(a_run(), a_key(body_hash="h1"))
        with pytest.raises(IdempotencyConflict):
            await store.create(a_run(), a_key(body_hash="h2"))
        assert await ids(store) == [first.run.id]
        assert (await store.create(a_run(), a_key(body_hash="h1"))).run == first.run

    async def test_a_key_is_its_owners_own(self, store: Store) -> None:
        anns = await store.create(a_run("ann"), a_key("ann", body_hash="h1"))
        bobs = await store.create(a_run("bob"), a_key("bob", body_hash="h2"))
        assert anns.fresh and bobs.fresh

    async def test_a_key_counts_until_its_time_is_over(self, store: Store, make_store: StoreMaker) -> None:
        key = a_key(ttl_s=make_store.lease_s)
        first = await store.create(a_run(), key)
        assert not (await store.create(a_run(), key)).fresh
        await make_store.advance(key.ttl_s)
        again = await store.create(a_run(), a_key(body_hash="another", ttl_s=key.ttl_s))
        assert again.fresh and again.run.id != first.run.id
        assert (await store.create(a_run(), a_key(body_hash="another"))).run == again.run

    async def test_lists_are_newest_first_and_paged_by_the_last_seen(
        self, store: Store, make_store: StoreMaker
    ) -> None:
        made: list[str] = []
        for _ in range(5):
            made.insert(0, (await store.create(a_run(), None)).run.id)
            await make_store.advance(0.01)
        assert await ids(store) == made
        first = await store.list_runs("ann", conversation=None, status=None, before=None, limit=2)
        assert ([run.id for run in first.runs], first.has_more) == (made[:2], True)
        rest = await store.list_runs("ann", conversation=None, status=None, before=made[1], limit=3)
        assert ([run.id for run in rest.runs], rest.has_more) == (made[2:], False)

    async def test_runs_of_one_instant_are_each_on_one_page(self, store: Store) -> None:
        made = {(await store.create(a_run(), None)).run.id for _ in range(7)}
        whole, paged = await ids(store), [(await ids(store, limit=1))[0]]
        while page := await ids(store, limit=2, before=paged[-1]):
            paged.extend(page)
        assert paged == whole
        assert set(whole) == made

    async def test_a_list_holds_what_matches_every_filter(self, store: Store) -> None:
        running = await start(store, conversation="c1")
        waiting = await store.create(a_run(conversation="c1"), None)
        elsewhere = await store.create(a_run(conversation="c2"), None)
        await store.create(a_run("bob", conversation="c1"), None)
        assert set(await ids(store, conversation="c1")) == {running.run_id, waiting.run.id}
        assert set(await ids(store, status="queued")) == {waiting.run.id, elsewhere.run.id}
        assert await ids(store, conversation="c1", status="queued") == [waiting.run.id]
        assert await ids(store, conversation="c1", status="queued", before=waiting.run.id) == []
        assert await ids(store, conversation="c3") == []

    async def test_a_list_begins_only_at_a_run_of_ones_own(self, store: Store) -> None:
        bobs = await store.create(a_run("bob"), None)
        for before in (bobs.run.id, "run_nowhere"):
            with pytest.raises(UnknownRun):
                await ids(store, before=before)

    async def test_an_open_store_answers(self, store: Store) -> None:
        await store.ping()
