"""A small ledger on one SQLite file, behind the demo: one writer, one transaction per event.

It keeps the promise that matters, and no other: the entity's row and the record of what happened move in one
transaction or not at all, and records are never changed. Idempotency keys, outbox, timers, several writers
and other databases are for the ledger proper.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

import msgspec

from stateward.chart import Chart, ContextMarker
from stateward.errors import Conflict, LedgerUnavailable, Refusal, UnknownEntity
from stateward.kernel import Snapshot, Step, position_of

__all__ = ["DemoLedger", "Entity", "Record"]

C = TypeVar("C", bound=ContextMarker)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entity (
    kind TEXT NOT NULL, id TEXT NOT NULL CHECK (id <> ''), version INTEGER NOT NULL CHECK (version > 0),
    digest TEXT NOT NULL, state TEXT NOT NULL CHECK (state <> ''), history TEXT NOT NULL, context TEXT NOT NULL,
    revision INTEGER NOT NULL CHECK (revision > 0), created_at TEXT NOT NULL, updated_at TEXT NOT NULL,
    PRIMARY KEY (kind, id)
) WITHOUT ROWID, STRICT;
CREATE TABLE IF NOT EXISTS record (
    number INTEGER PRIMARY KEY, kind TEXT NOT NULL, entity TEXT NOT NULL, revision INTEGER NOT NULL,
    version INTEGER NOT NULL, event TEXT NOT NULL, payload TEXT NOT NULL, state_from TEXT, state_to TEXT NOT NULL,
    actor TEXT NOT NULL, occurred_at TEXT NOT NULL, outcome TEXT NOT NULL, reason TEXT,
    CHECK (outcome IN ('applied', 'already_done', 'rejected_invalid')),
    CHECK ((outcome = 'rejected_invalid') = (reason IS NOT NULL))
) STRICT;
CREATE INDEX IF NOT EXISTS record_of_entity ON record (kind, entity, number);
CREATE UNIQUE INDEX IF NOT EXISTS record_revisions ON record (kind, entity, revision) WHERE outcome = 'applied';
CREATE TRIGGER IF NOT EXISTS record_is_not_updated BEFORE UPDATE ON record
    BEGIN SELECT RAISE(ABORT, 'records are append-only'); END;
CREATE TRIGGER IF NOT EXISTS record_is_not_deleted BEFORE DELETE ON record
    BEGIN SELECT RAISE(ABORT, 'records are append-only'); END;
"""


class Entity(NamedTuple):
    """An entity as kept."""

    kind: str
    id: str
    version: int
    state: str
    revision: int
    snapshot: Snapshot[Any]


class Record(NamedTuple):
    """What happened to an entity, or was refused."""

    number: int
    kind: str
    entity: str
    revision: int
    """The revision that it made; of a refused attempt the one that it saw."""
    event: str
    payload: str
    """JSON."""
    state_from: str | None
    """None: the entity's start."""
    state_to: str
    actor: str
    occurred_at: datetime
    outcome: str
    reason: str | None
    """The kind of the refusal."""


