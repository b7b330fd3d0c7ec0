"""Asking an upstream server over HTTP: tries, refusals, cuts and the end, the same for every wire."""

import asyncio
import random
import time
from abc import abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from typing import TypedDict

from msgspec import Struct
from msgspec.structs import replace

from headwater.core.events import Usage
from headwater.core.lifecycle import Failed, Incomplete
from headwater.core.run import RunRequest
from headwater.core.sse import FRAME_BYTES_MAX
from headwater.http_client import CONNECT_TIMEOUT_S, ConnectFailed, ConnectionCut, HttpClient, Response
from headwater.providers.answer import AnswerStream
from headwater.providers.base import Finish, Provider, ProviderError, Step, Written
from headwater.providers.continuation import Continuation, Overlap, can_continue, continued, left_of_limits
from headwater.providers.retry import PASSING, RetryPolicy, retry_after_s
from headwater.providers.upstream_errors import Scrubber, body_message, error_code

# After the model has finished a server sends the usage at once. One that sends nothing more has finished as well.
AFTER_FINISH_S = 3.0
# The end of the body follows the protocol's within a packet, and read to there the connection serves the next request.
LINGER_S = 0.05
# The reason for a refusal is a short JSON object, sent with its status.
REFUSAL_BYTES_MAX = 64 * 1024
REFUSAL_S = 5.0


class UpstreamOptions(TypedDict, total=False):
    """What may be said of any upstream. Times are in seconds.

    `continuation` is how it goes on with an answer that was broken off.
    `headers` are added to every request. Before the first delta, a passing failure is tried again as `retries` says.
    Whoever waits for that delta bounds the whole.
    """

    api_key: str | None
    headers: Mapping[str, str] | None
    continuation: Continuation
    connect_timeout_s: float
    retries: RetryPolicy
    after_finish_s: float
    linger_s: float
    sleep: Callable[[float], Awaitable[object]]
    roll: Callable[[], float]


class _Failure(Struct, frozen=True):
    """Why one try came to nothing."""

    reason: Failed | Incomplete
    detail: str
    passing: bool
    usage: Usage | None = None
    status: int | None = None
    retry_after_s: float | None = None


class UpstreamProvider(Provider):
    """One model of one server, asked by a POST to `url`. A subclass says what is sent and how the answer is read."""

    def __init__(
        self,
        client: HttpClient,
        *,
        url: str,
        model: str,
        own_headers: Mapping[str, str],
        api_key: str | None = None,
        headers: Mapping[str, str] | None = None,
        continuation: Continuation = "none",
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        retries: RetryPolicy | None = None,
        after_finish_s: float = AFTER_FINISH_S,
        linger_s: float = LINGER_S,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        roll: Callable[[], float] = random.random,
    ) -> None:
        self.model = model
        self._client = client
        self._url = url
        self._headers = {"content-type": "application/json", **own_headers, **lowered(headers)}
        self._scrub = scrubber(api_key, headers)
        self._continuation = continuation
        self._connect_timeout_s = connect_timeout_s
        self._retries = retries or RetryPolicy()
        self._after_finish_s = after_finish_s
        self._linger_s = linger_s
        self._sleep = sleep
        self._roll = roll

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.model!r}>"

    @abstractmethod
    def _body(self, request: RunRequest) -> bytes:
        """The request as this upstream wants it, in JSON."""

    @abstractmethod
    def _reader(self, media_type: str) -> AnswerStream:
        """What reads an answer of this media type."""

    def _limit(self, request: RunRequest) -> int | None:
        """How many tokens an answer to `request` may have."""
        return request.max_output_tokens

    def _overlap(self, written: str) -> tuple[str, Overlap]:
        """The text to be gone on with, as this upstream takes it, and what may come again."""
        return written, Overlap(written if self._continuation == "prefix" else "", whole=True)

    async def generate(self, request: RunRequest) -> AsyncGenerator[list[Step], None]:
        body = self._body(request)
        tries = _Tries(self._retries, self._roll, self._sleep)
        while True:
            async with self._answer(body, tries) as response, aclosing(response.chunks()) as chunks:
                media_type = _media_type(response)
                stream = self._reader(media_type)
                cut: str | None = None
                try:
                    if media_type == "application/json":
                        if steps := await _read_whole(response, stream):
                            yield steps
                    else:
                        async for chunk in chunks:
                            if steps := stream.feed(chunk):
                                yield steps
                            if stream.settled:
                                break
                except ConnectionCut as error:
                    cut = str(error)
                if known := stream.known_finish():
                    yield [known]
                if steps := await self._rest(chunks, stream):
                    yield steps
                end = _end(stream, cut)
                if isinstance(end, Finish):
                    try:
                        yield [end]
                    finally:  # also for a caller that asks no further
                        await self._linger(chunks)
                    return
            await tries.failed(end)

    def continues(self, request: RunRequest) -> bool:
        return can_continue(request, self._continuation)

    async def generate_from(self, request: RunRequest, written: Written) -> AsyncGenerator[list[Step], None]:
        limit = self._limit(request)
        left = None if limit is None else limit - written.tokens
        extra = left_of_limits(request.extra, written.tokens)
        if extra is None or (left is not None and left <= 0):
            yield [Finish("length", Usage())]
            return
        text, overlap = self._overlap(written.text)
        asked = continued(replace(request, max_output_tokens=left, extra=extra or None), text, self._continuation)
        async with aclosing(self.generate(asked)) as answer:
            async for steps in answer:
                if steps := overlap.take(steps):
                    yield steps

    async def _rest(self, chunks: AsyncGenerator[bytes, None], stream: AnswerStream) -> list[Step]:
        """Read on for the usage, after which the stream is closed; what still came of deltas."""
        late: list[Step] = []
        if stream.awaits_usage():
            with suppress(TimeoutError, ConnectionCut):
                async with asyncio.timeout(self._after_finish_s):
                    async for chunk in chunks:
                        late += stream.feed(chunk)
                        if not stream.awaits_usage():
                            break
        return [*late, *stream.close()]

    async def _linger(self, chunks: AsyncGenerator[bytes, None]) -> None:
        """Read to the end of the body, if it is near."""
        with suppress(TimeoutError, ConnectionCut):
            async with asyncio.timeout(self._linger_s):
                async for _ in chunks:
                    pass

    @asynccontextmanager
    async def _answer(self, body: bytes, tries: "_Tries") -> AsyncIterator[Response]:
        """The answer of the first try that is not refused. Raises ProviderError when there is no use in another."""
        while True:
            async with AsyncExitStack() as stack:
                try:
                    response = await stack.enter_async_context(
                        self._client.stream(
                            self._url, headers=self._headers, body=body, connect_timeout_s=self._connect_timeout_s
                        )
                    )
                except ConnectFailed as error:
                    failure = _Failure("upstream_unreachable", f"the upstream cannot be reached: {error}", True)
                except ConnectionCut as error:
                    detail = f"the upstream broke the connection off before it answered: {error}"
                    failure = _Failure("upstream_unreachable", detail, True)
                else:
                    if response.status == 200:
                        yield response
                        return
                    failure = await self._refusal(response)
            await tries.failed(failure)

    async def _refusal(self, response: Response) -> _Failure:
        """What a status other than 200 means."""
        body = b""
        with suppress(TimeoutError, ConnectionCut):
            async with asyncio.timeout(REFUSAL_S):
                body = await response.read(REFUSAL_BYTES_MAX)
        message = self._scrub(body_message(body, _media_type(response)))
        detail = f"the upstream answered {response.status}" + (f": {message}" if message else "")
        # An account without money is a 429, too, and stays one.
        passing = response.status in PASSING and error_code(body) != "insufficient_quota"
        asked_s = retry_after_s(response.headers, time.time())
        if passing and asked_s:
            detail += f" (it asks to wait {asked_s:.0f} s)"
        return _Failure("upstream_error", detail, passing, status=response.status, retry_after_s=asked_s)


