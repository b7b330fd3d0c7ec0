"""Pure ASGI middleware. It looks at a response's start and never at its body."""

import logging
import random
import re
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from headwater.access import rate_headers
from headwater.web.auth import RATES
from headwater.web.refusals import on_crash

log = logging.getLogger("headwater.web")

# What a proxy may hand on as a request's id: nothing that could break a log line.
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_SECURITY = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
)


class ResponseHead:
    """Names each request, says how long its answer took to begin, and sets the security headers.

    What no one foresaw is answered here, too: within CORS, so that a page may read the answer.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        head = _Head(scope, send)
        try:
            await self.app(scope, receive, head.send)
        except Exception:
            if head.sent:
                raise
            log.exception("%s %s failed", scope["method"], scope["path"])
            response = on_crash(scope)
            await response(scope, receive, head.send)


class _Head:
    """One response's."""

    __slots__ = ("_began", "_id", "_scope", "_send", "sent")  # one for each of thousands of open streams

    def __init__(self, scope: Scope, send: Send) -> None:
        self.sent = False
        self._scope = scope
        self._send = send
        self._began = time.perf_counter()
        self._id = _request_id(scope)

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.sent = True
            timing = b"app;dur=%.1f" % ((time.perf_counter() - self._began) * 1000)
            ours = [(b"x-request-id", self._id), (b"server-timing", timing), *_SECURITY]
            # A refusal says of its own limit what is left; it may have been another than that of requests.
            if (rates := self._scope.get(RATES)) is not None and message["status"] != 429:
                ours += [(name.lower().encode(), value.encode()) for name, value in rate_headers(rates).items()]
            message["headers"] = [*message.get("headers", ()), *ours]
        await self._send(message)


def _request_id(scope: Scope) -> bytes:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            given: bytes = value
            return given
    return b"%016x" % random.getrandbits(64)  # it is for finding a log line, not a secret
