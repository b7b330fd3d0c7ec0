"""One request and its reply, repeated until it is sure what came of it."""

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import quote

from headwater_client.core.decoding import json_of, page_of, run_of
from headwater_client.core.refusals import error_of, not_headwater, trouble_of, unauthorized
from headwater_client.core.steps import Lost, Open, Reply, Request, Send, Steps, Token
from headwater_client.core.trials import Rules, Trials
from headwater_client.core.trouble import Broken
from headwater_client.errors import TooManyRetries
from headwater_client.runs import Input, Page, Run

T = TypeVar("T")


def run_path(run_id: str) -> str:
    """Where a run is."""
    return f"/v1/runs/{quote(run_id, safe='')}"


def create(rules: Rules, input: Input, fields: Mapping[str, Any], key: str) -> Steps[Run]:
    """Start a run; under one key it is started once, however often it is asked for."""
    body = json.dumps({"input": input, **fields}, ensure_ascii=False).encode("utf-8", "surrogatepass")
    headers = {"Content-Type": "application/json", "Idempotency-Key": key}
    try:
        return (yield from _read(rules, Request("POST", "/v1/runs", headers=headers, body=body), run_of))
    except TooManyRetries as error:
        error.idempotency_key = key
        raise


def get(rules: Rules, run_id: str) -> Steps[Run]:
    """The run now, with its output so far."""
    return (yield from _read(rules, Request("GET", run_path(run_id)), run_of))


def cancel(rules: Rules, run_id: str) -> Steps[Run]:
    """Stop it for good; the run then. Doing it again changes nothing."""
    return (yield from _read(rules, Request("POST", f"{run_path(run_id)}/cancel"), run_of))


def runs(rules: Rules, query: Mapping[str, Any]) -> Steps[Page]:
    """A page of runs, newest first."""
    said = {name: str(value) for name, value in query.items() if value is not None}
    return (yield from _read(rules, Request("GET", "/v1/runs", query=said), page_of))


def delete(rules: Rules, run_id: str) -> Steps[None]:
    """Remove an ended run. One that is gone already is gone, if we asked before."""
    trials, request = Trials(rules), Request("DELETE", run_path(run_id))
    while True:
        answer = yield from ask(rules, request)
        if isinstance(answer, Reply) and (answer.status == 204 or (answer.status == 404 and trials.tries)):
            return
        if isinstance(answer, Reply) and answer.status < 300:
            raise not_headwater(answer, rules.url)
        yield from trials.again(trouble_of(answer, rules.url))


def ask(rules: Rules, request: Request, how: type[Send] | type[Open] = Send) -> Steps[Reply | Lost]:
    """Whatever comes of it; a credential that is refused is replaced once. Raises Unauthorized."""
    token: str | None = yield Token()
    answer: Reply | Lost = yield how(request.bearing(token))
    if not isinstance(answer, Reply) or answer.status != 401:
        return answer
    newer: str | None = yield Token(rejected=token)
    if newer is None or newer == token:
        raise error_of(answer, rules.url)
    answer = yield how(request.bearing(newer))
    if isinstance(answer, Reply) and answer.status == 401:
        raise unauthorized("The token is refused, and so is the newer one")
    return answer


def _read(rules: Rules, request: Request, what: Callable[[Any], T]) -> Steps[T]:
    """What the reply has. Every request that comes here may be repeated."""
    trials = Trials(rules)
    while True:
        answer = yield from ask(rules, request)
        if isinstance(answer, Reply) and answer.status < 300:
            yield from trials.works()
            try:
                return what(json_of(answer.body))
            except Broken as error:
                raise not_headwater(answer, rules.url) from error
        yield from trials.again(trouble_of(answer, rules.url))
