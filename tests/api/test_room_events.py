"""GET /v1/rooms/{room}/events: the room's log as server-sent events."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.api.calls import DEADLINE_S
from tests.api.rooms import Listener, listening, make, new_name, page, say
from tests.support.server import ServerProcess
from tests.support.sse import Message

MODELS = """
[models.quick]
provider = "python:models:quick"
[models.gated]
provider = "python:models:gated"
"""
CODE = """
import asyncio, pathlib

async def quick(request):
    yield "Right "
    yield "away."

async def gated(request):
    yield "Right "
    while not pathlib.Path("go").exists():
        await asyncio.sleep(0.01)
    yield "away."
"""


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the server: the gated model goes on once there is a file `go`."""
    directory = tmp_path_factory.mktemp("listened")
    (directory / "models.py").write_text(CODE)
    (directory / "headwater.toml").write_text(MODELS)
    return directory


@pytest.fixture(scope="module")
def api(directory: Path) -> Iterator[httpx2.Client]:
    with (
        ServerProcess(directory, settings={"drain_s": 0, "drain_spread_s": 0}) as server,
        httpx2.Client(base_url=server.url, timeout=DEADLINE_S) as client,
    ):
        yield client


def texts(listener: Listener, count: int) -> list[str]:
    """What the next messages say."""
    return [listener.hear().json["text"] for _ in range(count)]


def test_it_begins_with_the_newest_page_and_goes_on_with_what_is_said(api: httpx2.Client) -> None:
    room = make(api)
    before = [say(api, room, text) for text in ("one", "two")]
    with listening(api, room) as listener:
        joined = listener.hear()
        assert (joined.event, joined.id) == ("joined", before[-1]["position"])
        assert (joined.json["position"], joined.json["recovered"]) == (joined.id, False)
        assert joined.json["messages"] == before, "in the order of the log"
        assert "events" not in joined.json
        assert joined.json["you"] == {"id": "guest", "name": "guest", "role": "moderate"}
        said = say(api, room, "three", client_id="c3", name="CI")
        heard = listener.hear()
    assert (heard.event, heard.id) == ("message", said["position"])
    assert heard.json == {"type": "message", **said}


@pytest.mark.parametrize("is_there", [True, False])
def test_an_empty_room_can_be_listened_to_and_is_made_by_that(api: httpx2.Client, is_there: bool) -> None:
    url = f"/v1/rooms/{new_name()}"
    room = make(api) if is_there else {"events_url": f"{url}/events", "messages_url": f"{url}/messages"}
    with listening(api, room) as listener:
        joined = listener.hear().json
        assert (joined["position"], joined["messages"]) == ("0-0", [])
        say(api, room, "first")
        assert texts(listener, 1) == ["first"]


def test_the_headers_keep_proxies_from_holding_it_back(api: httpx2.Client) -> None:
    room = make(api)
    with listening(api, room) as listener:
        listener.hear()
        assert listener.response.headers["content-type"].startswith("text/event-stream")
        assert listener.response.headers["cache-control"] == "no-cache, no-transform"
        assert listener.response.headers["x-accel-buffering"] == "no"
        assert listener.parser.retry_ms is not None and 500 <= listener.parser.retry_ms <= 2000


@pytest.mark.parametrize("how", ["after", "last_event_id"])
def test_after_a_position_comes_what_lies_after_it(api: httpx2.Client, how: str) -> None:
    room = make(api)
    said = [say(api, room, str(number)) for number in range(4)]
    with listening(api, room, **{how: said[1]["position"]}) as listener:
        heard = [listener.hear() for _ in range(2)]
        assert [event.json for event in heard] == [{"type": "message", **message} for message in said[2:]]
        assert [event.id for event in heard] == [message["position"] for message in said[2:]]
        say(api, room, "live")
        assert texts(listener, 1) == ["live"]


def test_the_last_event_id_beats_after(api: httpx2.Client) -> None:
    room = make(api)
    said = [say(api, room, str(number)) for number in range(3)]
    with listening(api, room, last_event_id=said[1]["position"], after=said[0]["position"]) as listener:
        assert texts(listener, 1) == ["2"]
    with listening(api, room, last_event_id=said[1]["position"], after="no position") as listener:
        assert texts(listener, 1) == ["2"]


def test_from_the_beginning_it_has_every_event(api: httpx2.Client) -> None:
    room = make(api)
    for number in range(3):
        say(api, room, str(number))
    with listening(api, room, after="0-0") as listener:
        assert texts(listener, 3) == ["0", "1", "2"]


@pytest.mark.parametrize("position", ["1-1", "999-12345"])
def test_a_position_of_another_history_is_told_so(api: httpx2.Client, position: str) -> None:
    room = make(api)
    message = say(api, room, "hello")
    with listening(api, room, after=position) as listener:
        joined = listener.hear()
        assert (joined.event, joined.json["recovered"]) == ("joined", False)
        assert (joined.json["messages"], joined.id) == ([message], message["position"])


