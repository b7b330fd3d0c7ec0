"""`headwater room`."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from headwater.cli.screen import PlainPaper, Screen, wrapped
from headwater.cli.talk import Talk
from headwater_client import AsyncRoom, Began, Client, Grew, Message, Part, Retried, Room, Said
from tests.cli.at_terminal import CTRL_C, AtTerminal
from tests.cli.conftest import gate
from tests.support.server import ServerProcess


@contextmanager
def somebody(server: ServerProcess, room: str) -> Iterator[Room]:
    with Client(server.url) as client, client.room(room, name="Bob") as entered:
        yield entered


def hears(room: Room, text: str) -> None:
    """Wait until somebody else said it."""
    for event in room:
        if isinstance(event, Said) and event.message.text == text:
            return


def test_piped_lines_are_said_and_what_they_ask_is_answered(server: ServerProcess) -> None:
    command = [sys.executable, "-m", "headwater", "room", "piped", "--name", "Ann", "--url", server.url]
    typed = "@quick Hello\n/who\n/nonsense\n//slash"
    result = subprocess.run(command, input=typed, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[:2] == ["* you are Ann in piped; /help says what can be typed", "* here: Ann"]
    for said in ("Ann: @quick Hello", "quick: Right away.", "Ann: /slash"):
        assert lines.count(said) == 1, result.stdout
    assert any(line.startswith("* there is no /nonsense: ") for line in lines)


def test_people_talk_while_an_answer_grows_and_stop_it(server: ServerProcess) -> None:
    with somebody(server, "lively") as bob, AtTerminal("room", "lively", "--name", "Ann", "--url", server.url) as ann:
        bob.say("First")
        ann.sees("* here: Ann, Bob")
        ann.sees("Bob: First\n")
        ann.types("@gated Hellp\x7fo\r")
        ann.sees("gated: Right ")
        hears(bob, "@gated Hello")
        bob.say("Still here")
        ann.sees("Bob: Still here\n")
        ann.types("/stop\r")
        ann.sees(" (cancelled)\n")
        ann.types(CTRL_C)
        assert ann.exit_code() == 0
    assert not gate(server).exists() and "Traceback" not in ann.shown


# -- what it is written on


def test_a_screen_keeps_what_is_typed_below_what_is_said() -> None:
    out: list[str] = []
    screen = Screen(out.append, lambda: 20)
    assert screen.typed("Hé".encode()[:2]) == [], "half of a character"
    assert screen.typed("Hé".encode()[2:]) == [] and screen.begun == "Hé"
    screen.line("Ann: one")
    assert out[-1] == "\r\x1b[JAnn: one\n> Hé"
    screen.write("demo: a")
    assert out[-1] == "\r\x1b[Jdemo: a\n> Hé"
    screen.write("b\nc")
    assert out[-1] == "\r\x1b[1A\x1b[Jdemo: ab\nc\n> Hé"
    screen.line("Ann: two")
    assert out[-1] == "\r\x1b[1A\x1b[Jc\nAnn: two\n> Hé"
    assert screen.typed(b"\x1b[A!\x7f?\r") == ["Hé?"], "an arrow is no text"
    assert screen.typed(b"one two\x17\x15three") == [] and screen.begun == "three"


def test_what_others_say_commands_no_terminal() -> None:
    out: list[str] = []
    Screen(out.append, lambda: 80).line("Ann: \x1b]0;title\x07\x1b[2Jhi")
    assert out[-1] == "\r\x1b[JAnn: ]0;title[2Jhi\n> "


def test_long_lines_break_at_a_space_and_lose_nothing() -> None:
    assert wrapped("one two three", 8) == ["one two", "three"]
    assert wrapped("abcdefghij", 4) == ["abcd", "efgh", "ij"]
    assert wrapped("日本語", 4) == ["日本", "語"]
    assert wrapped("", 4) == [""]


def test_plain_lines_may_come_in_pieces() -> None:
    plain = PlainPaper()
    assert (plain.typed(b"on"), plain.typed(b"e\ntw"), plain.typed(b"")) == ([], ["one"], ["tw"])


def test_no_words_look_like_somebody_elses() -> None:
    out: list[str] = []
    screen = Screen(out.append, lambda: 80)
    talk = Talk(cast(AsyncRoom, None), screen)
    talk.take(Said(message("Ann", "Hi\nBob: Me, too")))
    assert out[-1] == "\r\x1b[JAnn: Hi\n  Bob: Me, too\n> "
    talk.take(Began(message("demo", "Yes\nBob: No", status="in_progress")))
    assert out[-1] == "\r\x1b[1A\x1b[Jdemo: Yes\n  Bob: No\n> "


def test_an_answer_that_changes_hands_goes_on_below_a_line_that_says_so() -> None:
    out: list[str] = []
    talk = Talk(cast(AsyncRoom, None), Screen(out.append, lambda: 80))
    answer = message("demo", "Yes, ", status="in_progress")
    talk.take(Began(answer))
    talk.take(Retried(answer, 2, "failover", "continued", "back\nup"))
    assert out[-1] == "\r\x1b[1A\x1b[Jdemo: Yes, \n* continued by back up\n> "
    answer.content.append(Part(text="it does"))
    talk.take(Grew(answer, "it does"))
    assert out[-1] == "\r\x1b[Jdemo …it does\n> "


def test_an_answer_that_begins_anew_is_told_of_once() -> None:
    out: list[str] = []
    talk = Talk(cast(AsyncRoom, None), Screen(out.append, lambda: 80))
    answer = message("demo", "Yes", status="in_progress")
    talk.take(Began(answer))
    answer.content.clear()
    talk.take(Retried(answer, 2, "takeover", "restarted"))
    talk.take(Grew(answer, "", replaced=True))
    answer.content.append(Part(text="No"))
    talk.take(Grew(answer, "No"))
    assert "".join(out).count("anew") == 1 and "* begun anew after its worker was lost\n" in "".join(out)
    assert out[-1] == "\r\x1b[1A\x1b[Jdemo: No\n> "


def message(name: str, text: str, status: str | None = None) -> Message:
    said = Message(id=name, by=name, name=name, at=1.0, status=status)
    said.content.set([Part(text=text)])
    return said
