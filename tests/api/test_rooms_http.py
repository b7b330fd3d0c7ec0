"""Rooms over HTTP: made, set, listed, spoken in, read back."""

import time
from typing import Any

import httpx2
import pytest

from headwater.core.commands import PAGE, TEXT_CHARS
from headwater.core.room import CONTEXT_BYTES, EVENTS_KEPT
from tests.api.calls import cancel, ended, get, problem
from tests.api.rooms import make, new_name, page, say
from tests.support.waiting import wait_until

NO_BUDGETS = {
    "runs_per_day": None,
    "tokens_per_day": None,
    "person_runs_per_day": None,
    "person_tokens_per_day": None,
}
MORE: dict[str, Any] = {
    "title": "Help",
    "instructions": "Answer in one sentence.",
    "model": "demo",
    "policy": "reply",
    "concurrency": "parallel",
    "context_bytes": 1000,
    "retention": {"count": 7, "age_s": 3600.5},
    "budgets": {**NO_BUDGETS, "person_runs_per_day": 5},
}

# -- the room


def test_a_new_room_is_as_its_maker_set_it(api: httpx2.Client) -> None:
    name = new_name()
    response = api.put(f"/v1/rooms/{name}", json=MORE)
    room = response.json()
    assert (response.status_code, response.headers["location"]) == (201, f"/v1/rooms/{name}")
    assert abs(room.pop("created_at") - time.time()) < 60
    assert room == {
        "name": name,
        "object": "room",
        "position": "0-0",
        **MORE,
        "events_url": f"/v1/rooms/{name}/events",
        "messages_url": f"/v1/rooms/{name}/messages",
        "socket_url": f"/v1/rooms/{name}/ws",
    }


def test_what_a_room_is_not_set_to_has_its_default(api: httpx2.Client) -> None:
    room = make(api)
    given = {name: room[name] for name in MORE}
    assert given == {
        "title": None,
        "instructions": None,
        "model": None,
        "policy": "mention",
        "concurrency": "queue",
        "context_bytes": CONTEXT_BYTES,
        "retention": {"count": EVENTS_KEPT, "age_s": None},
        "budgets": NO_BUDGETS,
    }


def test_a_room_is_set_anew_as_a_whole_and_keeps_its_log(api: httpx2.Client) -> None:
    room = make(api, **MORE)
    message = say(api, room, "hello")
    response = api.put(f"/v1/rooms/{room['name']}", json={"title": "Other"})
    assert response.status_code == 200 and "location" not in response.headers
    changed = response.json()
    assert (changed["title"], changed["policy"], changed["instructions"]) == ("Other", "mention", None)
    assert (changed["created_at"], changed["position"]) == (room["created_at"], message["position"])
    assert api.get(f"/v1/rooms/{room['name']}").json() == changed
    assert [one["id"] for one in page(api, room)["data"]] == [message["id"]]


@pytest.mark.parametrize("name", ["a", "A.b_c~d-1", "x" * 128])
def test_a_rooms_name_is_what_an_address_can_hold(api: httpx2.Client, name: str) -> None:
    assert api.put(f"/v1/rooms/{name}", json={}).status_code in (200, 201)
    assert api.get(f"/v1/rooms/{name}").json()["name"] == name


def test_rooms_are_listed_newest_first_and_in_pages(api: httpx2.Client) -> None:
    rooms = [make(api) for _ in range(3)]
    mine = {room["name"] for room in rooms}
    everything = api.get("/v1/rooms", params={"limit": 100}).json()
    assert everything["object"] == "list"
    assert [room for room in everything["data"] if room["name"] in mine] == rooms[::-1]
    first = api.get("/v1/rooms", params={"limit": 1}).json()
    assert (first["data"], first["has_more"]) == ([rooms[2]], True)
    second = api.get("/v1/rooms", params={"limit": 1, "before": rooms[2]["name"]}).json()
    assert (second["data"], second["has_more"]) == ([rooms[1]], True)


def test_a_room_is_made_on_the_fly_by_what_is_said_in_it(api: httpx2.Client) -> None:
    name = new_name()
    message = say(api, {"messages_url": f"/v1/rooms/{name}/messages"}, "hello")
    room = api.get(f"/v1/rooms/{name}").json()
    assert (room["position"], room["title"], room["policy"]) == (message["position"], None, "mention")


def test_a_removed_room_is_gone_and_begins_anew_where_somebody_speaks_in_it(api: httpx2.Client) -> None:
    room = make(api, title="Old")
    old = say(api, room, "hello", client_id="1")
    response = api.delete(f"/v1/rooms/{room['name']}")
    assert (response.status_code, response.content) == (204, b"")
    for path in ("", "/messages"):
        problem(api.get(f"/v1/rooms/{room['name']}{path}"), 404, "unknown_room")
    assert room["name"] not in [one["name"] for one in api.get("/v1/rooms").json()["data"]]
    new = say(api, room, "hello", client_id="1")
    assert new["seq"] == 1 and new["position"] != old["position"] and new["id"] != old["id"]
    assert page(api, room)["data"] == [new]
    assert api.get(f"/v1/rooms/{room['name']}").json()["title"] is None


def test_a_room_that_is_not_there_cannot_be_removed(api: httpx2.Client) -> None:
    name = new_name()
    for _ in range(2):
        assert name in problem(api.delete(f"/v1/rooms/{name}"), 404, "unknown_room")["detail"]


