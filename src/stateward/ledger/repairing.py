"""What a repair comes to: the states that it leaves and enters, and the timers that live as long as they do.

No handler of the lifecycle runs but the delays of timers. An operator is shown the same before it is done.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Any, NamedTuple

from stateward.chart import Chart, Handler, TimerTrigger
from stateward.errors import ActionFailed
from stateward.kernel import Snapshot, TimerSet, position_of

__all__ = ["REPAIRED", "Forced", "force"]

REPAIRED = "Repaired"
"""What the records of repairs name as their event."""


class Forced(NamedTuple):
    """A snapshot in the configuration that it was forced into, and what that changes. States are in document order."""

    snapshot: Snapshot[Any]
    left: tuple[str, ...]
    entered: tuple[str, ...]
    timers_cancelled: tuple[str, ...]
    timers_set: tuple[TimerSet, ...]


def force(chart: Chart[Any], snapshot: Snapshot[Any], state: str) -> Forced:
    """Force a snapshot into a configuration: what is entered by it counts from now on, timers included.

    Raises:
        SnapshotInvalid: the chart has no such configuration.
        ActionFailed: the delay of a timer can't be worked out.
    """
    position = position_of(chart, state, snapshot.position.history)
    left = _in_order(chart, snapshot.position.active - position.active)
    entered = _in_order(chart, position.active - snapshot.position.active)
    return Forced(
        Snapshot(position, snapshot.context),
        left,
        entered,
        tuple(name for name, _ in _timers_of(chart, left)),
        tuple(
            TimerSet(name, _delay_of(chart, snapshot, delay) if isinstance(delay, Handler) else delay)
            for name, delay in _timers_of(chart, entered)
        ),
    )


def _in_order(chart: Chart[Any], paths: Collection[str]) -> tuple[str, ...]:
    return tuple(state.path for state in chart.states if state.path in paths)


def _timers_of(chart: Chart[Any], paths: Collection[str]) -> list[tuple[str, timedelta | Handler]]:
    """The timers that live as long as these states."""
    return [
        (each.trigger.timer, each.trigger.delay)
        for each in chart.transitions
        if isinstance(each.trigger, TimerTrigger) and chart.states[each.source].path in paths
    ]


def _delay_of(chart: Chart[Any], snapshot: Snapshot[Any], delay: Handler) -> timedelta:
    """A timer's delay, worked out of the context.

    Raises:
        ActionFailed: it can't be, or it is not positive.
    """
    try:
        found = delay.call(snapshot.context)
    except Exception as error:
        problem = f"raised {error!r}"
        raise _delay_failed(chart, snapshot, delay, problem) from error
    if not isinstance(found, timedelta) or found <= timedelta(0):
        problem = f"returned {found!r}; a delay is a positive timedelta"
        raise _delay_failed(chart, snapshot, delay, problem)
    return found


def _delay_failed(chart: Chart[Any], snapshot: Snapshot[Any], delay: Handler, problem: str) -> ActionFailed:
    return ActionFailed(
        lifecycle=chart.kind, state=snapshot.state, event=REPAIRED, function=delay.name, problem=problem
    )
