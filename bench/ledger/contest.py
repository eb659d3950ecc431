"""Contestants that take turns, each beside a run of a floor of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from bench.measure import Run, ns_per_event
from bench.report import Budget, Table

__all__ = ["Contestant", "Rates", "contest"]


@dataclass(frozen=True)
class Contestant:
    """One way to drive transitions."""

    name: str
    run: Run
    floor: str
    """The name of what it is set against, just before each of its runs."""
    at_least: float | None = None
    """The design's budget, times the floor."""


@dataclass(frozen=True)
class Rates:
    """What a contest has found: medians of the rounds."""

    floors: Mapping[str, float]
    """Transitions per second."""
    rates: Mapping[str, float]
    ratios: Mapping[str, float]
    """Times the floor, round by round."""
    contestants: Sequence[Contestant]

    def table(self, title: str, note: str = "") -> Table:
        rows = [(name, f"{rate:,.0f}", "1.00", "") for name, rate in self.floors.items()]
        rows += [
            (each.name, f"{self.rates[each.name]:,.0f}", f"{self.ratios[each.name]:.2f}", each.floor)
            for each in self.contestants
        ]
        return Table(title, ("", "transitions/s", "x floor", "floor"), rows, note)

    def budgets(self, where: str) -> list[Budget]:
        return [
            Budget(f"{where}, {each.name}, against {each.floor}", each.at_least, self.ratios[each.name], "x", True)
            for each in self.contestants
            if each.at_least is not None
        ]


def contest(floors: Mapping[str, Run], contestants: Sequence[Contestant], rounds: int) -> Rates:
    """Let contestants take turns, as `bench.measure.compare` does, with a floor for each.

    Args:
        floors: by name.
        contestants: each with the name of its floor.
        rounds: how many rounds count, after one that does not.
    """
    of_floors: dict[str, list[float]] = {name: [] for name in floors}
    own: dict[str, list[float]] = {each.name: [] for each in contestants}
    ratios: dict[str, list[float]] = {each.name: [] for each in contestants}
    for number in range(rounds + 1):
        for each in contestants:
            beside, rate = _per_second(floors[each.floor]), _per_second(each.run)
            if number:
                of_floors[each.floor].append(beside)
                own[each.name].append(rate)
                ratios[each.name].append(rate / beside)
    return Rates(_medians(of_floors), _medians(own), _medians(ratios), contestants)


def _medians(found: Mapping[str, list[float]]) -> dict[str, float]:
    return {name: median(values) for name, values in found.items() if values}


def _per_second(run: Run) -> float:
    return 1e9 / ns_per_event(run)
