"""What a worker keeps from shift to shift: what it works on, how, what it has done, and the signals that wake it."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta
from heapq import heappush
from typing import NamedTuple, TypeAlias

import msgspec

from stateward.work.ground import Ground
from stateward.work.handling import Handlers
from stateward.work.leases import Lease
from stateward.work.outcomes import DispatchStatistics
from stateward.work.reconciling import ReconcileStatistics, Reconciliation
from stateward.work.signals import Signal
from stateward.work.timers import TimerStatistics

__all__ = ["Chore", "Counts", "WorkerSettings", "Workplace"]

Chore: TypeAlias = Callable[[Ground, Lease], Awaitable[float]]
"""Work that is done again and again; it tells after how many seconds."""


class WorkerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a worker works."""

    concurrency: int = 32
    """Effects that are handled at the same time, and threads for handlers that are no coroutines."""
    lease: timedelta = timedelta(seconds=15)
    """How long a worker may give no sign of life, before others go on with its parts."""
    poll: timedelta = timedelta(seconds=1)
    """How often an idle worker looks for what other processes have committed. Its own process wakes it at once."""
    listen: bool = False
    """Whether it is woken by other processes whose engines have `notify=True`, on a connection of its own. PostgreSQL
    alone can do it, and not through a pooler that gives a connection to another client after each transaction."""


class Counts(NamedTuple):
    """What was done."""

    effects: DispatchStatistics
    timers: TimerStatistics
    reconciliations: ReconcileStatistics


class Workplace:
    """What stays when a lease is lost."""

    def __init__(
        self,
        ground: Ground,
        handlers: Handlers,
        reconciliations: Iterable[Reconciliation],
        settings: WorkerSettings,
        *,
        chores: Iterable[Chore] = (),
    ) -> None:
        """Take what it works on.

        Args:
            ground: the ledger, the charts, the clocks.
            handlers: who handles which effect.
            reconciliations: what is reconciled.
            settings: how it works.
            chores: what else is done under the lease, again and again; each tells after how many seconds.
        """
        self.ground = ground
        self.handlers = handlers
        self.reconciliations = list(reconciliations)
        self.settings = settings
        self.chores = list(chores)
        self.unhandled: set[str] = set()
        """Types of effects that wait, and that nobody here handles."""
        self.chance = random.Random()
        self.effects, self.timers = Signal(), Signal()
        """Set when there may be something to do."""
        self.expected: list[int] = []
        """When timers that this process has set are due, if that is soon; a heap."""
        self.counts = Counts(DispatchStatistics(), TimerStatistics(), ReconcileStatistics())

    def wake(self) -> None:
        """Look at once for what is due; from any thread."""
        self.effects.set()
        self.timers.set()

    def expect(self, due_at: int) -> None:
        """A timer is due then, in microseconds since 1970; from any thread.

        What is due later than the next poll is found by it.
        """
        if due_at < self.ground.now() + 2 * self.settings.poll // timedelta(microseconds=1):
            heappush(self.expected, due_at)
            if due_at <= self.expected[0]:
                self.timers.set()
