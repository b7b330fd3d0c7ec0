"""Contract: what windows admit, and who holds places."""

import asyncio
from collections.abc import Sequence

import pytest

from headwater.store.limits import CONNECTIONS, Charge, Limits, Verdict
from tests.store.contract.vault import STRANGE
from tests.store.maker import StoreMaker


def assert_verdict(verdict: Verdict, admitted: bool, left: int, resets_s: float) -> None:
    """It says so, and when the window ends."""
    assert (verdict.admitted, verdict.left) == (admitted, left)
    assert verdict.resets_s == pytest.approx(resets_s)


async def assert_used(limits: Limits, name: str, used: int, resets_s: float) -> None:
    """The window has counted so much, and ends in so many seconds."""
    found, ends_s = await limits.used(name)
    assert found == used
    assert ends_s == pytest.approx(resets_s)


async def assert_200_charges_admit_exactly_the_limit(all_limits: Sequence[Limits], window_s: float) -> None:
    """Sent at once, through one worker's limits or several's, on two names."""
    charges = [Charge("all", 70, window_s), Charge("some", 31, window_s, cost=3)]
    told = await asyncio.gather(*(all_limits[n % len(all_limits)].charge(charges) for n in range(200)))
    for name, of_one, admitted, left in (("all", 0, 70, 0), ("some", 1, 10, 1)):
        verdicts = [verdicts[of_one] for verdicts in told]
        assert sum(verdict.admitted for verdict in verdicts) == admitted
        assert min(verdict.left for verdict in verdicts) == left
        assert (await all_limits[0].used(name))[0] == charges[of_one].limit - left


async def assert_200_holds_take_exactly_the_places(all_limits: Sequence[Limits], ttl_s: float) -> None:
    """Asked for at once, each by another member."""
    held = await asyncio.gather(
        *(all_limits[n % len(all_limits)].hold("runs:ann", f"m{n}", 30, ttl_s) for n in range(200))
    )
    assert sum(held) == 30
    assert sorted(await all_limits[0].holders("runs:ann")) == sorted(f"m{n}" for n in range(200) if held[n])


