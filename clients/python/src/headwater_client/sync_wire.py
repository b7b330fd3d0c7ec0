"""Performs steps over httpx, waiting in the caller's thread."""

import threading
import time
from collections.abc import Callable, Iterator

import httpx

from headwater_client import transport
from headwater_client.core.steps import Close, Lost, Open, Read, Reply, Send, Sleep, Step, Tell, Token
from headwater_client.runs import Notice

OnStatus = Callable[[Notice], object]


class Tokens:
    """The credential, and whoever gives newer ones."""

    def __init__(self, source: str | Callable[[], str] | None) -> None:
        self._source = source
        self._held = source if isinstance(source, str) else None
        self._lock = threading.Lock()

    def get(self, rejected: str | None) -> str | None:
        """The one that there is, unless it is the one that was rejected and a newer one can be had."""
        if not callable(self._source):
            return self._held
        with self._lock:
            if self._held is None or self._held == rejected:
                self._held = self._source()
            return self._held


class Wire:
    """Performs steps."""

    def __init__(
        self, url: str, http: httpx.Client, tokens: Tokens, silence_s: float, on_status: OnStatus | None
    ) -> None:
        self._url = url
        self._http = http
        self._tokens = tokens
        self._silence_s = silence_s
        self._on_status = on_status
        self._response: httpx.Response | None = None
        self._body: Iterator[bytes] = iter(())

    def perform(self, step: Step) -> object:
        """What comes of it."""
        try:
            match step:
                case Send(request):
                    response = self._http.request(
                        **transport.arguments(self._url, request), timeout=transport.call_timeout()
                    )
                    return transport.reply_of(response, response.content)
                case Open():
                    return self._open(step)
                case Read():
                    return next(self._body, b"")
        except (httpx.TransportError, httpx.DecodingError) as error:
            self.close()
            return transport.lost(error)
        match step:
            case Close():
                self.close()
            case Sleep(seconds):
                time.sleep(seconds)
            case Token(rejected):
                return self._tokens.get(rejected)
            case Tell(notice) if self._on_status is not None:
                self._on_status(notice)
        return None

    def close(self) -> None:
        """Let go of what is open."""
        response, self._response = self._response, None
        self._body = iter(())
        if response is not None:
            response.close()

    def _open(self, step: Open) -> Reply | Lost:
        self.close()
        request = self._http.build_request(
            **transport.arguments(self._url, step.request), timeout=transport.stream_timeout(self._silence_s)
        )
        self._response = response = self._http.send(request, stream=True)
        reply = transport.reply_of(response)
        if reply.streams:
            self._body = response.iter_bytes()
            return reply
        body = b""
        for piece in response.iter_bytes():
            body += piece
            if len(body) > transport.REFUSAL_BYTES_MAX:
                break
        self.close()
        return transport.reply_of(response, body)
