"""The ledger on SQLite, the embedded default: one file in WAL mode, one writer at a time, any number of readers."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

from stateward.errors import LedgerUnavailable, Unjoinable
from stateward.ledger.contract import (
    Capabilities,
    CommitMoves,
    CountCensus,
    CreateEntities,
    FetchEntities,
    FetchHistory,
    FindRecords,
    Interrupted,
    LedgerStatistics,
    ListEntities,
    LoadPairs,
    Page,
    RegisterLifecycle,
    RowsRefused,
    Trip,
    Trips,
)
from stateward.ledger.driving import drive
from stateward.ledger.rows import EntityRow, ReceiptRow, RecordRow
from stateward.ledger.sql import read_queries
from stateward.ledger.sqlite.following import FOLLOW
from stateward.ledger.sqlite.retaining import RETAIN
from stateward.ledger.sqlite.schema import check_schema, schema_version, upgrade_schema
from stateward.ledger.sqlite.work import WORK, packed_id, unpacked_id

__all__ = ["SqliteLedger"]

T = TypeVar("T")

_QUERIES = read_queries("stateward.ledger.sqlite")
_ENTITY = len(EntityRow._fields)
_BUSY_MS = 5
"""What SQLite itself waits for a lock, in ever longer steps; what is beyond is waited for here, with jitter."""
WAL_BYTES_MAX = 64_000_000
"""Beyond it the WAL is begun anew, and readers are waited for; SQLite by itself only looks whether there are any."""
_WAL_WAIT_MS = 100
WAL_CHECK_COMMITS = 200
"""After how many commits the size of the WAL is looked at."""


class SqliteLedger:
    """One SQLite file (WAL, `synchronous=FULL`), shared by threads and processes.

    Every transaction for writing begins with BEGIN IMMEDIATE, so that nobody else writes between what it reads and
    what it writes. Its connections are kept for the next trip; `:memory:` has one, which all share.
    """

    capabilities = Capabilities(
        name="sqlite", holds_write_lock=True, is_durable=True, shares_processes=True, joins=("sqlite3",)
    )

    def __init__(self, path: Path | str, *, timeout_s: float = 10.0, synchronous: str = "FULL") -> None:
        """Name the file; it is opened when it is first needed.

        Args:
            path: the file, or `:memory:`.
            timeout_s: how long a writer waits for another.
            synchronous: SQLite's setting; `FULL` survives a loss of power.
        """
        self._path = str(path)
        self._timeout_s = timeout_s
        self._synchronous = synchronous
        # A stack: the connection that wrote last still has its pages in memory.
        self._idle: list[sqlite3.Connection] = []
        self._commits = 0
        self._taken = 0
        """Connections in use; a number to look at, which threads that come together may miss."""
        self._is_closed = False
        self._is_memory = self._path == ":memory:"
        self._memory_lock = Lock()
        """Held by whoever uses the one connection of a database in memory."""
        if self._is_memory:
            self._idle.append(self._connect())

    @property
    def address(self) -> str | None:
        """Where others find it; None: it is in memory."""
        return None if self._is_memory else self._path

    def close(self) -> None:
        """Close all connections that are not in use. Twice is safe."""
        self._is_closed = True
        while self._idle:
            with suppress(IndexError):  # another thread took the last one
                self._idle.pop().close()

    def statistics(self) -> LedgerStatistics:
        """What it holds now; see `Ledger.statistics`. Nobody waits for a connection: another one is opened."""
        idle = len(self._idle)
        return LedgerStatistics(name="sqlite", connections=idle + self._taken, idle=idle, waiting=0)

    @contextmanager
    def connection(self) -> Generator[sqlite3.Connection]:
        """A connection for as long as the block runs.

        Raises:
            LedgerUnavailable: the file can't be opened, or the ledger is closed.
        """
        connection = self._take()
        try:
            yield connection
        finally:
            self._give_back(connection)

    def _take(self) -> sqlite3.Connection:
        if self._is_memory:
            self._memory_lock.acquire()
        if self._is_closed:
            if self._is_memory:
                self._memory_lock.release()
            message = f"{self._path}: the ledger is closed"
            raise LedgerUnavailable(message)
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._connect()
        self._taken += 1
        return connection

    def _give_back(self, connection: sqlite3.Connection) -> None:
        self._taken -= 1
        try:
            if connection.in_transaction:
                connection.rollback()
            if self._is_closed:
                connection.close()
            else:
                self._idle.append(connection)
                if self._is_closed:  # meanwhile
                    self.close()
        finally:
            if self._is_memory:
                self._memory_lock.release()

    def _connect(self) -> sqlite3.Connection:
        try:
            connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
            connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
            self._patiently(lambda: connection.execute("PRAGMA journal_mode = WAL"))
            connection.execute(f"PRAGMA synchronous = {self._synchronous}")
            connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES_MAX}")
        except sqlite3.Error as error:
            raise self._unavailable(error) from error
        return connection

    def upgrade(self) -> list[int]:
        """Bring the schema up to date; the numbers of the files that were applied.

        Raises:
            LedgerUnavailable: the file can't be written.
        """
        with self.connection() as connection:
            try:
                return self._patiently(lambda: upgrade_schema(connection))
            except sqlite3.Error as error:
                raise self._unavailable(error) from error

    def prepare(self) -> None:
        """Make a fresh database ready; hold any other against the schema that this code knows.

        Raises:
            LedgerOutdated: it is behind, or ahead.
            LedgerUnavailable: the file can't be opened.
        """
        with self.connection() as connection:
            is_fresh = schema_version(connection) == 0
        if is_fresh:
            self.upgrade()
        with self.connection() as connection:
            check_schema(connection)

    # Driving.

    def run(self, trips: Trips[T]) -> T:
        """Drive a piece of protocol; see `Ledger.run`."""
        connection = self._take()
        try:
            return drive(trips, lambda trip: self._make(connection, trip))
        except sqlite3.Error as error:
            raise self._unavailable(error) from error
        finally:
            self._give_back(connection)

    def join(self, connection: Any, trips: Trips[T]) -> T:
        """Drive a piece of protocol within the transaction that is open on a caller's connection.

        Raises:
            Unjoinable: it is no connection of sqlite3, or no transaction is open on it.
            Conflict: another writer was first.
        """
        if not isinstance(connection, sqlite3.Connection):
            problem = f"a {type(connection).__name__} can't be joined; a ledger on SQLite joins connections of sqlite3"
            raise Unjoinable(problem)
        if not connection.in_transaction:
            problem = "no transaction is open on the connection: begin one, so that it and the event commit together"
            raise Unjoinable(problem)
        cursor = connection.cursor()
        cursor.row_factory = None
        cursor.execute("SAVEPOINT stateward")
        try:
            result = drive(trips, lambda trip: [run_operation(cursor, each) for each in trip.operations])
        except BaseException as error:
            if connection.in_transaction:  # a full disk, say, has rolled back all of it
                cursor.execute("ROLLBACK TO stateward")
                cursor.execute("RELEASE stateward")
            if isinstance(error, sqlite3.IntegrityError | sqlite3.DataError | OverflowError):
                raise RowsRefused(str(error)) from error
            if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_BUSY_SNAPSHOT:
                raise Interrupted(str(error)) from error
            if isinstance(error, sqlite3.Error):
                raise self._unavailable(error) from error
            raise
        cursor.execute("RELEASE stateward")
        return result

    def _make(self, connection: sqlite3.Connection, trip: Trip) -> list[Page]:
        if trip.begins:
            self._patiently(lambda: connection.execute("BEGIN IMMEDIATE"))
        cursor = connection.cursor()
        try:
            if connection.in_transaction:
                pages = [run_operation(cursor, each) for each in trip.operations]
            else:  # a reader may meet one who is just making the WAL, or taking it away
                pages = self._patiently(lambda: [run_operation(cursor, each) for each in trip.operations])
        except (sqlite3.IntegrityError, sqlite3.DataError, OverflowError) as error:
            connection.rollback()
            raise RowsRefused(str(error)) from error
        if trip.commits:
            self._patiently(connection.commit)
            self._commits += 1
            if self._commits % WAL_CHECK_COMMITS == 0:
                self._bound_wal(connection)
        return pages

    def _bound_wal(self, connection: sqlite3.Connection) -> None:
        """Begin the WAL anew, if it is too long: wait for a moment until those who read from it are done.

        SQLite writes it back into the file as it goes, but goes on at its end for as long as anybody reads: under
        readers that overlap each other it would grow for ever. If one stays for longer, it is tried again later.
        """
        try:
            if Path(f"{self._path}-wal").stat().st_size <= WAL_BYTES_MAX:
                return
        except OSError:
            return
        with suppress(sqlite3.Error):  # another connection does it, say; what was committed is committed
            connection.execute(f"PRAGMA busy_timeout = {_WAL_WAIT_MS}")
            connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
        with suppress(sqlite3.Error):
            connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")

    def _patiently(self, act: Callable[[], T]) -> T:
        """Do what another writer may hold up, again and again with jitter, so that no writer starves."""
        deadline = time.monotonic() + self._timeout_s
        while True:
            try:
                return act()
            except sqlite3.OperationalError as error:
                is_busy = getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
                if not is_busy or time.monotonic() > deadline:
                    raise
            time.sleep(random.uniform(0.0002, 0.004))

    def _unavailable(self, error: sqlite3.Error) -> LedgerUnavailable:
        return LedgerUnavailable(f"{self._path}: {error}")


# Operations.


def run_operation(cursor: sqlite3.Cursor, operation: Any) -> Page:
    """An operation on a connection's cursor; its page."""
    return _RUN[type(operation)](cursor, operation)


