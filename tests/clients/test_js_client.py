"""Our JavaScript client in Node: by itself, against a server that asks for keys, and on three workers with cut lines.

`python -m tests.clients.js_in_full` does the last in full size.
"""

import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients.js_scenes import everybody_reads, everybody_talks, play, three_workers
from tests.clients.scene import KEY, MODELS, READER, WILD, Scene
from tests.streaming.texts import seeded
from tests.support.keys import JWT_SECRET
from tests.support.server import free_port
from tests.workers.cluster import Cluster

CLIENT = Path(__file__).parents[2] / "clients" / "js"
RUNS, MEMBERS, MESSAGES = 15, 4, 8
STRANGER = "no-key-of-theirs"
# Of a token, within an answer that takes longer: it expires in the middle of it.
SOON_S = 0.8

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not shutil.which("node"), reason="no node on the PATH: install Node 20 or newer"),
]


def test_by_itself() -> None:
    tests = sorted(map(str, (CLIENT / "test").glob("*.test.mjs")))
    assert tests
    ran = subprocess.run(["node", "--test", *tests], capture_output=True, text=True, timeout=50, cwd=CLIENT)
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"


# -- on one server


@pytest.fixture
def ended(scene: Scene) -> dict[str, Any]:
    """A run that has ended."""
    run: dict[str, Any] = scene.http.post("/v1/runs", json={"model": "wild", "input": "for the client of ours"}).json()
    ended: dict[str, Any] = scene.ended(run["id"])
    return ended


def start(scene: Scene, model: str) -> str:
    run_id: str = scene.http.post("/v1/runs", json={"model": model, "input": "for the client of ours"}).json()["id"]
    return run_id


async def test_errors_are_of_their_own_classes(scene: Scene, ended: dict[str, Any]) -> None:
    server, run_id = scene.server.url, ended["id"]
    away = {"url": f"http://127.0.0.1:{free_port()}", "maxWaitMs": 200}
    expected = {
        "no token": ({"kind": "read", "id": run_id, "token": None}, "Unauthorized", "unauthenticated"),
        "a stranger": ({"kind": "watch", "id": run_id, "token": STRANGER}, "Unauthorized", "unauthenticated"),
        "a stranger in a room": ({"kind": "enter", "token": STRANGER}, "Unauthorized", "unauthenticated"),
        "nobody in a room": ({"kind": "enter", "token": None}, "Unauthorized", "unauthenticated"),
        "a reader who starts": ({"kind": "create", "token": READER}, "Forbidden", "forbidden"),
        "a reader in a room": ({"kind": "enter", "token": READER}, "Forbidden", "forbidden"),
        "gone": ({"kind": "watch", "id": "run_gone"}, "NotFound", "unknown_run"),
        "no position": ({"kind": "watch", "id": run_id, "after": "nonsense"}, "BadRequest", "malformed_position"),
        "no such field": ({"kind": "create", "request": {"imput": "x"}}, "BadRequest", "invalid"),
        "no such model": ({"kind": "create", "request": {"model": "gpt-9"}}, "BadRequest", "unknown_model"),
        "a wrong path": ({"kind": "watch", "id": run_id, "url": f"{server}/llm"}, "NotHeadwater", "not_headwater"),
        "another server": ({"kind": "elsewhere", "id": run_id}, "NotHeadwater", "not_headwater"),
        "nobody there": ({"kind": "watch", "id": run_id, **away}, "TooManyRetries", "too_many_retries"),
        "no room there": ({"kind": "enter", **away}, "TooManyRetries", "too_many_retries"),
        "collected": ({"kind": "collected", "id": start(scene, "slow")}, "Buffered", "buffered"),
    }
    told = await play({name: case for name, (case, _, _) in expected.items()}, url=server, token=KEY)
    errors = {name: told.error(name) for name in expected}
    classes = {name: (error["name"], error["code"]) for name, error in errors.items()}
    assert classes == {name: (error, code) for name, (_, error, code) in expected.items()}
    assert errors["no such field"]["field"] == "imput"
    assert "proxy_buffering off" in errors["collected"]["message"]


async def test_what_works_on_one_server(scene: Scene, ended: dict[str, Any]) -> None:
    claims = {"sub": "ann", "name": "Ann", "scope": "runs:read", "rooms": {"lobby": "write"}}
    signing = {"claims": claims, "secret": JWT_SECRET, "lives": [SOON_S, 600]}
    cases = {
        "twice": {"kind": "twice"},
        "after the end": {"kind": "watch", "id": ended["id"], "after": ended["position"]},
        "aborted": {"kind": "aborted", "id": start(scene, "slow")},
        "cancelled": {"kind": "cancelled", "id": start(scene, "slow")},
        "EventSource": {"kind": "eventSource", "id": start(scene, "wild")},
        "EventSource after the end": {"kind": "eventSource", "id": ended["id"], "after": ended["position"]},
        "EventSource of a run that is gone": {"kind": "eventSource", "id": "run_gone"},
        "refreshed": {"kind": "refreshed", "id": start(scene, "quiet"), **signing},
    }
    told = await play(cases, "--experimental-eventsource", "--no-warnings", url=scene.server.url, token=KEY)
    assert len(set(told.value("twice"))) == 1
    assert (told.value("after the end")["text"], told.value("after the end")["status"]) == (WILD, "completed")
    assert told.error("aborted")["message"] == "enough"
    assert told.value("cancelled") == ["cancelled", "cancelled"]
    assert told.value("EventSource")["text"] == told.value("EventSource after the end")["text"] == WILD
    assert told.error("EventSource of a run that is gone")["name"] == "NotFound"
    refreshed = told.value("refreshed")
    assert (refreshed["status"], refreshed["text"], refreshed["asked"]) == ("completed", MODELS["quiet"].text, 2)
    assert [recovered for recovered, _ in refreshed["told"]] == [False, True]


# -- on three workers


@pytest.fixture(scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> AsyncIterator[Cluster]:
    async with three_workers(tmp_path_factory.mktemp("js"), redis_url) as cluster:
        yield cluster


async def test_on_three_workers_with_cut_lines_every_text_is_exact(cluster: Cluster) -> None:
    with seeded() as seed:
        tally = await everybody_reads(cluster, seed, runs=RUNS)
        assert (tally.exact, tally.runs) == (RUNS, RUNS)
        assert tally.cuts > RUNS


async def test_on_three_workers_with_cut_lines_a_room_is_the_same_for_all(cluster: Cluster) -> None:
    with seeded() as seed:
        tally = await everybody_talks(cluster, seed, members=MEMBERS, messages=MESSAGES)
        assert tally.cuts >= MEMBERS
