"""The Redis store: each method is one pipeline, and each step that must not be torn is one script."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from redis.exceptions import ResponseError

from headwater.core.content import Content
from headwater.core.events import End, Entry, Status, encode_events
from headwater.core.lifecycle import ENDED, end_cancelled
from headwater.core.news import cancel_news, entry_head, news_channel, status_news, worker_channel
from headwater.core.position import START, Position
from headwater.core.run import Run
from headwater.errors import IdempotencyConflict, RunNotEnded, StoreUnavailable, UnknownRun
from headwater.redis_client import Command, RedisClient
from headwater.store.base import (
    Append,
    AppendResult,
    Cancelled,
    Claim,
    Contents,
    Created,
    IdempotencyKey,
    Lease,
    Outcome,
    Page,
    Read,
    RenewResult,
    Stale,
    Store,
    Top,
)
from headwater.store.redis import scripts
from headwater.store.redis.keys import Keys
from headwater.store.redis.lists import Lists
from headwater.store.redis.replies import damaged, to_entries, to_position, to_run, to_top

# Of a log read at once for its contents: some thousand entries, about a millisecond of Redis's one thread.
_CONTENTS_BYTES = 256 * 1024
# A run whose creation was begun and never finished: no request takes as long as this.
_UNBORN_S = 60.0
# How long the proof that writing works is kept.
_PROBE_S = 60

_request_encoder = msgspec.json.Encoder()


class RedisStore(Store):
    """Runs in a Redis that all workers reach. `worker` is who writes here, as the news of it says.

    What is acknowledged is as durable as that Redis is set to be (docs/operations.md). `run_ttl_s`: seconds an ended
    run is kept. `clock`: Unix seconds; without one, Redis's own.
    """

    def __init__(
        self,
        client: RedisClient,
        worker: str,
        *,
        prefix: str,
        run_ttl_s: float,
        wait_s: float = 0.0,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._client = client
        self._worker = worker
        self._prefix = prefix
        self._keys = Keys(prefix)
        self._ttl_ms = _ms(run_ttl_s)
        self._wait_s = wait_s
        self._clock = clock
        self._lists = Lists(client, self._keys, self._now)
        self._tidying: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<RedisStore {self._client.name} prefix={self._prefix}>"

    def _now(self) -> str:
        """What the scripts are told of the time: nothing, where their Redis knows it."""
        return "" if self._clock is None else str(_ms(self._clock()))

    async def open(self) -> None:
        await self._client.open(self._wait_s)

    async def close(self) -> None:
        if self._tidying:
            await asyncio.gather(*self._tidying, return_exceptions=True)
        await self._client.close()

    async def ping(self) -> None:
        reply = await self._client.one(("SET", self._keys.probe, self._worker, "EX", _PROBE_S))
        if not reply:
            raise StoreUnavailable("The store did not take a write.")

    # -- creating

    async def create(self, run: Run, key: IdempotencyKey | None, claim: Claim | None = None) -> Created:
        """See the contract. Reservation, marks and run are steps that whoever comes next completes."""
        body = _request_encoder.encode(replace(run.request, stream=False))
        if key is None:
            return await self._write(run, body, None, claim)
        name = self._keys.reservation(key.owner, key.key)
        replaced = ""
        while True:
            held = await self._reserve(name, run.id, key, replaced)
            if held.run_id == run.id and held.body_hash == key.body_hash:
                return await self._write(run, body, held, claim)
            first = await self.get(held.run_id)
            if first is not None and held.body_hash != key.body_hash:
                raise IdempotencyConflict(
                    "This Idempotency-Key was used with another body: use a new key for a new request.",
                    field="Idempotency-Key",
                )
            if first is not None:
                return Created(first, False)
            if not held.done and held.body_hash == key.body_hash:
                # Its worker died, or is slow, between the steps: the run is the same one, whoever writes it.
                return await self._write(replace(run, id=held.run_id), body, held, claim)
            replaced = held.run_id

    async def _reserve(self, name: str, run_id: str, key: IdempotencyKey, replaced: str) -> "_Reservation":
        """The reservation that counts."""
        args = (self._now(), run_id, key.body_hash, _ms(key.ttl_s), replaced)
        reply = await self._client.one(self._client.call(scripts.RESERVE, [name], *args))
        held, body_hash, state, until = (part.decode() for part in reply)
        return _Reservation(name, held, body_hash, state == "done", until)

    async def _write(self, run: Run, body: bytes, held: "_Reservation | None", claim: Claim | None) -> Created:
        keys, now = self._keys, self._now()
        lease = ("", "", "") if claim is None else (claim.tag, _ms(claim.lease_s), claim.holder)
        # Marked first: a mark without a run is passed over, a run without a mark would not be found.
        steps: list[Command] = [
            self._client.call(scripts.MARK, [keys.unfinished], now, run.id, lease[1] or 0),
            self._index(run, anew=False),
            self._client.call(
                scripts.CREATE,
                [keys.run(run.id), keys.request(run.id), keys.log(run.id)],
                *(now, run.owner, run.model, run.conversation or "", body, held.name if held else "", *lease),
            ),
        ]
        if held is not None:
            steps.append(self._client.call(scripts.RESERVED, [held.name], run.id))
            steps.append(("ZADD", keys.reservations, held.until, held.name))
        replies = await self._client.pipeline(steps)
        how, fields, stored = self._value(run.id, replies[2])
        if how == b"again":
            await self._client.pipeline([self._index(run, anew=True)])
        if how == b"first" and held is not None and held.name.encode() not in fields:
            # The run was there without this key, which is then not its.
            unreserve = self._client.call(scripts.UNRESERVE, [held.name], now, run.id)
            await self._client.pipeline([unreserve, ("ZREM", keys.reservations, held.name)])
        return Created(to_run(run.id, fields, stored), how != b"first")

    def _index(self, run: Run, *, anew: bool) -> Command:
        lists = self._keys.lists(run.owner, run.conversation)
        return self._client.call(scripts.INDEX, lists, self._now(), run.id, int(anew))

    # -- reading

    async def get(self, run_id: str) -> Run | None:
        reply = self._value(run_id, await self._one(self._get(run_id)))
        return None if reply is None else to_run(run_id, *reply)

    def _get(self, run_id: str) -> Command:
        return self._client.call(scripts.GET, [self._keys.run(run_id), self._keys.request(run_id)], self._now())

    async def list_runs(
        self, owner: str, *, conversation: str | None, status: Status | None, before: str | None, limit: int
    ) -> Page:
        ids, more = await self._lists.find(owner, conversation, status, before, limit)
        replies = await self._client.pipeline([self._get(run_id) for run_id in ids]) if ids else []
        rows = [(run_id, self._value(run_id, reply)) for run_id, reply in zip(ids, replies, strict=True)]
        return Page([to_run(run_id, *row) for run_id, row in rows if row is not None], more)

    async def read(self, run_id: str, after: Position, max_bytes: int) -> Read | None:
        keys = [self._keys.run(run_id), self._keys.log(run_id)]
        reply = self._value(
            run_id,
            await self._one(self._client.call(scripts.READ, keys, self._now(), after.seq, after.tag, max_bytes)),
        )
        if reply is None:
            return None
        top = to_top(run_id, reply[0], reply[1])
        if reply[2] != b"1":
            return Read(False, (), top)
        entries = to_entries(run_id, after, reply[3:])
        if not entries and after.seq < top.position.seq:
            damaged(run_id, f"its entries from seq {after.seq + 1} on are missing")
        return Read(True, entries, top)

    async def contents(self, run_id: str) -> Contents | None:
        content, position, at = Content(), START, START
        while True:
            read = await self.read(run_id, at, _CONTENTS_BYTES)
            if read is None:
                return None
            if not read.joined:  # its history was rewritten between two reads
                content, position, at = Content(), START, START
                continue
            for entry in read.entries:
                for event in entry.events:
                    content.add(event)
                before_end = entry.seq - isinstance(entry.events[-1], End)
                if before_end > entry.after.seq:
                    position = Position(before_end, entry.tag)
                at = entry.position
            if at == read.top.position:
                return Contents(position, content.parts(), content.text, content.attempts, content.end, read.top)

    async def tops(self, run_ids: Sequence[str]) -> list[Top | None]:
        replies = await self._client.pipeline([self._stand(run_id) for run_id in run_ids]) if run_ids else []
        # One that is damaged is nothing to go by; whoever reads it is told.
        return [
            None if reply is None or isinstance(reply, ResponseError) else to_top(run_id, reply[0], reply[1])
            for run_id, reply in zip(run_ids, replies, strict=True)
        ]

    def _stand(self, run_id: str) -> Command:
        return self._client.call(scripts.STAND, [self._keys.run(run_id)], self._now())

    # -- appending

    async def append(self, batch: Sequence[Append]) -> list[AppendResult]:
        if not batch:
            return []
        now = self._now()
        replies = await self._client.pipeline([self._append(item, now) for item in batch], urgent=True)
        results: list[AppendResult] = []
        over: list[tuple[str, Any]] = []
        for item, reply in zip(batch, replies, strict=True):
            if reply == b"stored":
                results.append(AppendResult(Outcome.STORED, item.entry.position))
                continue
            if isinstance(reply, ResponseError):
                if "WRONGTYPE" not in str(reply):
                    raise reply
                results.append(AppendResult(Outcome.DAMAGED, START))
                continue
            outcome, top, cancelled = reply[:3]
            results.append(AppendResult(Outcome(outcome.decode()), to_position(top.decode()), bool(cancelled)))
            if len(reply) > 3:
                over.append((item.run_id, reply[3:]))
        if over:
            self._tidy(self._ended_for_good(over))
        return results

    def _append(self, item: Append, now: str) -> Command:
        entry, keys, run_id = item.entry, self._keys, item.run_id
        last = entry.events[-1]
        end = last.status if isinstance(last, End) else ""
        alone = end == "cancelled" and len(entry.events) == 1
        return self._client.call(
            scripts.APPEND,
            [keys.run(run_id), keys.log(run_id), keys.request(run_id)],
            now,
            item.token,
            str(entry.after),
            str(entry.position),
            item.payload,
            entry_head(self._worker, entry.after, entry.position),
            news_channel(self._prefix, run_id),
            int(alone),
            end,
            self._ttl_ms,
        )

    async def _ended_for_good(self, over: Sequence[tuple[str, Any]]) -> None:
        """Let the sets know of ended runs. Should this be lost, a sweep finds them among the unfinished."""
        keys, commands = self._keys, list[Command]()
        for run_id, (owner, conversation, expires) in over:
            member = _request_encoder.encode((run_id, owner.decode(), conversation and conversation.decode()))
            commands.append(("ZADD", keys.expiring, expires, member))
            commands.append(("ZREM", keys.unfinished, run_id))
        with suppress(StoreUnavailable):
            await self._client.pipeline(commands)

    def _tidy(self, work: Any) -> None:
        """What no caller waits for."""
        task = asyncio.create_task(work)
        self._tidying.add(task)
        task.add_done_callback(self._tidying.discard)

    # -- leases

    async def take_lease(self, run_id: str, *, seen: int, tag: int, holder: str, lease_s: float) -> Lease | None:
        keys = [self._keys.run(run_id), self._keys.request(run_id)]
        news = status_news(self._worker, "in_progress")
        command = self._client.call(
            scripts.TAKE,
            keys,
            *(self._now(), seen, tag, holder, _ms(lease_s), news_channel(self._prefix, run_id), news),
        )
        reply = self._value(run_id, await self._one(command, urgent=True))
        return None if reply is None else Lease(to_run(run_id, *reply), seen + 1, tag)

    async def renew_leases(self, held: Sequence[tuple[str, int]], lease_s: float) -> list[RenewResult]:
        if not held:
            return []
        now, ms = self._now(), _ms(lease_s)
        commands = [
            self._client.call(scripts.RENEW, [self._keys.run(run_id)], now, token, ms) for run_id, token in held
        ]
        replies = await self._client.pipeline(commands, urgent=True)
        results, later = [], list[Any]()
        for (run_id, _), reply in zip(held, replies, strict=True):
            lost = reply is None or isinstance(reply, ResponseError)
            results.append(RenewResult(False) if lost else RenewResult(True, reply[0] == b"1"))
            if not lost:
                later += [reply[1], run_id]
        if later:
            # So that sweeps need not look at them. A run's own word counts; this is when to ask for it.
            self._tidy(self._quietly(("ZADD", self._keys.unfinished, "XX", *later)))
        return results

    async def _quietly(self, *commands: Command) -> None:
        with suppress(StoreUnavailable):
            await self._client.pipeline(commands)

    async def release_lease(self, run_id: str, token: int) -> None:
        command = self._client.call(scripts.RELEASE, [self._keys.run(run_id)], token)
        if self._value(run_id, await self._one(command, urgent=True)):
            await self._client.pipeline([("ZADD", self._keys.unfinished, "XX", 0, run_id)])

    async def stale(self, limit: int) -> list[Stale]:
        """See the contract. The set says where to look; the runs themselves say how it is."""
        due = self._client.call(scripts.DUE, [self._keys.unfinished], self._now(), limit)
        now, *found = await self._one(due)
        ids = [member.decode() for member in found[::2]]
        replies = await self._client.pipeline([self._stand(run_id) for run_id in ids]) if ids else []
        tidy: list[Command] = []
        over: list[tuple[str, Any]] = []
        stale: list[tuple[int, Stale]] = []
        for run_id, since, reply in zip(ids, found[1::2], replies, strict=True):
            if isinstance(reply, ResponseError):
                tidy.append(("ZREM", self._keys.unfinished, run_id))  # damaged: nobody can produce it
            elif reply is None:
                if int(now) - float(since) > _UNBORN_S * 1000:
                    tidy.append(("ZREM", self._keys.unfinished, run_id))
            else:
                top = to_top(run_id, reply[0], reply[1])
                token, until, created, owner, conversation, expires = reply[2:]
                if top.status in ENDED:
                    over.append((run_id, (owner, conversation, expires)))
                elif int(until) > int(now):
                    tidy.append(("ZADD", self._keys.unfinished, "XX", until, run_id))
                else:
                    stale.append((int(created), Stale(run_id, int(token), top.status)))
        if tidy:
            await self._quietly(*tidy)
        if over:
            await self._ended_for_good(over)
        return [one for _, one in sorted(stale, key=lambda pair: pair[0])]

    # -- cancelling

    async def cancel(self, run_id: str, tag: int) -> Cancelled | None:
        keys = self._keys
        command = self._client.call(
            scripts.CANCEL,
            [keys.run(run_id), keys.log(run_id), keys.request(run_id)],
            self._now(),
            tag,
            encode_events((end_cancelled(),)),
            self._ttl_ms,
            news_channel(self._prefix, run_id),
            self._worker,
            worker_channel(self._prefix, ""),
            cancel_news(run_id),
        )
        reply = self._value(run_id, await self._one(command, urgent=True))
        if reply is None:
            return None
        run = to_run(run_id, reply[0], reply[1])
        if reply[2] is None:
            return Cancelled(run, None)
        after = to_position(reply[2].decode())
        await self._ended_for_good([(run_id, self._end_of(run))])
        return Cancelled(run, Entry(after, after.seq + 1, tag, (end_cancelled(),)))

    async def give_up(self, run_id: str, *, seen: int, tag: int, end: End) -> Entry | None:
        keys = self._keys
        command = self._client.call(
            scripts.GIVE_UP,
            [keys.run(run_id), keys.log(run_id), keys.request(run_id)],
            *(self._now(), seen, tag, encode_events((end,)), end.status, self._ttl_ms),
            *(news_channel(self._prefix, run_id), self._worker),
        )
        reply = self._value(run_id, await self._one(command, urgent=True))
        if reply is None:
            return None
        await self._ended_for_good([(run_id, reply[1:])])
        after = to_position(reply[0].decode())
        return Entry(after, after.seq + 1, tag, (end,))

    def _end_of(self, run: Run) -> tuple[bytes, bytes | None, bytes]:
        assert run.expires_at is not None, "it has ended"
        conversation = None if run.conversation is None else run.conversation.encode()
        return run.owner.encode(), conversation, str(_ms(run.expires_at)).encode()

    # -- removing

    async def delete(self, run_id: str) -> None:
        reply = self._value(run_id, await self._one(self._forget(run_id, ended=True)))
        what = reply[0].decode()
        if what in ("absent", "expired"):
            raise UnknownRun(f"There is no run {run_id}.")
        if what != "removed":
            raise RunNotEnded(f"Run {run_id} is {what}: cancel it and wait for its end before deleting it.")
        await self._client.pipeline(self._unlist(run_id, reply[1:]))

    def _forget(self, run_id: str, *, ended: bool) -> Command:
        keys = [self._keys.run(run_id), self._keys.log(run_id), self._keys.request(run_id)]
        return self._client.call(scripts.FORGET, keys, self._now(), int(ended))

    def _unlist(self, run_id: str, whose: Sequence[bytes | None]) -> list[Command]:
        """Remove a run that is no more from the lists, with its reservation."""
        owner, conversation, reservation = (None if part is None else part.decode() for part in whose)
        assert owner is not None, "every run has an owner"
        member = _request_encoder.encode((run_id, owner, conversation))
        commands: list[Command] = [("ZREM", each, run_id) for each in self._keys.lists(owner, conversation)]
        commands.append(("ZREM", self._keys.expiring, member))
        if reservation:
            commands.append(self._client.call(scripts.UNRESERVE, [reservation], self._now(), run_id))
        return commands

    async def expire(self, limit: int) -> int:
        """See the contract. The keys of a run vanish by themselves; this is for the lists that it is in."""
        runs = await self._expire_runs(limit)
        return runs + await self._expire_reservations(limit - runs)

    async def _expire_runs(self, limit: int) -> int:
        _, *found = await self._one(self._client.call(scripts.DUE, [self._keys.expiring], self._now(), limit))
        if not found:
            return 0
        members = found[::2]
        entries = [msgspec.json.decode(member, type=tuple[str, str, str | None]) for member in members]
        replies = await self._client.pipeline([self._forget(run_id, ended=False) for run_id, _, _ in entries])
        commands: list[Command] = []
        removed = 0
        for (run_id, owner, conversation), member, reply in zip(entries, members, replies, strict=True):
            commands.append(("ZREM", self._keys.expiring, member))
            if isinstance(reply, ResponseError) or reply[0] != b"living":
                removed += 1
                reservation = reply[3] if not isinstance(reply, ResponseError) and len(reply) > 3 else None
                whose = (owner.encode(), None if conversation is None else conversation.encode(), reservation)
                commands += self._unlist(run_id, whose)
        await self._client.pipeline(commands)
        return removed

    async def _expire_reservations(self, limit: int) -> int:
        if limit <= 0:
            return 0
        _, *found = await self._one(self._client.call(scripts.DUE, [self._keys.reservations], self._now(), limit))
        names = [member.decode() for member in found[::2]]
        if not names:
            return 0
        commands = [self._client.call(scripts.UNRESERVE, [name], self._now(), "") for name in names]
        replies = _checked(await self._client.pipeline([*commands, ("ZREM", self._keys.reservations, *names)]))
        return sum(replies[: len(names)])

    # -- replies

    async def _one(self, command: Command, *, urgent: bool = False) -> Any:
        (reply,) = await self._client.pipeline([command], urgent=urgent)
        return reply

    def _value(self, run_id: str, reply: Any) -> Any:
        """The reply, unless it is an error. Raises DamagedLog where something foreign lies under our names."""
        if isinstance(reply, ResponseError):
            if "WRONGTYPE" in str(reply):
                damaged(run_id, "something else lies under its name")
            raise reply
        return reply


class _Reservation(Struct, frozen=True):
    """What an idempotency key stands for; `done` once its run has been written, `until` in ms."""

    name: str
    run_id: str
    body_hash: str
    done: bool
    until: str


def _checked(replies: Sequence[Any]) -> Sequence[Any]:
    for reply in replies:
        if isinstance(reply, ResponseError):
            raise reply
    return replies


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
