"""An event log sent through a lifecycle, and what came of it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import msgspec

from stateward.chart import ContextMarker, Lifecycle, chart_of
from stateward.demo.incidents import IncidentLifecycle, incident_log
from stateward.demo.orders import LoggedEvent
from stateward.engine import Engine, LifecycleTarget
from stateward.errors import Refusal, UnknownEntity
from stateward.kernel import Explanation
from stateward.ledger import Record
from stateward.ledger.importing import Report, import_log

__all__ = ["Replay", "Stay", "explain_record", "import_incidents", "look_back", "replay"]

C = TypeVar("C", bound=ContextMarker)

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


def replay(
    engine: Engine,
    lifecycle: type[Lifecycle[C]],
    context: C,
    log: Iterable[LoggedEvent],
    on_progress: Callable[[Replay], object] = lambda _: None,
) -> Replay:
    """Send a log through an engine, event by event, each in a transaction of its own.

    An entity is created when the log first names it.

    Args:
        engine: the engine, its ledger without these entities.
        lifecycle: the lifecycle to send it through.
        context: every entity's first context.
        log: the events in order.
        on_progress: called after every event.
    """
    done = Replay()
    for entity, at, actor, event in log:
        try:
            answer = engine.attempt(lifecycle, entity, event, actor=actor, occurred_at=at)
        except UnknownEntity:
            engine.create(lifecycle, entity, context, actor=actor, occurred_at=at)
            done.entities += 1
            answer = engine.attempt(lifecycle, entity, event, actor=actor, occurred_at=at)
        done.events += 1
        if isinstance(answer, Refusal):
            done.refused[answer.state, answer.event] += 1
        elif answer.outcome == "applied":
            done.applied += 1
        else:
            done.already_done += 1
        on_progress(done)
    return done


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


def look_back(engine: Engine, lifecycle: type[Lifecycle[Any]]) -> tuple[list[Stay], Record | None]:
    """What the records of a lifecycle's entities tell.

    Returns:
        The states that were ever visited, in the chart's order; and a refusal that `why` can still explain, since
        nothing happened to its entity afterwards: one that a guard made, if there is one.
    """
    lengths: dict[str, list[timedelta]] = defaultdict(list)
    refused: Record | None = None
    for entity in engine.list(lifecycle):
        since, record = _NEVER, None
        for record in engine.history(lifecycle, entity.id):
            if record.outcome != "applied":
                continue
            if record.state_from is not None:
                lengths[record.state_from].append(record.occurred_at - since)
            since = record.occurred_at
        if record is not None and record.outcome == "rejected_invalid":
            refused = record if refused is None or (record.reason == "guarded" != refused.reason) else refused
    now = engine.census(lifecycle)
    stays = [
        Stay(state, now.get(state, 0), len(lengths[state]), _median(lengths[state]), max(lengths[state], default=None))
        for state in sorted(now.keys() | lengths.keys(), key=lambda state: _place(lifecycle, state))
    ]
    return stays, refused


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
