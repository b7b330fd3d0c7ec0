"""A room's socket, frame by frame: who is there, what is taken, what ends it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.core.access import ANONYMOUS, Principal
from headwater.core.session import (
    FRAME_BYTES,
    MALFORMED_MAX,
    REASON_BYTES,
    Action,
    Auth,
    Authenticate,
    Close,
    Error,
    Join,
    NotYet,
    Ok,
    Ping,
    Refusal,
    Send,
    Session,
    encode_push,
    read_command,
)

ANNA = Principal(tenant="acme", subject="user:anna", scopes=frozenset({"rooms:write"}))
NEWER_ANNA = Principal(tenant="acme", subject="user:anna", scopes=frozenset({"rooms:read"}), expires_at=2e9)
BERT = Principal(tenant="acme", subject="user:bert", scopes=frozenset({"rooms:write"}))
ANNA_ELSEWHERE = Principal(tenant="other", subject="user:anna", scopes=frozenset({"rooms:write"}))
SHUT_OUT = Principal(tenant="acme", subject="user:anna", scopes=frozenset({"rooms:write"}), rooms={"attic": "write"})

NOT_VALID = Refusal("unauthenticated", "The credential is not valid.", 4401)
STORE_DOWN = Refusal("store_unavailable", "The store does not answer.", 1013, retryable=True)

SECRET = "hwk_abcdefghijkl_not-a-real-one"
UNREADABLE = ("", "{", "[]", "null", "7", '"auth"', "{}", '{"type":3}', '{"type":"dance"}', b'{"type":"ping"}')


def frame(kind: str, **fields: Any) -> str:
    return json.dumps({"type": kind, **fields})


def asked() -> Session:
    """A session that waits for the answer about its first token."""
    session = Session("lobby")
    assert session.receive(frame("auth", token="one", ref="1")) == [Authenticate("one")]
    return session


def refreshing(command: str = "auth") -> Session:
    """Anna's session that waits for the answer about another token."""
    session = Session("lobby", ANNA)
    assert session.receive(frame(command, token="two", ref="2")) == [Authenticate("two")]
    return session


def only(actions: list[Action]) -> Action:
    (action,) = actions
    return action


def error(actions: list[Action]) -> Error:
    action = only(actions)
    assert isinstance(action, Send) and isinstance(action.push, Error), action
    return action.push


def close(actions: list[Action]) -> int:
    action = only(actions)
    assert isinstance(action, Close), action
    assert 0 < len(action.reason.encode()) <= REASON_BYTES
    return action.code


def is_open(session: Session) -> bool:
    return session.receive(frame("ping", ref="p")) == [Send(Ok("p"))]


# -- waiting


def test_a_token_opens_it() -> None:
    session = asked()
    assert session.principal is None
    assert session.authenticated(ANNA) == [Send(Ok("1"))]
    assert session.principal is ANNA and is_open(session)


def test_a_join_with_a_token_opens_it_too() -> None:
    session = Session("lobby")
    assert session.receive(frame("join", token="one", ref="j", since="4-7", name="Anna")) == [Authenticate("one")]
    answer = error(session.authenticated(ANNA))
    assert (answer.ref, answer.code, answer.retryable) == ("j", "not_found", False)
    assert is_open(session)


@pytest.mark.parametrize(
    "first",
    [*UNREADABLE, frame("ping"), frame("join"), frame("message", text="hello"), frame("auth"), frame("auth", token="")],
)
def test_anything_else_ends_it(first: str | bytes) -> None:
    session = Session("lobby")
    assert close(session.receive(first)) == 4401
    assert session.closed


def test_a_token_that_is_not_valid_ends_it() -> None:
    assert close(asked().refused(NOT_VALID)) == 4401


def test_a_token_that_cannot_be_looked_at_now_ends_it_for_now() -> None:
    assert close(asked().refused(STORE_DOWN)) == 1013


def test_a_token_for_other_rooms_ends_it() -> None:
    session = asked()
    assert close(session.authenticated(SHUT_OUT)) == 4403
    assert session.principal is None


def test_silence_ends_it() -> None:
    assert close([Session("lobby").late()]) == 4401


# -- open


def test_who_is_known_needs_no_first_word() -> None:
    assert is_open(Session("lobby", ANONYMOUS))


def test_a_newer_token_of_the_same_principal_replaces_it() -> None:
    session = refreshing()
    assert session.authenticated(NEWER_ANNA) == [Send(Ok("2"))]
    assert session.principal is NEWER_ANNA


def test_so_does_one_that_comes_with_a_join() -> None:
    session = refreshing("join")
    assert error(session.authenticated(NEWER_ANNA)).code == "not_found"
    assert session.principal is NEWER_ANNA


@pytest.mark.parametrize("other", [BERT, ANNA_ELSEWHERE, ANONYMOUS, SHUT_OUT])
def test_any_other_token_changes_nothing(other: Principal) -> None:
    session = refreshing()
    answer = error(session.authenticated(other))
    assert (answer.ref, answer.code, answer.retryable) == ("2", "forbidden", False)
    assert session.principal is ANNA and is_open(session)


@pytest.mark.parametrize("refusal", [NOT_VALID, STORE_DOWN])
def test_a_refused_one_changes_nothing(refusal: Refusal) -> None:
    session = refreshing()
    answer = error(session.refused(refusal))
    assert (answer.ref, answer.code, answer.retryable) == ("2", refusal.code, refusal.retryable)
    assert session.principal is ANNA and is_open(session)


def test_the_end_of_its_credential_ends_it() -> None:
    session = Session("lobby", ANNA)
    assert close([session.over()]) == 4401
    assert session.closed