def _load_pairs(cursor: sqlite3.Cursor, operation: LoadPairs) -> Page:
    page: Page = []
    for pair in operation.pairs:
        row = cursor.execute(_QUERIES["load_pair"], pair).fetchone()
        entity = EntityRow._make(row[:_ENTITY]) if row[0] is not None else None
        receipt = _receipt(row[_ENTITY:]) if row[_ENTITY] is not None else None
        page.append((entity, receipt))
    return page


def _create_entities(cursor: sqlite3.Cursor, operation: CreateEntities) -> Page:
    page: Page = []
    for row in operation.entities:
        if cursor.execute(_QUERIES["create_entity"], row).rowcount:
            page.append((row.kind, row.id))
    return page


def _commit_moves(cursor: sqlite3.Cursor, operation: CommitMoves) -> Page:
    moves = [(*row, expected) for row, expected in operation.moves]
    moved = _many(cursor, "move_entity", moves)
    # The transaction keeps others out, so that what it read is what it moves.
    assert moved == len(moves), "an entity moved under an immediate transaction"
    _many(cursor, "add_record", [_packed(row) for row in (*operation.attempts, *operation.records)])
    _many(cursor, "add_receipt", [(*row[:4], packed_id(row.record), *row[5:]) for row in operation.receipts])
    _many(cursor, "add_effect", [(*row[:7], packed_id(row.record), *row[8:]) for row in operation.outbox])
    _many(cursor, "cancel_timer", operation.timers_cancelled)
    _many(cursor, "set_timer", [(*row[:6], packed_id(row.record), *row[7:]) for row in operation.timers_set])
    _many(cursor, "move_census", _netted(operation))
    return [(row.kind, row.id) for row in (*operation.created, *[row for row, _ in operation.moves])]


