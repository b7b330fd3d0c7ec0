"""The usual fan-out: an asyncio.Queue for each subscriber, sent through sse-starlette.

It speaks as much of Headwater's wire as the load needs, so both send the same bytes per event. A token's JSON is made
once for all subscribers; there is no log, and whoever comes late has missed what was before.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict

import httpx
from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

Item = dict[str, str]


class Run:
    """One answer and who listens to it."""

    def __init__(self, prompt: str) -> None:
        self.prompt = prompt
        self.output: list[str] = []
        self.queues: set[asyncio.Queue[Item]] = set()

    def publish(self, item: Item) -> None:
        for queue in self.queues:
            queue.put_nowait(item)

    async def produce(self, client: httpx.AsyncClient) -> None:
        body = {"model": "bench", "stream": True, "messages": [{"role": "user", "content": self.prompt}]}
        async with client.stream("POST", "/chat/completions", json=body) as answer:
            async for line in answer.aiter_lines():
                if not line.startswith("data: {"):
                    continue
                text = json.loads(line[6:])["choices"][0]["delta"].get("content")
                if text:
                    seq = len(self.output) + 1
                    self.output.append(text)
                    data = json.dumps({"after": seq - 1, "seq": seq, "text": text}, separators=(",", ":"))
                    self.publish({"event": "delta", "id": f"{seq}-1", "data": data})
        seq = len(self.output)
        self.publish({"event": "end", "data": json.dumps({"after": seq, "seq": seq + 1, "status": "completed"})})

    async def follow(self) -> AsyncIterator[Item]:
        queue: asyncio.Queue[Item] = asyncio.Queue()
        self.queues.add(queue)
        try:
            yield {"event": "run", "data": "{}"}
            while True:
                item = await queue.get()
                yield item
                if item["event"] == "end":
                    return
        finally:
            self.queues.discard(queue)


class State(TypedDict):
    client: httpx.AsyncClient
    runs: dict[str, Run]


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[State]:
    async with httpx.AsyncClient(base_url=os.environ["BENCH_UPSTREAM"], timeout=None) as client:
        yield {"client": client, "runs": {}}


async def start(request: Request[State]) -> Response:
    runs = request.state["runs"]
    run = Run((await request.json())["input"])
    run_id = f"run_{len(runs)}"
    runs[run_id] = run
    background = BackgroundTask(run.produce, request.state["client"])
    return JSONResponse({"id": run_id}, 202, background=background)


async def show(request: Request[State]) -> Response:
    run = request.state["runs"][request.path_params["run"]]
    return JSONResponse({"output": "".join(run.output)})


async def events(request: Request[State]) -> Response:
    return EventSourceResponse(request.state["runs"][request.path_params["run"]].follow())


async def ready(_: Request[State]) -> Response:
    return Response()


app = Starlette(
    routes=[
        Route("/v1/runs", start, methods=["POST"]),
        Route("/v1/runs/{run}", show),
        Route("/v1/runs/{run}/events", events),
        Route("/readyz", ready),
    ],
    lifespan=lifespan,
)
