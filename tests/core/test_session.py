"""A room's socket, frame by frame: who is there, what is taken, what is answered, what ends it."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from headwater.core.access import ANONYMOUS, Principal
from headwater.core.bucket import Rate
from headwater.core.commands import COMMANDS, read_command
from headwater.core.position import START, Position
from headwater.core.pushes import Error, Member, Ok, encode_push
from headwater.core.session import (
    FRAME_BYTES,
    MALFORMED_MAX,
    Action,
    Authenticate,
    Close,
    Enter,
    Perform,
    Refusal,
    Send,
    Session,
)
from tests.core.talking import (
    ANNA,
    ANNA_ELSEWHERE,
    BERT,
    IN_THE_ROOM,
    NEWER_ANNA,
    NOT_VALID,
    READING_ANNA,
    SHUT_OUT,
    STORE_DOWN,
    UNKNOWN,
    UNREADABLE,
    WATCHING,
    WRITING,
    asked,
    close,
    error,
    frame,
    inside,
    only,
    refreshing,
    session,
)

SECRET = "hwk_abcdefghijkl_not-a-real-one"
SLOWLY = Rate(per_s=2, burst=3)


def is_open(of: Session) -> bool:
    return of.receive(frame("ping", ref="p"), 0) == [Send(Ok(ref="p"))]


def performed(of: Session, kind: str, **fields: Any) -> Perform:
    """The command, given to the room."""
    action = only(of.receive(frame(kind, **fields), 0))
    assert isinstance(action, Perform) and action.command == read_command(frame(kind, **fields))
    return action


# -- waiting to know who is there


def test_a_token_opens_it() -> None:
    waiting = asked()
    assert waiting.principal is None
    assert waiting.authenticated(ANNA) == [Send(Ok(ref="1"))]
    assert waiting.principal is ANNA and is_open(waiting)


def test_a_join_with_a_token_opens_it_and_goes_on_to_the_room() -> None:
    waiting = session(None)
    assert waiting.receive(frame("join", token="one", ref="j", since="4-7"), 0) == [Authenticate("one")]
    assert waiting.authenticated(ANNA) == [Enter(Position(4, 7), Member("user:anna", "user:anna"), "j")]


@pytest.mark.parametrize(
    "first",
    [
        *UNREADABLE,
        frame("join"),
        frame("auth"),
        frame("auth", token=""),
        frame("ping"),
        *(frame(kind, **fields) for kind, fields in IN_THE_ROOM.items()),
    ],
)
def test_anything_else_ends_it(first: str | bytes) -> None:
    waiting = session(None)
    assert close(waiting.receive(first, 0)) == 4401
    assert waiting.closed


def test_a_token_that_is_not_valid_ends_it() -> None:
    assert close(asked().refused(NOT_VALID)) == 4401


def test_a_token_that_cannot_be_looked_at_now_ends_it_for_now() -> None:
    assert close(asked().refused(STORE_DOWN)) == 1013


def test_a_token_for_other_rooms_ends_it() -> None:
    waiting = asked()
    assert close(waiting.authenticated(SHUT_OUT)) == 4403
    assert waiting.principal is None


def test_silence_ends_it() -> None:
    assert close([session(None).late()]) == 4401


def test_who_is_known_needs_no_first_word() -> None:
    assert is_open(session(ANONYMOUS))


# -- newer tokens


@pytest.mark.parametrize("make", [session, inside])
def test_a_newer_token_of_the_same_principal_replaces_it(make: Callable[[], Session]) -> None:
    waiting = refreshing(make())
    member = waiting.member
    assert waiting.authenticated(NEWER_ANNA) == [Send(Ok(ref="2"))]
    assert waiting.principal is NEWER_ANNA and waiting.member is member


def test_so_does_one_that_comes_with_a_join() -> None:
    waiting = refreshing(session(), "join")
    assert isinstance(only(waiting.authenticated(NEWER_ANNA)), Enter)
    assert waiting.principal is NEWER_ANNA


@pytest.mark.parametrize("other", [BERT, ANNA_ELSEWHERE, ANONYMOUS, SHUT_OUT])
@pytest.mark.parametrize("make", [session, inside])
def test_any_other_token_changes_nothing(make: Callable[[], Session], other: Principal) -> None:
    waiting = refreshing(make())
    member = waiting.member
    answer = error(waiting.authenticated(other))
    assert (answer.ref, answer.code, answer.retryable) == ("2", "forbidden", False)
    assert waiting.principal is ANNA and waiting.member is member and is_open(waiting)


@pytest.mark.parametrize("refusal", [NOT_VALID, STORE_DOWN])
def test_a_refused_one_changes_nothing(refusal: Refusal) -> None:
    waiting = refreshing(session())
    answer = error(waiting.refused(refusal))
    assert (answer.ref, answer.code, answer.retryable) == ("2", refusal.code, refusal.retryable)
    assert waiting.principal is ANNA and is_open(waiting)


def test_one_with_another_role_changes_what_one_may_do() -> None:
    joined = inside()
    performed(joined, "typing")
    joined.performed(Ok())
    refreshing(joined).authenticated(READING_ANNA)
    assert error(joined.receive(frame("typing", ref="t"), 0)).code == "forbidden"
    refreshing(joined).authenticated(NEWER_ANNA)
    performed(joined, "typing")


# -- joining


def test_a_join_enters_the_room() -> None:
    coming = session()
    assert coming.receive(frame("join", ref="j"), 0) == [Enter(None, Member("user:anna", "user:anna"), "j")]
    assert coming.member is None and not coming.inside
    coming.entered()
    assert coming.inside and coming.member == Member("user:anna", "user:anna")
    assert is_open(coming)


def test_a_guest_is_who_they_say() -> None:
    coming = session(ANONYMOUS)
    assert coming.receive(frame("join", name="Zoe"), 0) == [Enter(None, Member("guest:Zoe", "Zoe"), None)]


@pytest.mark.parametrize(("since", "position"), [("4-7", Position(4, 7)), ("0-0", START), (None, None)])
def test_a_join_says_where_one_was(since: str | None, position: Position | None) -> None:
    action = only(session().receive(frame("join", since=since), 0))
    assert isinstance(action, Enter) and action.since == position


@pytest.mark.parametrize("since", ["", "4", "4-", "-1-7", "04-7", "4-7 ", "٤-٧", "4-0x7", f"1-{10**13}", "9" * 60_000])
def test_what_is_no_position_is_refused(since: str) -> None:
    coming = session()
    answer = error(coming.receive(frame("join", since=since, ref="j"), 0))
    assert (answer.ref, answer.code, answer.retryable) == ("j", "malformed_position", False)
    assert len(answer.detail) < 200 and not coming.inside
    joined = inside()
    assert error(joined.receive(frame("read", position=since), 0)).code == "malformed_position"


def test_the_token_of_a_join_that_is_refused_is_taken_all_the_same() -> None:
    waiting = session(None)
    waiting.receive(frame("join", token="one", since="no position"), 0)
    assert error(waiting.authenticated(ANNA)).code == "malformed_position"
    assert waiting.principal is ANNA and is_open(waiting)


@pytest.mark.parametrize("refusal", [STORE_DOWN, Refusal("unknown_room", "There is no such room.", 4400)])
def test_who_is_not_let_in_may_try_again(refusal: Refusal) -> None:
    coming = session()
    coming.receive(frame("join", ref="1"), 0)
    answer = error(coming.not_entered(refusal))
    assert (answer.ref, answer.code, answer.retryable) == ("1", refusal.code, refusal.retryable)
    assert not coming.inside
    assert isinstance(only(coming.receive(frame("join", ref="2"), 0)), Enter)


def test_one_joins_once() -> None:
    joined = inside()
    member = joined.member
    answer = error(joined.receive(frame("join", name="Other", ref="j"), 0))
    assert (answer.ref, answer.code) == ("j", "already_joined")
    assert joined.member is member


@pytest.mark.parametrize("kind", IN_THE_ROOM)
def test_nothing_of_the_room_is_there_before_a_join(kind: str) -> None:
    coming = session()
    answer = error(coming.receive(frame(kind, ref="r", **IN_THE_ROOM[kind]), 0))
    assert (answer.ref, answer.code) == ("r", "not_joined")
    assert is_open(coming)


def test_every_command_is_one_of_these() -> None:
    assert {"auth", "join", "ping", *IN_THE_ROOM} == set(COMMANDS)


# -- in the room


@pytest.mark.parametrize("kind", IN_THE_ROOM)
def test_a_command_is_carried_out_and_answered_under_its_ref(kind: str) -> None:
    joined = inside()
    for answer in (Ok(), Ok(message="msg_1"), Ok(messages=[], has_more=False)):
        performed(joined, kind, ref="r", **IN_THE_ROOM[kind])
        assert joined.performed(answer) == [Send(replace(answer, ref="r"))]


@pytest.mark.parametrize("kind", IN_THE_ROOM)
def test_one_that_fails_says_so(kind: str) -> None:
    joined = inside()
    for ref in ({}, {"ref": "r"}):
        for refusal in (UNKNOWN, STORE_DOWN):
            performed(joined, kind, **ref, **IN_THE_ROOM[kind])
            answer = error(joined.failed(refusal))
            assert answer == Error(
                ref=ref.get("ref"), code=refusal.code, detail=refusal.detail, retryable=refusal.retryable
            )
            assert is_open(joined)


@pytest.mark.parametrize("kind", IN_THE_ROOM)
def test_without_a_ref_all_are_answered_but_typing_and_read(kind: str) -> None:
    joined = inside()
    performed(joined, kind, **IN_THE_ROOM[kind])
    assert joined.performed(Ok()) == ([] if kind in ("typing", "read") else [Send(Ok())])


@pytest.mark.parametrize("kind", WRITING)
def test_who_may_only_read_changes_nothing(kind: str) -> None:
    joined = inside(READING_ANNA)
    answer = error(joined.receive(frame(kind, ref="r", **WRITING[kind]), 0))
    assert (answer.ref, answer.code, answer.retryable) == ("r", "forbidden", False)
    assert is_open(joined)


@pytest.mark.parametrize("kind", WATCHING)
def test_who_may_only_read_watches(kind: str) -> None:
    performed(inside(READING_ANNA), kind, **WATCHING[kind])


@pytest.mark.parametrize("fields", [{}, {"run": "run_1", "client_id": "c1"}, {"run": None}])
def test_a_cancel_is_of_one_answer(fields: dict[str, str | None]) -> None:
    joined = inside()
    assert error(joined.receive(frame("cancel", **fields), 0)).code == "invalid"
    performed(joined, "cancel", run="run_1")


# -- frames that are no commands


@pytest.mark.parametrize("make", [session, inside])
def test_one_is_answered_with_what_is_wrong(make: Callable[[], Session]) -> None:
    known = make()
    answer = error(known.receive(frame("dance", ref="r"), 0))
    assert (answer.ref, answer.code, answer.retryable) == ("r", "invalid", False)
    assert is_open(known)


@pytest.mark.parametrize("make", [session, inside])
def test_too_many_in_a_row_end_it(make: Callable[[], Session]) -> None:
    known = make()
    for _ in range(MALFORMED_MAX - 1):
        error(known.receive("{", 0))
    assert is_open(known)  # which begins the count again
    for _ in range(MALFORMED_MAX - 1):
        error(known.receive(b"{", 0))
    assert close(known.receive(frame("dance"), 0)) == 4400
    assert known.closed


def test_a_refused_command_is_none_of_these() -> None:
    coming = session()
    for _ in range(MALFORMED_MAX + 1):
        assert error(coming.receive(frame("typing"), 0)).code == "not_joined"
    assert is_open(coming)


@pytest.mark.parametrize("principal", [None, ANNA])
@pytest.mark.parametrize("letter", ["x", "ä", "\U0001f30a", b"\x00"])
def test_a_frame_over_the_limit_ends_it(letter: str | bytes, principal: Principal | None) -> None:
    size = len(letter.encode() if isinstance(letter, str) else letter)
    assert close(session(principal).receive(letter * (FRAME_BYTES // size + 1), 0)) == 1009


def test_a_frame_at_the_limit_does_not() -> None:
    start = frame("ping")
    known = session()
    assert known.receive(start + " " * (FRAME_BYTES - len(start)), 0) == [Send(Ok())]


@given(st.text() | st.binary() | st.sampled_from(UNREADABLE) | st.text('{}[]":, typeingrfok0'))
def test_nothing_that_comes_breaks_it(anything: str | bytes) -> None:
    for known in (session(None), session(), inside()):
        assert known.receive(anything, 0)


# -- too fast


def test_more_than_a_burst_is_refused_for_now() -> None:
    hasty = session(rate=SLOWLY)
    for _ in range(SLOWLY.burst):
        assert is_open(hasty)
    answer = error(hasty.receive(frame("ping", ref="r"), 0))
    assert (answer.ref, answer.code, answer.retryable) == ("r", "too_fast", True)
    assert "2 frames a second" in answer.detail
    assert hasty.receive(frame("ping"), 0.5) == [Send(Ok())]
    assert error(hasty.receive(frame("ping"), 0.5)).code == "too_fast"


def test_what_is_too_fast_is_not_done() -> None:
    hasty = inside(rate=Rate(per_s=1, burst=3))
    hasty.receive(frame("ping"), 0)
    hasty.receive(frame("ping"), 0)
    for wrong in (frame("message", **WRITING["message"]), frame("auth", token="two")):
        assert error(hasty.receive(wrong, 0)).code == "too_fast"
    assert hasty.principal is ANNA


def test_whoever_goes_on_and_on_is_put_out() -> None:
    hasty = session(rate=SLOWLY)
    for now in (0.0, 0.5):
        while only(hasty.receive(frame("ping"), now)) == Send(Ok()):  # which begins the count again
            pass
        for _ in range(SLOWLY.burst - 2):
            assert error(hasty.receive("{", now)).code == "too_fast"
    assert close(hasty.receive(frame("ping"), 0.5)) == 4429
    assert hasty.closed


# -- the end

ENDINGS: dict[str, tuple[Callable[[Session], Close], int]] = {
    "over": (Session.over, 4401),
    "late": (Session.late, 4401),
    "too slow": (Session.too_slow, 4430),
    "lost": (Session.lost, 4409),
    "going away": (Session.going_away, 1001),
    "crashed": (Session.crashed, 1011),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_each_end_has_its_code(ending: str) -> None:
    end, code = ENDINGS[ending]
    known = inside()
    assert close([end(known)]) == code
    assert known.closed


@pytest.mark.parametrize("ending", ENDINGS)
def test_nothing_comes_after_the_end(ending: str) -> None:
    end, _ = ENDINGS[ending]
    known = inside()
    performed(known, "message", **WRITING["message"])
    said = end(known)
    assert known.performed(Ok()) == []
    assert known.receive(frame("ping"), 0) == []
    assert all(later(known) is said for later, _ in ENDINGS.values()), "the first reason stands"


def test_an_answer_that_comes_too_late_changes_nothing() -> None:
    waiting, coming, doing = asked(), session(), inside()
    coming.receive(frame("join"), 0)
    performed(doing, "typing")
    for each in (waiting, coming, doing):
        each.going_away()
    coming.entered()
    answers: list[list[Action]] = [waiting.authenticated(ANNA), waiting.refused(NOT_VALID)]
    answers += [coming.not_entered(STORE_DOWN), doing.failed(UNKNOWN)]
    assert answers == [[], [], [], []]
    assert waiting.principal is None and coming.member is None


# -- secrets


def test_no_repr_shows_a_token() -> None:
    waiting = session(None)
    actions = waiting.receive(frame("auth", token=SECRET), 0)
    assert SECRET not in f"{waiting!r} {actions!r}"


def test_no_answer_shows_a_token() -> None:
    for wrong in (frame("auth", token=SECRET, loud=True), frame("auth", token=[SECRET]), frame(SECRET, token=SECRET)):
        assert SECRET not in encode_push(error(session().receive(wrong, 0))).decode()
