"""Following a run: whatever the line does, each event is told once and in order, or nothing is."""

from typing import Any

import pytest

from headwater_client import (
    Attempt,
    Buffered,
    Delta,
    End,
    NotFound,
    NotHeadwater,
    Part,
    Resumed,
    Retrying,
    Snapshot,
    TooManyRetries,
    Unauthorized,
    Unavailable,
)
from headwater_client.core import following
from headwater_client.core.run_view import BEGINNING, RunView
from tests.clients.python.driving import (
    CUT,
    RUN,
    SILENCE,
    STREAM,
    TOLD,
    World,
    delta,
    end,
    event,
    problem,
    reply,
    watched,
)

WHOLE = TOLD + delta(0, "a") + delta(1, "bc", seq=3) + end(3)


def follow(world: World, view: RunView | None = None) -> RunView:
    view = view or watched()
    world.play(following.follow(world.rules, view))
    return view


def resumed_from(world: World) -> list[str | None]:
    """Where each connection began."""
    return [request.headers.get("Last-Event-ID") for request in world.asked if request.path.endswith("/events")]


def test_a_run_is_told_to_its_end() -> None:
    world = World([STREAM, WHOLE])
    view = follow(world)
    assert (view.content.text, view.position, view.status) == ("abc", "4-1", "completed")
    assert [type(one).__name__ for one in world.events] == ["Told", "Delta", "Delta", "End"]
    assert (world.notices, world.slept) == ([], [])


@pytest.mark.parametrize("at", range(len(WHOLE)))
def test_a_stream_that_is_cut_at_any_byte_goes_on_right_there(at: int) -> None:
    if WHOLE[:at].endswith(end(3)[:-1]):
        return
    received = WHOLE[:at]
    seq = 3 if delta(1, "bc", seq=3) in received else 1 if delta(0, "a") in received else 0
    rest = {0: WHOLE, 1: TOLD + delta(1, "bc", seq=3) + end(3), 3: TOLD + end(3)}[seq]
    world = World([STREAM, *([received] if received else []), CUT, STREAM, rest])
    view = follow(world)
    assert view.content.text == "abc"
    assert resumed_from(world) == [None, f"{seq}-1" if seq else None]
    assert [one.text for one in world.events if isinstance(one, Delta)] == ["a", "bc"]
    assert [type(notice) for notice in world.notices] == [Retrying, Resumed]


@pytest.mark.parametrize(
    "wrong",
    [
        delta(2, "x"),  # a gap
        delta(0, "a"),  # a repeat
        delta(0, "ab", seq=2),  # an overlap
        delta(1, "", seq=1),  # nothing
        event("delta", after=1, seq=2, text="x"),  # without a position
        event("delta", "2-1", after=1, text="x"),
        event("delta", "2-1", after="1", seq="2", text="x"),
        end(2),
        b"event: delta\nid: 2-1\ndata: {\n\n",
        b"event: delta\nid: 2-1\ndata: []\n\n",
        b"data: \xff\n\n",
    ],
)
def test_what_does_not_fit_is_not_shown_and_resumed_from_the_last_good_position(wrong: bytes) -> None:
    world = World([STREAM, TOLD + delta(0, "a") + wrong, STREAM, TOLD + delta(1, "bc", seq=3) + end(3)])
    assert follow(world).content.text == "abc"
    assert resumed_from(world) == [None, "1-1"]
    assert [one.text for one in world.events if isinstance(one, Delta)] == ["a", "bc"]


def test_a_server_that_never_fits_is_given_up() -> None:
    with pytest.raises(TooManyRetries, match="a gap or a repeat"):
        follow(World([STREAM, TOLD + delta(5, "x")] * 100))


def test_a_server_that_is_away_for_a_while_is_come_back_to() -> None:
    away = [CUT, reply(502, b"<html>", "text/html"), problem(503, "draining"), reply(504, b"", "text/html")]
    world = World([STREAM, TOLD + delta(0, "a"), *away, STREAM, TOLD + delta(1, "bc", seq=3) + end(3)])
    assert follow(world).content.text == "abc"
    assert [notice.tries for notice in world.notices] == [1, 2, 3, 4, 4]


def test_one_that_brings_us_further_may_be_cut_as_often_as_it_likes() -> None:
    tokens = 500
    cuts = [answer for number in range(tokens) for answer in (STREAM, TOLD + delta(number, "x"), CUT)]
    world = World([*cuts, STREAM, TOLD + end(tokens)])
    assert follow(world).content.text == "x" * tokens
    assert {notice.tries for notice in world.notices} == {1}
    assert world.now > world.max_wait_s


def test_a_passing_refusal_is_come_back_to_when_it_says() -> None:
    world = World([STREAM, b"retry: 2000\n\n", b"", STREAM, WHOLE])
    assert follow(world).content.text == "abc"
    assert world.slept == [2.25]


