"""The child process that many tests stand on."""

from pathlib import Path

import psutil
import pytest

from tests.support.server import ServerProcess


def test_a_killed_server_comes_back_on_its_port_and_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWATER_STORE", "nonsense: from the surroundings")
    with ServerProcess(tmp_path) as server:
        first, url = server.pid, server.url
        assert server.ready and server.database.exists()
        server.kill()
        assert not (server.running or server.ready or psutil.pid_exists(first))
        server.restart()
        assert server.ready and server.url == url and server.pid != first
        assert server.url in server.stderr
    assert not psutil.pid_exists(server.pid)


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    with (
        pytest.raises(AssertionError, match=r"ended with 2:\nheadwater: .*HEADWATER_LEASE_S"),
        ServerProcess(tmp_path, settings={"lease_s": "soon"}),
    ):
        pass


def test_a_traceback_fails_the_test(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="ZeroDivisionError"), ServerProcess(tmp_path) as server:
        (tmp_path / f"server-{server.port}.stderr").write_text(
            "Traceback (most recent call last):\nZeroDivisionError: division by zero\n"
        )


def test_it_ends_by_itself_when_asked(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        assert server.terminate() == 0
