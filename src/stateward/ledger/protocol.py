"""The commit protocol: what is read, decided and written for a batch of events, whichever store keeps it.

A batch is loaded in one trip, folded in memory, and written in another. Folding takes the pairs of each entity in
their order: receipts first, then what the caller expected, then the kernel. An entity that another writer moved in
between is missed by the write; its pairs go round again, under the same record ids.

Where a store keeps all other writers out between the two trips, nothing can be missed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, TypeVar

from stateward.errors import (
    Conflict,
    Refusal,
    Unkeepable,
)
from stateward.ledger.after_commit import EndEffects, FindTimers, HoldLease, SpendTimers
from stateward.ledger.contract import (
    CommitMoves,
    CreateEntities,
    FindRecords,
    Interrupted,
    LoadPairs,
    PairKey,
    RowsRefused,
    Trip,
    Trips,
)
from stateward.ledger.folding import Fold
from stateward.ledger.pairs import Answer, Charts, Pair
from stateward.ledger.results import Applied
from stateward.ledger.rows import EntityRow, RecordRow, TimerKey

__all__ = ["commit_pairs"]

T = TypeVar("T")

ROUNDS_MAX = 3
"""How often the pairs that missed go round within one commit; then they are their sender's to bring again."""


def commit_pairs(
    pairs: Sequence[Pair],
    charts: Charts,
    now: Callable[[], int],
    *,
    holds_lock: bool,
    settles: bool = False,
    is_joined: bool = False,
    waits: bool = False,
    lease: str | None = None,
) -> Trips[None]:
    """Commit a batch; each pair has its answer or its error at the end. They are no transaction together.

    A pair has neither if other transactions held or moved its entity in every round; nothing of it was committed then.
    It is its sender's to bring again, alone and waiting: its entity is locked before it is read, so that whoever holds
    it is waited for, and nobody moves it in between.

    Args:
        pairs: the events, in the order in which they count.
        charts: the charts by kind and version.
        now: the time in microseconds.
        holds_lock: whether the store keeps other writers out while the transaction is open.
        settles: whether some of it may have been committed before, by a commit whose reply was lost, or may be yet.
        is_joined: whether it is part of a caller's transaction, in which nothing is tried twice.
        waits: whether to lock the entities before they are read, and wait for those who hold them.
        lease: the worker whose lease must hold while it is written; None: whoever sends may.

    Raises:
        LeaseLost: it does not; nothing more was written.
    """
    was_refused = False
    for _ in range(1 if is_joined else ROUNDS_MAX):
        waiting = [pair for pair in pairs if not pair.is_settled]
        if not waiting:
            return
        try:
            loaded, running = yield from _load(waiting, settles=settles, begins=holds_lock or waits, locks=waits)
            waiting = [pair for pair in waiting if not pair.is_settled]
            loaded = [row for pair, row in loaded if not pair.is_settled]
            folds = _fold(waiting, loaded, charts, now(), running)
            yield from _write(folds, holds_lock=holds_lock, is_open=holds_lock or waits, lease=lease)
        except Interrupted:
            if is_joined:
                raise
            halves = _halves(waiting)
            if halves:  # so that one that others hold does not keep the rest
                for half in halves:
                    yield from commit_pairs(
                        half, charts, now, holds_lock=holds_lock, settles=settles, waits=waits, lease=lease
                    )
                return
        except RowsRefused as error:
            if is_joined:
                raise
            if was_refused:
                yield from _bisect(waiting, charts, now, error, holds_lock=holds_lock, waits=waits, lease=lease)
            was_refused = settles = True  # what was refused may be a record that a lost commit has written
    for pair in pairs:
        if is_joined and not pair.is_settled:
            pair.error = Conflict("was moved by another writer", lifecycle=pair.kind, entity=pair.entity)


def _load(
    waiting: Sequence[Pair], *, settles: bool, begins: bool, locks: bool
) -> Trips[tuple[list[tuple[Pair, Any]], frozenset[TimerKey]]]:
    """Read what the pairs need; of those that may be committed already, their records too, and settle them.

    Timers that are to fire are looked for after the entities were read, and before they are written: one that is gone
    by then was cancelled, or its entity has moved, and the write misses it.

    The records are looked for after the entities were read. A commit of before that comes through in between is found;
    one that comes through later still makes the write miss its entity.
    """
    load = LoadPairs(tuple([PairKey(pair.kind, pair.entity, pair.key) for pair in waiting]), locks)
    timers = tuple([pair.timer for pair in waiting if pair.timer is not None])
    if not settles and not timers:
        [page] = yield Trip((load,), begins=begins)
        return list(zip(waiting, page, strict=True)), frozenset()
    records = tuple([pair.record for pair in waiting if settles])
    page, running, written = yield Trip((load, FindTimers(timers), FindRecords(records)), begins=begins)
    found = {row.id: row for row in written}
    for pair in waiting:
        if pair.record in found:
            pair.answer = _answer_from(found[pair.record])
            pair.state_from, pair.stays = found[pair.record].state_from, ()
    return list(zip(waiting, page, strict=True)), frozenset(running)


