"""The work under one lease: the loops that read, write back, fire and ask, from the lease's beginning to its end."""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Awaitable, Callable, Container
from heapq import heappop
from typing import Any

from stateward.errors import LedgerUnavailable
from stateward.ledger.after_commit import FindUnhandled, ListPauses
from stateward.ledger.ids import PARTS
from stateward.work.calling import Caller, InlineCaller, Returned
from stateward.work.dispatching import PAGE_MAX, Dispatcher
from stateward.work.ground import Ground
from stateward.work.leases import BEATS, Lease
from stateward.work.reconciling import Reconciler
from stateward.work.timers import fire_due
from stateward.work.workplace import Chore, Workplace

__all__ = ["Shift"]

POLL_S_MIN = 0.005
"""What is waited at first for what other processes commit, and then twice as long each time."""
AWAY_S_MAX = 5.0
"""What is waited at most before a ledger that is away is asked again."""
LONG_FETCH_S = 0.02
REST_TIMES, REST_S_MAX = 2.0, 5.0
"""After looking for what is due took long, and little was found, so many times as long is rested."""
UNHANDLED_S = 60.0
"""How often is looked for effects that nobody handles."""
ABANDONED_S = 30.0
"""How often is told of functions that hang."""
PAUSES_S = 1.0
"""How often is looked whether anything in line is paused."""
RECONCILE_S = 1.0
"""How often a reconciliation that has nothing to do looks whether it has."""

_log = logging.getLogger(__name__)