class Windows:
    async def test_a_window_admits_its_limit_and_no_more(self, limits: Limits, make_store: StoreMaker) -> None:
        charge = Charge("ann", 3, make_store.run_ttl_s)
        verdicts = [(await limits.charge([charge]))[0] for _ in range(5)]
        assert [verdict.admitted for verdict in verdicts] == [True, True, True, False, False]
        assert [verdict.left for verdict in verdicts] == [2, 1, 0, 0, 0]
        assert all(verdict.resets_s == pytest.approx(charge.window_s) for verdict in verdicts)

    async def test_a_refused_charge_counts_nothing(self, limits: Limits, make_store: StoreMaker) -> None:
        window_s = make_store.run_ttl_s
        costs = (4, 7, 6, 1)
        verdicts = [(await limits.charge([Charge("ann", 10, window_s, cost)]))[0] for cost in costs]
        assert [(verdict.admitted, verdict.left) for verdict in verdicts] == [
            (True, 6),
            (False, 6),
            (True, 0),
            (False, 0),
        ]

    async def test_a_charge_that_could_never_be_admitted_begins_no_window(
        self, limits: Limits, make_store: StoreMaker
    ) -> None:
        window_s = make_store.run_ttl_s
        charges = [Charge("ann", 0, window_s), Charge("bob", 5, window_s, 6)]
        assert await limits.charge(charges) == [Verdict(False, 0, 0.0), Verdict(False, 5, 0.0)]
        assert await limits.used("bob") == (0, 0.0)

    async def test_a_window_begins_with_its_first_charge_and_ends_exactly(
        self, limits: Limits, make_store: StoreMaker
    ) -> None:
        window_s = make_store.run_ttl_s
        charge = Charge("ann", 2, window_s)
        await make_store.advance(window_s / 4)
        await limits.charge([charge])
        await make_store.advance(window_s / 2)
        (second,) = await limits.charge([charge])
        assert_verdict(second, True, 0, window_s / 2)
        await limits.add("ann", 5, window_s)  # nothing that comes meanwhile makes it longer
        await make_store.advance(window_s / 2 - 1)
        (third,) = await limits.charge([charge])
        assert_verdict(third, False, 0, 1)
        await assert_used(limits, "ann", 7, 1)
        await make_store.advance(1)
        assert await limits.used("ann") == (0, 0.0)
        (fresh,) = await limits.charge([charge])
        assert_verdict(fresh, True, 1, window_s)

    async def test_each_charge_of_one_round_is_judged_by_itself_and_in_order(
        self, limits: Limits, make_store: StoreMaker
    ) -> None:
        window_s = make_store.run_ttl_s
        charges = [
            Charge("a", 1, window_s),
            Charge("b", 0, window_s),
            Charge("a", 1, window_s),
            Charge("c", 9, window_s * 2, 4),
        ]
        verdicts = await limits.charge(charges)
        assert [(verdict.admitted, verdict.left) for verdict in verdicts] == [
            (True, 0),
            (False, 0),
            (False, 0),
            (True, 5),
        ]
        assert await limits.used("b") == (0, 0.0)
        await assert_used(limits, "c", 4, window_s * 2)
        assert await limits.charge([]) == []

    async def test_a_limit_that_was_lowered_holds_at_once(self, limits: Limits, make_store: StoreMaker) -> None:
        window_s = make_store.run_ttl_s
        await limits.charge([Charge("ann", 10, window_s, 8)])
        (verdict,) = await limits.charge([Charge("ann", 5, window_s)])
        assert (verdict.admitted, verdict.left) == (False, 0)

    async def test_what_was_used_is_counted_whatever_the_limit(self, limits: Limits, make_store: StoreMaker) -> None:
        window_s = make_store.run_ttl_s
        assert await limits.used("ann") == (0, 0.0)
        await limits.add("ann", 900, window_s)
        await limits.add("ann", 2_000_000_000_000, window_s)
        await assert_used(limits, "ann", 2_000_000_000_900, window_s)
        (verdict,) = await limits.charge([Charge("ann", 1000, window_s)])
        assert (verdict.admitted, verdict.left) == (False, 0)
        await make_store.advance(window_s)
        assert await limits.used("ann") == (0, 0.0)

    async def test_200_charges_at_once_admit_exactly_the_limit(self, limits: Limits, make_store: StoreMaker) -> None:
        await assert_200_charges_admit_exactly_the_limit([limits], make_store.run_ttl_s)

    async def test_names_are_apart_whatever_their_characters(self, limits: Limits, make_store: StoreMaker) -> None:
        window_s = make_store.run_ttl_s
        for cost, name in enumerate(STRANGE, start=1):
            await limits.charge([Charge(name, 1000, window_s, cost)])
            await limits.add(name, 100, window_s)
        assert [(await limits.used(name))[0] for name in STRANGE] == [100 + n for n in range(1, len(STRANGE) + 1)]


