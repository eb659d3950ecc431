"""The order machine in each peer's own way, with its listeners, logs and queues off where it has a switch.

Each factory makes an instance in its initial state; `send` takes one of the three events. What a peer can't
do (a guard in Automat) is said beside its name in the tables.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Protocol

import harel
from automat import TypeMachineBuilder
from statemachine import State as PeerState
from statemachine import StateMachine
from transitions import Machine as TransitionsMachine
from xstate_statemachine import MachineLogic, SyncInterpreter, create_machine

from bench.order import ORDER, Deliver, Order, Pay, Ship, covers_total, mark_shipped

__all__ = ["PEERS"]

logging.getLogger("xstate_statemachine").setLevel(logging.ERROR)
logging.getLogger("transitions").setLevel(logging.ERROR)


class _TransitionsOrder:
    """The model of one transitions machine, which all instances share, as its documentation advises."""

    def __init__(self) -> None:
        self.context = ORDER
        _TRANSITIONS.add_model(self, initial="pending")

    def covers(self, event: Pay) -> bool:
        return covers_total(self.context, event)

    def mark(self, event: Ship) -> None:
        self.context = mark_shipped(self.context, event)

    def send(self, event: object) -> None:
        if type(event) is Pay:
            self.pay(event)  # type: ignore[attr-defined]
        elif type(event) is Ship:
            self.ship(event)  # type: ignore[attr-defined]
        else:
            self.deliver(event)  # type: ignore[attr-defined]


_TRANSITIONS = TransitionsMachine(
    model=None,
    states=["pending", "paid", "shipped", "delivered"],
    transitions=[
        {"trigger": "pay", "source": "pending", "dest": "paid", "conditions": "covers"},
        {"trigger": "ship", "source": "paid", "dest": "shipped", "after": "mark"},
        {"trigger": "deliver", "source": "shipped", "dest": "delivered"},
    ],
    initial="pending",
    auto_transitions=False,
)


class _StateMachineOrder(StateMachine):
    pending = PeerState(initial=True)
    paid = PeerState()
    shipped = PeerState()
    delivered = PeerState(final=True)

    pay = pending.to(paid, cond="covers")
    ship = paid.to(shipped, on="mark")
    deliver = shipped.to(delivered)

    def __init__(self) -> None:
        self.context = ORDER
        super().__init__()

    def covers(self, given: Pay) -> bool:
        return covers_total(self.context, given)

    def mark(self, given: Ship) -> None:
        self.context = mark_shipped(self.context, given)


class _StateMachineAdapter:
    __slots__ = ("machine",)

    def __init__(self) -> None:
        self.machine = _StateMachineOrder()

    def send(self, event: object) -> None:
        if type(event) is Pay:
            self.machine.pay(event)
        elif type(event) is Ship:
            self.machine.ship(event)
        else:
            self.machine.deliver(event)


class _AutomatProtocol(Protocol):
    def send(self, event: Any) -> None: ...
    def pay(self, event: Pay) -> None: ...
    def ship(self, event: Ship) -> None: ...
    def deliver(self, event: Deliver) -> None: ...


class _AutomatCore:
    __slots__ = ("context",)

    def __init__(self) -> None:
        self.context = ORDER


def _automat() -> Callable[[], Any]:
    builder = TypeMachineBuilder(_AutomatProtocol, _AutomatCore)
    pending, paid, shipped, delivered = (builder.state(name) for name in ("pending", "paid", "shipped", "delivered"))

    pending.upon(_AutomatProtocol.pay).to(paid).returns(None)
    shipped.upon(_AutomatProtocol.deliver).to(delivered).returns(None)

    @paid.upon(_AutomatProtocol.ship).to(shipped)
    def _ship(_: _AutomatProtocol, core: _AutomatCore, event: Ship) -> None:
        core.context = mark_shipped(core.context, event)

    return builder.build()


class _AutomatAdapter:
    __slots__ = ("machine",)

    def __init__(self) -> None:
        self.machine = _AUTOMAT(_AutomatCore())

    def send(self, event: object) -> None:
        if type(event) is Pay:
            self.machine.pay(event)
        elif type(event) is Ship:
            self.machine.ship(event)
        else:
            self.machine.deliver(event)


_XSTATE = create_machine(
    {
        "id": "order",
        "initial": "pending",
        "context": {"order": None},
        "states": {
            "pending": {"on": {"PAY": {"target": "paid", "guard": "covers"}}},
            "paid": {"on": {"SHIP": {"target": "shipped", "actions": ["mark"]}}},
            "shipped": {"on": {"DELIVER": "delivered"}},
            "delivered": {"type": "final"},
        },
    },
    logic=MachineLogic(
        guards={"covers": lambda context, event: event.payload["amount"] >= ORDER.total},
        actions={"mark": lambda _i, context, _e, _a: context.update(order=Order(ORDER.total, 1))},
    ),
)


class _XStateOrder:
    __slots__ = ("machine",)

    def __init__(self) -> None:
        self.machine = SyncInterpreter(_XSTATE).start()

    def send(self, event: object) -> None:
        if type(event) is Pay:
            self.machine.send("PAY", amount=event.amount)
        elif type(event) is Ship:
            self.machine.send("SHIP")
        else:
            self.machine.send("DELIVER")


_HAREL = harel.definition_from_dsl(
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


class _HarelOrder:
    __slots__ = ("driver", "execution")

    def __init__(self) -> None:
        self.driver = _HAREL_DRIVER
        self.execution = harel.Execution(definition_id=_HAREL.id, context={"total": ORDER.total, "parcels": 0})
        self.driver.start(self.execution)

    def send(self, event: object) -> None:
        if type(event) is Pay:
            self.driver.inject(self.execution, harel.Event(kind="Pay", data={"amount": event.amount}))
        else:
            self.driver.inject(self.execution, harel.Event(kind=type(event).__name__))


_AUTOMAT = _automat()
_HAREL_DRIVER = harel.Driver(_HAREL, execution="inline")

PEERS: dict[str, tuple[Callable[[], Any], int]] = {
    "Automat (no guards)": (_AutomatAdapter, 5000),
    "transitions": (_TransitionsOrder, 500),
    "xstate-statemachine": (_XStateOrder, 200),
    "harel": (_HarelOrder, 100),
    "python-statemachine": (_StateMachineAdapter, 50),
}
"""How to make an instance, and how many of them a round drives."""
