"""Orders over HTTP, for tests and benchmarks: no worker has to do anything for one to be paid."""

from __future__ import annotations

from datetime import timedelta

from stateward import Actions, Context, Effect, Event, Final, Lifecycle, State, after, on

__all__ = ["Cancel", "Charge", "Deliver", "Order", "OrderLifecycle", "Pay", "Refund", "Ship"]


class Pay(Event):
    """Money has come in."""

    amount: int


class Ship(Event):
    """The parcel has left."""


class Deliver(Event):
    """The parcel has arrived."""


class Cancel(Event):
    """The customer wants out."""


class Refund(Event):
    """The money was given back."""


class Charge(Effect):
    """Ask the payment provider for this amount."""

    amount: int


class Order(Context):
    """What is known of an order; amounts in cents."""

    total: int = 4200
    paid: int = 0


def covers_total(order: Order, event: Pay) -> bool:
    """Whether a payment is enough."""
    return event.amount >= order.total


def record_payment(order: Order, event: Pay) -> Actions[Order]:
    """Charge the amount and write it down."""
    yield Charge(amount=event.amount)
    return order.replace(paid=event.amount)


class OrderLifecycle(Lifecycle[Order]):
    """An order, from checkout to delivery."""

    version = 1

    pending = State(initial=True, sla=timedelta(hours=1))
    paid = State(sla=timedelta(days=2))
    shipped = State()
    delivered = State()
    cancelled = Final()
    refunded = Final()

    pay = on(Pay, pending.to(paid), when=covers_total, do=record_payment, already=paid | shipped | delivered)
    ship = on(Ship, paid.to(shipped))
    deliver = on(Deliver, shipped.to(delivered))
    cancel = on(Cancel, (pending | paid).to(cancelled))
    refund = on(Refund, (paid | delivered).to(refunded))
    expire = after(timedelta(hours=24), pending.to(cancelled))
