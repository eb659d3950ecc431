"""What a transition costs on SQLite and PostgreSQL, beside what one would write by hand on the same database.

Times are those of the clock on the wall: a flush to disk is part of them.
"""

from __future__ import annotations

from bench.ledger import rates
from bench.ledger.costs_postgres import measure_costs_on_postgres
from bench.ledger.costs_sqlite import measure_costs_on_sqlite
from bench.ledger.databases import open_server
from bench.ledger.hot import measure_hot_on_postgres, measure_hot_on_sqlite
from bench.ledger.plans import measure_plans
from bench.ledger.wal import measure_wal
from bench.measure import Effort
from bench.report import Report

__all__ = ["measure"]


def measure(effort: Effort) -> Report:
    """All of it, each database in a folder that is thrown away."""
    whole = Report()

    def add(part: Report) -> None:
        whole.tables += part.tables
        whole.budgets += part.budgets

    with open_server() as server:
        add(rates.measure_postgres(server, effort))
        add(rates.measure_slow_flushes(server, effort))
        add(measure_costs_on_postgres(server, effort))
        add(measure_plans(server, effort))
        add(measure_hot_on_postgres(server, effort))
    add(rates.measure_sqlite(effort))
    add(measure_costs_on_sqlite(effort))
    add(measure_hot_on_sqlite(effort))
    add(measure_wal(effort))
    return whole
