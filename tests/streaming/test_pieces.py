"""How frames are handed to a socket: in pieces, without copies, and each that is taken counts."""

from collections.abc import Iterable
from typing import Any, cast

import pytest

from headwater.formats.base import After, Frame
from headwater.formats.native import Native
from headwater.hub import Cursor
from headwater.web.stream import PIECE_BYTES, LogResponse

pytestmark = pytest.mark.anyio

BIG = bytes(3 * PIECE_BYTES)


class Told:
    """A cursor that gives these frames."""

    class format(Native):
        opening = staticmethod(lambda retry_ms: b"retry\n")

    def __init__(self, frames: Iterable[Frame], *, has_ended: bool = False) -> None:
        self.frames = iter(frames)
        self.has_ended = has_ended
        self.gone_because: str | None = None
        self.did: list[str] = []

    async def next(self) -> Frame | None:
        return next(self.frames, None)

    def writing(self) -> None:
        self.did.append("writing")

    def written(self) -> None:
        self.did.append("written")


async def sent(told: Told) -> tuple[LogResponse, list[bytes | memoryview]]:
    """The response, and the pieces that it gave to the socket."""
    response = LogResponse(cast(Cursor, told), 1)
    pieces: list[bytes | memoryview] = []

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            told.did.append("taken")
            pieces.append(message["body"])

    await response._stream_response(send)
    return response, pieces


async def test_each_piece_of_a_large_frame_that_is_taken_is_progress() -> None:
    told = Told([Frame(b"small"), Frame(BIG, After.CLOSE, (BIG, b"tail"))])
    _, pieces = await sent(told)
    assert b"".join(pieces) == b"retry\nsmall" + BIG + BIG + b"tail"
    small, large = ["writing", "taken", "written"], ["writing", "taken"]
    frames = "".join(told.did[: -len(["taken"])])
    assert frames.startswith("".join(small)) and frames.count("written") == 2, "a frame is one write, as before"
    assert frames.count("".join(large)) == frames.count("taken") >= 8


async def test_a_large_frame_is_not_copied_for_its_reader() -> None:
    for before in ([], [Frame(b"small")]):
        _, pieces = await sent(Told([*before, Frame(BIG, After.CLOSE, (BIG,))]))
        large = [piece for piece in pieces if len(piece) == PIECE_BYTES]
        assert len(large) == 6
        assert all(isinstance(piece, memoryview) and piece.obj is BIG for piece in large)


@pytest.mark.parametrize(
    ("after", "has_ended", "complete"),
    [(After.CLOSE, True, True), (After.CLOSE, False, False), (After.BREAK, True, False), (After.BREAK, False, False)],
)
async def test_only_the_end_of_the_run_is_complete(after: After, has_ended: bool, complete: bool) -> None:
    """An answer that began anew closes a stream, too, while the run goes on: its caller has left it then."""
    response, _ = await sent(Told([Frame(b"error", after)], has_ended=has_ended))
    assert response.complete is complete
