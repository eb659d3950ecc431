"""The order that the ledger's benchmarks move: an event with a payload, an effect, a timer that is cancelled."""

from __future__ import annotations

from datetime import timedelta

from stateward import Actions, Context, Effect, Event, Final, Lifecycle, State, after, on

__all__ = ["Charge", "Order", "OrderLifecycle", "Pay"]


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
