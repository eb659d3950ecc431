"""A worker: what one process does of the work after commit, from its start to its stop.

It works under a lease; what is done under one lease is a *shift*. If the lease is taken away, because the process was
stopped or cut off for too long, all that the shift had in hand is dropped, and a new one begins.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from contextlib import suppress

import msgspec
from msgspec.structs import replace

from stateward.errors import LeaseLost, LedgerUnavailable
from stateward.work.calling import Caller, InlineCaller
from stateward.work.ground import Ground
from stateward.work.handling import Handlers
from stateward.work.notifying import Channel, Listener
from stateward.work.outcomes import DispatchStatistics
from stateward.work.reconciling import ReconcileStatistics, Reconciliation
from stateward.work.shift import Shift
from stateward.work.timers import TimerStatistics
from stateward.work.workplace import Chore, WorkerSettings, Workplace

__all__ = ["Chore", "Worker", "WorkerSettings", "WorkerStatistics"]

_log = logging.getLogger(__name__)


class WorkerStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is and has done since it started."""

    worker: str
    """The id of its lease; empty while it has none."""
    parts: int
    in_hand: int
    """Effects that were read and are not settled."""
    running: int
    """Attempts that go on."""
    abandoned: int
    """Functions that were not back at their deadline, and are not back yet."""
    leases_lost: int
    unhandled: tuple[str, ...]
    """Types of effects that wait for a handler that nobody has registered here."""
    effects: DispatchStatistics
    timers: TimerStatistics
    reconciliations: ReconcileStatistics


class Worker(Workplace):
    """Works on a ledger until it is stopped; one event loop's."""

    def __init__(
        self,
        ground: Ground,
        handlers: Handlers,
        reconciliations: Iterable[Reconciliation],
        settings: WorkerSettings,
        *,
        chores: Iterable[Chore] = (),
        channel: Channel | None = None,
    ) -> None:
        """As `Workplace`; with the channel, if any, where other processes tell that there is something to do."""
        super().__init__(ground, handlers, reconciliations, settings, chores=chores)
        self._channel = channel
        self._stopping = asyncio.Event()
        self._grace_s = 0.0
        self._shift: Shift | None = None
        self._leases_lost = 0

    @property
    def _threads_max(self) -> int:
        """One for whatever may be called at the same time, so that none waits for a thread while its time runs.

        Of questions, as many again may be abandoned and not be back.
        """
        return self.settings.concurrency + sum(2 * each.concurrency for each in self.reconciliations)

    def stop(self, grace_s: float) -> None:
        """Begin nothing more; what goes on has so many seconds to end. Twice is safe."""
        self._grace_s = grace_s
        self._stopping.set()
        if self._shift is not None:
            self._shift.dispatcher.stop()
            running = self._shift.dispatcher.running
            _log.info("stopping: attempts that go on, %d, have %g s to end", running, grace_s)
        self.wake()

    def statistics(self) -> WorkerStatistics:
        """What it is and has done since it started."""
        shift = self._shift
        return WorkerStatistics(
            worker=shift.lease.worker if shift is not None else "",
            parts=len(shift.lease.parts) if shift is not None else 0,
            in_hand=len(shift.dispatcher.in_hand) if shift is not None else 0,
            running=shift.dispatcher.running if shift is not None else 0,
            abandoned=shift.caller.abandoned if shift is not None else 0,
            leases_lost=self._leases_lost,
            unhandled=tuple(sorted(self.unhandled)),
            effects=replace(self.counts.effects),
            timers=replace(self.counts.timers),
            reconciliations=replace(self.counts.reconciliations),
        )

    async def run(self) -> None:
        """Work until it is stopped."""
        listener = None if self._channel is None else Listener(self._channel, self.wake)
        try:
            await self._work()
        except asyncio.CancelledError:
            raise
        except BaseException:  # in the background nobody is told by it before the engine is stopped
            _log.critical(
                "the worker has ended by an error, and works no more until it is started again", exc_info=True
            )
            raise
        finally:
            if listener is not None:
                await asyncio.to_thread(listener.close)
        effects, timers = self.counts.effects, self.counts.timers
        _log.info(
            "stopped; effects: %d done, %d attempts failed, %d dead; timers: %d fired",
            effects.done, effects.failed, effects.dead, timers.fired,
        )  # fmt: skip

    async def _work(self) -> None:
        while not self._stopping.is_set():
            shift = self._shift = Shift(self, Caller(self._threads_max))
            try:
                await shift.work(self._stopping, lambda: self._grace_s)
            except LeaseLost as error:
                self._leases_lost += 1
                _log.warning("%s", error)
            except Exception:
                with suppress(LedgerUnavailable):
                    await shift.lease.abandon()
                raise
            finally:
                shift.caller.close()
                self._shift = None

    async def drain(self) -> None:
        """Do what is due now and what follows from it, and no more."""
        shift = self._shift = Shift(self, InlineCaller())
        try:
            await shift.lease.begin()
            while await shift.work_once():
                pass
            await shift.lease.end()
        except BaseException:
            with suppress(LedgerUnavailable):
                await shift.lease.abandon()
            raise
        finally:
            shift.caller.close()
            self._shift = None
