"""The vault in a file that a server has open, as the command line uses it; what is left in the tables."""

import asyncio
import errno
import os
import sqlite3
import stat
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from headwater.core.events import Text
from headwater.errors import ConfigError, StoreUnavailable
from headwater.store.sqlite import open_vault_file
from tests.store.contract.vault import an_api_key
from tests.store.producing import entries, start
from tests.store.sqlite_maker import SqliteMaker

pytestmark = pytest.mark.anyio

ADD_AND_REVOKE_IN_A_PROCESS = """
import asyncio, sys
from headwater.store.sqlite import open_vault_file
from headwater.store.vault import ApiKey

async def main():
    for n in range(int(sys.argv[2])):
        async with open_vault_file(sys.argv[1]) as vault:
            key_id = f"{sys.argv[3]}{n}"
            key = ApiKey(id=key_id, name="n", tenant="t", scopes=(), digest="d", created_at=float(n))
            await vault.add_key(key)
            assert await vault.revoke_key(key_id, 5.0)

asyncio.run(main())
"""


async def in_a_process(path: str, keys: int, prefix: str = "k") -> None:
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = (sys.executable, "-c", ADD_AND_REVOKE_IN_A_PROCESS, path, str(keys), prefix)
    process = await asyncio.create_subprocess_exec(*command, env=environ, stderr=PIPE)
    _, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()


async def refusal(path: str) -> str:
    """The one line that the operator gets."""
    with pytest.raises(ConfigError) as caught:
        async with open_vault_file(path):
            pass
    assert "\n" not in str(caught.value)
    return str(caught.value)


def write_diary(path: str) -> None:
    Path(path).write_bytes(b"my diary, " * 1000)


def is_diary(path: str) -> bool:
    return Path(path).read_bytes() == b"my diary, " * 1000


async def test_an_open_store_sees_what_another_process_changes(maker: SqliteMaker) -> None:
    store = await maker.open()
    vault = maker.vault(store)
    await vault.add_key(an_api_key("mine"))
    version = await vault.version()
    await in_a_process(maker.path, 1)
    assert await vault.version() != version
    assert [(key.id, key.revoked_at) for key in await vault.keys()] == [("k0", 5.0), ("mine", None)]


async def test_a_command_sees_what_an_open_store_changes_and_the_other_way_round(maker: SqliteMaker) -> None:
    store = await maker.open()
    vault = maker.vault(store)
    async with open_vault_file(maker.path) as beside:
        await vault.add_key(an_api_key())
        assert await beside.keys() == [an_api_key()]
        version = await beside.version()
        assert await beside.revoke_key("abc", 7.0)
        assert await vault.version() == await beside.version() != version
        assert (await vault.keys())[0].revoked_at == 7.0


async def test_a_store_writes_on_while_processes_change_keys(maker: SqliteMaker) -> None:
    store = await maker.open()
    one = await start(store, lease_s=1e9)
    changing = asyncio.gather(in_a_process(maker.path, 20, "a"), in_a_process(maker.path, 20, "b"))
    written = []
    while not changing.done():
        written.append(await one.write(Text("a")))
    await changing
    assert await entries(store, one.run_id) == tuple(item.entry for item in written)
    assert len(await maker.vault(store).keys()) == 40


async def test_the_store_keeps_its_file_when_a_command_is_done_with_it(maker: SqliteMaker, tmp_path: Path) -> None:
    """Closing the file once too often in this process would drop the locks of the store, and then its log."""
    store = await maker.open()
    one = await start(store)
    async with open_vault_file(maker.path) as vault:
        await vault.add_key(an_api_key())
    await in_a_process(maker.path, 1)  # which would be the last to close it, and would take the log away
    assert f"{os.path.basename(maker.path)}-wal" in os.listdir(tmp_path)
    written = await one.write(Text("a"))
    db = sqlite3.connect(maker.path)
    assert db.execute("SELECT count(*) FROM entries").fetchone() == (1,), "a stranger sees what was written since"
    db.close()
    await store.close()
    assert await entries(await maker.open(), one.run_id) == (written.entry,)


async def test_a_command_makes_the_file_that_a_store_then_opens(maker: SqliteMaker, tmp_path: Path) -> None:
    async with open_vault_file(maker.path) as vault:
        await vault.add_key(an_api_key())
    assert {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in os.scandir(tmp_path)} == {"headwater.db": 0o600}
    assert await maker.vault(await maker.open()).keys() == [an_api_key()]


