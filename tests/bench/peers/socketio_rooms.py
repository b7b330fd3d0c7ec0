"""The usual chat room: python-socketio with its Redis manager, which tells the other workers what is said.

What it sends has the fields of Headwater's message; there is no log, and whoever was away has missed what was said.
"""

import os
import time
from itertools import count
from typing import Any, cast

import socketio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

ROOM = "bench"

_socketio: Any = socketio  # it ships no types
sio = _socketio.AsyncServer(
    async_mode="asgi",
    client_manager=_socketio.AsyncRedisManager(os.environ["BENCH_REDIS"]),
    transports=["websocket"],
)
numbers = count(1)


@sio.event  # type: ignore[untyped-decorator]
async def connect(sid: str, environ: dict[str, Any], auth: dict[str, str]) -> None:
    await sio.save_session(sid, {"name": auth["name"]})
    await sio.enter_room(sid, ROOM)


@sio.event  # type: ignore[untyped-decorator]
async def message(sid: str, said: dict[str, str]) -> None:
    name = (await sio.get_session(sid))["name"]
    message_id = f"msg_{next(numbers):020}"
    told = {"id": message_id, "by": f"guest:{name}", "name": name, "at": time.time(), **said}
    await sio.emit("message", told, room=ROOM)


async def ready(_: Request) -> Response:
    return Response()


app = cast(ASGIApp, _socketio.ASGIApp(sio, other_asgi_app=Starlette(routes=[Route("/readyz", ready)])))
