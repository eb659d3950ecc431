"""Plans that were made while tables were small, once the tables have grown behind their connection's back.

A server keeps a prepared statement's plan. While a table is small all its indices look alike, and one that is chosen
then by chance may be read from end to end once the table is large. Statistics that are taken anew throw such plans
away, but they are not taken at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import count

import psycopg

from bench.ledger.contest import Contestant, contest
from bench.ledger.databases import Server
from bench.ledger.order import Order, OrderLifecycle
from bench.ledger.ours import BATCH, Ours
from bench.measure import Effort, Run
from bench.report import Report, Table

__all__ = ["measure_plans"]

_FEW = (60, 300, 1000)
_ENTITIES = 200_000
_SINGLES = 60
_BATCHES = 2
_WARM = 30
"""Sends until each statement is prepared (psycopg: 5), and the server has settled for a plan (5 more)."""
_OLD, _FRESH = "old", "fresh"

# Copies of one entity's rows, under other names and at moments of their own.
_LOAD = """
INSERT INTO entity SELECT copy.* FROM entity t, generate_series(1, {n}) AS n,
    jsonb_populate_record(t, jsonb_build_object('id', 'x' || n, 'updated_at', t.updated_at + n * interval '1 ms'))
        AS copy WHERE t.id = '{seed}';
INSERT INTO timer SELECT copy.* FROM timer t, generate_series(1, {n}) AS n,
    jsonb_populate_record(t, jsonb_build_object('entity', 'x' || n, 'due_at', t.due_at + n * interval '1 ms'))
        AS copy WHERE t.entity = '{seed}';
INSERT INTO record SELECT copy.* FROM record t, generate_series(1, {n}) AS n,
    jsonb_populate_record(t, jsonb_build_object('entity', 'x' || n, 'id', uuidv7())) AS copy WHERE t.entity = '{seed}';
INSERT INTO receipt SELECT copy.* FROM receipt t, generate_series(1, {n}) AS n,
    jsonb_populate_record(t, jsonb_build_object('entity', 'x' || n)) AS copy WHERE t.entity = '{seed}'
"""


def measure_plans(server: Server, effort: Effort) -> Report:
    """An engine that was there before the rows, beside one that came after them."""
    entities = max(2000, effort.times(_ENTITIES))
    with server.settings(autovacuum="off"):
        rows = [row for few in _FEW for row in _since(few, server.database(f"plans_{few}"), entities, effort)]
    note = (
        "Milliseconds for each call. The old connection had its statements prepared while there were so many entities; "
        f"then {entities:,} came with their records, receipts and timers, from elsewhere. The fresh engine came after "
        "them. ANALYZE is what the server does by itself within a minute or so."
    )
    head = ("", "old, ms", "fresh, ms", "old x fresh")
    return Report([Table("Plans made while tables were small, PostgreSQL", head, rows, note)])


def _since(few: int, address: str, entities: int, effort: Effort) -> list[Sequence[str]]:
    names = (f"x{number}" for number in count(1))
    rows: list[Sequence[str]] = []
    with closing(psycopg.connect(address, autocommit=True)) as admin, closing(Ours(address)) as old:
        _warm_up(old, old.created(few))
        old.engine.create(OrderLifecycle, "seed", Order(), actor="bench:1", key="create")
        for statement in _LOAD.format(n=entities, seed="seed").split(";"):
            admin.execute(statement.encode())
        for when, analyzes in (("before ANALYZE", False), ("after it", True)):
            if analyzes:
                admin.execute("ANALYZE")
            with closing(Ours(address)) as fresh:
                _warm_up(fresh, [next(names) for _ in range(2 * _WARM)])
                rows += _compared(old, fresh, f"planned at {few} entities, {when}", names, effort)
    return rows


def _warm_up(ours: Ours, names: list[str]) -> None:
    ours.send_each(names[:_WARM])
    ours.send_batches(names[_WARM : 2 * _WARM])


def _compared(old: Ours, fresh: Ours, when: str, names: Iterator[str], effort: Effort) -> list[Sequence[str]]:
    singles, batches = effort.times(_SINGLES), max(1, effort.times(_BATCHES))

    def each(ours: Ours) -> Run:
        return lambda: (ours.send_each([next(names) for _ in range(singles)]), singles)

    def in_batches(ours: Ours) -> Run:
        return lambda: (ours.send_batches([next(names) for _ in range(batches * BATCH)]), batches)

    rows: list[Sequence[str]] = []
    for what, way in (("one send", each), ("send_many of 100", in_batches)):
        rates = contest({_FRESH: way(fresh)}, [Contestant(_OLD, way(old), _FRESH)], max(1, effort.rounds // 3))
        times = (f"{1000 / rate:.2f}" for rate in (rates.rates[_OLD], rates.floors[_FRESH]))
        rows.append((f"{what}, {when}", *times, f"{1 / rates.ratios[_OLD]:.2f}"))
    return rows
