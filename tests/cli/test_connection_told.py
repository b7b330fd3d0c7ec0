"""What the commands say of the connection, on stderr."""

from collections.abc import Sequence

import pytest

from headwater.cli.terminal import Terminal
from headwater_client import Notice, Resumed, Retrying, Unavailable

URL = "http://app.test"
CUT = ConnectionError()
CLOSED = Unavailable("the connection was closed before the end of the answer", code="closed")
GOING = Unavailable(f"{URL} cannot serve for now: This worker is shutting down.", code="draining", status=200)
FULL = Unavailable(f"{URL} answered 429: Too many.", code="too_many", status=429)
GOING_AWAY = Unavailable("The connection to the room was closed: 1001", code="1001")
RESTARTING = "the server is shutting down or restarting, trying again"
AWAY = f"cannot reach {URL}, trying again in 2 s"
BACK = None


@pytest.mark.parametrize(
    ("failures", "said"),
    [
        ([CUT, CUT, BACK], ["connection lost, trying again in 2 s", AWAY, "back"]),
        ([CLOSED, BACK], ["the server closed the connection, trying again in 2 s", "back"]),
        ([GOING, GOING, GOING_AWAY, CUT, CUT, BACK], [RESTARTING, AWAY, AWAY, "back"]),
        ([GOING, BACK, GOING, BACK], [RESTARTING, "back"] * 2),
        ([FULL, BACK], [f"{URL} answered 429: Too many, trying again in 2 s", "back"]),
    ],
    ids=["cut", "handed over", "restarted", "restarted twice", "full"],
)
def test_it_says_what_happened_to_the_connection(
    capsys: pytest.CaptureFixture[str], failures: Sequence[Exception | None], said: list[str]
) -> None:
    terminal = Terminal(URL)
    terminal.reached = True
    for tries, failure in enumerate(failures, 1):
        notice: Notice = Resumed(tries) if failure is None else Retrying(tries, 1.5, failure)
        terminal.tell(notice)
    assert capsys.readouterr().err.splitlines() == said
