"""The floor on SQLite: one writer by hand in Python, row by row, a transaction for each event; and the same in batches.

It reads the entity and the receipt, updates the entity, inserts record, receipt and outbox row. What the ledger writes
beyond that is told in `bench.ledger.pgbench`.
"""

from __future__ import annotations

import json
import os
import random
import sqlite3
import time
from typing import Any

from bench.measure import Run

__all__ = ["SqliteLoops"]

_SCHEMA = """
CREATE TABLE floor_entity (kind TEXT, id TEXT, state TEXT NOT NULL, context TEXT NOT NULL, revision INTEGER NOT NULL,
    PRIMARY KEY (kind, id)) STRICT, WITHOUT ROWID;
CREATE TABLE floor_record (id BLOB PRIMARY KEY, kind TEXT NOT NULL, entity TEXT NOT NULL, revision INTEGER NOT NULL,
    event TEXT NOT NULL, payload TEXT NOT NULL, state_from TEXT NOT NULL, state_to TEXT NOT NULL,
    at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX floor_record_of_entity ON floor_record (kind, entity, revision);
CREATE TABLE floor_receipt (kind TEXT, entity TEXT, key TEXT, record BLOB NOT NULL,
    PRIMARY KEY (kind, entity, key)) STRICT, WITHOUT ROWID;
CREATE TABLE floor_outbox (kind TEXT, entity TEXT, revision INTEGER, n INTEGER, payload TEXT NOT NULL,
    PRIMARY KEY (kind, entity, revision, n)) STRICT, WITHOUT ROWID;
"""
_ENTITY = "SELECT state, context, revision FROM floor_entity WHERE kind = ? AND id = ?"
_RECEIPT = "SELECT record FROM floor_receipt WHERE kind = ? AND entity = ? AND key = ?"
_MOVE = "UPDATE floor_entity SET state = ?, context = ?, revision = ? WHERE kind = ? AND id = ?"
_RECORD = "INSERT INTO floor_record VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_RECEIVE = "INSERT INTO floor_receipt VALUES (?, ?, ?, ?)"
_ASK = "INSERT INTO floor_outbox VALUES (?, ?, ?, ?, ?)"


class SqliteLoops:
    """One writer by hand; each entity is sent its one event, as ours are."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        connection.executescript(_SCHEMA)
        self._made = 0
        self._random = random.Random(4200)

    def one_by_one(self, events: int) -> Run:
        return lambda: (self.send_each(self.created(events)), events)

    def batches(self, events: int, size: int) -> Run:
        return lambda: (self.send_batches(self.created(events), size), events)

    def send_each(self, names: list[str]) -> int:
        """Send each its event; the nanoseconds that it took."""
        execute = self._connection.execute
        began = time.perf_counter_ns()
        for name in names:
            execute("BEGIN IMMEDIATE")
            self._send(execute, name)
            execute("COMMIT")
        return time.perf_counter_ns() - began

    def send_batches(self, names: list[str], size: int) -> int:
        """The same, so many in a transaction."""
        began = time.perf_counter_ns()
        for first in range(0, len(names), size):
            self._send_batch(names[first : first + size])
        return time.perf_counter_ns() - began

    def created(self, events: int) -> list[str]:
        """Entities that wait for their event, in no order."""
        names = [f"o{number}" for number in range(self._made, self._made + events)]
        self._made += events
        rows = [("Order", name, "pending", json.dumps({"total": 4200}), 1) for name in names]
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany("INSERT INTO floor_entity VALUES (?, ?, ?, ?, ?)", rows)
        self._connection.execute("COMMIT")
        self._random.shuffle(names)
        return names

    def _send(self, execute: Any, name: str) -> None:
        before, context, revision = execute(_ENTITY, ("Order", name)).fetchone()
        execute(_RECEIPT, ("Order", name, "k")).fetchone()
        after = json.dumps({**json.loads(context), "paid": 4200})
        execute(_MOVE, ("paid", after, revision + 1, "Order", name))
        record = _new_id()
        execute(_RECORD, (record, "Order", name, revision + 1, "Pay", '{"amount":4200}', before, "paid", _now()))
        execute(_RECEIVE, ("Order", name, "k", record))
        execute(_ASK, ("Order", name, revision + 1, 0, '{"amount":4200}'))

    def _send_batch(self, names: list[str]) -> None:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        rows: list[Any] = [(name, *connection.execute(_ENTITY, ("Order", name)).fetchone()) for name in names]
        for name in names:
            connection.execute(_RECEIPT, ("Order", name, "k")).fetchone()
        ids = {name: _new_id() for name in names}
        moved = [
            ("paid", json.dumps({**json.loads(context), "paid": 4200}), revision + 1, "Order", name)
            for name, _, context, revision in rows
        ]
        connection.executemany(_MOVE, moved)
        records = [
            (ids[name], "Order", name, revision + 1, "Pay", '{"amount":4200}', before, "paid", _now())
            for name, before, _, revision in rows
        ]
        connection.executemany(_RECORD, records)
        connection.executemany(_RECEIVE, [("Order", name, "k", ids[name]) for name in names])
        asked = [("Order", name, revision + 1, 0, '{"amount":4200}') for name, _, _, revision in rows]
        connection.executemany(_ASK, asked)
        connection.execute("COMMIT")


def _new_id() -> bytes:
    """In the order of time, as ours are."""
    return time.time_ns().to_bytes(8, "big") + os.urandom(8)


def _now() -> int:
    return time.time_ns() // 1000
