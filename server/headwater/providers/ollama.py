"""Ollama's own chat API, as a provider."""

from typing import Unpack

from headwater.core.run import RunRequest
from headwater.http_client import HttpClient
from headwater.providers.ollama_request import chat_body
from headwater.providers.ollama_stream import OllamaStream
from headwater.providers.request_parts import encoded
from headwater.providers.upstream import UpstreamOptions, UpstreamProvider, bearer, endpoint

_MEDIA_TYPES = ("application/x-ndjson", "application/json")


class OllamaProvider(UpstreamProvider):
    """One model of one server. `base_url` is the server's address, with or without `/api`."""

    def __init__(
        self,
        client: HttpClient,
        *,
        base_url: str,
        model: str,
        **options: Unpack[UpstreamOptions],
    ) -> None:
        url = endpoint(base_url, "/api", "/chat")
        options.setdefault("continuation", "trailing")
        super().__init__(client, url=url, model=model, own_headers=bearer(options.get("api_key")), **options)

    def check(self, request: RunRequest) -> None:
        self._body(request)

    def _body(self, request: RunRequest) -> bytes:
        return encoded(chat_body(request, model=self.model))

    def _reader(self, media_type: str) -> OllamaStream:
        return OllamaStream(self._scrub, promised=media_type in _MEDIA_TYPES)
