"""The ledger in memory: for tests and trials, and the plainest statement of what the contract means."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import Lock
from typing import Any, TypeVar

from stateward.errors import LedgerUnavailable
from stateward.ledger.contract import (
    Capabilities,
    CommitMoves,
    CountCensus,
    CreateEntities,
    FetchEntities,
    FetchHistory,
    FindRecords,
    LedgerStatistics,
    ListEntities,
    LoadPairs,
    Page,
    RegisterLifecycle,
    Trip,
    Trips,
)
from stateward.ledger.driving import drive
from stateward.ledger.memory_following import FOLLOW, Feed
from stateward.ledger.memory_retaining import MemoryRetention
from stateward.ledger.memory_work import MemoryWork
from stateward.ledger.rows import EffectKey, EntityRow, OutboxRow, ReceiptRow, RecordRow, TimerRow

__all__ = ["MemoryLedger"]

T = TypeVar("T")


class MemoryLedger:
    """Rows in dicts, under one lock; gone with the process."""

    capabilities = Capabilities(name="memory", holds_write_lock=True, is_durable=False, shares_processes=False)

    def __init__(self) -> None:
        self._lock = Lock()
        self._is_closed = False
        self._lifecycles: dict[tuple[str, int], str] = {}
        self._entities: dict[tuple[str, str], EntityRow] = {}
        self._records: dict[tuple[str, str], list[RecordRow]] = {}
        self._receipts: dict[tuple[str, str, str], ReceiptRow] = {}
        self._outbox: dict[EffectKey, OutboxRow] = {}
        self._timers: dict[tuple[str, str, str], TimerRow] = {}
        self._census: dict[tuple[str, int, str], int] = {}
        self._feed: Feed = []
        self._work = MemoryWork(self._outbox, self._timers, self._records)
        self._retention = MemoryRetention(self._receipts, self._work.dead_letters, self._outbox)

    def run(self, trips: Trips[T]) -> T:
        """Drive a piece of protocol; see `Ledger.run`. A transaction holds the lock from its beginning to its end."""
        if self._is_closed:
            message = "memory: the ledger is closed"
            raise LedgerUnavailable(message)
        with self._lock:
            return drive(trips, self._make)

    def close(self) -> None:
        """Refuse everything from now on. Twice is safe."""
        self._is_closed = True

    def statistics(self) -> LedgerStatistics:
        """What it holds now; see `Ledger.statistics`."""
        return LedgerStatistics(name="memory", connections=0, idle=0, waiting=0)

    def _make(self, trip: Trip) -> list[Page]:
        return [self._operate(each) for each in trip.operations]

    def _operate(self, operation: Any) -> Page:
        run: dict[type, Callable[[Any], Page]] = {
            LoadPairs: self._load_pairs,
            CreateEntities: self._create_entities,
            CommitMoves: self._commit_moves,
            FindRecords: self._find_records,
            FetchEntities: self._fetch_entities,
            FetchHistory: self._fetch_history,
            ListEntities: self._list_entities,
            CountCensus: self._count_census,
            RegisterLifecycle: self._register_lifecycle,
            **self._work.operations,
            **{each: partial(follow, self._feed) for each, follow in FOLLOW.items()},
            **self._retention.operations,
        }
        return run[type(operation)](operation)

    def _load_pairs(self, operation: LoadPairs) -> Page:
        return [
            (self._entities.get((pair.kind, pair.entity)), self._receipts.get((pair.kind, pair.entity, pair.key or "")))
            for pair in operation.pairs
        ]

    def _create_entities(self, operation: CreateEntities) -> Page:
        page: Page = []
        for row in operation.entities:
            if (row.kind, row.id) not in self._entities:
                self._entities[row.kind, row.id] = row
                page.append((row.kind, row.id))
        return page

    def _commit_moves(self, operation: CommitMoves) -> Page:
        page: Page = [(row.kind, row.id) for row in operation.created]
        for row, _ in operation.moves:
            self._entities[row.kind, row.id] = row
            page.append((row.kind, row.id))
        for record in (*operation.attempts, *operation.records):
            self._feed.append(record)
            self._records.setdefault((record.kind, record.entity), []).append(record)
        for receipt in operation.receipts:
            self._receipts[receipt.kind, receipt.entity, receipt.key] = receipt
        for effect in operation.outbox:
            self._outbox[EffectKey(*effect[:5])] = effect
        for name in operation.timers_cancelled:
            self._timers.pop(name, None)
        for timer in operation.timers_set:
            self._timers[timer.kind, timer.entity, timer.name] = timer
        for _, _, moves in operation.census:
            for kind, version, state, change in moves:
                self._census[kind, version, state] = self._census.get((kind, version, state), 0) + change
        return page

    def _find_records(self, operation: FindRecords) -> Page:
        wanted = set(operation.ids)
        return [row for rows in self._records.values() for row in rows if row.id in wanted]

    def _fetch_entities(self, operation: FetchEntities) -> Page:
        return [self._entities.get((operation.kind, each)) for each in operation.ids]

    def _fetch_history(self, operation: FetchHistory) -> Page:
        def place(row: RecordRow) -> tuple[int, bool, str]:
            is_attempt = row.outcome != "applied"
            return row.revision, is_attempt, row.id if is_attempt else ""

        after = operation.after or (0, True, "")
        behind = (after[0], after[1], after[2] if after[1] else "")
        rows = sorted(self._records.get((operation.kind, operation.entity), ()), key=place)
        return [row for row in rows if place(row) > behind][: operation.limit]

    def _list_entities(self, operation: ListEntities) -> Page:
        rows = [
            row
            for row in self._entities.values()
            if row.kind == operation.kind
            and operation.version in (None, row.version)
            and operation.state in (None, row.state)
            and (operation.updated_before is None or row.updated_at < operation.updated_before)
            and (operation.due_by is None or (row.due_by is not None and row.due_by <= operation.due_by))
        ]
        placed = sorted(((operation.number_of(row), row.id), row) for row in rows)
        return [row for place, row in placed if operation.after is None or place > operation.after][: operation.limit]

    def _count_census(self, operation: CountCensus) -> Page:
        return [
            (*line, count)
            for line, count in sorted(self._census.items())
            if count and operation.kind in (None, line[0])
        ]

    def _register_lifecycle(self, operation: RegisterLifecycle) -> Page:
        return [(self._lifecycles.setdefault((operation.kind, operation.version), operation.digest),)]
