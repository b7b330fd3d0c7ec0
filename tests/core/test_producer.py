"""The writer's end of a log: frozen batches, healing, cancels, and the loss of the lease."""

import pytest

from headwater.core.events import Attempt, End, Entry, Text, Usage
from headwater.core.position import START, Position
from headwater.core.producer import Answer, ProducerLog
from tests.core.logs import entry

TAG = 7
USAGE = Usage(1, 2)


def a_log(*words: str, entry_bytes: int = 1_000) -> ProducerLog:
    log = ProducerLog(START, TAG, entry_bytes)
    for word in words:
        log.add(Text(word))
    return log


def store(log: ProducerLog) -> Entry:
    """Hand the next entry to a store that takes it."""
    sent = log.next_entry()
    assert sent is not None
    assert log.answered(Answer.STORED, sent.position) in (sent, None)
    return sent


def store_all(log: ProducerLog) -> list[Entry]:
    sent = []
    while log.has_more:
        sent.append(store(log))
    return sent


# -- sending


def test_what_waits_goes_into_one_entry() -> None:
    assert a_log("a", "b", "c").next_entry() == entry(START, TAG, Text("a"), Text("b"), Text("c"))


def test_a_long_batch_goes_in_several_entries() -> None:
    sent = store_all(a_log("aaa", "bbb", "ccc", "a word longer than an entry", "d", entry_bytes=6))
    assert [[event.text for event in one.events if isinstance(event, Text)] for one in sent] == [
        ["aaa", "bbb"], ["ccc"], ["a word longer than an entry"], ["d"],
    ]  # fmt: skip
    assert [one.after for one in sent] == [START, *(one.position for one in sent[:-1])]


def test_a_batch_once_handed_out_is_frozen() -> None:
    log = a_log("a")
    first = log.next_entry()
    log.add(Text("b"))
    assert log.next_entry() is first
    assert log.answered(Answer.STORED, Position(1, TAG)) is first
    assert log.next_entry() == entry(Position(1, TAG), TAG, Text("b"))


def test_a_log_goes_on_where_the_lease_found_it() -> None:
    log = ProducerLog(Position(5, 3), TAG, 100)
    log.add_attempt(Attempt(2, "takeover", "continued"))
    assert store(log) == entry(Position(5, 3), TAG, Attempt(2, "takeover", "continued"))
    assert log.stored == Position(6, TAG)


def test_it_counts_what_came_and_what_waits() -> None:
    log = a_log("ab", "é")
    assert (log.deltas, log.output_bytes, log.waiting_bytes) == (2, 4, 4)
    log.next_entry()
    assert log.waiting_bytes == 4
    log.answered(Answer.STORED, Position(2, TAG))
    assert (log.output_bytes, log.waiting_bytes) == (4, 0)


def test_it_is_ended_once_the_end_is_stored() -> None:
    log = a_log("a")
    log.finish(End("completed", "stop"))
    assert not log.ended
    store(log)
    assert log.ended
    assert not log.has_more
    assert log.next_entry() is None


# -- healing


def test_a_store_that_lost_acknowledged_writes_is_written_again() -> None:
    log = a_log("a")
    written = [store(log)]
    for word in "bcd":
        log.add(Text(word))
        written.append(store(log))
    log.add(Text("e"))
    unanswered = log.next_entry()
    assert unanswered is not None
    assert log.answered(Answer.BEHIND, written[1].position) is None
    again = [log.next_entry()]
    assert log.answered(Answer.STORED, written[2].position) is None, "readers have it"
    again.append(log.next_entry())
    assert log.answered(Answer.STORED, written[3].position) is None
    assert again == written[2:]
    assert log.next_entry() is unanswered
    assert log.answered(Answer.STORED, unanswered.position) is unanswered


def test_a_store_that_lost_everything_is_written_again() -> None:
    log = a_log("a")
    written = [store(log)]
    log.add(Text("b"))
    log.next_entry()
    log.answered(Answer.BEHIND, START)
    assert store_all(log) == [*written, entry(Position(1, TAG), TAG, Text("b"))]
    assert log.stored == Position(2, TAG)


def test_a_store_that_stands_elsewhere_is_not_ours() -> None:
    for top in (Position(9, TAG), Position(1, 99), Position(1, TAG)):  # beyond, a stranger's, within an entry
        log = a_log("a", "b")
        store(log)
        log.add(Text("c"))
        log.next_entry()
        log.answered(Answer.BEHIND, top)
        assert log.lost
        assert not log.has_more
        assert log.next_entry() is None
        assert log.waiting_bytes == 0


