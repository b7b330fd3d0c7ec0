"""The native server-sent events, byte for byte as docs/protocol.md shows them."""

from headwater.core.events import Attempt, End, Event, Failure, Reasoning, Refusal, Span, Text, ToolCall, Usage
from headwater.core.position import Position
from headwater.core.run import RunRequest
from headwater.formats.base import After, Frame, Head
from headwater.formats.native import Native

FORMAT = Native(Head("run_1", "demo", 0.0, RunRequest(input="hi")))
TAG, OTHER = 80472913, 31870055


def one(span: Span) -> bytes:
    """The frame of a single span, after which the connection goes on."""
    frame = FORMAT.spans([span])
    assert frame.after is After.GO_ON
    return frame.data


def test_a_connection_opens_with_its_retry() -> None:
    assert FORMAT.opening(1372) == b"retry: 1372\n\n"


def test_the_run_has_no_id() -> None:
    expected = b'event: run\ndata: {"id":"run_1","status":"in_progress","model":"demo"}\n\n'
    assert FORMAT.run("in_progress", first=True) == expected


def test_a_snapshot_has_its_position() -> None:
    frame = FORMAT.snapshot(Position(17, TAG), [{"text": "…"}], replaces=False)
    assert frame == Frame('id: 17-80472913\nevent: snapshot\ndata: {"seq":17,"parts":[{"text":"…"}]}\n\n'.encode())
    assert FORMAT.snapshot(Position(17, TAG), [{"text": "…"}], replaces=True) == frame


def test_a_snapshot_of_nothing_can_be_said() -> None:
    frame = FORMAT.snapshot(Position(0, 0), [], replaces=True)
    assert frame.data == b'id: 0-0\nevent: snapshot\ndata: {"seq":0,"parts":[]}\n\n'


def test_a_delta_covers_a_range() -> None:
    expected = 'id: 20-80472913\nevent: delta\ndata: {"after":17,"seq":20,"text":"…"}\n\n'
    assert one(Span(17, 20, TAG, Text("…"))) == expected.encode()


def test_each_kind_of_delta_has_its_name() -> None:
    kinds: list[tuple[Event, bytes]] = [
        (Reasoning("hm"), b'"reasoning":"hm"'),
        (Refusal("no"), b'"refusal":"no"'),
        (ToolCall(0, "call_1", "look", "{"), b'"tool_call":{"index":0,"id":"call_1","name":"look","arguments":"{"}'),
        (ToolCall(1, arguments="}"), b'"tool_call":{"index":1,"arguments":"}"}'),
        (ToolCall(2, "call_2", "f"), b'"tool_call":{"index":2,"id":"call_2","name":"f"}'),
    ]
    for event, field in kinds:
        assert one(Span(1, 2, 7, event)) == b'id: 2-7\nevent: delta\ndata: {"after":1,"seq":2,%b}\n\n' % field


def test_line_ends_in_the_text_do_not_break_a_frame() -> None:
    text = "a\nb\r\nc\u2028d\u2029e\u0085f\0"
    data = one(Span(0, 1, 7, Text(text)))
    expected = '{"after":0,"seq":1,"text":"a\\nb\\r\\nc\u2028d\u2029e\u0085f\\u0000"}'
    assert data == f"id: 1-7\nevent: delta\ndata: {expected}\n\n".encode()


def test_an_attempt_says_why_and_how() -> None:
    expected = b'{"after":20,"seq":21,"number":2,"reason":"takeover","how":"continued"}'
    span = Span(20, 21, OTHER, Attempt(2, "takeover", "continued"))
    assert one(span) == b"id: 21-31870055\nevent: attempt\ndata: %b\n\n" % expected


def test_an_attempt_names_a_model_that_is_another_and_tells_no_bill() -> None:
    expected = b'{"after":20,"seq":21,"number":2,"reason":"failover","how":"continued","model":"backup"}'
    span = Span(20, 21, OTHER, Attempt(2, "failover", "continued", "backup", Usage(9, 4)))
    assert one(span) == b"id: 21-31870055\nevent: attempt\ndata: %b\n\n" % expected


def test_an_end_says_what_is_known_and_closes() -> None:
    usage = Usage(input_tokens=9, output_tokens=18)
    frame = FORMAT.spans([Span(21, 22, OTHER, End("completed", "stop", usage=usage))])
    assert frame.after is After.CLOSE
    assert frame.data == (
        b"id: 22-31870055\nevent: end\n"
        b'data: {"after":21,"seq":22,"status":"completed","finish_reason":"stop",'
        b'"usage":{"input_tokens":9,"output_tokens":18}}\n\n'
    )


def test_an_end_that_went_wrong_says_what() -> None:
    end = End("incomplete", None, "upstream_cut", Failure("upstream_cut", "it was cut"))
    assert FORMAT.spans([Span(0, 1, 7, end)]).data == (
        b'id: 1-7\nevent: end\ndata: {"after":0,"seq":1,"status":"incomplete","reason":"upstream_cut",'
        b'"error":{"code":"upstream_cut","detail":"it was cut"}}\n\n'
    )


def test_spans_follow_one_another_in_one_frame() -> None:
    text, end = Span(0, 2, 7, Text("a")), Span(2, 3, 7, End("cancelled"))
    assert FORMAT.spans([text, end]) == Frame(one(text) + FORMAT.spans([end]).data, After.CLOSE)


def test_a_keep_alive_is_a_comment() -> None:
    assert FORMAT.keep_alive == b":\n\n"
