"""A position that joins goes on, one that does not gets a snapshot, and rewritten history is noticed."""

import pytest

from headwater.core.events import Attempt, End, Entry, Text
from headwater.core.position import START, Position
from headwater.core.producer import Answer, ProducerLog
from headwater.formats.native import Native
from headwater.hub import Hub
from headwater.store.base import Outcome
from tests.hub.conftest import MakeHub
from tests.hub.producing import PublishingProducer, produce, take_over
from tests.hub.reading import ForgetfulStore, Reader, quiet
from tests.store.producing import an_append, texts

pytestmark = pytest.mark.anyio


async def compare(hub: Hub, store: ForgetfulStore, run_id: str) -> None:
    """What the hub does every few seconds."""
    (top,) = await store.tops([run_id])
    hub.logs[run_id].compare(top)


async def test_every_position_of_a_log_can_be_resumed_from(store: ForgetfulStore, here: Hub, there: Hub) -> None:
    """In the window of the one, from the store for the other; in the middle of an entry, too."""
    producer = await produce(store, here)
    first = Reader(await here.follow(producer.run, Native, START))
    await producer.say(*texts("a", "b", "c"))
    await producer.say(*texts("d"))
    await producer.say(*texts("e", "f"))
    await first.until_text("abcdef")
    for hub in (here, there):
        for seq in range(1, 7):
            reader = Reader(await hub.follow(producer.run, Native, Position(seq, producer.tag)))
            if seq < 6:
                await reader.until_text("abcdef"[seq:])
            else:
                await reader.until(lambda follower: follower.run is not None)
                assert await quiet(reader.cursor)
            assert reader.follower.snapshots == 0


@pytest.mark.parametrize("position", [Position(2, 99), Position(3, 99), Position(50, 99), Position(1, 99)], ids=str)
async def test_a_position_that_does_not_join_gets_a_snapshot(
    store: ForgetfulStore, here: Hub, position: Position
) -> None:
    producer = await produce(store, here)
    await producer.say(*texts("a", "b", "c"))
    reader = Reader(await here.follow(producer.run, Native, position))
    await reader.until_text("abc")
    assert (reader.follower.snapshots, reader.follower.seq) == (1, 3)
    await producer.say(*texts("d"))
    await producer.end()
    assert (await reader.until_end()).text == "abcd"


async def test_a_position_ahead_of_the_log_gets_a_snapshot_even_of_nothing(store: ForgetfulStore, here: Hub) -> None:
    """The reader holds what was lost before it came back: it must be told to forget it."""
    producer = await produce(store, here)
    reader = Reader(await here.follow(producer.run, Native, Position(7, 99)))
    reader.follower.parts = [{"text": "held from before"}]
    await reader.until_text("")
    assert (reader.follower.snapshots, reader.follower.seq) == (1, 0)
    await producer.say(*texts("a"))
    await reader.until_text("a")


async def test_rewritten_history_is_noticed(store: ForgetfulStore, here: Hub, there: Hub) -> None:
    """The store lost a tail whose producer is gone, and another worker wrote on: readers are given what is true."""
    lost = await produce(store, here)
    reader = Reader(await there.follow(lost.run, Native, START))
    await lost.say(*texts("kept "))
    kept = lost.at
    await lost.say(*texts("lost "))
    await lost.say(*texts("too"))
    await reader.until_text("kept lost too")
    await store.lose(lost.run_id, kept)
    await store.release_lease(lost.run_id, lost.token)
    heir = await take_over(store, here, lost.run_id, lost.token)
    await heir.say(Attempt(2, "takeover", "continued"), Text("new"))
    await heir.end()
    assert (await reader.until_end()).text == "kept new"
    assert reader.follower.snapshots == 1


async def test_a_rewritten_tail_is_noticed_without_news(store: ForgetfulStore, here: Hub, there: Hub) -> None:
    lost = await produce(store, here)
    reader = Reader(await there.follow(lost.run, Native, START))
    await lost.say(*texts("kept "))
    kept = lost.at
    await lost.say(*texts("lost"))
    await reader.until_text("kept lost")
    await store.lose(lost.run_id, kept)
    await compare(there, store, lost.run_id)
    assert await quiet(reader.cursor), "at first its producer may be healing it"
    await compare(there, store, lost.run_id)
    await reader.until_text("kept ")


async def test_readers_wait_for_a_store_that_is_being_healed(store: ForgetfulStore, here: Hub, there: Hub) -> None:
    """The store lost a tail that readers hold: they neither lose it nor see it again when it is written again."""
    producer = await produce(store, here)
    reader = Reader(await there.follow(producer.run, Native, START))
    await producer.say(*texts("kept "))
    kept = producer.at
    again = await producer.say(*texts("lost "))
    await reader.until_text("kept lost ")
    await store.lose(producer.run_id, kept)
    await compare(there, store, producer.run_id)
    assert await quiet(reader.cursor)
    healed = an_append(producer.run_id, producer.token, producer.tag, again.after, *again.events)
    assert (await store.append([healed]))[0].outcome is Outcome.STORED
    there.on_news(producer.run_id, healed.entry)
    await compare(there, store, producer.run_id)
    await producer.say(*texts("and more"))
    await producer.end()
    assert (await reader.until_end()).text == "kept lost and more"
    assert reader.follower.snapshots == 0


