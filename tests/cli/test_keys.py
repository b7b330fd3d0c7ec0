"""`headwater keys`, on both stores."""

import json
import re
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headwater.access.secrets import key_id
from headwater.errors import StoreUnavailable
from tests.cli.command import done, headwater, refusal
from tests.support.server import ServerProcess, free_port

Settings = dict[str, object]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no `.env` lies."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(params=["sqlite", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Settings]:
    """The settings of a store of the test's own."""
    if request.param == "sqlite":
        yield {"store": f"sqlite:{tmp_path / 'keys.db'}"}
    else:
        yield {"store": request.getfixturevalue("redis_url"), "redis_prefix": f"test-{uuid.uuid4()}"}


def created(store: Settings, *args: str) -> str:
    """The key that is shown."""
    return done("keys", "create", *args, **store).stdout.strip()


def listed(store: Settings) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(done("keys", "list", "--json", **store).stdout)
    return found


def test_a_key_is_shown_once_and_alone(store: Settings) -> None:
    result = done("keys", "create", "--name", "backend", **store)
    assert re.fullmatch(r"hwk_[a-z2-7]{12}_[a-z2-7]{32}\n", result.stdout)
    found, secret = key_id(result.stdout.strip()), result.stdout.strip().rpartition("_")[2]
    assert secret not in result.stderr and "shown this once" in result.stderr
    shown = done("keys", "list", **store).output + done("keys", "list", "--json", **store).output
    assert secret not in shown and found is not None and shown.count(found) == 2


def test_a_key_may_do_all_but_see_the_whole_server(store: Settings) -> None:
    before = time.time()
    key = created(store, "--name", "backend")
    (found,) = listed(store)
    assert before <= found.pop("created_at") <= time.time()
    assert found == {
        "id": key_id(key),
        "name": "backend",
        "tenant": "default",
        "scopes": ["rooms:read", "rooms:write", "runs:read", "runs:write"],
        "expires_at": None,
        "revoked_at": None,
        "state": "active",
    }


def test_a_key_may_do_what_was_asked_for(store: Settings) -> None:
    args = ["--scope", "admin", "--scope", "runs:read rooms:read", "--tenant", "acme", "--expires-in", "12h"]
    result = done("keys", "create", "--name", "Büro 3", *args, **store)
    (found,) = listed(store)
    assert (found["name"], found["tenant"]) == ("Büro 3", "acme")
    assert found["scopes"] == ["admin", "rooms:read", "runs:read"]
    assert found["expires_at"] == found["created_at"] + 12 * 3600
    assert "tenant acme, may admin rooms:read runs:read until 2" in result.stderr


def test_a_list_is_a_table_oldest_first(store: Settings) -> None:
    ids = [key_id(created(store, "--name", name, "--tenant", f"of-{name}")) for name in ("first", "second")]
    assert ids[1] is not None
    done("keys", "revoke", ids[1], **store)
    head, first, second = done("keys", "list", **store).stdout.splitlines()
    assert head.split() == ["ID", "NAME", "TENANT", "SCOPES", "CREATED", "EXPIRES", "STATE"]
    assert first.split()[:3] == [ids[0], "first", "of-first"] and first.split()[-2:] == ["never", "active"]
    assert second.split()[:3] == [ids[1], "second", "of-second"] and second.split()[-1] == "revoked"
    assert re.search(r" 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ ", first)
    assert first.index("active") == second.index("revoked"), "its columns stand"


