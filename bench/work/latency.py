"""How long it takes from a commit until the handler of what it asked for begins.

Measured from when the sender has its answer, which is a moment after the commit: a worker of the same process may be
quicker than that, and then the figure is negative. Processes of one machine share the clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from bench.ledger.databases import Server
from bench.measure import Effort
from bench.report import Report, Table
from bench.work.databases import open_database
from bench.work.job import percentiles
from bench.work.lifecycles import LIFECYCLES, Begin, TaskLifecycle, begin_all, check_all, create_tasks
from bench.work.processes import Elsewhere
from bench.work.workers import Working, wait_done
from stateward.engine import Engine, Sending

__all__ = ["measure_latency"]

_PACED, _PER_SECOND = 100, 50.0
_RARE, _RARELY_PER_SECOND = 12, 2.0
_STEADY, _STEADY_BATCH = 50, 20
_BACKLOG = 4000
_RARE_MIN = 4
_HEAD = ("", "the send, p50 ms", "to the handler, p50 ms", "p99 ms", "effects")
_SETTLE_S = 0.5
"""A worker that is to be idle has had its parts for so long."""


@dataclass(frozen=True)
class _Load:
    name: str
    per_second: float
    """How often it is sent."""
    events: int
    """What is sent each time: one, or a batch by `send_many`."""
    goes: int
    backlog: int = 0
    """Effects that are there when the worker begins; it is sent for as long as it is at them."""


class _Worker(Protocol):
    """A worker as it is here, or in another process."""

    def start(self) -> object: ...
    def stop(self) -> object: ...
    def done(self) -> int: ...
    def starts(self) -> dict[int, int]: ...


class _There:
    """A worker in another process."""

    def __init__(self, elsewhere: Elsewhere) -> None:
        self._elsewhere = elsewhere

    def start(self) -> object:
        return self._elsewhere.call("start")

    def stop(self) -> object:
        return self._elsewhere.call("stop")

    def done(self) -> int:
        return int(self._elsewhere.call("done"))

    def starts(self) -> dict[int, int]:
        found: dict[int, int] = self._elsewhere.call("starts")
        return found


@dataclass(frozen=True)
class _Setup:
    """Who sends, and who works."""

    engine: Engine
    worker: _Worker


def measure_latency(server: Server, effort: Effort) -> Report:
    """On both databases: a worker of the same process, of another that polls, and on PostgreSQL of one that is told."""
    tables: list[Table] = []
    for where in (server, None):
        rows: list[Sequence[str]] = []
        for setup, opening in _setups(where).items():
            with opening() as found:
                rows += [_row(f"{setup}: {load.name}", _measure(found, load)) for load in _loads(setup, effort)]
        name = "SQLite" if where is None else "PostgreSQL"
        note = (
            "Rare, paced: one thread sends one event at a time, and the worker is idle. Steady: batches of "
            f"{_STEADY_BATCH} by `send_many`, {_PER_SECOND:g} a second. Backlog: {effort.times(_BACKLOG):,} effects of "
            "others are there when the worker begins, and one event at a time is sent while it is at them. Handlers "
            "are functions. The time is from the sender's answer to the handler's start."
        )
        tables.append(Table(f"From committed to handled on {name}", _HEAD, rows, note))
    return Report(tables)


def _loads(setup: str, effort: Effort) -> list[_Load]:
    loads = [
        _Load(f"paced, {_PER_SECOND:g}/s", _PER_SECOND, 1, effort.times(_PACED)),
        _Load(f"steady, {_PER_SECOND * _STEADY_BATCH:,.0f}/s", _PER_SECOND, _STEADY_BATCH, effort.times(_STEADY)),
        _Load("backlog", _PER_SECOND, 1, 100_000, effort.times(_BACKLOG)),
    ]
    if setup != "same process":  # which is woken, however long it has slept
        loads.insert(
            0,
            _Load(
                f"rare, {_RARELY_PER_SECOND:g}/s", _RARELY_PER_SECOND, 1, max(_RARE_MIN, effort.times(_RARE))
            ),
        )  # fmt: skip
    return loads


def _setups(server: Server | None) -> dict[str, Callable[[], Any]]:
    """By name: what opens each, on a database of its own."""

    @contextmanager
    def same() -> Generator[_Setup]:
        with open_database(server, "latency_same") as database:
            working = Working(database.address, notes=True)
            with closing(working):
                yield _Setup(working.engine, working)

    @contextmanager
    def another(listens: bool) -> Generator[_Setup]:
        with ExitStack() as stack:
            database = stack.enter_context(open_database(server, f"latency_{'told' if listens else 'polls'}"))
            engine = stack.enter_context(Engine(database.address, lifecycles=LIFECYCLES, notify=listens))
            elsewhere = stack.enter_context(
                closing(Elsewhere(Working, database.address, "function", listens, True))
            )  # fmt: skip
            yield _Setup(engine, _There(elsewhere))

    found: dict[str, Callable[[], Any]] = {"same process": same, "another, polls": lambda: another(listens=False)}
    if server is not None:
        found["another, told"] = lambda: another(listens=True)
    return found


def _measure(setup: _Setup, load: _Load) -> tuple[list[float], list[float]]:
    """How long each send took, and from there to the start of each effect's handler; in seconds."""
    prefix = f"{time.time_ns()}-"
    if load.backlog:
        waiting = [f"{prefix}backlog-{n}" for n in range(load.backlog)]
        create_tasks(setup.engine, TaskLifecycle, waiting)
        begin_all(setup.engine, TaskLifecycle, waiting)
    goes = load.goes if not load.backlog else load.backlog // 20
    names = [f"{prefix}{n}" for n in range(goes * load.events)]
    create_tasks(setup.engine, TaskLifecycle, names)
    setup.worker.start()
    if not load.backlog:
        time.sleep(_SETTLE_S)
    sends, answered = _send_paced(setup, load, names)
    wait_done(setup.worker.done, load.backlog + len(answered))
    setup.worker.stop()
    starts = setup.worker.starts()
    return sends, [(starts[n] - at) / 1e9 for n, at in answered.items()]


