"""What a transition costs on SQLite besides time: statements, pages and bytes written, ours beside those by hand."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from bench.ledger.databases import open_sqlite
from bench.ledger.ours import BATCH, Ours
from bench.ledger.sqlite_loops import SqliteLoops
from bench.measure import Effort
from bench.report import Report, Table
from stateward.ledger.sqlite import SqliteLedger

__all__ = ["measure_costs_on_sqlite"]

_EVENTS = 2000
_HEAD = 32
_FRAME_HEAD = 24
"""Bytes before each page in the WAL, and before all of them."""


def measure_costs_on_sqlite(effort: Effort) -> Report:
    """Each contestant in a file of its own."""
    events = max(BATCH, effort.times(_EVENTS) // BATCH * BATCH)
    rows = [
        _by_hand("by hand, row by row", events, lambda loops, names: loops.send_each(names)),
        _by_hand("by hand, batches of 100", events, lambda loops, names: loops.send_batches(names, BATCH)),
        _by_us("ours, one sender", events, Ours.send_each),
        _by_us("ours, send_many of 100", events, Ours.send_batches),
    ]
    head = ("", "statements", "pages into the WAL", "WAL, bytes", "file, bytes")
    note = (
        "Per transition. Statements are counted with BEGIN and COMMIT, each row of a batch as one, triggers not. "
        "With synchronous=FULL each commit is one flush of the WAL. A page that was changed goes into the WAL whole."
    )
    return Report([Table("Costs on SQLite", head, rows, note)])


def _by_hand(name: str, events: int, send: Callable[[SqliteLoops, list[str]], object]) -> Sequence[str]:
    with open_sqlite() as (path, connection):
        loops = SqliteLoops(connection)
        names = loops.created(events)
        return _row(name, path, connection, events, lambda: send(loops, names))


def _by_us(name: str, events: int, send: Callable[[Ours, list[str]], object]) -> Sequence[str]:
    with open_sqlite() as (path, _):
        ledger = SqliteLedger(path)
        with closing(Ours(ledger)) as ours:
            names = ours.created(events)
            with ledger.connection() as connection:  # the one that a single sender uses again and again
                pass
            return _row(name, path, connection, events, lambda: send(ours, names))


def _row(
    name: str, path: str, connection: sqlite3.Connection, events: int, send: Callable[[], object]
) -> Sequence[str]:
    """Count what a sender says on its connection, while a reader keeps the WAL from being begun anew."""
    said: list[str] = []
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        before = _file_bytes(reader)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        connection.set_trace_callback(said.append)
        send()
        connection.set_trace_callback(None)
        wal = Path(f"{path}-wal").stat().st_size - _HEAD
        reader.execute("COMMIT")
        after = _file_bytes(reader)
        [page] = reader.execute("PRAGMA page_size").fetchone()
    # A trigger tells the statement that set it off once more.
    statements = sum(1 for each, last in zip(said, ["", *said], strict=False) if each != last)
    frames = wal / (page + _FRAME_HEAD)
    return (
        name,
        *(f"{each / events:,.2f}" for each in (statements, frames)),
        *(f"{each / events:,.0f}" for each in (wal, after - before)),
    )


def _file_bytes(connection: sqlite3.Connection) -> int:
    """Bytes of the pages in use, once the WAL is empty."""
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    figures = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count"))
    pages, free = figures
    return (pages - free) * int(connection.execute("PRAGMA page_size").fetchone()[0])