class DemoLedger:
    """One SQLite file (WAL, synchronous=FULL), used by one process at a time."""

    def __init__(self, path: Path | str) -> None:
        try:
            self._connection = sqlite3.connect(path, isolation_level=None)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.executescript(_SCHEMA)
        except sqlite3.Error as error:
            message = f"{path}: {error}"
            raise LedgerUnavailable(message) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. Twice is safe."""
        self._connection.close()

    def load_entity(self, chart: Chart[C], entity: str) -> Entity:
        """The entity as it stands.

        Raises:
            UnknownEntity: there is none of that id.
        """
        query = "SELECT version, state, history, context, revision FROM entity WHERE kind = ? AND id = ?"
        row = self._connection.execute(query, (chart.kind, entity)).fetchone()
        if row is None:
            raise UnknownEntity(lifecycle=chart.kind, entity=entity)
        version, state, history, context, revision = row
        position = position_of(chart, state, msgspec.json.decode(history))
        snapshot = Snapshot(position, msgspec.json.decode(context, type=chart.context_type))
        return Entity(chart.kind, entity, version, state, revision, snapshot)

    def commit_start(self, chart: Chart[C], entity: str, step: Step[C], *, actor: str, occurred_at: datetime) -> Entity:
        """Keep a new entity and the record of its start, in one transaction.

        Raises:
            Conflict: the id is taken.
        """
        snapshot = step.snapshot
        with self._transaction():
            try:
                self._connection.execute(
                    "INSERT INTO entity VALUES (?, ?, ?, ?, ?, ?, ?, 1, ?, ?)",
                    (
                        chart.kind, entity, chart.version, chart.digest, step.state, _json(snapshot.position.history),
                        _json(snapshot.context), occurred_at.isoformat(), occurred_at.isoformat(),
                    ),
                )  # fmt: skip
            except sqlite3.IntegrityError as error:
                raise Conflict("the id is taken", lifecycle=chart.kind, entity=entity) from error
            self._record(chart, entity, 1, "Started", "{}", None, step.state, actor, occurred_at, "applied", None)
        return Entity(chart.kind, entity, chart.version, step.state, 1, snapshot)

    def commit_answer(
        self,
        chart: Chart[C],
        before: Entity,
        event: str,
        payload: object,
        answer: Step[C] | Refusal,
        *,
        actor: str,
        occurred_at: datetime,
    ) -> Entity:
        """Keep what an event led to: the entity's row if it was applied, and its record, in one transaction.

        Args:
            chart: the entity's chart.
            before: the entity as it was loaded.
            event: the event's wire name.
            payload: the event itself, kept as JSON.
            answer: what the kernel made of it.
            actor: who sent it.
            occurred_at: when it happened.

        Raises:
            Conflict: the entity has moved since it was loaded.
        """
        applied = isinstance(answer, Step) and answer.outcome == "applied"
        revision = before.revision + 1 if applied else before.revision
        outcome = answer.outcome if isinstance(answer, Step) else "rejected_invalid"
        snapshot = answer.snapshot if isinstance(answer, Step) else before.snapshot
        state = snapshot.state
        with self._transaction():
            if applied:
                changed = self._connection.execute(
                    "UPDATE entity SET state = ?, history = ?, context = ?, revision = ?, updated_at = ?"
                    " WHERE kind = ? AND id = ? AND revision = ?",
                    (
                        state, _json(snapshot.position.history), _json(snapshot.context), revision,
                        occurred_at.isoformat(), chart.kind, before.id, before.revision,
                    ),
                )  # fmt: skip
                if changed.rowcount != 1:
                    problem = f"has moved on from revision {before.revision}"
                    raise Conflict(problem, lifecycle=chart.kind, entity=before.id)
            reason = answer.kind if isinstance(answer, Refusal) else None
            moved = (before.state, state, actor, occurred_at, outcome, reason)
            self._record(chart, before.id, revision, event, _json(payload), *moved)
        return Entity(chart.kind, before.id, before.version, state, revision, snapshot)

    def fetch_history(self, kind: str, entity: str) -> list[Record]:
        """Everything that happened to one entity, refused attempts included, in order."""
        return list(self._fetch("kind = ? AND entity = ? ORDER BY number", (kind, entity)))

    def fetch_records(self, kind: str) -> Iterator[Record]:
        """All records of a kind, an entity's together and in order."""
        return self._fetch("kind = ? ORDER BY entity, number", (kind,))

    def count_states(self, kind: str) -> dict[str, int]:
        """How many entities are in each configuration now."""
        query = "SELECT state, count(*) FROM entity WHERE kind = ? GROUP BY state"
        return dict(self._connection.execute(query, (kind,)))

    def _fetch(self, where: str, values: tuple[str, ...]) -> Iterator[Record]:
        rows = self._connection.execute(
            "SELECT number, kind, entity, revision, event, payload, state_from, state_to, actor, occurred_at,"
            f" outcome, reason FROM record WHERE {where}",
            values,
        )
        for row in rows:
            yield Record._make((*row[:9], datetime.fromisoformat(row[9]), *row[10:]))

    def _record(self, chart: Chart[Any], entity: str, revision: int, *values: Any) -> None:
        event, payload, state_from, state_to, actor, occurred_at, outcome, reason = values
        self._connection.execute(
            "INSERT INTO record (kind, entity, revision, version, event, payload, state_from, state_to, actor,"
            " occurred_at, outcome, reason) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                chart.kind, entity, revision, chart.version, event, payload, state_from, state_to, actor,
                occurred_at.isoformat(), outcome, reason,
            ),
        )  # fmt: skip

    def _transaction(self) -> _Transaction:
        return _Transaction(self._connection)


class _Transaction:
    """Committed when its block ends, rolled back when it raises."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            message = f"the ledger is in use by another writer: {error}"
            raise LedgerUnavailable(message) from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.execute("COMMIT" if error is None else "ROLLBACK")


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
