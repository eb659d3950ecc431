"""Orders with payment, on an engine: the money is asked for after commit, and the answer comes back as an event.

What it shows:

- the wait for the world is a state of its own: `paying` until the provider has answered, `refunding` until the money
  is back; nothing is asked twice, since a second `Pay` finds the order there already (`already=`);
- effects are data: `Charge` is kept with the transition that asks for it, and a handler does it afterwards, under a key
  that stays the same however often it is tried, so that the provider charges once;
- what a charge that was given up has come to, nobody knows: the order is `unclear` until people or the provider tell;
- timers: an order that nobody pays for is cancelled after a day, one that was delivered is closed after a month.

Run it with `python -m examples.orders`.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from stateward import (
    Actions,
    AsyncEngine,
    Call,
    Context,
    Effect,
    Engine,
    Event,
    Final,
    GiveUp,
    Lifecycle,
    Refused,
    Retry,
    State,
    after,
    on,
)


class Pay(Event):
    amount: int


class Charged(Event):
    payment: str


class Declined(Event):
    reason: str


class ChargeGivenUp(Event):
    pass


class Ship(Event):
    tracking: str


class Deliver(Event):
    pass


class Cancel(Event):
    reason: str = ""


class SendBack(Event):
    pass


class Refunded(Event):
    pass


class Charge(Effect):
    amount: int


class Refund(Effect):
    payment: str


class Notify(Effect):
    text: str


class Order(Context):
    total: int
    """In cents."""
    payment: str = ""
    """What the provider knows the payment by."""
    tracking: str = ""
    problem: str = ""
    """Why it was declined or cancelled."""


def covers_total(order: Order, event: Pay) -> bool:
    return event.amount >= order.total


def ask_for_money(order: Order, event: Pay) -> Actions[Order]:
    yield Charge(order.total)
    return order.replace(problem="")


def keep_payment(order: Order, event: Charged) -> Order:
    return order.replace(payment=event.payment)


def keep_decline(order: Order, event: Declined) -> Order:
    return order.replace(problem=event.reason)


def keep_reason(order: Order, event: Cancel) -> Order:
    return order.replace(problem=event.reason)


def send_off(order: Order, event: Ship) -> Actions[Order]:
    yield Notify(f"your parcel is on its way: {event.tracking}")
    return order.replace(tracking=event.tracking)


def give_back(order: Order, event: Event) -> Actions[Order]:
    yield Refund(order.payment)
    return order


class OrderLifecycle(Lifecycle[Order]):
    """An order, from checkout to delivery, or its money back."""

    version = 1

    pending = State(initial=True, sla=timedelta(days=1))
    paying = State(sla=timedelta(minutes=15))
    unclear = State(sla=timedelta(hours=4))
    paid = State(sla=timedelta(days=2))
    shipped = State(sla=timedelta(days=10))
    delivered = State()
    refunding = State(entry=give_back, sla=timedelta(days=1))
    cancelled = Final()
    refunded = Final()
    closed = Final()

    pay = on(Pay, pending.to(paying), when=covers_total, do=ask_for_money, already=paying | paid | shipped | delivered)
    charged = on(Charged, (paying | unclear).to(paid), do=keep_payment, already=paid | shipped | delivered)
    declined = on(Declined, (paying | unclear).to(pending), do=keep_decline)
    give_up = on(ChargeGivenUp, paying.to(unclear))
    ship = on(Ship, paid.to(shipped), do=send_off, already=shipped | delivered)
    deliver = on(Deliver, shipped.to(delivered), already=delivered)
    cancel = on(Cancel, pending.to(cancelled), paid.to(refunding), do=keep_reason, already=cancelled)
    send_back = on(SendBack, (shipped | delivered).to(refunding))
    refund = on(Refunded, refunding.to(refunded))

    expire = after(timedelta(days=1), pending.to(cancelled))
    close = after(timedelta(days=30), delivered.to(closed))


class Provider:
    """A payment provider, as far as an order can see one: it honours keys, and may be out of reach."""

    def __init__(self) -> None:
        self.payments: dict[str, str] = {}
        """By the key under which each was asked for."""
        self.refunds: dict[str, str] = {}
        self.outages = 0
        """How many of the next calls fail."""

    def charge(self, amount: int, key: str) -> str:
        """The payment; the same again for a key that was honoured before."""
        if self.outages:
            self.outages -= 1
            message = "the provider is out of reach"
            raise ConnectionError(message)
        if amount > 100_000:
            message = f"{amount / 100:.2f} is more than the card is good for"
            raise PermissionError(message)
        return self.payments.setdefault(key, f"pay-{len(self.payments) + 1}")

    def refund(self, payment: str, key: str) -> None:
        """Give a payment back."""
        if payment not in self.payments.values():
            message = f"there is no payment {payment!r}"
            raise GiveUp(message)
        self.refunds.setdefault(key, payment)


def register(engine: Engine | AsyncEngine, provider: Provider, notify: Callable[[str, str], None]) -> None:
    """Say who does what the effects ask for.

    Args:
        engine: the engine whose workers do it.
        provider: who charges and refunds.
        notify: called with an order and what its customer is told.
    """

    @engine.handles(Charge, retry=Retry(limit=8), timeout=timedelta(seconds=20), on_dead=ChargeGivenUp)
    def charge(effect: Charge, call: Call) -> Charged | Declined:
        try:
            return Charged(payment=provider.charge(effect.amount, key=call.key))
        except PermissionError as no:  # an answer, and not a failure: asking again would not help
            return Declined(reason=str(no))

    @engine.handles(Refund)
    def refund(effect: Refund, call: Call) -> Refunded:
        provider.refund(effect.payment, key=call.key)
        return Refunded()

    @engine.handles(Notify, ordered=False)
    def tell(effect: Notify, call: Call) -> None:
        notify(call.entity, effect.text)


def make_engine(
    ledger: str | Path = "sqlite://",
    *,
    provider: Provider | None = None,
    notify: Callable[[str, str], None] = lambda order, text: None,
    clock: Callable[[], datetime] | None = None,
) -> Engine:
    """An engine for orders, its handlers registered: `stateward run --app examples.orders:make_engine`.

    Args:
        ledger: where the orders are kept; in memory, if nothing is said.
        provider: who charges and refunds; one of its own, if none is given.
        notify: called with an order and what its customer is told.
        clock: the time; the system's if it is not given.
    """
    engine = Engine(ledger, lifecycles=[OrderLifecycle], clock=clock)
    register(engine, provider or Provider(), notify)
    return engine


def main() -> None:
    """Three orders: one that is delivered, one that is refused something, one that nobody pays for."""
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)
    provider = Provider()
    engine = make_engine(
        provider=provider, notify=lambda order, text: print(f"  to the customer of {order}: {text}"), clock=lambda: now
    )
    engine.listen(
        lambda what: print(
            f"{what.entity_id}  {what.event}: {what.state_from or 'new'} -> {what.state_to}"
            if what.outcome == "applied"
            else f"{what.entity_id}  {what.event}: {what.outcome} in {what.state_from}"
        )
    )
    engine.create(OrderLifecycle, "A-17", Order(total=4200), actor="customer:9", key="cart-5")
    engine.send(OrderLifecycle, "A-17", Pay(amount=4200), actor="customer:9", key="payment-1")
    engine.send(OrderLifecycle, "A-17", Pay(amount=4200), actor="customer:9")  # once more: nothing is left to do
    provider.outages = 1
    engine.drain()  # what is due now: the first attempt, which fails
    [pending] = engine.pending(OrderLifecycle, "A-17")
    print(f"  {pending.effect} of A-17, attempt {pending.attempts}: {pending.last_error}")
    now += timedelta(minutes=1)
    engine.drain()
    engine.send(OrderLifecycle, "A-17", Ship(tracking="T-1"), actor="warehouse:2")
    engine.send(OrderLifecycle, "A-17", Deliver(), actor="carrier:1")
    engine.drain()

    engine.create(OrderLifecycle, "A-18", Order(total=9900), actor="customer:8")
    try:
        engine.send(OrderLifecycle, "A-18", Pay(amount=4200), actor="customer:8")
    except Refused:
        print(engine.why(OrderLifecycle, "A-18", Pay(amount=4200)))
    now += timedelta(days=1)
    engine.drain()

    print(engine.census(OrderLifecycle), list(provider.payments.values()))
    engine.close()


if __name__ == "__main__":
    main()
