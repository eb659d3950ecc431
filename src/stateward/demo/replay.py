"""An event log sent through a lifecycle, and what came of it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any, TypeVar

from stateward.chart import ContextMarker, Lifecycle, chart_of
from stateward.demo.eventlog import LoggedEvent
from stateward.engine import Engine
from stateward.errors import Refusal, UnknownEntity
from stateward.kernel import Explanation

__all__ = ["Replay", "Stay", "measure_stays", "replay"]

C = TypeVar("C", bound=ContextMarker)

_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass
class Replay:
    """What a replay did, counted as it went."""

    events: int = 0
    entities: int = 0
    applied: int = 0
    already_done: int = 0
    refused: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    """Refusals by (state, event)."""
    explained: Explanation | None = None
    """One refusal explained as it happened: the first that a guard made, or else the first of all."""
    explained_entity: str = ""


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
            first_guarded = answer.kind == "guarded" and (done.explained is None or done.explained.outcome != "guarded")
            if done.explained is None or first_guarded:
                done.explained, done.explained_entity = engine.why(lifecycle, entity, event), entity
        elif answer.outcome == "applied":
            done.applied += 1
        else:
            done.already_done += 1
        on_progress(done)
    return done


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


def measure_stays(engine: Engine, lifecycle: type[Lifecycle[Any]]) -> list[Stay]:
    """The states of a lifecycle's entities, from its records; in the chart's order, only those ever visited."""
    lengths: dict[str, list[timedelta]] = defaultdict(list)
    for entity in engine.list(lifecycle):
        since = _NEVER
        for record in engine.history(lifecycle, entity.id):
            if record.outcome != "applied":
                continue
            if record.state_from is not None:
                lengths[record.state_from].append(record.occurred_at - since)
            since = record.occurred_at
    now = engine.census(lifecycle)
    return [
        Stay(
            state,
            now.get(state, 0),
            len(lengths[state]),
            _median(lengths[state]),
            max(lengths[state], default=None),
        )
        for state in sorted(now.keys() | lengths.keys(), key=lambda state: _place(lifecycle, state))
    ]


def _median(lengths: list[timedelta]) -> timedelta | None:
    return timedelta(seconds=median(each.total_seconds() for each in lengths)) if lengths else None


def _place(lifecycle: type[Lifecycle[Any]], state: str) -> list[int]:
    """Where a configuration stands in the order of the chart."""
    chart = chart_of(lifecycle)
    return [chart.state(path).index for path in state.split("|")]
