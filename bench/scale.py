"""What ten million entities cost beside ten thousand: the same engine on two databases of one server or machine.

Both are filled by SQL through the schema as it is, from the rows that the engine itself wrote for one entity: an
entity that waits for its payment, its record of the start, the receipt of its creation's key, its timer, its count in
the census. Only ids, times and parts differ (a part is the number modulo 64, which nothing here reads). They were
created over the last day and a third, so that one in four is past its SLA. Ids rise with time, as from a sequence;
the entities that are moved and read are drawn at random.

A large database does not fit into the server's buffers (their default is 128 MB) nor SQLite's cache (2 MB): a
transition reads half a dozen pages from the system's cache or the disk, and each that it changes is written whole to
the log once after a checkpoint. Both are part of the figures; no checkpoint falls into PostgreSQL's, since it would
fall on either by chance. The full size needs 25 GB of disk while it runs.
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

import psycopg

from bench.ledger.databases import open_server
from bench.ledger.order import Order, Pay, record_payment
from bench.measure import Effort, Figure, Run, compare
from bench.report import Budget, Report, Table
from stateward import Final, Lifecycle, State, after, on
from stateward.engine import Engine, Sending
from stateward.ledger.rows import EntityRow, ReceiptRow, RecordRow, TimerRow

__all__ = ["measure"]

_SMALL, _LARGE = 10_000, 10_000_000
_BATCH = 100
_READS = 500
_DAY = 86_400_000_000
_SPAN = _DAY + _DAY // 3
"""The time over which they were created: one in four is past its SLA of a day."""
_GROWTH, _LIST_MS = 1.2, 50.0


class WatchedLifecycle(Lifecycle[Order]):
    pending = State(initial=True, sla=timedelta(days=1))
    paid = Final()
    cancelled = Final()
    pay = on(Pay, pending.to(paid, do=record_payment))
    expire = after(timedelta(days=1), pending.to(cancelled))


@dataclass(frozen=True)
class _Filled:
    """A database with so many entities."""

    address: str
    entities: int
    filled_s: float
    size: int


@dataclass(frozen=True)
class _Pair:
    """The two databases that are measured in turns."""

    small: _Filled
    large: _Filled
    settings: str
    """What caches they have, and what beside is to be known."""


def measure(effort: Effort) -> Report:
    """Both databases, one after the other, each in a folder that is thrown away."""
    # Quick is for seeing that it works: far fewer, and a smaller distance.
    entities = (max(2_000, effort.times(_SMALL)), max(20_000, round(_LARGE * effort.scale**2)))
    report = Report()
    for name, opens in (("SQLite", _open_sqlite), ("PostgreSQL", _open_postgres)):
        with opens(entities) as pair:
            figures = _figures(pair.small, pair.large, effort.rounds)
        report.tables.append(_table(name, pair, figures, effort.rounds))
        for what in (_SEND, _SEND_MANY):
            report.budgets.append(Budget(f"{name}, growth of {what}", _GROWTH, figures[what][1].ratio, "x"))
        for what in (_CENSUS, _STUCK):
            ms = figures[what][1].ns / 1e6
            report.budgets.append(Budget(f"{name}, {what}, of {pair.large.entities:,}", _LIST_MS, ms, "ms"))
    return report


def _table(name: str, pair: _Pair, figures: dict[str, tuple[Figure, Figure]], rounds: int) -> Table:
    rows = [
        (what, f"{few.ns / 1e6:,.2f}", f"{many.ns / 1e6:,.2f}", f"{many.ratio:.2f} x")
        for what, (few, many) in figures.items()
    ]
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    note = (
        f"Milliseconds for each, medians of {rounds} rounds in turns; {pair.settings}. The databases have "
        f"{pair.small.size / 1e6:,.0f} MB and {pair.large.size / 1e9:,.1f} GB, the machine {memory / 1e9:,.0f} GB of "
        f"memory; filling took {pair.large.filled_s:,.0f} s, and nothing was read since but by what is measured."
    )
    head = ("", f"{pair.small.entities:,}", f"{pair.large.entities:,}", "growth")
    return Table(f"Entities on {name}", head, rows, note)


# What is measured.

_SEND = "a transition, sent alone"
_SEND_MANY = "a transition, send_many of 100"
_GET = "get"
_CENSUS = "census"
_STUCK = "first 500 that are stuck"


def _figures(small: _Filled, large: _Filled, rounds: int) -> dict[str, tuple[Figure, Figure]]:
    # Each entity is moved once, the small database has two turns in a round, and keeps a tenth of its own to the end.
    turns = 2 * 2 * (rounds + 1)
    sends = max(1, int(0.9 * small.entities / turns) // _BATCH) * _BATCH
    with _Subject(small, sends * turns) as few, _Subject(large, sends * turns) as many:
        ways: dict[str, Callable[[_Subject], Run]] = {
            _SEND: lambda each: each.sends(sends),
            _SEND_MANY: lambda each: each.batches(sends),
            _GET: lambda each: each.gets(_READS),
            _CENSUS: lambda each: each.censuses(_READS // 10),
            _STUCK: lambda each: each.stuck(_READS // 50),
            "first 500 of a state, unmoved for longest": lambda each: each.listed(_READS // 50),
        }
        found: dict[str, tuple[Figure, Figure]] = {}
        for what, way in ways.items():
            figures = compare({"small": way(few), "large": way(many)}, "small", rounds)
            found[what] = (figures["small"], figures["large"])
        return found


class _Subject:
    """The engine on one of the databases, and entities drawn at random, each once."""

    def __init__(self, filled: _Filled, draws: int) -> None:
        self._engine = Engine(filled.address, lifecycles=[WatchedLifecycle])
        self._entities = filled.entities
        self._random = random.Random(4200)
        self._drawn: Iterator[int] = iter(self._random.sample(range(1, filled.entities + 1), draws))

    def __enter__(self) -> _Subject:
        found = self._engine.census(WatchedLifecycle)
        if found != {"pending": self._entities + 1}:
            message = f"{self._entities} entities were filled in, and the census has {found}"
            raise RuntimeError(message)
        return self

    def __exit__(self, *_: object) -> None:
        self._engine.close()

    def sends(self, events: int) -> Run:
        def run() -> tuple[int, int]:
            names = [_name(next(self._drawn)) for _ in range(events)]
            began = time.perf_counter_ns()
            for name in names:
                self._engine.send(WatchedLifecycle, name, Pay(amount=4200), actor="bench:1", key="pay")
            return time.perf_counter_ns() - began, events

        return run

    def batches(self, events: int) -> Run:
        def run() -> tuple[int, int]:
            sendings = [
                Sending(
                    lifecycle=WatchedLifecycle,
                    entity=_name(next(self._drawn)),
                    event=Pay(amount=4200),
                    actor="bench:1",
                    key="pay",
                )
                for _ in range(events)
            ]
            began = time.perf_counter_ns()
            for first in range(0, events, _BATCH):
                for answer in self._engine.send_many(sendings[first : first + _BATCH]):
                    if isinstance(answer, BaseException):
                        raise answer
            return time.perf_counter_ns() - began, events

        return run

    def gets(self, number: int) -> Run:
        def run() -> tuple[int, int]:
            names = [_name(self._random.randint(1, self._entities)) for _ in range(number)]
            began = time.perf_counter_ns()
            for name in names:
                self._engine.get(WatchedLifecycle, name)
            return time.perf_counter_ns() - began, number

        return run

    def censuses(self, number: int) -> Run:
        return _again(lambda: self._engine.census(WatchedLifecycle), number)

    def stuck(self, number: int) -> Run:
        return _again(lambda: next(self._engine.stuck(WatchedLifecycle)), number)

    def listed(self, number: int) -> Run:
        return _again(lambda: next(self._engine.list(WatchedLifecycle, state="pending")), number)


def _again(call: Callable[[], object], number: int) -> Run:
    def run() -> tuple[int, int]:
        began = time.perf_counter_ns()
        for _ in range(number):
            call()
        return time.perf_counter_ns() - began, number

    return run


# Filling, by statements that both databases know but for a few expressions.

_TEMPLATE = "template"


def _name(number: int) -> str:
    return f"order-{number:09d}"


@dataclass(frozen=True)
class _Dialect:
    """How a database says what the rows of entity n hold."""

    series: str
    """The numbers from 1 to {count} as `series (n)`, before the SELECT."""
    name: str
    record: str
    """Of entity n, created at {at}: the id of its record."""
    moment: str
    """Microseconds {micros} as a time."""
    entered: str
    """The state that it is in, since {at}."""


_POSTGRES = _Dialect(
    series="WITH series AS (SELECT n FROM generate_series(1::bigint, {count}) AS n)",
    name="'order-' || lpad(n::text, 9, '0')",
    record=(
        "(lpad(to_hex({at} / 1000), 12, '0') || '7' || lpad(to_hex(n % 4096), 3, '0')"
        " || '8' || lpad(to_hex(n * 2654435761 % 1152921504606846976), 15, '0'))::uuid"
    ),
    moment="stateward_time({micros})",
    entered="jsonb_build_object('pending', {at})",
)
_SQLITE = _Dialect(
    series="WITH RECURSIVE series (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM series WHERE n < {count})",
    name="printf('order-%09d', n)",
    record="bench_record(n, {at})",
    moment="{micros}",
    entered="json_object('pending', {at})",
)


def _record_id(number: int, at: int) -> bytes:
    """For SQLite, what the expression above is for PostgreSQL."""
    tail = number * 2654435761 % 1152921504606846976
    return (at // 1000 << 80 | 7 << 76 | number % 4096 << 64 | 8 << 60 | tail).to_bytes(16, "big")


def _fillings(dialect: _Dialect, count: int) -> list[Sequence[str]]:
    """For each table: the statements that fill it."""
    began = time.time_ns() // 1000 - _SPAN
    at = f"({began} + n * {_SPAN // count})"
    now, due = dialect.moment.format(micros=at), dialect.moment.format(micros=f"({at} + {_DAY})")
    record = dialect.record.format(at=at)
    own = {"part": "n % 64", "due_by": due, "due_at": due, "entered": dialect.entered.format(at=at)}
    own |= dict.fromkeys(("created_at", "updated_at", "occurred_at", "recorded_at"), now)
    fillings: list[Sequence[str]] = []
    for table, fields, names in (
        ("record", RecordRow._fields, {"id": record, "entity": dialect.name}),
        ("entity", EntityRow._fields, {"id": dialect.name}),
        ("receipt", ReceiptRow._fields, {"record": record, "entity": dialect.name}),
        ("timer", TimerRow._fields, {"record": record, "entity": dialect.name}),
    ):
        columns = ", ".join({**own, **names}.get(field, f"t.{field}") for field in fields)
        key = "id" if table == "entity" else "entity"
        series = dialect.series.format(count=count)
        take = f"CREATE TEMPORARY TABLE template_{table} AS SELECT * FROM {table} WHERE {key} = '{_TEMPLATE}'"
        fill = f"{series} INSERT INTO {table} SELECT {columns} FROM template_{table} t, series"
        fillings.append((take, fill))
    return fillings


def _write_template(address: str) -> None:
    """One entity by the engine itself, as which all others are made."""
    with Engine(address, lifecycles=[WatchedLifecycle]) as engine:
        made = engine.create(WatchedLifecycle, _TEMPLATE, Order(), actor="bench:1", key="create")
        entity = engine.get(WatchedLifecycle, _TEMPLATE)
        if made.state != "pending" or entity.due_by != entity.entered["pending"] + timedelta(days=1):
            message = f"the template is {entity}"
            raise RuntimeError(message)


# SQLite.


@contextmanager
def _open_sqlite(entities: tuple[int, int]) -> Generator[_Pair]:
    folder = Path(tempfile.mkdtemp(prefix="bench_", dir=Path.cwd()))
    try:
        small, large = (_fill_sqlite(folder / f"{count}.db", count) for count in entities)
        yield _Pair(small, large, "2 MB of cache for each connection, a checkpoint each 1,000 pages, the defaults")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _fill_sqlite(path: Path, count: int) -> _Filled:
    _write_template(f"sqlite:///{path}")
    began = time.perf_counter()
    connection = sqlite3.connect(path, isolation_level=None)
    connection.create_function("bench_record", 2, _record_id, deterministic=True)
    # Nobody else is there, and what is half filled is thrown away: no journal, no flushes.
    for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -262144", "temp_store = MEMORY"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("BEGIN")
    for statements in _fillings(_SQLITE, count):
        for statement in statements:
            connection.execute(statement)
    connection.execute("UPDATE census SET count = count + ?", (count,))
    connection.execute("COMMIT")
    connection.execute("ANALYZE")
    connection.close()
    descriptor = os.open(path, os.O_RDWR)
    os.fsync(descriptor)
    os.close(descriptor)
    return _Filled(f"sqlite:///{path}", count, time.perf_counter() - began, path.stat().st_size)


# PostgreSQL.

_TABLES = ("record", "entity", "receipt", "timer")


@contextmanager
def _open_postgres(entities: tuple[int, int]) -> Generator[_Pair]:
    # Cleaning up in the background would fall on either by chance: it is done by hand, once all is filled in.
    with open_server() as server, server.settings(autovacuum="off"):
        with server.settings(max_wal_size="4GB", full_page_writes="off"):
            small, large = (_fill_postgres(server.database(f"of_{count}"), count) for count in entities)
        with server.settings(max_wal_size="16GB"), psycopg.connect(small.address, autocommit=True) as connection:
            connection.execute("CHECKPOINT")
            [buffers] = connection.execute("SHOW shared_buffers").fetchone() or ("",)
            yield _Pair(small, large, f"{buffers} of shared buffers, full_page_writes on, the defaults")


def _fill_postgres(address: str, count: int) -> _Filled:
    _write_template(address)
    began = time.perf_counter()
    with psycopg.connect(address, autocommit=True) as connection:
        # The first of them may have been created last month.
        connection.execute("SELECT stateward_make_partition(now() - interval '2 days')")
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(partial(_execute, address), _fillings(_POSTGRES, count)))
            list(pool.map(partial(_execute, address), [(f"VACUUM (ANALYZE) {table}",) for table in _TABLES]))
        connection.execute(
            "INSERT INTO census SELECT kind, version, state, slots.n, %s / 64 + (slots.n < %s %% 64)::integer"
            " FROM (SELECT kind, version, state FROM census) AS t, generate_series(0, 63) AS slots (n)"
            " ON CONFLICT (kind, version, state, slot) DO UPDATE SET count = census.count + excluded.count",
            (count, count),
        )
        [size] = connection.execute("SELECT pg_database_size(current_database())").fetchone() or (0,)
    return _Filled(address, count, time.perf_counter() - began, size)


def _execute(address: str, statements: Sequence[str]) -> None:
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("SET synchronous_commit = off")
        for statement in statements:
            connection.execute(statement.encode())
