"""python-statemachine: a StateMachine class; guard and action are methods, whose parameters it looks up by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from statemachine import State, StateMachine

from bench.order import DELIVER, ORDER, PAY, SHIP, Order, Pay, Ship, covers_total, mark_shipped
from bench.peers import Peer

__all__ = ["PEER"]


class _Machine(StateMachine):
    pending = State(initial=True)
    paid = State()
    shipped = State()
    delivered = State(final=True)

    pay = pending.to(paid, cond="covers")
    ship = paid.to(shipped, on="mark")
    deliver = shipped.to(delivered)

    def __init__(self) -> None:
        self.context: Order = ORDER
        super().__init__()

    def covers(self, given: Pay) -> bool:
        return covers_total(self.context, given)

    def mark(self, given: Ship) -> None:
        self.context = mark_shipped(self.context, given)


def _drive(orders: Sequence[Any]) -> None:
    for order in orders:
        order.pay(PAY)
        order.ship(SHIP)
        order.deliver(DELIVER)


def _is_delivered(order: Any) -> bool:
    return bool(order.delivered.is_active) and order.context.parcels == 1


PEER = Peer("python-statemachine", _Machine, _drive, _is_delivered, 50)
