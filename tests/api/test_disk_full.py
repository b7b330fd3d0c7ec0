"""A disk that takes no more: writes are refused clearly, nothing is torn, reading goes on, and later writing, too."""

import os
import resource
import shutil
import sqlite3
import subprocess
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.api.calls import DEADLINE_S, SLOW, cancel, ended, get, messages, problem, producing, start
from tests.support.server import ServerProcess
from tests.support.sse import Follower
from tests.support.waiting import wait_until

BIG = "x" * 20_000
"""An input that fits into no page which happens to be free."""


class Disk(ABC):
    """Where a server keeps its file."""

    def __init__(self, directory: Path) -> None:
        self.folder = directory / "disk"
        self.folder.mkdir()
        self.server = ServerProcess(directory, store=f"sqlite:{self.folder}/headwater.db", settings={"drain_s": 0})

    @property
    def seen_from_here(self) -> Path:
        """The folder, as this process can open it."""
        return self.folder

    @abstractmethod
    def fill(self) -> None:
        """Leave no room."""

    @abstractmethod
    def make_room(self) -> None:
        """Take that back."""


class SmallDisk(Disk):
    """A file system of 1 MB in memory, which only the server sees and which goes with it."""

    said = "The disk is full"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        inner = f'mount -t tmpfs -o size=1m none "{self.folder}" && exec "$@"'
        self.enter = ["unshare", "--user", "--map-root-user", "--mount", "/bin/sh", "-c", inner, "sh"]
        if shutil.which("unshare") is None or subprocess.run([*self.enter, "true"], capture_output=True).returncode:
            pytest.skip("NOT TESTED: this machine lets nobody mount a small file system")
        self.server.command = [*self.enter, *self.server.command]

    @property
    def seen_from_here(self) -> Path:
        return Path(f"/proc/{self.server.pid}/root{self.folder}")

    def fill(self) -> None:
        with open(self.seen_from_here / "filler", "wb", buffering=0) as filler:
            try:
                while filler.write(b"x" * 4096):
                    pass
            except OSError:
                return

    def make_room(self) -> None:
        (self.seen_from_here / "filler").unlink()


class LimitedFiles(Disk):
    """The server's files may not grow beyond what they are: what a quota or a broken disk looks like."""

    said = "The disk reports an error"

    def fill(self) -> None:
        log_bytes = os.path.getsize(self.folder / "headwater.db-wal")
        resource.prlimit(self.server.pid, resource.RLIMIT_FSIZE, (log_bytes, resource.RLIM_INFINITY))

    def make_room(self) -> None:
        resource.prlimit(self.server.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@pytest.mark.parametrize("kind", [SmallDisk, LimitedFiles])
def test_a_disk_that_takes_no_more(kind: Any, tmp_path: Path) -> None:
    disk = kind(tmp_path)
    with disk.server, httpx2.Client(base_url=disk.server.url, timeout=DEADLINE_S) as api:
        whole, running = ended(api, start(api)), producing(api, start(api, SLOW))
        disk.fill()
        every_write_is_refused(api, whole, running, disk.said)
        reading_goes_on(api, whole, running)
        nothing_is_torn(disk)
        disk.make_room()
        wait_until(lambda: api.get("/readyz").status_code == 200, what="it is ready again")
        writing_goes_on(api, running)
        nothing_is_torn(disk)


def every_write_is_refused(api: httpx2.Client, whole: Any, running: Any, said: str) -> None:
    body, key = {"input": BIG}, {"Idempotency-Key": "k"}
    for response in (
        api.post("/v1/runs", json=body, headers=key),
        api.post("/v1/runs", json={**body, "stream": True}),
        api.post(running["cancel_url"]),
        api.delete(whole["url"]),
        api.get("/readyz"),
    ):
        document = problem(response, 503, "store_unavailable")
        assert said in document["detail"]
        assert response.headers["retry-after"] == str(document["retry_after"])
    assert api.get("/healthz").status_code == 200


def reading_goes_on(api: httpx2.Client, whole: Any, running: Any) -> None:
    assert get(api, whole) == whole
    events = messages(api.get(whole["events_url"]).text)
    assert events[1].json["parts"] == whole["parts"] and events[2].event == "end"
    listed = api.get("/v1/runs").json()["data"]
    assert [run["id"] for run in listed] == [running["id"], whole["id"]]
    assert get(api, running)["status"] == "in_progress"


def writing_goes_on(api: httpx2.Client, running: Any) -> None:
    """Also for the run that was under way: what came meanwhile was kept for it."""
    before = len(get(api, running)["output"])
    wait_until(lambda: len(get(api, running)["output"]) > before, what="the run goes on")
    response = api.post("/v1/runs", json={"input": BIG, "max_output_tokens": 2}, headers={"Idempotency-Key": "k"})
    assert response.status_code == 202 and "idempotent-replayed" not in response.headers, "the key was not reserved"
    assert ended(api, response.json())["output"] == "I am"
    output = cancel(api, running)["output"]
    follower = Follower()
    for event in messages(api.get(running["events_url"], params={"after": "0-0"}).text):
        follower.take(event)
    assert (follower.text, follower.snapshots) == (output, 0)
    assert follower.end is not None and follower.end["status"] == "cancelled"


def nothing_is_torn(disk: Disk) -> None:
    """SQLite finds the file whole, with all that its write-ahead log adds to it."""
    copy = disk.folder.with_name("copy")
    shutil.copytree(disk.seen_from_here, copy, ignore=shutil.ignore_patterns("*-shm", "filler"))
    database = sqlite3.connect(copy / "headwater.db")
    assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    database.close()
    shutil.rmtree(copy)
