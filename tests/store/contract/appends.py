"""Contract: what is taken into a log, and what is not."""

import pytest

from headwater.core.events import End, Text, Usage
from headwater.core.lifecycle import end_finished, end_incomplete
from headwater.core.position import START, Position
from headwater.entropy import new_tag
from headwater.store.base import AppendResult, Outcome, RenewResult, Store
from tests.store.maker import StoreMaker
from tests.store.producing import a_run, an_append, start, take, texts


class Appends:
    async def test_a_stored_entry_moves_the_top(self, store: Store) -> None:
        one = await start(store)
        result = await one.send(one.next(*texts("a", "b")))
        assert result == AppendResult(Outcome.STORED, Position(2, one.tag))
        run = await store.get(one.run_id)
        assert run is not None and run.position == Position(2, one.tag)

    async def test_one_refused_fails_no_other(self, store: Store, make_store: StoreMaker) -> None:
        fenced, cancelled, behind, ended, good, last = [
            await start(store, lease_s=make_store.lease_s) for _ in range(6)
        ]
        await make_store.advance(make_store.lease_s)
        await take(store, fenced.run_id, seen=1)
        await store.renew_leases([(cancelled.run_id, 1)], 3)
        await store.cancel(cancelled.run_id, new_tag())
        await ended.write(end_finished("stop", None))
        stranger = an_append(behind.run_id, 1, behind.tag, Position(4, 5), Text("x"))
        gone = an_append("run_nowhere", 1, 7, START, Text("x"))
        batch = [good.next(Text("1")), gone, fenced.next(Text("x")), cancelled.next(Text("x"))]
        batch += [stranger, ended.next(Text("x")), last.next(Text("2"))]
        results = await store.append(batch)
        assert [(result.outcome, result.top, result.cancelled) for result in results] == [
            (Outcome.STORED, Position(1, good.tag), False),
            (Outcome.GONE, START, False),
            (Outcome.FENCED, START, False),
            (Outcome.CANCELLED, START, True),
            (Outcome.BEHIND, START, False),
            (Outcome.ENDED, ended.at, False),
            (Outcome.STORED, Position(1, last.tag), False),
        ]
        tops = await store.tops([good.run_id, fenced.run_id, cancelled.run_id, behind.run_id, last.run_id])
        assert [top and top.position.seq for top in tops] == [1, 0, 0, 0, 1]

    async def test_an_empty_batch_is_nothing(self, store: Store) -> None:
        assert await store.append([]) == []

    async def test_an_entry_sent_again_is_stored_once(self, store: Store, make_store: StoreMaker) -> None:
        one = await start(store, lease_s=make_store.lease_s)
        items = [await one.write(*texts("a", "b"))]
        assert await store.append(items) == [AppendResult(Outcome.STORED, one.at)]
        items.append(await one.write(Text("c")))
        await make_store.advance(make_store.lease_s)
        heir = await take(store, one.run_id, seen=1)
        items.append(await heir.write(Text("d")))
        await store.cancel(one.run_id, new_tag())
        items.append(await heir.write(End("cancelled")))
        for item in items:  # whoever holds the run now, and though it has ended
            assert await store.append([item]) == [AppendResult(Outcome.STORED, heir.at, cancelled=True)]
        read = await store.read(one.run_id, START, 10_000)
        assert read is not None
        assert list(read.entries) == [item.entry for item in items]

    async def test_an_entry_is_there_if_a_longer_one_of_its_writer_covers_it(self, store: Store) -> None:
        one = await start(store)
        early = one.next(*texts("a", "b"))
        await one.write(*texts("a", "b", "c"))
        assert await store.append([early]) == [AppendResult(Outcome.STORED, one.at)]

    async def test_another_writers_entry_at_the_same_seq_is_not_there(
        self, store: Store, make_store: StoreMaker
    ) -> None:
        one = await start(store, lease_s=make_store.lease_s)
        lost = one.next(Text("x"))
        await make_store.advance(make_store.lease_s)
        heir = await take(store, one.run_id, seen=1)
        await heir.write(Text("y"))
        assert await store.append([lost]) == [AppendResult(Outcome.FENCED, heir.at)]

    @pytest.mark.parametrize("shift", [(-1, 0), (1, 0), (0, 1)], ids=["below the top", "beyond it", "another tag"])
    async def test_what_does_not_follow_the_top_is_behind(self, store: Store, shift: tuple[int, int]) -> None:
        one = await start(store)
        await one.write(*texts("a", "b"))
        await store.release_lease(one.run_id, 1)
        heir = await take(store, one.run_id, seen=1)
        after = Position(heir.at.seq + shift[0], heir.at.tag + shift[1])
        item = an_append(one.run_id, 2, heir.tag, after, *texts("x", "y"))
        assert await store.append([item]) == [AppendResult(Outcome.BEHIND, heir.at)]
        await heir.write(Text("c"))

    async def test_a_token_that_was_never_given_is_fenced(self, store: Store) -> None:
        queued = (await store.create(a_run(), None)).run
        one = await start(store)
        for run_id, token in ((queued.id, 0), (queued.id, 1), (one.run_id, 0), (one.run_id, 2)):
            (result,) = await store.append([an_append(run_id, token, 7, START, Text("x"))])
            assert result.outcome is Outcome.FENCED

    async def test_of_several_reasons_the_first_of_the_contract_is_given(
        self, store: Store, make_store: StoreMaker
    ) -> None:
        one = await start(store, lease_s=make_store.lease_s)
        await make_store.advance(make_store.lease_s)
        heir = await take(store, one.run_id, seen=1)
        stranger = Position(9, 9)
        await store.cancel(one.run_id, new_tag())

        async def outcome(token: int) -> Outcome:
            (result,) = await store.append([an_append(one.run_id, token, one.tag, stranger, Text("x"))])
            return result.outcome

        assert await outcome(token=1) is Outcome.FENCED  # not CANCELLED, not BEHIND
        assert await outcome(token=2) is Outcome.CANCELLED  # not BEHIND
        await heir.write(End("cancelled"))
        assert await outcome(token=1) is Outcome.ENDED  # not FENCED
        assert await outcome(token=2) is Outcome.ENDED

    @pytest.mark.parametrize(
        "end",
        [
            end_finished("stop", Usage(9, 18)),
            end_incomplete("upstream_cut", "cut"),
            End("failed", reason="upstream_error"),
            End("cancelled"),
        ],
        ids=lambda end: end.status,
    )
    async def test_an_end_ends_the_run_and_its_lease(self, store: Store, make_store: StoreMaker, end: End) -> None:
        one = await start(store)
        await one.write(Text("a"), end)
        run = await store.get(one.run_id)
        assert run is not None and run.started_at is not None
        assert (run.status, run.position) == (end.status, Position(2, one.tag))
        assert run.ended_at is not None and run.ended_at >= run.started_at
        assert run.expires_at == pytest.approx(run.ended_at + make_store.run_ttl_s, abs=0.01)
        assert await store.renew_leases([(one.run_id, 1)], 3) == [RenewResult(False)]
        assert (await one.send(one.next(Text("b")))).outcome is Outcome.ENDED
        assert await store.stale(10) == []

    async def test_a_released_producer_can_still_write_what_it_had(self, store: Store) -> None:
        one = await start(store)
        await store.release_lease(one.run_id, 1)
        await one.write(Text("the last words"))