@pytest.mark.parametrize(
    "command", ["join", "message", "edit", "delete", "react", "typing", "read", "cancel", "history"]
)
def test_what_a_later_version_has_is_not_found(command: str) -> None:
    session = Session("lobby", ANNA)
    for number in range(MALFORMED_MAX + 1):  # it is no fault of the client's
        answer = error(session.receive(frame(command, ref=f"r{number}")))
        assert (answer.ref, answer.code) == (f"r{number}", "not_found")
        assert command in answer.detail


# -- frames


@pytest.mark.parametrize(
    ("wrong", "code", "says"),
    [
        ("", "malformed_json", "JSON"),
        ("{", "malformed_json", "JSON"),
        (frame("ping") + "x", "malformed_json", "JSON"),
        ('{"type":"dance",{', "malformed_json", "JSON"),
        ('{"type":"ping","loud":', "malformed_json", "JSON"),
        ("\ud800", "malformed_json", "JSON"),
        ("[]", "invalid", "object"),
        ("{}", "invalid", "`type`"),
        ('{"type":3}', "invalid", "type: "),
        (frame("dance"), "invalid", "auth, join, ping"),
        (frame("ping", ref=3), "invalid", "ref: "),
        (frame("ping", ref="x" * 65), "invalid", "64"),
        (frame("auth", token=3), "invalid", "token: "),
        (frame("auth", token=""), "invalid", "token: "),
        (frame("auth"), "invalid", "`token`"),
        (frame("ping", loud=True), "invalid", "`loud`"),
        (frame("ping")[:-1] + ',"x":' + "[" * 30_000 + "]" * 30_000 + "}", "invalid", "nested"),
        (b"\x00\x01", "bad_request", "binary"),
    ],
)
def test_a_frame_that_is_no_command_is_answered_with_what_is_wrong(wrong: str | bytes, code: str, says: str) -> None:
    session = Session("lobby", ANNA)
    answer = error(session.receive(wrong))
    assert (answer.code, answer.retryable) == (code, False)
    assert says in answer.detail
    assert is_open(session)


def test_the_answer_to_a_wrong_command_has_its_ref() -> None:
    session = Session("lobby", ANNA)
    for wrong in (frame("dance", ref="r"), frame("ping", ref="r", loud=True), frame("auth", ref="r")):
        assert error(session.receive(wrong)).ref == "r"


def test_too_many_in_a_row_end_it() -> None:
    session = Session("lobby", ANNA)
    for _ in range(MALFORMED_MAX - 1):
        error(session.receive("{"))
    assert is_open(session)  # which begins the count again
    for _ in range(MALFORMED_MAX - 1):
        error(session.receive(b"{"))
    assert close(session.receive(frame("dance"))) == 4400
    assert session.closed


@pytest.mark.parametrize("principal", [None, ANNA])
@pytest.mark.parametrize("letter", ["x", "ä", "\U0001f30a", b"\x00"])
def test_a_frame_over_the_limit_ends_it(letter: str | bytes, principal: Principal | None) -> None:
    size = len(letter.encode() if isinstance(letter, str) else letter)
    assert close(Session("lobby", principal).receive(letter * (FRAME_BYTES // size + 1))) == 1009


def test_a_frame_at_the_limit_does_not() -> None:
    start = frame("ping")
    assert is_open(session := Session("lobby", ANNA))
    assert session.receive(start + " " * (FRAME_BYTES - len(start))) == [Send(Ok())]


@given(st.text() | st.binary() | st.sampled_from(UNREADABLE) | st.text('{}[]":, typeingrfok0'))
def test_nothing_that_comes_breaks_it(anything: str | bytes) -> None:
    for principal in (None, ANNA):
        assert Session("lobby", principal).receive(anything)


def test_a_long_name_of_a_field_makes_no_long_answer() -> None:
    answer = read_command(frame("ping", **{"x" * 10_000: 1}))
    assert isinstance(answer, Error) and len(answer.detail) < 1_000


# -- the wire


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ('{"type":"auth","token":"t","ref":"r"}', Auth(token="t", ref="r")),
        ('{"ref":"r","token":"t","type":"auth"}', Auth(token="t", ref="r")),
        ('{"type":"join"}', Join()),
        ('{"type":"join","since":"4-7","name":"Anna","token":"t"}', Join(since="4-7", name="Anna", token="t")),
        ('{"type":"ping"}', Ping()),
        ('{"type":"message","text":"hello","ref":"r"}', NotYet("message", "r")),
    ],
)
def test_commands_as_they_come(text: str, command: object) -> None:
    assert read_command(text) == command


def test_pushes_as_they_go() -> None:
    assert encode_push(Ok("r")) == '{"type":"ok","ref":"r"}'
    assert encode_push(Ok()) == '{"type":"ok"}'
    told = Error(ref="r", code="forbidden", detail="No.", retryable=False)
    assert encode_push(told) == '{"type":"error","ref":"r","code":"forbidden","detail":"No.","retryable":false}'
    assert json.loads(encode_push(Error(code="invalid", detail="No.", retryable=True))) == {
        "type": "error", "code": "invalid", "detail": "No.", "retryable": True,
    }  # fmt: skip


def test_no_repr_shows_a_token() -> None:
    session = Session("lobby")
    actions = session.receive(frame("auth", token=SECRET))
    commands = [read_command(frame(kind, token=SECRET)) for kind in ("auth", "join")]
    assert SECRET not in f"{session!r} {actions!r} {commands!r}"


def test_no_answer_shows_a_token() -> None:
    for wrong in (frame("auth", token=SECRET, loud=True), frame("auth", token=[SECRET]), frame(SECRET, token=SECRET)):
        assert SECRET not in encode_push(error(Session("lobby", ANNA).receive(wrong)))
