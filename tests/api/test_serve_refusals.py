"""`headwater serve` where it cannot start: one clear line on stderr, exit code 2, nothing left behind."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.server import ServerProcess


def refused(directory: Path, *args: str, env: Mapping[str, str] | None = None) -> str:
    """What `serve` with these arguments says before it gives up."""
    place = ServerProcess(directory, args=args, env=env)  # a later option beats an earlier one
    said = place.refused()
    assert len(said) < 250, "it is one line for a person"
    return said


def test_a_port_that_is_taken(tmp_path: Path, server: ServerProcess) -> None:
    said = refused(tmp_path, "--port", str(server.port))
    assert said == f"cannot listen on 127.0.0.1 port {server.port}: address already in use"
    assert server.ready


def test_a_file_that_another_server_holds(tmp_path: Path, server: ServerProcess) -> None:
    said = refused(tmp_path, "--store", f"sqlite:{server.database}")
    assert f"in use by another Headwater (process {server.pid}): stop that one" in said
    assert server.ready


def test_a_store_that_nobody_knows(tmp_path: Path) -> None:
    assert refused(tmp_path, "--store", "mongo://x").startswith("unknown store 'mongo://x': use sqlite:FILE")


def test_a_store_that_is_something_else(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("These are my notes, and I want to keep them.\n" * 100)
    assert "notes.txt is not a SQLite database" in refused(tmp_path, "--store", "sqlite:notes.txt")
    assert (tmp_path / "notes.txt").read_text().startswith("These are my notes")


def test_an_address_that_strangers_reach(tmp_path: Path) -> None:
    said = refused(tmp_path, "--host", "0.0.0.0")
    assert said.startswith("will not listen on 0.0.0.0: there are no keys") and "--host 127.0.0.1" in said


def test_several_workers_on_one_file(tmp_path: Path) -> None:
    said = refused(tmp_path, "--workers", "2")
    assert said.startswith("2 workers cannot share sqlite:") and "use --workers 1, or a Redis" in said


def test_a_models_file_that_is_not_there(tmp_path: Path) -> None:
    assert refused(tmp_path, "--models", "mine.toml") == "mine.toml: cannot be read: No such file or directory"


def test_a_models_file_that_is_broken_though_nobody_named_it(tmp_path: Path) -> None:
    (tmp_path / "headwater.toml").write_text('[models.fast]\nprovider = "openai"\nbase_uri = "http://127.0.0.1/v1"\n')
    assert refused(tmp_path).startswith("headwater.toml: models.fast.base_uri: is not known here; known are")


def test_a_setting_that_is_none(tmp_path: Path) -> None:
    assert refused(tmp_path, env={"HEADWATER_LEASE_S": "soon"}) == "HEADWATER_LEASE_S must be a number, not 'soon'"


def test_a_setting_in_a_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("HEADWATER_LOG_LEVEL=loud\n")
    assert refused(tmp_path) == "HEADWATER_LOG_LEVEL must be debug, info, warning or error, not 'loud'"


def test_a_settings_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"HEADWATER_LEASE_S=\xff\n")
    assert refused(tmp_path) == ".env: is not UTF-8 text (byte 18)"


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/v1", "http://me:secret@127.0.0.1/v1"])
def test_an_upstream_that_can_be_none(tmp_path: Path, url: str) -> None:
    said = refused(tmp_path, env={"OPENAI_BASE_URL": url})
    assert said.startswith("OPENAI_BASE_URL: must ") and "secret" not in said
