"""Rounds and medians.

The machine that runs this is shared and noisy. So contestants take turns within each round, each beside a run
of the floor of its own; a figure is the median of its rounds, and a ratio is the median of the ratios of such
pairs: what slows one slows both. What has one thread is timed by the processor time of that thread, so that
being preempted counts for nobody. The garbage collector is emptied before each run and off while it is timed.
"""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

__all__ = ["Effort", "Figure", "Run", "bytes_each", "compare", "ns_per_event", "repeated", "timed"]

Run = Callable[[], tuple[int, int]]
"""Does some work; returns the nanoseconds that it took and the number of events in it."""


@dataclass(frozen=True)
class Effort:
    """How long a benchmark may take."""

    rounds: int = 9
    """Rounds that count, after one that does not."""
    scale: float = 1.0
    """What the numbers of instances and events are multiplied by."""

    def times(self, full: int) -> int:
        """A number of instances or events, scaled."""
        return max(1, round(full * self.scale))


@dataclass(frozen=True)
class Figure:
    """One contestant's result."""

    name: str
    ns: float
    """Median nanoseconds per event."""
    ratio: float
    """Median of the ratios to the floor, round by round."""


def compare(contestants: Mapping[str, Run], floor: str, rounds: int) -> dict[str, Figure]:
    """Let contestants take turns, and set each against a run of the floor just before it.

    Args:
        contestants: by name; each run makes its own fresh instances outside of what it times.
        floor: the name of the one that ratios are to.
        rounds: how many rounds count, after one that does not.
    """
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    ratios: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds + 1):
        for name, run in contestants.items():
            beside = ns_per_event(contestants[floor])
            own = beside if name == floor else ns_per_event(run)
            if number:
                taken[name].append(own)
                ratios[name].append(own / beside)
    return {name: Figure(name, median(taken[name]), median(ratios[name])) for name in contestants}


def ns_per_event(run: Run) -> float:
    """What a run took, the garbage collector emptied before it and off while it went."""
    gc.collect()
    gc.disable()
    try:
        ns, events = run()
    finally:
        gc.enable()
    return ns / events


def timed(make: Callable[[], Any], drive: Callable[[Sequence[Any]], object], instances: int, events: int) -> Run:
    """A run that makes fresh instances, then times how long it takes to drive them all.

    Args:
        make: makes one instance.
        drive: sends all events to each of them.
        instances: how many.
        events: how many events each is sent.
    """

    def run() -> tuple[int, int]:
        made = [make() for _ in range(instances)]
        began = time.thread_time_ns()
        drive(made)
        return time.thread_time_ns() - began, instances * events

    return run


def repeated(call: Callable[[], object], calls: int) -> Run:
    """A run that calls a function many times; the loop and the call of a lambda are in the figure."""

    def run() -> tuple[int, int]:
        began = time.thread_time_ns()
        for _ in range(calls):
            call()
        return time.thread_time_ns() - began, calls

    return run


def bytes_each(make: Callable[[], object], instances: int) -> float:
    """What an instance allocates and keeps, without what it shares with the others."""
    keep: list[object] = [make()] * instances
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for index in range(instances):
            keep[index] = make()
        gc.collect()
        return (tracemalloc.get_traced_memory()[0] - before) / instances
    finally:
        tracemalloc.stop()
