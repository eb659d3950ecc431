"""A database of either kind, and what is looked up in it beside the engine."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Literal

import psycopg

from bench.ledger.databases import Server, open_sqlite

__all__ = ["Database", "Name", "open_database"]

Name = Literal["PostgreSQL", "SQLite"]


class Database:
    """An address, and a connection of one's own."""

    def __init__(self, name: Name, address: str, connection: sqlite3.Connection | psycopg.Connection[Any]) -> None:
        self.name = name
        self.address = address
        self._connection = connection

    def execute(self, statement: str) -> None:
        """Run a statement, committed when it returns."""
        connection: Any = self._connection
        connection.execute(statement)

    def number(self, query: str) -> int:
        """The one number that a query finds."""
        connection: Any = self._connection
        [found] = connection.execute(query).fetchone()
        return int(found)

    def outbox(self) -> int:
        """How many effects are not done."""
        return self.number("SELECT count(*) FROM outbox")

    def empty_outbox(self) -> None:
        """Forget what nobody was there to do."""
        self.execute("TRUNCATE outbox" if self.name == "PostgreSQL" else "DELETE FROM outbox")


@contextmanager
def open_database(server: Server | None, name: str) -> Generator[Database]:
    """A database on a server, or without one a file of SQLite's."""
    if server is None:
        with open_sqlite() as (path, connection):
            yield Database("SQLite", f"sqlite:///{path}", connection)
        return
    address = server.database(name)
    with psycopg.connect(address, autocommit=True) as connection:
        yield Database("PostgreSQL", address, connection)
