"""The reading of a room's frames."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.core.commands import (
    COMMANDS,
    MENTIONS_MAX,
    PAGE,
    PAGE_MAX,
    TEXT_CHARS,
    AnyCommand,
    Auth,
    Cancel,
    Delete,
    Edit,
    History,
    Join,
    Message,
    Ping,
    React,
    ReadTo,
    Typing,
    Unreadable,
    read_command,
)
from tests.core.talking import IN_THE_ROOM, UNREADABLE, frame

SECRET = "hwk_abcdefghijkl_not-a-real-one"


def unreadable(text: str | bytes) -> Unreadable:
    read = read_command(text)
    assert isinstance(read, Unreadable), read
    return read


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ('{"type":"auth","token":"t","ref":"r"}', Auth(token="t", ref="r")),
        ('{"ref":"r","token":"t","type":"auth"}', Auth(token="t", ref="r")),
        ('{"type":"join"}', Join()),
        ('{"type":"join","since":null,"token":null}', Join()),
        ('{"type":"join","since":"4-7","name":"Anna","token":"t"}', Join(since="4-7", name="Anna", token="t")),
        (' {"type" : "ping"}\n', Ping()),
        ('{"type":"message","client_id":"c","text":"hello"}', Message(client_id="c", text="hello")),
        (
            '{"type":"message","client_id":"c","text":"hello","reply_to":"m","mentions":["demo","ann"]}',
            Message(client_id="c", text="hello", reply_to="m", mentions=("demo", "ann")),
        ),
        ('{"type":"edit","message":"m","text":"\\ud83c\\udf0a"}', Edit(message="m", text="🌊")),
        ('{"type":"delete","message":"m"}', Delete(message="m")),
        ('{"type":"react","message":"m","reaction":"👍"}', React(message="m", reaction="👍", on=True)),
        ('{"type":"typing"}', Typing(on=True)),
        ('{"type":"typing","on":false}', Typing(on=False)),
        ('{"type":"read","position":"4-7"}', ReadTo(position="4-7")),
        ('{"type":"cancel","run":"run_1"}', Cancel(run="run_1")),
        ('{"type":"history"}', History(before=None, limit=PAGE)),
        ('{"type":"history","before":"4-7","limit":1}', History(before="4-7", limit=1)),
    ],
)
def test_commands_as_they_come(text: str, command: AnyCommand) -> None:
    assert read_command(text) == command


@pytest.mark.parametrize(
    ("wrong", "code", "says"),
    [
        ("", "malformed_json", "JSON"),
        ("{", "malformed_json", "JSON"),
        (frame("ping") + "x", "malformed_json", "JSON"),
        ('{"type":"dance",{', "malformed_json", "JSON"),
        ('{"type":"ping","loud":', "malformed_json", "JSON"),
        ("\ud800", "malformed_json", "JSON"),
        ('{"type":"ping","ref":"\\ud800"}', "malformed_json", "JSON"),
        ("[]", "invalid", "object"),
        ("{}", "invalid", "`type`"),
        ('{"type":3}', "invalid", "type: "),
        (frame("dance"), "invalid", "type: this is no command. Known are auth, join, ping, message"),
        (frame("ping", ref=3), "invalid", "ref: "),
        (frame("ping", ref="x" * 65), "invalid", "64"),
        (frame("auth", token=3), "invalid", "token: "),
        (frame("auth", token=""), "invalid", "token: "),
        (frame("auth"), "invalid", "`token`"),
        (frame("ping", loud=True), "invalid", "`loud`"),
        (frame("ping")[:-1] + ',"x":' + "[" * 30_000 + "]" * 30_000 + "}", "invalid", "nested"),
        (b"\x00\x01", "bad_request", "binary"),
        (frame("message", text="hello"), "invalid", "`client_id`"),
        (frame("message", client_id="c", text=""), "invalid", "text: "),
        (frame("message", client_id="c", text="x" * (TEXT_CHARS + 1)), "invalid", "<= 16000"),
        (frame("message", client_id="", text="hello"), "invalid", "client_id: "),
        (frame("message", client_id="c", text="hello", mentions="demo"), "invalid", "mentions: "),
        (frame("message", client_id="c", text="hello", mentions=[""]), "invalid", "mentions[0]: "),
        (frame("message", client_id="c", text="hello", mentions=["a"] * (MENTIONS_MAX + 1)), "invalid", "<= 16"),
        (frame("react", message="m", reaction="x" * 33), "invalid", "reaction: "),
        (frame("typing", on=1), "invalid", "on: "),
        (frame("history", limit=0), "invalid", "limit: "),
        (frame("history", limit=PAGE_MAX + 1), "invalid", "<= 100"),
        (frame("join", name=""), "invalid", "name: "),
        (frame("join", name="Ann\n"), "invalid", "name: contains a control character"),
        (frame("join", name="Ann\u2028Bob"), "invalid", "name: contains a control character"),
    ],
)
def test_what_is_no_command_is_told_what_is_wrong(wrong: str | bytes, code: str, says: str) -> None:
    told = unreadable(wrong)
    assert told.code == code
    assert says in told.detail and told.detail.endswith(".")


def test_the_longest_message_is_one() -> None:
    longest = frame("message", client_id="c", text="ä" * TEXT_CHARS, mentions=["a"] * MENTIONS_MAX)
    assert isinstance(read_command(longest), Message)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("message", {"client_id": "c", "text": "a\0b"}),
        ("message", {"client_id": "c", "text": "hello", "mentions": ["demo", "\0"]}),
        ("join", {"name": "\0"}),
        ("ping", {"ref": "\0"}),
    ],
)
def test_no_field_has_a_nul_character(kind: str, fields: dict[str, Any]) -> None:
    told = unreadable(frame(kind, **fields))
    assert told.code == "invalid" and told.detail.endswith(": contains a NUL character.")
    assert told.detail.split(":")[0] in fields


def test_who_writes_of_one_may() -> None:
    assert read_command(frame("message", client_id="c", text="\\u0000")) == Message(client_id="c", text="\\u0000")


@pytest.mark.parametrize("wrong", [frame("dance", ref="r"), frame("ping", ref="r", loud=1), frame("auth", ref="r")])
def test_what_is_wrong_is_told_with_the_ref(wrong: str) -> None:
    assert unreadable(wrong).ref == "r"


@pytest.mark.parametrize("kind", COMMANDS)
def test_no_command_has_a_field_that_is_not_known(kind: str) -> None:
    fields = {"auth": {"token": "t"}}.get(kind, IN_THE_ROOM.get(kind, {}))
    assert not isinstance(read_command(frame(kind, **fields)), Unreadable)
    assert "`loud`" in unreadable(frame(kind, **fields, loud=True)).detail


def test_a_long_name_of_a_field_makes_no_long_answer() -> None:
    assert len(unreadable(frame("ping", **{"x" * 10_000: 1})).detail) < 1_000


@given(st.text() | st.binary() | st.sampled_from(UNREADABLE) | st.text('{}[]":, \\u0typeingrfok'))
def test_reading_never_fails(anything: str | bytes) -> None:
    read_command(anything)


def test_no_repr_shows_a_token() -> None:
    assert SECRET not in repr([read_command(frame(kind, token=SECRET)) for kind in ("auth", "join")])
