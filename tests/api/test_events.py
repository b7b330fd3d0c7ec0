"""GET /v1/runs/{id}/events: where it begins, what it is written in, how it ends."""

import json
import threading
from typing import Any

import httpx2
import pytest

from tests.api.calls import LAST, SLOW, cancel, ended, exchange, messages, producing, split, start
from tests.support.server import ServerProcess
from tests.support.sse import EventStreamParser, Follower, Message
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def events(api: httpx2.Client) -> list[Message]:
    """The deltas of a run of 20 tokens, and its end, as they came to one who followed it live."""
    body = {"input": "hello", "stream": True, "extra": {"demo": {"tokens": 20, "tokens_per_s": 200}}}
    first, *others = messages(api.post("/v1/runs", json=body).text)
    return [first, *(event for event in others if event.event != "run")]


@pytest.fixture(scope="module")
def run(api: httpx2.Client, events: list[Message]) -> Any:
    """That run."""
    return ended(api, {"url": f"/v1/runs/{events[0].json['id']}"})


def held(events: list[Message], seq: int = 0) -> Follower:
    """What a reader holds who was at `seq` and has read these events, the promises of the protocol checked."""
    follower = Follower(seq=seq)
    for event in events:
        follower.take(event)
    return follower


def get(api: httpx2.Client, run: Any, last_event_id: str = "", **parameters: str) -> httpx2.Response:
    headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
    response = api.get(run["events_url"], params=parameters, headers=headers)
    assert response.status_code == 200, response.text
    return response


def test_with_no_position_it_begins_with_a_snapshot(api: httpx2.Client, run: Any) -> None:
    first, snapshot, end = messages(get(api, run).text)
    assert first.json == {"id": run["id"], "status": "completed", "model": "demo"}
    assert (first.event, first.id) == ("run", None)
    assert (snapshot.event, snapshot.json) == ("snapshot", {"seq": 20, "parts": [{"text": run["output"]}]})
    assert (end.event, end.id) == ("end", run["position"])
    usage = {"input_tokens": 1, "output_tokens": 20}
    assert end.json == {"after": 20, "seq": 21, "status": "completed", "finish_reason": "stop", "usage": usage}


def test_the_headers_keep_proxies_from_holding_it_back(api: httpx2.Client, run: Any) -> None:
    response = get(api, run)
    assert response.headers["cache-control"] == "no-cache, no-transform"
    assert response.headers["x-accel-buffering"] == "no"
    parser = EventStreamParser()
    parser.feed(response.content)
    assert parser.retry_ms is not None and 500 <= parser.retry_ms <= 2000


def test_from_the_beginning_it_has_every_event(api: httpx2.Client, run: Any) -> None:
    follower = held(messages(get(api, run, after="0-0").text))
    assert (follower.text, follower.snapshots, follower.seq) == (run["output"], 0, 21)


def test_after_any_position_it_has_what_comes_after(api: httpx2.Client, run: Any, events: list[Message]) -> None:
    assert len(events) > 3, "there is something between the first delta and the end"
    for index, event in enumerate(events[1:-1], 1):
        rest = held(messages(get(api, run, after=event.id or "").text), seq=event.json["seq"])
        assert held(events[: index + 1]).text + rest.text == run["output"]
        assert (rest.snapshots, rest.seq) == (0, 21)


def test_the_last_event_id_beats_after(api: httpx2.Client, run: Any, events: list[Message]) -> None:
    first, last = events[1].id or "", events[-2].id or ""
    assert messages(get(api, run, last_event_id=last, after=first).text)[1:] == events[-1:]
    assert messages(get(api, run, last_event_id=last, after="no position").text)[1:] == events[-1:]
    assert held(messages(get(api, run, last_event_id=first, after=last).text), seq=events[1].json["seq"]).seq == 21


@pytest.mark.parametrize("position", ["3-1", "999-12345"])
def test_a_position_of_another_history_gets_a_snapshot(api: httpx2.Client, run: Any, position: str) -> None:
    assert [message.event for message in messages(get(api, run, after=position).text)] == ["run", "snapshot", "end"]


