"""WebSocket frames that are made once for many."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Opcode
from websockets.protocol import CLIENT, OPEN, Protocol

from headwater.core.frames import FRAGMENT_BYTES, frame_text, frames_in, messages_in

SIZES = [0, 1, 125, 126, FRAGMENT_BYTES - 1, FRAGMENT_BYTES, FRAGMENT_BYTES + 1, 3 * FRAGMENT_BYTES, 200_001]


def heard(data: bytes) -> list[str]:
    """The messages that a client of another make hears."""
    client = Protocol(CLIENT, state=OPEN, max_size=None)
    client.receive_data(data)
    messages: list[bytearray] = []
    for frame in client.events_received():
        if frame.opcode is Opcode.TEXT:  # type: ignore[union-attr]  # a client that is open hears frames only
            messages.append(bytearray())
        messages[-1] += frame.data  # type: ignore[union-attr]
    return [message.decode() for message in messages]


@pytest.mark.parametrize("size", SIZES)
def test_a_client_hears_a_message_of_any_size(size: int) -> None:
    text = "ä" * (size // 2) + "x" * (size % 2)
    assert heard(frame_text(text.encode())) == [text]


@given(st.lists(st.text(max_size=300), max_size=5))
def test_messages_that_follow_one_another_stay_apart(texts: list[str]) -> None:
    data = b"".join([frame_text(text.encode()) for text in texts])
    assert heard(data) == list(messages_in(data)) == texts


@pytest.mark.parametrize("size", SIZES)
def test_a_long_message_can_be_written_frame_by_frame(size: int) -> None:
    data = frame_text(b"x" * size) + frame_text(b"the next")
    frames = [bytes(frame) for frame in frames_in(data)]
    assert b"".join(frames) == data
    assert all(len(frame) <= FRAGMENT_BYTES + 10 for frame in frames)
    assert list(messages_in(data)) == ["x" * size, "the next"]
