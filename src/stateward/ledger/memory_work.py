"""The ledger in memory: what the work after commit reads and writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from stateward.errors import LeaseLost
from stateward.ledger.after_commit import (
    AddPause,
    AddWorker,
    EndEffects,
    EndPause,
    FetchEffects,
    FetchParts,
    FetchReconciliation,
    FetchTimers,
    FetchWorkers,
    FindTimers,
    FindUnhandled,
    HoldLease,
    KeepReconciliation,
    ListDeadLetters,
    ListPauses,
    ListPending,
    ListTimers,
    PostponeEffects,
    PostponeTimers,
    RaiseBeat,
    ReleaseParts,
    RemoveWorker,
    ReviveEffects,
    SpendTimers,
    TakeParts,
)
from stateward.ledger.contract import Page
from stateward.ledger.ids import PARTS
from stateward.ledger.rows import (
    DeadLetterRow,
    EffectKey,
    OutboxRow,
    PartRow,
    PauseRow,
    ReconciliationRow,
    RecordRow,
    TimerRow,
    WorkerRow,
)

__all__ = ["MemoryWork"]


class MemoryWork:
    """The tables of the work after commit, in dicts."""

    def __init__(
        self,
        outbox: dict[EffectKey, OutboxRow],
        timers: dict[tuple[str, str, str], TimerRow],
        records: Mapping[tuple[str, str], list[RecordRow]],
    ) -> None:
        """Take the tables that commits write, too."""
        self._outbox = outbox
        self._timers = timers
        self._records = records
        self._workers: dict[str, WorkerRow] = {}
        self._parts = {part: PartRow(part, None, 0) for part in range(PARTS)}
        self._dead: dict[tuple[str, str, int, int], DeadLetterRow] = {}
        self._pauses: list[PauseRow] = []
        self._reconciliations: dict[str, ReconciliationRow] = {}
        self.operations: dict[type, Callable[[Any], Page]] = {
            AddPause: self._add_pause,
            AddWorker: self._add_worker,
            EndEffects: self._end_effects,
            EndPause: self._end_pause,
            FetchEffects: self._fetch_effects,
            FetchParts: lambda _: list(self._parts.values()),
            FetchReconciliation: self._fetch_reconciliation,
            FetchTimers: self._fetch_timers,
            FetchWorkers: lambda _: sorted(self._workers.values()),
            FindTimers: self._find_timers,
            FindUnhandled: self._find_unhandled,
            HoldLease: self._hold_lease,
            KeepReconciliation: self._keep_reconciliation,
            ListDeadLetters: self._list_dead_letters,
            ListPauses: lambda _: sorted(self._open_pauses()),
            ListPending: self._list_pending,
            ListTimers: self._list_timers,
            PostponeEffects: self._postpone_effects,
            PostponeTimers: self._postpone_timers,
            RaiseBeat: self._raise_beat,
            ReleaseParts: self._release_parts,
            RemoveWorker: self._remove_worker,
            ReviveEffects: self._revive_effects,
            SpendTimers: self._spend_timers,
            TakeParts: self._take_parts,
        }

    @property
    def dead_letters(self) -> dict[tuple[str, str, int, int], DeadLetterRow]:
        """The effects that died, of which retention deletes the oldest."""
        return self._dead

    # Leases.

    def _add_worker(self, operation: AddWorker) -> Page:
        self._workers.setdefault(operation.worker.id, operation.worker)
        return []

    def _raise_beat(self, operation: RaiseBeat) -> Page:
        worker = self._workers.get(operation.worker)
        if worker is None:
            return []
        self._workers[worker.id] = worker._replace(beat=worker.beat + 1)
        return [(worker.beat + 1,)]

    def _remove_worker(self, operation: RemoveWorker) -> Page:
        worker = self._workers.get(operation.worker)
        if worker is None or operation.beat not in (None, worker.beat):
            return []
        del self._workers[worker.id]
        return [(worker.id,)]

    def _take_parts(self, operation: TakeParts) -> Page:
        page: Page = []
        if operation.worker not in self._workers:
            return page
        for part, epoch in operation.parts:
            row = self._parts[part]
            if row.epoch == epoch and row.owner not in self._workers:
                self._parts[part] = PartRow(part, operation.worker, epoch + 1)
                page.append(self._parts[part])
        return page

    def _release_parts(self, operation: ReleaseParts) -> Page:
        for part in operation.parts:
            if self._parts[part].owner == operation.worker:
                self._parts[part] = self._parts[part]._replace(owner=None)
        return []

    def _hold_lease(self, operation: HoldLease) -> Page:
        if operation.worker not in self._workers:
            raise LeaseLost(worker=operation.worker)
        return []

    # Effects.

    def _fetch_effects(self, operation: FetchEffects) -> Page:
        page: Page = []
        held: set[tuple[int, str, str]] = set()
        for key in sorted(self._outbox):
            row = self._outbox[key]
            is_ordered = row.effect not in operation.unordered
            is_first = key[:3] not in held
            if is_ordered:
                held.add(key[:3])
            if (
                (is_first or not is_ordered)
                and row.part in operation.parts
                and (row.next_attempt is None or row.next_attempt <= operation.now)
                and (operation.after is None or key > operation.after)
                and self._is_wanted(row, operation)
            ):
                page.append(row)
        return page[: operation.limit]

    def _is_wanted(self, row: OutboxRow, operation: FetchEffects) -> bool:
        paused = {(each.scope, each.name) for each in self._open_pauses()}
        return (
            row.kind in operation.kinds
            and row.effect in operation.effects
            and ("kind", row.kind) not in paused
            and ("effect", row.effect) not in paused
        )

    def _find_unhandled(self, operation: FindUnhandled) -> Page:
        found: dict[str, tuple[str, str, str]] = {}
        for key in sorted(self._outbox):
            row = self._outbox[key]
            if (
                row.part in operation.parts
                and row.kind in operation.kinds
                and row.effect not in operation.effects
            ):  # fmt: skip
                found.setdefault(row.effect, (row.effect, row.kind, row.entity))
        return sorted(found.values())

    def _end_effects(self, operation: EndEffects) -> Page:
        written: set[str] = set()
        if any(end.needs is not None for end in operation.ends):
            written = {row.id for rows in self._records.values() for row in rows}
        for end in operation.ends:
            key = EffectKey(*end[:5])
            row = self._outbox.get(key)
            if row is None or (end.needs is not None and end.needs not in written):
                continue
            del self._outbox[key]
            if end.error is not None:
                assert end.died_at is not None
                self._dead[row.kind, row.entity, row.revision, row.n] = DeadLetterRow(
                    row.kind, row.entity, row.revision, row.n, row.part, row.effect, row.payload, row.record,
                    end.attempts, end.error, end.died_at, row.traceparent,
                )  # fmt: skip
        return []

    def _postpone_effects(self, operation: PostponeEffects) -> Page:
        for each in operation.effects:
            row = self._outbox.get(each.key)
            if row is not None:
                self._outbox[each.key] = row._replace(
                    attempts=each.attempts, next_attempt=each.next_attempt, last_error=each.last_error
                )
        return []

    def _list_pending(self, operation: ListPending) -> Page:
        wanted = (operation.part, operation.kind, operation.entity)
        return [self._outbox[key] for key in sorted(self._outbox) if key[:3] == wanted]

    def _list_dead_letters(self, operation: ListDeadLetters) -> Page:
        def place(row: DeadLetterRow) -> tuple[int, str, str, int, int]:
            return row.died_at, row.kind, row.entity, row.revision, row.n

        rows = sorted(self._dead.values(), key=place)
        return [
            row
            for row in rows
            if operation.kind in (None, row.kind)
            and operation.entity in (None, row.entity)
            and operation.effect in (None, row.effect)
            and (operation.after is None or place(row) > operation.after)
        ][: operation.limit]

    def _revive_effects(self, operation: ReviveEffects) -> Page:
        page: Page = []
        for kind, entity, revision, n, due_at in operation.effects:
            row = self._dead.pop((kind, entity, revision, n), None)
            if row is not None:
                self._outbox[EffectKey(row.part, kind, entity, revision, n)] = OutboxRow(
                    row.part, kind, entity, revision, n, row.effect, row.payload, row.record, 0, due_at, row.error,
                    row.traceparent,
                )  # fmt: skip
                page.append((kind, entity, revision, n))
        return page

    # Timers.

    def _fetch_timers(self, operation: FetchTimers) -> Page:
        paused = {each.name for each in self._open_pauses() if each.scope == "kind"}
        places = {part: place for place, part in enumerate(operation.parts)}
        due = sorted(
            (places[row.part], row.due_at, row)
            for row in self._timers.values()
            if row.due_at <= operation.now
            and row.part in places
            and row.kind in operation.kinds
            and row.kind not in paused
        )
        taken = dict.fromkeys(operation.parts, 0)
        page: Page = []
        for _, _, row in due:
            taken[row.part] += 1
            if taken[row.part] <= operation.limit_of_part:
                page.append(row)
        return page[: operation.limit]

    def _find_timers(self, operation: FindTimers) -> Page:
        return [
            key
            for key in operation.timers
            if (row := self._timers.get((key.kind, key.entity, key.name))) is not None and row.revision == key.revision
        ]

    def _spend_timers(self, operation: SpendTimers) -> Page:
        for key in self._find_timers(FindTimers(operation.timers)):
            del self._timers[key.kind, key.entity, key.name]
        return []

    def _postpone_timers(self, operation: PostponeTimers) -> Page:
        for key, due_at in operation.timers:
            for found in self._find_timers(FindTimers((key,))):
                name = (found.kind, found.entity, found.name)
                self._timers[name] = self._timers[name]._replace(due_at=due_at)
        return []

    def _list_timers(self, operation: ListTimers) -> Page:
        rows = sorted(
            ((row.due_at, row.entity, row.name, row.revision), row)
            for row in self._timers.values()
            if row.kind == operation.kind
            and operation.entity in (None, row.entity)
            and (operation.due_before is None or row.due_at <= operation.due_before)
        )
        return [row for place, row in rows if operation.after is None or place > operation.after][: operation.limit]

    # What operators do, and what reconciliation remembers.

    def _open_pauses(self) -> list[PauseRow]:
        return [each for each in self._pauses if each.resumed_at is None]

    def _add_pause(self, operation: AddPause) -> Page:
        if any(each[:2] == operation.pause[:2] for each in self._open_pauses()):
            return []
        self._pauses.append(operation.pause)
        return [(operation.pause.name,)]

    def _end_pause(self, operation: EndPause) -> Page:
        page: Page = []
        for number, each in enumerate(self._pauses):
            if each.resumed_at is None and each[:2] == (operation.scope, operation.name):
                ended = each._replace(resumed_at=operation.resumed_at, resumed_by=operation.resumed_by)
                self._pauses[number] = ended
                page.append((each.name,))
        return page

    def _fetch_reconciliation(self, operation: FetchReconciliation) -> Page:
        row = self._reconciliations.get(operation.name)
        return [] if row is None else [row]

    def _keep_reconciliation(self, operation: KeepReconciliation) -> Page:
        self._reconciliations[operation.row.name] = operation.row
        return []
