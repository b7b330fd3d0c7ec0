"""Nothing that the server prints, answers or shows of itself has a secret in it, whatever happens."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from headwater.config import Config
from tests.api.calls import DEADLINE_S, QUICK
from tests.support.keys import add_key, bearer, token
from tests.support.redis_server import RedisServer
from tests.support.server import ServerProcess
from tests.support.upstream import Script, Upstream
from tests.test_supervisor import Family

_psutil: Any = psutil  # it ships no types

pytestmark = pytest.mark.anyio

PASSWORD = "marked-password-of-the-store"
GIVEN = "marked-key-of-the-environment"
JWT_SECRET = "marked-secret-that-tokens-are-signed-with"
UPSTREAM_KEY = "marked-key-of-the-upstream"


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path, password=PASSWORD) as redis:
        yield redis


def shown(server: ServerProcess) -> str:
    """What the server and all of its processes show to whoever looks."""
    first = _psutil.Process(server.pid)
    processes = [first, *first.children(recursive=True)]
    commands = "\n".join(" ".join(process.cmdline()) for process in processes)
    return f"{server.stdout}\n{server.stderr}\n{commands}"


async def test_a_busy_run_at_the_most_talkative_level(tmp_path: Path, redis: RedisServer) -> None:
    store = f"redis://:{PASSWORD}@127.0.0.1:{redis.port}/0"
    settings = {"log_level": "debug", "keys": GIVEN, "jwt_secret": JWT_SECRET, "drain_s": 0, "drain_spread_s": 0}
    key = await add_key(Config(store=store))
    async with Upstream({"scripted": Script(), "broken": Script(status=401)}) as upstream:
        environment = {
            "HEADWATER_STORE": store,
            "OPENAI_BASE_URL": upstream.url,
            "OPENAI_API_KEY": UPSTREAM_KEY,
        }
        server = Family(tmp_path, settings=settings, args=["--workers", "2"], env=environment, forked=False)
        at = server.command.index("--store")
        del server.command[at : at + 2]  # a password on the command line is there for all to see
        async with server:
            said, secrets = await speak(server, key)
            said += shown(server)
    said += server.stderr
    assert "GET /v1/runs" in said, "the access log is on"
    assert "ticket=…" in said, "and has the streams with tickets"
    for secret in [PASSWORD, GIVEN, JWT_SECRET, UPSTREAM_KEY, key, key.split("_")[2], *secrets]:
        assert secret not in said


async def speak(server: ServerProcess, key: str) -> tuple[str, list[str]]:
    """All kinds of requests; what was answered, and the further secrets that were sent."""
    scope = "runs:read runs:write rooms:read admin"
    good, late = token(secret=JWT_SECRET, scope=scope), token(secret=JWT_SECRET, expires_in=-5, scope=scope)
    secrets, answers = [good, late], []
    async with httpx2.AsyncClient(base_url=server.url, timeout=DEADLINE_S) as api:

        async def get(path: str, **options: Any) -> None:
            answers.append((await api.get(path, **options)).text)

        for credential in (key, GIVEN, good, late, f"{key}x", f"Basic {key}"):
            for path in ("/v1/runs", "/v1/runs/run_unknown", "/v1/runs?limit=x", "/metrics", "/v1/nothing"):
                await get(path, headers=bearer(credential))
        await get("/v1/runs", headers=[("Authorization", f"Bearer {key}")] * 2)
        answers.append((await api.post("/v1/runs", content=b"{", headers=bearer(key))).text)
        for model in ("demo", "scripted", "broken"):
            body = {"input": "hello", "model": model, **({"extra": QUICK} if model == "demo" else {})}
            run = (await api.post("/v1/runs", json=body, headers=bearer(key))).json()
            ticket = (await api.post("/v1/tickets", json={"run": run["id"]}, headers=bearer(key))).json()["ticket"]
            secrets.append(ticket)
            for query in ({"ticket": ticket}, {"ticket": f"{ticket}x"}, {"format": "nothing", "ticket": ticket}):
                await get(run["events_url"], params=query)
            await get(run["url"], headers=bearer(key))
        for path in ("/metrics", "/openapi.json", "/readyz", "/"):
            await get(path, headers=bearer(key))
    return "\n".join(answers), secrets
