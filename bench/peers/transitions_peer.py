"""transitions: one Machine that all orders share as its models, as its documentation advises for many."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from transitions import Machine

from bench.order import DELIVER, ORDER, PAY, SHIP, Order, Pay, Ship, covers_total, mark_shipped
from bench.peers import Peer

__all__ = ["PEER"]

logging.getLogger("transitions").setLevel(logging.ERROR)


class _Model:
    state: str

    def __init__(self) -> None:
        self.context: Order = ORDER

    def covers(self, event: Pay) -> bool:
        return covers_total(self.context, event)

    def mark(self, event: Ship) -> None:
        self.context = mark_shipped(self.context, event)


_machine = Machine(
    model=None,
    states=["pending", "paid", "shipped", "delivered"],
    transitions=[
        {"trigger": "pay", "source": "pending", "dest": "paid", "conditions": "covers"},
        {"trigger": "ship", "source": "paid", "dest": "shipped", "before": "mark"},
        {"trigger": "deliver", "source": "shipped", "dest": "delivered"},
    ],
    initial="pending",
    auto_transitions=False,
)


def _make() -> Any:
    model = _Model()
    _machine.add_model(model)
    # The machine would keep every model that it ever had, and look through them all when one is added.
    _machine.models.clear()
    return model


def _drive(orders: Sequence[Any]) -> None:
    for order in orders:
        order.pay(PAY)
        order.ship(SHIP)
        order.deliver(DELIVER)


def _is_delivered(order: _Model) -> bool:
    return order.state == "delivered" and order.context.parcels == 1


PEER = Peer("transitions", _make, _drive, _is_delivered, 500)
