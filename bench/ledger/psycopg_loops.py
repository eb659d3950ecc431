"""By hand in Python on PostgreSQL: what an application would write without us, on the floor's tables.

In seven trips, statement by statement; in two, since one statement may read all and another write all; and in batches
of a hundred, each statement sent for the whole batch without waiting in between.
"""

from __future__ import annotations

import random
import time
from itertools import count
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from bench.ledger.pgbench import FloorTables, name_of
from bench.measure import Run

__all__ = ["PsycopgLoops"]

# Records have ids in the order of time, as pgbench's and ours have: others would make another index of them.
_LOCK = b"SELECT state, context, revision, uuidv7() FROM floor_entity WHERE kind = %s AND id = %s FOR UPDATE"
_RECEIPT = b"INSERT INTO floor_receipt VALUES (%s, %s, %s, %s)"
_ENTITY = b"UPDATE floor_entity SET state = %s, context = %s, revision = %s WHERE kind = %s AND id = %s"
_RECORD = b"INSERT INTO floor_record VALUES (%s, %s, %s, %s, %s, %s, %s, %s, now())"
_OUTBOX = b"INSERT INTO floor_outbox VALUES (%s, %s, %s, %s, %s)"

_READ_ALL = b"""
SELECT e.state, e.context, e.revision, uuidv7(), r.record FROM floor_entity e
LEFT JOIN floor_receipt r ON r.kind = e.kind AND r.entity = e.id AND r.key = %s
WHERE e.kind = %s AND e.id = %s
"""
_WRITE_ALL = b"""
WITH moved AS (
    UPDATE floor_entity SET state = %(state)s, context = %(context)s, revision = revision + 1
    WHERE kind = %(kind)s AND id = %(id)s AND revision = %(revision)s RETURNING kind, id, revision
), recorded AS (
    INSERT INTO floor_record SELECT %(record)s, kind, id, revision, %(event)s, %(payload)s, %(before)s, %(state)s, now()
    FROM moved
), received AS (
    INSERT INTO floor_receipt SELECT kind, id, %(key)s, %(record)s FROM moved
), asked AS (
    INSERT INTO floor_outbox SELECT kind, id, revision, 0, %(payload)s FROM moved
)
SELECT revision FROM moved
"""
_LOCK_MANY = b"""
SELECT id, state, context, revision, uuidv7() FROM floor_entity WHERE kind = %s AND id = ANY (%s) ORDER BY id FOR UPDATE
"""
_RECEIPTS = b"""
SELECT r.entity, r.key FROM floor_receipt r JOIN unnest(%s::text[], %s::text[]) AS w (id, key)
    ON r.entity = w.id AND r.key = w.key
WHERE r.kind = %s
"""
_MISSING: tuple[Any, Any, Any, Any] = (None, {}, 0, None)
_KEYS = count()
"""Of all writers, on whatever tables: none is used twice."""
_PAYLOAD = Jsonb({"amount": 4200})


class PsycopgLoops:
    """One writer by hand."""

    def __init__(self, tables: FloorTables, address: str | None = None) -> None:
        self._tables = tables
        self._connection: psycopg.Connection[Any] = psycopg.connect(address or tables.address, autocommit=True)
        self._random = random.Random(4200)

    def close(self) -> None:
        self._connection.close()

    def seven_trips(self, events: int) -> Run:
        def run() -> tuple[int, int]:
            began = time.perf_counter_ns()
            for _ in range(events):
                self._send_in_seven(*self._given())
            return time.perf_counter_ns() - began, events

        return run

    def two_trips(self, events: int) -> Run:
        def run() -> tuple[int, int]:
            began = time.perf_counter_ns()
            for _ in range(events):
                self._send_in_two(*self._given())
            return time.perf_counter_ns() - began, events

        return run

    def batches(self, events: int, size: int) -> Run:
        def run() -> tuple[int, int]:
            began = time.perf_counter_ns()
            for _ in range(events // size):
                self._send_batch(size)
            return time.perf_counter_ns() - began, events // size * size

        return run

    def _given(self) -> tuple[str, str]:
        """An entity and a key."""
        return name_of(self._random.randint(1, self._tables.entities)), f"k{next(_KEYS)}"

    def _send_in_seven(self, name: str, key: str) -> None:
        execute = self._connection.execute
        execute("BEGIN")
        before, context, revision, record = execute(_LOCK, ("Order", name)).fetchone() or _MISSING
        execute(_RECEIPT, ("Order", name, key, record))
        execute(_ENTITY, ("paid", Jsonb({**context, "paid": 4200}), revision + 1, "Order", name))
        execute(_RECORD, (record, "Order", name, revision + 1, "Pay", _PAYLOAD, before, "paid"))
        execute(_OUTBOX, ("Order", name, revision + 1, 0, _PAYLOAD))
        execute("COMMIT")

    def _send_in_two(self, name: str, key: str) -> None:
        row = self._connection.execute(_READ_ALL, (key, "Order", name)).fetchone() or (*_MISSING, None)
        before, context, revision, record, _ = row
        given = {
            "kind": "Order", "id": name, "revision": revision, "state": "paid", "before": before, "event": "Pay",
            "context": Jsonb({**context, "paid": 4200}), "payload": _PAYLOAD, "key": key, "record": record,
        }  # fmt: skip
        if self._connection.execute(_WRITE_ALL, given).fetchone() is None:
            message = f"{name} moved in between"
            raise RuntimeError(message)

    def _send_batch(self, size: int) -> None:
        names = [name_of(number) for number in self._random.sample(range(1, self._tables.entities + 1), size)]
        keys = {name: f"k{next(_KEYS)}" for name in names}
        with self._connection.transaction(), self._connection.cursor() as cursor:
            rows = cursor.execute(_LOCK_MANY, ("Order", names)).fetchall()
            cursor.execute(_RECEIPTS, (names, list(keys.values()), "Order")).fetchall()
            ids = {row[0]: row[-1] for row in rows}
            cursor.executemany(_RECEIPT, [("Order", name, keys[name], ids[name]) for name in names])
            moved = [("paid", Jsonb({**old, "paid": 4200}), at + 1, "Order", name) for name, _, old, at, _ in rows]
            cursor.executemany(_ENTITY, moved)
            records = [(ids[name], "Order", name, at + 1, "Pay", _PAYLOAD, was, "paid") for name, was, _, at, _ in rows]
            cursor.executemany(_RECORD, records)
            cursor.executemany(_OUTBOX, [("Order", name, at + 1, 0, _PAYLOAD) for name, _, _, at, _ in rows])
