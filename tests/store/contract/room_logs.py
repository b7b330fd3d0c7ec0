"""Contract: a room's log from a position, what it lets go, and coming in."""

from collections.abc import Sequence

from headwater.core.events import Entry, Text
from headwater.core.lifecycle import end_finished
from headwater.core.position import START, Position
from headwater.core.room import (
    Place,
    Retention,
    RoomKey,
    RoomSettings,
    RunEnded,
    answer_of,
    encode_room_events,
    posted,
    room_events,
)
from headwater.entropy import new_tag
from headwater.store.base import Read, Store, Top
from headwater.store.rooms import Change, Changed, Changing, Entered, Put, RoomStore
from tests.store.maker import StoreMaker
from tests.store.producing import take
from tests.store.talking import (
    EVERYTHING,
    a_room,
    an_open_answer,
    ask,
    begin,
    editing,
    events_of,
    find,
    joins,
    log_of,
    once,
    reacting,
    said,
    say,
    say_all,
    saying,
    store_change,
)

STOP = end_finished("stop", None)


def size_of(entries: Sequence[Entry]) -> int:
    """How many bytes these are in a log."""
    return sum(len(encode_room_events(room_events(entry))) for entry in entries)


def several(*texts: str) -> Change:
    """A change of several messages at once, which is one entry."""
    events = tuple(said(text) for text in texts)
    return Change(tag=new_tag(), events=events, puts=tuple(Put(posted(event)) for event in events))


class RoomLogs:
    async def test_a_rooms_log_reads_back_from_every_position(self, rooms: RoomStore) -> None:
        room_id = await a_room(rooms)
        entries = [await store_change(rooms, room_id, several(*texts)) for texts in ("abc", "d", "ef")]
        events = [(event, entry.tag) for entry in entries for event in room_events(entry)]
        assert await log_of(rooms, room_id) == entries
        for seq, (_, tag) in enumerate(events, 1):
            left = await events_of(rooms, room_id, Position(seq, tag))
            assert left == [event for event, _ in events[seq:]]

    async def test_an_entry_is_cut_where_the_reader_stands(self, rooms: RoomStore) -> None:
        room_id = await a_room(rooms)
        entry = await store_change(rooms, room_id, several("a", "b", "c"))
        read = await rooms.read(room_id, Position(2, entry.tag), EVERYTHING)
        assert read == Read(True, (entry.cut(Position(2, entry.tag)),), Top(entry.position, "in_progress"))

    async def test_a_position_of_a_rooms_other_history_does_not_join(self, rooms: RoomStore) -> None:
        room_id = await a_room(rooms)
        one, two = [await store_change(rooms, room_id, several(*texts)) for texts in ("ab", "cd")]
        foreign = [Position(seq, one.tag + two.tag) for seq in range(1, 5)]
        swapped = [Position(seq, two.tag) for seq in (1, 2)] + [Position(seq, one.tag) for seq in (3, 4)]
        beyond = [Position(5, two.tag), Position(10**9, two.tag), Position(0, one.tag)]
        for position in (*foreign, *swapped, *beyond):
            assert not await joins(rooms, room_id, position), position
            entered = await rooms.enter(room_id, position, max_bytes=EVERYTHING, page=9)
            assert entered is not None and not entered.joined, position

    async def test_a_new_rooms_log_joins_only_the_start(self, rooms: RoomStore) -> None:
        room_id = await a_room(rooms)
        top = Top(START, "in_progress")
        assert await rooms.read(room_id, START, 1000) == Read(True, (), top)
        assert await rooms.read(room_id, Position(1, 1), 1000) == Read(False, (), top)
        assert await rooms.tops([room_id, "acme/nowhere", room_id]) == [top, None, top]
        assert await rooms.tops([]) == []

    async def test_a_rooms_long_log_is_read_in_pieces(self, rooms: RoomStore) -> None:
        room_id = await a_room(rooms)
        sent = [await store_change(rooms, room_id, several(f"a{n:02}", f"b{n:02}")) for n in range(20)]
        size = 3 * len(encode_room_events(room_events(sent[0])))
        after, found, reads = START, list[Entry](), 0
        while (read := await rooms.read(room_id, after, size)) and read.entries:
            found += read.entries
            assert read.top == Top(sent[-1].position, "in_progress")
            after, reads = read.entries[-1].position, reads + 1
        assert found == sent
        assert 5 <= reads <= 10, "about three entries at a time"
        read = await rooms.read(room_id, START, 1)
        assert read is not None and len(read.entries) == 1


