"""The records of a PostgreSQL ledger, for whoever archives them.

A month mostly has a partition of its own, which is dropped as a whole. While it is read for the last time it is held
against writers alone; only to drop it, all that touches records must let go for a moment. That is asked for again and
again for a very short time each, since whoever waits for such a lock holds up everybody behind it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import errors

from stateward.errors import ArchiveRefused, LedgerUnavailable
from stateward.ledger.archives import Month
from stateward.ledger.archiving import Survey
from stateward.ledger.postgres.schema import check_schema, schema_version
from stateward.ledger.rows import RecordRow
from stateward.ledger.sql import read_queries

__all__ = ["PostgresRecords", "open_records"]

_QUERIES = read_queries("stateward.ledger.postgres", "archiving.sql")
DROP_S_MAX = 30.0
"""How long is tried to drop a partition that others use."""


@contextmanager
def open_records(address: str) -> Generator[PostgresRecords]:
    """The records of a database, for as long as the block runs.

    Raises:
        LedgerUnavailable: it is away, or may not be written to.
        LedgerOutdated: its schema is not the one that this code knows.
    """
    try:
        with psycopg.connect(address, autocommit=True) as connection:
            check_schema(connection)
            yield PostgresRecords(connection)
    except psycopg.Error as error:
        raise LedgerUnavailable(f"postgres: {str(error).strip()}") from error


class PostgresRecords:
    """The records of a database; see `Records`."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.place = f"{connection.info.dbname} on {connection.info.host}"
        self.schema = schema_version(connection)
        self._connection = connection
        # Only what is to be had by an index is looked for here, whatever statistics say of a table.
        self._run("SET enable_seqscan = off")

    def _run(self, sql: str, given: Any = None) -> list[Any]:
        cursor = self._connection.execute(sql.encode(), given)
        return cursor.fetchall() if cursor.description is not None else []

    def find_oldest(self) -> str | None:
        """The id of the oldest record of all."""
        found = self._run(_QUERIES["find_oldest"])
        return str(found[0][0]) if found else None

    def survey(self, month: Month) -> Survey:
        """Count a month's records."""
        [row] = self._run(_QUERIES["survey"], _span(month))
        return Survey._make(row)

    def read_page(self, month: Month, after: str, limit: int) -> list[RecordRow]:
        """A month's records in order of id, behind the id `after`."""
        rows = self._run(_QUERIES["read_page"], {"after": after or month.first, "end": month.end, "limit": limit})
        return [RecordRow._make(row) for row in rows]

    def has_receipts(self, month: Month) -> bool:
        """Whether a receipt that has not come to its age yet names a record of the month."""
        return bool(self._run(_QUERIES["find_receipt"], _span(month)))

    @contextmanager
    def dropping(self, month: Month) -> Generator[None]:
        """A transaction in which nobody else writes records of the month; see `Records.dropping`."""
        self._run("BEGIN")
        try:
            self._run("SET LOCAL lock_timeout = '5s'")
            # Whoever reads goes on. The default partition's trigger can't be taken off under a weaker lock.
            mode = "SHARE" if self._has_partition(month) else "SHARE ROW EXCLUSIVE"
            self._run(f"LOCK TABLE ONLY {self._table(month)} IN {mode} MODE")
            yield
            self._run("COMMIT")
        except errors.LockNotAvailable as error:
            self._roll_back()
            message = f"postgres: others write records of {month}: {str(error).strip()}"
            raise LedgerUnavailable(message) from error
        except BaseException:
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        if not self._connection.closed:
            self._connection.rollback()

    def drop(self, month: Month, records: int) -> None:
        """Drop the month's partition; or delete the month from the default partition, its trigger off meanwhile."""
        table = self._table(month)
        if self._has_partition(month):
            [[found]] = self._run(f"SELECT count(*) FROM ONLY {table}")
            _check_count(month, found, records)
            self._drop_partition(month, table)
            return
        self._run(f"ALTER TABLE {table} DISABLE TRIGGER record_is_not_changed")
        [[found]] = self._run(_QUERIES["delete_month"], _span(month))
        self._run(f"ALTER TABLE {table} ENABLE TRIGGER record_is_not_changed")
        _check_count(month, found, records)

    def _drop_partition(self, month: Month, table: str) -> None:
        deadline = time.monotonic() + DROP_S_MAX
        self._run("SET LOCAL lock_timeout = '50ms'")
        while True:
            self._run("SAVEPOINT dropping")
            try:
                self._run(f"DROP TABLE {table}")
            except (errors.LockNotAvailable, errors.DeadlockDetected) as error:
                self._run("ROLLBACK TO SAVEPOINT dropping")
                if time.monotonic() > deadline:
                    message = f"postgres: others hold the records, and {month} can't be dropped: {str(error).strip()}"
                    raise LedgerUnavailable(message) from error
            else:
                return
            time.sleep(random.uniform(0.05, 0.25))

    def _has_partition(self, month: Month) -> bool:
        return bool(self._run(_QUERIES["find_partition"], (_partition(month),)))

    def _table(self, month: Month) -> str:
        """Where the month's records lie: all of them, since a partition leaves nothing of its range to the default."""
        return _partition(month) if self._has_partition(month) else "record_default"


def _partition(month: Month) -> str:
    return f"record_{month.year:04}_{month.number:02}"


def _span(month: Month) -> dict[str, str]:
    return {"first": month.first, "end": month.end}


def _check_count(month: Month, found: int, records: int) -> None:
    if found != records:
        problem = f"{found:,} records would be dropped with {month}, and {records:,} are archived"
        raise ArchiveRefused(problem)
