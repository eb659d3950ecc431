"""What is known of a world at rest, read from its ledger and its services."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any, Self

import psycopg

from stateward import Engine
from stateward.ledger import Record
from stateward.ledger.contract import FetchHistory, Trip, Trips
from stateward.ledger.reading import record_of
from tests.work.world.checking import Evidence
from tests.work.world.lifecycle import OrderLifecycle
from tests.work.world.services import Books

__all__ = ["Rows", "gather"]

_LIMIT = 500
_PAGE = 200
_LEFT = {
    "outbox": "SELECT kind, entity, revision, n, effect, attempts, last_error FROM outbox",
    "timers": "SELECT kind, entity, name, revision FROM timer",
    "dead": "SELECT kind, entity, revision, n, effect, attempts, error FROM dead_letter",
}


class Rows:
    """Reads a ledger's tables past the ledger, by a connection of its own."""

    def __init__(self, address: str) -> None:
        """Take the ledger's address."""
        self._connection: Any = (
            psycopg.connect(address, autocommit=True)
            if address.startswith("postgresql")
            else sqlite3.connect(address, timeout=10, check_same_thread=False)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def read(self, query: str) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        rows: list[tuple[Any, ...]] = self._connection.execute(query).fetchall()
        return rows

    def can_be_written(self) -> bool:
        """Whether nobody keeps all others from writing for longer; on PostgreSQL nobody can."""
        if isinstance(self._connection, psycopg.Connection):
            return True
        try:
            self._connection.execute("PRAGMA busy_timeout = 500")
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        self._connection.rollback()
        return True

    def left(self) -> dict[str, int]:
        """What is still to be done, counted."""
        query = ", ".join(f"(SELECT count(*) FROM {each})" for each in ("outbox", "timer", "dead_letter"))
        [counts] = self.read(f"SELECT {query}")
        return dict(zip(_LEFT, counts, strict=True))


def gather(
    engine: Engine, address: str, books: Books, expected: Iterable[str], crashes: Iterable[str] = ()
) -> Evidence:
    """All that is known."""
    entities = {each.id: each for each in engine.list(OrderLifecycle)}
    histories: dict[str, list[Record]] = {}
    ids = list(entities)
    for first in range(0, len(ids), _PAGE):
        histories.update(engine._ledger.run(_histories(ids[first : first + _PAGE])))
    with Rows(address) as rows:
        left = {name: rows.read(query) for name, query in _LEFT.items()}
    return Evidence(
        entities=entities,
        histories=histories,
        books=books,
        **left,
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