def test_a_room_in_which_an_answer_grows_is_removed_once_that_is_cancelled(api: httpx2.Client) -> None:
    room = make(api)
    say(api, room, "Tell me everything.", mentions=["demo"])
    answer = wait_until(lambda: next((one for one in page(api, room)["data"] if "run" in one), None))
    before = page(api, room)
    refused = problem(api.delete(f"/v1/rooms/{room['name']}"), 409, "conflict")
    assert "cancel them first" in refused["detail"]
    assert [one["id"] for one in page(api, room)["data"]] == [one["id"] for one in before["data"]]
    run = {"url": f"/v1/runs/{answer['run']}", "cancel_url": f"/v1/runs/{answer['run']}/cancel"}
    cancel(api, run)
    ended(api, run)
    assert api.delete(f"/v1/rooms/{room['name']}").status_code == 204
    assert get(api, run)["status"] == "cancelled", "its runs are left to expire"


# -- its messages


def test_a_service_says_something(api: httpx2.Client) -> None:
    room = make(api)
    first = say(api, room, "The build is green. 👩‍👩‍👧 \n\t<b>&amp;</b>", name="CI")
    assert first["id"].startswith("msg_") and first["client_id"]
    assert abs(first["at"] - time.time()) < 60
    assert (first["seq"], first["position"].partition("-")[0]) == (1, "1")
    assert first["text"] == "The build is green. 👩‍👩‍👧 \n\t<b>&amp;</b>"
    assert (first["by"], first["name"]) == ("guest:CI", "CI")
    fields = {"id", "seq", "position", "by", "name", "text", "at", "client_id"}
    assert first.keys() == fields, "what does not concern it is not said"
    second = say(api, room, "Thanks!", reply_to=first["id"], mentions=["guest:CI"])
    assert (second["seq"], second["reply_to"], second["mentions"]) == (2, first["id"], ["guest:CI"])
    assert (second["by"], second["name"]) == ("guest", "guest")
    assert page(api, room)["data"] == [second, first]
    assert api.get(f"/v1/rooms/{room['name']}").json()["position"] == second["position"]


def test_a_message_is_said_once_however_often_it_is_sent(api: httpx2.Client) -> None:
    room = make(api)
    message = say(api, room, "once", client_id="build-42")
    assert message["client_id"] == "build-42"
    for headers, body in (
        ({}, {"client_id": "build-42"}),
        ({"Idempotency-Key": "build-42"}, {}),
        ({"Idempotency-Key": "build-42"}, {"client_id": "build-42"}),
    ):
        again = api.post(room["messages_url"], json={"text": "once", **body}, headers=headers)
        assert (again.status_code, again.headers["idempotent-replayed"], again.json()) == (200, "true", message)
    assert page(api, room)["data"] == [message]


def test_an_idempotency_key_is_a_client_id(api: httpx2.Client) -> None:
    room = make(api)
    response = api.post(room["messages_url"], json={"text": "a"}, headers={"Idempotency-Key": "k 1"})
    assert (response.status_code, response.json()["client_id"]) == (201, "k 1")
    assert "idempotent-replayed" not in response.headers
    assert api.post(room["messages_url"], json={"text": "a", "client_id": "k 1"}).status_code == 200


def test_two_senders_may_use_the_same_client_id(api: httpx2.Client) -> None:
    room = make(api)
    ids = {say(api, room, "hello", client_id="1", name=name)["id"] for name in ("Ann", "Bob")}
    assert len(ids) == 2


def test_messages_without_a_client_id_are_all_said(api: httpx2.Client) -> None:
    room = make(api)
    assert say(api, room, "same")["client_id"] != say(api, room, "same")["client_id"]


def test_a_message_may_be_as_long_as_it_may(api: httpx2.Client) -> None:
    room = make(api)
    text = "ж" * TEXT_CHARS
    assert say(api, room, text)["text"] == text == page(api, room)["data"][0]["text"]


def test_history_is_read_in_pages_from_a_message_or_a_position(api: httpx2.Client) -> None:
    room = make(api)
    newest_first = [say(api, room, str(number)) for number in range(5)][::-1]
    first = page(api, room, limit=2)
    assert first == {"object": "list", "data": newest_first[:2], "has_more": True}
    for before in (newest_first[1]["id"], newest_first[1]["position"]):
        assert page(api, room, limit=2, before=before) == {
            "object": "list",
            "data": newest_first[2:4],
            "has_more": True,
        }
    last = page(api, room, limit=2, before=newest_first[3]["id"])
    assert (last["data"], last["has_more"]) == (newest_first[4:], False)
    nothing = page(api, room, before=newest_first[4]["position"])
    assert (nothing["data"], nothing["has_more"]) == ([], False)


def test_a_page_that_does_not_say_is_a_screenful(api: httpx2.Client) -> None:
    room = make(api)
    for number in range(PAGE + 1):
        say(api, room, str(number))
    given = page(api, room)
    assert (len(given["data"]), given["has_more"]) == (PAGE, True)
    assert len(page(api, room, limit=100)["data"]) == PAGE + 1


def test_what_is_not_kept_is_not_there(api: httpx2.Client) -> None:
    room = make(api, retention={"count": 2})
    newest_first = [say(api, room, str(number)) for number in range(4)][::-1]
    assert page(api, room) == {"object": "list", "data": newest_first[:2], "has_more": False}
