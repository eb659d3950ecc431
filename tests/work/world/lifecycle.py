"""The life of an order in the test world: money and goods are asked for outside, and given back if it comes to nothing.

    draft ── Checkout ──▶ paying ── Charged ──▶ reserving ── Reserved ──▶ packing ── 20 minutes ──▶ completed
                            │  Declined ─▶ declined   │ OutOfStock            │
                            │ Cancel                  │ Cancel, 30 minutes    │ Cancel
                            ▼                         ▼                       ▼
                         stopping ── Charged ──▶ unwinding (money and goods given back, in any order) ──▶ cancelled

A payment whose outcome nobody knows, since its handler gave up, is unwound too: a refund gives back what was taken, if
anything was, and sees to it that nothing is taken later.
"""

from __future__ import annotations

from datetime import timedelta

from stateward import (
    Actions,
    Composite,
    Context,
    Effect,
    Elapsed,
    Event,
    Final,
    Lifecycle,
    Parallel,
    State,
    after,
    done,
    on,
)

__all__ = [
    "EFFECTS",
    "EVENTS",
    "FINAL_STATES",
    "UNORDERED",
    "Cancel",
    "Charge",
    "ChargeAbandoned",
    "Charged",
    "Checkout",
    "Declined",
    "Labelled",
    "Notify",
    "Order",
    "OrderLifecycle",
    "OutOfStock",
    "Receipt",
    "Refund",
    "RefundAbandoned",
    "Refunded",
    "Release",
    "ReleaseAbandoned",
    "Released",
    "Reserve",
    "ReserveAbandoned",
    "Reserved",
    "Track",
]


class Checkout(Event):
    amount: int


class Cancel(Event):
    reason: str = ""


class Charged(Event):
    amount: int
    payment: str


class Declined(Event):
    reason: str


class ChargeAbandoned(Event):
    pass


class Reserved(Event):
    shelf: str


class Labelled(Event):
    label: str


class OutOfStock(Event):
    pass


class ReserveAbandoned(Event):
    pass


class Refunded(Event):
    amount: int
    """Nothing, if nothing had been taken."""


class RefundAbandoned(Event):
    pass


class Released(Event):
    pass


class ReleaseAbandoned(Event):
    pass


class Charge(Effect):
    amount: int


class Refund(Effect):
    """Give back what was taken, if anything was, and take nothing from now on."""


class Reserve(Effect):
    pass


class Release(Effect):
    """Give back what was reserved, if anything was, and reserve nothing from now on."""


class Notify(Effect):
    text: str


class Receipt(Effect):
    amount: int


class Track(Effect):
    """For the statistics; in whatever order."""

    text: str


EVENTS: dict[str, type[Event]] = {
    each.__name__: each
    for each in (
        Checkout, Cancel, Charged, Declined, ChargeAbandoned, Reserved, Labelled, OutOfStock, ReserveAbandoned,
        Refunded, RefundAbandoned, Released, ReleaseAbandoned,
    )
}  # fmt: skip
EFFECTS: dict[str, type[Effect]] = {
    each.__name__: each for each in (Charge, Refund, Reserve, Release, Notify, Receipt, Track)
}
UNORDERED = frozenset({"Track"})
"""Effects that are done in whatever order."""
FINAL_STATES = frozenset({"completed", "declined", "cancelled"})


class Order(Context):
    """Amounts in cents."""

    amount: int = 0
    charged: int = 0
    refunded: int = 0
    payment: str = ""
    shelf: str = ""
    label: str = ""


def ask_for_money(order: Order, event: Checkout) -> Actions[Order]:
    yield Charge(amount=event.amount)
    yield Notify(text="we take your money")
    return order.replace(amount=event.amount)


def is_enough(order: Order, event: Charged) -> bool:
    return event.amount >= order.amount


def ask_for_goods(order: Order, event: Charged) -> Actions[Order]:
    yield Receipt(amount=event.amount)
    yield Reserve()
    return order.replace(charged=event.amount, payment=event.payment)


def note_payment(order: Order, event: Charged) -> Order:
    return order.replace(charged=event.amount, payment=event.payment)


def note_shelf(order: Order, event: Reserved) -> Actions[Order]:
    yield Notify(text="we pack")
    yield Track(text=f"reserved at {event.shelf}")
    return order.replace(shelf=event.shelf)


def note_label(order: Order, event: Labelled) -> Order:
    return order.replace(label=event.label)


def note_refund(order: Order, event: Refunded) -> Actions[Order]:
    if event.amount:
        yield Notify(text="your money is on its way")
    return order.replace(refunded=event.amount)


def say_shipped(order: Order, event: Elapsed) -> Actions[Order]:
    yield Notify(text="it is on its way")
    yield Track(text="shipped")
    return order


def say_declined(order: Order, event: Declined) -> Actions[Order]:
    yield Notify(text=event.reason)
    return order


def give_money_back(order: Order, event: Event) -> Actions[Order]:
    yield Refund()
    return order


def give_goods_back(order: Order, event: Event) -> Actions[Order]:
    yield Release()
    return order


def say_cancelled(order: Order, event: Event) -> Actions[Order]:
    yield Notify(text="cancelled")
    return order


class OrderLifecycle(Lifecycle[Order]):
    """An order, from a draft to completion, or back."""

    draft = State(initial=True)
    paying = State(sla=timedelta(hours=2))
    stopping = State()
    reserving = State()
    packing = State()

    class unwinding(Parallel):
        class money(Composite):
            refunding = State(initial=True, entry=give_money_back)
            stuck = State()
            refunded = Final()

            refund = on(Refunded, (refunding | stuck).to(refunded, do=note_refund))
            fail = on(RefundAbandoned, refunding.to(stuck), already=stuck)

        class goods(Composite):
            releasing = State(initial=True, entry=give_goods_back)
            stuck = State()
            released = Final()

            release = on(Released, (releasing | stuck).to(released))
            fail = on(ReleaseAbandoned, releasing.to(stuck), already=stuck)

    completed = Final()
    declined = Final()
    cancelled = Final(entry=say_cancelled)

    checkout = on(Checkout, draft.to(paying), do=ask_for_money)
    charge = on(
        Charged,
        paying.to(reserving, when=is_enough, do=ask_for_goods),
        stopping.to(unwinding, do=note_payment),
        already=reserving | packing | unwinding | completed,
    )
    decline = on(
        Declined,
        paying.to(declined, do=say_declined),
        stopping.to(cancelled),
        already=unwinding | declined,
    )
    give_up_charging = on(ChargeAbandoned, (paying | stopping).to(unwinding), already=unwinding)
    reserve = on(Reserved, reserving.to(packing, do=note_shelf), already=packing | unwinding | completed)
    label = on(Labelled, packing.stay(do=note_label), already=unwinding | completed)
    lack = on(OutOfStock, reserving.to(unwinding), already=unwinding)
    give_up_reserving = on(ReserveAbandoned, reserving.to(unwinding), already=unwinding)
    cancel = on(
        Cancel,
        draft.to(cancelled),
        paying.to(stopping),
        (reserving | packing).to(unwinding),
        already=stopping | unwinding | cancelled,
    )
    unwound = done(unwinding.to(cancelled))

    expire = after(timedelta(hours=24), draft.to(cancelled))
    give_up = after(timedelta(minutes=30), paying.to(unwinding), stopping.to(unwinding), reserving.to(unwinding))
    ship = after(timedelta(minutes=20), packing.to(completed), do=say_shipped)
