"""The records of a SQLite ledger, for whoever archives them."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any

from stateward.errors import ArchiveRefused, LedgerUnavailable
from stateward.ledger.archives import Month
from stateward.ledger.archiving import Survey
from stateward.ledger.rows import RecordRow
from stateward.ledger.sql import read_queries
from stateward.ledger.sqlite.schema import check_schema, schema_version
from stateward.ledger.sqlite.work import packed_id, unpacked_id

__all__ = ["SqliteRecords", "open_records"]

_QUERIES = read_queries("stateward.ledger.sqlite", "archiving.sql")
_BUSY_S = 30.0
"""How long another writer is waited for."""


@contextmanager
def open_records(path: str) -> Generator[SqliteRecords]:
    """The records of a file, for as long as the block runs.

    Raises:
        LedgerUnavailable: it can't be read or written.
        LedgerOutdated: its schema is not the one that this code knows.
    """
    try:
        with closing(sqlite3.connect(path, isolation_level=None, timeout=_BUSY_S)) as connection:
            check_schema(connection)
            yield SqliteRecords(path, connection)
    except sqlite3.Error as error:
        raise LedgerUnavailable(f"{path}: {error}") from error


class SqliteRecords:
    """The records of a file; see `Records`."""

    def __init__(self, path: str, connection: sqlite3.Connection) -> None:
        self.place = path
        self.schema = schema_version(connection)
        self._connection = connection

    def _run(self, sql: str, given: Sequence[Any] = ()) -> list[Any]:
        return self._connection.execute(sql, given).fetchall()

    def find_oldest(self) -> str | None:
        """The id of the oldest record of all."""
        found = self._run(_QUERIES["find_oldest"])
        return unpacked_id(found[0][0]) if found else None

    def survey(self, month: Month) -> Survey:
        """Count a month's records."""
        [(count, first, last)] = self._run(_QUERIES["survey"], _span(month))
        return Survey(count, *(None if each is None else unpacked_id(each) for each in (first, last)))

    def read_page(self, month: Month, after: str, limit: int) -> list[RecordRow]:
        """A month's records in order of id, behind the id `after`."""
        # One bound from below: with two of them SQLite would look for the lower one, and read on from there each time.
        behind = packed_id(after or month.first)
        rows = self._run(_QUERIES["read_page"], (behind, packed_id(month.end), limit))
        return [RecordRow._make((unpacked_id(row[0]), *row[1:])) for row in rows]

    def has_receipts(self, month: Month) -> bool:
        """Whether a receipt that has not come to its age yet names a record of the month."""
        return bool(self._run(_QUERIES["find_receipt"], _span(month)))

    @contextmanager
    def dropping(self, month: Month) -> Generator[None]:  # noqa: ARG002 - all writers are kept out
        """A transaction in which nobody else writes; see `Records.dropping`."""
        self._run("BEGIN IMMEDIATE")
        try:
            yield
            self._run("COMMIT")
        except BaseException:
            self._connection.rollback()
            raise
        with suppress(sqlite3.Error):  # those who read keep it from being emptied now; later commits do it
            self._run("PRAGMA wal_checkpoint(TRUNCATE)")

    def drop(self, month: Month, records: int) -> None:
        """Take the trigger off, delete the month, and put the trigger back as it was."""
        triggers = self._run(_QUERIES["delete_triggers"])
        for name, _ in triggers:
            self._run(f"DROP TRIGGER {name}")
        self._run(_QUERIES["delete_month"], _span(month))
        [[deleted]] = self._run("SELECT changes()")
        for _, sql in triggers:
            self._run(sql)
        if deleted != records:
            problem = f"{deleted:,} records of {month} would be dropped, and {records:,} are archived"
            raise ArchiveRefused(problem)


def _span(month: Month) -> tuple[bytes, bytes]:
    return packed_id(month.first), packed_id(month.end)
