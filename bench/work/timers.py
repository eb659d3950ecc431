"""A million timers that are due at once: how fast they fire, and whether it stays as fast.

Entities and timers are made by SQL, from the rows that the engine itself wrote for one entity; only ids, parts and
times differ (a part is the number modulo 64, which nothing here reads). They were due over the hour before. A worker
in a process of its own fires them; the transition asks for nothing.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any

from bench.ledger.databases import Server
from bench.measure import Effort
from bench.report import Report, Table
from bench.work.databases import Database, open_database
from bench.work.lifecycles import Reminder, ReminderLifecycle
from bench.work.processes import Elsewhere
from stateward.chart import chart_of
from stateward.engine import Engine
from stateward.ledger import open_ledger
from stateward.ledger.after_commit import FetchTimers
from stateward.ledger.contract import Trip, Trips
from stateward.ledger.ids import PARTS
from stateward.ledger.rows import EntityRow, TimerRow
from stateward.work.timers import FIRE_MAX

__all__ = ["Firing", "measure_timers"]

_TIMERS = 1_000_000
_TIMERS_MIN = 20_000
_FETCHES = 9
_LOOK_S = 0.02
_TEMPLATE = "template"
_SPAN_US = 3_600_000_000
_SERIES = {
    "PostgreSQL": "WITH series AS (SELECT n FROM generate_series(1::bigint, {count}) AS n)",
    "SQLite": "WITH RECURSIVE series (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM series WHERE n < {count})",
}
_NAME = {"PostgreSQL": "'reminder-' || lpad(n::text, 9, '0')", "SQLite": "printf('reminder-%09d', n)"}
_MOMENT = {"PostgreSQL": "stateward_time({micros})", "SQLite": "{micros}"}


class Firing:
    """A worker that fires what is due, and looks how far it has come."""

    def __init__(self, address: str) -> None:
        """Open its engine."""
        self._engine = Engine(address, lifecycles=[ReminderLifecycle])

    def fire(self, count: int) -> tuple[list[tuple[float, int]], int, int]:
        """Fire so many; when how many had fired, in seconds since the start; memory at most, in bytes, before, after.

        Raises:
            RuntimeError: one was refused, or not found.
        """
        before = _memory_max()
        began = time.perf_counter()
        seen = [(0.0, 0)]
        self._engine.start()
        while seen[-1][1] < count:
            time.sleep(_LOOK_S)
            worker = self._engine.statistics().worker
            if worker is None or worker.timers.refused + worker.timers.expired + worker.timers.failed:
                message = f"not all have fired: {worker}"
                raise RuntimeError(message)
            seen.append((time.perf_counter() - began, worker.timers.fired))
        self._engine.stop()
        return seen, before, _memory_max()

    def close(self) -> None:
        self._engine.close()


def measure_timers(server: Server, effort: Effort) -> Report:
    """On both databases."""
    # Quick is for seeing that it works.
    count = max(_TIMERS_MIN, round(_TIMERS * effort.scale**2))
    rows = [_measure(where, count) for where in (server, None)]
    note = (
        f"A worker in a process of its own, {FIRE_MAX} in each batch, each an event with its record. A fetch is that "
        f"of a batch while all are due, the median of {_FETCHES}. Memory is what the process has had at most."
    )
    head = ("", "fired/s", "first tenth", "last tenth", "last x first", "a fetch, ms", "MB before", "MB after")
    return Report([Table(f"{count:,} timers due at once", head, rows, note)])


def _measure(server: Server | None, count: int) -> Sequence[str]:
    with open_database(server, "timers") as database:
        _fill(database, count)
        fetch_ms = _fetch_ms(database)
        with closing(Elsewhere(Firing, database.address)) as firing:
            seen, before, after = firing.call("fire", count)
        if database.number("SELECT count(*) FROM timer"):
            message = "there are timers that have not fired"
            raise RuntimeError(message)
        name = database.name
    first, last = _rate(seen, 0, count // 10), _rate(seen, count - count // 10, count)
    return (
        name, f"{count / seen[-1][0]:,.0f}", f"{first:,.0f}", f"{last:,.0f}", f"{last / first:.2f}", f"{fetch_ms:.2f}",
        f"{before / 1e6:,.0f}", f"{after / 1e6:,.0f}",
    )  # fmt: skip


def _rate(seen: Sequence[tuple[float, int]], first: int, last: int) -> float:
    """Per second, between the looks at which so many had fired."""
    (began, before), (ended, after) = (next(each for each in seen if each[1] >= goal) for goal in (first, last))
    return (after - before) / (ended - began)


def _fetch_ms(database: Database) -> float:
    operation = FetchTimers(
        parts=tuple(range(PARTS)), kinds=(chart_of(ReminderLifecycle).kind,), now=time.time_ns() // 1000,
        limit=FIRE_MAX, limit_of_part=max(FIRE_MAX // PARTS, 16),
    )  # fmt: skip

    def fetch() -> Trips[list[TimerRow]]:
        [rows] = yield Trip((operation,))
        return list(rows)

    taken: list[float] = []
    with closing(open_ledger(database.address)) as ledger:
        for _ in range(_FETCHES):
            began = time.perf_counter()
            found = len(ledger.run(fetch()))
            taken.append(time.perf_counter() - began)
            if found != FIRE_MAX:
                message = f"a fetch has found {found} timers"
                raise RuntimeError(message)
    return median(taken) * 1000


def _fill(database: Database, count: int) -> None:
    with Engine(database.address, lifecycles=[ReminderLifecycle]) as engine:
        engine.create(ReminderLifecycle, _TEMPLATE, Reminder(), actor="bench:1")
    began = time.time_ns() // 1000 - _SPAN_US
    series = _SERIES[database.name].format(count=count)
    due = _MOMENT[database.name].format(micros=f"({began} + n * {_SPAN_US // count})")
    own = {"part": f"n % {PARTS}", "due_at": due, "id": _NAME[database.name], "entity": _NAME[database.name]}
    tables: Sequence[tuple[str, tuple[str, ...], str]] = (
        ("entity", EntityRow._fields, "id"),
        ("timer", TimerRow._fields, "entity"),
    )
    for table, fields, key in tables:
        columns = ", ".join(own.get(field, f"t.{field}") for field in fields)
        # The template is read first: SQLite would see the rows that it writes.
        database.execute(f"CREATE TEMPORARY TABLE t_{table} AS SELECT * FROM {table} WHERE {key} = '{_TEMPLATE}'")
        database.execute(f"{series} INSERT INTO {table} SELECT {columns} FROM t_{table} t, series")
    database.execute(f"DELETE FROM timer WHERE entity = '{_TEMPLATE}'")
    database.execute(f"UPDATE census SET count = count + {count}")
    database.execute("VACUUM ANALYZE" if database.name == "PostgreSQL" else "ANALYZE")


def _memory_max() -> int:
    """What this process has had at most, in bytes; `ru_maxrss` would hold what its parent had when it started it."""
    status: Any = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) * 1024
