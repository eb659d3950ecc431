"""What is known of a world at rest, read from its ledger and its services."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any

import psycopg

from stateward import Engine
from stateward.ledger import Record
from stateward.ledger.contract import FetchHistory, Trip, Trips
from stateward.ledger.reading import record_of
from tests.work.world.checking import Evidence
from tests.work.world.lifecycle import OrderLifecycle
from tests.work.world.services import Books

__all__ = ["gather", "read_rows"]

_LIMIT = 500
_PAGE = 200
_LEFT = {
    "outbox": "SELECT kind, entity, revision, n, effect, attempts, last_error FROM outbox",
    "timers": "SELECT kind, entity, name, revision FROM timer",
    "dead": "SELECT kind, entity, revision, n, effect, attempts, error FROM dead_letter",
}


def read_rows(address: str, query: str) -> list[tuple[Any, ...]]:
    """Read rows past the ledger, by a connection of one's own."""
    if address.startswith("postgresql"):
        with psycopg.connect(address) as postgres:
            return postgres.execute(query.encode()).fetchall()
    sqlite = sqlite3.connect(address)
    try:
        return sqlite.execute(query).fetchall()
    finally:
        sqlite.close()


def gather(
    engine: Engine, address: str, books: Books, expected: Iterable[str], crashes: Iterable[str] = ()
) -> Evidence:
    """All that is known."""
    entities = {each.id: each for each in engine.list(OrderLifecycle)}
    histories: dict[str, list[Record]] = {}
    ids = list(entities)
    for first in range(0, len(ids), _PAGE):
        histories.update(engine._ledger.run(_histories(ids[first : first + _PAGE])))
    return Evidence(
        entities=entities,
        histories=histories,
        books=books,
        **{name: read_rows(address, query) for name, query in _LEFT.items()},
        census=engine.census(OrderLifecycle),
        expected=frozenset(expected),
        crashes=list(crashes),
    )


def _histories(orders: list[str]) -> Trips[dict[str, list[Record]]]:
    """Many histories in one trip."""
    pages = yield Trip(tuple([FetchHistory("Order", order, None, _LIMIT) for order in orders]))
    for order, page in zip(orders, pages, strict=True):
        assert len(page) < _LIMIT, f"{order} has {len(page)} records or more"
    return {order: [record_of(row) for row in page] for order, page in zip(orders, pages, strict=True)}
