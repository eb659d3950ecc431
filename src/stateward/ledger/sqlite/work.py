"""The operations of the work after commit on SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
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
from stateward.ledger.codec import json_text
from stateward.ledger.contract import Page
from stateward.ledger.rows import (
    DeadLetterRow,
    OutboxRow,
    PartRow,
    PauseRow,
    ReconciliationRow,
    TimerKey,
    TimerRow,
    WorkerRow,
)
from stateward.ledger.sql import read_queries

__all__ = ["WORK", "packed_id", "unpacked_id"]

_QUERIES = read_queries("stateward.ledger.sqlite", "work.sql")
_BEFORE_ALL = -(2**62)


def packed_id(record: str) -> bytes:
    """A record's id as it is kept."""
    return bytes.fromhex(record.replace("-", ""))


def unpacked_id(value: bytes) -> str:
    """A record's id as it travels."""
    text = value.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


# Leases.


def _add_worker(cursor: sqlite3.Cursor, operation: AddWorker) -> Page:
    cursor.execute(_QUERIES["add_worker"], operation.worker)
    return []


def _raise_beat(cursor: sqlite3.Cursor, operation: RaiseBeat) -> Page:
    return cursor.execute(_QUERIES["raise_beat"], (operation.worker,)).fetchall()


def _remove_worker(cursor: sqlite3.Cursor, operation: RemoveWorker) -> Page:
    return cursor.execute(_QUERIES["remove_worker"], (operation.worker, operation.beat)).fetchall()


def _fetch_workers(cursor: sqlite3.Cursor, _: FetchWorkers) -> Page:
    return [WorkerRow._make(row) for row in cursor.execute(_QUERIES["fetch_workers"]).fetchall()]


def _fetch_parts(cursor: sqlite3.Cursor, _: FetchParts) -> Page:
    return [PartRow._make(row) for row in cursor.execute(_QUERIES["fetch_parts"]).fetchall()]


def _take_parts(cursor: sqlite3.Cursor, operation: TakeParts) -> Page:
    taken = (
        cursor.execute(_QUERIES["take_part"], (operation.worker, part, epoch)).fetchall()
        for part, epoch in operation.parts
    )
    return [PartRow._make(row) for rows in taken for row in rows]


def _release_parts(cursor: sqlite3.Cursor, operation: ReleaseParts) -> Page:
    cursor.executemany(_QUERIES["release_part"], [(operation.worker, part) for part in operation.parts])
    return []


def _hold_lease(cursor: sqlite3.Cursor, operation: HoldLease) -> Page:
    # The transaction keeps all other writers out, so that what is there stays there.
    if cursor.execute(_QUERIES["find_worker"], (operation.worker,)).fetchone() is None:
        raise LeaseLost(worker=operation.worker)
    return []


# Effects.


def _fetch_effects(cursor: sqlite3.Cursor, operation: FetchEffects) -> Page:
    given = (
        *map(json_text, (operation.parts, operation.kinds, operation.effects, operation.unordered)),
        operation.now, *(operation.after or (-1, "", "", 0, 0)), operation.limit,
    )  # fmt: skip
    return _outbox_rows(cursor.execute(_QUERIES["fetch_effects"], given))


def _outbox_rows(rows: Iterable[tuple[Any, ...]]) -> Page:
    return [OutboxRow._make((*row[:7], unpacked_id(row[7]), *row[8:])) for row in rows]


def _find_unhandled(cursor: sqlite3.Cursor, operation: FindUnhandled) -> Page:
    given = tuple(map(json_text, (operation.parts, operation.kinds, operation.effects)))
    return cursor.execute(_QUERIES["find_unhandled"], given).fetchall()


def _end_effects(cursor: sqlite3.Cursor, operation: EndEffects) -> Page:
    needs = [None if end.needs is None else packed_id(end.needs) for end in operation.ends]
    dead = [
        (*end[:5], end.attempts, end.error, end.died_at, need)
        for end, need in zip(operation.ends, needs, strict=True)
        if end.error is not None
    ]
    cursor.executemany(_QUERIES["bury_effect"], dead)
    ended = [(*end[:5], need) for end, need in zip(operation.ends, needs, strict=True)]
    cursor.executemany(_QUERIES["end_effect"], ended)
    return []


def _postpone_effects(cursor: sqlite3.Cursor, operation: PostponeEffects) -> Page:
    rows = [(*each.key, each.attempts, each.next_attempt, each.last_error) for each in operation.effects]
    cursor.executemany(_QUERIES["postpone_effect"], rows)
    return []


