"""What the records of a ledger tell; and a real event log, imported for them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from stateward.chart import Lifecycle, chart_of
from stateward.demo.incidents import IncidentLifecycle, incident_log
from stateward.engine import Engine, LifecycleTarget
from stateward.kernel import Explanation
from stateward.ledger import Record
from stateward.ledger.importing import Report, import_log

__all__ = ["LookedBack", "Replay", "Stay", "explain_record", "import_incidents", "look_back"]

_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass
class Replay:
    """What came of a log."""

    events: int = 0
    entities: int = 0
    applied: int = 0
    already_done: int = 0
    refused: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    """Refusals by (state, event)."""


def import_incidents(engine: Engine, path: Path, on_progress: Callable[[Replay], object] = lambda _: None) -> Replay:
    """Import the incident log, as `stateward import` does.

    Raises:
        ImportStopped: the file is of another form; says in which line and why.
    """

    def summed(report: Report) -> Replay:
        sums = (report.applied.total(), report.already_done.total())
        return Replay(report.rows, report.created, *sums, report.refused)

    target = LifecycleTarget(engine, IncidentLifecycle)
    return summed(import_log(incident_log(path), target, on_progress=lambda report: on_progress(summed(report))))


@dataclass(frozen=True)
class Stay:
    """How long entities stay in a state."""

    state: str
    entities: int
    """Entities that are there now."""
    stays: int
    """Stays that have ended."""
    median: timedelta | None
    longest: timedelta | None


@dataclass(frozen=True)
class LookedBack:
    """What the records of a lifecycle's entities tell."""

    stays: list[Stay]
    """The states that were ever visited, in the chart's order."""
    refused: Counter[tuple[str, str]]
    """Refusals by (state, event)."""
    records: int
    last_refusal: Record | None
    """A refusal that `why` can still explain, since nothing has happened to its entity afterwards: one that a guard
    made, if there is one."""


def look_back(engine: Engine, lifecycle: type[Lifecycle[Any]]) -> LookedBack:
    """Read the records of a lifecycle's entities, from the first to the last, in one go."""
    since: dict[str, datetime] = {}
    last: dict[str, Record] = {}
    lengths: dict[str, list[timedelta]] = defaultdict(list)
    refused: Counter[tuple[str, str]] = Counter()
    records = 0
    for followed in engine.tail([chart_of(lifecycle).kind]):
        record = followed.record
        records += 1
        last[record.entity] = record
        if record.outcome == "applied":
            if record.state_from is not None:
                lengths[record.state_from].append(record.occurred_at - since.get(record.entity, _NEVER))
            since[record.entity] = record.occurred_at
        elif record.outcome.startswith("rejected"):
            refused[record.state_to, record.event] += 1
    now = engine.census(lifecycle)
    stays = [
        Stay(state, now.get(state, 0), len(lengths[state]), _median(lengths[state]), max(lengths[state], default=None))
        for state in sorted(now.keys() | lengths.keys(), key=lambda state: _place(lifecycle, state))
    ]
    explainable = [each for each in last.values() if each.outcome == "rejected_invalid"]
    explainable.sort(key=lambda each: (each.reason != "guarded", each.entity))
    return LookedBack(stays, refused, records, explainable[0] if explainable else None)


def explain_record(engine: Engine, lifecycle: type[Lifecycle[Any]], refused: Record) -> Explanation:
    """Why an event that was the last to be sent to its entity was refused."""
    event = msgspec.convert(refused.payload, chart_of(lifecycle).events[refused.event])
    return engine.why(lifecycle, refused.entity, event)


def _median(lengths: list[timedelta]) -> timedelta | None:
    return timedelta(seconds=median(each.total_seconds() for each in lengths)) if lengths else None


def _place(lifecycle: type[Lifecycle[Any]], state: str) -> list[int]:
    """Where a configuration stands in the order of the chart."""
    chart = chart_of(lifecycle)
    return [chart.state(path).index for path in state.split("|")]
