"""The databases that `doctor` looks at, as they are: what is read of them; and their schema, brought up to date."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from stateward.errors import ExtraMissing, LedgerUnavailable
from stateward.ledger.checking.ages import read_ages
from stateward.ledger.checking.facts import Facts, SchemaVersions, Waiting
from stateward.ledger.checking.holders import read_holders
from stateward.ledger.checking.waiting import read_waiting
from stateward.ledger.opening import names_postgres
from stateward.ledger.sql import Migration, read_migrations

if TYPE_CHECKING:
    import sqlite3

    import psycopg

__all__ = ["Database", "open_database", "sqlite_file_of"]

PARTITIONS_AHEAD = 1
"""Months ahead that need a partition by now; an upgrade makes more, so that there is time to run it again."""

_LIFECYCLES = "SELECT kind, version, digest FROM lifecycle"
_CENSUS = "SELECT kind, version, state, sum(count) FROM census GROUP BY kind, version, state"
_ENTITIES = "SELECT kind, version, state, count(*) FROM entity GROUP BY kind, version, state"
_OUTBOX = (
    "SELECT kind, effect, count(*), min({record}), count(last_error),"
    " min(CASE WHEN last_error IS NOT NULL THEN {next_attempt} END)"
    " FROM outbox GROUP BY kind, effect ORDER BY kind, effect"
)


class Database(Protocol):
    """The database of a ledger."""

    def schema(self) -> SchemaVersions:
        """The schema that it has, and the one that it should have."""
        ...

    def upgrade(self) -> list[str]:
        """Apply what the schema lacks; the names of the files."""
        ...

    def read_facts(self, clock: Callable[[], float] = time.time) -> Facts:
        """Look at it; at nothing but the schema, if that is not the one that this code knows."""
        ...


@contextmanager
def open_database(address: str, *, may_be_new: bool = False) -> Generator[Database]:
    """The database of a ledger, for as long as the block runs; it is not made ready.

    Args:
        address: as `open_ledger` takes it.
        may_be_new: whether a SQLite file may be made.

    Raises:
        LedgerUnavailable: there is no such kind of database, or it is away.
        ExtraMissing: its driver is not installed.
    """
    path = sqlite_file_of(address, may_be_new=may_be_new)
    if path is not None:
        yield _Sqlite(path)
        return
    with _open_postgres(address) as database:
        yield database


def sqlite_file_of(address: str, *, may_be_new: bool = False) -> str | None:
    """The SQLite file that an address names; None: it is one of PostgreSQL.

    Raises:
        LedgerUnavailable: it names neither, or a file that is not there.
    """
    scheme, separator, rest = address.partition("://")
    if names_postgres(address):
        return None
    path = address if not separator else rest.removeprefix("/")
    if (separator and scheme != "sqlite") or path in ("", ":memory:"):
        message = f"{address} is no database that lasts: sqlite:///file and postgresql://user@host/name are"
        raise LedgerUnavailable(message)
    if not (may_be_new or Path(path).exists()):
        message = f"there is no file {path}; `stateward db upgrade` makes one"
        raise LedgerUnavailable(message)
    return path


class _Sqlite:
    """A SQLite file."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._migrations = read_migrations("stateward.ledger.sqlite")

    @contextmanager
    def _reading(self) -> Generator[sqlite3.Connection]:
        """A connection that can't write, and to which all is one moment; not one of the ledger's, which turn on WAL."""
        import sqlite3  # noqa: PLC0415 - a driver is loaded when it is used

        try:
            uri = f"{Path(self._path).absolute().as_uri()}?mode=ro"
            with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
                connection.execute("BEGIN")
                yield connection
        except sqlite3.Error as error:
            raise LedgerUnavailable(f"{self._path}: {error}") from error

    def schema(self) -> SchemaVersions:
        with self._reading() as connection:
            return self._schema(connection)

    def _schema(self, connection: sqlite3.Connection) -> SchemaVersions:
        from stateward.ledger.sqlite.schema import schema_version  # noqa: PLC0415 - as above

        return SchemaVersions(schema_version(connection), self._migrations[-1].number)

    def upgrade(self) -> list[str]:
        from stateward.ledger.sqlite import SqliteLedger  # noqa: PLC0415 - as above

        with closing(SqliteLedger(self._path)) as ledger:
            return _names(self._migrations, ledger.upgrade())

    def read_facts(self, clock: Callable[[], float] = time.time) -> Facts:
        with self._reading() as connection:
            schema = self._schema(connection)
            if schema.found != schema.known:
                return Facts(place=self._path, schema=schema, read_at=clock())
            now = clock()

            def read(sql: str) -> list[Any]:
                return connection.execute(sql).fetchall()

            tables = _read_tables(read, record="record", moment="{} / 1e6")
            waiting = read_waiting(read, now, moment="{} / 1e6")
            ages = read_ages(read, identifier="id", made_at=_made_at)
            return Facts(place=self._path, schema=schema, read_at=now, **tables, **waiting, **ages)