def _list_pending(cursor: sqlite3.Cursor, operation: ListPending) -> Page:
    given = (operation.part, operation.kind, operation.entity)
    return _outbox_rows(cursor.execute(_QUERIES["list_pending"], given))


def _list_dead_letters(cursor: sqlite3.Cursor, operation: ListDeadLetters) -> Page:
    after = operation.after or (_BEFORE_ALL, "", "", 0, 0)
    given = (operation.kind, operation.entity, operation.effect, *after, operation.limit)
    rows = cursor.execute(_QUERIES["list_dead_letters"], given).fetchall()
    return [DeadLetterRow._make((*row[:7], unpacked_id(row[7]), *row[8:])) for row in rows]


def _revive_effects(cursor: sqlite3.Cursor, operation: ReviveEffects) -> Page:
    page: Page = []
    for kind, entity, revision, n, due_at in operation.effects:
        if cursor.execute(_QUERIES["revive_effect"], (kind, entity, revision, n, due_at)).rowcount:
            cursor.execute(_QUERIES["forget_dead_letter"], (kind, entity, revision, n))
            page.append((kind, entity, revision, n))
    return page


# Timers.


def _fetch_timers(cursor: sqlite3.Cursor, operation: FetchTimers) -> Page:
    page: Page = []
    kinds = json_text(operation.kinds)
    for part in operation.parts:
        limit = min(operation.limit_of_part, operation.limit - len(page))
        page += _timer_rows(cursor.execute(_QUERIES["fetch_timers"], (part, kinds, operation.now, limit)))
        if len(page) >= operation.limit:
            break
    return page


def _timer_rows(rows: Iterable[tuple[Any, ...]]) -> Page:
    return [TimerRow._make((*row[:6], unpacked_id(row[6]), *row[7:])) for row in rows]


def _find_timers(cursor: sqlite3.Cursor, operation: FindTimers) -> Page:
    found = (cursor.execute(_QUERIES["find_timer"], key).fetchone() for key in operation.timers)
    return [TimerKey._make(row) for row in found if row is not None]


def _spend_timers(cursor: sqlite3.Cursor, operation: SpendTimers) -> Page:
    cursor.executemany(_QUERIES["spend_timer"], operation.timers)
    return []


def _postpone_timers(cursor: sqlite3.Cursor, operation: PostponeTimers) -> Page:
    cursor.executemany(_QUERIES["postpone_timer"], [(*key, due_at) for key, due_at in operation.timers])
    return []


def _list_timers(cursor: sqlite3.Cursor, operation: ListTimers) -> Page:
    after = operation.after or (_BEFORE_ALL, "", "", 0)
    given = (operation.kind, operation.entity, operation.due_before, *after, operation.limit)
    return _timer_rows(cursor.execute(_QUERIES["list_timers"], given))


# What operators do, and what reconciliation remembers.


def _add_pause(cursor: sqlite3.Cursor, operation: AddPause) -> Page:
    return cursor.execute(_QUERIES["add_pause"], operation.pause).fetchall()


def _end_pause(cursor: sqlite3.Cursor, operation: EndPause) -> Page:
    given = (operation.scope, operation.name, operation.resumed_at, operation.resumed_by)
    return cursor.execute(_QUERIES["end_pause"], given).fetchall()


def _list_pauses(cursor: sqlite3.Cursor, _: ListPauses) -> Page:
    return [PauseRow._make(row) for row in cursor.execute(_QUERIES["list_pauses"]).fetchall()]


def _fetch_reconciliation(cursor: sqlite3.Cursor, operation: FetchReconciliation) -> Page:
    rows = cursor.execute(_QUERIES["fetch_reconciliation"], (operation.name,)).fetchall()
    return [ReconciliationRow._make(row) for row in rows]


def _keep_reconciliation(cursor: sqlite3.Cursor, operation: KeepReconciliation) -> Page:
    cursor.execute(_QUERIES["keep_reconciliation"], operation.row)
    return []


WORK: dict[type, Callable[[sqlite3.Cursor, Any], Page]] = {
    AddPause: _add_pause,
    AddWorker: _add_worker,
    EndEffects: _end_effects,
    EndPause: _end_pause,
    FetchEffects: _fetch_effects,
    FetchParts: _fetch_parts,
    FetchReconciliation: _fetch_reconciliation,
    FetchTimers: _fetch_timers,
    FetchWorkers: _fetch_workers,
    FindTimers: _find_timers,
    FindUnhandled: _find_unhandled,
    HoldLease: _hold_lease,
    KeepReconciliation: _keep_reconciliation,
    ListDeadLetters: _list_dead_letters,
    ListPauses: _list_pauses,
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
