"""Whom `headwater serve` lets in, and what others on the machine see of it."""

import os
import secrets
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from tests.api.calls import DEADLINE_S
from tests.api.test_serve_refusals import refused
from tests.cli.command import done
from tests.support.redis_server import RedisServer
from tests.support.server import START_S, ServerProcess
from tests.test_supervisor import Family

_psutil: Any = psutil  # it ships no types

STRANGERS = "0.0.0.0"
GIVEN = secrets.token_hex(16)


def test_without_keys_strangers_are_refused_and_every_way_out_is_named(tmp_path: Path) -> None:
    said = refused(tmp_path, "--host", STRANGERS)
    assert said == (
        "will not listen on 0.0.0.0: there are no keys, so whoever reaches it could use it; set HEADWATER_KEYS or "
        "HEADWATER_JWT_…, make a key with headwater keys create, use --host 127.0.0.1, or take the risk with "
        "--insecure-no-auth"
    )


@pytest.mark.parametrize("host", ["", "::"])
def test_other_names_for_everywhere_are_refused_too(tmp_path: Path, host: str) -> None:
    if host == "::" and not socket.has_ipv6:
        pytest.skip("NOT TESTED: this machine has no IPv6")
    assert "there are no keys" in refused(tmp_path, f"--host={host}")


def test_a_worker_does_not_take_an_empty_name_for_loopback(tmp_path: Path, redis_url: str) -> None:
    said = refused(tmp_path, "--host=", "--workers", "2", "--store", redis_url)
    assert said.startswith("will not listen on 0.0.0.0")


@pytest.mark.parametrize(
    ("settings", "args"),
    [({"keys": GIVEN}, []), ({"jwt_secret": GIVEN}, []), ({}, ["--insecure-no-auth"]), ({"insecure_no_auth": 1}, [])],
    ids=["keys", "tokens", "option", "setting"],
)
def test_it_listens_for_strangers_once_they_are_asked_or_the_risk_is_taken(
    tmp_path: Path, settings: dict[str, object], args: list[str]
) -> None:
    with ServerProcess(tmp_path, settings=settings, args=["--host", STRANGERS, *args]) as server:
        open_to_all = "insecure_no_auth" in settings or bool(args)
        status = httpx2.get(f"{server.url}/v1/runs", timeout=DEADLINE_S).status_code
        assert status == (200 if open_to_all else 401)


def test_a_key_in_the_store_opens_it_to_strangers(tmp_path: Path) -> None:
    key = done("keys", "create", "--name", "a", store=f"sqlite:{tmp_path / 'headwater.db'}").stdout.strip()
    with ServerProcess(tmp_path, args=["--host", STRANGERS]) as server:
        told = {"Authorization": f"Bearer {key}"}
        assert httpx2.get(f"{server.url}/v1/runs", headers=told, timeout=DEADLINE_S).status_code == 200


def test_the_name_of_loopback_will_do(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, args=["--host", "localhost"]) as server:
        assert httpx2.get(f"{server.url}/v1/runs", timeout=DEADLINE_S).status_code == 200


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("HEADWATER_KEYS", "marked", "HEADWATER_KEYS: entry 1: a secret has at least 8 characters"),
        ("HEADWATER_JWT_SECRET", "marked", "HEADWATER_JWT_SECRET has 6 bytes, and must have at least 32"),
        ("HEADWATER_JWT_ALG", "none", "HEADWATER_JWT_ALG must be HS256, RS256 or EdDSA, not 'none'"),
    ],
)
def test_keys_that_cannot_be_used_are_refused_at_the_start(
    tmp_path: Path, variable: str, value: str, said: str
) -> None:
    told = refused(tmp_path, env={variable: value})
    assert told.startswith(said) and "marked" not in told


def test_a_setting_that_is_misspelt_is_said(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, env={"HEADWATER_JWT_SECRTE": "marked"}) as server:
        assert "HEADWATER_JWT_SECRTE is no setting of Headwater's" in server.stderr
        assert "marked" not in server.stderr


def test_a_log_that_nobody_reads_any_more_does_not_keep_it_from_its_end(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path)
    reading, writing = os.pipe()
    child = subprocess.Popen(
        server.command, cwd=tmp_path, env=server.environment, stderr=writing, stdin=subprocess.DEVNULL
    )
    os.close(writing)
    try:
        with open(reading, "rb") as log:
            assert any(b"is listening on" in line for line in log)
        child.send_signal(signal.SIGTERM)
        assert child.wait(START_S) == 0
    finally:
        child.kill()
        child.wait()


def test_workers_are_told_in_private(tmp_path: Path) -> None:
    """Everybody on a machine sees the arguments of its processes, but not their variables."""
    with (
        RedisServer(tmp_path, password=GIVEN) as redis,
        Family(tmp_path, store=f"redis://:{GIVEN}@127.0.0.1:{redis.port}/0", args=["--workers", "2"]) as server,
    ):
        for pid in server.pids():
            worker = _psutil.Process(pid)
            assert worker.cmdline()[-3:] == ["-m", "headwater", "serve"]
            assert GIVEN in worker.environ()["HEADWATER_STORE"] and worker.environ()["HEADWATER_WORKERS"] == "1"
            assert os.stat(f"/proc/{pid}/environ").st_mode & 0o077 == 0