@contextmanager
def _open_postgres(address: str) -> Generator[Database]:
    try:
        import psycopg  # noqa: PLC0415 - a driver is loaded when it is used
    except ModuleNotFoundError as error:
        raise ExtraMissing(package=error.name or "psycopg", extra="postgres") from error
    try:
        with psycopg.connect(address, autocommit=True) as connection:
            yield _Postgres(address, connection)
    except psycopg.Error as error:
        raise LedgerUnavailable(f"postgres: {str(error).strip()}") from error


class _Postgres:
    """A PostgreSQL database."""

    def __init__(self, address: str, connection: psycopg.Connection[Any]) -> None:
        self._address = address
        self._connection = connection
        self._migrations = read_migrations("stateward.ledger.postgres")

    def schema(self) -> SchemaVersions:
        from stateward.ledger.postgres.schema import schema_version  # noqa: PLC0415 - a driver is loaded when used

        return SchemaVersions(schema_version(self._connection), self._migrations[-1].number)

    def upgrade(self) -> list[str]:
        from stateward.ledger.postgres import PostgresLedger  # noqa: PLC0415 - as above

        with closing(PostgresLedger(self._address, connections_max=1)) as ledger:
            return _names(self._migrations, ledger.upgrade())

    def read_facts(self, clock: Callable[[], float] = time.time) -> Facts:
        info = self._connection.info
        place = f"{info.dbname} on {info.host}"
        skew_s = self._measure_skew(clock)
        with self._connection.transaction():
            self._read("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            schema = self.schema()
            if schema.found != schema.known:
                return Facts(place=place, schema=schema, read_at=clock(), skew_s=skew_s)
            [[default_records]] = self._read("SELECT count(*) FROM record_default")
            now = clock()
            moment = "extract(epoch FROM {})::float8"
            waiting = read_waiting(self._read, now, moment=moment)
            tables = _read_tables(self._read, record="record::text", moment=moment)
            ages = read_ages(self._read, identifier="id::text", made_at=_made_at)
            return Facts(
                place=place, schema=schema, read_at=now, skew_s=skew_s, default_records=default_records,
                partitions_missing=self._missing_partitions(now),
                **tables, **waiting, **ages, **read_holders(self._read),
            )  # fmt: skip

    def _read(self, sql: str) -> list[Any]:
        cursor = self._connection.execute(sql.encode())
        return cursor.fetchall() if cursor.description is not None else []

    def _measure_skew(self, clock: Callable[[], float]) -> float:
        """The difference of the clocks, by the shortest of three round trips."""
        best: tuple[float, float] | None = None
        for _ in range(3):
            before = clock()
            [[server]] = self._read("SELECT extract(epoch FROM clock_timestamp())::float8")
            after = clock()
            trip = (after - before, server - (before + after) / 2)
            best = trip if best is None else min(best, trip)
        assert best is not None
        took, skew = best
        open_s = max(0.0, took) / 2
        return 0.0 if abs(skew) <= open_s else skew - open_s if skew > 0 else skew + open_s

    def _missing_partitions(self, now: float) -> list[str]:
        month = datetime.fromtimestamp(now, UTC).replace(day=1)
        names: list[str] = []
        for _ in range(PARTITIONS_AHEAD + 1):
            names.append(f"record_{month:%Y_%m}")
            month = (month + timedelta(days=32)).replace(day=1)
        there = {name for (name,) in self._read("SELECT relname FROM pg_class JOIN pg_inherits ON oid = inhrelid")}
        return [name for name in names if name not in there]


def _names(migrations: Sequence[Migration], numbers: Sequence[int]) -> list[str]:
    return [f"{each.number:04}_{each.name}" for each in migrations if each.number in numbers]


def _read_tables(read: Callable[[str], list[Any]], *, record: str, moment: str) -> dict[str, Any]:
    """What both databases are asked alike.

    Args:
        read: runs a statement.
        record: the id of a record as something that has a least.
        moment: makes seconds since 1970 of a column, where that is put in.
    """
    return {
        "lifecycles": {(kind, version): digest for kind, version, digest in read(_LIFECYCLES)},
        "census": {tuple(line): int(count) for *line, count in read(_CENSUS) if count},
        "entities": {tuple(line): int(count) for *line, count in read(_ENTITIES)},
        "outbox": [
            Waiting(kind, effect, int(count), _made_at(oldest), int(failing), due_at)
            for kind, effect, count, oldest, failing, due_at in read(
                _OUTBOX.format(record=record, next_attempt=moment.format("next_attempt"))
            )
        ],
    }


def _made_at(record: str | bytes) -> float:
    """When a record's id was made: the first 48 bits of it are milliseconds."""
    text = record if isinstance(record, str) else record.hex()
    return int(text.replace("-", "")[:12], 16) / 1000