def _answer_from(row: RecordRow) -> Answer:
    """The answer that a record stands for; what the kernel made of it is not kept."""
    if row.outcome in ("rejected_invalid", "rejected_auth"):
        kind: Any = row.reason
        return Refusal(kind, row.kind, row.state_from or "", row.event)
    return Applied(
        kind=row.kind,
        entity=row.entity,
        revision=row.revision,
        record=row.id,
        state=row.state_to,
        version=row.version,
        outcome="already_done" if row.outcome == "already_done" else "applied",
    )


def _bisect(
    pairs: Sequence[Pair],
    charts: Charts,
    now: Callable[[], int],
    error: RowsRefused,
    *,
    holds_lock: bool,
    waits: bool,
    lease: str | None,
) -> Trips[None]:
    """Find the entity whose rows the database refuses, so that the others' are written."""
    halves = _halves(pairs)
    for half in halves:
        yield from commit_pairs(half, charts, now, holds_lock=holds_lock, settles=True, waits=waits, lease=lease)
    if not halves:
        for pair in pairs:
            if not pair.is_settled:
                problem = f"{pair.kind} {pair.entity}: the database refused it: {error}"
                pair.error = Unkeepable(problem)


def _halves(pairs: Sequence[Pair]) -> list[list[Pair]]:
    """The pairs in two parts, those of an entity together; nothing if they are all for one."""
    entities = list(dict.fromkeys((pair.kind, pair.entity) for pair in pairs))
    if len(entities) < 2:
        return []
    first = set(entities[: len(entities) // 2])
    return [[pair for pair in pairs if ((pair.kind, pair.entity) in first) is is_first] for is_first in (True, False)]


def _fold(
    pairs: Sequence[Pair], loaded: Sequence[Any], charts: Charts, now: int, running: frozenset[TimerKey] = frozenset()
) -> list[Fold]:
    folds: dict[tuple[str, str], Fold] = {}
    for pair, (row, receipt) in zip(pairs, loaded, strict=True):
        fold = folds.get((pair.kind, pair.entity))
        if fold is None:
            fold = folds[pair.kind, pair.entity] = Fold(row, charts, now)
        if receipt is not None:
            fold.receipts.setdefault(receipt.key, receipt)
        if pair.timer is not None and pair.timer in running:
            fold.running.add(pair.timer)
        fold.take(pair)
    return list(folds.values())


def _write(folds: list[Fold], *, holds_lock: bool, is_open: bool, lease: str | None) -> Trips[None]:
    """Write what was folded, and settle the pairs whose writing held; end the transaction, if one is open."""
    created = tuple(sorted(fold.new_row() for fold in folds if fold.is_new))
    done: set[tuple[str, str]] = {(row.kind, row.id) for row in created} if holds_lock else set()
    writing = [fold for fold in folds if fold.has_rows]
    if created and not holds_lock:
        # In a statement of their own, and first: whether a create held decides what else is written.
        [inserted] = yield Trip((CreateEntities(created),), begins=not is_open)
        is_open = True
        done = {tuple(each) for each in inserted}
        writing = [fold for fold in writing if not fold.is_new or (fold.kind, fold.entity) in done]
    if not writing:
        if is_open:
            yield Trip((), commits=True)
    else:
        hold = (HoldLease(lease),) if lease is not None else ()
        create = (CreateEntities(created),) if created and holds_lock else ()
        before, behind = (*hold, *create), _ends(writing)
        commit = _moves(writing, created, done)
        alone = not before and not behind  # one statement is its own transaction
        pages = yield Trip((*before, commit, *behind), begins=not is_open and not alone, commits=is_open or not alone)
        done |= {tuple(each) for each in pages[len(before)]}
    for fold in folds:
        fold.settle(has_moved=(fold.kind, fold.entity) in done)


def _ends(folds: Sequence[Fold]) -> tuple[EndEffects | SpendTimers, ...]:
    """What is over together with what is written: effects whose handlers replied, and timers that have fired."""
    ends, spent = _all_of([fold.ends for fold in folds]), _all_of([fold.spent for fold in folds])
    return (*((EndEffects(ends),) if ends else ()), *((SpendTimers(spent),) if spent else ()))


def _moves(folds: Sequence[Fold], created: tuple[EntityRow, ...], done: set[tuple[str, str]]) -> CommitMoves:
    return CommitMoves(
        moves=tuple(sorted([fold.move() for fold in folds if fold.has_moved and not fold.is_new])),
        created=tuple([row for row in created if (row.kind, row.id) in done]),
        records=_all_of([fold.records for fold in folds]),
        attempts=_all_of([fold.attempts for fold in folds]),
        receipts=_all_of([fold.new_receipts for fold in folds]),
        outbox=_all_of([fold.outbox for fold in folds]),
        timers_set=_all_of([list(fold.timers.values()) for fold in folds if fold.timers]),
        timers_cancelled=_all_of(
            [[(fold.kind, fold.entity, name) for name in fold.cancelled] for fold in folds if fold.cancelled]
        ),
        census=tuple([(fold.kind, fold.entity, moves) for fold in folds if (moves := fold.census())]),
    )


def _all_of(lists: Sequence[list[T]]) -> tuple[T, ...]:
    """The rows of all folds; one fold's, as they are: it is the usual case."""
    return tuple(lists[0]) if len(lists) == 1 else tuple(chain.from_iterable(lists))
