"""Which transitions of a chart a test run has taken."""

from __future__ import annotations

from typing import Any

from stateward.chart import Chart, Lifecycle, chart_of
from stateward.kernel import Step

__all__ = ["Coverage"]


class Coverage:
    """Is shown Steps, and knows which transitions of a chart none of them has taken.

    It is a listener, of a machine, `listeners=[coverage]`, and of a path, `coverage=coverage`; the `step` of an
    engine's answers can be shown to it, too.
    """

    def __init__(self, lifecycle: type[Lifecycle[Any]] | Chart[Any]) -> None:
        self._chart = lifecycle if isinstance(lifecycle, Chart) else chart_of(lifecycle)
        self._taken: set[str] = set()

    def __call__(self, step: Step[Any]) -> None:
        """Note what a Step has taken."""
        self._taken.update(each for microstep in step.microsteps for each in microstep.transitions)

    @property
    def missing(self) -> tuple[str, ...]:
        """The transitions that were never taken, `pay:pending`, in the order of the chart."""
        return tuple(each.id for each in self._chart.transitions if each.id not in self._taken)

    def check(self) -> None:
        """See whether all transitions were taken.

        Raises:
            AssertionError: some were not.
        """
        if self.missing:
            total = len(self._chart.transitions)
            message = f"{self._chart.kind}: {len(self.missing)} of {total} transitions were never taken: "
            raise AssertionError(message + ", ".join(self.missing))
