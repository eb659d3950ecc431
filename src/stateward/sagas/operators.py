"""What people send where a saga or a gathering waits for them; the same events in every one of them.

The events of a saga name the stage that they are about, and a guard holds it against the state: one that was sent
twice, or too late, does not meet another stage's trouble by chance. Each carries a reason, for the record.
"""

from __future__ import annotations

from stateward.chart.values import ContextMarker, Event, Guard

__all__ = [
    "DoAgain",
    "DoneByHand",
    "FoundNotDone",
    "StageEvent",
    "StopWaiting",
    "UndoAgain",
    "UndoneByHand",
    "WaitLonger",
    "about",
]


class StageEvent(Event):
    """What people say about one stage."""

    stage: str
    """The stage's name in the saga, `payment`."""
    reason: str


class UndoAgain(StageEvent):
    """Ask for the stage's undo once more."""


class UndoneByHand(StageEvent):
    """The stage was undone by other means; the saga goes on with what is left to undo."""


class DoAgain(StageEvent):
    """Ask for the stage once more."""


class DoneByHand(StageEvent):
    """The stage was done by other means; the saga goes on with the next."""


class FoundNotDone(StageEvent):
    """The stage was in doubt, and is known not to have been done; what stands before it is undone."""


class WaitLonger(Event):
    """Wait for the missing facts once more, as long as the first time."""

    reason: str


class StopWaiting(Event):
    """Give the gathering up."""

    reason: str


def about(stage: str) -> Guard[ContextMarker, StageEvent]:
    """A guard: the event is about this stage."""

    def is_about(context: ContextMarker, event: StageEvent) -> bool:  # noqa: ARG001 - a guard's parameters
        return event.stage == stage

    is_about.__qualname__ = f"is_about_{stage}"
    return is_about
