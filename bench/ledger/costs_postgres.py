"""What a transition costs on PostgreSQL besides time: trips, flushes, and bytes written, ours beside those by hand."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Protocol

import psycopg

from bench.ledger.databases import Server
from bench.ledger.ours import BATCH, Ours
from bench.ledger.pgbench import FloorTables
from bench.ledger.psycopg_loops import PsycopgLoops
from bench.ledger.wire import Wire
from bench.measure import Effort, Run
from bench.report import Report, Table

__all__ = ["measure_costs_on_postgres"]

_EVENTS = 2000
_WARM = BATCH
"""Transitions before those that count, until statements are prepared."""
_SEVEN, _OURS = "by hand, seven trips", "ours, one sender"


@dataclass(frozen=True)
class _State:
    """What a server has written so far, in bytes; tables by name."""

    wal: int
    tables: Mapping[str, int]
    indices: Mapping[str, int]


@dataclass(frozen=True)
class _Cost:
    """Per transition."""

    trips: float
    statements: float
    flushes: float
    wal: float
    tables: Mapping[str, float]
    indices: Mapping[str, float]

    def row(self, name: str) -> Sequence[str]:
        counts = (f"{each:.2f}" for each in (self.trips, self.statements, self.flushes))
        sizes = (f"{each:,.0f}" for each in (self.wal, sum(self.tables.values()), sum(self.indices.values())))
        return name, *counts, *sizes


class _Driver(Protocol):
    """A contestant with connections of its own."""

    def drive(self, transitions: int) -> object: ...

    def close(self) -> None: ...


class _ByHand:
    def __init__(self, tables: FloorTables, through: str, way: Callable[[PsycopgLoops, int], Run]) -> None:
        self._loops = PsycopgLoops(tables, through)
        self._way = way

    def drive(self, transitions: int) -> object:
        return self._way(self._loops, transitions)()

    def close(self) -> None:
        self._loops.close()


class _ByUs:
    def __init__(self, names: list[str], through: str, *, in_batches: bool) -> None:
        self._names = names
        self._ours = Ours(through)
        self._send = self._ours.send_batches if in_batches else self._ours.send_each

    def drive(self, transitions: int) -> object:
        return self._send([self._names.pop() for _ in range(transitions)])

    def close(self) -> None:
        self._ours.close()


def measure_costs_on_postgres(server: Server, effort: Effort) -> Report:
    """Counted on the wire, and by the server itself."""
    events = max(BATCH, effort.times(_EVENTS) // BATCH * BATCH)
    # A page is written whole when it is first touched after a checkpoint: how often that is, is the server's matter.
    with server.settings(full_page_writes="off", autovacuum="off"):
        costs = {**_by_hand(server, events), **_by_us(server, events)}
    head = ("", "trips", "statements", "flushes", "WAL, bytes", "tables, bytes", "indices, bytes")
    note = (
        "Per transition. Statements are counted with BEGIN and COMMIT, WAL without whole pages, tables and indices "
        "before any vacuum. By hand the design reckons with 550 bytes of table and 1,100 of WAL."
    )
    rows = [cost.row(name) for name, cost in costs.items()]
    return Report([Table("Costs on PostgreSQL", head, rows, note), _by_table(costs[_SEVEN], costs[_OURS])])


def _by_table(floor: _Cost, ours: _Cost) -> Table:
    columns = (floor.tables, floor.indices, ours.tables, ours.indices)
    names = sorted(name for name in ours.tables if any(column.get(name) for column in columns))
    rows = [(name, *(f"{column.get(name, 0):,.0f}" for column in columns)) for name in names]
    rows.append(("all", *(f"{sum(column.values()):,.0f}" for column in columns)))
    head = ("", "by hand, table", "by hand, indices", "ours, table", "ours, indices")
    note = (
        "Bytes per transition, in seven trips and by one sender. Old rows of an entity are pruned within their pages."
    )
    return Table("Where the bytes go on PostgreSQL", head, rows, note)


def _by_hand(server: Server, events: int) -> dict[str, _Cost]:
    address = server.database("costs_by_hand")
    ways: dict[str, Callable[[PsycopgLoops, int], Run]] = {
        _SEVEN: PsycopgLoops.seven_trips,
        "by hand, two trips": PsycopgLoops.two_trips,
        "by hand, batches of 100": lambda loops, number: loops.batches(number, BATCH),
    }
    with closing(FloorTables(address, 10 * events)) as tables:

        def opening(way: Callable[[PsycopgLoops, int], Run]) -> Callable[[str], _Driver]:
            return lambda through: _ByHand(tables, through, way)

        return {name: _cost(server, address, opening(way), events, others=1) for name, way in ways.items()}


def _by_us(server: Server, events: int) -> dict[str, _Cost]:
    address = server.database("costs_by_us")
    with closing(Ours(address)) as creator:
        names = creator.created(2 * (events + _WARM))

    def opening(*, in_batches: bool) -> Callable[[str], _Driver]:
        return lambda through: _ByUs(names, through, in_batches=in_batches)

    return {
        name: _cost(server, address, opening(in_batches=in_batches), events, others=0)
        for name, in_batches in ((_OURS, False), ("ours, send_many of 100", True))
    }


def _cost(server: Server, address: str, opens: Callable[[str], _Driver], events: int, others: int) -> _Cost:
    """Drive a contestant over a wire that counts, and see what the server has written in between.

    Args:
        server: the server.
        address: of the database.
        opens: opens the contestant, at the wire's address.
        events: how many transitions.
        others: how many connections to the database stay open.
    """
    folder = server.folder / f"wire{time.monotonic_ns()}"
    with closing(psycopg.connect(address, autocommit=True)) as admin, closing(Wire(address, folder)) as wire:
        flushes = _flushes(admin, others)
        driver = opens(wire.address)
        driver.drive(_WARM)
        before, trips, statements = _state(admin), wire.trips, wire.statements
        driver.drive(events)
        after, trips, statements = _state(admin), wire.trips - trips, wire.statements - statements
        driver.close()
        flushes = _flushes(admin, others) - flushes
    return _Cost(
        trips / events,
        statements / events,
        flushes / (events + _WARM),
        (after.wal - before.wal) / events,
        _growth(before.tables, after.tables, events),
        _growth(before.indices, after.indices, events),
    )


def _growth(before: Mapping[str, int], after: Mapping[str, int], events: int) -> dict[str, float]:
    return {name.removeprefix("floor_"): (size - before.get(name, 0)) / events for name, size in after.items()}


_SIZES = b"""
SELECT coalesce(pg_partition_root(c.oid), c.oid)::regclass::text, sum(pg_relation_size(c.oid))::bigint,
    sum(pg_indexes_size(c.oid))::bigint
FROM pg_class c WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' GROUP BY 1
"""


def _state(admin: psycopg.Connection[Any]) -> _State:
    wal: int = _value(admin, "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint")
    rows: list[Any] = admin.execute(_SIZES).fetchall()
    return _State(wal, {name: size for name, size, _ in rows}, {name: size for name, _, size in rows})


def _flushes(admin: psycopg.Connection[Any], others: int) -> int:
    """How often the WAL was flushed. A connection tells the last of it when it ends, so their end is waited for."""
    while _value(admin, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()") > 1 + others:
        time.sleep(0.01)
    return int(_value(admin, "SELECT sum(fsyncs)::bigint FROM pg_stat_io WHERE object = 'wal'"))


def _value(admin: psycopg.Connection[Any], query: str) -> Any:
    [value] = admin.execute(query.encode()).fetchone() or (None,)
    return value
