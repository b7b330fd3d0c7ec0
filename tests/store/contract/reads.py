"""Contract: a log from a position, in one piece, and where it stands."""

from headwater.core.content import Content
from headwater.core.events import Attempt, End, Event, Failure, Reasoning, Refusal, Text, ToolCall, Usage
from headwater.core.lifecycle import end_finished
from headwater.core.position import START, Position
from headwater.entropy import new_tag
from headwater.store.base import Read, Store, Top
from tests.store.maker import StoreMaker
from tests.store.producing import Producer, a_run, start, take, texts

EVERYTHING: tuple[tuple[Event, ...], ...] = (
    (Reasoning("hm"), Reasoning(" 思考")),
    (Text("👩‍👩‍👧"), Text('\u2028\u0000\\"\n'), Text("")),
    (ToolCall(0, "call_1", "look", '{"a"'), ToolCall(0, arguments=":1}"), ToolCall(1, "call_2", "see", "")),
    (Attempt(2, "takeover", "continued"),),
    (Refusal("no"),),
)
THE_END = End("failed", reason="upstream_error", error=Failure("upstream_error", "it said no"), usage=Usage(9, 18))


async def two_writers(store: Store, make_store: StoreMaker) -> tuple[str, list[tuple[Event, int]]]:
    """A log by two producers, and every event of it with its tag."""
    first = await start(store, lease_s=make_store.lease_s)
    log: list[tuple[Event, int]] = []
    for events in EVERYTHING[:3]:
        await first.write(*events)
        log += [(event, first.tag) for event in events]
    await make_store.advance(make_store.lease_s)
    heir = await take(store, first.run_id, seen=1)
    for events in (*EVERYTHING[3:], (THE_END,)):
        await heir.write(*events)
        log += [(event, heir.tag) for event in events]
    return first.run_id, log


def events_of(read: Read | None, after: Position) -> list[tuple[Event, int]]:
    """The events of a read with their tags, once each entry is seen to follow the one before."""
    assert read is not None and read.joined
    found = []
    for entry in read.entries:
        assert entry.after == after
        assert entry.seq - after.seq == len(entry.events) > 0
        found += [(event, entry.tag) for event in entry.events]
        after = entry.position
    return found


async def whole(store: Store, run_id: str, after: Position = START) -> list[tuple[Event, int]]:
    return events_of(await store.read(run_id, after, 1_000_000), after)