@pytest.mark.parametrize("form", ["native", "ndjson", "text"])
def test_after_the_end_there_is_nothing_left(api: httpx2.Client, run: Any, form: str) -> None:
    for where in ({"params": {"after": run["position"]}}, {"headers": {"Last-Event-ID": run["position"]}}):
        response = api.get(f"{run['events_url']}?format={form}", **where)  # type: ignore[arg-type]  # one or the other
        assert (response.status_code, response.content) == (204, b"")


def test_ndjson_lines_are_the_native_events(api: httpx2.Client, run: Any) -> None:
    events = messages(get(api, run, after="0-0").text)
    response = get(api, run, format="ndjson", after="0-0")
    assert response.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in response.text.split("\n")[:-1]]
    positions = [{} if event.id is None else {"id": event.id} for event in events]
    assert lines == [{"event": event.event, **at, **event.json} for event, at in zip(events, positions, strict=True)]


def test_text_is_the_output_and_nothing_else(api: httpx2.Client, run: Any, events: list[Message]) -> None:
    assert get(api, run, format="text").text == run["output"]
    known = held(events[:4]).text
    assert get(api, run, format="text", after=events[3].id or "").text == run["output"].removeprefix(known)


def test_a_whole_text_ends_as_http_has_it_and_a_broken_one_does_not(server: ServerProcess, api: httpx2.Client) -> None:
    request = "GET {}/events?format=text HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    completed, cancelled = ended(api, start(api)), cancel(api, producing(api, start(api, SLOW)))
    for run, whole in [(completed, True), (cancelled, False)]:
        _, headers, body = split(exchange(server, request.format(run["url"]).encode()))
        assert headers["transfer-encoding"] == "chunked"
        assert run["output"].split(" ")[0].encode() in body
        assert body.endswith(b"\r\n0\r\n\r\n") == whole


def test_a_text_that_somebody_reads_is_broken_off_by_a_cancel(api: httpx2.Client) -> None:
    run, read = start(api, SLOW), bytearray()

    def reader() -> None:
        with pytest.raises(httpx2.RemoteProtocolError), api.stream("GET", f"{run['events_url']}?format=text") as answer:
            for piece in answer.iter_raw():
                read.extend(piece)

    thread = threading.Thread(target=reader)
    thread.start()
    wait_until(lambda: read, what="text arrives")
    output = cancel(api, run)["output"]
    thread.join()
    assert read.decode() == output


def test_events_arrive_while_they_are_made(api: httpx2.Client) -> None:
    run, parser, follower = start(api, SLOW), EventStreamParser(), Follower()
    with api.stream("GET", run["events_url"], params={"after": "0-0"}) as response:
        for piece in response.iter_raw():
            for message in parser.feed(piece):
                follower.take(message)
            if follower.deltas == 5:
                cancel(api, run)
    assert follower.end is not None and follower.end["status"] == "cancelled"
    assert follower.text == ended(api, run)["output"]


def test_head_answers_at_once_and_leaves_the_connection_as_it_was(server: ServerProcess, api: httpx2.Client) -> None:
    run = producing(api, start(api, SLOW))
    for path in ["/", "/healthz", "/readyz", "/metrics", "/v1/runs", run["url"], run["events_url"]]:
        head = f"HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        answer = exchange(server, head + LAST)
        status, headers, rest = split(answer)
        assert status == 200 and headers["content-type"], path
        assert (split(rest)[0], split(rest)[2]) == (200, b'{"status":"ok"}'), path
    cancel(api, run)


def test_a_request_behind_a_stream_is_answered_after_it(server: ServerProcess, run: Any) -> None:
    answer = exchange(server, f"GET {run['events_url']} HTTP/1.1\r\nHost: x\r\n\r\n".encode() + LAST)
    assert answer.count(b"HTTP/1.1 200 OK\r\n") == 2 and answer.endswith(b'{"status":"ok"}')


def test_a_request_behind_a_body_that_is_broken_off_is_not_answered(server: ServerProcess, api: httpx2.Client) -> None:
    """The connection is over then, and the server's log does not complain of it."""
    run = cancel(api, producing(api, start(api, SLOW)))
    answer = exchange(server, f"GET {run['events_url']}?format=text HTTP/1.1\r\nHost: x\r\n\r\n".encode() + LAST)
    assert answer.count(b"HTTP/1.1 200 OK\r\n") == 1 and run["output"].encode() in answer
    assert "ASGI callable" not in server.stderr
