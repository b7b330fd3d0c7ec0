"""Random operations: a store answers each as the plain model does.

`HEADWATER_MODEL_EXAMPLES=5000` tries that many, each time others; without it the same ones come every time.
"""

import asyncio
import os
import tempfile
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from headwater.core.events import Attempt, Delta, End, Event, Reasoning, Text, ToolCall
from headwater.core.lifecycle import end_failed
from headwater.core.position import START, Position
from headwater.errors import HeadwaterError
from headwater.store.base import Append, Claim, Stale
from headwater.store.sqlite import SqliteStore, logs
from tests.store.chains import assert_whole
from tests.store.model import Model
from tests.store.producing import a_key, a_run, an_append, texts
from tests.store.redis_maker import RedisMaker
from tests.store.sqlite_maker import SqliteMaker

EXAMPLES = os.environ.get("HEADWATER_MODEL_EXAMPLES")
TAGS = st.integers(1, 4)  # few, so that writers are confused with one another as often as can be
TOKENS = st.sampled_from([0, 0, 0, -1, 1])  # what a caller's token is off by
BACK = st.sampled_from([0, 0, 1, 2, -1])  # how far before the top of a log
CONVERSATIONS = st.sampled_from([None, "c"])
LEASES_S = st.sampled_from([1.0, 3.0])
DELTAS: st.SearchStrategy[Delta] = st.one_of(
    st.builds(Text, st.text(max_size=3)),
    st.builds(Reasoning, st.text(max_size=3)),
    st.builds(ToolCall, st.integers(0, 1), st.none() | st.just("c"), st.none(), st.none() | st.text(max_size=3)),
)
EVENTS: st.SearchStrategy[Event] = DELTAS | st.builds(
    Attempt, st.integers(2, 3), st.just("takeover"), st.sampled_from(["continued", "restarted"])
)
ENDS = st.sampled_from([End("completed", "stop"), End("cancelled"), End("failed")])
OUTPUTS = st.lists(EVENTS, min_size=1, max_size=4).map(tuple)
BATCHES = st.one_of(OUTPUTS, OUTPUTS, st.tuples(EVENTS, ENDS), st.tuples(ENDS))


