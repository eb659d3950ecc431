"""An order across payment and inventory, as a saga: paid, reserved and shipped, or none of it."""

from datetime import timedelta

from stateward import Actions, Context, Effect, Event, Saga, Stage, State, Undo, reply, undo_on


class Charge(Effect):
    order: str
    amount: int


class Refund(Effect):
    order: str
    payment: str


class Reserve(Effect):
    order: str
    items: tuple[str, ...]


class Release(Effect):
    order: str


class HandOver(Effect):
    order: str


class SendInvoice(Effect):
    order: str


class CallSupport(Effect):
    order: str
    about: str


class Paid(Event):
    payment: str


class Declined(Event):
    reason: str


class ChargeAbandoned(Event):
    pass


class Refunded(Event):
    pass


class RefundRefused(Event):
    reason: str = ""


class Reserved(Event):
    pass


class SoldOut(Event):
    item: str


class Released(Event):
    pass


class ReleaseRefused(Event):
    pass


class Shipped(Event):
    tracking: str


class Unshippable(Event):
    pass


class Invoiced(Event):
    pass


class InvoiceBounced(Event):
    pass


class CancelOrder(Event):
    pass


class Order(Context):
    id: str
    total: int
    items: tuple[str, ...] = ()
    payment: str = ""
    tracking: str = ""
    why: str = ""


def charge(order: Order, event: Event) -> Actions[Order]:
    yield Charge(order.id, order.total)
    return order


def refund(order: Order, event: Event) -> Actions[Order]:
    """Of whatever was paid: a charge that was given up has told no payment, and may have gone through."""
    yield Refund(order.id, order.payment)
    return order


def reserve(order: Order, event: Event) -> Actions[Order]:
    yield Reserve(order.id, order.items)
    return order


def release(order: Order, event: Event) -> Actions[Order]:
    yield Release(order.id)
    return order


def hand_over(order: Order, event: Event) -> Actions[Order]:
    yield HandOver(order.id)
    return order


def send_invoice(order: Order, event: Event) -> Actions[Order]:
    yield SendInvoice(order.id)
    return order


def call_support(order: Order, event: Event) -> Actions[Order]:
    yield CallSupport(order.id, "the refund")
    return order


def keep_payment(order: Order, event: Paid) -> Order:
    return order.replace(payment=event.payment)


def keep_decline(order: Order, event: Declined) -> Order:
    return order.replace(why=event.reason)


def keep_tracking(order: Order, event: Shipped) -> Order:
    return order.replace(tracking=event.tracking)


class OrderShipping(Saga[Order]):
    """An order paid, reserved and shipped, or none of it."""

    version = 1

    payment = Stage(
        charge,
        done=reply(Paid, do=keep_payment),
        failed=reply(Declined, do=keep_decline),
        abandoned=ChargeAbandoned,
        timeout=timedelta(minutes=15),
        undo=Undo(
            refund,
            done=Refunded,
            failed=RefundRefused,
            not_undone=State(entry=call_support, sla=timedelta(hours=4)),
        ),
    )
    goods = Stage(
        reserve,
        done=Reserved,
        failed=SoldOut,
        timeout=timedelta(minutes=5),
        undo=Undo(release, done=Released, failed=ReleaseRefused),
    )
    parcel = Stage(
        hand_over,
        done=reply(Shipped, do=keep_tracking),
        failed=Unshippable,
        timeout=timedelta(days=1),
        pivot=True,
    )
    invoice = Stage(send_invoice, done=Invoiced, failed=InvoiceBounced)

    cancel = undo_on(CancelOrder)