class Shift:
    """The work under one lease."""

    def __init__(self, worker: Workplace, caller: Caller | InlineCaller) -> None:
        self._worker = worker
        self._ground = worker.ground
        self.caller = caller
        settings = worker.settings
        self.lease = Lease(worker.ground, settings.lease.total_seconds(), self._is_busy, self._leave)
        self.dispatcher = Dispatcher(
            worker.ground, self.lease, worker.handlers, caller,
            concurrency=settings.concurrency, statistics=worker.counts.effects, chance=worker.chance,
        )  # fmt: skip
        self._next_beat_at = 0.0
        """In a drain, when the next sign of life is due."""
        in_thread = None if isinstance(caller, InlineCaller) else self._in_thread
        self._reconcilers = [
            Reconciler(worker.ground, self.lease, each, worker.counts.reconciliations, run_in_thread=in_thread)
            for each in worker.reconciliations
        ]

    def _is_busy(self, part: int) -> bool:
        return self.dispatcher.is_busy(part)

    def _leave(self, parts: Container[int]) -> None:
        self.dispatcher.leave(parts)

    async def work(self, stopping: asyncio.Event, grace_s: Callable[[], float]) -> None:
        """Work until told to stop; then let what goes on end, and give back what can be given back.

        Raises:
            LeaseLost: the lease was taken away.
        """
        await _patiently(self.lease.begin, stopping)
        self._log_parts()
        finished = asyncio.Event()
        beginning = [
            self._dispatch(stopping),
            self._fire(stopping),
            *(self._reconcile(each, stopping) for each in self._reconcilers),
            *(
                self._do_chore(each, stopping)
                for each in (*self._worker.chores, self._warn_of_unhandled, self._warn_of_abandoned, self._heed_pauses)
            ),
        ]
        until_stop = [asyncio.create_task(each) for each in beginning]
        until_end = [
            asyncio.create_task(each)
            for each in (self._keep_lease(finished), self._settle(finished), self._settle_held_up(finished))
        ]
        try:
            # An error ends the shift; else those that begin work end when it is time to stop.
            grace_left_s = await _wait_until_ended(until_stop, until_end, stopping, grace_s)
            await self._finish(grace_left_s, until_end)
        finally:
            self.dispatcher.stop()  # handlers that come back later are not to begin others
            finished.set()
            for task in (*until_stop, *until_end):
                task.cancel()
            await asyncio.gather(*until_stop, *until_end, return_exceptions=True)

    async def _finish(self, grace_s: float, until_end: list[asyncio.Task[None]]) -> None:
        """Let what goes on end within its time; what does not is left to the lease, which runs out."""
        self.dispatcher.stop()
        settled = asyncio.create_task(self.dispatcher.wait_until_settled())
        try:
            await asyncio.wait([settled, *until_end], timeout=grace_s, return_when=asyncio.FIRST_COMPLETED)
            for task in until_end:
                if task.done():
                    task.result()
        finally:
            settled.cancel()
            await asyncio.gather(settled, return_exceptions=True)
        if self.dispatcher.in_hand:
            _log.warning("%d effects are left to the leases", len(self.dispatcher.in_hand))
        try:
            await self.lease.end()
        except LedgerUnavailable as error:
            _log.warning("stopped while the ledger is away: %s", error)

    async def work_once(self) -> bool:
        """One round of all work, in this thread; whether anything was done. Between rounds, the lease is kept."""
        if self._ground.monotonic() > self._next_beat_at:
            await self.lease.keep()
            self._next_beat_at = self._ground.monotonic() + self._worker.settings.lease.total_seconds() / BEATS
        done = await self.dispatcher.fetch()
        while self.dispatcher.is_at_work:
            if self.dispatcher.settler.has_held_up.is_set():
                done += await self.dispatcher.settle_held_up()
            else:
                await self.dispatcher.has_outcomes.wait()
            done += await self.dispatcher.settle()
        done += self.dispatcher.is_amid_a_pass
        done += await fire_due(self._ground, self.lease, self._worker.counts.timers)
        for each in self._reconcilers:
            done += await each.work()
        for chore in self._worker.chores:
            await chore(self._ground, self.lease)
        return done > 0

    async def _in_thread(self, work: Callable[[], Any]) -> Any:
        """Call a function in a thread of the worker's."""
        assert isinstance(self.caller, Caller)
        returned: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def take(given: Returned) -> None:
            value, error = given
            if returned.cancelled():
                return
            if error is None:
                returned.set_result(value)
            else:
                returned.set_exception(error if isinstance(error, Exception) else RuntimeError(repr(error)))

        self.caller.submit(work, take)
        return await returned

    # The loops.

    async def _keep_lease(self, finished: asyncio.Event) -> None:
        beat_s = self._worker.settings.lease.total_seconds() / BEATS
        while not await _is_set_within(finished, beat_s):
            before = set(self.lease.parts)
            await _patiently(self.lease.keep, finished)
            if set(self.lease.parts) != before:
                self._log_parts()
            if set(self.lease.parts) - before:
                self._worker.wake()

    def _log_parts(self) -> None:
        _log.info("worker %s works on %d of %d parts", self.lease.worker, len(self.lease.parts), PARTS)

    async def _settle(self, finished: asyncio.Event) -> None:
        while True:
            await self.dispatcher.has_outcomes.wait()
            if await _patiently(self.dispatcher.settle, finished):
                self._worker.wake()  # what was behind it may be due now, and what replies have asked for

    async def _settle_held_up(self, finished: asyncio.Event) -> None:
        while True:
            await self.dispatcher.settler.has_held_up.wait()
            if await _patiently(self.dispatcher.settle_held_up, finished):
                self._worker.wake()

    async def _dispatch(self, stopping: asyncio.Event) -> None:
        poll = _Polls(self._worker.settings.poll.total_seconds())
        while not stopping.is_set():
            began = self._ground.monotonic()
            found = await _patiently(self.dispatcher.fetch, stopping)
            took_s = self._ground.monotonic() - began
            if took_s > LONG_FETCH_S and found < PAGE_MAX // 10:
                # It went past many that are postponed, or behind such: the ledger has others to answer, too.
                await _is_set_within(stopping, min(REST_TIMES * took_s, REST_S_MAX))
            if found or self.dispatcher.is_amid_a_pass:
                poll.reset()
                await self.dispatcher.wait_for_room()
            elif await self._worker.effects.wait(poll.next()):
                poll.reset()

    async def _fire(self, stopping: asyncio.Event) -> None:
        poll = _Polls(self._worker.settings.poll.total_seconds())
        while not stopping.is_set():
            looked_at = self._ground.now()
            due = await _patiently(
                lambda: fire_due(self._ground, self.lease, self._worker.counts.timers), stopping
            )  # fmt: skip
            if due:
                poll.reset()
                self._worker.effects.set()
            elif await self._worker.timers.wait(min(poll.next(), self._until_next_due(looked_at))):
                poll.reset()

    def _until_next_due(self, looked_at: int) -> float:
        """Seconds until a timer is due of which this process knows, and that was not due when it last looked."""
        expected = self._worker.expected
        while expected and expected[0] <= looked_at:
            heappop(expected)
        return max(expected[0] - self._ground.now(), 0) / 1_000_000 if expected else math.inf

    async def _reconcile(self, reconciler: Reconciler, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            if await _patiently(reconciler.work, stopping):
                self._worker.wake()  # what was learned may ask for effects, and set timers
            else:
                await _is_set_within(stopping, RECONCILE_S)

    async def _warn_of_unhandled(self, ground: Ground, lease: Lease) -> float:
        """Tell of effects that wait for ever, since nobody here handles them: whoever forgot it looks in the log."""
        handled = tuple(each.name for each in self._worker.handlers)
        operation = FindUnhandled(tuple(lease.parts), ground.kinds, handled)
        [found] = await ground.ask(operation)
        for effect, kind, entity in found:
            if effect not in self._worker.unhandled:
                _log.warning(
                    "effects %s wait, of %s %s for one, and no handler is registered for them: engine.handles(%s)",
                    effect, kind, entity, effect,
                )  # fmt: skip
                self._worker.unhandled.add(effect)
        return UNHANDLED_S

    async def _warn_of_abandoned(self, _ground: Ground, _lease: Lease) -> float:
        """Tell of functions that hang: each keeps its place, and when they have taken all, nothing more is begun."""
        if self.caller.abandoned:
            _log.warning(
                "functions that were not back at their deadlines go on and keep their places: %d of %d; give what they "
                "wait for a timeout, of what is left until call.deadline",
                self.caller.abandoned, self._worker.settings.concurrency,
            )  # fmt: skip
        return ABANDONED_S

    async def _heed_pauses(self, ground: Ground, _: Lease) -> float:
        """What was read before it was paused may wait in line for long: begin nothing of it."""
        if self.dispatcher.has_waiting:
            [pauses] = await ground.ask(ListPauses())
            names = {scope: {each.name for each in pauses if each.scope == scope} for scope in ("kind", "effect")}
            if pauses:
                self.dispatcher.rest(names["kind"], names["effect"])
        return min(self._worker.settings.poll.total_seconds(), PAUSES_S)

    async def _do_chore(self, chore: Chore, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            again_s = await _patiently(lambda: chore(self._ground, self.lease), stopping)
            await _is_set_within(stopping, again_s or AWAY_S_MAX)


async def _wait_until_ended(
    until_stop: list[asyncio.Task[None]],
    until_end: list[asyncio.Task[None]],
    stopping: asyncio.Event,
    grace_s: Callable[[], float],
) -> float:
    """Wait until it is time to stop, and then for all of the former to end; how much of the grace is left for the rest.

    Those that have not ended within it are cancelled: a question to the world that nobody answers keeps no worker from
    stopping. An error of any of them ends it at once.
    """
    clock = asyncio.get_running_loop().time
    ending: asyncio.Future[Any] = asyncio.gather(*until_stop)
    told = asyncio.create_task(stopping.wait())
    waiting: list[asyncio.Future[Any]] = [ending, *until_end]
    try:
        await asyncio.wait([told, *waiting], return_when=asyncio.FIRST_COMPLETED)
        deadline = clock() + grace_s()
        if told.done():
            await asyncio.wait(waiting, timeout=grace_s(), return_when=asyncio.FIRST_COMPLETED)
    finally:
        told.cancel()
    has_ended = ending.done()
    if not has_ended:
        ending.cancel()
        await asyncio.gather(ending, return_exceptions=True)
    for task in until_end:
        if task.done():
            task.result()
    if has_ended:
        await ending
    else:
        _log.warning("reconciliations or chores did not end in time; the next to have the lease goes on with them")
    return max(0.0, deadline - clock())


async def _is_set_within(event: asyncio.Event, timeout_s: float) -> bool:
    """Wait for an event, or for so long."""
    try:
        await asyncio.wait_for(event.wait(), timeout_s)
    except TimeoutError:
        return False
    return True


class _Polls:
    """The waits between polls: short after something was found, and ever longer while nothing is."""

    def __init__(self, longest_s: float) -> None:
        self._longest_s = longest_s
        self._delay_s = POLL_S_MIN

    def reset(self) -> None:
        self._delay_s = POLL_S_MIN

    def next(self) -> float:
        delay_s = self._delay_s
        self._delay_s = min(delay_s * 2, self._longest_s)
        return delay_s


async def _patiently(work: Callable[[], Awaitable[Any]], stopping: asyncio.Event) -> Any:
    """Do something again and again while the ledger is away, until told to stop; 0 then."""
    delay_s = 0.05
    while True:
        try:
            return await work()
        except LedgerUnavailable as error:
            _log.warning("the ledger is away: %s", error)
        if stopping.is_set():
            return 0
        await asyncio.sleep(random.uniform(delay_s / 2, delay_s))
        delay_s = min(delay_s * 2, AWAY_S_MAX)