class Reads:
    async def test_a_log_reads_back_from_every_position(self, store: Store, make_store: StoreMaker) -> None:
        run_id, log = await two_writers(store, make_store)
        assert await whole(store, run_id) == log
        for seq, (_, tag) in enumerate(log, 1):
            assert await whole(store, run_id, Position(seq, tag)) == log[seq:]

    async def test_the_top_comes_with_what_was_read(self, store: Store, make_store: StoreMaker) -> None:
        run_id, log = await two_writers(store, make_store)
        top = Top(Position(len(log), log[-1][1]), "failed")
        for after in (START, top.position, Position(3, log[2][1])):
            read = await store.read(run_id, after, 1_000_000)
            assert read is not None and read.top == top
        assert await store.tops([run_id, "run_nowhere", run_id]) == [top, None, top]

    async def test_a_position_of_another_history_does_not_join(self, store: Store, make_store: StoreMaker) -> None:
        run_id, log = await two_writers(store, make_store)
        foreign = [Position(seq, log[-seq][1] + 1) for seq in (1, len(log))]
        swapped = [Position(1, log[-1][1]), Position(len(log), log[0][1])]
        beyond = [Position(len(log) + 1, log[-1][1]), Position(10**9, log[-1][1]), Position(0, log[0][1])]
        for position in (*foreign, *swapped, *beyond):
            read = await store.read(run_id, position, 1_000_000)
            assert read is not None
            assert (read.joined, read.entries, read.top.position.seq) == (False, (), len(log)), position

    async def test_an_empty_log_joins_only_the_start(self, store: Store) -> None:
        run = (await store.create(a_run(), None)).run
        top = Top(START, "queued")
        assert await store.read(run.id, START, 1000) == Read(True, (), top)
        assert await store.read(run.id, Position(1, 1), 1000) == Read(False, (), top)
        assert await store.tops([run.id]) == [top]
        assert await store.tops([]) == []

    async def test_a_long_log_is_read_in_pieces(self, store: Store) -> None:
        one = await start(store)
        sent = [await one.write(*texts(f"a{n:02}", f"b{n:02}")) for n in range(20)]
        room = 3 * len(sent[0].payload)
        after, found, reads = START, [], 0
        while read := await store.read(one.run_id, after, room):
            if not read.entries:
                break
            found += events_of(read, after)
            after, reads = read.entries[-1].position, reads + 1
        assert [event for event, _ in found] == [event for item in sent for event in item.entry.events]
        assert 5 <= reads <= 10, "about three entries at a time"

    async def test_an_entry_larger_than_the_limit_is_read_alone(self, store: Store) -> None:
        one = await start(store)
        large = await one.write(Text("x" * 100_000))
        await one.write(Text("y"))
        read = await store.read(one.run_id, START, 1)
        assert read is not None and read.entries == (large.entry,)

    async def test_an_unknown_run_is_none_to_read(self, store: Store) -> None:
        assert await store.read("run_nowhere", START, 1000) is None
        assert await store.contents("run_nowhere") is None
        assert await store.tops(["run_nowhere"]) == [None]

    async def test_contents_are_the_whole_output_before_the_end(self, store: Store, make_store: StoreMaker) -> None:
        run_id, log = await two_writers(store, make_store)
        content = Content()
        for event, _ in log:
            content.add(event)
        got = await store.contents(run_id)
        assert got is not None
        assert (got.parts, got.text) == (content.parts(), '👩‍👩‍👧\u2028\u0000\\"\n')
        assert (got.attempts, got.end) == ([Attempt(2, "takeover", "continued")], THE_END)
        assert got.position == Position(len(log) - 1, log[-2][1])
        assert got.top == Top(Position(len(log), log[-1][1]), "failed")
        assert await whole(store, run_id, got.position) == log[-1:]

    async def test_contents_stand_before_an_end_in_the_same_entry(self, store: Store) -> None:
        one = await start(store)
        await one.write(Text("a"), Text("b"), end_finished("stop", None))
        got = await store.contents(one.run_id)
        assert got is not None
        assert (got.position, got.text, got.end) == (Position(2, one.tag), "ab", end_finished("stop", None))

    async def test_contents_without_output_stand_at_the_start(self, store: Store) -> None:
        run = (await store.create(a_run(), None)).run
        empty = await store.contents(run.id)
        await store.cancel(run.id, new_tag())
        ended = await store.contents(run.id)
        for got, status in ((empty, "queued"), (ended, "cancelled")):
            assert got is not None
            assert (got.position, got.parts, got.text, got.attempts) == (START, [], "", [])
            assert got.top.status == status
        assert ended is not None and ended.end == End("cancelled")

    async def test_a_restart_withdraws_what_came_before(self, store: Store) -> None:
        one = await start(store)
        again = Attempt(2, "failover", "restarted")
        await one.write(Text("wrong"), ToolCall(0, "c", "f", "{}"), again)
        got = await store.contents(one.run_id)
        assert got is not None
        assert (got.parts, got.attempts, got.position) == ([], [again], Position(3, one.tag))
        await one.write(Text("right"))
        got = await store.contents(one.run_id)
        assert got is not None and got.text == "right"

    async def test_what_was_acknowledged_can_be_read_at_once(self, store: Store) -> None:
        one: Producer = await start(store)
        for n in range(30):
            before = one.at
            item = await one.write(Text(str(n)))
            read = await store.read(one.run_id, before, 1000)
            assert read is not None and read.entries == (item.entry,)