async def test_commands_that_make_the_file_at_once_all_succeed(maker: SqliteMaker) -> None:
    async def add(key_id: str) -> None:
        async with open_vault_file(maker.path) as vault:
            await vault.add_key(an_api_key(key_id))

    await asyncio.gather(*(add(f"k{n}") for n in range(8)))
    assert [key.id for key in await maker.vault(await maker.open()).keys()] == [f"k{n}" for n in range(8)]


async def test_another_name_of_the_file_leads_to_the_same_keys(maker: SqliteMaker, tmp_path: Path) -> None:
    vault = maker.vault(await maker.open())
    os.symlink(maker.path, tmp_path / "alias.db")
    async with open_vault_file(str(tmp_path / "alias.db")) as beside:
        await beside.add_key(an_api_key())
    assert await vault.keys() == [an_api_key()]


async def test_no_key_is_kept_in_memory() -> None:
    assert "need a store that outlives the command" in await refusal(":memory:")


async def test_a_file_that_cannot_be_used_is_left_alone(maker: SqliteMaker, tmp_path: Path) -> None:
    write_diary(maker.path)
    assert "is not a SQLite database" in await refusal(maker.path)
    assert is_diary(maker.path)
    other = sqlite3.connect(tmp_path / "other.db")
    other.execute("CREATE TABLE bookmarks (url TEXT)")
    other.close()
    assert "another program" in await refusal(str(tmp_path / "other.db"))
    assert "it is a folder" in await refusal(str(tmp_path))
    assert "its folder does not exist" in await refusal(str(tmp_path / "nowhere" / "headwater.db"))


async def test_a_file_of_another_user_is_refused_in_one_line(
    maker: SqliteMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    await (await maker.open()).close()
    with monkeypatch.context() as patched:
        patched.setattr(os, "access", lambda *_: False)
        assert "this user may not write it" in await refusal(maker.path)

    def refuse(*_: object) -> int:
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", refuse)
        assert "may not write in its folder" in await refusal(f"{maker.path}.new")


async def test_a_file_that_another_program_keeps_locked_is_refused(
    maker: SqliteMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headwater.store.sqlite.file._BUSY_S", 0.05)
    await (await maker.open()).close()
    other = sqlite3.connect(maker.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert "another program holds the database locked" in await refusal(maker.path)
    other.close()


async def test_a_vault_that_is_closed_says_so(maker: SqliteMaker) -> None:
    async with open_vault_file(maker.path) as vault:
        pass
    with pytest.raises(StoreUnavailable, match="closed"):
        await vault.keys()


async def test_a_damaged_key_is_passed_over(maker: SqliteMaker, caplog: pytest.LogCaptureFixture) -> None:
    store = await maker.open()
    vault = maker.vault(store)
    for key_id in ("a", "b"):
        await vault.add_key(an_api_key(key_id))
    store._file.writer.execute("UPDATE api_keys SET scopes = 'junk' WHERE id = 'a'")
    assert await vault.keys() == [an_api_key("b")]
    assert "API key 'a' is damaged" in caplog.text


async def test_a_restart_frees_the_places_of_connections_and_no_others(maker: SqliteMaker) -> None:
    store = await maker.open()
    limits = maker.limits(store)
    for name in ("connections:ann", "connections:@::1", "connectionsx", "runs:connections:ann"):
        await limits.hold(name, "a", 1, maker.run_ttl_s)
    async with open_vault_file(maker.path):
        assert list(await limits.holders("connections:ann")) == ["a"], "a command is no restart"
    await store.close()
    limits = maker.limits(await maker.open())
    assert list(await limits.holders("connections:ann")) == list(await limits.holders("connections:@::1")) == []
    assert list(await limits.holders("connectionsx")) == list(await limits.holders("runs:connections:ann")) == ["a"]


async def test_what_has_expired_does_not_pile_up(maker: SqliteMaker) -> None:
    store = await maker.open()
    vault, limits = maker.vault(store), maker.limits(store)
    for n in range(100):
        await vault.add_ticket(f"t{n}", b"", 1.0)
        await limits.add(f"w{n}", 1, 1.0)
        await limits.hold(f"p{n}", "a", 1, 1.0)
        await maker.advance(0.5)
    for table in ("tickets", "windows", "places"):
        (rows,) = store._file.writer.execute(f"SELECT count(*) FROM {table}").fetchone()
        assert rows < 5, table


async def test_a_sweep_finds_what_has_expired_by_an_index(maker: SqliteMaker) -> None:
    db = (await maker.open())._file.writer
    for table in ("tickets", "windows", "places"):
        plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN SELECT rowid FROM {table} WHERE until <= 1 LIMIT 8")]
        assert plan == [f"SEARCH {table} USING COVERING INDEX {table}_by_end (until<?)"]
