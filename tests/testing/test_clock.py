"""The clock of a test stands still until it is moved, and an engine goes by it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from stateward.testing import Clock, engine_on
from tests.testing.shop import Order, OrderLifecycle


def test_it_stands_still_until_it_is_moved() -> None:
    clock = Clock(datetime(2026, 3, 1, 12, tzinfo=UTC))
    assert clock() == clock.now == clock() == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert clock.move(timedelta(minutes=5)) == clock.now == datetime(2026, 3, 1, 12, 5, tzinfo=UTC)
    assert repr(clock) == "<Clock 2026-03-01T12:05:00+00:00>"


def test_it_is_not_moved_back() -> None:
    clock = Clock()
    before = clock.now
    with pytest.raises(ValueError, match=r"a clock is not moved back, by -1 day, 23:59:59"):
        clock.move(timedelta(seconds=-1))
    assert clock.now == before


def test_it_has_a_time_zone() -> None:
    with pytest.raises(ValueError, match=r"has no time zone: datetime\(\.\.\., tzinfo=UTC\)"):
        Clock(datetime(2026, 3, 1))  # noqa: DTZ001 - that is the mistake


def test_an_engine_goes_by_it() -> None:
    clock = Clock()
    with engine_on(OrderLifecycle, clock=clock) as engine:
        engine.create(OrderLifecycle, "A-1", Order(), actor="customer:9")
        [timer] = engine.timers(OrderLifecycle)
        assert timer.due_at == clock.now + timedelta(hours=24)
        engine.drain()
        assert engine.get(OrderLifecycle, "A-1").state == "cart"
        clock.move(timedelta(hours=24))
        engine.drain()
        assert engine.get(OrderLifecycle, "A-1").state == "expired"


def test_an_engine_without_a_clock_has_one_that_stands_still() -> None:
    with engine_on(OrderLifecycle) as engine:
        for name in ("A-1", "A-2"):
            engine.create(OrderLifecycle, name, Order(), actor="customer:9")
        first, second = (engine.get(OrderLifecycle, name).created_at for name in ("A-1", "A-2"))
        assert first == second == Clock().now
