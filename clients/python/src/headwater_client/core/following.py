"""Following a run to its end, whatever happens to the line."""

from typing import Final

from headwater_client.core.calls import ask, create, get, run_path
from headwater_client.core.refusals import not_headwater, trouble_of
from headwater_client.core.run_view import RunView
from headwater_client.core.sse import EventParser
from headwater_client.core.steps import Close, Emit, Lost, Open, Read, Reply, Request, Send, Steps
from headwater_client.core.trials import LASTED_S, Rules, Trials
from headwater_client.core.trouble import Broken, Trouble
from headwater_client.errors import Buffered, Unavailable
from headwater_client.runs import End, Input, RunFields

# One may be a worker that hangs; the next connection finds another.
SILENCES: Final = 2


def stream(rules: Rules, view: RunView, input: Input, fields: RunFields, key: str) -> Steps[None]:
    """Start a run and follow it from its first token."""
    run = yield from create(rules, input, fields, key)
    view.started(run)
    yield from follow(rules, view)


def follow(rules: Rules, view: RunView) -> Steps[None]:
    """Emit its events until its end has come, each once and in order."""
    yield from _Following(rules, view).to_the_end()


class _Following:
    def __init__(self, rules: Rules, view: RunView) -> None:
        self._rules = rules
        self._view = view
        self._trials = Trials(rules)
        self._opened_at = 0.0
        self._silences = 0

    def to_the_end(self) -> Steps[None]:
        while True:
            self._opened_at = self._rules.clock()
            answer = yield from ask(self._rules, self._request(), Open)
            if isinstance(answer, Reply) and answer.streams:
                trouble = yield from self._listen()
                yield Close()
                if trouble is None:
                    return
            elif isinstance(answer, Reply) and answer.status == 204:
                return (yield from self._nothing_left())
            elif isinstance(answer, Reply) and answer.status < 300:
                raise not_headwater(answer, self._rules.url)
            else:
                trouble = trouble_of(answer, self._rules.url)
            self._silences = self._silences + 1 if trouble.silent and not self._view.greeted else 0
            if self._silences >= SILENCES:
                yield from self._is_it_held_back(trouble)
            yield from self._trials.again(trouble)

    def _request(self) -> Request:
        view = self._view
        view.connected()
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store", "Accept-Encoding": "identity"}
        if view.position:
            headers["Last-Event-ID"] = view.position
        return Request("GET", f"{run_path(view.run_id)}/events", headers=headers)

    def _listen(self) -> Steps[Trouble | None]:
        """One connection: why it is over before the end, or None after it."""
        parser = EventParser()
        while True:
            received: bytes | Lost = yield Read()
            if isinstance(received, Lost):
                return self._ended_early(trouble_of(received, self._rules.url))
            if not received:
                return self._ended_early(self._closed(parser))
            try:
                for message in parser.feed(received):
                    event = self._view.take(message)
                    if event is None:
                        continue
                    yield from self._trials.works()
                    if self._view.moved:
                        self._trials.forget()
                    yield Emit(event)
                    if isinstance(event, End):
                        return None
            except Broken as error:
                return Trouble(error)

    def _ended_early(self, trouble: Trouble) -> Trouble:
        if self._view.greeted and self._rules.clock() - self._opened_at >= LASTED_S:
            self._trials.forget()
        return trouble

    def _closed(self, parser: EventParser) -> Trouble:
        """A whole response without the end: the server, or a proxy, sent us away."""
        if self._view.greeted:
            return Trouble(Unavailable("the connection was closed before the end of the answer", code="closed"))
        code, _, why = parser.comment.partition(": ")  # a server of ours says so
        detail = f"cannot serve for now: {why}" if why else "cannot serve for now, and asks to come back"
        error = Unavailable(f"{self._rules.url} {detail}", code=code if why else "unavailable", status=200)
        return Trouble(error, at_least_s=(parser.retry_ms or 0) / 1000)

    def _nothing_left(self) -> Steps[None]:
        """Nothing comes after our position. If we have not seen the end ourselves, the run tells it."""
        run = yield from get(self._rules, self._view.run_id)
        yield Emit(self._view.ended_before(run))

    def _is_it_held_back(self, trouble: Trouble) -> Steps[None]:
        """A stream begins with an event at once. If it does not, but other requests work, something holds it back."""
        answer = yield from ask(self._rules, Request("GET", run_path(self._view.run_id)), Send)
        if isinstance(answer, Reply) and answer.status == 200:
            raise Buffered(
                f"Something between us and {self._rules.url} holds the stream back: the server answers, but no event "
                "came. Turn off the buffering of responses there; for nginx: `proxy_buffering off;`, and no "
                "`proxy_ignore_headers X-Accel-Buffering`.",
                code="buffered",
            ) from trouble.error
