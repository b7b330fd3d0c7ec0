"""Fixtures of the stores' tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from headwater.store.base import Store
from headwater.store.limits import Limits
from headwater.store.rooms import RoomStore
from headwater.store.vault import Vault
from tests.store.maker import StoreMaker
from tests.store.sqlite_maker import SqliteMaker

# Only test files are rewritten by themselves; a failing contract should say as much.
pytest.register_assert_rewrite("tests.store.contract", "tests.store.producing", "tests.store.talking")


@pytest.fixture
async def store(make_store: StoreMaker) -> AsyncIterator[Store]:
    """A store of the engine under test, open."""
    store = await make_store.open()
    yield store
    await store.close()


@pytest.fixture
def vault(store: Store, make_store: StoreMaker) -> Vault:
    """The vault beside it."""
    return make_store.vault(store)


@pytest.fixture
def rooms(store: Store, make_store: StoreMaker) -> RoomStore:
    """The rooms beside it."""
    return make_store.rooms(store)


@pytest.fixture
def limits(store: Store, make_store: StoreMaker) -> Limits:
    """The limits beside it."""
    return make_store.limits(store)


@pytest.fixture
async def maker(tmp_path: Path) -> AsyncIterator[SqliteMaker]:
    """SQLite on a file, for what only that engine promises."""
    maker = SqliteMaker(str(tmp_path / "headwater.db"))
    yield maker
    await maker.close()
