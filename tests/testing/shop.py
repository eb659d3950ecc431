"""The lifecycle that the test kit is tested with: an order that is charged, and given up when its time is over."""

from __future__ import annotations

from datetime import timedelta

from stateward import Actions, Context, Effect, Event, Final, Lifecycle, Meta, State, after, on


class Buy(Event):
    amount: int


class Charged(Event):
    reference: str = ""


class ChargeLost(Event):
    pass


class Ship(Event):
    pass


class Remind(Event):
    pass


class Charge(Effect):
    amount: int


class Announce(Effect):
    pass


class Order(Context):
    total: int = 100
    reference: str = ""


def covers_total(order: Order, event: Buy) -> bool:
    return event.amount >= order.total


def ask_for_money(order: Order, event: Buy) -> Actions[Order]:
    yield Charge(event.amount)
    return order


def keep_reference(order: Order, event: Charged) -> Order:
    return order.replace(reference=event.reference)


def announce(order: Order, event: Event) -> Actions[Order]:
    yield Announce()
    return order


def break_down(order: Order, event: Remind) -> Order:
    message = "out of paper"
    raise RuntimeError(message)


def has_time(order: Order, event: Ship, meta: Meta) -> bool:
    return meta.now is not None


class OrderLifecycle(Lifecycle[Order]):
    """An order, charged before it is shipped."""

    version = 1

    cart = State(initial=True)
    paying = State()
    paid = State(entry=announce)
    shipped = Final()
    lost = State()
    expired = Final()

    buy = on(Buy, cart.to(paying), when=covers_total, do=ask_for_money)
    charged = on(Charged, paying.to(paid), do=keep_reference)
    charge_lost = on(ChargeLost, paying.to(lost))
    ship = on(Ship, paid.to(shipped), when=has_time)
    remind = on(Remind, cart.stay(do=break_down))
    expire = after(timedelta(hours=24), cart.to(expired))


class Tick(Event):
    pass


class HeartLifecycle(Lifecycle[Order]):
    """What never comes to rest."""

    version = 1

    beating = State(initial=True)
    stopped = Final()

    beat = after(timedelta(minutes=1), beating.to(beating))
    stop = on(Tick, beating.to(stopped))