def _netted(operation: CommitMoves) -> list[tuple[Any, ...]]:
    """The census moves of all entities together, a line of the census once."""
    if len(operation.census) == 1:
        return list(operation.census[0][2])
    changes: dict[tuple[str, int, str], int] = {}
    for _, _, moves in operation.census:
        for kind, version, state, change in moves:
            changes[kind, version, state] = changes.get((kind, version, state), 0) + change
    return [(*line, change) for line, change in changes.items() if change]


def _many(cursor: sqlite3.Cursor, query: str, rows: Sequence[Sequence[Any]]) -> int:
    """Run a query with each row; how many rows of the table it has changed."""
    if not rows:
        return 0
    done = cursor.execute(_QUERIES[query], rows[0]) if len(rows) == 1 else cursor.executemany(_QUERIES[query], rows)
    return done.rowcount


def _find_records(cursor: sqlite3.Cursor, operation: FindRecords) -> Page:
    found = (cursor.execute(_QUERIES["find_record"], (packed_id(each),)).fetchone() for each in operation.ids)
    return [_record(row) for row in found if row is not None]


def _fetch_entities(cursor: sqlite3.Cursor, operation: FetchEntities) -> Page:
    found = (cursor.execute(_QUERIES["load_entity"], (operation.kind, each)).fetchone() for each in operation.ids)
    return [None if row is None else EntityRow._make(row) for row in found]


