"""What `stateward doctor` looks at: a database as it is, beside the lifecycles that are to run on it.

Facts are read in one moment of the database, by statements that change nothing, and without making it ready: what is
looked at may be behind, or broken. What is wrong is worked out afterwards, from the facts alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import msgspec

from stateward.chart import Chart
from stateward.errors import ExtraMissing, LedgerOutdated, LedgerUnavailable, SnapshotInvalid
from stateward.kernel import position_of
from stateward.ledger.sql import Migration, read_migrations

if TYPE_CHECKING:
    import sqlite3

    import psycopg

__all__ = ["Database", "Facts", "Fault", "SchemaVersions", "Waiting", "find_faults", "open_database", "sqlite_file_of"]

CLOCK_SKEW_S_MAX = 1.0
"""Seconds by which clocks may differ: timers and leases compare times that different machines tell."""
PARTITIONS_AHEAD = 1
"""Months ahead that need a partition by now; an upgrade makes more, so that there is time to run it again."""

_LIFECYCLES = "SELECT kind, version, digest FROM lifecycle"
_CENSUS = "SELECT kind, version, state, sum(count) FROM census GROUP BY kind, version, state"
_ENTITIES = "SELECT kind, version, state, count(*) FROM entity GROUP BY kind, version, state"
_OUTBOX = "SELECT kind, effect, count(*), min({record}) FROM outbox GROUP BY kind, effect ORDER BY kind, effect"


class SchemaVersions(NamedTuple):
    """The number of a database's schema, and of the one that this version of stateward knows."""

    found: int
    known: int


class Waiting(NamedTuple):
    """The effects of one class that are not done yet."""

    kind: str
    effect: str
    waiting: int
    oldest_at: float
    """When what asked for the oldest was accepted, in seconds since 1970."""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """A database as it was at one moment."""

    place: str
    """The file, or the database and its host."""
    schema: SchemaVersions
    read_at: float
    """When it was, by this machine's clock, in seconds since 1970."""
    lifecycles: Mapping[tuple[str, int], str] = {}
    """The registered digests by kind and version."""
    census: Mapping[tuple[str, int, str], int] = {}
    """What the census says, by kind, version and configuration."""
    entities: Mapping[tuple[str, int, str], int] = {}
    """What counting the entities says."""
    outbox: Sequence[Waiting] = ()
    partitions_missing: Sequence[str] = ()
    """Of this month and those ahead."""
    default_records: int = 0
    """Records that no month's partition took."""
    skew_s: float = 0.0
    """By how much the server's clock is ahead of this machine's, less what the round trip leaves open."""


class Fault(msgspec.Struct, frozen=True):
    """Something that is wrong."""

    check: str
    what: str
    where: str
    todo: str


