"""Two processes of eight threads that send to the same four entities, beside the same to entities of their own."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count, cycle, islice
from statistics import median
from typing import Any

from bench.ledger.databases import Server, open_sqlite
from bench.ledger.order import Tally, TallyLifecycle, Tick
from bench.ledger.ours import in_threads
from bench.measure import Effort
from bench.report import Report, Table
from stateward.engine import Engine
from stateward.errors import LedgerUnavailable

__all__ = ["measure_hot_on_postgres", "measure_hot_on_sqlite"]

_PROCESSES = 2
_THREADS = 8
_HOT = 4
_EVENTS = 1600
_HEAD = ("", "transitions/s", "x distinct", "p50, ms", "p99, ms", "slowest, ms", "given up")


@dataclass
class _Sent:
    """What a process has sent in one go; times of a clock that all processes share."""

    began_ns: int
    ended_ns: int
    latencies_ms: list[float]
    given_up: int


@dataclass
class _Found:
    rates: list[float] = field(default_factory=list[float])
    latencies_ms: list[float] = field(default_factory=list[float])
    given_up: int = 0

    def add(self, sent: Sequence[_Sent]) -> None:
        done = sum(len(each.latencies_ms) for each in sent)
        began, ended = min(each.began_ns for each in sent), max(each.ended_ns for each in sent)
        self.rates.append(done * 1e9 / (ended - began))
        for each in sent:
            self.latencies_ms += each.latencies_ms
            self.given_up += each.given_up

    def row(self, name: str, ratio: float) -> Sequence[str]:
        sorted_ms = sorted(self.latencies_ms)
        points = (sorted_ms[int(share * (len(sorted_ms) - 1))] for share in (0.5, 0.99, 1))
        return (
            name, f"{median(self.rates):,.0f}", f"{ratio:.2f}", *(f"{point:,.1f}" for point in points),
            f"{self.given_up:,}",
        )  # fmt: skip


def measure_hot_on_postgres(server: Server, effort: Effort) -> Report:
    return Report([_measure(server.database("hot"), "PostgreSQL", effort)])


def measure_hot_on_sqlite(effort: Effort) -> Report:
    with open_sqlite() as (path, _):
        return Report([_measure(f"sqlite:///{path}", "SQLite", effort)])


def _measure(address: str, where: str, effort: Effort) -> Table:
    each = max(2, effort.times(_EVENTS) // (_PROCESSES * _THREADS))
    callers = range(_PROCESSES * _THREADS)
    hot = [f"hot{n}" for n in range(_HOT)]
    # Each caller goes around the entities from one of its own on.
    meeting = [hot[caller % _HOT :] + hot[: caller % _HOT] for caller in callers]
    apart = [[f"own{caller}-{n}" for n in range(_HOT)] for caller in callers]
    with Engine(address, lifecycles=[TallyLifecycle]) as engine:
        for name in (*hot, *(name for names in apart for name in names)):
            engine.create(TallyLifecycle, name, Tally(), actor="bench:1")
    distinct, same = _Found(), _Found()
    with _processes(address) as pipes:
        for number in range(1 + max(1, (effort.rounds + 1) // 2)):
            for found, names in ((distinct, apart), (same, meeting)):
                sent = _send_all(pipes, names, each)
                if number:
                    found.add(sent)
    ratio = median([ours / beside for ours, beside in zip(same.rates, distinct.rates, strict=True)])
    rows = [distinct.row("distinct entities", 1.0), same.row(f"the same {_HOT} entities", ratio)]
    note = (
        f"{_PROCESSES} processes of {_THREADS} threads, each sending its next event when the last is answered, with a "
        f"key. Latencies are of all rounds together. Given up: LedgerUnavailable, the entity being held by others."
    )
    return Table(f"Two processes at the same entities, {where}", _HEAD, rows, note)


def _send_all(pipes: Sequence[Any], names: Sequence[list[str]], each: int) -> list[_Sent]:
    for number, pipe in enumerate(pipes):
        pipe.send((names[number::_PROCESSES], each))
    return [pipe.recv() for pipe in pipes]


@contextmanager
def _processes(address: str) -> Generator[list[Any]]:
    """Processes with an engine each, told by a pipe whom to send to."""
    context = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        pipes: list[Any] = []
        for number in range(_PROCESSES):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(address, number, theirs), daemon=True)
            process.start()
            stack.callback(process.join)
            stack.callback(ours.send, None)
            pipes.append(ours)
        for pipe in pipes:
            pipe.recv()
        yield pipes


def _serve(address: str, number: int, pipe: Any) -> None:
    with Engine(address, lifecycles=[TallyLifecycle]) as engine:
        pipe.send(None)
        for go in count():
            told = pipe.recv()
            if told is None:
                return
            pipe.send(_send(engine, f"{number}-{go}", *told))


def _send(engine: Engine, go: str, names: Sequence[list[str]], each: int) -> _Sent:
    """Each thread goes around its entities, and takes the time of each send."""
    sent = _Sent(time.perf_counter_ns(), 0, [], 0)

    def work(part: tuple[int, list[str]]) -> None:
        thread, own = part
        for n, name in enumerate(islice(cycle(own), each)):
            began = time.perf_counter_ns()
            try:
                engine.send(TallyLifecycle, name, Tick(), actor="bench:1", key=f"{go}-{thread}-{n}")
            except LedgerUnavailable:
                sent.given_up += 1
            else:
                sent.latencies_ms.append((time.perf_counter_ns() - began) / 1e6)

    in_threads(list(enumerate(names)), work)
    sent.ended_ns = time.perf_counter_ns()
    return sent