def test_an_ended_log_heals_its_store() -> None:
    log = a_log("a")
    first = store(log)
    log.finish(End("completed", "stop"))
    end = store(log)
    assert not log.heal(end.position)
    assert log.heal(first.position)
    assert store(log) == end
    assert not log.heal(end.position)


# -- cancels


def test_a_cancel_withdraws_what_the_store_lacks() -> None:
    log = a_log("a")
    kept = store(log)
    log.add(Text("b"))
    log.next_entry()
    log.add(Text("c"))
    log.answered(Answer.CANCELLED, kept.position)
    assert log.cancelled
    assert not log.has_more
    assert log.waiting_bytes == 0
    log.finish(End("completed", "stop", usage=USAGE))
    assert store(log) == entry(kept.position, TAG + 1, End("cancelled", usage=USAGE))
    assert log.ended


@pytest.mark.parametrize("sent", [True, False], ids=["sent with its output", "still waiting"])
def test_a_cancel_overtakes_an_end(sent: bool) -> None:
    log = a_log("a")
    if not sent:
        log.next_entry()
    log.finish(End("completed", "stop", usage=USAGE))
    log.next_entry()
    log.answered(Answer.CANCELLED, START)
    assert store_all(log) == [entry(START, TAG + 1, End("cancelled", usage=USAGE))]


def test_output_is_dropped_but_never_an_end() -> None:
    """Whoever cancels a run may come after its end was said: without it the run would never end.

    Nor is it what it was: should the store forget the cancel, it would be taken for the end of a whole answer.
    """
    log = a_log("a", "b")
    log.finish(End("completed", "stop"))
    log.drop_pending()
    assert store_all(log) == [entry(START, TAG, End("cancelled"))]


def test_what_is_under_way_is_not_dropped() -> None:
    log = a_log("a")
    under_way = log.next_entry()
    log.add(Text("b"))
    log.drop_pending()
    assert log.waiting_bytes == 1
    assert store_all(log) == [under_way]


def test_what_is_written_again_does_not_wait() -> None:
    """Room for an upstream is made by what readers wait for, not by what they have."""
    log = a_log("a")
    store(log)
    log.add(Text("bc"))
    log.next_entry()
    log.answered(Answer.BEHIND, START)
    log.drop_pending()
    assert log.waiting_bytes == 2
    store_all(log)
    assert log.waiting_bytes == 0


def test_a_cancel_in_a_stranger_s_log_is_the_loss_of_ours() -> None:
    log = a_log("a")
    log.next_entry()
    log.answered(Answer.CANCELLED, Position(1, 99))
    assert log.lost


def test_after_a_cancel_lost_history_is_not_joined_again() -> None:
    """Readers hold what the store lost and no one may write again: no position of theirs may join the end."""
    log = a_log("a")
    kept = store(log)
    for word in ("b", "c"):
        log.add(Text(word))
        store(log)
    log.finish(End("completed", "stop"))
    log.next_entry()
    log.answered(Answer.CANCELLED, kept.position)
    end = store(log)
    assert (end.after, end.seq, end.events) == (kept.position, 2, (End("cancelled"),))
    assert end.position != Position(2, TAG)


def test_after_a_cancel_nothing_joins_that_may_have_been_stored() -> None:
    """Its answer never came, and the store has lost it: other workers' readers may have seen it all the same."""
    log = a_log("a")
    kept = store(log)
    log.add(Text("b"))
    lost = log.next_entry()
    log.answered(Answer.CANCELLED, kept.position)
    log.finish(End("cancelled"))
    assert lost is not None and store(log).position != lost.position


def test_an_answer_that_comes_after_the_loss_changes_nothing() -> None:
    log = a_log("a")
    sent = log.next_entry()
    assert sent is not None
    log.lose()
    assert log.answered(Answer.STORED, sent.position) is None
    assert log.answered(Answer.BEHIND, START) is None
    assert log.lost and not log.has_more


# -- what it cost


def test_what_was_delivered_is_counted_where_the_provider_counted_nothing() -> None:
    assert ProducerLog(START, TAG, 100).usage() is None
    assert a_log("a", "b").usage() == Usage(output_tokens=2, estimated=True)


def test_the_provider_s_count_stands() -> None:
    log = a_log("a", "b", "c")
    log.reported = Usage(7, 2)
    assert log.usage() == Usage(7, 2)