_FIRST = 1_000_000_000
"""The numbers of effects that are timed begin here; those of a backlog are smaller."""


def _send_paced(setup: _Setup, load: _Load, names: Sequence[str]) -> tuple[list[float], dict[int, int]]:
    sends: list[float] = []
    answered: dict[int, int] = {}
    due = time.perf_counter()
    for first in range(0, len(names), load.events):
        due += 1 / load.per_second
        time.sleep(max(0.0, due - time.perf_counter()))
        if load.backlog and first and setup.worker.done() >= load.backlog:
            break
        began = time.perf_counter_ns()
        _send(setup.engine, names[first : first + load.events], _FIRST + first)
        ended = time.perf_counter_ns()
        sends.append((ended - began) / 1e9)
        answered.update(dict.fromkeys(range(_FIRST + first, _FIRST + first + load.events), ended))
    return sends, answered


def _send(engine: Engine, names: Sequence[str], first: int) -> None:
    if len(names) == 1:
        engine.send(TaskLifecycle, names[0], Begin(n=first), actor="bench:1", key="begin")
        return
    sendings = [
        Sending(lifecycle=TaskLifecycle, entity=name, event=Begin(n=first + n), actor="bench:1", key="begin")
        for n, name in enumerate(names)
    ]
    check_all(engine.send_many(sendings))


def _row(name: str, found: tuple[list[float], list[float]]) -> Sequence[str]:
    sends, delays = found
    p50, p99 = percentiles(delays)
    return (name, f"{percentiles(sends)[0]:,.2f}", f"{p50:,.2f}", f"{p99:,.2f}", f"{len(delays):,}")
