"""POST /v1/runs: the run it makes, and the three ways to get its events instead."""

import json
import re
import time

import httpx2

from tests.api.calls import QUICK, cancel, ended, get, messages, producing, start
from tests.support.sse import Follower


def test_a_new_run_is_accepted_and_says_where_to_go_on(api: httpx2.Client) -> None:
    body = {"input": "hello", "extra": QUICK, "conversation": "c-1", "metadata": {"user": "ann"}}
    response = api.post("/v1/runs", json=body)
    run = response.json()
    assert response.status_code == 202
    assert re.fullmatch(r"run_[a-z0-9]{26}", run["id"])
    url = f"/v1/runs/{run['id']}"
    assert (run["object"], run["status"], run["model"]) == ("run", "queued", "demo")
    assert (run["conversation"], run["metadata"]) == ("c-1", {"user": "ann"})
    assert (run["url"], run["events_url"], run["cancel_url"]) == (url, f"{url}/events", f"{url}/cancel")
    assert abs(run["created_at"] - time.time()) < 60
    assert (run["started_at"], run["ended_at"], run["cancel_requested"], run["position"]) == (None, None, False, "0-0")
    assert response.headers["location"] == response.headers["content-location"] == url
    assert response.headers["headwater-run"] == run["id"]
    assert "idempotent-replayed" not in response.headers


def test_it_is_produced_though_nobody_follows(api: httpx2.Client) -> None:
    run = ended(api, start(api))
    assert (run["status"], run["finish_reason"], run["error"]) == ("completed", "stop", None)
    assert run["output"].startswith("I am Headwater's built-in demo model")


def test_stream_true_answers_with_the_events(api: httpx2.Client) -> None:
    response = api.post("/v1/runs", json={"input": "hello", "extra": QUICK, "stream": True})
    assert_native(api, response)


def test_accept_answers_with_the_events(api: httpx2.Client) -> None:
    headers = {"Accept": "text/event-stream, */*;q=0.1"}
    response = api.post("/v1/runs", json={"input": "hello", "extra": QUICK}, headers=headers)
    assert_native(api, response)


def test_a_format_answers_with_the_events_in_it(api: httpx2.Client) -> None:
    assert_native(api, api.post("/v1/runs?format=native", json={"input": "hello", "extra": QUICK}))
    lines = api.post("/v1/runs?format=ndjson", json={"input": "hello", "extra": QUICK})
    assert lines.headers["content-type"] == "application/x-ndjson"
    first, *_, last = [json.loads(line)["event"] for line in lines.text.splitlines()]
    assert (first, last) == ("run", "end")
    text = api.post("/v1/runs?format=text", json={"input": "hello", "extra": QUICK})
    assert text.headers["content-type"] == "text/plain; charset=utf-8"
    assert text.text == get(api, {"url": text.headers["location"]})["output"]


def assert_native(api: httpx2.Client, response: httpx2.Response) -> None:
    """From the first event to the end, with the run's names in the headers."""
    assert response.status_code == 200
    assert response.headers["content-type"].partition(";")[0] == "text/event-stream"
    assert response.headers["cache-control"] == "no-cache, no-transform"
    assert response.headers["x-accel-buffering"] == "no"
    assert response.headers["location"] == response.headers["content-location"]
    assert response.headers["location"] == f"/v1/runs/{response.headers['headwater-run']}"
    follower = Follower()
    for message in messages(response.text):
        follower.take(message)
    run = get(api, {"url": response.headers["location"]})
    assert (follower.text, follower.snapshots) == (run["output"], 0)
    assert follower.end is not None and follower.end["status"] == run["status"] == "completed"
    assert follower.run is not None and follower.run["id"] == run["id"]


def test_who_leaves_a_streamed_start_does_not_stop_the_run(api: httpx2.Client) -> None:
    body = {"input": "hello", "stream": True, "extra": {"demo": {"tokens": 50, "tokens_per_s": 100}}}
    with api.stream("POST", "/v1/runs", json=body) as response:
        next(response.iter_raw())
        run = {"url": response.headers["location"]}
    assert ended(api, run)["status"] == "completed"


def test_parameters_reach_the_model(api: httpx2.Client) -> None:
    run = ended(api, start(api, max_output_tokens=3))
    assert (run["status"], run["reason"], run["finish_reason"]) == ("incomplete", "length", "length")
    assert run["output"] == "I am Headwater's"
    assert run["usage"] == {"input_tokens": 1, "output_tokens": 3}


def test_messages_are_an_input(api: httpx2.Client) -> None:
    content = [{"type": "text", "text": "hello"}]
    turns = [{"role": "assistant", "content": None}, {"role": "user", "content": content}]
    assert ended(api, start(api, input=turns))["status"] == "completed"


def test_what_may_be_left_out_may_be_null(api: httpx2.Client) -> None:
    run = start(api, model=None, conversation=None, temperature=None, metadata=None)
    assert ended(api, run)["status"] == "completed"


def test_a_run_that_is_produced_tells_its_position(api: httpx2.Client) -> None:
    run = producing(api, start(api, {"demo": {"tokens": 1000, "tokens_per_s": 50}}))
    assert run["status"] == "in_progress" and run["started_at"] >= run["created_at"]
    assert re.fullmatch(r"[1-9][0-9]*-[1-9][0-9]*", run["position"])
    cancel(api, run)


def test_every_answer_bears_a_request_id_and_the_security_headers(api: httpx2.Client) -> None:
    headers = api.get("/v1/runs", headers={"X-Request-Id": "mine-1"}).headers
    assert headers["x-request-id"] == "mine-1"
    assert headers["x-content-type-options"] == "nosniff"
    assert re.fullmatch(r"app;dur=\d+\.\d", headers["server-timing"])
    assert api.get("/v1/runs", headers={"X-Request-Id": "a b"}).headers["x-request-id"] != "a b"
