"""The job, what is asked of who does it, and how it is measured.

A job does nothing but note that it was started: what is measured is what a queue adds to it. It is durable: once it is
enqueued it is done, at least once, whatever process dies; and that it was done is kept before it counts as done.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from statistics import median, quantiles
from threading import Lock
from typing import Literal, Protocol

__all__ = ["WAIT_S", "Drained", "Jobs", "Paced", "StartLog", "drain", "pace", "percentiles"]

WAIT_S = 120.0
_POLL_S = 0.01


class Jobs(Protocol):
    """Who takes jobs and does them: prepared on a database when it is made."""

    def enqueue(self, queue: str, names: Sequence[str]) -> None:
        """Enqueue jobs, as fast as its own calls do it; durable when it returns."""
        ...

    def enqueue_one(self, queue: str, name: str) -> None:
        """Enqueue a job; durable when it returns."""
        ...

    def working(self, queue: str) -> AbstractContextManager[None]:
        """Do the jobs of a queue in the background for as long as the block runs."""
        ...

    def count_done(self, queue: str) -> int:
        """How many jobs of a queue are kept as done."""
        ...

    @property
    def log(self) -> StartLog:
        """Where its jobs note that they were started."""
        ...


@dataclass
class StartLog:
    """When jobs were started, by the clock of `time.perf_counter`."""

    times: dict[str, float] = field(default_factory=dict[str, float])
    repetitions: int = 0
    _lock: Lock = field(default_factory=Lock)

    def note(self, name: str) -> None:
        """All that a job does."""
        now = time.perf_counter()
        with self._lock:
            if name in self.times:
                self.repetitions += 1
            else:
                self.times[name] = now


@dataclass(frozen=True)
class Drained:
    """What came of a backlog."""

    enqueued_per_s: float
    done_per_s: float
    """From the start of the first job until the last is kept as done."""
    p50_ms: float
    """From before the enqueuing of all until a job's start."""
    p99_ms: float

    @staticmethod
    def median(of: Sequence[Drained], what: Literal["enqueued_per_s", "done_per_s", "p50_ms", "p99_ms"]) -> float:
        """The median of several."""
        return median(float(getattr(each, what)) for each in of)


@dataclass(frozen=True)
class Paced:
    """How long it takes from before the enqueuing of a job until its start."""

    p50_ms: float
    p99_ms: float


def drain(jobs: Jobs, queue: str, count: int) -> Drained:
    """Enqueue so many jobs, then let workers do them.

    Raises:
        RuntimeError: they were not all done in time, or one was done twice.
    """
    names = [f"{queue}:{n}" for n in range(count)]
    began = time.perf_counter()
    jobs.enqueue(queue, names)
    enqueued = time.perf_counter()
    with jobs.working(queue):
        ended = _wait_done(jobs, queue, count)
    starts = _starts(jobs, names)
    p50, p99 = percentiles([start - began for start in starts])
    return Drained(count / (enqueued - began), count / (ended - min(starts)), p50, p99)


def pace(jobs: Jobs, queue: str, count: int, per_second: float) -> Paced:
    """Enqueue jobs one at a time, at a steady pace, while workers wait for them.

    Raises:
        RuntimeError: they were not all done in time, or one was done twice.
    """
    names = [f"{queue}:{n}" for n in range(count)]
    asked: list[float] = []
    with jobs.working(queue):
        jobs.enqueue_one(queue, f"{queue}:first")
        _wait_done(jobs, queue, 1)
        due = time.perf_counter()
        for name in names:
            due += 1 / per_second
            time.sleep(max(0.0, due - time.perf_counter()))
            asked.append(time.perf_counter())
            jobs.enqueue_one(queue, name)
        _wait_done(jobs, queue, count + 1)
    starts = _starts(jobs, names)
    return Paced(*percentiles([start - before for start, before in zip(starts, asked, strict=True)]))


def _wait_done(jobs: Jobs, queue: str, count: int) -> float:
    """The time when the last was kept as done, give or take a look."""
    until = time.perf_counter() + WAIT_S
    while jobs.count_done(queue) < count:
        if time.perf_counter() > until:
            message = f"{type(jobs).__name__}: of {count} jobs {jobs.count_done(queue)} are done after {WAIT_S:g} s"
            raise RuntimeError(message)
        time.sleep(_POLL_S)
    return time.perf_counter()


def _starts(jobs: Jobs, names: Sequence[str]) -> list[float]:
    if jobs.log.repetitions:
        message = f"{type(jobs).__name__}: {jobs.log.repetitions} jobs were done twice, though nothing failed"
        raise RuntimeError(message)
    return [jobs.log.times[name] for name in names]


def percentiles(seconds: Sequence[float]) -> tuple[float, float]:
    """The 50th and 99th, in milliseconds."""
    if len(seconds) < 2:
        return seconds[0] * 1000, seconds[0] * 1000
    of_hundred = quantiles(seconds, n=100, method="inclusive")
    return of_hundred[49] * 1000, of_hundred[98] * 1000
