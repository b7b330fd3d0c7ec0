"""Any server that speaks OpenAI's chat completions, as a provider."""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from itertools import count

import msgspec
from msgspec import Struct

from headwater.core.lifecycle import Failed
from headwater.core.run import RunRequest
from headwater.core.sse import FRAME_BYTES_MAX
from headwater.http_client import CONNECT_TIMEOUT_S, ConnectFailed, ConnectionCut, HttpClient, Response
from headwater.providers.base import Provider, ProviderError, Step
from headwater.providers.openai_errors import Scrubber, body_message, error_code
from headwater.providers.openai_request import TokenLimitField, request_body
from headwater.providers.openai_stream import ChatStream
from headwater.providers.retry import PASSING, RetryPolicy, retry_after_s

# After its finish_reason a server sends the usage at once. One that does neither that nor [DONE] has finished as well.
AFTER_FINISH_S = 3.0
# The end of the body follows [DONE] within a packet, and read to there the connection serves the next request, too.
LINGER_S = 0.05
# The reason for a refusal is a short JSON object, sent with its status.
REFUSAL_BYTES_MAX = 64 * 1024
REFUSAL_S = 5.0
# The largest routers list some hundreds of models, a kilobyte each.
MODELS_BYTES_MAX = 8 * 1024 * 1024


class _Failure(Struct, frozen=True):
    """Why one try came to nothing."""

    reason: Failed
    detail: str
    passing: bool
    retry_after_s: float | None = None


class OpenAIProvider(Provider):
    """One model of one server. `base_url` ends before `/chat/completions`; `headers` are added to every request.

    `token_limit_field` is what the server calls the limit of output tokens. All know `max_tokens` but OpenAI's newer
    models, which refuse it with a clear 400; `max_completion_tokens` is silently ignored by many others, and an answer
    without its limit costs money. `include_usage=False` is for old servers that refuse `stream_options`.

    Before the first delta, a passing failure is tried again as `retries` says. Whoever waits for that delta bounds
    the whole.
    """

    def __init__(
        self,
        client: HttpClient,
        *,
        base_url: str,
        model: str,
        api_key: str | None = None,
        headers: Mapping[str, str] | None = None,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        token_limit_field: TokenLimitField = "max_tokens",
        include_usage: bool = True,
        retries: RetryPolicy | None = None,
        after_finish_s: float = AFTER_FINISH_S,
        linger_s: float = LINGER_S,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        roll: Callable[[], float] = random.random,
    ) -> None:
        self.model = model
        self._client = client
        self._url = f"{base_url.rstrip('/')}/chat/completions"
        self._headers = _headers(api_key, headers) | {"content-type": "application/json"}
        self._scrub = _scrubber(api_key, headers)
        self._connect_timeout_s = connect_timeout_s
        self._token_limit_field: TokenLimitField = token_limit_field
        self._include_usage = include_usage
        self._retries = retries or RetryPolicy()
        self._after_finish_s = after_finish_s
        self._linger_s = linger_s
        self._sleep = sleep
        self._roll = roll

    def __repr__(self) -> str:
        return f"<OpenAIProvider {self.model!r}>"

    async def generate(self, request: RunRequest) -> AsyncGenerator[list[Step], None]:
        body = request_body(
            request,
            model=self.model,
            token_limit_field=self._token_limit_field,
            include_usage=self._include_usage,
        )
        async with self._answer(body) as response, aclosing(response.chunks()) as chunks:
            media_type = _media_type(response)
            stream = ChatStream(self._scrub, event_stream=media_type == "text/event-stream")
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
            if steps := await self._rest(chunks, stream):
                yield steps
            finish = stream.finish(cut)
            try:
                yield [finish]
            finally:  # also for a caller that asks no further
                await self._linger(chunks)

    async def _rest(self, chunks: AsyncGenerator[bytes, None], stream: ChatStream) -> list[Step]:
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
    async def _answer(self, body: bytes) -> AsyncIterator[Response]:
        """The answer of the first try that is not refused. Raises ProviderError when there is no use in another."""
        for failures in count(1):
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
            wait_s = self._retries.wait_s(failures, self._roll(), failure.retry_after_s) if failure.passing else None
            if wait_s is None:
                tries = f" (tried {failures} times)" if failures > 1 else ""
                raise ProviderError(failure.reason, failure.detail + tries)
            await self._sleep(wait_s)

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
        return _Failure("upstream_error", detail, passing, asked_s)


async def list_models(
    client: HttpClient, base_url: str, api_key: str | None = None, headers: Mapping[str, str] | None = None
) -> list[str]:
    """The ids that `GET /models` lists, each once, in the server's order. Raises ProviderError."""
    try:
        status, body = await client.get(
            f"{base_url.rstrip('/')}/models", headers=_headers(api_key, headers), limit=MODELS_BYTES_MAX
        )
    except (ConnectFailed, ConnectionCut) as error:
        raise ProviderError("upstream_unreachable", f"the upstream cannot be reached: {error}") from error
    if status != 200:
        message = _scrubber(api_key, headers)(body_message(body, ""))
        raise ProviderError("upstream_error", f"the upstream answered {status}" + (f": {message}" if message else ""))
    try:
        listed = msgspec.json.decode(body, type=_Models)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        raise ProviderError("bad_upstream_data", "the upstream's list of models is not in OpenAI's shape") from None
    return list(dict.fromkeys(model.id for model in listed.data))


class _Model(Struct):
    id: str


class _Models(Struct):
    data: list[_Model]


async def _read_whole(response: Response, stream: ChatStream) -> list[Step]:
    # One byte more than is taken, so that a larger body is seen to be one.
    return stream.feed_whole(await response.read(FRAME_BYTES_MAX + 1))


def _headers(api_key: str | None, headers: Mapping[str, str] | None) -> dict[str, str]:
    own = {"authorization": f"Bearer {api_key}"} if api_key else {}
    return own | {name.lower(): value for name, value in (headers or {}).items()}


def _scrubber(api_key: str | None, headers: Mapping[str, str] | None) -> Scrubber:
    return Scrubber([*([api_key] if api_key else []), *(headers or {}).values()])


def _media_type(response: Response) -> str:
    return response.headers.get("content-type", "").partition(";")[0].strip().lower()
