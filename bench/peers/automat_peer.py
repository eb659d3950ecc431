"""Automat: a machine built from a protocol. It has no guards, so its `pay` asks nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from automat import TypeMachineBuilder

from bench.order import DELIVER, ORDER, PAY, SHIP, Deliver, Order, Pay, Ship, mark_shipped
from bench.peers import Peer

__all__ = ["PEER"]


class _Inputs(Protocol):
    def pay(self, event: Pay) -> None: ...
    def ship(self, event: Ship) -> None: ...
    def deliver(self, event: Deliver) -> None: ...


class _Core:
    __slots__ = ("context",)

    def __init__(self) -> None:
        self.context: Order = ORDER


def _build() -> Callable[[_Core], Any]:
    builder = TypeMachineBuilder(_Inputs, _Core)
    pending, paid, shipped, delivered = (builder.state(name) for name in ("pending", "paid", "shipped", "delivered"))

    pending.upon(_Inputs.pay).to(paid).returns(None)
    shipped.upon(_Inputs.deliver).to(delivered).returns(None)

    @paid.upon(_Inputs.ship).to(shipped)
    def _ship(inputs: _Inputs, core: _Core, event: Ship) -> None:  # pyright: ignore[reportUnusedFunction]
        core.context = mark_shipped(core.context, event)

    return builder.build()


_machine = _build()


def _make() -> Any:
    return _machine(_Core())


def _drive(orders: Sequence[Any]) -> None:
    for order in orders:
        order.pay(PAY)
        order.ship(SHIP)
        order.deliver(DELIVER)


def _is_delivered(order: Any) -> bool:
    # Its state is private, and shown by no method.
    return order.__automat_core__.context.parcels == 1 and order.__automat_transitioner__._state.name == "delivered"


PEER = Peer("Automat (no guards)", _make, _drive, _is_delivered, 5000)
