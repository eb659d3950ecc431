"""Plans that were made while tables were small, once the tables have grown behind their connection's back.

A server keeps a prepared statement's plan. While a table is small all its indices look alike, and one that is chosen
then by chance may be read from end to end once the table is large. Statistics that are taken anew throw such plans
away, but they are not taken at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import count
from typing import NamedTuple

import psycopg

from bench.ledger.contest import Contestant, contest
from bench.ledger.databases import Server
from bench.ledger.order import Order, OrderLifecycle
from bench.ledger.ours import BATCH, Ours
from bench.measure import Effort, Run
from bench.report import Report, Table

__all__ = ["measure_plans"]

_ENTITIES = 200_000
_SINGLES = 60
_BATCHES = 2
_WARM = 30
"""Sends until each statement is prepared (psycopg: 5), and the server has settled for a plan (5 more)."""


class _Case(NamedTuple):
    """What the old connection found when its statements were planned."""

    name: str
    entities: int
    is_analyzed: bool = False
    """Whether all of them had been sent their event and statistics been taken: of a table of timers with none in it."""


_CASES = (
    _Case("60 entities", 60),
    _Case("300", 300),
    _Case("1,000", 1000),
    _Case("1,000, analyzed, no timers", 1000, is_analyzed=True),
)
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
    jsonb_populate_record(t, jsonb_build_object('entity', 'x' || n, 'id', uuidv7(),
        'rank', nextval('record_rank'))) AS copy WHERE t.entity = '{seed}';
INSERT INTO receipt SELECT copy.* FROM receipt t, generate_series(1, {n}) AS n,
    jsonb_populate_record(t, jsonb_build_object('entity', 'x' || n)) AS copy WHERE t.entity = '{seed}'
"""


def measure_plans(server: Server, effort: Effort) -> Report:
    """An engine that was there before the rows, beside one that came after them."""
    entities = max(2000, effort.times(_ENTITIES))
    rows: list[Sequence[str]] = []
    with server.settings(autovacuum="off"):
        for number, case in enumerate(_CASES):
            rows += _since(case, server.database(f"plans_{number}"), entities, effort)
    note = (
        "Milliseconds for each call. The old connection had its statements prepared while there were so many entities; "
        f"then {entities:,} came with their records, receipts and timers, from elsewhere. The fresh engine came after "
        "them. ANALYZE is what the server does by itself within a minute or so."
    )
    head = ("planned at", "before ANALYZE: old, ms", "fresh, ms", "old x fresh", "after: old, ms", "fresh, ms", "x")
    return Report([Table("Plans made while tables were small, PostgreSQL", head, rows, note)])


def _since(case: _Case, address: str, entities: int, effort: Effort) -> list[Sequence[str]]:
    names = (f"x{number}" for number in count(1))
    with closing(psycopg.connect(address, autocommit=True)) as admin, closing(Ours(address)) as old:
        made = old.created(case.entities)
        if case.is_analyzed:
            old.send_each(made)
            admin.execute("ANALYZE")
            made = old.created(2 * _WARM)
        _warm_up(old, made)
        old.engine.create(OrderLifecycle, "seed", Order(), actor="bench:1", key="create")
        for statement in _LOAD.format(n=entities, seed="seed").split(";"):
            admin.execute(statement.encode())
        found: list[list[Sequence[str]]] = []
        for analyzes in (False, True):
            if analyzes:
                admin.execute("ANALYZE")
            with closing(Ours(address)) as fresh:
                _warm_up(fresh, [next(names) for _ in range(2 * _WARM)])
                found.append(_compared(old, fresh, names, effort))
    whats = (f"{case.name}: one send", f"{case.name}: send_many of 100")
    return [(what, *before, *after) for what, before, after in zip(whats, *found, strict=True)]


def _warm_up(ours: Ours, names: list[str]) -> None:
    ours.send_each(names[:_WARM])
    ours.send_batches(names[_WARM : 2 * _WARM])


def _compared(old: Ours, fresh: Ours, names: Iterator[str], effort: Effort) -> list[Sequence[str]]:
    """Milliseconds of one send and of a batch: old, fresh, and the ratio."""
    singles, batches = effort.times(_SINGLES), max(1, effort.times(_BATCHES))

    def each(ours: Ours) -> Run:
        return lambda: (ours.send_each([next(names) for _ in range(singles)]), singles)

    def in_batches(ours: Ours) -> Run:
        return lambda: (ours.send_batches([next(names) for _ in range(batches * BATCH)]), batches)

    rows: list[Sequence[str]] = []
    for way in (each, in_batches):
        rates = contest({_FRESH: way(fresh)}, [Contestant(_OLD, way(old), _FRESH)], max(1, effort.rounds // 3))
        times = (f"{1000 / rate:.2f}" for rate in (rates.rates[_OLD], rates.floors[_FRESH]))
        rows.append((*times, f"{1 / rates.ratios[_OLD]:.2f}"))
    return rows
