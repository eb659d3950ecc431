"""The order machine that all of them run: pending, paid, shipped, delivered, by three events.

One event is guarded, one has an action that returns a new context, one is plain. Guard and action are the
same functions for whoever can call them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from stateward import Actions, Chart, Context, Effect, Event, Final, Lifecycle, State, chart_of, on

__all__ = [
    "DELIVER",
    "DICT_FLOOR",
    "FLOORS",
    "ORDER",
    "ORDER_CHART",
    "PAY",
    "SHIP",
    "Charge",
    "Deliver",
    "DictOrder",
    "Order",
    "OrderLifecycle",
    "Pay",
    "Ship",
    "ShippingLifecycle",
    "covers_total",
    "drive",
    "mark_shipped",
]


class Pay(Event):
    amount: int


class Ship(Event):
    pass


class Deliver(Event):
    pass


class Charge(Effect):
    amount: int


class Order(Context):
    total: int
    parcels: int = 0


PAY = Pay(4200)
SHIP = Ship()
DELIVER = Deliver()
ORDER = Order(4200)
"""The first context of every order: immutable, so they share it."""


def covers_total(order: Order, event: Pay) -> bool:
    return event.amount >= order.total


def mark_shipped(order: Order, event: Ship) -> Order:
    return Order(order.total, order.parcels + 1)


def mark_and_charge(order: Order, event: Ship) -> Actions[Order]:
    yield Charge(order.total)
    return Order(order.total, order.parcels + 1)


class OrderLifecycle(Lifecycle[Order]):
    pending = State(initial=True)
    paid = State()
    shipped = State()
    delivered = Final()

    pay = on(Pay, pending.to(paid), when=covers_total)
    ship = on(Ship, paid.to(shipped), do=mark_shipped)
    deliver = on(Deliver, shipped.to(delivered))


class ShippingLifecycle(Lifecycle[Order]):
    """As the order's, but that shipping yields an effect."""

    pending = State(initial=True)
    paid = State()
    shipped = State()
    delivered = Final()

    pay = on(Pay, pending.to(paid), when=covers_total)
    ship = on(Ship, paid.to(shipped), do=mark_and_charge)
    deliver = on(Deliver, shipped.to(delivered))


ORDER_CHART: Chart[Order] = chart_of(OrderLifecycle)


def drive(orders: Sequence[Any]) -> None:
    """Send the three events to each, in the way of the floors and of stateward's machines."""
    for order in orders:
        order.send(PAY)
        order.send(SHIP)
        order.send(DELIVER)


# The floors: what anybody would write by hand, with the same guard and the same action.

_TABLE: dict[tuple[str, type[Event]], tuple[str, Any, Any]] = {
    ("pending", Pay): ("paid", covers_total, None),
    ("paid", Ship): ("shipped", None, mark_shipped),
    ("shipped", Deliver): ("delivered", None, None),
}


class DictOrder:
    """A dict of (state, event class): the floor that ratios are to."""

    __slots__ = ("context", "state")

    def __init__(self, context: Order = ORDER) -> None:
        self.state = "pending"
        self.context = context

    def send(self, event: Event) -> None:
        entry = _TABLE.get((self.state, type(event)))
        if entry is None:
            raise ValueError(event)
        target, guard, action = entry
        if guard is not None and not guard(self.context, event):
            raise ValueError(event)
        if action is not None:
            self.context = action(self.context, event)
        self.state = target


class MatchOrder:
    """A match statement over state and event."""

    __slots__ = ("context", "state")

    def __init__(self) -> None:
        self.state = "pending"
        self.context = ORDER

    def send(self, event: Event) -> None:
        match self.state, event:
            case "pending", Pay() if covers_total(self.context, event):
                self.state = "paid"
            case "paid", Ship():
                self.context = mark_shipped(self.context, event)
                self.state = "shipped"
            case "shipped", Deliver():
                self.state = "delivered"
            case _:
                raise ValueError(event)


_EVENT_NUMBERS: dict[type[Event], int] = {Pay: 0, Ship: 1, Deliver: 2}
_ROWS: list[list[tuple[int, Any, Any] | None]] = [
    [(1, covers_total, None), None, None],
    [None, (2, None, mark_shipped), None],
    [None, None, (3, None, None)],
    [None, None, None],
]


class ListOrder:
    """A list of lists, indexed by small numbers."""

    __slots__ = ("context", "state")

    def __init__(self) -> None:
        self.state = 0
        self.context = ORDER

    def send(self, event: Event) -> None:
        entry = _ROWS[self.state][_EVENT_NUMBERS[type(event)]]
        if entry is None:
            raise ValueError(event)
        target, guard, action = entry
        if guard is not None and not guard(self.context, event):
            raise ValueError(event)
        if action is not None:
            self.context = action(self.context, event)
        self.state = target


DICT_FLOOR = "by hand: dict of (state, event)"
FLOORS: dict[str, Callable[[], Any]] = {
    DICT_FLOOR: DictOrder,
    "by hand: match statement": MatchOrder,
    "by hand: list of lists": ListOrder,
}
