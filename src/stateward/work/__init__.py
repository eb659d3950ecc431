"""What happens after commit: effects go to handlers, timers fire, the world is asked about what waits too long."""

from stateward.work.handling import Call, GiveUp, Retry, Snooze
from stateward.work.operating import DeadLetter, Pause, PendingEffect, RunningTimer
from stateward.work.worker import WorkerSettings, WorkerStatistics

__all__ = [
    "Call",
    "DeadLetter",
    "GiveUp",
    "Pause",
    "PendingEffect",
    "Retry",
    "RunningTimer",
    "Snooze",
    "WorkerSettings",
    "WorkerStatistics",
]
