"""Effects per second through handlers that do nothing, beside the commits by which they were asked for.

In each turn tasks are prepared, their events are sent by `send_many` and some one by one, and what they have asked for
is done then, by a worker that begins when all is there. So each rate of effects has two rates of commits beside it,
of the same moment on the same database, by the same engine.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from bench.ledger.databases import Server
from bench.measure import Effort
from bench.report import Report, Table
from bench.work.databases import Database, open_database
from bench.work.lifecycles import (
    BATCH,
    HANDLER_FORMS,
    LIFECYCLES,
    Begin,
    RepliedLifecycle,
    TaskLifecycle,
    begin_all,
    create_tasks,
)
from bench.work.processes import Elsewhere
from bench.work.workers import WAIT_S, Working, wait_done
from stateward.engine import Engine

__all__ = ["measure_effects"]

_EFFECTS = 2000
_SINGLES = 200
_ROUNDS = 3
_HEAD = ("", "effects/s", "send_many/s", "x send_many", "sends/s", "x sends")
_NOTE = (
    f"Medians of rounds in turns. Beside each: `send_many` of {BATCH} and single sends by one thread, of the events "
    "that ask for these very effects, just before. Without a reply an effect is a row that is deleted; with one it is "
    "a transition of its own. Time runs from the worker's start until the last effect is done."
)
_TELL = "NOTIFY stateward_work"


@dataclass
class _Found:
    effects: list[float] = field(default_factory=list[float])
    batches: list[float] = field(default_factory=list[float])
    singles: list[float] = field(default_factory=list[float])

    def row(self, name: str) -> Sequence[str]:
        return (
            name, f"{median(self.effects):,.0f}", f"{median(self.batches):,.0f}",
            f"{_ratio(self.effects, self.batches):.2f}", f"{median(self.singles):,.0f}",
            f"{_ratio(self.effects, self.singles):.2f}",
        )  # fmt: skip


def _ratio(ones: Sequence[float], others: Sequence[float]) -> float:
    return median([one / other for one, other in zip(ones, others, strict=True)])


def measure_effects(server: Server, effort: Effort) -> Report:
    """One worker in this process, on both databases; and processes of their own on PostgreSQL."""
    tables: list[Table] = []
    for where in (server, None):
        with open_database(where, "effects") as database, _inside(database) as contestants:
            tables.append(_contest(f"Effects of a worker on {database.name}", contestants, effort, _NOTE))
    with ExitStack() as stack:
        contestants = {}
        for number in (1, 2):
            database = stack.enter_context(open_database(server, f"effects_{number}"))
            contestants |= stack.enter_context(_outside(database, number))
        note = (
            "As above, but the effects wait, paused, until the workers are told that they may begin: they have their "
            "parts by then. Handlers are functions. Two workers, the server and nothing else share two cores."
        )
        tables.append(_contest("Effects of workers in processes of their own on PostgreSQL", contestants, effort, note))
    return Report(tables)


_Turn = Callable[[str, int, int], tuple[float, float, float]]
"""Of names that begin so, this many sent by `send_many` and this many one by one: effects and commits per second."""


def _contest(title: str, contestants: dict[str, _Turn], effort: Effort, note: str) -> Table:
    found = {name: _Found() for name in contestants}
    many, few = effort.times(_EFFECTS), effort.times(_SINGLES)
    for number in range(min(effort.rounds, _ROUNDS) + 1):  # the first does not count
        for place, (name, turn) in enumerate(contestants.items()):
            gc.collect()
            effects, batches, singles = turn(f"{place}-{number}-", many, few)
            if number:
                found[name].effects.append(effects)
                found[name].batches.append(batches)
                found[name].singles.append(singles)
    return Table(title, _HEAD, [each.row(name) for name, each in found.items()], note)


def _send(engine: Engine, lifecycle: type[Any], names: Sequence[str], few: int) -> tuple[float, float]:
    """Create tasks and send each its event, the last few one by one; sends per second, in batches and single."""
    create_tasks(engine, lifecycle, names)
    began = time.perf_counter()
    begin_all(engine, lifecycle, names[:-few])
    between = time.perf_counter()
    for name in names[-few:]:
        engine.send(lifecycle, name, Begin(), actor="bench:1", key="begin")
    ended = time.perf_counter()
    return (len(names) - few) / (between - began), few / (ended - between)


@contextmanager
def _inside(database: Database) -> Any:
    """Workers of this process, one at a time."""

    def turn_of(working: Working, lifecycle: type[Any]) -> _Turn:
        def turn(prefix: str, many: int, few: int) -> tuple[float, float, float]:
            names = [f"{prefix}{n}" for n in range(many + few)]
            batches, singles = _send(working.engine, lifecycle, names, few)
            before = working.done()
            began = time.perf_counter_ns()
            working.start()
            ended = wait_done(lambda: working.done() - before, len(names))
            working.stop()
            return len(names) * 1e9 / (ended - began), batches, singles

        return turn

    with ExitStack() as stack:
        turns: dict[str, _Turn] = {}
        for form in HANDLER_FORMS:
            working = stack.enter_context(closing(Working(database.address, form)))
            turns[f"{form}, no reply"] = turn_of(working, TaskLifecycle)
            turns[f"{form}, a reply"] = turn_of(working, RepliedLifecycle)
        yield turns


@contextmanager
def _outside(database: Database, processes: int) -> Any:
    """Workers of processes of their own, which are there throughout and listen."""
    with ExitStack() as stack:
        engine = stack.enter_context(Engine(database.address, lifecycles=LIFECYCLES))
        workers = [
            stack.enter_context(closing(Elsewhere(Working, database.address, "function", True)))
            for _ in range(processes)
        ]
        for each in workers:
            each.call("start")
        _wait_for_shares(workers)

        def turn_of(lifecycle: type[Any], effect: str) -> _Turn:
            def turn(prefix: str, many: int, few: int) -> tuple[float, float, float]:
                names = [f"{prefix}{n}" for n in range(many + few)]
                before = _done(workers)
                engine.pause(effect=effect, reason="until all is there", actor="bench:1")
                batches, singles = _send(engine, lifecycle, names, few)
                began = time.perf_counter_ns()
                engine.resume(effect=effect, actor="bench:1")
                database.execute(_TELL)
                ended = wait_done(lambda: _done(workers) - before, len(names))
                return len(names) * 1e9 / (ended - began), batches, singles

            return turn

        name = f"{processes} worker{'s' * (processes > 1)}"
        yield {
            f"{name}, no reply": turn_of(TaskLifecycle, "Work"),
            f"{name}, a reply": turn_of(RepliedLifecycle, "Ask"),
        }


def _done(workers: Sequence[Elsewhere]) -> int:
    return sum(each.call("done") for each in workers)


def _wait_for_shares(workers: Sequence[Elsewhere]) -> None:
    """Until each has its share of the parts: the first has them all until its next beat."""
    until = time.perf_counter() + WAIT_S
    while True:
        parts = [each.call("parts") for each in workers]
        if max(parts) - min(parts) <= 1:
            return
        if time.perf_counter() > until:
            message = f"the workers have {parts} parts"
            raise RuntimeError(message)
        time.sleep(0.05)
