"""What is read of a run, a log, a list."""

from collections.abc import Sequence

from redis.exceptions import ResponseError

from headwater.core.content import Content
from headwater.core.events import End, Status
from headwater.core.position import START, Position
from headwater.core.run import Run
from headwater.errors import DamagedLog
from headwater.redis_client import Command
from headwater.store.base import Contents, Page, Read, Top
from headwater.store.redis import lists, scripts
from headwater.store.redis.place import Place, damaged, value_of
from headwater.store.redis.replies import to_entries, to_run, to_top

# Of a log read at once for its contents: some thousand entries, about a millisecond of Redis's one thread.
_CONTENTS_BYTES = 256 * 1024


async def get(place: Place, run_id: str) -> Run | None:
    """The run, or None. Raises DamagedLog."""
    reply = await place.ask_of(run_id, _get(place, run_id))
    return None if reply is None else to_run(run_id, *reply)


def _get(place: Place, run_id: str) -> Command:
    return place.run_script(scripts.GET, [place.keys.run(run_id), place.keys.request(run_id)])


async def list_runs(
    place: Place, owner: str, conversation: str | None, status: Status | None, before: str | None, limit: int
) -> Page:
    """The owner's runs, newest first, but for those that are damaged. Raises UnknownRun if `before` is none of them."""
    ids, more = await lists.find(place, owner, conversation, status, before, limit)
    replies = await place.client.pipeline([_get(place, run_id) for run_id in ids]) if ids else []
    runs = []
    for run_id, reply in zip(ids, replies, strict=True):
        try:
            row = value_of(run_id, reply)
            if row is not None:
                runs.append(to_run(run_id, *row))
        except DamagedLog:
            continue  # whoever asks for that one is told
    return Page(runs, more)


async def read(place: Place, run_id: str, after: Position, max_bytes: int) -> Read | None:
    """The log after a position. Raises DamagedLog."""
    keys = [place.keys.run(run_id), place.keys.log(run_id)]
    reply = await place.ask_of(run_id, place.run_script(scripts.READ, keys, after.seq, after.tag, max_bytes))
    if reply is None:
        return None
    top = to_top(run_id, reply[0], reply[1])
    if reply[2] != b"1":
        return Read(False, (), top)
    entries = to_entries(run_id, after, reply[3])
    if not entries and after.seq < top.position.seq:
        damaged(run_id, f"its entries from seq {after.seq + 1} on are missing")
    return Read(True, entries, top)


async def contents(place: Place, run_id: str) -> Contents | None:
    """Everything so far in one piece. Raises DamagedLog."""
    read_so_far = await output(place, run_id)
    if read_so_far is None:
        return None
    content, position, top = read_so_far
    return Contents(position, content.parts(), content.text, content.attempts, content.tries, content.end, top)


async def output(place: Place, run_id: str) -> tuple[Content, Position, Top] | None:
    """What a log holds, up to which position without an end, and its top. Raises DamagedLog."""
    content, position, at = Content(), START, START
    while True:
        got = await read(place, run_id, at, _CONTENTS_BYTES)
        if got is None:
            return None
        if not got.joined:  # its history was rewritten between two reads
            content, position, at = Content(), START, START
            continue
        for entry in got.entries:
            for event in entry.events:
                content.add(event)
            before_end = entry.seq - isinstance(entry.events[-1], End)
            if before_end > entry.after.seq:
                position = Position(before_end, entry.tag)
            at = entry.position
        if at == got.top.position:
            return content, position, got.top


async def tops(place: Place, run_ids: Sequence[str]) -> list[Top | None]:
    """Where each log stands; None of one that is damaged, for it is nothing to go by."""
    replies = await place.client.pipeline([place.stand(run_id) for run_id in run_ids]) if run_ids else []
    return [_top(run_id, reply) for run_id, reply in zip(run_ids, replies, strict=True)]


def _top(run_id: str, reply: list[bytes] | ResponseError | None) -> Top | None:
    if reply is None or isinstance(reply, ResponseError):
        return None
    try:
        return to_top(run_id, reply[0], reply[1])
    except DamagedLog:
        return None
