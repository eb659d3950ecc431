"""Orders with payment, and made-up lives of them: what customers, a warehouse and a carrier send, drawn from a seed.

Not all of it belongs in an order's life: customers underpay, pay twice and cancel too late, and parcels are to be
shipped before they are paid for. What does not belong there is for the lifecycle to refuse.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from random import Random
from typing import NamedTuple

from stateward.chart import Actions, Context, Effect, Event, Final, Lifecycle, State, after, on

__all__ = ["CARD_LIMIT", "Life", "Order", "OrderLifecycle", "made_up_lives"]

CARD_LIMIT = 100_000
"""More than this, in cents, the demo's payment provider declines."""


class Reserve(Event):
    """The customer wants the goods put aside for a moment."""


class Pay(Event):
    """The customer wants to pay."""

    amount: int


class Charged(Event):
    """The provider has the money."""

    payment: str


class Declined(Event):
    """The provider says no."""

    reason: str


class Ship(Event):
    """The parcel has left."""


class Deliver(Event):
    """The parcel has arrived."""


class Cancel(Event):
    """The customer wants out."""


class SendBack(Event):
    """The parcel comes back."""


class Refunded(Event):
    """The money was given back."""


class Charge(Effect):
    """Ask the payment provider for this amount."""

    amount: int


class Refund(Effect):
    """Have the payment provider give a payment back."""

    payment: str


class Notify(Effect):
    """Tell the customer."""

    text: str


class Order(Context):
    """What is known of an order; amounts in cents."""

    total: int = 4200
    payment: str = ""
    """What the provider knows the payment by."""
    problem: str = ""
    """Why it was declined."""


def covers_total(order: Order, event: Pay) -> bool:
    """Whether it is enough."""
    return event.amount >= order.total


def ask_for_money(order: Order, event: Pay) -> Actions[Order]:
    """Have the order's total charged."""
    yield Charge(amount=order.total)
    return order.replace(problem="")


def keep_payment(order: Order, event: Charged) -> Order:
    """Write down what the provider knows it by."""
    return order.replace(payment=event.payment)


def keep_problem(order: Order, event: Declined) -> Order:
    """Write down why it was declined."""
    return order.replace(problem=event.reason)


def announce(order: Order, event: Ship) -> Actions[Order]:
    """Tell the customer that the parcel is on its way."""
    yield Notify(text="your parcel is on its way")
    return order


def give_back(order: Order, event: Event) -> Actions[Order]:
    """Ask for the refund of what was paid."""
    yield Refund(payment=order.payment)
    return order


class OrderLifecycle(Lifecycle[Order]):
    """An order, from checkout to delivery, or its money back."""

    version = 1

    pending = State(initial=True, sla=timedelta(hours=1))
    held = State()
    paying = State(sla=timedelta(minutes=15))
    paid = State(sla=timedelta(days=2))
    shipped = State()
    delivered = State()
    refunding = State(entry=give_back, sla=timedelta(days=1))
    cancelled = Final()
    refunded = Final()

    reserve = on(Reserve, pending.to(held))
    pay = on(
        Pay,
        (pending | held).to(paying),
        when=covers_total,
        do=ask_for_money,
        already=paying | paid | shipped | delivered,
    )
    charged = on(Charged, paying.to(paid), do=keep_payment, already=paid | shipped | delivered)
    declined = on(Declined, paying.to(pending), do=keep_problem)
    ship = on(Ship, paid.to(shipped), do=announce)
    deliver = on(Deliver, shipped.to(delivered))
    cancel = on(Cancel, (pending | held).to(cancelled), paid.to(refunding))
    send_back = on(SendBack, (shipped | delivered).to(refunding))
    refund = on(Refunded, refunding.to(refunded))
    expire = after(timedelta(hours=24), pending.to(cancelled))
    lapse = after(timedelta(seconds=2), held.to(cancelled))


class Life(NamedTuple):
    """What is sent to one order, in this order."""

    order: str
    customer: str
    total: int
    events: tuple[Event, ...]


def made_up_lives(orders: int, seed: int) -> Iterator[Life]:
    """The lives of so many orders; equal seeds give equal lives."""
    chance = Random(seed)
    for number in range(1, orders + 1):
        is_dear = chance.random() < 0.04
        total = chance.randrange(*((CARD_LIMIT + 1, 2 * CARD_LIMIT) if is_dear else (500, 50_000)))
        events = tuple(_life(chance, total))
        yield Life(f"B-{number:05}", f"customer:{chance.randrange(1, 500)}", total, events)


def _life(chance: Random, total: int) -> Iterator[Event]:
    if chance.random() < 0.12:
        yield Pay(amount=chance.randrange(1, total))
    if chance.random() < 0.05:
        yield Ship()
    if chance.random() < 0.08:
        yield Cancel()
        yield Pay(amount=total)
        return
    yield Pay(amount=total)
    if total > CARD_LIMIT:
        yield Cancel()
        return
    if chance.random() < 0.08:
        yield Pay(amount=total)
    if chance.random() < 0.06:
        yield Cancel()
        yield Ship()
        return
    yield Ship()
    if chance.random() < 0.05:
        yield Cancel()
    yield Deliver()
    if chance.random() < 0.08:
        yield SendBack()
