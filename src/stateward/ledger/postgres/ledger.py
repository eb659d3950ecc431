"""The ledger on PostgreSQL, the one for production: through psycopg 3 and its pool, by threads or by tasks."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import psycopg
from psycopg import errors
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row
from psycopg_pool import AsyncConnectionPool, ConnectionPool, PoolTimeout

from stateward.errors import LedgerUnavailable, Unjoinable
from stateward.ledger.contract import Capabilities, Interrupted, Page, RowsRefused, Trip, Trips
from stateward.ledger.driving import drive, drive_async
from stateward.ledger.postgres.schema import check_schema, lacks_partitions, schema_version, upgrade_schema
from stateward.ledger.postgres.statements import statements_of

__all__ = ["AsyncPostgresLedger", "PostgresLedger"]

T = TypeVar("T")

CAPABILITIES = Capabilities(
    name="postgres", holds_write_lock=False, is_durable=True, shares_processes=True, joins=("psycopg",)
)


ANSWER_S_MAX = 15.0
"""How long a server may take to answer, before its connection is given up: one that is stopped never does."""


class _Connection(psycopg.Connection[Any]):
    """A connection that gives up on a server that neither answers nor goes away."""

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        try:
            return super().wait(gen, interval, ANSWER_S_MAX if timeout is None else timeout)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                self.pgconn.finish()  # what the server makes of it yet is not known
            raise


class _AsyncConnection(psycopg.AsyncConnection[Any]):
    """The same for tasks."""

    async def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        try:
            return await super().wait(gen, interval, ANSWER_S_MAX if timeout is None else timeout)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
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
        self._pool = ConnectionPool(
            dsn, min_size=1, max_size=connections_max, timeout=timeout_s, open=False, kwargs={"autocommit": True},
            configure=_configure, connection_class=_Connection,
        )  # fmt: skip

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
                # Without the right to make tables, records go to the default partition, which `doctor` tells.
                with suppress(errors.InsufficientPrivilege):
                    upgrade_schema(connection)

    def upgrade(self) -> list[int]:
        """Bring the schema up to date; the numbers of the files that were applied."""
        with self._connection() as connection:
            return upgrade_schema(connection)

    def close(self) -> None:
        """Close all connections. Twice is safe."""
        self._pool.close()

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
        if not isinstance(connection, psycopg.Connection):
            problem = f"a {type(connection).__name__} can't be joined; a ledger on PostgreSQL joins those of psycopg 3"
            raise Unjoinable(problem)
        joined: psycopg.Connection[Any] = connection
        if joined.info.transaction_status == TransactionStatus.IDLE:
            if joined.autocommit:
                problem = (
                    "no transaction is open on the connection: begin one, so that it and the event commit together"
                )
                raise Unjoinable(problem)
            joined.execute(b"SELECT 1")  # which begins it; else what follows would be a transaction of its own
        with joined.cursor(row_factory=tuple_row) as cursor, joined.transaction():

            def make(trip: Trip) -> Sequence[Page]:
                with neutral_errors(trip):
                    return run_trip(cursor, trip)

            return drive(trips, make)

    @contextmanager
    def _connection(self) -> Generator[psycopg.Connection[Any]]:
        try:
            self._pool.open()
            with self._pool.connection() as connection:
                yield connection
        except (psycopg.OperationalError, PoolTimeout) as error:
            raise LedgerUnavailable(f"postgres: {error}") from error

    def _make(self, connection: psycopg.Connection[Any], trip: Trip) -> Sequence[Page]:
        with neutral_errors(trip):
            try:
                with connection.cursor() as cursor:
                    if trip.begins:
                        cursor.execute("BEGIN")
                    pages = run_trip(cursor, trip)
                    if trip.commits:
                        cursor.execute("COMMIT")
            except psycopg.Error:
                if not connection.closed:
                    connection.rollback()  # the protocol goes on from before the transaction
                raise
            return pages


# What is run here touches a few rows by key: compiling it takes longer than running it, and whoever holds such a row
# for longer is not waited for by a whole batch.
_SETTINGS = b"SET jit = off; SET lock_timeout = '100ms'"


def _configure(connection: psycopg.Connection[Any]) -> None:
    connection.execute(_SETTINGS)


async def _configure_async(connection: psycopg.AsyncConnection[Any]) -> None:
    await connection.execute(_SETTINGS)


def run_trip(cursor: psycopg.Cursor[Any], trip: Trip) -> list[Page]:
    """The operations of a trip; their pages."""
    pages: list[Page] = []
    for operation in trip.operations:
        for statement in statements_of(operation):
            cursor.execute(statement.sql.encode(), statement.parameters, prepare=statement.prepare)
            if statement.page is not None:
                pages.append(statement.page(cursor.fetchall()))
    return pages


class AsyncPostgresLedger:
    """A PostgreSQL database, driven by tasks; see `AsyncLedger`."""

    capabilities = CAPABILITIES

    def __init__(self, dsn: str, *, connections_max: int = 10, timeout_s: float = 10.0) -> None:
        """As `PostgresLedger`."""
        self._dsn = dsn
        self._pool = AsyncConnectionPool(
            dsn, min_size=1, max_size=connections_max, timeout=timeout_s, open=False, kwargs={"autocommit": True},
            configure=_configure_async, connection_class=_AsyncConnection,
        )  # fmt: skip

    def prepare(self) -> None:
        """As `PostgresLedger.prepare`; it is done once, and by this thread."""
        ledger = PostgresLedger(self._dsn, connections_max=1)
        try:
            ledger.prepare()
        finally:
            ledger.close()

    async def close(self) -> None:
        """Close all connections. Twice is safe."""
        await self._pool.close()

    async def run(self, trips: Trips[T]) -> T:
        """Drive a piece of protocol; see `AsyncLedger.run`."""
        try:
            await self._pool.open()
            async with self._pool.connection() as connection:
                try:
                    return await drive_async(trips, lambda trip: self._make(connection, trip))
                except Interrupted as error:
                    message = f"postgres: held by others: {error}"
                    raise LedgerUnavailable(message) from error
                finally:
                    if connection.info.transaction_status != TransactionStatus.IDLE and not connection.closed:
                        await connection.rollback()
        except (psycopg.OperationalError, PoolTimeout) as error:
            raise LedgerUnavailable(f"postgres: {error}") from error

    async def _make(self, connection: psycopg.AsyncConnection[Any], trip: Trip) -> Sequence[Page]:
        with neutral_errors(trip):
            try:
                async with connection.cursor() as cursor:
                    if trip.begins:
                        await cursor.execute("BEGIN")
                    pages: list[Page] = []
                    for operation in trip.operations:
                        for statement in statements_of(operation):
                            await cursor.execute(
                                statement.sql.encode(), statement.parameters, prepare=statement.prepare
                            )
                            if statement.page is not None:
                                pages.append(statement.page(await cursor.fetchall()))
                    if trip.commits:
                        await cursor.execute("COMMIT")
            except psycopg.Error:
                if not connection.closed:
                    await connection.rollback()
                raise
            return pages


@contextmanager
def neutral_errors(trip: Trip) -> Generator[None]:
    """Turn psycopg's errors into those that the protocol knows."""
    try:
        yield
    except (errors.SerializationFailure, errors.DeadlockDetected, errors.LockNotAvailable) as error:
        raise Interrupted(str(error)) from error
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        raise RowsRefused(str(error).partition("\n")[0]) from error
    except psycopg.OperationalError as error:
        may_hold = trip.commits or not trip.begins
        raise LedgerUnavailable(f"postgres: {error}", is_outcome_unknown=may_hold) from error
