"""docs/examples.md, as a reader would save and run it. What wants a browser or nginx is in tests/browser."""

import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import connect

from tests.docs.document import examples, put, titles
from tests.support.cutting_proxy import CuttingProxy
from tests.support.server import ServerProcess, free_port
from tests.support.upstream import Script, Upstream
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

PAGE = "A page with EventSource"
FASTAPI = "In a FastAPI app, with a model of your own"
HTTPX = "From service to service, with httpx"
CURL = "The same, with curl"
NGINX = "Behind nginx"

PAGE_LINES_MAX = 15
KEY = "a-key-of-the-tests"
# With what breaks whoever splits lines or decodes bytes wrongly.
ANSWER = Script(pieces=[f"{number} 日本語 \u2028 " for number in range(120)], interval_s=0.005)
CUTS = 4


def test_these_are_all_examples_that_there_are() -> None:
    assert titles() == [PAGE, FASTAPI, HTTPX, CURL, NGINX], "each is to be run by a test"


def test_the_page_is_short() -> None:
    (page,) = examples(PAGE)["html"]
    assert len(page.splitlines()) == PAGE_LINES_MAX


# -- from service to service


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServerProcess]:
    """One that asks for a key, and whose model is quick."""
    directory = tmp_path_factory.mktemp("examples")
    async with Upstream(default=ANSWER) as upstream:
        model = f'[models.quick]\nprovider = "openai"\nmodel = "any"\nbase_url = "{upstream.url}"\n'
        (directory / "headwater.toml").write_text(f'default = "quick"\n{model}')
        async with ServerProcess(directory, settings={"keys": f"shop={KEY}"}) as server:
            yield server


async def run(command: list[str], url: str, key: str = KEY) -> tuple[int, str, str]:
    """The exit code of a program, and what it writes."""
    environment = {**os.environ, "HEADWATER_URL": url, "HEADWATER_KEY": key}
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


@asynccontextmanager
async def cut(server: ServerProcess) -> AsyncIterator[CuttingProxy]:
    """The way to the server, which is cut some times."""
    async with CuttingProxy([server.port], Random(1), within=3_000, limit=CUTS) as proxy:
        yield proxy
        assert proxy.cuts == CUTS


async def runs_at(server: ServerProcess) -> Any:
    """All runs that there are."""
    headers = {"Authorization": f"Bearer {KEY}"}
    async with httpx2.AsyncClient(base_url=server.url, headers=headers, trust_env=False) as http:
        return (await http.get("/v1/runs", params={"limit": 100})).json()["data"]


async def test_the_job_with_httpx_gets_the_whole_answer_over_a_bad_line(server: ServerProcess, tmp_path: Path) -> None:
    (program,) = examples(HTTPX)["python"]
    path = tmp_path / "ask.py"
    path.write_text(program)
    before = len(await runs_at(server))
    async with cut(server) as proxy:
        code, out, err = await run([sys.executable, str(path), "What is a run?"], proxy.url)
    assert (code, err) == (0, "")
    assert out == f"{ANSWER.text}\n"
    assert len(await runs_at(server)) == before + 1


async def test_the_job_with_httpx_says_what_is_wrong(server: ServerProcess, tmp_path: Path) -> None:
    (program,) = examples(HTTPX)["python"]
    path = tmp_path / "ask.py"
    path.write_text(program)
    code, out, err = await run([sys.executable, str(path), "What is a run?"], server.url, "another-key")
    assert code != 0 and out == "" and "401 Unauthorized" in err


@pytest.fixture
def bash() -> Iterator[str]:
    """What runs the example with curl."""
    for program in ("bash", "curl"):
        if shutil.which(program) is None:
            pytest.skip(f"there is no {program} on the PATH, which the example in docs/examples.md takes")
    yield "bash"


async def test_the_script_with_curl_gets_each_event_once_over_a_bad_line(
    server: ServerProcess, tmp_path: Path, bash: str
) -> None:
    (script,) = examples(CURL)["bash"]
    path = tmp_path / "ask.sh"
    path.write_text(script)
    before = len(await runs_at(server))
    async with cut(server) as proxy:
        code, out, err = await run([bash, str(path), '{"input": "What is a run?"}'], proxy.url)
    assert code == 0, err
    events = [json.loads(line) for line in out.removesuffix("\n").split("\n")]
    covered = [(event["after"], event["seq"]) for event in events]
    assert [after for after, _ in covered] == [0, *(seq for _, seq in covered[:-1])]
    assert "".join(event.get("text", "") for event in events) == ANSWER.text
    assert events[-1]["status"] == "completed"
    assert len(await runs_at(server)) == before + 1


async def test_the_script_with_curl_says_what_is_wrong(server: ServerProcess, tmp_path: Path, bash: str) -> None:
    (script,) = examples(CURL)["bash"]
    path = tmp_path / "ask.sh"
    path.write_text(script)
    code, out, err = await run([bash, str(path), '{"inputs": "What is a run?"}'], server.url)
    assert (code, out) == (1, "") and json.loads(err)["field"] == "inputs"


# -- FastAPI


@asynccontextmanager
async def the_app(directory: Path) -> AsyncIterator[str]:
    """The app with Headwater in it, served as its page says; its address."""
    (program,) = examples(FASTAPI)["python"]
    serve, _ = examples(FASTAPI)["sh"]
    (directory / "app.py").write_text(program)
    port = free_port()
    command = put(serve, {"--port 8000": f"--port {port}"}).split()
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name(command[0]), *command[1:], cwd=directory, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:

            async def ready() -> bool:
                try:
                    return (await http.get("/llm/readyz")).status_code == 200
                except httpx2.TransportError:
                    return False

            await eventually(ready, what="the app is ready")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


async def test_the_fastapi_app_answers_for_itself_and_below_the_path_headwater_does(tmp_path: Path) -> None:
    _, curl = examples(FASTAPI)["sh"]
    headers = {"Authorization": "Bearer a-long-secret"}
    async with the_app(tmp_path) as url, httpx2.AsyncClient(base_url=url, headers=headers, trust_env=False) as http:
        assert (await http.get("/")).json() == {"greeting": "Hello!"}
        assert (await http.get("/llm/v1/runs", headers={"Authorization": "Bearer none"})).status_code == 401
        started = await http.post("/llm/v1/runs", json={"model": "parrot", "input": "Pieces of eight!"})
        events = await http.get(started.json()["events_url"], params={"format": "text"})
        assert events.text == "You have said: Pieces of eight! "
        ended = (await http.get(started.headers["location"])).json()
        assert (ended["status"], ended["output"]) == ("completed", events.text)
        await a_parrot_in_a_room(url)
        if shutil.which("curl") is not None:
            code, out, _ = await run(["sh", "-c", put(curl, {"http://127.0.0.1:8000": url})], url)
            assert (code, out) == (0, events.text)


async def a_parrot_in_a_room(url: str) -> None:
    """A room below the path, on the WebSocket of a server that is not Headwater's own."""
    address = f"{url.replace('http', 'ws')}/llm/v1/rooms/deck/ws"
    async with connect(address, additional_headers={"Authorization": "Bearer a-long-secret"}, proxy=None) as socket:
        await socket.send('{"type": "join", "name": "Silver"}')
        await socket.send('{"type": "message", "client_id": "1", "text": "Ahoy!", "mentions": ["parrot"]}')
        while (push := json.loads(await socket.recv()))["type"] != "end":
            pass
    assert (push["status"], "Ahoy!" in push["text"]) == ("completed", True)
