"""Paths are walked to their ends, and the first event that goes wrong is explained."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from stateward import Elapsed, Meta, SnapshotInvalid, chart_of
from stateward.testing import Coverage, assert_legal_path, assert_refused
from tests.testing.shop import Announce, Buy, Charge, Charged, ChargeLost, Order, OrderLifecycle, Remind, Ship, Tick

NOW = Meta(now=datetime(2026, 3, 1, tzinfo=UTC))
DAY = Elapsed("expire@cart")


def test_a_legal_path_gives_its_steps() -> None:
    started, bought, charged, shipped = assert_legal_path(
        OrderLifecycle,
        [(Buy(amount=100), "paying"), Charged(reference="p1"), (Ship(), "shipped")],
        context=Order(),
        meta=NOW,
    )
    assert started.timers_set[0].name == "expire@cart"
    assert bought.effects == (Charge(100),)
    assert charged.effects == (Announce(),)
    assert charged.snapshot.context.reference == "p1"
    assert shipped.state == "shipped"


def test_a_chart_and_a_configuration_to_begin_in_will_do() -> None:
    [step] = assert_legal_path(chart_of(OrderLifecycle), [ChargeLost()], context=Order(), at="paying")
    assert step.state == "lost"
    [_, expired] = assert_legal_path(OrderLifecycle, [DAY], context=Order())
    assert expired.state == "expired"


def test_an_event_that_is_refused_is_explained_with_the_way_there() -> None:
    with pytest.raises(AssertionError) as told:
        assert_legal_path(OrderLifecycle, [Buy(amount=100), Ship()], context=Order())
    assert str(told.value) == (
        "Order: event 2 of the path, Ship(), is refused in paying\n"
        "Ship on Order in paying: illegal, no transition takes it there\n"
        "  it is accepted in paid\n"
        "the way so far: cart, Buy -> paying"
    )


def test_what_a_guard_read_is_told() -> None:
    with pytest.raises(AssertionError) as told:
        assert_legal_path(OrderLifecycle, [Buy(amount=1)], context=Order())
    assert "cart -> paying: covers_total said no (event.amount = 1, context.total = 100)" in str(told.value)


def test_an_event_that_leads_elsewhere_is_told() -> None:
    with pytest.raises(AssertionError) as told:
        assert_legal_path(OrderLifecycle, [(Buy(amount=100), "paid")], context=Order())
    assert str(told.value) == (
        "Order: event 1 of the path, Buy(amount=100), leads to paying, and not to paid\n"
        "Buy on Order in cart: applied, leads to paying\n"
        "  cart -> paying: covers_total said yes (event.amount = 100, context.total = 100)\n"
        "the way so far: cart"
    )


def test_a_handler_that_raises_is_told() -> None:
    with pytest.raises(AssertionError) as told:
        assert_legal_path(OrderLifecycle, [Remind()], context=Order())
    first, *_ = str(told.value).splitlines()
    assert first.startswith("Order: event 1 of the path, Remind(), raised Order in cart, handling Remind: ")
    assert "out of paper" in first


def test_what_must_be_refused_is() -> None:
    refusal = assert_refused(OrderLifecycle, Ship(), context=Order(), after=[Buy(amount=100)], kind="illegal")
    assert (refusal.kind, refusal.state) == ("illegal", "paying")
    assert assert_refused(OrderLifecycle, Ship(), context=Order(), at="paid").kind == "guarded"
    assert assert_refused(OrderLifecycle, Tick(), context=Order(), kind="unknown").event == "Tick"


def test_what_is_not_refused_is_told() -> None:
    with pytest.raises(AssertionError) as told:
        assert_refused(OrderLifecycle, Charged(), context=Order(), after=[(Buy(amount=100), "paying")])
    assert str(told.value) == (
        "Order: Charged(reference='') is not refused in paying\n"
        "Charged on Order in paying: applied, leads to paid\n"
        "  paying -> paid: no guard\n"
        "the way so far: cart, Buy -> paying"
    )


def test_a_refusal_for_another_reason_is_told() -> None:
    with pytest.raises(AssertionError) as told:
        assert_refused(OrderLifecycle, Buy(amount=1), context=Order(), kind="illegal")
    assert str(told.value).startswith(
        "Order: Buy(amount=1) is refused as guarded in cart, and not as illegal\nBuy on Order in cart: guarded,"
    )


def test_a_way_to_a_refusal_that_is_not_legal_is_told() -> None:
    with pytest.raises(AssertionError, match=r"^Order: event 1 of the path, Ship\(\), is refused in cart\n"):
        assert_refused(OrderLifecycle, Ship(), context=Order(), after=[Ship()])


def test_where_nothing_can_begin_is_told() -> None:
    with pytest.raises(SnapshotInvalid, match="nowhere"):
        assert_legal_path(OrderLifecycle, [], context=Order(), at="nowhere")
    wrong: Any = 7
    with pytest.raises(SnapshotInvalid, match="the context is int, and the lifecycle's is Order"):
        assert_legal_path(OrderLifecycle, [], context=wrong, at="cart")


def test_coverage_tells_what_was_never_taken() -> None:
    coverage = Coverage(OrderLifecycle)
    assert_legal_path(
        OrderLifecycle, [Buy(amount=100), Charged(), Ship()], context=Order(), meta=NOW, coverage=coverage
    )
    assert coverage.missing == ("charge_lost:paying", "remind:cart", "expire:cart")
    with pytest.raises(AssertionError) as told:
        coverage.check()
    assert str(told.value) == (
        "Order: 3 of 6 transitions were never taken: charge_lost:paying, remind:cart, expire:cart"
    )
    for path in ([DAY], [Buy(amount=100), ChargeLost()]):
        assert_legal_path(OrderLifecycle, path, context=Order(), coverage=coverage)
    assert ", ".join(coverage.missing) == "remind:cart"


def test_coverage_of_all_is_quiet_and_a_machine_can_show_it() -> None:
    from stateward import Machine
    from tests.testing.shop import HeartLifecycle

    coverage = Coverage(chart_of(HeartLifecycle))
    machine = Machine(HeartLifecycle, Order(), listeners=[coverage])
    machine.send(Elapsed("beat@beating"))
    machine.send(Tick())
    coverage.check()
