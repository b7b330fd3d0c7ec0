"""What passes in a room, for readers who keep up and for those who do not."""

from headwater.core.pushes import HasRead, Member, Presence, Push, TypingNow, encode_push
from headwater.hub.notes import BATCHES_MAX, Note, Notes, merged

ANN, BEN = Member("guest:ann", "Ann"), Member("guest:ben", "Ben")


def came(*members: Member) -> Presence:
    return Presence(joined=list(members), left=[])


def went(*members: Member) -> Presence:
    return Presence(joined=[], left=list(members))


def encode(push: Push) -> bytes:
    return encode_push(push) + b"\n"


def tell(notes: Notes, *batch: Note) -> None:
    for note in batch:
        notes.add(note)
    notes.flush()


def test_of_each_member_the_last_stands() -> None:
    assert merged([came(ANN, BEN), went(ANN), went(BEN), came(BEN)]) == [Presence(joined=[BEN], left=[ANN])]


def test_of_who_is_typing_the_last_stands() -> None:
    assert merged([TypingNow(members=[ANN]), TypingNow(members=[])]) == [TypingNow(members=[])]


def test_of_how_far_one_has_read_the_last_stands() -> None:
    reads = [HasRead(by="guest:ann", seq=1), HasRead(by="guest:ben", seq=1), HasRead(by="guest:ann", seq=2)]
    assert merged([*reads]) == [reads[2], reads[1]]


def test_a_reader_gets_what_came_since() -> None:
    notes = Notes()
    tell(notes, came(ANN))
    heard = notes.top
    tell(notes, came(BEN))
    assert notes.read(heard, "form", encode) == encode(came(BEN))
    assert notes.read(0, "form", encode) == encode(came(ANN, BEN))


def test_what_came_together_is_told_together() -> None:
    notes = Notes()
    for seq in range(1, 1_000):
        notes.add(HasRead(by="guest:ann", seq=seq))
    assert (notes.top, notes.read(0, "form", encode)) == (0, b"")
    notes.flush()
    assert (notes.top, notes.read(0, "form", encode)) == (1, encode(HasRead(by="guest:ann", seq=999)))


def test_readers_at_the_same_place_share_the_bytes() -> None:
    notes = Notes()
    tell(notes, came(ANN))
    assert notes.read(0, "form", encode) is notes.read(0, "form", encode)
    assert notes.read(0, "another form", lambda push: b"") == b""


def test_one_who_is_too_far_behind_is_told_so() -> None:
    notes = Notes()
    for _ in range(BATCHES_MAX + 1):
        tell(notes, came(ANN))
    assert notes.read(0, "form", encode) is None
    assert notes.read(1, "form", encode) == encode(came(ANN))
