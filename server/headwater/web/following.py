"""A run that is started and followed on one connection: to its first token, to its end, or until the caller leaves."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Literal, TypeVar

from starlette.background import BackgroundTask
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from headwater.access.secrets import not_valid
from headwater.core.position import START
from headwater.core.run import Run, RunRequest
from headwater.errors import BadRequest, Draining, HeadwaterError
from headwater.formats.base import Format
from headwater.hub import Cursor
from headwater.runs import Answer
from headwater.state import AppState
from headwater.web.auth import principal_of
from headwater.web.bad_ends import error_of
from headwater.web.connection import EXTENSION, Connection
from headwater.web.stream import LogResponse, draw_retry_ms, watch
from headwater.web.visit import Visit

OnDisconnect = Literal["cancel", "continue"]
ON_DISCONNECT: Final = "Headwater-On-Disconnect"

Result = TypeVar("Result")


def on_disconnect(request: Request[AppState], default: OnDisconnect) -> OnDisconnect:
    """What shall become of the run once its caller has left. Raises BadRequest."""
    match request.headers.get(ON_DISCONNECT):
        case None:
            return default
        case "cancel":
            return "cancel"
        case "continue":
            return "continue"
        case other:
            raise BadRequest(f"{ON_DISCONNECT} must be cancel or continue, not {other[:32]!r}.", field=ON_DISCONNECT)


class Started:
    """A run that this request started, or that its key had started before, and the place of its caller. Close it."""

    def __init__(
        self,
        request: Request[AppState],
        run: Run,
        *,
        fresh: bool,
        visit: Visit,
        on_leave: OnDisconnect,
        may_ask_again: bool,
    ) -> None:
        self.run = run
        self.headers = started_headers(request, run, fresh=fresh)
        self._request = request
        self._fresh = fresh
        self._visit = visit
        self._on_leave = on_leave
        self._may_ask_again = may_ask_again
        self._cursor: Cursor | None = None

    @classmethod
    async def begin(
        cls, request: Request[AppState], body: RunRequest, key: str | None, on_leave: OnDisconnect
    ) -> "Started":
        """Start the run, for one who waits for it. Raises what `Runs.start` does."""
        state = request.state
        state["hub"].check_room()  # before there is a run that would be started for nobody
        visit = await Visit.begin(request)
        try:
            created = await state["runs"].start(principal_of(request), body, key, awaited=True)
        except BaseException:
            visit.close()
            raise
        fresh, again = created.fresh, key is not None
        return cls(request, created.run, fresh=fresh, visit=visit, on_leave=on_leave, may_ask_again=again)

    def _wake(self) -> None:
        """A background task would wait for the end of the response that is to tell of it."""
        if self._fresh:
            self._request.state["executor"].wake(self.run.id)

    async def follow(self, form: type[Format], *, gated: bool) -> LogResponse:
        """The events as the response; a `gated` one waits a while for the first of them.

        Raises, where the run ended with nothing said, what it ended with.
        """
        try:
            try:
                start = START if self._fresh else None
                cursor = await self._request.state["hub"].follow(self.run, form, start, fresh=self._fresh)
                self._cursor = cursor
            finally:
                self._wake()
            if gated:
                await self._first_word(cursor)
        except BaseException as error:
            self._fail(error)
            raise
        state = self._request.state
        self._visit.follow(self._request, cursor)
        task = BackgroundTask(state["background"].remove_expired)
        retry_ms = draw_retry_ms(state["config"])
        response = LogResponse(cursor, retry_ms, self.headers, task, self._visit.close)
        if self._on_leave == "cancel":
            response.on_close = self._parting(response, cursor)
        return response

    async def _first_word(self, cursor: Cursor) -> None:
        state = self._request.state
        await self._awaited(state["hub"].wait_to_begin(cursor, state["config"].first_byte_s))
        if cursor.has_ended:
            _check(await state["runs"].read(principal_of(self._request), self.run.id), whole=False)
        state["hub"].check_stays()

    def _parting(self, response: LogResponse, cursor: Cursor) -> Callable[[], None]:
        def on_close() -> None:
            self._visit.close()
            if not response.complete:
                # A client that we let go has not hung up: it may be back, with its position.
                self._leave(may_return=cursor.gone_because not in (None, "left"))

        return on_close

    def _leave(self, *, may_return: bool = False) -> None:
        self._request.state["departures"].leave(self.run.id, may_return=may_return or self._may_ask_again)

    async def answer(self, *, whole: bool) -> Answer:
        """The answer, once it has ended. Raises what it ended with, where nothing was said, or not the `whole`."""
        state = self._request.state
        try:
            self._wake()
            if not await self._awaited(state["hub"].wait_for_end(self.run, None)):
                raise Draining("This worker shut down before the answer was finished.", retry_after=1)
            answer = await state["runs"].read(principal_of(self._request), self.run.id)
            _check(answer, whole=whole)
        except BaseException as error:
            self._fail(error)
            raise
        self._visit.close()
        return answer

    async def _awaited(self, awaitable: Awaitable[Result]) -> Result:
        return await while_there(self._request, while_admitted(self._request, awaitable))

    def _fail(self, error: BaseException) -> None:
        """There will be no answer: nobody waits for the run any more."""
        if isinstance(error, HeadwaterError):
            error.headers |= self.headers
        if self._cursor is not None:
            self._cursor.close()
        self._visit.close()
        if self._on_leave == "cancel":
            self._leave()


def _check(answer: Answer, *, whole: bool) -> None:
    """Raises what a run ended badly with, if it said nothing, or was to be `whole`."""
    end = answer.contents.end
    if end is not None and (whole or not answer.contents.parts) and (error := error_of(end)) is not None:
        raise error


async def while_there(request: Request[AppState], awaitable: Awaitable[Result]) -> Result:
    """What it gives, unless the caller leaves before; then it is cancelled. Raises ClientDisconnect."""
    return await _before(_left(request), awaitable, ClientDisconnect)


async def while_admitted(request: Request[AppState], awaitable: Awaitable[Result]) -> Result:
    """The same, unless the caller's credential is over before. Raises Unauthenticated."""
    return await _before(_refused(request), awaitable, not_valid)