class _Tries:
    """How often one request was tried, and whether it is tried again."""

    def __init__(
        self, policy: RetryPolicy, roll: Callable[[], float], sleep: Callable[[float], Awaitable[object]]
    ) -> None:
        self._policy = policy
        self._roll = roll
        self._sleep = sleep
        self._failures = 0

    async def failed(self, failure: _Failure) -> None:
        """Wait for the next try. Raises ProviderError when there is no use in one."""
        self._failures += 1
        wait_s, tries = None, ""
        if failure.passing:
            wait_s = self._policy.wait_s(self._failures, self._roll(), failure.retry_after_s)
            tries = f" (tried {self._failures} times)" if self._failures > 1 else ""
        if wait_s is None:
            raise ProviderError(
                failure.reason,
                failure.detail + tries,
                failure.usage,
                status=failure.status,
                retry_after_s=failure.retry_after_s,
            )
        await self._sleep(wait_s)


def _end(stream: AnswerStream, cut: str | None) -> Finish | _Failure:
    """How the answer ended."""
    try:
        return stream.finish(cut)
    except ProviderError as error:
        return _Failure(error.reason, error.detail, stream.passing, error.usage)


async def _read_whole(response: Response, stream: AnswerStream) -> list[Step]:
    # One byte more than is taken, so that a larger body is seen to be one.
    return stream.feed_whole(await response.read(FRAME_BYTES_MAX + 1))


def endpoint(base_url: str, prefix: str, path: str) -> str:
    """Where to POST: `path` below `base_url`, which may end with the API's `prefix` or before it."""
    base_url = base_url.rstrip("/")
    return f"{base_url.removesuffix(prefix)}{prefix}{path}"


def bearer(api_key: str | None) -> dict[str, str]:
    """The header that says who asks."""
    return {"authorization": f"Bearer {api_key}"} if api_key else {}


def lowered(headers: Mapping[str, str] | None) -> dict[str, str]:
    """The same with their names in lower case, as the client wants them."""
    return {name.lower(): value for name, value in (headers or {}).items()}


def scrubber(api_key: str | None, headers: Mapping[str, str] | None) -> Scrubber:
    """What takes the secrets of a model out of whatever its upstream says."""
    return Scrubber([*([api_key] if api_key else []), *(headers or {}).values()])


def _media_type(response: Response) -> str:
    return response.headers.get("content-type", "").partition(";")[0].strip().lower()
