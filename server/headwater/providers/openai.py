"""Any server that speaks OpenAI's chat completions, as a provider."""

from collections.abc import Mapping
from typing import Unpack

import msgspec
from msgspec import Struct

from headwater.core.run import RunRequest
from headwater.http_client import ConnectFailed, ConnectionCut, HttpClient
from headwater.providers.base import ProviderError
from headwater.providers.openai_request import TokenLimitField, request_body
from headwater.providers.openai_stream import ChatStream
from headwater.providers.upstream import UpstreamOptions, UpstreamProvider, bearer, lowered, scrubber
from headwater.providers.upstream_errors import body_message

# The largest routers list some hundreds of models, a kilobyte each.
MODELS_BYTES_MAX = 8 * 1024 * 1024


class OpenAIProvider(UpstreamProvider):
    """One model of one server. `base_url` ends before `/chat/completions`.

    `token_limit_field` is what the server calls the limit of output tokens. All know `max_tokens` but OpenAI's newer
    models, which refuse it with a clear 400; `max_completion_tokens` is silently ignored by many others, and an answer
    without its limit costs money. `include_usage=False` is for old servers that refuse `stream_options`.
    """

    def __init__(
        self,
        client: HttpClient,
        *,
        base_url: str,
        model: str,
        token_limit_field: TokenLimitField = "max_tokens",
        include_usage: bool = True,
        **options: Unpack[UpstreamOptions],
    ) -> None:
        url = f"{base_url.rstrip('/')}/chat/completions"
        super().__init__(client, url=url, model=model, own_headers=bearer(options.get("api_key")), **options)
        self._token_limit_field: TokenLimitField = token_limit_field
        self._include_usage = include_usage

    def _body(self, request: RunRequest) -> bytes:
        return request_body(
            request,
            model=self.model,
            token_limit_field=self._token_limit_field,
            include_usage=self._include_usage,
        )

    def _reader(self, media_type: str) -> ChatStream:
        return ChatStream(self._scrub, promised=media_type == "text/event-stream")


async def list_models(
    client: HttpClient, base_url: str, api_key: str | None = None, headers: Mapping[str, str] | None = None
) -> list[str]:
    """The ids that `GET /models` lists, each once, in the server's order. Raises ProviderError."""
    try:
        status, body = await client.get(
            f"{base_url.rstrip('/')}/models", headers=bearer(api_key) | lowered(headers), limit=MODELS_BYTES_MAX
        )
    except (ConnectFailed, ConnectionCut) as error:
        raise ProviderError("upstream_unreachable", f"the upstream cannot be reached: {error}") from error
    if status != 200:
        message = scrubber(api_key, headers)(body_message(body, ""))
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
