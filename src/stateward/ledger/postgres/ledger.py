"""The ledger on PostgreSQL, the one for production: through psycopg 3 and its pool, by threads or by tasks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import cached_property
from typing import Any, TypeVar

import psycopg
from psycopg import errors
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row
from psycopg_pool import AsyncConnectionPool, ConnectionPool, PoolTimeout

from stateward.errors import LeaseLost, LedgerUnavailable, Unjoinable
from stateward.ledger.after_commit import HoldLease
from stateward.ledger.contract import (
    Capabilities,
    CommitMoves,
    ConnectionLost,
    CreateEntities,
    Interrupted,
    LedgerStatistics,
    Page,
    RegisterLifecycle,
    RowsRefused,
    Trip,
    Trips,
)
from stateward.ledger.driving import drive, drive_async
from stateward.ledger.postgres.notifying import PostgresChannel
from stateward.ledger.postgres.schema import check_schema, lacks_partitions, schema_version, upgrade_schema
from stateward.ledger.postgres.statements import requests_of

__all__ = ["AsyncPostgresLedger", "PostgresLedger"]

T = TypeVar("T")

CAPABILITIES = Capabilities(
    name="postgres", holds_write_lock=False, is_durable=True, shares_processes=True, joins=("psycopg",)
)


ANSWER_S_MAX = 15.0
"""How long a server may take to answer, before its connection is given up: one that is stopped never does."""


class _Connection(psycopg.Connection[Any]):
    """A connection that gives up on a server that neither answers nor goes away."""

    @cached_property
    def ledger_cursor(self) -> psycopg.RawCursor[Any]:
        """The cursor of the trips that are a single statement."""
        return psycopg.RawCursor(self, row_factory=tuple_row)

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        try:
            return super().wait(gen, interval, ANSWER_S_MAX if timeout is None else timeout)
        except psycopg.OperationalError as error:
            if error.sqlstate is None and self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                self.pgconn.finish()  # what the server makes of it yet is not known
            raise


class _AsyncConnection(psycopg.AsyncConnection[Any]):
    """The same for tasks."""

    @cached_property
    def ledger_cursor(self) -> psycopg.AsyncRawCursor[Any]:
        """The cursor of the trips that are a single statement."""
        return psycopg.AsyncRawCursor(self, row_factory=tuple_row)

    async def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        try:
            return await super().wait(gen, interval, ANSWER_S_MAX if timeout is None else timeout)
        except psycopg.OperationalError as error:
            if error.sqlstate is None and self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                self.pgconn.finish()
            raise


class PostgresLedger:
    """A PostgreSQL database, driven by threads; see `Ledger`."""

    capabilities = CAPABILITIES

    def __init__(self, dsn: str, *, connections_max: int = 10, timeout_s: float = 10.0) -> None:
        """Name the database; connections are opened when they are first needed.

        Args:
            dsn: a connection string or URI, as libpq takes it.
            connections_max: how many connections are kept at most.
            timeout_s: how long is waited for a connection.
        """
        self._dsn = dsn
        self._pool: ConnectionPool[_Connection] = ConnectionPool(
            dsn, min_size=1, max_size=connections_max, timeout=timeout_s, open=False, kwargs={"autocommit": True},
            configure=_configure, connection_class=_Connection,
        )  # fmt: skip

    @property
    def address(self) -> str:
        """Where others find it."""
        return self._dsn

    def channel(self) -> PostgresChannel:
        """An end of the channel by which processes tell each other that there is something to do."""
        return PostgresChannel(self._dsn)

    def prepare(self) -> None:
        """Make a fresh database ready; hold any other against the schema that this code knows.

        Raises:
            LedgerOutdated: it is behind, or ahead.
            LedgerUnavailable: the database is away.
        """
        with self._connection() as connection:
            if schema_version(connection) == 0:
                upgrade_schema(connection)
            check_schema(connection)
            if lacks_partitions(connection):
                # Without the right to make tables, or while others hold them, records go to the default partition,
                # which `doctor` tells.
                with suppress(errors.InsufficientPrivilege, errors.LockNotAvailable):
                    upgrade_schema(connection)

    def upgrade(self) -> list[int]:
        """Bring the schema up to date; the numbers of the files that were applied."""
        with self._connection() as connection:
            return upgrade_schema(connection)

    def close(self) -> None:
        """Close all connections. Twice is safe."""
        self._pool.close()

    def statistics(self) -> LedgerStatistics:
        """What it holds now; see `Ledger.statistics`."""
        return _statistics_of(self._pool)

    def run(self, trips: Trips[T]) -> T:
        """Drive a piece of protocol; see `Ledger.run`."""
        with self._connection() as connection:
            try:
                return drive(trips, lambda trip: self._make(connection, trip))
            except Interrupted as error:
                message = f"postgres: held by others: {error}"
                raise LedgerUnavailable(message) from error
            finally:
                if connection.info.transaction_status != TransactionStatus.IDLE and not connection.closed:
                    connection.rollback()

    def join(self, connection: Any, trips: Trips[T]) -> T:
        """Drive a piece of protocol within the caller's transaction, under a savepoint.

        Raises:
            Unjoinable: it is no connection of psycopg, or no transaction is open on it.
        """
        check_joinable(connection, psycopg.Connection)
        joined: psycopg.Connection[Any] = connection
        if joined.info.transaction_status == TransactionStatus.IDLE:
            joined.execute(b"SELECT 1")  # which begins it; else what follows would be a transaction of its own

        def make(trip: Trip) -> Sequence[Page]:
            with neutral_errors(trip, is_joined=True):
                return run_trip(joined, Trip(trip.operations))  # the transaction is the caller's

        with joined.transaction():
            return drive(trips, make)

    @contextmanager
    def _connection(self) -> Generator[_Connection]:
        try:
            if self._pool.closed:
                self._pool.open()
            connection = self._pool.getconn()
            try:
                yield connection
            finally:
                has_died = connection.closed
                self._pool.putconn(connection)
                if has_died:
                    self._pool.check()  # what ended it has mostly ended others, which wait unused
        except (psycopg.OperationalError, PoolTimeout) as error:
            raise LedgerUnavailable(f"postgres: {error}") from error

    def _make(self, connection: _Connection, trip: Trip) -> Sequence[Page]:
        with neutral_errors(trip):
            try:
                return run_trip(connection, trip, connection.ledger_cursor)
            except psycopg.Error:
                if not connection.closed:
                    connection.rollback()  # the protocol goes on from before the transaction
                raise


# What is run here finds a few rows by key: compiling it takes longer than running it; a plan that was made while a
# table was empty, and reads it from end to end, or all that is due to sort it, is kept when the table is not; and
# whoever holds a row for longer is not waited for by a whole batch. A process that is stopped amid a transaction loses
# it: what it holds keeps others from taking over.
_SETTINGS = (
    b"SET jit = off; SET enable_seqscan = off; SET enable_bitmapscan = off; SET lock_timeout = '100ms';"
    b"SET idle_in_transaction_session_timeout = '5s'"
)


def _configure(connection: psycopg.Connection[Any]) -> None:
    connection.execute(_SETTINGS)


async def _configure_async(connection: psycopg.AsyncConnection[Any]) -> None:
    await connection.execute(_SETTINGS)


def run_trip(
    connection: psycopg.Connection[Any], trip: Trip, cursor: psycopg.RawCursor[Any] | None = None
) -> list[Page]:
    """The operations of a trip; their pages. Several statements go to the server together, as one pipeline."""
    requests = requests_of(trip)
    if len(requests) == 1:
        [(sql, parameters, page, prepare)] = requests
        cursor = cursor if cursor is not None else psycopg.RawCursor(connection, row_factory=tuple_row)
        cursor.execute(sql, parameters, prepare=prepare)
        return [page(cursor.fetchall() if cursor.description else [])] if page is not None else []
    sent: list[tuple[Callable[[list[Any]], Page] | None, psycopg.RawCursor[Any]]] = []
    with connection.pipeline():
        for sql, parameters, page, prepare in requests:
            each = psycopg.RawCursor(connection, row_factory=tuple_row)
            sent.append((page, each.execute(sql, parameters, prepare=prepare)))
    return [page(each.fetchall() if each.description else []) for page, each in sent if page is not None]


async def run_trip_async(
    connection: psycopg.AsyncConnection[Any], trip: Trip, cursor: psycopg.AsyncRawCursor[Any] | None = None
) -> list[Page]:
    """The same in a task."""
    requests = requests_of(trip)
    if len(requests) == 1:
        [(sql, parameters, page, prepare)] = requests
        cursor = cursor if cursor is not None else psycopg.AsyncRawCursor(connection, row_factory=tuple_row)
        await cursor.execute(sql, parameters, prepare=prepare)
        return [page(await cursor.fetchall() if cursor.description else [])] if page is not None else []
    sent: list[tuple[Callable[[list[Any]], Page] | None, psycopg.AsyncRawCursor[Any]]] = []
    async with connection.pipeline():
        for sql, parameters, page, prepare in requests:
            each = psycopg.AsyncRawCursor(connection, row_factory=tuple_row)
            sent.append((page, await each.execute(sql, parameters, prepare=prepare)))
    return [page(await each.fetchall() if each.description else []) for page, each in sent if page is not None]


class AsyncPostgresLedger:
    """A PostgreSQL database, driven by tasks; see `AsyncLedger`."""

    capabilities = CAPABILITIES

    def __init__(self, dsn: str, *, connections_max: int = 10, timeout_s: float = 10.0) -> None:
        """As `PostgresLedger`."""
        self._dsn = dsn
        self._pool: AsyncConnectionPool[_AsyncConnection] = AsyncConnectionPool(
            dsn, min_size=1, max_size=connections_max, timeout=timeout_s, open=False, kwargs={"autocommit": True},
            configure=_configure_async, connection_class=_AsyncConnection,
        )  # fmt: skip
        self._giving_back: set[asyncio.Future[None]] = set()

    @property
    def address(self) -> str:
        """As `PostgresLedger.address`."""
        return self._dsn

    def channel(self) -> PostgresChannel:
        """As `PostgresLedger.channel`."""
        return PostgresChannel(self._dsn)

    def prepare(self) -> None:
        """As `PostgresLedger.prepare`; it is done once, and by this thread."""
        ledger = PostgresLedger(self._dsn, connections_max=1)
        try:
            ledger.prepare()
        finally:
            ledger.close()

    async def close(self) -> None:
        """Close all connections. Twice is safe."""
        await asyncio.gather(*self._giving_back, return_exceptions=True)
        await self._pool.close()

    def statistics(self) -> LedgerStatistics:
        """As `PostgresLedger.statistics`."""
        return _statistics_of(self._pool)

    async def run(self, trips: Trips[T]) -> T:
        """Drive a piece of protocol; see `AsyncLedger.run`."""
        async with self._connection() as connection:
            try:
                return await drive_async(trips, lambda trip: self._make(connection, trip))
            except Interrupted as error:
                message = f"postgres: held by others: {error}"
                raise LedgerUnavailable(message) from error

    async def join(self, connection: Any, trips: Trips[T]) -> T:
        """As `PostgresLedger.join`, for an AsyncConnection of psycopg."""
        check_joinable(connection, psycopg.AsyncConnection)
        joined: psycopg.AsyncConnection[Any] = connection
        if joined.info.transaction_status == TransactionStatus.IDLE:
            await joined.execute(b"SELECT 1")  # which begins it; else what follows would be a transaction of its own

        async def make(trip: Trip) -> Sequence[Page]:
            with neutral_errors(trip, is_joined=True):
                return await run_trip_async(joined, Trip(trip.operations))

        async with joined.transaction():
            return await drive_async(trips, make)

    @asynccontextmanager
    async def _connection(self) -> AsyncGenerator[_AsyncConnection]:
        try:
            if self._pool.closed:
                await self._pool.open()
            connection = await self._pool.getconn()
            try:
                yield connection
            except asyncio.CancelledError:
                # Cut off amid a trip, and maybe once more amid what psycopg does about it: there may be answers left on
                # the connection, which whoever uses it next would take for those to its own questions.
                connection.pgconn.finish()
                raise
            finally:
                await self._give_back_surely(connection)
        except (psycopg.OperationalError, PoolTimeout) as error:
            raise LedgerUnavailable(f"postgres: {error}") from error

    async def _give_back_surely(self, connection: _AsyncConnection) -> None:
        """Give a connection back, in a task of its own: a caller that is cancelled again meanwhile would lose it."""
        giving_back = asyncio.ensure_future(self._give_back(connection))
        self._giving_back.add(giving_back)
        giving_back.add_done_callback(self._giving_back.discard)
        await asyncio.shield(giving_back)

    async def _give_back(self, connection: _AsyncConnection) -> None:
        try:
            if not connection.closed and connection.info.transaction_status != TransactionStatus.IDLE:
                await connection.rollback()
        finally:
            has_died = connection.closed
            await self._pool.putconn(connection)
            if has_died:
                await self._pool.check()

    async def _make(self, connection: _AsyncConnection, trip: Trip) -> Sequence[Page]:
        with neutral_errors(trip):
            try:
                return await run_trip_async(connection, trip, connection.ledger_cursor)
            except psycopg.Error:
                if not connection.closed:
                    await connection.rollback()
                raise


def _statistics_of(pool: ConnectionPool[Any] | AsyncConnectionPool[Any]) -> LedgerStatistics:
    found = pool.get_stats()
    return LedgerStatistics(
        name="postgres",
        connections=found.get("pool_size", 0),
        idle=found.get("pool_available", 0),
        waiting=found.get("requests_waiting", 0),
    )


def check_joinable(connection: Any, kind: type[psycopg.Connection[Any] | psycopg.AsyncConnection[Any]]) -> None:
    """Whether a caller's connection has a transaction to take part in, or begins one by itself.

    Raises:
        Unjoinable: it is no such connection of psycopg, or no transaction is open on it.
    """
    if not isinstance(connection, kind):
        wanted = "a Connection" if kind is psycopg.Connection else "an AsyncConnection"
        problem = f"a {type(connection).__name__} can't be joined here, {wanted} of psycopg 3 can"
        raise Unjoinable(problem)
    if connection.autocommit and connection.info.transaction_status == TransactionStatus.IDLE:
        problem = "no transaction is open on the connection: begin one, so that it and the event commit together"
        raise Unjoinable(problem)


_WRITES = (CreateEntities, CommitMoves, RegisterLifecycle)
_LEASE_LOST = "SW001"
"""What stateward_hold_lease raises."""


@contextmanager
def neutral_errors(trip: Trip, *, is_joined: bool = False) -> Generator[None]:
    """Turn psycopg's errors into those that the protocol knows."""
    try:
        yield
    except (errors.SerializationFailure, errors.DeadlockDetected, errors.LockNotAvailable) as error:
        raise Interrupted(str(error)) from error
    except (psycopg.DataError, psycopg.IntegrityError, errors.ProgramLimitExceeded) as error:
        raise RowsRefused(str(error).partition("\n")[0]) from error
    except psycopg.Error as error:
        if error.sqlstate == _LEASE_LOST:
            [worker] = [each.worker for each in trip.operations if isinstance(each, HoldLease)]
            raise LeaseLost(worker=worker) from error
        if not isinstance(error, psycopg.OperationalError | psycopg.InternalError):
            raise
        # An ERROR is the server's word that the transaction is rolled back. A FATAL one ends the connection, whatever
        # was being committed, and of a connection that is gone nothing is known.
        if error.diag.severity_nonlocalized == "ERROR":
            raise LedgerUnavailable(f"postgres: {error}") from error
        writes = trip.commits or (not trip.begins and any(isinstance(each, _WRITES) for each in trip.operations))
        raise ConnectionLost(f"postgres: {error}", is_outcome_unknown=writes and not is_joined) from error
