"""Anthropic's messages, or any server that speaks them, as a provider."""

from typing import Unpack

from headwater.core.run import RunRequest
from headwater.http_client import HttpClient
from headwater.providers.anthropic_request import messages_body
from headwater.providers.anthropic_stream import MessageStream
from headwater.providers.continuation import Overlap
from headwater.providers.request_parts import encoded
from headwater.providers.upstream import UpstreamOptions, UpstreamProvider, endpoint

# The version of the protocol that is spoken here; the server keeps it as it is.
VERSION = "2023-06-01"
# The protocol demands a limit. All models since Claude 3.5 take this one, and it is some 6,000 words: a long answer.
MAX_OUTPUT_TOKENS = 8_192


class AnthropicProvider(UpstreamProvider):
    """One model of one server. `base_url` is the server's address, with or without `/v1`.

    `max_output_tokens` is for requests that name no limit.
    """

    def __init__(
        self,
        client: HttpClient,
        *,
        base_url: str,
        model: str,
        max_output_tokens: int = MAX_OUTPUT_TOKENS,
        **options: Unpack[UpstreamOptions],
    ) -> None:
        api_key = options.get("api_key")
        own_headers = {"anthropic-version": VERSION} | ({"x-api-key": api_key} if api_key else {})
        url = endpoint(base_url, "/v1", "/messages")
        # The newer models answer it with a 400, which is no harm.
        options.setdefault("continuation", "trailing")
        super().__init__(client, url=url, model=model, own_headers=own_headers, **options)
        self._max_output_tokens = max_output_tokens

    def check(self, request: RunRequest) -> None:
        self._body(request)

    def _body(self, request: RunRequest) -> bytes:
        return encoded(messages_body(request, model=self.model, max_tokens=self._max_output_tokens))

    def _limit(self, request: RunRequest) -> int:
        return request.max_output_tokens or self._max_output_tokens

    def _overlap(self, written: str) -> tuple[str, Overlap]:
        # It refuses a beginning that ends in white space, and goes on with that space if it is left out.
        text = written.rstrip()
        return text, Overlap(written[len(text) :], whole=False)

    def _reader(self, media_type: str) -> MessageStream:
        return MessageStream(self._scrub, promised=media_type == "text/event-stream")
