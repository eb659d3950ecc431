"""Plans that were made while tables were small, once the tables have grown behind their connection's back.

A server keeps a prepared statement's plan. One made for nearly empty tables may read whole tables once they are large;
statistics that are taken anew throw such plans away, but they are not taken at once.
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

_ENTITIES = 200_000
_SINGLES = 200
_BATCHES = 4
_WARM = 30
"""Sends until each statement is prepared (psycopg: 5), and the server has settled for a plan (5 more)."""
_OLD, _FRESH = "old", "fresh"

# Copies of one entity's rows, under other names.
_LOAD = """
INSERT INTO entity SELECT copy.* FROM entity t, generate_series(1, {n}) AS n,
    jsonb_populate_record(t, jsonb_build_object('id', 'x' || n)) AS copy WHERE t.id = '{seed}';
INSERT INTO timer SELECT copy.* FROM timer t, generate_series(1, {n}) AS n,
    jsonb_populate_record(t, jsonb_build_object('entity', 'x' || n)) AS copy WHERE t.entity = '{seed}';
INSERT INTO record SELECT copy.* FROM record t, generate_series(1, {n}) AS n,
    jsonb_populate_record(t, jsonb_build_object('entity', 'x' || n, 'id', uuidv7())) AS copy WHERE t.entity = '{seed}';
INSERT INTO receipt SELECT copy.* FROM receipt t, generate_series(1, {n}) AS n,
    jsonb_populate_record(t, jsonb_build_object('entity', 'x' || n)) AS copy WHERE t.entity = '{seed}'
"""


def measure_plans(server: Server, effort: Effort) -> Report:
    """An engine that was there before the rows, beside one that came after them."""
    address = server.database("plans")
    entities = max(2000, effort.times(_ENTITIES))
    names = (f"x{number}" for number in count(1))
    rows: list[Sequence[str]] = []
    with (
        server.settings(autovacuum="off"),
        closing(psycopg.connect(address, autocommit=True)) as admin,
        closing(Ours(address)) as old,
    ):
        _warm_up(old, [f"o{number}" for number in range(2 * _WARM)])
        old.engine.create(OrderLifecycle, "seed", Order(), actor="bench:1", key="create")
        for statement in _LOAD.format(n=entities, seed="seed").split(";"):
            admin.execute(statement.encode())
        for when, analyzes in (("before ANALYZE", False), ("after it", True)):
            if analyzes:
                admin.execute("ANALYZE")
            with closing(Ours(address)) as fresh:
                _warm_up(fresh, [next(names) for _ in range(2 * BATCH + _WARM)], create=False)
                rows += _compared(old, fresh, when, names, effort)
    note = (
        f"Milliseconds for each call. The old connection had its statements prepared when there were {2 * _WARM} "
        f"entities; then {entities:,} came with their records, receipts and timers, from elsewhere. The fresh engine "
        "came after them. ANALYZE is what the server does by itself within a minute or so."
    )
    head = ("", "old, ms", "fresh, ms", "old x fresh")
    return Report([Table("Plans made while tables were small, PostgreSQL", head, rows, note)])


def _warm_up(ours: Ours, names: list[str], *, create: bool = True) -> None:
    if create:
        for name in names:
            ours.engine.create(OrderLifecycle, name, Order(), actor="bench:1")
    ours.send_each(names[:_WARM])
    ours.send_batches(names[_WARM:])


def _compared(old: Ours, fresh: Ours, when: str, names: Iterator[str], effort: Effort) -> list[Sequence[str]]:
    singles, batches = effort.times(_SINGLES), max(1, effort.times(_BATCHES))

    def each(ours: Ours) -> Run:
        return lambda: (ours.send_each([next(names) for _ in range(singles)]), singles)

    def in_batches(ours: Ours) -> Run:
        return lambda: (ours.send_batches([next(names) for _ in range(batches * BATCH)]), batches)

    rows: list[Sequence[str]] = []
    for what, way in (("one send", each), ("send_many of 100", in_batches)):
        rates = contest({_FRESH: way(fresh)}, [Contestant(_OLD, way(old), _FRESH)], max(1, (effort.rounds + 1) // 2))
        times = (f"{1000 / rate:.2f}" for rate in (rates.rates[_OLD], rates.floors[_FRESH]))
        rows.append((f"{what}, {when}", *times, f"{1 / rates.ratios[_OLD]:.2f}"))
    return rows
