"""harel: a definition from its own language, run in the caller's thread on its store in memory.

Its guards and actions are expressions over its context, so they do the same work, but are not the same functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import harel

from bench.order import ORDER, PAY
from bench.peers import Peer

__all__ = ["PEER"]

_definition = harel.definition_from_dsl(
    """
    event Pay { amount: int }
    event Ship {}
    event Deliver {}

    machine order {
      context { total: int = 4200  parcels: int = 0 }
      initial Pending
      state Pending {}
      state Paid {}
      state Shipped {}
      final Delivered success

      from Pending to Paid on Pay where amount >= context.total
      from Paid to Shipped on Ship set context.parcels = context.parcels + 1
      from Shipped to Delivered on Deliver
    }
    """,
    "order",
)


def _make() -> Any:
    # A driver each: its store keeps every execution, and a shared one would grow from round to round.
    driver = harel.Driver(_definition, execution="inline")
    execution = harel.Execution(definition_id=_definition.id, context={"total": ORDER.total, "parcels": 0})
    driver.start(execution)
    events = (
        harel.Event(kind="Pay", data={"amount": PAY.amount}),
        harel.Event(kind="Ship"),
        harel.Event(kind="Deliver"),
    )
    return driver, execution, events


def _drive(orders: Sequence[Any]) -> None:
    for driver, execution, (pay, ship, deliver) in orders:
        driver.inject(execution, pay)
        driver.inject(execution, ship)
        driver.inject(execution, deliver)


def _is_delivered(order: Any) -> bool:
    _, execution, _ = order
    return execution.active_path == "Delivered" and execution.context["parcels"] == 1


PEER = Peer("harel", _make, _drive, _is_delivered, 100)
