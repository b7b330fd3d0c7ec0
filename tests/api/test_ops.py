"""What operators and people with a browser ask for."""

import httpx2

from tests.api.calls import ended, start
from tests.api.rooms import make, say
from tests.support.waiting import wait_until


def metric(api: httpx2.Client, name: str) -> float:
    """One sample of /metrics; 0 where there is none yet."""
    response = api.get("/metrics")
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    values = [line.rpartition(" ")[2] for line in response.text.splitlines() if line.startswith(f"{name} ")]
    return float(values[0]) if values else 0.0


def test_it_is_alive_and_ready(api: httpx2.Client) -> None:
    assert (api.get("/healthz").json(), api.get("/readyz").json()) == ({"status": "ok"}, {"status": "ready"})


def test_metrics_count_a_finished_run(api: httpx2.Client) -> None:
    names = [
        'headwater_runs_started_total{model="demo"}',
        'headwater_runs_ended_total{model="demo",reason="",status="completed"}',
        'headwater_tokens_total{model="demo",type="output"}',
        'headwater_tokens_total{model="demo",type="input"}',
        'headwater_first_token_seconds_count{model="demo"}',
    ]
    before = [metric(api, name) for name in names]
    ended(api, start(api))
    grown = [metric(api, name) - value for name, value in zip(names, before, strict=True)]
    assert grown == [1, 1, 20, 1, 1]


def test_metrics_count_who_follows(api: httpx2.Client) -> None:
    before = metric(api, "headwater_subscribers")
    run = start(api, {"demo": {"tokens": 5_000, "tokens_per_s": 50}})
    with api.stream("GET", run["events_url"]) as response:
        pieces = response.iter_raw()  # kept: without it the response is closed
        next(pieces)
        assert metric(api, "headwater_subscribers") == before + 1
    wait_until(lambda: metric(api, "headwater_subscribers") == before, what="it is counted out again")
    api.post(run["cancel_url"])


def test_metrics_count_what_is_said_in_rooms(api: httpx2.Client) -> None:
    room = make(api)
    before = metric(api, 'headwater_room_events_total{type="message"}')
    say(api, room, "hello")
    assert metric(api, 'headwater_room_events_total{type="message"}') == before + 1
    assert metric(api, "headwater_room_members") == 0