def test_a_passing_refusal_says_why_and_what() -> None:
    world = World([STREAM, b"retry: 1000\n\n: draining: It shuts down.\n\n", b"", STREAM, WHOLE])
    follow(world)
    (error,) = [notice.error for notice in world.notices if isinstance(notice, Retrying)]
    assert isinstance(error, Unavailable) and error.code == "draining"
    assert error.message.endswith(" cannot serve for now: It shuts down.")


def test_passing_refusals_do_not_go_on_for_ever() -> None:
    with pytest.raises(TooManyRetries):
        follow(World([STREAM, b"retry: 2000\n\n", b""] * 100))


def test_a_late_reader_is_told_all_that_there_is() -> None:
    parts: list[dict[str, Any]] = [{"reasoning": "hm"}, {"text": "a"}]
    world = World([STREAM, TOLD + event("snapshot", "2-1", seq=2, parts=parts) + delta(2, "b") + end(3)])
    view = follow(world)
    assert world.events[1] == Snapshot(2, "2-1", (Part(reasoning="hm"), Part(text="a")))
    assert (view.content.text, view.content.parts) == ("ab", (Part(reasoning="hm"), Part(text="ab")))


def test_a_position_is_opaque_and_goes_back_as_it_was() -> None:
    world = World([STREAM, TOLD + delta(7, "b") + end(8)])
    assert follow(world, watched("any thing")).content.text == "b"
    assert resumed_from(world) == ["any thing"]


def test_a_restarted_answer_begins_from_nothing() -> None:
    again = event("attempt", "2-1", after=1, seq=2, number=2, reason="takeover", how="restarted")
    on = event("attempt", "4-1", after=3, seq=4, number=3, reason="drain", how="continued")
    world = World([STREAM, TOLD + delta(0, "x") + again + delta(2, "a") + on + delta(4, "b") + end(5)])
    assert follow(world).content.text == "ab"
    assert [one.how for one in world.events if isinstance(one, Attempt)] == ["restarted", "continued"]


def test_after_the_end_nothing_is_left() -> None:
    world = World([reply(204), reply(200, RUN)])
    view = follow(world, watched("9-1"))
    assert [type(one) for one in world.events] == [End]
    assert (view.status, view.position) == ("completed", "9-1")


def test_fragments_of_calls_are_put_together() -> None:
    first = event("delta", "1-1", after=0, seq=1, tool_call={"index": 0, "id": "c", "name": "add", "arguments": "{"})
    second = event("delta", "2-1", after=1, seq=2, tool_call={"index": 0, "arguments": "}"})
    view = follow(World([STREAM, TOLD + first + second + delta(2, "t") + end(3)]))
    call, text = view.content.parts
    assert call.tool_call is not None
    assert (call.tool_call.name, call.tool_call.arguments, text.text) == ("add", "{}", "t")


def test_events_and_fields_of_a_newer_server_are_left_aside() -> None:
    newer = event("news", what="is this?") + event("delta", "1-1", after=0, seq=1, text="a", colour="red")
    assert follow(World([STREAM, TOLD + newer + end(1)])).content.text == "a"


def test_a_stream_that_is_held_back_is_told_from_a_server_that_is_away() -> None:
    run = reply(200, {**RUN, "status": "in_progress"})
    with pytest.raises(Buffered, match="proxy_buffering off"):
        follow(World([SILENCE, STREAM, SILENCE, run]))
    world = World([SILENCE, SILENCE, CUT, STREAM, WHOLE])
    assert follow(world).content.text == "abc"


def test_a_stream_that_falls_silent_in_its_middle_is_resumed() -> None:
    world = World([STREAM, TOLD + delta(0, "a"), SILENCE, STREAM, TOLD, SILENCE, STREAM, TOLD + end(1)])
    assert follow(world).content.text == "a"


def test_a_token_that_expires_on_the_way_is_replaced() -> None:
    answers = [STREAM, TOLD + delta(0, "a"), b"", problem(401, "unauthenticated"), STREAM, TOLD + end(1)]
    world = World(answers, tokens=["old", "old", "new"])
    assert follow(world).content.text == "a"
    assert world.rejected == [None, None, "old"]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (problem(401, "unauthenticated"), Unauthorized),
        (problem(404, "unknown_run"), NotFound),
        (reply(200, b"<html>", "text/html"), NotHeadwater),
        (reply(200, RUN), NotHeadwater),
        (reply(404, b"", "text/html"), NotHeadwater),
    ],
)
def test_what_will_not_pass_is_an_error_at_once(answer: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        follow(World([STREAM, TOLD + delta(0, "a"), CUT, answer]))


def test_a_new_run_is_followed_from_its_first_token() -> None:
    view = RunView("", BEGINNING)
    world = World([CUT, reply(202, {**RUN, "status": "queued"}), STREAM, WHOLE])
    world.play(following.stream(world.rules, view, "hi", {}, "key-1"))
    assert view.content.text == "abc"
    assert view.run is not None
    assert (view.run.id, view.run_id, resumed_from(world)) == ("run_1", "run_1", [BEGINNING])
