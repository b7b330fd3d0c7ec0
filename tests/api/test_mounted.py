"""Headwater inside another app: under a path, with the host's state, and with models given in code."""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

import headwater
from headwater.core.run import RunRequest
from headwater.errors import ConfigError
from tests.api.calls import DEADLINE_S, QUICK, messages, problem
from tests.support.sse import Follower
from tests.support.waiting import wait_until


async def shout(request: RunRequest) -> AsyncGenerator[Any, None]:
    """A model as a user writes one."""
    yield {"reasoning": "How loud? "}
    for word in str(request.input).split():
        await asyncio.sleep(0)
        yield f"{word.upper()} "


async def greet(request: Request) -> Response:
    return JSONResponse({"greeting": request.state.greeting})


async def visit(request: Request) -> Response:
    request.session["visits"] = request.session.get("visits", 0) + 1
    return JSONResponse(request.session)


@pytest.fixture(scope="module")
def host() -> Iterator[TestClient]:
    """A host application with Headwater under /llm."""
    config = headwater.Config(store="sqlite::memory:")
    inner = headwater.create_app(config, providers={"shout": shout}, environ={})

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[Mapping[str, object]]:
        async with headwater.lifespan(inner) as state:
            yield {**state, "greeting": "hello"}

    routes = [Route("/", greet), Route("/visit", visit), Mount("/llm", inner)]
    sessions = Middleware(SessionMiddleware, secret_key="the host's")
    with TestClient(Starlette(routes=routes, middleware=[sessions], lifespan=lifespan)) as client:
        yield client


def test_the_host_keeps_its_own_state(host: TestClient) -> None:
    assert host.get("/").json() == {"greeting": "hello"}


def test_urls_are_under_the_path(host: TestClient) -> None:
    response = host.post("/llm/v1/runs", json={"input": "hello", "extra": QUICK})
    run = response.json()
    assert run["events_url"] == f"/llm/v1/runs/{run['id']}/events"
    assert run["cancel_url"] == f"/llm/v1/runs/{run['id']}/cancel"
    assert response.headers["location"] == response.headers["content-location"] == run["url"]
    assert host.get("/llm/v1/runs").json()["data"][0]["url"] == run["url"]
    assert host.get(run["url"]).json()["events_url"] == run["events_url"]
    assert host.post(run["cancel_url"]).json()["id"] == run["id"]
    assert host.delete(run["url"]).status_code == 204


def test_a_rooms_urls_are_under_the_path_too(host: TestClient) -> None:
    response = host.put("/llm/v1/rooms/lobby", json={})
    room = response.json()
    assert response.headers["location"] == "/llm/v1/rooms/lobby"
    urls = [room[name] for name in ("events_url", "messages_url", "socket_url")]
    assert urls == [f"/llm/v1/rooms/lobby/{name}" for name in ("events", "messages", "ws")]
    assert host.get("/llm/v1/rooms").json()["data"] == [room]
    said = host.post(room["messages_url"], json={"text": "hello"}).json()
    assert host.get(room["messages_url"]).json()["data"] == [said]
    assert host.head(room["events_url"]).status_code == 200


def test_a_room_is_heard_under_a_server_that_only_knows_asgi(host: TestClient) -> None:
    room = host.put("/llm/v1/rooms/heard", json={}).json()
    scope: dict[str, Any] = {"type": "http", "method": "GET", "path": room["events_url"], "root_path": ""}
    scope |= {"query_string": b"", "headers": [], "state": host.app_state}
    heard = bytearray()

    async def listen() -> None:
        over = asyncio.Event()

        async def receive() -> Any:
            await over.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            heard.extend(message.get("body", b""))
            if b"event: message" in heard:
                over.set()

        await host.app(scope, receive, send)

    assert host.portal is not None
    listening = host.portal.start_task_soon(listen)
    wait_until(lambda: b"event: joined" in heard, what="it listens")
    said = host.post(room["messages_url"], json={"text": "hello"}).json()
    listening.result(DEADLINE_S)
    (message,) = [event for event in messages(heard.decode()) if event.event == "message"]
    assert message.json == {"type": "message", **said}


def test_a_function_given_in_code_is_a_model(host: TestClient) -> None:
    response = host.post("/llm/v1/runs", json={"input": "be quiet please", "model": "shout", "stream": True})
    follower = Follower()
    for event in messages(response.text):
        follower.take(event)
    assert follower.parts == [{"reasoning": "How loud? "}, {"text": "BE QUIET PLEASE "}]
    run = host.get(response.headers["location"]).json()
    assert (run["status"], run["output"], run["model"]) == ("completed", "BE QUIET PLEASE ", "shout")


def test_every_format_works_under_a_server_that_only_knows_asgi(host: TestClient) -> None:
    body = {"input": "one two", "model": "shout"}
    assert host.post("/llm/v1/runs?format=text", json=body).text == "ONE TWO "
    lines = host.post("/llm/v1/runs?format=ndjson", json=body).text.splitlines()
    assert json.loads(lines[-1])["status"] == "completed"


def test_refusals_are_problem_documents_there_too(host: TestClient) -> None:
    problem(host.get("/llm/nope"), 404, "not_found")
    problem(host.get("/llm/v1/runs/run_nope"), 404, "unknown_run")
    response = host.put("/llm/v1/runs")
    problem(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "GET, HEAD, POST"
    detail = problem(host.post("/llm/v1/runs", json={"input": "a", "model": "whisper"}), 404, "unknown_model")["detail"]
    assert detail == "There is no model 'whisper' here. Known are shout, demo."


def test_the_page_and_its_files_are_under_the_path(host: TestClient) -> None:
    for path in ("/llm/", "/llm/rooms", "/llm/rooms/lobby", "/llm/board"):
        page = host.get(path).text
        assert 'data-root="/llm"' in page
        links = re.findall(r'(?:href|src|action)="(/[^"]*)"', page)
        assert links and all(link.startswith("/llm/") for link in links)
        assert {host.get(link).status_code for link in links if "/static/" in link} == {200}


def test_a_guests_name_leaves_the_hosts_session_alone(host: TestClient) -> None:
    host.get("/visit")
    form = {"name": "Zoe", "room": "lobby"}
    answer = host.post("/llm/guest", data=form, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/llm/rooms/lobby")
    assert "path=/llm;" in answer.headers["set-cookie"]
    assert 'data-guest="Zoe"' in host.get("/llm/rooms/lobby").text
    assert host.get("/visit").json() == {"visits": 2}


def test_a_function_that_is_no_generator_is_refused_at_once() -> None:
    async def whole(request: RunRequest) -> str:
        return "all at once"

    providers: dict[str, Any] = {"whole": whole}
    with pytest.raises(ConfigError, match="whole must be an async generator function"):
        headwater.create_app(headwater.Config(store="sqlite::memory:"), providers=providers, environ={})
