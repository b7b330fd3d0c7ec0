"""The child process that many tests stand on."""

import json
import signal
from pathlib import Path

import psutil
import pytest

from tests.support.server import ServerProcess

LOOK_AROUND = """
import json, os, signal, sys, threading

async def answer(request):
    yield ""

descriptors = {}
for number in range(100):
    try:
        descriptors[number] = os.fstat(number).st_mode
    except OSError:
        pass
found = {
    "argv": sys.argv,
    "cwd": os.getcwd(),
    "descriptors": descriptors,
    "environ": dict(os.environ),
    "group": os.getpgrp(),
    "main": sys.modules["__main__"].__spec__.name,
    "path": sys.path,
    "session": os.getsid(0),
    "signals": [repr(signal.getsignal(number)) for number in signal.valid_signals()],
    "threads": threading.active_count(),
}
with open("found", "w") as file:
    json.dump(found, file)
"""

# A fork is held to what the command does that it stands for.
either = pytest.mark.parametrize("forked", [True, False], ids=["forked", "started"])


@either
def test_a_killed_server_comes_back_on_its_port_and_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forked: bool
) -> None:
    monkeypatch.setenv("HEADWATER_STORE", "nonsense: from the surroundings")
    with ServerProcess(tmp_path, forked=forked) as server:
        first, url = server.pid, server.url
        assert server.ready and server.database.exists()
        server.kill()
        assert server.wait() == -signal.SIGKILL
        assert not (server.running or server.ready or psutil.pid_exists(first))
        server.restart()
        assert server.ready and server.url == url and server.pid != first
        assert server.url in server.stderr
    assert not psutil.pid_exists(server.pid)


@either
def test_a_server_that_cannot_start_says_why(tmp_path: Path, forked: bool) -> None:
    with (
        pytest.raises(AssertionError, match=r"ended with 2:\nheadwater: .*HEADWATER_LEASE_S"),
        ServerProcess(tmp_path, settings={"lease_s": "soon"}, forked=forked),
    ):
        pass


def test_a_traceback_fails_the_test(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="ZeroDivisionError"), ServerProcess(tmp_path) as server:
        (tmp_path / f"server-{server.port}.stderr").write_text(
            "Traceback (most recent call last):\nZeroDivisionError: division by zero\n"
        )


@either
def test_it_ends_by_itself_when_asked(tmp_path: Path, forked: bool) -> None:
    with ServerProcess(tmp_path, forked=forked) as server:
        assert server.terminate() == 0


def test_a_fork_finds_what_a_new_process_finds(tmp_path: Path, port: int) -> None:
    """Its folder, group, variables, arguments and modules are its own, and it has no descriptor of the forkserver's."""
    (tmp_path / "mine.py").write_text(LOOK_AROUND)
    (tmp_path / "headwater.toml").write_text('[models.mine]\nprovider = "python:mine:answer"\n')
    found = []
    for forked in (True, False):
        server = ServerProcess(tmp_path, port=port, env={"TOLD": "it"}, forked=forked)
        del server.environment["PATH"]  # which the forkserver has
        with server:
            found.append(json.loads((tmp_path / "found").read_text()))
            assert found[-1].pop("group") == found[-1].pop("session") == server.pid
    assert found[0] == found[1]
    assert found[0]["environ"]["TOLD"] == "it" and found[0]["cwd"] == str(tmp_path)