# Reading.


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
    if scheme in ("postgres", "postgresql"):
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
            tables = _read_tables(lambda sql: connection.execute(sql).fetchall(), record="record")
            return Facts(place=self._path, schema=schema, read_at=clock(), **tables)


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
            return Facts(
                place=place, schema=schema, read_at=clock(), skew_s=skew_s, default_records=default_records,
                partitions_missing=self._missing_partitions(clock()), **_read_tables(self._read, record="record::text"),
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


def _read_tables(read: Callable[[str], list[Any]], *, record: str) -> dict[str, Any]:
    """What both databases are asked alike; `record` is the id of a record as something that has a least."""
    return {
        "lifecycles": {(kind, version): digest for kind, version, digest in read(_LIFECYCLES)},
        "census": {tuple(line): int(count) for *line, count in read(_CENSUS) if count},
        "entities": {tuple(line): int(count) for *line, count in read(_ENTITIES)},
        "outbox": [
            Waiting(kind, effect, int(count), _made_at(oldest))
            for kind, effect, count, oldest in read(_OUTBOX.format(record=record))
        ],
    }


def _made_at(record: str | bytes) -> float:
    """When a record's id was made: the first 48 bits of it are milliseconds."""
    text = record if isinstance(record, str) else record.hex()
    return int(text.replace("-", "")[:12], 16) / 1000


# Judging.


def find_faults(facts: Facts, charts: Sequence[Chart[Any]], *, outbox_age_s: float) -> list[Fault]:
    """What is wrong with a database, and what to do about it.

    Args:
        facts: the database.
        charts: the charts that are to run on it.
        outbox_age_s: how long an effect may wait.
    """
    faults = list(_clock_faults(facts))
    if facts.schema.found != facts.schema.known:
        found, known = facts.schema
        what = f"the schema is at {found}, and this version of stateward knows {known}"
        todo = str(LedgerOutdated(found=found, wanted=known)).rpartition(": ")[2]
        return [*faults, Fault("schema", what, facts.place, todo)]
    by_version = {(chart.kind, chart.version): chart for chart in charts}
    faults += _digest_faults(facts, by_version)
    faults += _state_faults(facts, by_version)
    faults += _census_faults(facts)
    faults += _partition_faults(facts)
    faults += _outbox_faults(facts, outbox_age_s)
    return faults


def _clock_faults(facts: Facts) -> Iterator[Fault]:
    if abs(facts.skew_s) > CLOCK_SKEW_S_MAX:
        which = "ahead of" if facts.skew_s > 0 else "behind"
        what = f"the server's clock is {abs(facts.skew_s):.1f} s {which} this machine's"
        yield Fault(
            "clock", what, facts.place, "let both keep time by NTP; timers fall due by the clock of the machine"
        )


def _digest_faults(facts: Facts, charts: Mapping[tuple[str, int], Chart[Any]]) -> Iterator[Fault]:
    for version, chart in charts.items():
        digest = facts.lifecycles.get(version, chart.digest)
        if digest != chart.digest:
            what = f"registered with the digest {digest[:12]}, and is now {chart.digest[:12]}"
            yield Fault("digest", what, _version(*version), "give what was changed a new version, or take it back")


def _state_faults(facts: Facts, charts: Mapping[tuple[str, int], Chart[Any]]) -> Iterator[Fault]:
    unknown: dict[tuple[str, int], int] = {}
    kinds = {kind for kind, _ in charts}
    for (kind, version, state), count in sorted(facts.census.items()):
        chart = charts.get((kind, version))
        if chart is None:
            unknown[kind, version] = unknown.get((kind, version), 0) + count
            continue
        try:
            position_of(chart, state)
        except SnapshotInvalid as error:
            where = f"{_version(kind, version)} in {state}"
            todo = "move them with Engine.repair, or give the version back the state that it had"
            yield Fault("state", f"{_entities(count)} there, and {error.problem}", where, todo)
    for (kind, version), count in unknown.items():
        what = f"{_entities(count)} of a {'version' if kind in kinds else 'kind'} that no target has"
        yield Fault("version", what, _version(kind, version), "name its module too, and give it to the engines")


def _census_faults(facts: Facts) -> Iterator[Fault]:
    for line in sorted(facts.census.keys() | facts.entities.keys()):
        told, counted = facts.census.get(line, 0), facts.entities.get(line, 0)
        if told != counted:
            kind, version, state = line
            what = f"the census says {told:,}, and there are {counted:,} entities"
            todo = "something else than stateward wrote to entity or census: find it, then put the count right"
            yield Fault("census", what, f"{_version(kind, version)} in {state}", todo)


def _partition_faults(facts: Facts) -> Iterator[Fault]:
    for name in facts.partitions_missing:
        yield Fault("partition", f"there is no partition {name}", facts.place, "run `stateward db upgrade`")
    if facts.default_records:
        what = f"{facts.default_records:,} records that no month's partition took"
        todo = "they are safe there; before partitions of their months can be made, they must move out of it"
        yield Fault("partition", what, f"record_default, {facts.place}", todo)


def _outbox_faults(facts: Facts, age_s_max: float) -> Iterator[Fault]:
    for kind, effect, count, oldest_at in facts.outbox:
        age_s = facts.read_at - oldest_at
        if age_s > age_s_max:
            what = f"{count:,} effects wait, the oldest for {timedelta(seconds=round(age_s))}"
            yield Fault("outbox", what, f"{kind}, {effect}", "see that workers run, and what the last errors were")


def _version(kind: str, version: int) -> str:
    return f"{kind} version {version}"


def _entities(count: int) -> str:
    return f"{count:,} {'entity' if count == 1 else 'entities'}"