class Places:
    async def test_there_are_as_many_places_as_there_are(self, limits: Limits, make_store: StoreMaker) -> None:
        ttl_s = make_store.run_ttl_s
        assert [await limits.hold("ann", member, 2, ttl_s) for member in ("a", "b", "c")] == [True, True, False]
        assert not await limits.hold("nobody", "a", 0, ttl_s)
        assert await limits.hold("bob", "c", 1, ttl_s), "places of another name"
        assert sorted(await limits.holders("ann")) == ["a", "b"]
        assert list(await limits.holders("nobody")) == []

    async def test_a_member_holds_one_place_however_often_it_asks(self, limits: Limits, make_store: StoreMaker) -> None:
        ttl_s = make_store.run_ttl_s
        for _ in range(3):
            assert await limits.hold("ann", "a", 2, ttl_s)
        assert await limits.hold("ann", "b", 2, ttl_s)
        assert await limits.hold("ann", "a", 1, ttl_s), "it has its place, though there are fewer now"
        assert sorted(await limits.holders("ann")) == ["a", "b"]

    async def test_a_place_expires_exactly_when_its_time_is_over(self, limits: Limits, make_store: StoreMaker) -> None:
        ttl_s = make_store.run_ttl_s
        await limits.hold("ann", "a", 1, ttl_s)
        await make_store.advance(ttl_s - 1)
        assert list(await limits.holders("ann")) == ["a"]
        assert not await limits.hold("ann", "b", 1, ttl_s)
        await make_store.advance(1)
        assert list(await limits.holders("ann")) == []
        assert await limits.hold("ann", "b", 1, ttl_s)

    async def test_places_that_are_kept_do_not_expire(self, limits: Limits, make_store: StoreMaker) -> None:
        ttl_s = make_store.run_ttl_s
        for name, member in (("ann", "a"), ("ann", "b"), ("bob", "a")):
            await limits.hold(name, member, 2, ttl_s)
        for _ in range(3):
            await make_store.advance(ttl_s - 1)
            await limits.keep([("ann", "a"), ("bob", "a")], ttl_s)
        assert list(await limits.holders("ann")) == ["a"]
        assert list(await limits.holders("bob")) == ["a"]
        await make_store.advance(ttl_s)
        assert list(await limits.holders("ann")) == []

    async def test_holding_again_keeps_a_place(self, limits: Limits, make_store: StoreMaker) -> None:
        ttl_s = make_store.run_ttl_s
        for _ in range(3):
            assert await limits.hold("ann", "a", 1, ttl_s)
            await make_store.advance(ttl_s - 1)
        assert list(await limits.holders("ann")) == ["a"]

    async def test_a_place_that_expired_while_it_was_in_use_is_kept_again(
        self, limits: Limits, make_store: StoreMaker
    ) -> None:
        ttl_s = make_store.run_ttl_s
        await limits.hold("ann", "a", 1, ttl_s)
        await make_store.advance(ttl_s)
        assert await limits.hold("ann", "b", 1, ttl_s)
        await limits.keep([("ann", "a")], ttl_s)
        assert sorted(await limits.holders("ann")) == ["a", "b"], "who sits there is counted, though one too many"
        assert not await limits.hold("ann", "c", 2, ttl_s)

    async def test_a_place_given_up_is_free_at_once(self, limits: Limits, make_store: StoreMaker) -> None:
        ttl_s = make_store.run_ttl_s
        for member in ("a", "b"):
            await limits.hold("ann", member, 2, ttl_s)
        await limits.let_go([("ann", "a"), ("ann", "stranger"), ("nobody", "a")])
        assert list(await limits.holders("ann")) == ["b"]
        assert await limits.hold("ann", "c", 2, ttl_s)

    async def test_no_places_are_kept_or_given_up_where_none_are_named(self, limits: Limits) -> None:
        await limits.keep([], 1.0)
        await limits.let_go([])

    async def test_thousands_of_places_are_kept_and_given_up(self, limits: Limits, make_store: StoreMaker) -> None:
        held = [(name, f"m{n}") for n in range(1_300) for name in ("ann", "bob")]
        await limits.keep(held, make_store.run_ttl_s)
        assert (len(await limits.holders("ann")), len(await limits.holders("bob"))) == (1_300, 1_300)
        await limits.let_go(held)
        assert list(await limits.holders("ann")) == list(await limits.holders("bob")) == []

    async def test_200_members_at_once_take_exactly_the_places(self, limits: Limits, make_store: StoreMaker) -> None:
        await assert_200_holds_take_exactly_the_places([limits], make_store.run_ttl_s)

    async def test_names_and_members_may_have_any_characters(self, limits: Limits, make_store: StoreMaker) -> None:
        ttl_s = make_store.run_ttl_s
        for name in STRANGE:
            for member in STRANGE:
                assert await limits.hold(f"{CONNECTIONS}{name}", member, len(STRANGE), ttl_s)
        for name in STRANGE:
            assert sorted(await limits.holders(f"{CONNECTIONS}{name}")) == sorted(STRANGE)
            await limits.let_go([(f"{CONNECTIONS}{name}", member) for member in STRANGE[1:]])
            assert list(await limits.holders(f"{CONNECTIONS}{name}")) == STRANGE[:1]
