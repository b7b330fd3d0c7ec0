"""Which files the SQLite store opens, and what it says of the others."""

import asyncio
import errno
import os
import sqlite3
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from headwater.core.events import Text
from headwater.errors import ConfigError, StoreUnavailable
from headwater.store.sqlite import SqliteStore
from tests.store.producing import a_run, start
from tests.store.sqlite_maker import SqliteMaker

pytestmark = pytest.mark.anyio

LOCK_IN_A_PROCESS = """
import asyncio, sys
from headwater.store.sqlite import SqliteStore

async def main():
    store = SqliteStore(sys.argv[1], run_ttl_s=60)
    await store.open()
    print("open", flush=True)
    sys.stdin.read()

asyncio.run(main())
"""


def content(maker: SqliteMaker) -> bytes:
    return Path(maker.path).read_bytes()


def overwrite(maker: SqliteMaker, data: bytes) -> None:
    Path(maker.path).write_bytes(data)


async def refusal(maker: SqliteMaker) -> str:
    """The one line that the operator gets."""
    with pytest.raises(ConfigError) as caught:
        await maker.open()
    text = str(caught.value)
    assert "\n" not in text
    assert maker.path in text
    return text


async def test_a_second_store_on_the_same_file_is_refused(maker: SqliteMaker) -> None:
    first = await maker.open()
    assert f"in use by another Headwater (process {os.getpid()})" in await refusal(maker)
    one = await start(first)
    await one.write(Text("the first goes on"))
    await first.close()
    assert await (await maker.open()).get(one.run_id) is not None


async def test_another_name_of_the_file_has_the_same_lock(maker: SqliteMaker, tmp_path: Path) -> None:
    await maker.open()
    other = SqliteMaker(str(tmp_path / "alias.db"))
    os.symlink(maker.path, other.path)
    assert "in use by another Headwater" in await refusal(other)
    await other.close()


async def test_another_process_holds_the_lock_until_it_is_killed(maker: SqliteMaker) -> None:
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = (sys.executable, "-c", LOCK_IN_A_PROCESS, maker.path)
    process = await asyncio.create_subprocess_exec(*command, env=environ, stdin=PIPE, stdout=PIPE)
    try:
        assert process.stdout is not None and await process.stdout.readline() == b"open\n"
        assert f"(process {process.pid})" in await refusal(maker)
    finally:
        process.kill()
        await process.wait()
    await maker.open()


async def test_stores_in_memory_are_strangers() -> None:
    maker = SqliteMaker()
    first, second = await maker.open(), await maker.open()
    run = await first.create(a_run(), None)
    assert await second.get(run.run.id) is None
    await maker.close()


async def test_a_file_that_is_no_database_is_left_alone(maker: SqliteMaker) -> None:
    overwrite(maker, b"my diary, " * 1000)
    assert "is not a SQLite database" in await refusal(maker)
    assert content(maker) == b"my diary, " * 1000


async def test_a_database_of_another_program_is_left_alone(maker: SqliteMaker) -> None:
    with sqlite3.connect(maker.path) as db:
        db.execute("CREATE TABLE bookmarks (url TEXT)")
    db.close()
    before = content(maker)
    assert "another program" in await refusal(maker)
    assert content(maker) == before


async def test_a_newer_schema_is_left_alone(maker: SqliteMaker) -> None:
    await (await maker.open()).close()
    db = sqlite3.connect(maker.path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    before = content(maker)
    assert "written by a newer Headwater (its schema is 99" in await refusal(maker)
    assert content(maker) == before


async def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    maker = SqliteMaker(str(tmp_path / "nowhere" / "headwater.db"))
    assert "its folder does not exist" in await refusal(maker)
    assert not (tmp_path / "nowhere").exists()


async def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    assert "it is a folder" in await refusal(SqliteMaker(str(tmp_path)))


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.EACCES, "this user may not write it, or may not write in its folder"),
        (errno.EROFS, "Read-only file system"),
        (errno.ENOSPC, "No space left on device"),
    ],
)
async def test_what_the_system_refuses_is_said_in_one_line(
    maker: SqliteMaker, monkeypatch: pytest.MonkeyPatch, number: int, sentence: str
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", refuse)
        assert sentence in await refusal(maker)
    await maker.open()


async def test_a_file_that_another_program_keeps_locked_is_refused(
    maker: SqliteMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headwater.store.sqlite.file._BUSY_S", 0.05)
    await (await maker.open()).close()
    other = sqlite3.connect(maker.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert "another program holds the database locked" in await refusal(maker)
    other.close()
    await maker.open()


async def test_an_unknown_synchronous_is_refused(tmp_path: Path) -> None:
    store = SqliteStore(str(tmp_path / "headwater.db"), run_ttl_s=60, synchronous="OFF")
    with pytest.raises(ConfigError, match="NORMAL or FULL"):
        await store.open()
    await store.close()


@pytest.mark.parametrize(("setting", "value"), [("NORMAL", 1), ("FULL", 2)])
async def test_synchronous_reaches_the_database(tmp_path: Path, setting: str, value: int) -> None:
    store = SqliteStore(str(tmp_path / "headwater.db"), run_ttl_s=60, synchronous=setting)
    await store.open()
    assert store._file.writer.execute("PRAGMA synchronous").fetchone() == (value,)
    await store.close()


async def test_conversations_are_readable_by_their_owner_only(maker: SqliteMaker, tmp_path: Path) -> None:
    await start(await maker.open())
    assert {entry.name: entry.stat().st_mode & 0o777 for entry in os.scandir(tmp_path)} == {
        f"headwater.db{end}": 0o600 for end in ("", "-wal", "-shm", ".lock")
    }


async def test_a_store_that_is_not_open_says_so(maker: SqliteMaker) -> None:
    store = maker.make()
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.get("run_x")
    await store.open()
    assert "open, 0 waiting" in repr(store)
    await store.close()
    for call in (store.get("run_x"), store.ping()):
        with pytest.raises(StoreUnavailable, match="closed"):
            await call
    await store.close()
