"""What the workers of the test world do with effects: they call the services, under the effect's own key."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import msgspec

from stateward import AsyncEngine, Call, Effect, Engine, Event, Retry, Snooze
from stateward.ledger import Entity
from tests.work.world.client import Busy, Caller, ServiceFailed, events_of
from tests.work.world.clock import WorldClock
from tests.work.world.faults import ATTEMPTS_MAX
from tests.work.world.lifecycle import (
    Charge,
    ChargeAbandoned,
    Charged,
    Notify,
    Order,
    OrderLifecycle,
    Receipt,
    Refund,
    RefundAbandoned,
    Release,
    ReleaseAbandoned,
    Reserve,
    ReserveAbandoned,
    Track,
)

__all__ = ["CALL_TIMEOUT_S", "Handlers"]

CALL_TIMEOUT_S = 0.25
RETRY = Retry(limit=ATTEMPTS_MAX, base=timedelta(milliseconds=10), maximum=timedelta(milliseconds=200))


class Handlers:
    """The handlers of one worker."""

    def __init__(
        self,
        caller: Caller,
        worker: str,
        reach: Callable[[], None],
        clock: WorldClock,
        poisoned: frozenset[str] = frozenset(),
    ) -> None:
        """Take the way to the services.

        Args:
            caller: calls them.
            worker: the worker's name.
            reach: is called before and behind each call.
            clock: says whether poison works.
            poisoned: the orders whose receipts kill their worker then.
        """
        self._caller, self._worker, self._reach = caller, worker, reach
        self._clock, self._poisoned = clock, poisoned

    def register(self, engine: Engine | AsyncEngine) -> None:
        """Register all of them."""
        long = timedelta(seconds=20)
        short = timedelta(seconds=CALL_TIMEOUT_S)
        engine.handles(Charge, retry=RETRY, timeout=long, on_dead=ChargeAbandoned)(self.ask)
        engine.handles(Refund, retry=RETRY, timeout=long, on_dead=RefundAbandoned)(self.ask)
        engine.handles(Reserve, retry=RETRY, timeout=long, concurrency=20, on_dead=ReserveAbandoned)(self.ask)
        # These are cut off by the engine alone.
        engine.handles(Release, retry=RETRY, timeout=short, on_dead=ReleaseAbandoned)(self.ask_in_task)
        engine.handles(Notify, retry=RETRY, timeout=short)(self.ask_in_task)
        engine.handles(Receipt, retry=RETRY, timeout=long)(self.send_receipt)
        engine.handles(Track, retry=RETRY, timeout=short, ordered=False)(self.ask_in_task)
        engine.reconcile(
            OrderLifecycle,
            OrderLifecycle.paying,
            older_than=timedelta(minutes=15),
            every=timedelta(minutes=5),
            rate=500.0,
        )(self.ask_provider)

    def ask(self, effect: Effect, call: Call) -> Sequence[Event]:
        """Do an effect in a thread."""
        self._reach()
        try:
            answer = self._caller.call(call.effect.lower(), call.key, self._told(effect, call))
        except Busy as error:
            raise Snooze(timedelta(milliseconds=30)) from error
        self._reach()
        return events_of(answer)

    def send_receipt(self, effect: Receipt, call: Call) -> Sequence[Event]:
        """Do an effect in a thread; one that is poisoned is called for, and kills its worker by its answer."""
        events = self.ask(effect, call)
        if call.entity in self._poisoned and self._clock.is_poison_on:
            os.kill(os.getpid(), signal.SIGKILL)
        return events

    async def ask_in_task(self, effect: Effect, call: Call) -> Sequence[Event]:
        """Do an effect in a task."""
        self._reach()
        try:
            answer = await self._caller.call_in_task(call.effect.lower(), call.key, self._told(effect, call))
        except Busy as error:
            raise Snooze(timedelta(milliseconds=30)) from error
        self._reach()
        return events_of(answer)

    def ask_provider(self, order: Entity[Order]) -> Charged | None:
        """Ask what became of a payment that was asked for long ago."""
        try:
            answer = self._caller.payment(order.id)
        except ServiceFailed:
            return None  # the next round asks again
        charged = [each for each in events_of(answer) if isinstance(each, Charged)]
        return charged[0] if charged else None

    def _told(self, effect: Effect, call: Call) -> dict[str, Any]:
        about: dict[str, Any] = msgspec.to_builtins(effect)
        return {
            **about,
            "order": call.entity,
            "effect": call.effect,
            "revision": call.revision,
            "attempt": call.attempt,
            "worker": self._worker,
        }
