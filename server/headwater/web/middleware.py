"""Pure ASGI middleware. It looks at a response's start and never at its body."""

import logging
import random
import re
import time

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from headwater.access import rate_headers
from headwater.web.auth import RATES
from headwater.web.render import on_crash

log = logging.getLogger("headwater.web")

# What a proxy may hand on as a request's id: nothing that could break a log line.
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_SECURITY = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
)


class ResponseHead:
    """Names each request, says how long its answer took to begin, and sets the security headers."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = _request_id(scope)

        async def send_with_head(message: Message) -> None:
            if message["type"] == "http.response.start":
                timing = b"app;dur=%.1f" % ((time.perf_counter() - started) * 1000)
                ours = [(b"x-request-id", request_id), (b"server-timing", timing), *_SECURITY]
                if (rates := scope.get(RATES)) is not None:
                    ours += [(name.lower().encode(), value.encode()) for name, value in rate_headers(rates).items()]
                message["headers"] = [*message.get("headers", ()), *ours]
            await send(message)

        await self.app(scope, receive, send_with_head)


class Crashes:
    """Answers what no one foresaw from within, so that the head of the answer is like any other's."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = False

        async def send_and_note(message: Message) -> None:
            nonlocal begun
            begun = begun or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, send_and_note)
        except Exception as error:
            if begun:
                raise
            log.exception("%s %s failed", scope["method"], scope["path"])
            response = await on_crash(Request(scope), error)
            await response(scope, receive, send)


def _request_id(scope: Scope) -> bytes:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            given: bytes = value
            return given
    return b"%016x" % random.getrandbits(64)  # it is for finding a log line, not a secret
