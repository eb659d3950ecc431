"""Orders, and a made-up log of them for where no real log is at hand.

The log is made by chance, from a seed: customers underpay, pay twice, cancel too late; parcels are shipped
before they are paid. What does not belong in an order's life is for the lifecycle to refuse.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import NamedTuple

from stateward.chart import Actions, Context, Effect, Event, Final, Lifecycle, State, after, on

__all__ = ["LoggedEvent", "Order", "OrderLifecycle", "made_up_log"]


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


class LoggedEvent(NamedTuple):
    """One event of a log: who did what to which order, and when."""

    entity: str
    at: datetime
    actor: str
    event: Event


_START = datetime(2026, 1, 1, tzinfo=UTC)


def made_up_log(orders: int, seed: int) -> Iterator[LoggedEvent]:
    """A log of this many orders, in order of time; equal seeds give equal logs."""
    chance = Random(seed)
    log: list[LoggedEvent] = []
    for number in range(1, orders + 1):
        at = _START + timedelta(minutes=number)
        for event in _life(chance):
            at += timedelta(minutes=chance.expovariate(1 / 300))
            log.append(LoggedEvent(f"order-{number:05}", at, f"customer:{number % 97}", event))
    log.sort(key=lambda each: each.at)
    return iter(log)


def _life(chance: Random) -> Iterator[Event]:
    """The events of one order; not all of them belong there."""
    if chance.random() < 0.15:
        yield Pay(amount=chance.randrange(100, 4200))
    if chance.random() < 0.05:
        yield Ship()
    if chance.random() < 0.1:
        yield Cancel()
    yield Pay(amount=4200)
    if chance.random() < 0.08:
        yield Pay(amount=4200)
    yield Ship()
    if chance.random() < 0.05:
        yield Cancel()
    yield Deliver()
    if chance.random() < 0.1:
        yield Refund()
