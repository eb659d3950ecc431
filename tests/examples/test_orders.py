"""The example of orders with payment, as stories: on each ledger, on a clock of the test's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from examples import orders
from examples.orders import Cancel, Charged, Deliver, Order, OrderLifecycle, Pay, SendBack, Ship
from stateward import AsyncEngine, Engine, Refused, chart_of
from stateward.chart.lint import lint
from tests.conftest import MakeLedger


class Shop:
    """An engine for orders on a clock that is moved, what its provider did, and what customers were told."""

    def __init__(self, make_ledger: MakeLedger) -> None:
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC)
        self.provider = orders.Provider()
        self.told: list[tuple[str, str]] = []
        self.engine = Engine(make_ledger(), lifecycles=[OrderLifecycle], clock=lambda: self.now)
        orders.register(self.engine, self.provider, lambda order, text: self.told.append((order, text)))

    def send(self, *events: object) -> str:
        """Send events to A-17, do what they ask for, and say where it stands."""
        for event in events:
            self.engine.send(OrderLifecycle, "A-17", event, actor="customer:9")  # type: ignore[arg-type]
        self.engine.drain()
        return self.state

    def later(self, **given: float) -> str:
        self.now += timedelta(**given)
        self.engine.drain()
        return self.state

    @property
    def state(self) -> str:
        return self.engine.get(OrderLifecycle, "A-17").state

    @property
    def order(self) -> Order:
        return self.engine.get(OrderLifecycle, "A-17").context


@pytest.fixture
def shop(make_ledger: MakeLedger) -> Iterator[Shop]:
    made = Shop(make_ledger)
    made.engine.create(OrderLifecycle, "A-17", Order(total=4200), actor="customer:9")
    with made.engine:
        yield made


def test_an_order_is_paid_shipped_delivered_and_closed(shop: Shop) -> None:
    assert shop.send(Pay(amount=4200)) == "paid"
    assert shop.order.payment == "pay-1"
    assert shop.send(Ship(tracking="T-1"), Deliver()) == "delivered"
    assert shop.told == [("A-17", "your parcel is on its way: T-1")]
    assert shop.later(days=30) == "closed"
    assert list(shop.provider.payments.values()) == ["pay-1"]


def test_an_order_that_is_not_paid_in_time_is_cancelled_and_one_that_is_paid_is_not(shop: Shop) -> None:
    shop.engine.create(OrderLifecycle, "A-18", Order(total=1), actor="customer:9")
    shop.send(Pay(amount=4200))
    assert shop.later(days=1) == "paid"
    assert shop.engine.get(OrderLifecycle, "A-18").state == "cancelled"


def test_too_little_is_refused_and_nothing_is_asked_of_the_provider(shop: Shop) -> None:
    with pytest.raises(Refused) as refused:
        shop.send(Pay(amount=100))
    assert refused.value.kind == "guarded"
    assert "event.amount = 100, context.total = 4200" in str(
        shop.engine.why(OrderLifecycle, "A-17", Pay(amount=100))
    )  # fmt: skip
    shop.engine.drain()
    assert (shop.state, shop.provider.payments) == ("pending", {})


def test_a_charge_that_fails_is_tried_again_under_its_key_and_paid_once(shop: Shop) -> None:
    shop.provider.outages = 2
    assert shop.send(Pay(amount=4200), Pay(amount=4200)) == "paying"
    assert shop.later(minutes=1) == "paying"
    assert shop.later(minutes=1) == "paid"
    assert len(shop.provider.payments) == 1


def test_a_declined_charge_can_be_paid_again(shop: Shop) -> None:
    shop.engine.create(OrderLifecycle, "dear", Order(total=200_000), actor="customer:9")
    shop.engine.send(OrderLifecycle, "dear", Pay(amount=200_000), actor="customer:9")
    shop.engine.drain()
    dear = shop.engine.get(OrderLifecycle, "dear")
    assert (dear.state, dear.context.problem) == ("pending", "2000.00 is more than the card is good for")
    shop.engine.send(OrderLifecycle, "dear", Pay(amount=200_000), actor="customer:9")
    assert shop.engine.get(OrderLifecycle, "dear").context.problem == ""


def test_a_charge_that_is_given_up_leaves_the_order_unclear_until_somebody_tells(shop: Shop) -> None:
    shop.provider.outages = 8
    shop.send(Pay(amount=4200))
    while shop.state == "paying":
        shop.later(hours=1)
    assert (shop.state, shop.provider.outages) == ("unclear", 0)
    [letter] = shop.engine.dead()
    assert letter.effect == "Charge"
    with pytest.raises(Refused):
        shop.send(Cancel())
    assert shop.send(Charged(payment="seen in their books")) == "paid"


@pytest.mark.parametrize("way", ["cancelled before it is shipped", "sent back on its way", "sent back"])
def test_money_that_was_paid_is_given_back_once(shop: Shop, way: str) -> None:
    shop.send(Pay(amount=4200))
    before = {"cancelled before it is shipped": (), "sent back on its way": (Ship(tracking="T-1"),)}
    events = before.get(way, (Ship(tracking="T-1"), Deliver()))
    assert shop.send(*events, SendBack() if events else Cancel(reason="changed my mind")) == "refunded"
    assert list(shop.provider.refunds.values()) == ["pay-1"]
    assert shop.later(days=40) == "refunded"


def test_nobody_cancels_while_the_provider_is_asked_nor_what_is_on_its_way(shop: Shop) -> None:
    shop.provider.outages = 1
    shop.send(Pay(amount=4200))
    with pytest.raises(Refused):
        shop.send(Cancel())
    shop.later(minutes=1)
    shop.send(Ship(tracking="T-1"))
    with pytest.raises(Refused):
        shop.send(Cancel())


def test_it_passes_the_checks() -> None:
    assert lint(chart_of(OrderLifecycle)) == []


async def _paid_by_tasks() -> str:
    async with AsyncEngine("memory://", lifecycles=[OrderLifecycle]) as engine:
        orders.register(engine, orders.Provider(), lambda order, text: None)
        await engine.create(OrderLifecycle, "A-17", Order(total=4200), actor="customer:9")
        await engine.send(OrderLifecycle, "A-17", Pay(amount=4200), actor="customer:9")
        await engine.drain()
        return (await engine.get(OrderLifecycle, "A-17")).state


def test_its_handlers_work_on_an_engine_of_tasks_too() -> None:
    import asyncio

    assert asyncio.run(_paid_by_tasks()) == "paid"


def test_it_runs_and_says_what_happened(printed: Callable[[str], str]) -> None:
    assert printed("orders").splitlines() == [
        "A-17  Started: new -> pending",
        "A-17  Pay: pending -> paying",
        "A-17  Pay: already_done in paying",
        "  Charge of A-17, attempt 1: ConnectionError: the provider is out of reach",
        "A-17  Charged: paying -> paid",
        "A-17  Ship: paid -> shipped",
        "A-17  Deliver: shipped -> delivered",
        "  to the customer of A-17: your parcel is on its way: T-1",
        "A-18  Started: new -> pending",
        "A-18  Pay: refused in pending",
        "Pay on Order in pending: guarded, every guard of its transitions said no",
        "  pending -> paying: covers_total said no (event.amount = 4200, context.total = 9900)",
        "A-18  elapsed(expire@pending): pending -> cancelled",
        "{'cancelled': 1, 'delivered': 1} ['pay-1']",
    ]
