"""Rounds, medians and tables.

The machine that runs this is shared and noisy. So contestants take turns within each round, a figure is the
median of its rounds, and a ratio is the median of the ratios within a round: what slows one round slows both.
The garbage collector is off while a round is timed, for everybody.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

__all__ = ["Figure", "compare", "per_call_ns", "table"]

Run = Callable[[], tuple[int, int]]
"""Does some work; returns the nanoseconds that it took and the number of events in it."""


@dataclass(frozen=True)
class Figure:
    """One contestant's result."""

    name: str
    ns: float
    """Median nanoseconds per event."""
    ratio: float
    """Median of the ratios to the floor, round by round."""


def compare(contestants: Mapping[str, Run], floor: str, rounds: int) -> list[Figure]:
    """Let contestants take turns, and set each against the floor of the same round.

    Args:
        contestants: by name; each run makes its own fresh instances outside of what it times.
        floor: the name of the one that ratios are to.
        rounds: how many rounds count, after one that does not.
    """
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds + 1):
        for name, run in contestants.items():
            gc.collect()
            gc.disable()
            try:
                ns, events = run()
            finally:
                gc.enable()
            if number:
                taken[name].append(ns / events)
    return [
        Figure(name, median(times), median(a / b for a, b in zip(times, taken[floor], strict=True)))
        for name, times in taken.items()
    ]


def per_call_ns(call: Callable[[], object], calls: int) -> Run:
    """A run that calls a function many times."""

    def run() -> tuple[int, int]:
        began = time.perf_counter_ns()
        for _ in range(calls):
            call()
        return time.perf_counter_ns() - began, calls

    return run


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]], note: str = "") -> None:
    """Print a Markdown table, the first column to the left and the others to the right."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    print(f"\n## {title}\n")
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    for row in (head, rule, *rows):
        cells = (cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True)))
        print(f"| {' | '.join(cells)} |")
    if note:
        print(f"\n{note}")