def test_a_position_that_is_not_kept_any_more_is_told_so(api: httpx2.Client) -> None:
    room = make(api, retention={"count": 2})
    said = [say(api, room, str(number)) for number in range(4)]
    with listening(api, room, after=said[0]["position"]) as listener:
        joined = listener.hear()
        assert (joined.event, joined.json["recovered"], joined.json["messages"]) == ("joined", False, said[2:])
    with listening(api, room, after=said[1]["position"]) as listener:
        assert texts(listener, 2) == ["2", "3"], "nothing is missing after the last that was let go"


def grown(growing: list[Message], message: str) -> str:
    """The text of an answer, as its events make it."""
    text, seq = "", 0
    for event in growing:
        assert (event.json["message"], event.id) == (message, None), "only the room's own events have a position"
        if event.event == "snapshot":
            text = "".join(part["text"] for part in event.json["parts"])
        else:
            assert (event.event, event.json["after"]) == ("delta", seq)
            text += event.json["text"]
        seq = event.json["seq"]
    return text


def test_an_answer_grows_and_ends(api: httpx2.Client) -> None:
    room = make(api)
    with listening(api, room) as listener:
        listener.hear()
        asked = say(api, room, "Well?", mentions=["quick"])
        message, run, *growing, end = listener.until("end")
    assert [message.event, run.event] == ["message", "run"]
    assert (run.json["by"], run.json["asked"], run.json["model"]) == (asked["by"], asked["id"], "quick")
    assert grown(growing, run.json["message"]) == end.json["text"] == "Right away."
    assert (end.json["status"], end.json["message"], end.json["run"]) == (
        "completed",
        run.json["message"],
        run.json["run"],
    )
    assert [event.id for event in (message, run, end)] == [event.json["position"] for event in (message, run, end)]
    answer, question = page(api, room)["data"]
    assert (question["id"], answer["id"], answer["asked"]) == (asked["id"], run.json["message"], asked["id"])
    assert (answer["status"], answer["text"], answer["model"]) == ("completed", "Right away.", "quick")
    told = api.get(f"/v1/runs/{answer['run']}").json()
    assert (told["status"], told["output"]) == ("completed", answer["text"])


def test_who_comes_while_an_answer_grows_gets_what_there_is_and_the_rest(api: httpx2.Client, directory: Path) -> None:
    room = make(api)
    with listening(api, room) as first:
        first.hear()
        say(api, room, "Well?", mentions=["gated"])
        run, half = first.until("delta")[-2:]
        open_one = page(api, room, limit=1)["data"][0]
        assert (open_one["id"], open_one["status"]) == (run.json["message"], "in_progress")
        with listening(api, room) as late, listening(api, room, after=run.id or "") as back:
            joined, snapshot = late.hear(), late.hear()
            assert joined.json["messages"][-1] == open_one
            assert (snapshot.event, snapshot.json["parts"]) == ("snapshot", [{"text": "Right "}])
            again = back.hear()
            (directory / "go").touch()
            *rest_of_first, end = first.until("end")
            *rest_of_late, late_end = late.until("end")
            *rest_of_back, back_end = back.until("end")
    assert end == late_end == back_end
    for heard in ([half, *rest_of_first], [snapshot, *rest_of_late], [again, *rest_of_back]):
        assert grown(heard, run.json["message"]) == "Right away."


def test_two_listeners_hear_the_same(api: httpx2.Client) -> None:
    room = make(api)
    with listening(api, room) as one, listening(api, room) as other:
        one.hear()
        other.hear()
        for number in range(5):
            say(api, room, str(number))
        assert [one.hear() for _ in range(5)] == [other.hear() for _ in range(5)]


def test_head_says_what_would_come_and_does_not_wait_for_it(api: httpx2.Client) -> None:
    room = make(api)
    response = api.head(room["events_url"])
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["cache-control"] == "no-cache, no-transform"


def test_its_data_is_json_in_one_line_whatever_is_said(api: httpx2.Client) -> None:
    room = make(api)
    text = "data: \r\n\n: event: end\u2028\x85 \N{WOMAN}\u200d"
    with listening(api, room) as listener:
        listener.hear()
        say(api, room, text)
        heard: Any = json.loads(listener.hear().data)
    assert heard["text"] == text


def test_it_ends_when_the_room_is_removed_and_begins_anew_after_that(api: httpx2.Client) -> None:
    room = make(api)
    say(api, room, "before")
    with listening(api, room) as listener:
        position = listener.hear().json["position"]
        assert api.delete(f"/v1/rooms/{room['name']}").status_code == 204
        with pytest.raises(StopIteration):
            listener.hear()
    with listening(api, room, position) as listener:
        joined = listener.hear().json
        assert (joined["recovered"], joined["position"], joined["messages"]) == (False, "0-0", [])
