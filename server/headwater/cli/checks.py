"""What `headwater doctor` looks at."""

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self
from urllib.parse import urlsplit

from headwater.cli.remote import Server, reason
from headwater_client import Buffered, Client, Delta, End, HeadwaterError, Run, RunFields, TooManyRetries, Unauthorized

# A page of someone else's could go on for ever.
_BODY_BYTES = 4_194_304
_ANSWER_S = 10.0
# Some seconds of most models: enough to see whether words come one by one, and nearly for nothing.
_TOKENS = 48
# Below, there is no telling a stream from one piece.
_TELLING_S = 0.25
_UNBUFFER = (
    "turn off the buffering of responses in what is in between; for nginx: proxy_buffering off; and no "
    "proxy_ignore_headers X-Accel-Buffering; docs/examples.md has a whole configuration"
)


class Finding(NamedTuple):
    """What was found, and what to do about it."""

    how: Literal["ok", "NOTE", "BAD", "-"]
    what: str
    said: str
    to_do: str = ""


class _Reply(NamedTuple):
    status: int
    body: dict[str, Any]
    """Empty where it is no JSON object."""


class Checks:
    """One after the other; what cannot be known because of an earlier one is left out."""

    def __init__(self, server: Server, model: str | None) -> None:
        self._server = server
        self._model = model
        # What passes by itself is a finding here, too: nothing is waited for.
        self._client = Client(server.url, server.key, max_wait_s=0.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def all(self) -> Iterator[Finding]:
        """Each finding, as soon as it is one."""
        server = self._it_answers()
        yield server
        if server.how == "BAD":
            return
        yield self._its_store()
        key = self._who_asks()
        yield key
        if key.how != "BAD":
            yield from self._an_answer()

    def _it_answers(self) -> Finding:
        url = self._server.url
        try:
            begun = time.monotonic()
            health = self._get("/healthz")
            took_ms = (time.monotonic() - begun) * 1_000
            about = self._get("/openapi.json").body.get("info") or {}
        except (OSError, http.client.HTTPException, ValueError) as error:
            why = getattr(error, "reason", None) or error
            to_do = "start it with headwater serve, or name another address with --url or HEADWATER_URL"
            return Finding("BAD", "server", f"{url} cannot be reached: {why or type(error).__name__}", to_do)
        if health.status in (502, 503, 504):
            to_do = "what answers is a proxy without its server: start the server, and look where the proxy leads"
            return Finding("BAD", "server", f"{url}/healthz answers {health.status}", to_do)
        if about.get("title") != "Headwater" or health.body.get("status") != "ok":
            to_do = "give the server's own address, with the path under which it is mounted, and without /v1"
            return Finding("BAD", "server", f"what answers at {url} is no Headwater ({health.status})", to_do)
        return Finding("ok", "server", f"Headwater {about.get('version')} at {url}, in {took_ms:.0f} ms")

    def _its_store(self) -> Finding:
        try:
            ready = self._get("/readyz")
        except (OSError, http.client.HTTPException) as error:
            return Finding("BAD", "store", f"/readyz does not answer: {error}", "look at the server's log")
        if ready.status == 200:
            return Finding("ok", "store", "the store answers, and runs are taken")
        detail = ready.body.get("detail") or f"/readyz answers {ready.status}"
        to_do = "it is restarting: try again in a moment"
        if ready.body.get("code") != "draining":
            to_do = "look whether what HEADWATER_STORE names runs and is reached by the server; its log says more"
        return Finding("BAD", "store", str(detail), to_do)

    def _who_asks(self) -> Finding:
        try:
            self._client.runs(limit=1)
        except Unauthorized as error:
            return Finding("BAD", "key", reason(error, self._server))
        except HeadwaterError as error:
            return Finding("BAD", "key", *_said(error))
        if self._server.key:
            return Finding("ok", "key", "it is taken")
        if urlsplit(self._server.url).hostname in ("127.0.0.1", "::1", "localhost"):
            return Finding("ok", "key", "nobody is asked for one, on this machine alone")
        to_do = "make one with headwater keys create, unless everybody who reaches it may use it"
        return Finding("NOTE", "key", "nobody is asked for one", to_do)

    # -- an answer

    def _an_answer(self) -> Iterator[Finding]:
        fields = RunFields(max_output_tokens=_TOKENS)
        if self._model is not None:
            fields["model"] = self._model
        begun = time.monotonic()
        try:
            run = self._client.create("Say something about streams.", **fields)
        except HeadwaterError as error:
            yield Finding("BAD", "model", *_said(error))
            return
        try:
            yield from self._followed(run, begun)
        finally:
            self._remove(run)

    def _followed(self, run: Run, begun: float) -> Iterator[Finding]:
        """What comes of it, and when it comes: at once where nothing holds it back."""
        heard: float | None = None
        spoke: float | None = None
        pieces = 0
        try:
            watch = self._client.watch(run)
            for event in watch:
                now = time.monotonic()
                heard = heard or now
                if isinstance(event, Delta):
                    spoke, pieces = spoke or now, pieces + 1
            end, over = watch.result(), time.monotonic()
            after_all = self._client.get(run.id)
        except Buffered:
            yield Finding(
                "BAD", "stream", "it is held back on its way: the server answers, but no event came", _UNBUFFER
            )
            return
        except HeadwaterError as error:
            yield Finding("BAD", "model", *_said(error))
            return
        yield _of_the_model(after_all, end, spoke - begun if spoke is not None else None)
        yield _of_the_stream(after_all, over - (heard or over), pieces)

    def _remove(self, run: Run) -> None:
        try:
            self._client.cancel(run.id)
            self._client.delete(run.id)
        except HeadwaterError:
            pass  # it expires, like any run

    def _get(self, path: str) -> _Reply:
        """Raises OSError, HTTPException or ValueError."""
        try:
            with urllib.request.urlopen(f"{self._server.url}{path}", timeout=_ANSWER_S) as response:
                return _Reply(response.status, _object(response.read(_BODY_BYTES)))
        except urllib.error.HTTPError as refused:
            with refused:
                return _Reply(refused.code, _object(refused.read(_BODY_BYTES)))


def _object(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _of_the_model(run: Run, end: End, first_s: float | None) -> Finding:
    if end.status != "completed" and end.reason != "length":
        why = (end.error.detail or end.error.code) if end.error is not None else end.reason
        to_do = "look at the model's server, and at its entry in headwater.toml: docs/models.md"
        return Finding("BAD", "model", f"{run.model}: the answer is {end.status}: {why}", to_do)
    first = f", its first word after {first_s:.1f} s" if first_s is not None else ", without a word"
    return Finding("ok", "model", f"{run.model} answers{first}")


def _of_the_stream(run: Run, here_s: float, pieces: int) -> Finding:
    """By the server's clock the answer took a while: here it must have taken about as long."""
    there_s = (run.ended_at or 0.0) - (run.started_at or 0.0)
    if run.started_at is None or run.ended_at is None or there_s < _TELLING_S:
        return Finding("-", "stream", "the answer came too quickly to see whether something holds it back")
    if here_s < there_s / 2:
        said = f"held back on its way: it grew for {there_s:.1f} s at the server, and came here within {here_s:.1f} s"
        return Finding("BAD", "stream", said, _UNBUFFER)
    return Finding("ok", "stream", f"it came in {pieces} pieces, over {here_s:.1f} s, as it was made")


def _said(error: HeadwaterError) -> tuple[str, str]:
    """What went wrong, and what to do."""
    if isinstance(error, TooManyRetries):
        return str(error.__cause__ or error), "try again in a moment, and look at the server's log"
    return error.message, ""
