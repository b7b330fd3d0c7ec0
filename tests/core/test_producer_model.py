"""A producer and its readers against a simulated store that loses, forgets to answer, and is cancelled."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from headwater.core.events import End, Entry, Event, Text, Usage
from headwater.core.lifecycle import end_finished
from headwater.core.position import START, Position
from headwater.core.producer import Answer, ProducerLog
from headwater.core.window import cut
from tests.core.logs import events_after

TAG = 7


class SimulatedStore:
    """One run's log, judged in the contract's order."""

    def __init__(self) -> None:
        self.log: list[Entry] = []
        self.cancelled = False
        self.fenced = False

    @property
    def top(self) -> Position:
        return self.log[-1].position if self.log else START

    @property
    def ended(self) -> bool:
        return bool(self.log) and isinstance(self.log[-1].events[-1], End)

    def append(self, new: Entry) -> Answer:
        if any(one.seq >= new.seq > one.after.seq and one.tag == new.tag for one in self.log):
            return Answer.STORED
        if self.ended or self.fenced:
            return Answer.LOST
        if self.cancelled and not (len(new.events) == 1 and new.events[0].__class__ is End and _is_cancelled(new)):
            return Answer.CANCELLED
        if new.after != self.top:
            return Answer.BEHIND
        self.log.append(new)
        return Answer.STORED


def _is_cancelled(new: Entry) -> bool:
    (end,) = new.events
    return isinstance(end, End) and end.status == "cancelled"


class ProducerMachine(RuleBasedStateMachine):
    """`delivered` is what readers were given: each entry once it was known to be stored."""

    def __init__(self) -> None:
        super().__init__()
        self.store = SimulatedStore()
        self.producer = ProducerLog(START, TAG, entry_bytes=6)
        self.delivered: list[Entry] = []
        self.written: list[Event] = []
        self.finished = False
        self.was_cancelled = False
        self.unanswered: Entry | None = None

    @precondition(lambda self: not self.finished)
    @rule(word=st.text("abé", min_size=1, max_size=4))
    def a_delta_comes(self, word: str) -> None:
        self.producer.add(Text(word))
        self.written.append(Text(word))

    @precondition(lambda self: not self.finished)
    @rule()
    def the_answer_is_finished(self) -> None:
        self.producer.finish(end_finished("stop", self.producer.usage()))
        self.finished = True

    @precondition(lambda self: self.producer.has_more)
    @rule(answered=st.booleans(), twice=st.booleans())
    def a_batch_is_sent(self, answered: bool, twice: bool) -> None:
        sent = self.producer.next_entry()
        assert sent is not None
        assert self.unanswered is None or sent is self.unanswered, "a batch is frozen until it is answered"
        if twice:
            self.store.append(sent)  # as a client does that heard no answer
        answer = self.store.append(sent)
        self.unanswered = None if answered else sent
        if answered:
            self.take(sent, answer)

    def take(self, sent: Entry, answer: Answer) -> None:
        new = self.producer.answered(answer, self.store.top)
        if new is not None:
            assert new is sent
            self.delivered.append(new)

    @rule(kept=st.integers(0, 6), and_the_cancel=st.booleans())
    def the_store_loses_its_last_writes(self, kept: int, and_the_cancel: bool) -> None:
        del self.store.log[kept:]
        self.store.cancelled &= not and_the_cancel

    @precondition(lambda self: self.producer.ended)
    @rule()
    def an_ended_log_is_compared(self) -> None:
        self.producer.heal(self.store.top)

    @precondition(lambda self: not self.store.ended)
    @rule(told=st.booleans())
    def it_is_cancelled(self, told: bool) -> None:
        self.store.cancelled = self.was_cancelled = True
        if told:
            self.producer.drop_pending()
            if not self.finished:
                self.the_answer_is_finished()

    @rule()
    def another_takes_the_lease(self) -> None:
        self.store.fenced = True

    @invariant()
    def the_log_has_no_hole(self) -> None:
        assert [one.after for one in self.store.log] == [START, *(one.position for one in self.store.log)][:-1]

    @invariant()
    def readers_were_given_nothing_twice(self) -> None:
        positions = [one.position for one in self.delivered]
        assert len(set(positions)) == len(positions)

    @invariant()
    def every_reader_that_joins_holds_what_the_log_holds(self) -> None:
        """A position that joins means: the same events up to there."""
        held: list[Event] = []
        for one in self.delivered:
            del held[one.after.seq :]
            held += one.events
            log = self.store.log
            if log and log[-1].position != one.position and not cut(log, one.position):
                continue
            if log:
                assert events_after(log, START)[: one.seq] == held

    def teardown(self) -> None:
        """Once the store answers again, everything written is in it, in order, with one end."""
        if not self.finished:
            self.the_answer_is_finished()
        for _ in range(200):
            if not self.producer.has_more and not (self.producer.ended and self.producer.heal(self.store.top)):
                break
            sent = self.producer.next_entry()
            assert sent is not None
            self.take(sent, self.store.append(sent))
        assert not self.producer.has_more
        assert self.producer.lost or self.producer.waiting_bytes == 0
        self.every_reader_that_joins_holds_what_the_log_holds()
        assert self.producer.ended or self.producer.lost
        if self.producer.lost:
            assert self.store.fenced or self.was_cancelled
            return
        *output, end = events_after(self.store.log, START)
        assert output == self.written[: len(output)]
        assert isinstance(end, End)
        if end.status == "completed":
            assert output == self.written
        else:
            assert end.status == "cancelled" and self.was_cancelled
        delivered = len(output)
        assert end.usage == (Usage(output_tokens=delivered, estimated=True) if delivered else None)


TestProducer = ProducerMachine.TestCase
TestProducer.settings = settings(max_examples=150, stateful_step_count=25, deadline=None)
