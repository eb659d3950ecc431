"""What a benchmark has found: tables to print, and how it stands beside the budgets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ["Budget", "Report", "Table", "budgets_table"]


@dataclass(frozen=True)
class Table:
    """Printed as Markdown, the first column to the left and the others to the right."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""

    def __str__(self) -> str:
        widths = [max(len(row[i]) for row in (self.head, *self.rows)) for i in range(len(self.head))]
        rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
        lines = [f"## {self.title}", ""]
        for row in (self.head, rule, *self.rows):
            first, *others = (
                cell.rjust(width) if i else cell.ljust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            lines.append(f"| {' | '.join((first, *others))} |")
        if self.note:
            lines += ["", self.note]
        return "\n".join(lines)


@dataclass(frozen=True)
class Budget:
    """One row of the design's budgets, measured; printed, never asserted."""

    what: str
    limit: float
    measured: float
    unit: str
    at_least: bool = False
    """Whether it is a rate, which is to be no less, and not a cost, which is to be no more."""

    @property
    def holds(self) -> bool:
        """Whether it is within the budget."""
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit


@dataclass
class Report:
    """What one benchmark has found."""

    tables: list[Table] = field(default_factory=list[Table])
    budgets: list[Budget] = field(default_factory=list[Budget])


def budgets_table(budgets: Sequence[Budget]) -> Table:
    """The budgets that were measured in this run."""
    return Table(
        "Budgets",
        ("what", "budget", "measured", "of the budget", "holds"),
        [
            (
                each.what,
                f"{each.limit:g} {each.unit}",
                f"{each.measured:.2f} {each.unit}",
                f"{each.measured / each.limit:.0%}" if each.limit else "",
                "yes" if each.holds else "NO",
            )
            for each in budgets
        ],
        "x: times what the row names; if it names nothing, times the hand-written dict of the same round, 99 ns on a "
        "quiet machine and up to 205 on a busy one.",
    )