def test_the_provider_s_estimate_is_at_least_what_was_delivered() -> None:
    log = a_log("a", "b", "c")
    log.reported = Usage(7, 1, cached_tokens=5, estimated=True)
    assert log.usage() == Usage(7, 3, cached_tokens=5, estimated=True)
    log.reported = Usage(7, 9, estimated=True)
    assert log.usage() == Usage(7, 9, estimated=True)


def test_what_is_dropped_is_not_counted() -> None:
    log = a_log("a", "b")
    log.next_entry()
    log.add(Text("c"))
    log.drop_pending()
    assert log.usage() == Usage(output_tokens=2, estimated=True)


def test_an_end_that_waits_counts_anew_what_is_left_before_it() -> None:
    log = a_log("a", "b")
    log.next_entry()
    log.add(Text("c"))
    log.finish(End("incomplete", reason="upstream_cut", usage=log.usage()))
    log.drop_pending()
    end = store_all(log)[-1].events[-1]
    assert end == End("cancelled", usage=Usage(output_tokens=2, estimated=True))


@pytest.mark.parametrize("said", ["before", "after"])
def test_a_cancelled_end_counts_what_the_store_took(said: str) -> None:
    """The end may be said before the store refuses what came in its last moments, or after."""
    log = a_log("a", "b")
    kept = store(log)
    log.add(Text("c"))
    log.next_entry()
    log.add(Text("d"))
    log.drop_pending()
    if said == "before":
        log.finish(End("cancelled", usage=log.usage()))
    log.answered(Answer.CANCELLED, kept.position)
    if said == "after":
        log.finish(End("cancelled", usage=log.usage()))
    assert store(log).events == (End("cancelled", usage=Usage(output_tokens=2, estimated=True)),)


def test_what_the_store_lost_for_good_is_not_counted() -> None:
    log = a_log("a")
    kept = store(log)
    for word in "bc":
        log.add(Text(word))
        store(log)
    log.add(Text("d"))
    log.next_entry()
    log.answered(Answer.BEHIND, kept.position)
    log.finish(End("cancelled", usage=log.usage()))
    log.answered(Answer.CANCELLED, kept.position)
    assert store(log).events == (End("cancelled", usage=Usage(output_tokens=1, estimated=True)),)


def test_a_count_of_the_provider_s_is_not_changed_by_a_cancel() -> None:
    log = a_log("a", "b")
    log.next_entry()
    log.reported = Usage(7, 2)
    log.finish(End("completed", "stop", usage=log.usage()))
    log.answered(Answer.CANCELLED, START)
    assert store(log).events == (End("cancelled", usage=Usage(7, 2)),)


# -- the lease


def test_who_lost_the_lease_writes_nothing_more() -> None:
    log = a_log("a")
    log.next_entry()
    log.answered(Answer.LOST, START)
    log.add(Text("b"))
    assert log.lost
    assert not log.has_more
    assert log.next_entry() is None


def test_it_says_how_it_stands() -> None:
    log = a_log("a")
    assert repr(log) == "<ProducerLog stored=0-0 top=0-0 pending=1 >"
    log.next_entry()
    log.answered(Answer.LOST, START)
    assert repr(log) == "<ProducerLog stored=0-0 top=1-7 pending=0 lost>"


def test_all_attempts_are_paid_for() -> None:
    log = a_log("a", "b")
    log.reported = Usage(7, 2)
    log.add_attempt(Attempt(2, "failover", "continued"))
    log.add(Text("c"))
    assert log.usage() == Usage(7, 3, estimated=True)
    log.reported = Usage(9, 4)
    assert log.usage() == Usage(16, 6)
    (entry,) = store_all(log)
    assert Attempt(2, "failover", "continued", usage=Usage(7, 2)) in entry.events


def test_a_final_count_is_taken_at_its_word() -> None:
    log = a_log("a", "b", "c")
    log.reported = Usage(7, 1, estimated=True)
    assert log.usage(final=True) == Usage(7, 1, estimated=True)


def test_its_events_are_those_that_the_log_has_or_will_have() -> None:
    log = a_log("a", "b")
    store(log)
    log.add(Text("c"))
    entry = log.next_entry()
    assert entry is not None
    log.add(Text("d"))
    assert [event.text for event in log.events() if isinstance(event, Text)] == ["a", "b", "c", "d"]
    log.heal(START)  # the first is sent again, and is still one
    assert [event.text for event in log.events() if isinstance(event, Text)] == ["a", "b", "c", "d"]
