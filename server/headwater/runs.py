"""The use cases of runs. HTTP and every format call these."""

import hashlib
from collections.abc import Callable
from contextlib import suppress

import msgspec
from msgspec import Struct

from headwater.access import Quotas
from headwater.config import Config
from headwater.core.access import Principal, Role
from headwater.core.events import Status
from headwater.core.lifecycle import ENDED
from headwater.core.position import Position
from headwater.core.room import room_key
from headwater.core.run import Run, RunRequest
from headwater.entropy import new_run_id, new_tag
from headwater.errors import Draining, Forbidden, StoreUnavailable, TooMany, UnknownRun
from headwater.executor import Executor
from headwater.formats.base import Format
from headwater.formats.responses.guest import form_for_guests
from headwater.hub import Cursor, Hub
from headwater.providers.catalog import Catalog
from headwater.store.base import Contents, Created, IdempotencyKey, Lease, Page, Store

_encode = msgspec.json.Encoder(order="deterministic").encode


class Answer(Struct, frozen=True):
    """A run and all of its output so far."""

    run: Run
    contents: Contents


class Runs:
    """Start, look at, follow, cancel and delete runs, each as a principal who may."""

    def __init__(
        self,
        store: Store,
        hub: Hub,
        executor: Executor,
        catalog: Catalog,
        config: Config,
        quotas: Quotas,
        on_ended: Callable[[Run], None],
    ) -> None:
        self._store = store
        self._hub = hub
        self._executor = executor
        self._catalog = catalog
        self._config = config
        self._quotas = quotas
        self._on_ended = on_ended

    async def start(
        self, principal: Principal, request: RunRequest, key: str | None, *, awaited: bool = False
    ) -> Created:
        """Write a run; the caller wakes the executor. The same `key` gives the same run.

        A run whose first token is `awaited` is claimed by this worker as it is written, if there is room for it;
        any other is queued, for whoever comes first.

        Raises UnknownModel, Invalid, IdempotencyConflict, TooMany, Draining, StoreUnavailable.
        """
        if self._executor.draining and not self._store.shared:  # else it is queued, and another worker takes it
            raise Draining("This worker is shutting down. Send the request again.", retry_after=1)
        model = self._catalog.get(request.model)
        model.provider.check(request)
        stored = msgspec.structs.replace(request, stream=False)
        run = Run(
            id=new_run_id(),
            owner=principal.tenant,
            caller=principal.id,
            model=model.name,
            request=stored,
            conversation=request.conversation,
            created_at=0.0,
        )
        reservation = None
        if key is not None:
            body_hash = hashlib.sha256(_encode(stored)).hexdigest()
            reservation = IdempotencyKey(principal.id, key, body_hash, self._config.idempotency_ttl_s)
        try:
            self._check_queue()
            await self._quotas.before_run(principal, run.id)
        except TooMany:
            # The caller may only be asking again for what there is.
            first = await self._store.reserved(reservation) if reservation is not None else None
            if first is None:
                raise
            return Created(first, False)
        try:
            created = await self._create(run, reservation, awaited)
        except StoreUnavailable:
            raise  # it may be there, and then it counts
        except BaseException:
            self._quotas.run_gone(run)
            raise
        if created.fresh:
            self._quotas.run_created(run)
        else:
            self._quotas.run_gone(run)
        return created

    def _check_queue(self) -> None:
        if self._executor.is_full:
            raise TooMany(
                "As many runs are waiting here as may wait. Try again in a moment.",
                limit=self._config.max_queued,
                retry_after=1,
            )

    async def _create(self, run: Run, reservation: IdempotencyKey | None, awaited: bool) -> Created:
        claim = self._executor.claim() if awaited else None
        if claim is None:
            return await self._store.create(run, reservation)
        try:
            created = await self._store.create(run, reservation, claim)
        except StoreUnavailable:
            self._executor.doubt(run.id, claim)
            raise
        except BaseException:
            self._executor.disclaim()
            raise
        if created.fresh:
            self._executor.claimed(Lease(created.run, created.run.token, claim.tag))
        else:
            self._executor.disclaim()
        return created

    async def find(self, principal: Principal, run_id: str) -> Run:
        """The run, if this principal may see it. Raises UnknownRun, StoreUnavailable."""
        run = await self._store.get(run_id)
        if run is None or not _sees(principal, run):
            raise UnknownRun(f"There is no run {run_id}. It may have been deleted, or have expired.")
        return run

    async def read(self, principal: Principal, run_id: str) -> Answer:
        """The run and its output, as one read of the log saw it."""
        while True:
            run = await self.find(principal, run_id)
            contents = await self._store.contents(run_id)
            # Two reads: where the run went on between them, what they say must be made to agree.
            if contents is not None and contents.top.status == run.status:
                return Answer(run, contents)

    async def list(
        self,
        principal: Principal,
        *,
        conversation: str | None,
        status: Status | None,
        before: str | None,
        limit: int,
    ) -> Page:
        """The runs of the principal's tenant, newest first. Raises UnknownRun for `before`, Forbidden."""
        if not principal.has("runs:read"):
            raise Forbidden("This credential is for runs that were shared with it; it cannot list others.")
        seen: list[Run] = []
        while True:
            page = await self._store.list_runs(
                principal.tenant, conversation=conversation, status=status, before=before, limit=limit
            )
            seen += [run for run in page.runs if _sees(principal, run)]
            if len(seen) >= limit or not page.has_more:
                return Page(seen[:limit], page.has_more or len(seen) > limit)
            before = page.runs[-1].id

    async def follow(
        self, principal: Principal, run_id: str, form: type[Format], position: Position | None
    ) -> Cursor | None:
        """A cursor on the run, or None where the run has ended and nothing lies after the position.

        Whoever does not own it follows it in the form for guests.
        """
        run = await self.find(principal, run_id)
        if run.status in ENDED and position == run.position:
            return None
        self._hub.check_enters()
        form = form if principal.owns(run.owner) else form_for_guests(form)
        return await self._hub.follow(run, form, position)

    async def cancel(self, principal: Principal, run_id: str) -> Answer:
        """Cancel, and wait a moment for the end that it causes. An ended run comes unchanged."""
        run = await self.find(principal, run_id)
        _check_role(principal, run, "write")
        if run.status not in ENDED and (going := await self.stop(run_id)) is not None:
            with suppress(StoreUnavailable, UnknownRun):
                await self._hub.wait_for_end(going, self._config.cancel_wait_s)
        return await self.read(principal, run_id)

    async def stop(self, run_id: str) -> Run | None:
        """Cancel, on nobody's behalf: the run, if its end is yet to come. Raises StoreUnavailable."""
        cancelled = await self._store.cancel(run_id, new_tag())
        if cancelled is None:
            return None
        self._executor.stop_cancelled(run_id)
        if cancelled.entry is None:
            return cancelled.run
        self._hub.publish(run_id, cancelled.entry)
        self._on_ended(cancelled.run)
        return None

    async def delete(self, principal: Principal, run_id: str) -> None:
        """Remove an ended run with its log. Raises UnknownRun, Forbidden, RunNotEnded."""
        run = await self.find(principal, run_id)
        if not principal.owns(run.owner):
            raise Forbidden("This run was shared with you: only its owner may delete it.")
        _check_role(principal, run, "moderate")
        await self._store.delete(run_id)
        self._quotas.run_gone(run)

    async def check_ready(self) -> None:
        """Raises Draining or StoreUnavailable where this worker should get no requests."""
        if self._executor.draining:
            raise Draining("This worker is shutting down.", retry_after=1)
        await self._store.ping()


def _sees(principal: Principal, run: Run) -> bool:
    """Whether the run exists for this principal. A claim on some rooms shows no run of another."""
    if run.room is not None and principal.rooms is not None and principal.role_in(room_key(run.room).name) is None:
        return run.id in principal.runs
    return principal.sees_run(run.owner, run.id)


def _check_role(principal: Principal, run: Run, role: Role) -> None:
    """Raises Forbidden where a claim gives less than this in the room that the run answers in."""
    if run.room is None or principal.rooms is None or run.id in principal.runs:
        return
    name = room_key(run.room).name
    if not principal.may_in(name, role):
        raise Forbidden(f"This takes the role {role} in the room {name}.")