class Trimming:
    async def test_by_count_the_oldest_go_and_their_messages_with_them(self, rooms: RoomStore) -> None:
        room_id = await a_room(rooms, retention=Retention(count=3))
        events = [said(text) for text in "abcde"]
        entries = [await store_change(rooms, room_id, saying(event)) for event in events]
        assert not await joins(rooms, room_id, START)
        assert not await joins(rooms, room_id, entries[0].position)
        assert await log_of(rooms, room_id, entries[1].position) == entries[2:], "the position up to which was trimmed"
        page, more = await rooms.page(room_id, before=None, limit=9)
        assert ([place.post.text for place in page], more) == (["c", "d", "e"], False)
        assert await rooms.find(room_id, [events[1].message]) == [None]
        assert [await rooms.sent(room_id, once(event)) for event in events[1:3]] == [None, events[2].message]
        again = saying(said("b again", client_id=events[1].client_id))
        assert (await store_change(rooms, room_id, again)).seq == 6

    async def test_an_entry_of_several_goes_when_the_rest_is_enough(self, rooms: RoomStore) -> None:
        room_id = await a_room(rooms, retention=Retention(count=2))
        first = await store_change(rooms, room_id, several("a", "b", "c"))
        second = await say(rooms, room_id, "d")
        assert await joins(rooms, room_id, START), "without it there would be only one"
        await say(rooms, room_id, "e")
        assert not await joins(rooms, room_id, Position(2, first.tag))
        assert len(await log_of(rooms, room_id, first.position)) == 2
        page, _ = await rooms.page(room_id, before=None, limit=9)
        assert page[0] == second and len(page) == 2

    async def test_fewer_are_kept_once_the_room_is_set_so(self, rooms: RoomStore) -> None:
        room_id = await a_room(rooms)
        await say_all(rooms, room_id, *"abcdefgh")
        settings = RoomSettings(retention=Retention(count=2))
        await rooms.put(RoomKey("acme", "lobby"), settings, replace=True)
        await say(rooms, room_id, "i")
        page, _ = await rooms.page(room_id, before=None, limit=9)
        assert [place.post.text for place in page] == ["h", "i"]

    async def test_by_bytes_the_oldest_go_and_the_newest_stays(self, store: Store, make_store: StoreMaker) -> None:
        limit = 1_500
        rooms = make_store.rooms(store, kept_bytes=limit)
        room_id, places, sizes, kept = await a_room(rooms), list[Place](), list[int](), 0
        for length in (10, 500, 20, 900, 5, 700, 5_000, 5, 5, 5, 1_000, 2_000, 10):
            places.append(await say(rooms, room_id, "x" * length))
            at = [START, *[place.created for place in places]]
            sizes.append(size_of(await log_of(rooms, room_id, at[-2])))
            while sum(sizes[kept:]) > limit and kept < len(sizes) - 1:
                kept += 1
            assert [entry.position for entry in await log_of(rooms, room_id, at[kept])] == at[kept + 1 :]
            assert await rooms.page(room_id, before=None, limit=99) == (places[kept:], False)
            assert not [position for position in at[:kept] if await joins(rooms, room_id, position)]

    async def test_edits_of_one_message_are_bounded_in_bytes_too(self, store: Store, make_store: StoreMaker) -> None:
        rooms = make_store.rooms(store, kept_bytes=1_500)
        room_id = await a_room(rooms)
        place = await say(rooms, room_id)
        entries = []
        for _ in range(3):
            entries.append(await store_change(rooms, room_id, editing(place, "x" * 600)))
            place = Place(place.post, place.created, entries[-1].position)
        assert await log_of(rooms, room_id, entries[0].position) == entries[1:]
        assert await rooms.find(room_id, [place.post.id]) == [None], "it went with the event that said it"

    async def test_bytes_that_went_by_count_or_age_are_counted_no_more(
        self, store: Store, make_store: StoreMaker
    ) -> None:
        rooms = make_store.rooms(store, kept_bytes=3 * len(encode_room_events((said("a"),))))
        room_id = await a_room(rooms, retention=Retention(count=2, age_s=60))
        for _ in range(3):
            places = await say_all(rooms, room_id, *"abcde")
            assert await rooms.page(room_id, before=None, limit=9) == (places[-2:], False)
            await make_store.advance(70)
            assert await rooms.trim(10) == 1
        await rooms.put(RoomKey("acme", "lobby"), RoomSettings(), replace=True)
        places = await say_all(rooms, room_id, *"abcd")
        assert await rooms.page(room_id, before=None, limit=9) == (places[1:], False)

    async def test_the_end_of_an_answer_counts_with_all_of_its_text(self, store: Store, make_store: StoreMaker) -> None:
        rooms = make_store.rooms(store, kept_bytes=1_500)
        room_id = await a_room(rooms)
        one = await take(store, (await an_open_answer(rooms, room_id)).id)
        begun = (await log_of(rooms, room_id))[-1].position
        await one.write(Text("x" * 2_000), STOP)
        assert not await joins(rooms, room_id, START)
        (event,) = await events_of(rooms, room_id, begun)
        assert isinstance(event, RunEnded) and len(event.text) == 2_000
        last = await say(rooms, room_id)
        assert await rooms.page(room_id, before=None, limit=9) == ([last], False)

    async def test_fewer_bytes_are_kept_once_the_room_is_set_anew(
        self, store: Store, rooms: RoomStore, make_store: StoreMaker
    ) -> None:
        room_id = await a_room(rooms)
        places = await say_all(rooms, room_id, *"abc")
        await make_store.rooms(store, kept_bytes=1).put(RoomKey("acme", "lobby"), RoomSettings(), replace=True)
        assert await rooms.page(room_id, before=None, limit=9) == (places, False), "until somebody speaks"
        last = await say(rooms, room_id)
        assert await rooms.page(room_id, before=None, limit=9) == ([last], False)

    async def test_by_age_they_go_in_time_though_nobody_speaks(self, rooms: RoomStore, make_store: StoreMaker) -> None:
        room_id, other = await a_room(rooms, retention=Retention(age_s=60)), await a_room(rooms, "other")
        old = await say_all(rooms, room_id, "a", "b")
        await say(rooms, other)
        await make_store.advance(50)
        young = await say(rooms, room_id, "c")
        assert await rooms.trim(10) == 0
        await make_store.advance(20)
        assert [await rooms.trim(10), await rooms.trim(10)] == [1, 0]
        assert [joined for place in old for joined in [await joins(rooms, room_id, place.created)]] == [False, True]
        assert await rooms.page(room_id, before=None, limit=9) == ([young], False)
        assert len(await log_of(rooms, other)) == 1

    async def test_by_age_they_go_when_somebody_speaks(self, rooms: RoomStore, make_store: StoreMaker) -> None:
        room_id = await a_room(rooms, retention=Retention(age_s=60))
        old = await say(rooms, room_id, "a")
        await make_store.advance(70)
        young = await say(rooms, room_id, "b")
        assert await rooms.page(room_id, before=None, limit=9) == ([young], False)
        assert [entry.position for entry in await log_of(rooms, room_id, old.created)] == [young.created]

    async def test_a_room_outlives_all_that_was_said(self, rooms: RoomStore, make_store: StoreMaker) -> None:
        room_id = await a_room(rooms, title="kept", retention=Retention(age_s=60))
        last = (await say_all(rooms, room_id, "a", "b"))[-1]
        before = await rooms.get(room_id)
        await rooms.mark(room_id, "user:ann", 2)
        await make_store.advance(1000)
        assert await rooms.trim(10) == 1
        assert before is not None and before.top == last.created
        assert await rooms.get(room_id) == before
        assert (await rooms.list_rooms("acme", before=None, limit=5))[0] == [before]
        assert await rooms.tops([room_id]) == [Top(last.created, "in_progress")]
        assert await rooms.page(room_id, before=None, limit=9) == ([], False)
        assert await log_of(rooms, room_id, last.created) == []
        assert not await joins(rooms, room_id, START)
        entered = await rooms.enter(room_id, last.created, max_bytes=EVERYTHING, page=9)
        assert entered == Entered(room=before, joined=True, entries=(), page=(), open=(), marks={"user:ann": 2})
        assert (await say(rooms, room_id, "c")).created.seq == 3

    async def test_up_to_so_many_rooms_are_trimmed_at_a_time(self, rooms: RoomStore, make_store: StoreMaker) -> None:
        for name in "abc":
            await say(rooms, await a_room(rooms, name, retention=Retention(age_s=60)))
        await make_store.advance(70)
        assert [await rooms.trim(2), await rooms.trim(2), await rooms.trim(2)] == [2, 1, 0]

    async def test_an_age_that_is_set_later_holds_for_what_there_is(
        self, rooms: RoomStore, make_store: StoreMaker
    ) -> None:
        room_id = await a_room(rooms)
        place = await say(rooms, room_id)
        await make_store.advance(70)
        assert await rooms.trim(10) == 0
        settings = RoomSettings(retention=Retention(age_s=60))
        await rooms.put(RoomKey("acme", "lobby"), settings, replace=True)
        assert await rooms.trim(10) == 1
        assert await log_of(rooms, room_id, place.created) == []

    async def test_an_answer_that_grows_stays_until_it_ends(self, store: Store, rooms: RoomStore) -> None:
        room_id = await a_room(rooms, retention=Retention(count=2))
        run = await an_open_answer(rooms, room_id)
        answer = answer_of(run.id)
        await say_all(rooms, room_id, *"abcd")
        place = await find(rooms, room_id, answer)
        assert not await joins(rooms, room_id, place.created)
        entered = await rooms.enter(room_id, None, max_bytes=EVERYTHING, page=9)
        assert entered is not None and [open_place for _, open_place in entered.open] == [place]
        reaction = await store_change(rooms, room_id, reacting(place))
        one = await take(store, run.id)
        await one.write(Text("at last"), STOP)
        (event,) = await events_of(rooms, room_id, reaction.position)
        assert isinstance(event, RunEnded) and (event.message, event.text) == (answer, "at last")
        assert await rooms.find(room_id, [answer]) == [None]
        assert await rooms.turns(room_id) == []

    async def test_an_answer_that_ends_after_its_time_goes_with_its_end(
        self, store: Store, rooms: RoomStore, make_store: StoreMaker
    ) -> None:
        room_id = await a_room(rooms, retention=Retention(age_s=60))
        run = await an_open_answer(rooms, room_id)
        await make_store.advance(70)
        assert await rooms.trim(10) == 1
        place = await find(rooms, room_id, answer_of(run.id))
        assert await rooms.page(room_id, before=None, limit=9) == ([place], False)
        await store.cancel(run.id, new_tag())
        (event,) = await events_of(rooms, room_id, place.created)
        assert isinstance(event, RunEnded) and event.message == place.post.id
        assert await rooms.page(room_id, before=None, limit=9) == ([], False)

    async def test_the_end_of_an_answer_trims_too(self, store: Store, rooms: RoomStore) -> None:
        room_id = await a_room(rooms, retention=Retention(count=2))
        one = await take(store, (await an_open_answer(rooms, room_id)).id)
        assert await joins(rooms, room_id, START)
        await one.write(STOP)
        assert not await joins(rooms, room_id, START)
        page, _ = await rooms.page(room_id, before=None, limit=9)
        assert [place.post.run for place in page] == [one.run_id], "the question is gone"

    async def test_what_was_trimmed_can_be_said_again_but_an_edit_of_it_cannot(self, rooms: RoomStore) -> None:
        room_id = await a_room(rooms, retention=Retention(count=1))
        change = saying(said("a"))
        entry = await store_change(rooms, room_id, change)
        place = await find(rooms, room_id, change.puts[0].post.id)
        await say(rooms, room_id, "b")
        assert await rooms.change(room_id, reacting(place)) == Changed(Changing.CHANGED)
        assert (await store_change(rooms, room_id, change)).seq == entry.seq + 2


