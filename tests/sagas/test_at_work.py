"""The shipping example with handlers behind it, on a ledger: what the order of effects and late replies come to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from examples import shipping
from examples.shipping import OrderShipping
from stateward import Call, GiveUp, Snooze, UndoAgain
from stateward.testing import Clock, ScriptedHandlers, engine_on, pass_time


class World:
    """A payment provider and a store, the time, and an engine that works for them."""

    def __init__(self) -> None:
        self.clock = Clock(datetime(2026, 3, 1, tzinfo=UTC))
        self.charged: dict[str, int] = {}
        self.refunded: dict[str, int] = {}
        self.is_sold_out = False
        self.engine = engine_on(OrderShipping, ledger="sqlite://", clock=self.clock)
        self.handlers = ScriptedHandlers(self.engine)
        always = self.handlers.always
        always(shipping.Charge, self.charge, on_dead=shipping.ChargeAbandoned)
        always(shipping.Refund, self.refund, on_dead=shipping.RefundRefused)
        always(shipping.Reserve, self.reserve)
        always(shipping.Release, shipping.Released())
        always(shipping.HandOver, shipping.Shipped(tracking="t1"))
        always(shipping.SendInvoice, shipping.Invoiced())
        always(shipping.CallSupport, None)

    def charge(self, effect: shipping.Charge, call: Call) -> shipping.Paid:
        self.charged[effect.order] = effect.amount
        return shipping.Paid(payment=f"payment of {effect.order}")

    def refund(self, effect: shipping.Refund, call: Call) -> shipping.Refunded:
        """By the order's id, since the payment's may not be known: whatever was charged, and nothing twice."""
        self.refunded[effect.order] = self.charged.get(effect.order, 0)
        return shipping.Refunded()

    def reserve(self, effect: shipping.Reserve, call: Call) -> shipping.Reserved | shipping.SoldOut:
        return shipping.SoldOut(item="lamp") if self.is_sold_out else shipping.Reserved()

    @property
    def told(self) -> list[str]:
        """What the handlers were asked for, in order."""
        return [type(asked.effect).__name__ for asked in self.handlers.asked()]

    def after(self, minutes: int) -> str:
        """What has become of the order when so many minutes have gone by."""
        pass_time(self.engine, self.clock, timedelta(minutes=minutes))
        return self.engine.get(OrderShipping, "A-17").state

    def order(self) -> None:
        order = shipping.Order(id="A-17", total=4200, items=("lamp",))
        self.engine.create(OrderShipping, "A-17", order, actor="customer:9")


@pytest.fixture
def world() -> World:
    return World()


def test_an_order_goes_through(world: World) -> None:
    with world.engine, world.handlers:
        world.order()
        assert world.after(0) == "completed"
        assert world.told == ["Charge", "Reserve", "HandOver", "SendInvoice"]
        assert world.engine.get(OrderShipping, "A-17").context.tracking == "t1"


def test_what_is_sold_out_is_paid_back(world: World) -> None:
    with world.engine, world.handlers:
        world.is_sold_out = True
        world.order()
        assert world.after(0) == "undone"
        assert world.told == ["Charge", "Reserve", "Refund"]
        assert world.refunded == world.charged == {"A-17": 4200}


def test_a_charge_that_comes_after_it_was_given_up_is_refunded_since_its_undo_stands_behind_it(world: World) -> None:
    with world.engine, world.handlers:
        world.handlers.script(shipping.Charge, Snooze(timedelta(minutes=20)))
        world.order()
        assert world.after(0) == "awaiting_payment"
        assert world.after(16) == "undoing_payment"
        assert world.told == ["Charge"]  # the refund waits its turn
        assert world.after(5) == "undone"
        assert world.told == ["Charge", "Charge", "Refund"]
        assert world.refunded == world.charged == {"A-17": 4200}
        events = [(each.event, each.state_to) for each in world.engine.history(OrderShipping, "A-17")]
        assert events == [
            ("Started", "awaiting_payment"),
            ("elapsed(payment_timeout@awaiting_payment)", "undoing_payment"),
            ("Paid", "undoing_payment"),
            ("Refunded", "undone"),
        ]
        assert world.engine.get(OrderShipping, "A-17").context.payment == "payment of A-17"


def test_a_dead_letter_leaves_open_what_came_of_the_charge_and_is_undone(world: World) -> None:
    with world.engine, world.handlers:
        world.handlers.script(shipping.Charge, GiveUp("no answer worth trusting"))
        world.order()
        assert world.after(0) == "undone"
        assert world.told == ["Charge", "Refund"]


def test_a_refund_that_dies_calls_people_who_ask_for_it_again(world: World) -> None:
    with world.engine, world.handlers:
        world.is_sold_out = True
        world.handlers.script(shipping.Refund, GiveUp("the account is closed"))
        world.order()
        assert world.after(0) == "payment_not_undone"
        assert world.told[-2:] == ["Refund", "CallSupport"]
        again = UndoAgain(stage="payment", reason="it is open again")
        world.engine.send(OrderShipping, "A-17", again, actor="support:4")
        assert world.after(0) == "undone"
        assert world.refunded == {"A-17": 4200}
