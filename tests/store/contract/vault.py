"""Contract: API keys and who may still use them, tickets and who gets them."""

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from headwater.store.base import Store
from headwater.store.vault import ApiKey, Vault
from tests.store.maker import StoreMaker

STRANGE = ["a:b:{c}", "{}", "}{", "", " ", "ann\nbob\0", "ключ-鍵-🔑", "%s*?[x]'\";--", "x" * 300]
"""Names that an engine might take for something else."""


def an_api_key(id: str = "abc", created_at: float = 1_700_000_000.25, **fields: Any) -> ApiKey:
    """A key with everything that it may have, but for its revocation."""
    usual: dict[str, Any] = {
        "name": "the page",
        "tenant": "acme",
        "scopes": ("runs:read", "runs:write"),
        "digest": "d1" * 32,
        "expires_at": 1_800_000_000.5,
    }
    return ApiKey(id=id, created_at=created_at, **(usual | fields))


class Keys:
    async def test_no_key_is_there_at_first(self, vault: Vault) -> None:
        assert await vault.keys() == []

    async def test_a_key_comes_back_as_it_was_given(self, vault: Vault) -> None:
        keys = [
            an_api_key("a"),
            an_api_key("b", scopes=(), expires_at=None, created_at=1_700_000_001.123456),
            an_api_key("c", created_at=1_700_000_002.0, revoked_at=1_700_000_003.75),
        ]
        for key in keys:
            await vault.add_key(key)
        assert await vault.keys() == keys

    async def test_keys_are_listed_oldest_first(self, vault: Vault) -> None:
        for key_id, created_at in (("b", 5.0), ("c", 3.0), ("a", 9.0), ("d", 3.0)):
            await vault.add_key(an_api_key(key_id, created_at))
        assert [key.id for key in await vault.keys()] == ["c", "d", "b", "a"]

    async def test_a_key_added_again_stays_the_first_one(self, vault: Vault) -> None:
        key = an_api_key()
        await vault.add_key(key)
        version = await vault.version()
        await vault.add_key(key)
        await vault.add_key(replace(key, name="another"))
        assert (await vault.keys(), await vault.version()) == ([key], version)

    async def test_an_expired_key_stays_listed(self, vault: Vault, make_store: StoreMaker) -> None:
        key = an_api_key(expires_at=1.0)
        await vault.add_key(key)
        await make_store.advance(make_store.run_ttl_s * 2)
        assert await vault.keys() == [key]

    async def test_a_revoked_key_stays_listed_and_revoked_since_the_first_time(self, vault: Vault) -> None:
        key, other = an_api_key("a"), an_api_key("b", 1_800_000_000.0)
        await vault.add_key(key)
        await vault.add_key(other)
        assert await vault.revoke_key("a", 1_750_000_000.125)
        assert await vault.revoke_key("a", 1_760_000_000.0)
        await vault.add_key(key)
        assert await vault.keys() == [replace(key, revoked_at=1_750_000_000.125), other]

    async def test_a_key_that_came_revoked_keeps_its_time(self, vault: Vault) -> None:
        key = an_api_key(revoked_at=1_750_000_000.0)
        await vault.add_key(key)
        assert await vault.revoke_key(key.id, 1_760_000_000.0)
        assert await vault.keys() == [key]

    async def test_an_unknown_key_is_not_revoked(self, vault: Vault) -> None:
        version = await vault.version()
        assert not await vault.revoke_key("nobody", 1.0)
        assert (await vault.keys(), await vault.version()) == ([], version)
        await vault.add_key(an_api_key("nobody"))
        assert (await vault.keys())[0].revoked_at is None, "a key that comes later was never revoked"

    async def test_each_change_makes_another_version_and_nothing_else_does(
        self, vault: Vault, make_store: StoreMaker
    ) -> None:
        versions = [await vault.version()]
        for n in range(3):
            await vault.add_key(an_api_key(f"k{n}"))
            versions.append(await vault.version())
        await vault.revoke_key("k1", 1.0)
        versions.append(await vault.version())
        assert len(set(versions)) == 5
        await vault.keys()
        await vault.add_ticket("digest", b"", make_store.run_ttl_s)
        await make_store.advance(make_store.run_ttl_s)
        assert await vault.version() == versions[-1]

    async def test_keys_added_at_once_are_all_kept(self, vault: Vault) -> None:
        ids = [f"k{n:02}" for n in range(50)]
        await asyncio.gather(*(vault.add_key(an_api_key(key_id)) for key_id in ids))
        assert [key.id for key in await vault.keys()] == ids

    @pytest.mark.parametrize("text", STRANGE, ids=ascii)
    async def test_any_text_will_do(self, vault: Vault, text: str) -> None:
        key = an_api_key(text, name=text, tenant=text, scopes=(text, text), digest=text)
        await vault.add_key(key)
        assert await vault.keys() == [key]
        assert await vault.revoke_key(text, 2.0)
        assert await vault.keys() == [replace(key, revoked_at=2.0)]


