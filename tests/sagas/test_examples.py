"""The two examples, as stories."""

from __future__ import annotations

from typing import Any, TypeAlias

import pytest

from examples import shipping, subscription
from stateward import (
    DoAgain,
    DoneByHand,
    Elapsed,
    EventMarker,
    FoundNotDone,
    Lifecycle,
    Machine,
    StopWaiting,
    UndoAgain,
    chart_of,
    missing_facts,
)
from stateward.chart.lint import lint
from stateward.testing import assert_legal_path, assert_refused

LATE = "payment_timeout@awaiting_payment"
PARCEL_LATE = Elapsed("parcel_timeout@awaiting_parcel")
ORDER = shipping.Order(id="A-17", total=4200, items=("lamp",))
Path: TypeAlias = list[EventMarker | tuple[EventMarker, str]]
ON_ITS_WAY: Path = [shipping.Paid("p1"), (shipping.Reserved(), "awaiting_parcel")]


def order() -> Machine[shipping.Order]:
    return Machine(shipping.OrderShipping, ORDER)


def subscribed() -> Machine[subscription.Subscription]:
    return Machine(subscription.SubscriptionActivation, subscription.Subscription(subscriber="ada"))


def test_an_order_is_paid_reserved_shipped_and_invoiced() -> None:
    path = [*ON_ITS_WAY, shipping.Shipped("t1"), (shipping.Invoiced(), "completed"), shipping.Paid("p1")]
    *steps, again = assert_legal_path(shipping.OrderShipping, path, context=ORDER)
    assert [step.effects for step in steps] == [
        (shipping.Charge("A-17", 4200),),
        (shipping.Reserve("A-17", ("lamp",)),),
        (shipping.HandOver("A-17"),),
        (shipping.SendInvoice("A-17"),),
        (),
    ]
    assert steps[-1].snapshot.context.payment == "p1"
    assert again.outcome == "already_done"


def test_what_is_sold_out_is_paid_back() -> None:
    path: Path = [shipping.Paid("p1"), shipping.SoldOut("lamp"), (shipping.Refunded(), "undone")]
    [_, _, sold_out, _] = assert_legal_path(shipping.OrderShipping, path, context=ORDER)
    assert sold_out.effects == (shipping.Refund("A-17", "p1"),)


def test_a_charge_that_is_given_up_is_refunded_and_a_late_success_is_kept_for_who_must_do_it_again() -> None:
    machine = order()
    assert machine.send(Elapsed(LATE)).effects == (shipping.Refund("A-17", ""),)
    refused = machine.send(shipping.RefundRefused())
    assert refused.effects == (shipping.CallSupport("A-17", "the refund"),)
    late = machine.send(shipping.Paid("p1"))
    assert (late.outcome, late.effects, machine.state) == ("applied", (), "payment_not_undone")
    again = machine.send(UndoAgain(stage="payment", reason="the bank is back"))
    assert again.effects == (shipping.Refund("A-17", "p1"),)
    machine.send(shipping.Refunded())
    assert machine.state == "undone"
    assert machine.send(shipping.Paid("p1")).outcome == "already_done"


def test_nobody_cancels_a_parcel_that_may_be_on_its_way() -> None:
    for after in (ON_ITS_WAY, [*ON_ITS_WAY, (PARCEL_LATE, "parcel_in_doubt")]):
        assert_refused(shipping.OrderShipping, shipping.CancelOrder(), context=ORDER, after=after, kind="illegal")


def test_a_parcel_in_doubt_is_found_out() -> None:
    for event, state in (
        (shipping.Shipped("t1"), "awaiting_invoice"),
        (shipping.Unshippable(), "undoing_goods"),
        (DoAgain(stage="parcel", reason="they lost the call"), "awaiting_parcel"),
        (DoneByHand(stage="parcel", reason="the carrier has it"), "awaiting_invoice"),
        (FoundNotDone(stage="parcel", reason="it lies in the yard"), "undoing_goods"),
    ):
        assert_legal_path(shipping.OrderShipping, [*ON_ITS_WAY, PARCEL_LATE, (event, state)], context=ORDER)


def test_a_subscription_is_active_when_all_has_arrived() -> None:
    machine = subscribed()
    assert machine.started.effects == (subscription.OpenAccount("ada"),)
    machine.send(subscription.Entitled())
    machine.send(subscription.Paid("p1"))
    assert machine.send(subscription.Paid("p1")).outcome == "already_done"
    assert missing_facts(subscription.SubscriptionActivation, machine.state) == ("account",)
    assert machine.send(subscription.AccountOpened("a1")).effects == (subscription.Welcome("ada"),)
    assert machine.state == "active"


def test_what_was_paid_for_a_subscription_that_is_given_up_is_paid_back_even_if_it_comes_late() -> None:
    machine = subscribed()
    machine.send(subscription.Paid("p1"))
    overdue = machine.send(Elapsed("gathering.patience.expire@gathering.patience.in_time"))
    assert overdue.effects == (subscription.CallSupport("ada"),)
    given_up = machine.send(StopWaiting(reason="no account in two days"))
    assert given_up.effects == (subscription.RefundPayment("p1"),)
    machine = subscribed()
    machine.send(subscription.PaymentRefused())
    assert machine.send(subscription.Paid("p2")).effects == (subscription.RefundPayment("p2"),)
    assert machine.send(subscription.Paid("p2")).effects == ()


@pytest.mark.parametrize("lifecycle", [shipping.OrderShipping, subscription.SubscriptionActivation])
def test_an_example_passes_the_checks(lifecycle: type[Lifecycle[Any]]) -> None:
    assert lint(chart_of(lifecycle)) == []
