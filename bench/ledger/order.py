"""What the ledger's benchmarks move.

An order: an event with a payload, an effect, a timer that is cancelled. And a tally, which takes any number of events.
"""

from __future__ import annotations

import warnings
from datetime import timedelta

from stateward import Actions, Context, DefinitionWarning, Effect, Event, Final, Lifecycle, State, after, on

__all__ = ["Charge", "Order", "OrderLifecycle", "Pay", "Tally", "TallyLifecycle", "Tick"]


class Pay(Event):
    amount: int


class Charge(Effect):
    amount: int


class Order(Context):
    total: int = 4200
    paid: int = 0


def record_payment(order: Order, event: Pay) -> Actions[Order]:
    yield Charge(amount=event.amount)
    return order.replace(paid=event.amount)


class OrderLifecycle(Lifecycle[Order]):
    pending = State(initial=True)
    paid = Final()
    cancelled = Final()
    pay = on(Pay, pending.to(paid, do=record_payment))
    expire = after(timedelta(days=1), pending.to(cancelled))


class Tick(Event):
    pass


class Tally(Context):
    n: int = 0


def add_one(tally: Tally, event: Tick) -> Tally:
    return Tally(tally.n + 1)


with warnings.catch_warnings():
    # It has no final state, and is meant to have none.
    warnings.simplefilter("ignore", DefinitionWarning)

    class TallyLifecycle(Lifecycle[Tally]):
        running = State(initial=True)
        tick = on(Tick, running.stay(do=add_one))