class Tickets:
    async def test_a_ticket_stands_for_what_it_was_given(self, vault: Vault, make_store: StoreMaker) -> None:
        payload = bytes(range(256)) * 40
        await vault.add_ticket("one", payload, make_store.run_ttl_s)
        await vault.add_ticket("two", b"", make_store.run_ttl_s)
        for _ in range(2):
            assert await vault.ticket("one", use_up=False) == payload
            assert await vault.ticket("two", use_up=False) == b""
        assert await vault.ticket("three", use_up=False) is None
        assert await vault.ticket("three", use_up=True) is None

    async def test_a_used_up_ticket_goes_to_exactly_one_of_many(self, vault: Vault, make_store: StoreMaker) -> None:
        await vault.add_ticket("one", b"payload", make_store.run_ttl_s)
        await vault.add_ticket("other", b"untouched", make_store.run_ttl_s)
        got = await asyncio.gather(*(vault.ticket("one", use_up=True) for _ in range(50)))
        assert (got.count(b"payload"), got.count(None)) == (1, 49)
        assert await vault.ticket("one", use_up=False) is None
        assert await vault.ticket("other", use_up=True) == b"untouched"

    @pytest.mark.parametrize("use_up", [False, True])
    async def test_a_ticket_is_over_exactly_when_its_time_is(
        self, vault: Vault, make_store: StoreMaker, use_up: bool
    ) -> None:
        ttl_s = make_store.run_ttl_s
        await vault.add_ticket("short", b"a", ttl_s)
        await vault.add_ticket("long", b"b", ttl_s * 2)
        await make_store.advance(ttl_s - 1)
        assert await vault.ticket("short", use_up=False) == b"a"
        await make_store.advance(1)
        assert await vault.ticket("short", use_up=use_up) is None
        assert await vault.ticket("long", use_up=use_up) == b"b"

    async def test_a_ticket_that_was_sent_again_is_one(self, vault: Vault, make_store: StoreMaker) -> None:
        for _ in range(2):
            await vault.add_ticket("one", b"payload", make_store.run_ttl_s)
        assert await vault.ticket("one", use_up=True) == b"payload"
        assert await vault.ticket("one", use_up=True) is None

    async def test_all_stores_on_this_data_see_the_same(
        self, store: Store, vault: Vault, make_store: StoreMaker
    ) -> None:
        beside = make_store.vault(store)
        await vault.add_ticket("one", b"payload", make_store.run_ttl_s)
        await vault.add_key(an_api_key())
        assert await beside.ticket("one", use_up=True) == b"payload"
        assert (await beside.keys(), await beside.version()) == ([an_api_key()], await vault.version())

    async def test_the_pages_secret_is_the_first_that_was_given(
        self, store: Store, vault: Vault, make_store: StoreMaker
    ) -> None:
        beside = make_store.vault(store)
        given = await asyncio.gather(*(one.page_secret(f"secret {n}") for n in range(5) for one in (vault, beside)))
        assert len(set(given)) == 1 and given[0].startswith("secret ")
        await make_store.advance(make_store.run_ttl_s * 1000)
        await vault.add_ticket("one", b"sweeps", make_store.run_ttl_s)
        assert await beside.page_secret("another") == given[0]
        assert await vault.keys() == []
