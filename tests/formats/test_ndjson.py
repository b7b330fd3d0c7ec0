"""The native events, one JSON object a line."""

import json

from headwater.core.events import Attempt, End, Span, Text
from headwater.core.position import Position
from headwater.core.run import RunRequest
from headwater.formats.base import After, Frame, Head
from headwater.formats.ndjson import Ndjson

FORMAT = Ndjson(Head("run_1", "demo", 0.0, RunRequest(input="hi")))


def test_a_connection_opens_with_nothing() -> None:
    assert FORMAT.opening(1372) == b""


def test_the_run_s_id_is_the_run_s() -> None:
    assert FORMAT.run("queued", first=True) == b'{"event":"run","id":"run_1","status":"queued","model":"demo"}\n'


def test_a_snapshot_is_a_line() -> None:
    frame = FORMAT.snapshot(Position(17, 7), [{"text": "…"}], replaces=True)
    assert frame == Frame('{"event":"snapshot","id":"17-7","seq":17,"parts":[{"text":"…"}]}\n'.encode())


def test_every_event_is_a_line_with_its_position() -> None:
    spans = [
        Span(17, 20, 7, Text("a\nb\u2028c")),
        Span(20, 21, 8, Attempt(2, "takeover", "restarted")),
        Span(21, 22, 8, End("completed", "stop")),
    ]
    assert FORMAT.spans(spans) == Frame(
        '{"event":"delta","id":"20-7","after":17,"seq":20,"text":"a\\nb\u2028c"}\n'
        '{"event":"attempt","id":"21-8","after":20,"seq":21,"number":2,"reason":"takeover","how":"restarted"}\n'
        '{"event":"end","id":"22-8","after":21,"seq":22,"status":"completed","finish_reason":"stop"}\n'.encode(),
        After.CLOSE,
    )


def test_every_line_is_json_by_itself() -> None:
    data = FORMAT.spans([Span(0, 1, 7, Text('"\\\0\r')), Span(1, 2, 7, Text("\U0001f468\u200d\U0001f469"))]).data
    lines = data.split(b"\n")
    assert lines.pop() == b""
    assert [json.loads(line)["text"] for line in lines] == ['"\\\0\r', "\U0001f468\u200d\U0001f469"]


def test_a_keep_alive_is_an_empty_line() -> None:
    assert FORMAT.keep_alive == b"\n"
