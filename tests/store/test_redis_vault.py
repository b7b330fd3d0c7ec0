"""What only the Redis engine promises of credentials and limits: many workers, expiry, foreign keys, a loss."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from headwater.errors import StoreUnavailable
from headwater.store.limits import Charge
from headwater.store.redis import RedisLimits, RedisVault
from headwater.store.redis.keys import Keys
from tests.store.contract.limits import (
    assert_200_charges_admit_exactly_the_limit,
    assert_200_holds_take_exactly_the_places,
)
from tests.store.contract.vault import an_api_key
from tests.store.redis_maker import RedisMaker

pytestmark = pytest.mark.anyio

TTL_S = 60.0


@pytest.fixture
async def redis_maker(redis_url: str) -> AsyncIterator[RedisMaker]:
    maker = RedisMaker(redis_url)
    yield maker
    await maker.close()


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    """Anybody else on the same Redis."""
    async with Redis.from_url(redis_url) as redis:
        yield redis


@pytest.fixture
async def vault(redis_maker: RedisMaker) -> RedisVault:
    return redis_maker.vault(await redis_maker.open())


@pytest.fixture
async def limits(redis_maker: RedisMaker) -> RedisLimits:
    return redis_maker.limits(await redis_maker.open())


async def several(maker: RedisMaker) -> list[RedisLimits]:
    return [maker.limits(await maker.open()) for _ in range(3)]


async def test_200_charges_by_three_workers_admit_exactly_the_limit(redis_maker: RedisMaker) -> None:
    await assert_200_charges_admit_exactly_the_limit(await several(redis_maker), TTL_S)


async def test_200_members_of_three_workers_take_exactly_the_places(redis_maker: RedisMaker) -> None:
    await assert_200_holds_take_exactly_the_places(await several(redis_maker), TTL_S)


async def test_without_a_clock_redis_tells_the_time(redis_maker: RedisMaker) -> None:
    client = (await redis_maker.open())._client
    vault, limits = RedisVault(client, prefix=redis_maker.prefix), RedisLimits(client, prefix=redis_maker.prefix)
    await vault.add_key(an_api_key())
    await vault.add_ticket("digest", b"payload", TTL_S)
    assert await vault.ticket("digest", use_up=True) == b"payload"
    (verdict,) = await limits.charge([Charge("ann", 2, TTL_S)])
    assert (verdict.admitted, verdict.left) == (True, 1)
    used, resets_s = await limits.used("ann")
    assert used == 1 and 0 < resets_s <= TTL_S
    assert await limits.hold("ann", "a", 1, TTL_S)
    assert list(await limits.holders("ann")) == ["a"]


async def test_all_that_ends_vanishes_from_redis_when_it_does(
    redis_maker: RedisMaker, vault: RedisVault, limits: RedisLimits, redis: Redis
) -> None:
    await vault.add_key(an_api_key())
    await vault.add_ticket("digest", b"payload", 100.0)
    await limits.charge([Charge("ann", 2, 200.0)])
    await limits.add("bob", 2, 300.0)
    await limits.hold("ann", "a", 2, 500.0)
    await limits.hold("ann", "b", 2, 400.0)  # the set stays for the last of them
    await limits.keep([("bob", "a")], 600.0)
    keys, now_ms = Keys(redis_maker.prefix), round(redis_maker.now * 1000)
    ends = {
        keys.vault: -1,
        keys.ticket("digest"): now_ms + 100_000,
        keys.window("ann"): now_ms + 200_000,
        keys.window("bob"): now_ms + 300_000,
        keys.places("ann"): now_ms + 500_000,
        keys.places("bob"): now_ms + 600_000,
    }
    assert {name.decode() async for name in redis.scan_iter(f"{redis_maker.prefix}:*")} == set(ends)
    # PEXPIRETIME is younger than the oldest Redis that we work with; a few ms pass between these two.
    seconds, microseconds = await redis.time()
    passed_ms = seconds * 1000 + microseconds // 1000 - now_ms
    for name, end in ends.items():
        left = await redis.pttl(name)
        assert left == end if end == -1 else abs(left + passed_ms - (end - now_ms)) < 5_000, name


async def test_a_version_is_another_one_though_changes_were_lost(
    redis_maker: RedisMaker, vault: RedisVault, redis: Redis
) -> None:
    name = Keys(redis_maker.prefix).vault
    await vault.add_key(an_api_key("a"))
    before = await redis.dump(name)
    assert before is not None
    await redis_maker.advance(1)
    await vault.add_key(an_api_key("b"))
    versions = [await vault.version()]
    await redis.restore(name, 0, before, replace=True)  # as a failover to a replica that lags does
    versions.append(await vault.version())
    await redis_maker.advance(1)
    await vault.add_key(an_api_key("c"))
    versions.append(await vault.version())
    await redis.delete(name)
    versions.append(await vault.version())
    assert len(set(versions)) == 4


Asking = Callable[[RedisVault, RedisLimits], Awaitable[object]]

VAULT: dict[str, Asking] = {
    "add_key": lambda vault, _: vault.add_key(an_api_key()),
    "keys": lambda vault, _: vault.keys(),
    "revoke_key": lambda vault, _: vault.revoke_key("abc", 1.0),
    "version": lambda vault, _: vault.version(),
    "add_ticket": lambda vault, _: vault.add_ticket("foreign", b"", TTL_S),
    "ticket": lambda vault, _: vault.ticket("foreign", use_up=False),
    "ticket, used up": lambda vault, _: vault.ticket("foreign", use_up=True),
}
LIMITS: dict[str, Asking] = {
    "charge": lambda _, limits: limits.charge([Charge("fine", 1, TTL_S), Charge("foreign", 1, TTL_S)]),
    "add": lambda _, limits: limits.add("foreign", 1, TTL_S),
    "used": lambda _, limits: limits.used("foreign"),
    "hold": lambda _, limits: limits.hold("foreign", "a", 1, TTL_S),
    "keep": lambda _, limits: limits.keep([("fine", "a"), ("foreign", "a")], TTL_S),
    "let_go": lambda _, limits: limits.let_go([("fine", "a"), ("foreign", "a")]),
    "holders": lambda _, limits: limits.holders("foreign"),
}


@pytest.mark.parametrize("asking", [*VAULT, *LIMITS])
async def test_what_is_foreign_fails_who_asks_for_it_and_is_left_alone(
    redis_maker: RedisMaker, redis: Redis, caplog: pytest.LogCaptureFixture, asking: str
) -> None:
    store = await redis_maker.open()
    vault, limits = redis_maker.vault(store), redis_maker.limits(store)
    keys = Keys(redis_maker.prefix)
    names = [keys.vault, keys.ticket("foreign"), keys.window("foreign"), keys.places("foreign")]
    for name in names:
        await redis.set(name, "junk")
    with pytest.raises(StoreUnavailable, match="is damaged: something foreign lies under its name") as caught:
        await (VAULT | LIMITS)[asking](vault, limits)
    assert redis_maker.prefix not in caught.value.detail
    assert any(f"the key {name!r} is damaged, remove it" in caplog.text for name in names)
    assert [await redis.get(name) for name in names] == [b"junk"] * 4
    (verdict,) = await limits.charge([Charge("other", 1, TTL_S)])
    assert verdict.admitted


@pytest.mark.parametrize("fields", [{"until": "9" * 15}, {"used": "junk", "until": "9" * 15}, {"until": "junk"}])
async def test_a_window_that_makes_no_sense_admits_nobody(
    redis_maker: RedisMaker, limits: RedisLimits, redis: Redis, fields: dict[Any, Any]
) -> None:
    await redis.hset(Keys(redis_maker.prefix).window("ann"), mapping=fields)
    with pytest.raises(StoreUnavailable, match="limit is damaged"):
        await limits.charge([Charge("ann", 5, TTL_S)])
    with pytest.raises(StoreUnavailable, match="limit is damaged"):
        await limits.used("ann")


async def test_a_damaged_key_is_passed_over(
    redis_maker: RedisMaker, vault: RedisVault, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    await vault.add_key(an_api_key("a"))
    await vault.add_key(an_api_key("b"))
    junk: dict[Any, Any] = {
        "key:c": "junk",
        "key:d": "{}",
        "revoked:b": "junk",
        "revoked:nobody": "1.0",
        "theirs": "1",
    }
    await redis.hset(Keys(redis_maker.prefix).vault, mapping=junk)
    assert await vault.keys() == [an_api_key("a")]
    assert [f"API key {key_id!r} is damaged" in caplog.text for key_id in "abcd"] == [False, True, True, True]
