"""Transitions per second on SQLite and PostgreSQL, each beside a hand-written loop on the same database.

The floor is one writer that does with plain SQL what a transition needs: read the entity and the receipt, update the
entity, insert record, receipt and outbox row, commit. Ours writes the census beside these, cancels the timer of the
state that is left, and checks what it read. Times are those of the clock on the wall: a flush to disk is part of them.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from bench.ledger.stores import open_postgres, open_sqlite
from bench.measure import Effort, compare
from bench.report import Budget, Report, Table

__all__ = ["measure"]

_EVENTS = 600
_BATCH = 100

# The design's budgets: times the floor, which is the plain loop for SQLite, and for PostgreSQL pgbench, which has no
# Python in it and is faster than the loop here.
_BUDGETS = {
    "SQLite": {"one sender": 0.9, "32 threads": 1.2, "32 tasks": 1.5, "send_many of 100": 2.5},
    "PostgreSQL": {"one sender": 0.8, "32 tasks": 1.4, "send_many of 100": 4.0},
}


def measure(effort: Effort) -> Report:
    """Both databases, each in a folder that is thrown away."""
    report = Report()
    for name, opens in (("SQLite", open_sqlite), ("PostgreSQL", open_postgres)):
        with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder, opens(Path(folder)) as store:
            events = max(_BATCH, effort.times(_EVENTS))
            figures = compare(
                {
                    "plain loop, one writer": store.floor(events),
                    "one sender": store.one_sender(events),
                    "32 threads": store.many_threads(events),
                    "32 tasks": store.many_tasks(events),
                    "send_many of 100": store.batches(events),
                },
                "plain loop, one writer",
                max(1, effort.rounds // 2),
            )
        rows = [
            (each.name, f"{1e9 / each.ns:,.0f}", f"{1 / each.ratio:.2f} x") for each in figures.values()
        ]  # fmt: skip
        report.tables.append(Table(f"Transitions on {name}", ("", "per second", "of the plain loop"), rows))
        report.budgets += [
            Budget(f"{name}, {what}, against the plain loop", times, 1 / figures[what].ratio, "x", at_least=True)
            for what, times in _BUDGETS[name].items()
        ]
    return report
