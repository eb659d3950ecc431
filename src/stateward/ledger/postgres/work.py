"""The operations of the work after commit as statements of PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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
from stateward.ledger.postgres.statement import FIRST_TIME, Statement, array_of, columns_of
from stateward.ledger.rows import (
    DeadLetterRow,
    EffectEnd,
    OutboxRow,
    PartRow,
    PauseRow,
    ReconciliationRow,
    TimerKey,
    TimerRow,
    WorkerRow,
)
from stateward.ledger.sql import read_queries

__all__ = ["WORK"]

_QUERIES = read_queries("stateward.ledger.postgres", "work.sql")


def _rows_of(kind: type[Any]) -> Callable[[list[Any]], Page]:
    """What makes rows of this kind of a statement's."""
    make: Callable[[Any], Any] = kind._make
    return lambda rows: [make(row) for row in rows]


def _ask(name: str, parameters: Any, page: Callable[[list[Any]], Page] = list) -> list[Statement]:
    return [Statement(_QUERIES[name], parameters, page, prepare=False)]


def _tell(name: str, parameters: Any) -> list[Statement]:
    """A statement whose page is empty, whatever it gives."""
    return _ask(name, parameters, lambda _: [])


# Leases.


def _remove_worker(operation: RemoveWorker) -> list[Statement]:
    return _ask("remove_worker", {"worker": operation.worker, "beat": operation.beat})


def _take_parts(operation: TakeParts) -> list[Statement]:
    parts, epochs = columns_of(operation.parts, 2)
    given = {"worker": operation.worker, "part": parts, "epoch": epochs}
    return _ask("take_parts", given, _rows_of(PartRow))


# Effects.


def _fetch_effects(operation: FetchEffects) -> list[Statement]:
    part, kind, entity, revision, n = operation.after or (-1, "", "", 0, 0)
    given = {
        "a_part": part, "a_kind": kind, "a_entity": entity, "a_revision": revision, "a_n": n,
        "parts": array_of(operation.parts), "kinds": array_of(operation.kinds), "effects": array_of(operation.effects),
        "unordered": array_of(operation.unordered), "now": operation.now, "limit": operation.limit,
    }  # fmt: skip
    return _ask("fetch_effects", given, _rows_of(OutboxRow))


def _find_unhandled(operation: FindUnhandled) -> list[Statement]:
    return _ask("find_unhandled", [array_of(each) for each in (operation.parts, operation.kinds, operation.effects)])


def _end_effects(operation: EndEffects) -> list[Statement]:
    names = EffectEnd._fields
    return _tell("end_effects", dict(zip(names, columns_of(operation.ends, len(names)), strict=True)))


def _postpone_effects(operation: PostponeEffects) -> list[Statement]:
    rows = [(*each.key, each.attempts, each.next_attempt, each.last_error) for each in operation.effects]
    return _tell("postpone_effects", columns_of(rows, 8))


def _list_pending(operation: ListPending) -> list[Statement]:
    return _ask("list_pending", (operation.part, operation.kind, operation.entity), _rows_of(OutboxRow))


def _list_dead_letters(operation: ListDeadLetters) -> list[Statement]:
    died_at, kind, entity, revision, n = operation.after or (FIRST_TIME, "", "", 0, 0)
    given = {
        "kind": operation.kind, "entity": operation.entity, "effect": operation.effect, "limit": operation.limit,
        "a_died_at": died_at, "a_kind": kind, "a_entity": entity, "a_revision": revision, "a_n": n,
    }  # fmt: skip
    return _ask("list_dead_letters", given, _rows_of(DeadLetterRow))


def _revive_effects(operation: ReviveEffects) -> list[Statement]:
    return _ask("revive_effects", columns_of(operation.effects, 5))


# Timers.


def _fetch_timers(operation: FetchTimers) -> list[Statement]:
    given = {
        "parts": array_of(operation.parts), "kinds": array_of(operation.kinds), "now": operation.now,
        "limit": operation.limit, "limit_of_part": operation.limit_of_part,
    }  # fmt: skip
    return _ask("fetch_timers", given, _rows_of(TimerRow))


def _postpone_timers(operation: PostponeTimers) -> list[Statement]:
    return _tell("postpone_timers", columns_of([(*key, due_at) for key, due_at in operation.timers], 5))


def _list_timers(operation: ListTimers) -> list[Statement]:
    due_at, entity, name, revision = operation.after or (FIRST_TIME, "", "", 0)
    given = {
        "kind": operation.kind, "entity": operation.entity, "due_before": operation.due_before,
        "limit": operation.limit, "a_due_at": due_at, "a_entity": entity, "a_name": name, "a_revision": revision,
    }  # fmt: skip
    return _ask("list_timers", given, _rows_of(TimerRow))


# What operators do.


def _end_pause(operation: EndPause) -> list[Statement]:
    given = {
        "scope": operation.scope, "name": operation.name, "at": operation.resumed_at, "by": operation.resumed_by,
    }  # fmt: skip
    return _ask("end_pause", given)


def _add_worker(operation: AddWorker) -> list[Statement]:
    return _tell("add_worker", operation.worker)


def _raise_beat(operation: RaiseBeat) -> list[Statement]:
    return _ask("raise_beat", (operation.worker,))


def _release_parts(operation: ReleaseParts) -> list[Statement]:
    return _tell("release_parts", (operation.worker, array_of(operation.parts)))


def _hold_lease(operation: HoldLease) -> list[Statement]:
    return _tell("hold_lease", (operation.worker,))


def _find_timers(operation: FindTimers) -> list[Statement]:
    return _ask("find_timers", columns_of(operation.timers, 4), _rows_of(TimerKey))


def _spend_timers(operation: SpendTimers) -> list[Statement]:
    return _tell("spend_timers", columns_of(operation.timers, 4))


def _add_pause(operation: AddPause) -> list[Statement]:
    return _ask("add_pause", operation.pause)


def _fetch_reconciliation(operation: FetchReconciliation) -> list[Statement]:
    return _ask("fetch_reconciliation", (operation.name,), _rows_of(ReconciliationRow))


def _keep_reconciliation(operation: KeepReconciliation) -> list[Statement]:
    return _tell("keep_reconciliation", operation.row)


WORK: dict[type, Callable[[Any], list[Statement]]] = {
    AddPause: _add_pause,
    AddWorker: _add_worker,
    EndEffects: _end_effects,
    EndPause: _end_pause,
    FetchEffects: _fetch_effects,
    FetchParts: lambda _: _ask("fetch_parts", (), _rows_of(PartRow)),
    FetchReconciliation: _fetch_reconciliation,
    FetchTimers: _fetch_timers,
    FetchWorkers: lambda _: _ask("fetch_workers", (), _rows_of(WorkerRow)),
    FindTimers: _find_timers,
    FindUnhandled: _find_unhandled,
    HoldLease: _hold_lease,
    KeepReconciliation: _keep_reconciliation,
    ListDeadLetters: _list_dead_letters,
    ListPauses: lambda _: _ask("list_pauses", (), _rows_of(PauseRow)),
    ListPending: _list_pending,
    ListTimers: _list_timers,
    PostponeEffects: _postpone_effects,
    PostponeTimers: _postpone_timers,
    RaiseBeat: _raise_beat,
    ReleaseParts: _release_parts,
    RemoveWorker: _remove_worker,
    ReviveEffects: _revive_effects,
    SpendTimers: _spend_timers,
    TakeParts: _take_parts,
}