def test_an_expired_key_is_still_listed(store: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    created(store, "--name", "short", "--expires-in", "30d")
    later = time.time() + 30 * 86_400 + 1
    monkeypatch.setattr("headwater.cli.keys.time.time", lambda: later)
    assert [key["state"] for key in listed(store)] == ["expired"]


def test_an_empty_list_says_what_to_do(store: Settings) -> None:
    result = done("keys", "list", **store)
    assert result.stdout == "" and "headwater keys create --name NAME" in result.stderr
    assert listed(store) == []


def test_a_revoked_key_stays_revoked(store: Settings) -> None:
    found = key_id(created(store, "--name", "lost"))
    assert found is not None
    said = done("keys", "revoke", found, **store).stdout
    assert said == f"Revoked {found}. Within 5 s all workers refuse it, and end the streams that it opened.\n"
    (first,) = listed(store)
    done("keys", "revoke", found, **store)
    assert listed(store) == [first] and first["state"] == "revoked"


def test_only_a_key_that_there_is_can_be_revoked(store: Settings) -> None:
    key = created(store, "--name", "backend")
    assert refusal("keys", "revoke", "a" * 12, **store) == f"there is no key {'a' * 12}: headwater keys list shows them"
    for wrong in ("backend", f"{key}x"):
        said = refusal("keys", "revoke", wrong, **store)
        assert said == "an ID has 12 letters and digits: headwater keys list shows them"
    said = refusal("keys", "revoke", key, **store)
    assert said.startswith("that is a key itself") and key.rpartition("_")[2] not in said
    assert "take it out there" in refusal("keys", "revoke", "env:web", **store)
    assert listed(store)[0]["state"] == "active"


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (["--name", ""], "--name: a name has 1 to 256 characters"),
        (["--name", "a\nb"], "--name: a name has 1 to 256 characters"),
        (["--scope", "runs:all"], "--scope: there is no scope 'runs:all': there are admin, "),
        (["--scope", ""], "--scope: names none"),
        (["--tenant", "a/b"], "--tenant: a tenant is 1 to 64 letters"),
        (["--tenant", ""], "--tenant: a tenant is 1 to 64 letters"),
        (["--expires-in", "soon"], "--expires-in: must be a time such as 30d, 12h, 90m or 3600 (seconds), not 'soon'"),
        (["--expires-in", "0"], "--expires-in: must be a time"),
        (["--expires-in", "-1h"], "--expires-in: must be a time"),
        (["--expires-in", "1.5h"], "--expires-in: must be a time"),
        (["--expires-in", "٣h"], "--expires-in: must be a time"),
        (["--expires-in", "9999999999d"], "--expires-in: must be a time"),
        (["--expires-in", ""], "--expires-in: must be a time"),
    ],
)
def test_what_cannot_be_is_refused_and_makes_no_key(tmp_path: Path, args: list[str], why: str) -> None:
    store: Settings = {"store": f"sqlite:{tmp_path / 'keys.db'}"}
    assert refusal("keys", "create", "--name", "backend", *args, **store).startswith(why)
    assert listed(store) == []


def test_a_name_is_needed() -> None:
    result = headwater("keys", "create")
    assert result.exit_code == 2 and "Missing option '--name'" in result.stderr


@pytest.mark.parametrize("args", [["create", "--name", "a"], ["list"], ["revoke", "a" * 12]])
def test_keys_need_a_store_that_is_there_and_outlives_the_command(args: list[str]) -> None:
    assert "sqlite::memory:" in refusal("keys", *args, store="sqlite::memory:")
    assert refusal("keys", *args, "--store", "mongo://x").startswith("unknown store 'mongo://x'")
    port = free_port()
    said = refusal("keys", *args, store=f"redis://:marked@127.0.0.1:{port}/0")
    assert f"127.0.0.1:{port}" in said and "marked" not in said


def test_a_store_that_fails_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: object) -> None:
        raise StoreUnavailable("The disk is full.")

    monkeypatch.setattr("headwater.cli.keys.open_vault", fails)
    assert refusal("keys", "list", store=f"sqlite:{tmp_path / 'keys.db'}") == "The disk is full."


def test_keys_are_made_while_a_server_has_the_store(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        store: Settings = {"store": f"sqlite:{server.database}"}
        key = created(store, "--name", "backend")
        assert [one["id"] for one in listed(store)] == [key_id(key)]
        assert server.ready
