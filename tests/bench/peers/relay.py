"""The plain relay: Starlette and httpx, bytes passed through as they come. No log, no parsing, no second reader."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict

import httpx
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

# Twice the streams that the bench opens: the pool must not be what is measured.
CONNECTIONS_MAX = 1000


class State(TypedDict):
    client: httpx.AsyncClient


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[State]:
    limits = httpx.Limits(max_connections=CONNECTIONS_MAX, max_keepalive_connections=CONNECTIONS_MAX)
    async with httpx.AsyncClient(base_url=os.environ["BENCH_UPSTREAM"], limits=limits, timeout=None) as client:
        yield {"client": client}


async def relay(request: Request[State]) -> Response:
    client = request.state["client"]
    headers = {"content-type": "application/json"}
    upstream = client.build_request("POST", "/chat/completions", content=await request.body(), headers=headers)
    answer = await client.send(upstream, stream=True)
    return StreamingResponse(
        answer.aiter_raw(), answer.status_code, media_type="text/event-stream", background=BackgroundTask(answer.aclose)
    )


async def ready(_: Request[State]) -> Response:
    return Response()


app = Starlette(
    routes=[Route("/v1/chat/completions", relay, methods=["POST"]), Route("/readyz", ready)], lifespan=lifespan
)