class Entering:
    async def test_who_comes_for_the_first_time_gets_the_newest_page(self, rooms: RoomStore) -> None:
        room_id = await a_room(rooms, title="hello")
        places = await say_all(rooms, room_id, *"abcd")
        entered = await rooms.enter(room_id, None, max_bytes=EVERYTHING, page=3)
        room = await rooms.get(room_id)
        assert room is not None and room.top == places[-1].created
        assert entered == Entered(room=room, joined=False, entries=(), page=tuple(places[1:]), open=(), marks={})

    async def test_who_comes_back_gets_what_was_missed_and_no_page(self, rooms: RoomStore) -> None:
        room_id = await a_room(rooms)
        places = await say_all(rooms, room_id, *"abcd")
        log = await log_of(rooms, room_id)
        for missed in range(5):
            since = places[3 - missed].created if missed < 4 else START
            entered = await rooms.enter(room_id, since, max_bytes=EVERYTHING, page=3)
            assert entered is not None and (entered.joined, entered.page) == (True, ())
            assert list(entered.entries) == log[4 - missed :]

    async def test_who_comes_back_to_the_middle_of_an_entry_gets_the_rest(self, rooms: RoomStore) -> None:
        room_id = await a_room(rooms)
        entry = await store_change(rooms, room_id, several("a", "b", "c"))
        since = Position(1, entry.tag)
        entered = await rooms.enter(room_id, since, max_bytes=EVERYTHING, page=3)
        assert entered is not None and entered.entries == (entry.cut(since),)

    async def test_what_was_missed_ends_at_about_the_limit(self, rooms: RoomStore) -> None:
        room_id = await a_room(rooms)
        await say_all(rooms, room_id, *"abcd")
        log = await log_of(rooms, room_id)
        size = len(encode_room_events(room_events(log[0])))
        entered = await rooms.enter(room_id, START, max_bytes=2 * size, page=3)
        assert entered is not None and entered.joined and 1 <= len(entered.entries) <= 3
        assert list(entered.entries) == log[: len(entered.entries)]
        assert entered.room.top == log[-1].position
        entered = await rooms.enter(room_id, START, max_bytes=1, page=3)
        assert entered is not None and list(entered.entries) == log[:1]

    async def test_open_answers_come_with_their_messages_in_the_order_of_their_begin(
        self, store: Store, rooms: RoomStore
    ) -> None:
        room_id = await a_room(rooms)
        first, second, third, _ = [await ask(rooms, room_id, text) for text in "abcd"]
        runs = [await begin(rooms, room_id, turn) for turn in (third, first, second)]
        await store.cancel(runs[1].id, new_tag())
        since = (await log_of(rooms, room_id))[1].position
        for position in (None, since):
            entered = await rooms.enter(room_id, position, max_bytes=EVERYTHING, page=2)
            assert entered is not None
            assert [turn.id for turn, _ in entered.open] == [third.id, second.id]
            assert all(turn.open for turn, _ in entered.open)
            expected = [await find(rooms, room_id, answer_of(run.id)) for run in (runs[0], runs[2])]
            assert [place for _, place in entered.open] == expected

    async def test_an_empty_room_is_entered_at_the_start(self, rooms: RoomStore) -> None:
        room_id = await a_room(rooms)
        for since, joined in ((None, False), (START, True), (Position(1, 1), False)):
            entered = await rooms.enter(room_id, since, max_bytes=1000, page=3)
            assert entered is not None
            assert (entered.joined, entered.entries, entered.page, entered.open) == (joined, (), (), ())