async def _before(ending: Awaitable[None], awaitable: Awaitable[Result], too_late: Callable[[], Exception]) -> Result:
    waiting = asyncio.ensure_future(awaitable)
    ended = asyncio.ensure_future(ending)
    try:
        await asyncio.wait((waiting, ended), return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            raise too_late()
        return waiting.result()
    finally:
        waiting.cancel()
        ended.cancel()
        # What they held is let go before anything else is decided, and how they failed is of no interest any more.
        await asyncio.gather(waiting, ended, return_exceptions=True)


async def _refused(request: Request[AppState]) -> None:
    """Return once the caller's credential has expired or been revoked."""
    over = asyncio.Event()
    watching = request.state["access"].watch(principal_of(request), over.set)
    try:
        await over.wait()
    finally:
        watching.close()


async def _left(request: Request[AppState]) -> None:
    """Return once the caller has gone. The body must have been read."""
    connection: Connection | None = request.scope.get("extensions", {}).get(EXTENSION)
    if connection is None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        return
    gone = asyncio.Event()
    watch(connection, gone.set)
    try:
        await gone.wait()
        connection.abort()  # where requests are pipelined, uvicorn tells only the newest that the client is gone
    finally:
        connection.on_lost = None


def started_headers(request: Request[AppState], run: Run, *, fresh: bool) -> dict[str, str]:
    """The headers that name a run and where it is."""
    url = f"{root_of(request)}/v1/runs/{run.id}"
    headers = {"Headwater-Run": run.id, "Content-Location": url, "Location": url}
    return headers if fresh else headers | {"Idempotent-Replayed": "true"}


def root_of(request: Request[AppState]) -> str:
    """The path that this app is mounted under; empty for none."""
    root: str = request.scope.get("root_path", "")
    return root.rstrip("/")


def gone() -> Response:
    """For a caller who has left: it is written to nobody."""
    return Response(status_code=499)
