"""How large SQLite's WAL grows while others read: it can begin anew only when no reader is left in it."""

from __future__ import annotations

import multiprocessing
import sqlite3
from collections.abc import Generator, Sequence
from contextlib import ExitStack, closing, contextmanager
from multiprocessing.synchronize import Barrier, Event
from pathlib import Path
from statistics import median

from bench.ledger.databases import open_sqlite
from bench.ledger.ours import Ours
from bench.measure import Effort
from bench.report import Report, Table

__all__ = ["measure_wal"]

_EVENTS = 1500
_SAMPLE = 20
"""Events from one look at the file to the next."""
_CASES = {
    "no reader": (0, 0.0),
    "one reader, back to back": (1, 0.005),
    "two readers, back to back": (2, 0.005),
    "one reader, open throughout": (1, 3600.0),
}
"""How many readers, and for how many seconds each keeps a transaction open."""


def measure_wal(effort: Effort) -> Report:
    """One sender, each case in a file of its own, in turns."""
    events = max(_SAMPLE, effort.times(_EVENTS))
    rates: dict[str, list[float]] = {name: [] for name in _CASES}
    sizes: dict[str, list[int]] = {name: [] for name in _CASES}
    for _ in range(max(1, effort.rounds // 4)):
        for name, (readers, open_s) in _CASES.items():
            rate, size = _send_beside(readers, open_s, events)
            rates[name].append(rate)
            sizes[name].append(size)
    alone = rates["no reader"]
    rows: list[Sequence[str]] = [
        (
            name, f"{median(rates[name]):,.0f}", f"{median(map(_ratio, rates[name], alone)):.2f}",
            f"{max(sizes[name]) / 1e6:,.1f}",
        )
        for name in _CASES
    ]  # fmt: skip
    note = (
        f"One sender of {events:,} events; readers are processes that keep each transaction open for 5 ms and begin "
        "the next at once. The WAL is begun anew after 1,000 pages (4 MB) if no reader is in it; beyond "
        "64 MB the ledger waits a moment for readers, and begins it anew."
    )
    return Report(
        [Table("SQLite's WAL beside readers", ("", "transitions/s", "x no reader", "WAL at most, MB"), rows, note)]
    )


def _ratio(own: float, beside: float) -> float:
    return own / beside


def _send_beside(readers: int, open_s: float, events: int) -> tuple[float, int]:
    """Transitions per second, and how many bytes the WAL had at most."""
    with open_sqlite() as (path, _), closing(Ours(f"sqlite:///{path}")) as ours:
        names = ours.created(events)
        with closing(sqlite3.connect(path)) as other:  # one that was open before the file was filled would wait here
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        largest = taken = 0
        with _reading(path, readers, open_s):
            for first in range(0, events, _SAMPLE):
                taken += ours.send_each(names[first : first + _SAMPLE])
                largest = max(largest, Path(f"{path}-wal").stat().st_size)
        return events * 1e9 / taken, largest


@contextmanager
def _reading(path: str, readers: int, open_s: float) -> Generator[None]:
    """Readers of that file, each in a transaction by the time the block begins."""
    context = multiprocessing.get_context("spawn")
    ready, over = context.Barrier(readers + 1), context.Event()
    with ExitStack() as stack:
        for _ in range(readers):
            process = context.Process(target=_read, args=(path, open_s, ready, over), daemon=True)
            process.start()
            stack.callback(process.join)
        stack.callback(over.set)
        ready.wait()
        yield


def _read(path: str, open_s: float, ready: Barrier, over: Event) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        is_first = True
        while not over.is_set():
            connection.execute("BEGIN")
            connection.execute("SELECT kind, id, state FROM entity LIMIT 100").fetchall()
            if is_first:
                ready.wait()
            is_first = False
            over.wait(open_s)
            connection.execute("COMMIT")
