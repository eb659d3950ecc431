"""xstate-statemachine: one machine from a config, a SyncInterpreter for each order, events made beforehand."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from xstate_statemachine import Event, MachineLogic, SyncInterpreter, create_machine

from bench.order import DELIVER, ORDER, PAY, SHIP, covers_total, mark_shipped
from bench.peers import Peer

__all__ = ["PEER"]

logging.getLogger("xstate_statemachine").setLevel(logging.ERROR)


def _covers(context: dict[str, Any], event: Any) -> bool:
    return covers_total(context["order"], event.payload["event"])


def _mark(interpreter: object, context: dict[str, Any], event: Any, action: object) -> None:
    context["order"] = mark_shipped(context["order"], event.payload["event"])


_machine = create_machine(
    {
        "id": "order",
        "initial": "pending",
        "context": {"order": ORDER},
        "states": {
            "pending": {"on": {"PAY": {"target": "paid", "guard": "covers"}}},
            "paid": {"on": {"SHIP": {"target": "shipped", "actions": ["mark"]}}},
            "shipped": {"on": {"DELIVER": "delivered"}},
            "delivered": {"type": "final"},
        },
    },
    logic=MachineLogic(guards={"covers": _covers}, actions={"mark": _mark}),
)
_pay = Event("PAY", {"event": PAY})
_ship = Event("SHIP", {"event": SHIP})
_deliver = Event("DELIVER", {"event": DELIVER})


def _make() -> Any:
    return SyncInterpreter(_machine).start()


def _drive(orders: Sequence[Any]) -> None:
    for order in orders:
        order.send(_pay)
        order.send(_ship)
        order.send(_deliver)


def _is_delivered(order: Any) -> bool:
    return "order.delivered" in order.current_state_ids and order.context["order"].parcels == 1


PEER = Peer("xstate-statemachine", _make, _drive, _is_delivered, 200)