async def test_one_behind_the_window_waits_for_the_healing_too(store: ForgetfulStore, make_hub: MakeHub) -> None:
    """What it needs next is in no window and not in the store either, just now."""
    hub = make_hub(window_bytes=20)
    producer = await produce(store, hub)
    hub.set_producing(producer.run_id, True)
    reader = Reader(await hub.follow(producer.run, Native, START))
    entries = [await producer.say(*texts(word)) for word in ("a", "b")]
    await reader.until_text("ab")
    entries += [await producer.say(*texts(word)) for word in ("c", "d", "e")]
    await store.lose(producer.run_id, entries[0].position)
    assert await quiet(reader.cursor)
    for lost in entries[1:]:
        healed = an_append(producer.run_id, producer.token, producer.tag, lost.after, *lost.events)
        assert (await store.append([healed]))[0].outcome is Outcome.STORED
    assert reader.cursor.waits_for_store
    reader.cursor.wake()  # as the hub does every second
    await reader.until_text("abcde")
    assert reader.follower.snapshots == 0


async def test_a_snapshot_of_lost_history_is_given_to_nobody_again(
    store: ForgetfulStore, here: Hub, there: Hub
) -> None:
    """It was read ahead of the news, so that no news ever contradicts the window."""
    producer = await produce(store, here)
    await there.follow(producer.run, Native, START)
    await producer.say_nothing(*texts("lost"))
    reader = Reader(await there.follow(producer.run, Native, None))
    await reader.until_text("lost")
    other = await lose_and_take_over(store, here, producer)
    await other.say(*texts("a"))
    await other.say(*texts("nother"))
    await reader.until_text("another")
    assert reader.follower.snapshots == 2


@pytest.mark.parametrize("lost", [["lost"], ["lost", " too"]], ids=["where the log ends now", "beyond that"])
async def test_one_ahead_of_the_news_learns_that_it_will_not_come(
    store: ForgetfulStore, here: Hub, there: Hub, lost: list[str]
) -> None:
    producer = await produce(store, here)
    await there.follow(producer.run, Native, START)
    await producer.say_nothing(*texts(*lost))
    reader = Reader(await there.follow(producer.run, Native, None))
    await reader.until_text("".join(lost))
    await (await lose_and_take_over(store, here, producer)).end()
    reader.cursor.ask_again()  # as the hub does every second
    assert (await reader.until_end()).text == ""


async def lose_and_take_over(store: ForgetfulStore, hub: Hub, producer: PublishingProducer) -> PublishingProducer:
    """The store forgets all that was written, and another producer begins anew."""
    await store.lose(producer.run_id, START)
    await store.release_lease(producer.run_id, producer.token)
    return await take_over(store, hub, producer.run_id, producer.token)


async def test_a_cancel_that_makes_a_loss_final_reaches_who_held_it(
    store: ForgetfulStore, here: Hub, there: Hub
) -> None:
    """A store that lost a tail and then takes a cancel keeps it lost: the end says so to everyone."""
    producer = await produce(store, here)
    log = ProducerLog(START, producer.tag, 1_000)
    readers = [Reader(await hub.follow(producer.run, Native, START)) for hub in (here, there)]
    entries = []
    for word in ("kept ", "lost ", "too"):
        log.add(Text(word))
        entries.append(await _send(store, producer, log))
        here.publish(producer.run_id, entries[-1])
    for reader in readers:
        await reader.until_text("kept lost too")
    await store.lose(producer.run_id, entries[0].position)
    await store.cancel(producer.run_id, 5)
    log.finish(End("completed", "stop"))
    refused = log.next_entry()
    assert refused is not None
    log.answered(Answer.CANCELLED, entries[0].position)
    here.publish(producer.run_id, await _send(store, producer, log))
    for reader in readers:
        follower = await reader.until_end()
        assert follower.end is not None
        assert (follower.text, follower.end["status"], follower.snapshots) == ("kept ", "cancelled", 1)


async def _send(store: ForgetfulStore, producer: PublishingProducer, log: ProducerLog) -> Entry:
    entry = log.next_entry()
    assert entry is not None
    (result,) = await store.append([an_append(producer.run_id, producer.token, entry.tag, entry.after, *entry.events)])
    assert result.outcome is Outcome.STORED
    assert log.answered(Answer.STORED, result.top) is entry
    return entry


async def test_who_fell_behind_the_window_reads_the_store_merged(store: ForgetfulStore, make_hub: MakeHub) -> None:
    hub = make_hub(window_bytes=20)
    producer = await produce(store, hub)
    slow = Reader(await hub.follow(producer.run, Native, START))
    fast = Reader(await hub.follow(producer.run, Native, START))
    for number in range(100):
        await producer.say(*texts(f"{number} "))
    await producer.end()
    for reader in (slow, fast):
        follower = await reader.until_end()
        assert follower.text == "".join(f"{number} " for number in range(100))
        assert follower.snapshots == 0
    assert slow.follower.deltas < 5


async def test_one_who_reads_the_store_in_pieces_goes_on_live(store: ForgetfulStore, make_hub: MakeHub) -> None:
    hub = make_hub(window_bytes=20, read_bytes=100)
    producer = await produce(store, hub)
    reader = Reader(await hub.follow(producer.run, Native, START))
    for number in range(100):
        await producer.say(*texts(f"{number} "))
    await reader.until(lambda follower: follower.seq >= 50)
    await producer.say(*texts("live"))
    await producer.end()
    assert (await reader.until_end()).text.endswith(" 99 live")
