"""The schema of a PostgreSQL ledger, brought up to date by numbered files under an advisory lock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import Connection

from stateward.errors import LedgerOutdated
from stateward.ledger.sql import read_migrations

__all__ = ["check_schema", "lacks_partitions", "schema_version", "upgrade_schema"]

_MIGRATIONS = read_migrations("stateward.ledger.postgres")
_LOCK = 1937006963
"""The advisory lock that upgrades take, one of the database."""
MONTHS_AHEAD = 3
"""Months for which partitions of records are made ahead."""


def schema_version(connection: Connection[Any]) -> int:
    """The number of the last file that was applied; 0: the schema is fresh."""
    [found] = connection.execute("SELECT to_regclass('stateward_schema')").fetchone() or (None,)
    if found is None:
        return 0
    [version] = connection.execute("SELECT coalesce(max(number), 0) FROM stateward_schema").fetchone() or (0,)
    return int(version)


def upgrade_schema(connection: Connection[Any]) -> list[int]:
    """Apply what is missing, in one transaction; two processes at once are safe. Make partitions of months ahead.

    Returns:
        The numbers of the files that were applied here.
    """
    applied: list[int] = []
    with connection.transaction():
        connection.execute("SET LOCAL lock_timeout = 0")  # another process's upgrade is waited for
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        # A table's lock that is waited for holds up every writer behind it.
        connection.execute("SET LOCAL lock_timeout = '200ms'")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS stateward_schema"
            " (number integer PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        found = schema_version(connection)
        for migration in _MIGRATIONS[found:]:
            connection.execute(migration.text.encode())
            row = (migration.number, migration.name)
            connection.execute("INSERT INTO stateward_schema (number, name) VALUES (%s, %s)", row)
            applied.append(migration.number)
        for month in _months():
            connection.execute("SELECT stateward_make_partition(%s)", (month,))
    return applied


def lacks_partitions(connection: Connection[Any]) -> bool:
    """Whether there is no partition of this month's records, or of the next one's."""
    names = [f"record_{month:%Y_%m}" for month in _months()[:2]]
    query = "SELECT bool_or(to_regclass(name) IS NULL) FROM unnest(%s::text[]) AS name"
    [lacks] = connection.execute(query, (names,)).fetchone() or (True,)
    return bool(lacks)


def _months() -> list[datetime]:
    """The first days of this month and of those for which partitions are made ahead."""
    months = [datetime.now(UTC).replace(day=1)]
    while len(months) <= MONTHS_AHEAD:
        months.append((months[-1] + timedelta(days=32)).replace(day=1))
    return months


def check_schema(connection: Connection[Any]) -> None:
    """Hold the database's schema against the one that this code knows.

    Raises:
        LedgerOutdated: the database is behind, or ahead.
    """
    found, wanted = schema_version(connection), _MIGRATIONS[-1].number
    if found != wanted:
        raise LedgerOutdated(found=found, wanted=wanted)