def _fetch_history(cursor: sqlite3.Cursor, operation: FetchHistory) -> Page:
    revision, is_attempt, record = operation.after or (0, True, "")
    behind = (revision, int(is_attempt), packed_id(record) if is_attempt and record else b"")
    rows = cursor.execute(_QUERIES["fetch_history"], (operation.kind, operation.entity, *behind, operation.limit))
    return [_record(row) for row in rows.fetchall()]


def _list_entities(cursor: sqlite3.Cursor, operation: ListEntities) -> Page:
    number, entity = operation.after or (-(2**62), "")
    beside = (operation.version, operation.updated_before, operation.limit)
    if operation.due_by is not None:
        given = (operation.kind, operation.due_by, number, entity, operation.state, *beside)
        rows = cursor.execute(_QUERIES["list_by_due"], given)
    elif operation.state is not None:
        rows = cursor.execute(_QUERIES["list_by_state"], (operation.kind, operation.state, number, entity, *beside))
    else:
        rows = cursor.execute(_QUERIES["list_by_id"], (operation.kind, entity, *beside))
    return [EntityRow._make(row) for row in rows.fetchall()]


def _count_census(cursor: sqlite3.Cursor, operation: CountCensus) -> Page:
    return cursor.execute(_QUERIES["count_census"], (operation.kind,)).fetchall()


def _register_lifecycle(cursor: sqlite3.Cursor, operation: RegisterLifecycle) -> Page:
    given = (operation.kind, operation.version, operation.digest)
    cursor.execute(_QUERIES["register_lifecycle"], given)
    return cursor.execute(_QUERIES["find_digest"], given[:2]).fetchall()


_RUN: dict[type, Callable[[sqlite3.Cursor, Any], Page]] = {
    LoadPairs: _load_pairs,
    CreateEntities: _create_entities,
    CommitMoves: _commit_moves,
    FindRecords: _find_records,
    FetchEntities: _fetch_entities,
    FetchHistory: _fetch_history,
    ListEntities: _list_entities,
    CountCensus: _count_census,
    RegisterLifecycle: _register_lifecycle,
    **WORK,
    **FOLLOW,
    **RETAIN,
}


def _packed(row: RecordRow) -> tuple[Any, ...]:
    return (packed_id(row.id), *row[1:])


def _record(row: tuple[Any, ...]) -> RecordRow:
    return RecordRow._make((unpacked_id(row[0]), *row[1:]))


def _receipt(row: Sequence[Any]) -> ReceiptRow:
    return ReceiptRow._make((*row[:4], unpacked_id(row[4]), *row[5:]))