class StoreMachine(RuleBasedStateMachine):
    """Does everything twice, to a store on a file and to the model, and compares."""

    runs = Bundle("runs")
    sent = Bundle("sent")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self.maker = self.make()
        self.model = Model(self.maker.now, self.maker.run_ttl_s)
        self.store = self.loop.run(self.maker.open())
        self.count = 0

    def make(self) -> SqliteMaker | RedisMaker:
        """The engine's maker."""
        raise NotImplementedError

    def teardown(self) -> None:
        self.loop.run(self.maker.close())
        self.loop.close()

    def same(self, asked: Coroutine[Any, Any, Any], expected: Callable[[], Any]) -> Any:
        """The answer, once store and model agree on it, or on the error."""
        got, wanted = self.answer(lambda: self.loop.run(asked)), self.answer(expected)
        assert got == wanted
        return got

    @staticmethod
    def answer(ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except HeadwaterError as error:
            return type(error)

    @initialize(target=runs)
    def two_runs(self) -> Any:
        """Two to begin with, so that most of what follows has something to do."""
        return multiple(self.begin(1, 3.0, None, texts("a", "b", "c")), self.begin(2, 1.0, None, texts("d")))

    @rule(target=runs, tag=TAGS, lease_s=LEASES_S, conversation=CONVERSATIONS, events=OUTPUTS)
    def begin(self, tag: int, lease_s: float, conversation: str | None, events: tuple[Event, ...]) -> str:
        self.create("ann", conversation, None, "h1", None)
        run = f"run_{self.count}"
        self.take(run, 0, tag, lease_s)
        self.send(self.an_append(run, events))
        return run

    @rule(run=runs, tag=TAGS, lease_s=LEASES_S, events=OUTPUTS)
    def take_over(self, run: str, tag: int, lease_s: float, events: tuple[Event, ...]) -> None:
        self.let_time_pass(3.0, False, False)
        self.take(run, 0, tag, lease_s)
        self.send(self.an_append(run, events))

    @rule(
        target=runs,
        owner=st.sampled_from(["ann", "bob"]),
        conversation=CONVERSATIONS,
        key=st.sampled_from([None, None, "k1", "k2"]),
        body_hash=st.sampled_from(["h1", "h1", "h2"]),
        again=st.none() | runs,
        claim=st.none() | st.builds(Claim, TAGS, st.just("w"), LEASES_S),
    )
    def create(
        self,
        owner: str,
        conversation: str | None,
        key: str | None,
        body_hash: str,
        again: str | None,
        claim: Claim | None = None,
    ) -> Any:
        self.count += 1
        run = a_run(owner, id=again or f"run_{self.count}", conversation=conversation)
        reserved = a_key(owner, key, body_hash, ttl_s=20.0) if key else None
        created = self.same(self.store.create(run, reserved, claim), lambda: self.model.create(run, reserved, claim))
        return multiple() if isinstance(created, type) or not created.fresh else run.id

    @rule(run=runs, off=TOKENS, tag=TAGS, lease_s=LEASES_S)
    def take(self, run: str, off: int, tag: int, lease_s: float) -> None:
        seen = self.token(run) + off
        self.same(
            self.store.take_lease(run, seen=seen, tag=tag, holder="w", lease_s=lease_s),
            lambda: self.model.take_lease(run, seen, tag, lease_s),
        )

    @rule(target=sent, run=runs, batches=st.lists(OUTPUTS, min_size=1, max_size=4))
    def append(self, run: str, batches: list[tuple[Event, ...]]) -> Any:
        return multiple(*(self.send(self.an_append(run, events)) for events in batches))

    @rule(target=sent, run=runs, events=BATCHES)
    def append_end(self, run: str, events: tuple[Event, ...]) -> Append:
        return self.send(self.an_append(run, events))

    @rule(target=sent, run=runs, events=BATCHES, off=TOKENS, tag=TAGS, back=BACK, of=st.none() | TAGS)
    def append_wrongly(
        self, run: str, events: tuple[Event, ...], off: int, tag: int, back: int, of: int | None
    ) -> Append:
        return self.send(self.an_append(run, events, off=off, tag=tag, after=self.position(run, back, of)))

    @rule(item=sent)
    def append_again(self, item: Append) -> None:
        self.send(item)

    @rule(several=st.lists(runs, max_size=4, unique=True), events=BATCHES, off=TOKENS)
    def append_together(self, several: list[str], events: tuple[Event, ...], off: int) -> None:
        batch = [self.an_append(run, events, off=off if n == 1 else 0) for n, run in enumerate(several)]
        self.same(self.store.append(batch), lambda: self.model.append(batch))

    @rule(several=st.lists(runs, max_size=3), off=TOKENS, lease_s=LEASES_S)
    def renew(self, several: list[str], off: int, lease_s: float) -> None:
        held = [(run, self.token(run) + off) for run in several]
        self.same(self.store.renew_leases(held, lease_s), lambda: self.model.renew_leases(held, lease_s))

    @rule(run=runs, off=TOKENS)
    def release(self, run: str, off: int) -> None:
        token = self.token(run) + off
        self.same(self.store.release_lease(run, token), lambda: self.model.release_lease(run, token))

    @rule(run=runs, tag=st.integers(5, 7))
    def cancel(self, run: str, tag: int) -> None:
        self.same(self.store.cancel(run, tag), lambda: self.model.cancel(run, tag))

    @rule(run=runs, off=TOKENS, tag=TAGS | st.integers(8, 9))
    def give_up(self, run: str, off: int, tag: int) -> None:
        seen, end = self.token(run) + off, end_failed("internal_error", "damaged")
        self.same(self.store.give_up(run, seen=seen, tag=tag, end=end), lambda: self.model.give_up(run, seen, tag, end))

    @rule(run=runs | st.just("run_nowhere"), max_bytes=st.sampled_from([1, 40, 10**6]))
    def read_from_everywhere(self, run: str, max_bytes: int) -> None:
        row = self.model.find(run)
        places = range(-1, row.top.seq + 1 if row else 1)
        for after in {self.position(run, back, of) for back in places for of in (None, 1, 2)}:
            expected = self.model.read(run, after)
            got = self.loop.run(self.store.read(run, after, max_bytes))
            if got is None or expected is None or max_bytes == 10**6:
                assert got == expected
            else:
                assert (got.joined, got.top) == (expected.joined, expected.top)
                assert got.entries == expected.entries[: len(got.entries)]
                assert bool(got.entries) == bool(expected.entries)

    @rule(run=runs | st.just("run_nowhere"))
    def contents(self, run: str) -> None:
        self.same(self.store.contents(run), lambda: self.model.contents(run))

    @rule(
        owner=st.sampled_from(["ann", "bob"]),
        conversation=CONVERSATIONS,
        status=st.sampled_from([None, "queued", "in_progress", "cancelled"]),
        before=st.none() | runs,
        limit=st.integers(1, 5),
    )
    def list_runs(self, owner: str, conversation: str | None, status: Any, before: str | None, limit: int) -> None:
        self.same(
            self.store.list_runs(owner, conversation=conversation, status=status, before=before, limit=limit),
            lambda: self.model.list_runs(owner, conversation, status, before, limit),
        )

    @rule(run=runs)
    def delete(self, run: str) -> None:
        self.same(self.store.delete(run), lambda: self.model.delete(run))

    @rule(
        seconds=st.sampled_from([0.5, 2.0, 2.0, 2.0, 15.0, 70.0]),
        expire=st.booleans(),
        reopen=st.sampled_from([False, False, True]),
    )
    def let_time_pass(self, seconds: float, expire: bool, reopen: bool) -> None:
        self.loop.run(self.maker.advance(seconds))
        self.model.now = self.maker.now
        if expire:
            self.same(self.store.expire(1000), self.model.expire_everything)
        if reopen:
            self.loop.run(self.store.close())
            self.store = self.loop.run(self.maker.open())
            if not self.store.shared:
                self.model.expire_leases()

    @invariant()
    def every_run_is_as_the_model_has_it(self) -> None:
        names = [row.run.id for row in self.model.rows] + ["run_nowhere"]
        self.same(self.store.tops(names), lambda: self.model.tops(names))
        stale = self.loop.run(self.store.stale(100))
        assert sorted(stale, key=by_id) == sorted(self.model.stale(100), key=by_id)

    def send(self, item: Append) -> Append:
        self.same(self.store.append([item]), lambda: self.model.append([item]))
        return item

    def an_append(
        self,
        run: str,
        events: tuple[Event, ...],
        *,
        off: int = 0,
        tag: int | None = None,
        after: Position | None = None,
    ) -> Append:
        """What the holder of the newest lease would append, but for what is said."""
        row = self.model.find(run)
        at, own = (row.top, row.lease_tag) if row else (START, 1)
        return an_append(run, self.token(run) + off, tag or own or 1, at if after is None else after, *events)

    def position(self, run: str, back: int, of: int | None) -> Position:
        """The place `back` events before the top of a log, as the log has it or with the tag `of` another."""
        row = self.model.find(run)
        events = row.events if row else []
        seq = len(events) - back
        if seq <= 0:
            return START
        return Position(seq, of or 1) if of or seq > len(events) else events[seq - 1][1]

    def token(self, run: str) -> int:
        row = self.model.find(run)
        return row.run.token if row else 0


class SqliteMachine(StoreMachine):
    def make(self) -> SqliteMaker:
        self.folder = tempfile.TemporaryDirectory()
        return SqliteMaker(f"{self.folder.name}/headwater.db")

    def teardown(self) -> None:
        assert isinstance(self.store, SqliteStore)
        assert_whole(self.store._file.writer)
        super().teardown()
        self.folder.cleanup()


def by_id(one: Stale) -> str:
    """Those of one instant come in any order."""
    return one.run_id


def run(machine: type[StoreMachine], examples: int) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=int(EXAMPLES or examples),
            stateful_step_count=40,
            derandomize=EXAMPLES is None,
            deadline=None,
            database=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )


@pytest.mark.timeout(0 if EXAMPLES else 60)
def test_sqlite_answers_as_the_model_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "BLOCK_SEQS", 3)  # so that short logs have many blocks
    run(SqliteMachine, 45)


@pytest.mark.timeout(0 if EXAMPLES else 60)
def test_redis_answers_as_the_model_does(redis_url: str) -> None:
    class RedisMachine(StoreMachine):
        def make(self) -> RedisMaker:
            return RedisMaker(redis_url)

    run(RedisMachine, 25)
