"""The schema of a SQLite ledger, brought up to date by numbered files under the database's write lock."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from stateward.errors import LedgerOutdated
from stateward.ledger.sql import read_migrations

__all__ = ["check_schema", "schema_version", "upgrade_schema"]

_MIGRATIONS = read_migrations("stateward.ledger.sqlite")


def schema_version(connection: sqlite3.Connection) -> int:
    """The number of the last file that was applied; 0: the database is fresh."""
    [version] = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def upgrade_schema(connection: sqlite3.Connection) -> list[int]:
    """Apply what is missing, each file in a transaction of its own; two processes at once are safe.

    Returns:
        The numbers of the files that were applied here.
    """
    applied: list[int] = []
    for migration in _MIGRATIONS:
        connection.execute("BEGIN IMMEDIATE")
        try:
            if schema_version(connection) < migration.number:
                for statement in _statements(migration.text):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {migration.number:d}")
                applied.append(migration.number)
            connection.execute("COMMIT")
        except BaseException:
            connection.rollback()
            raise
    return applied


def check_schema(connection: sqlite3.Connection) -> None:
    """Hold the database's schema against the one that this code knows.

    Raises:
        LedgerOutdated: the database is behind, or ahead.
    """
    found, wanted = schema_version(connection), _MIGRATIONS[-1].number
    if found != wanted:
        raise LedgerOutdated(found=found, wanted=wanted)


def _statements(script: str) -> Iterator[str]:
    """The statements of a script; a trigger's body is part of its statement."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
