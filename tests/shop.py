"""An application for the tests of what operators do: orders that are charged, some by handlers that wait.

What an order's id begins with says how it fares: `bad` is given up at once, `slow` waits for a line in the pipe
`slow.pipe`, and `stuck` is never answered. The ledger is what SHOP_LEDGER says.
"""

from __future__ import annotations

import asyncio
import logging
import os
from datetime import timedelta
from pathlib import Path
from threading import Event as ThreadEvent

from stateward import (
    Actions,
    Call,
    Context,
    Effect,
    Event,
    Final,
    GiveUp,
    LedgerUnavailable,
    Lifecycle,
    State,
    after,
    on,
)
from stateward.engine import AsyncEngine, Engine
from stateward.ledger import Entity

__all__ = ["Buy", "Charge", "Charged", "Order", "OrderLifecycle"]

_log = logging.getLogger("shop")


class Buy(Event):
    amount: int = 1


class Charged(Event):
    pass


class Charge(Effect):
    amount: int


class Order(Context):
    amount: int = 0


def ask_for_money(order: Order, event: Buy) -> Actions[Order]:
    yield Charge(amount=event.amount)
    return order.replace(amount=event.amount)


class OrderLifecycle(Lifecycle[Order]):
    """An order, bought, and paid when it is charged."""

    version = 1

    pending = State(initial=True)
    charging = State()
    paid = State()
    expired = Final()

    buy = on(Buy, pending.to(charging), do=ask_for_money)
    charged = on(Charged, charging.to(paid), already=paid)
    expire = after(timedelta(days=1), pending.to(expired))
    lapse = after(timedelta(hours=1), charging.to(expired))


def ledger() -> str:
    """Where the orders are."""
    return os.environ.get("SHOP_LEDGER", "shop.db")


def charge(effect: Charge, call: Call) -> Charged:
    """The handler, as a function."""
    if call.entity.startswith("bad"):
        message = f"no money\nfor {call.entity}"
        raise GiveUp(message)
    _log.info("charging %s", call.entity)
    if call.entity.startswith("slow"):
        with Path("slow.pipe").open() as pipe:
            pipe.readline()
    if call.entity.startswith("stuck"):
        ThreadEvent().wait()
    _log.info("charged %s", call.entity)
    return Charged()


async def charge_in_a_task(effect: Charge, call: Call) -> Charged:
    """The handler, as a coroutine."""
    _log.info("charging %s", call.entity)
    if call.entity.startswith("stuck"):
        await asyncio.Event().wait()
    return Charged()


def make() -> Engine:
    """An engine of threads."""
    engine = Engine(ledger(), lifecycles=[OrderLifecycle])
    engine.handles(Charge)(charge)
    return engine


def make_async() -> AsyncEngine:
    """An engine of tasks."""
    engine = AsyncEngine(ledger(), lifecycles=[OrderLifecycle])
    engine.handles(Charge)(charge_in_a_task)
    return engine


def make_asking() -> Engine:
    """An engine that asks about each order, and is never answered."""
    engine = Engine(ledger(), lifecycles=[OrderLifecycle])

    @engine.reconcile(
        OrderLifecycle, OrderLifecycle.pending, older_than=timedelta(microseconds=1), every=timedelta(hours=1)
    )
    def ask(entity: Entity[Order]) -> None:
        _log.info("asking about %s", entity.id)
        ThreadEvent().wait()

    return engine


async def make_later() -> Engine:
    """No function that makes an engine: a coroutine function."""
    return make()


def make_with(address: str) -> Engine:
    """No function that can be called without more ado."""
    return Engine(address, lifecycles=[])


def make_none() -> int:
    """A function that makes something else."""
    return 7


def make_away() -> Engine:
    """A function whose ledger is away."""
    message = "the ledger is on holiday"
    raise LedgerUnavailable(message)


def make_broken() -> Engine:
    """A function that is at fault."""
    return Engine(os.environ["SHOP_NOWHERE"], lifecycles=[])
