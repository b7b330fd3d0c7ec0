"""Peers end whole, and one that is missing is said. Not part of the suite's default run: `pytest tests/bench`."""

import os
import sys
from pathlib import Path

import psutil
import pytest

from tests.bench import __main__ as bench
from tests.bench import litellm_proxy
from tests.bench.measure import children
from tests.bench.servers import free_port, serve
from tests.support.waiting import wait_until

# A program that leaves a child behind, and answers.
FORKING = "sleep 60 & exec {python} -m http.server --bind 127.0.0.1 {port}"


def test_what_a_server_started_ends_with_it(tmp_path: Path) -> None:
    (tmp_path / "readyz").touch()
    port = free_port()
    command = ["sh", "-c", FORKING.format(python=sys.executable, port=port)]
    with serve("forking", port, command, tmp_path, {"PATH": os.environ.get("PATH", os.defpath)}) as server:
        (child,) = children(server.pid)
        assert child.is_running()

    def ended() -> bool:
        try:
            return bool(child.status() == psutil.STATUS_ZOMBIE)  # which orphans stay where nobody waits for them
        except psutil.NoSuchProcess:
            return True

    wait_until(ended, what="the child has ended")


def test_a_missing_peer_is_skipped_aloud_and_a_failure_if_it_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(litellm_proxy, "_COMMAND", tmp_path / "litellm")
    monkeypatch.setattr(sys, "argv", ["bench", "--only", "litellm"])
    assert bench.main() == 1
    said = capsys.readouterr().out
    assert "SKIPPED" in said and "make bench-peers" in said and "Everything arrived" not in said
