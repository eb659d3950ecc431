"""Time goes by from one moment at which something is due to the next, and comes to an end."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any, cast

import pytest

from stateward import Retry
from stateward.engine import AsyncEngine
from stateward.testing import (
    Clock,
    ScriptedHandlers,
    engine_on,
    pass_time,
    pass_time_async,
    run_to_rest,
    run_to_rest_async,
)
from tests.testing.shop import Announce, Buy, Charge, Charged, HeartLifecycle, Order, OrderLifecycle, Tick

HOUR = timedelta(hours=1)


def test_each_timer_fires_at_its_own_moment() -> None:
    clock = Clock()
    with engine_on(OrderLifecycle, clock=clock) as engine:
        for name in ("A-1", "A-2"):
            engine.create(OrderLifecycle, name, Order(), actor="customer:9")
            pass_time(engine, clock, HOUR)
        assert clock.now == Clock().now + 2 * HOUR
        pass_time(engine, clock, 22 * HOUR)
        assert engine.census(OrderLifecycle) == {"cart": 1, "expired": 1}
        pass_time(engine, clock, 100 * HOUR)
        assert clock.now == Clock().now + 124 * HOUR
        fired = [engine.get(OrderLifecycle, name).updated_at - Clock().now for name in ("A-1", "A-2")]
        assert fired == [24 * HOUR, 25 * HOUR]


def test_what_fails_is_tried_again_until_it_rests() -> None:
    clock = Clock()
    with engine_on(OrderLifecycle, clock=clock) as engine, ScriptedHandlers(engine) as handlers:
        handlers.script(Charge, *[OSError("away")] * 6, Charged(reference="p1"), retry=Retry(limit=7))
        handlers.script(Announce, None)
        engine.create(OrderLifecycle, "A-1", Order(), actor="customer:9")
        engine.send(OrderLifecycle, "A-1", Buy(amount=100), actor="customer:9")
        run_to_rest(engine, clock)
        assert engine.get(OrderLifecycle, "A-1").state == "paid"
        assert [each.attempt for each in handlers.asked(Charge)] == [1, 2, 3, 4, 5, 6, 7]
        assert clock.now > Clock().now


def test_what_nobody_handles_and_what_is_paused_is_told() -> None:
    clock = Clock()
    with engine_on(OrderLifecycle, HeartLifecycle, clock=clock) as engine:
        engine.create(OrderLifecycle, "A-1", Order(), actor="customer:9")
        engine.send(OrderLifecycle, "A-1", Buy(amount=100), actor="customer:9")
        with pytest.raises(AssertionError) as told:
            run_to_rest(engine, clock)
        assert str(told.value) == (
            "what is left at 2026-01-01 00:00:00+00:00 is not done, however long one waits:\n"
            "  Charge of Order A-1, 0 attempts: nobody handles it"
        )
        engine.create(HeartLifecycle, "H-1", Order(), actor="customer:9")
        engine.pause(kind="Heart", reason="a rest", actor="operator:ann")
        with pytest.raises(AssertionError) as told:
            run_to_rest(engine, clock)
        assert "  beat@beating of Heart H-1, due at 2026-01-01 00:01:00+00:00" in str(told.value).splitlines()
        before = clock.now
        pass_time(engine, clock, HOUR)  # which waits for neither
        assert clock.now == before + HOUR


def test_what_never_rests_is_told_after_a_thousand_moments() -> None:
    clock = Clock()
    with engine_on(HeartLifecycle, clock=clock) as engine:
        engine.create(HeartLifecycle, "H-1", Order(), actor="customer:9")
        with pytest.raises(
            AssertionError, match=r"^there is no rest after 1000 moments at which something was due; at "
        ):
            run_to_rest(engine, clock)
        assert engine.get(HeartLifecycle, "H-1").revision == 1001
        with pytest.raises(AssertionError, match=r"^7 days, 0:00:00 are not over after 1000 moments"):
            pass_time(engine, clock, timedelta(days=7))


def test_what_rests_too_late_is_told() -> None:
    clock = Clock()
    with engine_on(OrderLifecycle, clock=clock) as engine, ScriptedHandlers(engine) as handlers:
        engine.create(OrderLifecycle, "A-1", Order(), actor="customer:9")
        with pytest.raises(AssertionError) as told:
            run_to_rest(engine, clock, within=HOUR)
        assert str(told.value) == (
            "there is no rest within 1:00:00; at 2026-01-01 00:00:00+00:00 there waits:\n"
            "  expire@cart of Order A-1, due at 2026-01-02 00:00:00+00:00"
        )
        handlers.script(Charge, OSError("away"))
        engine.send(OrderLifecycle, "A-1", Buy(amount=100), actor="customer:9")
        with pytest.raises(
            AssertionError, match=r"  Charge of Order A-1, 1 attempts, the last failed of OSError: away"
        ):
            run_to_rest(engine, clock, within=timedelta(0))


def test_an_engine_of_tasks_has_its_time_go_by_likewise() -> None:
    clock = Clock()

    async def use() -> tuple[datetime, str, str]:
        async with AsyncEngine("memory://", lifecycles=[OrderLifecycle, HeartLifecycle], clock=clock) as engine:
            await engine.create(HeartLifecycle, "H-1", Order(), actor="customer:9")
            await pass_time_async(engine, clock, timedelta(minutes=10))
            assert (await engine.get(HeartLifecycle, "H-1")).revision == 11
            await engine.send(HeartLifecycle, "H-1", Tick(), actor="customer:9")
            await engine.create(OrderLifecycle, "A-1", Order(), actor="customer:9")
            await run_to_rest_async(engine, clock)
            return (
                clock.now,
                (await engine.get(OrderLifecycle, "A-1")).state,
                (await engine.get(HeartLifecycle, "H-1")).state,
            )

    now, order, heart = asyncio.run(use())
    assert now - Clock().now == timedelta(minutes=10) + 24 * HOUR
    assert (order, heart) == ("expired", "stopped")


def test_a_clock_that_is_not_the_engine_s_is_told() -> None:
    clock = Clock()
    with engine_on(OrderLifecycle) as engine:
        problem = r"the engine has another clock than <Clock .*: make it with clock=clock"
        with pytest.raises(ValueError, match=problem):
            run_to_rest(engine, clock)
        with pytest.raises(ValueError, match=problem):
            pass_time(engine, clock, HOUR)
    assert clock.now == Clock().now


def test_the_other_kind_of_engine_is_told() -> None:
    clock = Clock()
    tasks = AsyncEngine("memory://", lifecycles=[OrderLifecycle], clock=clock)
    with pytest.raises(TypeError, match="was given AsyncEngine: the functions whose names end in _async"):
        run_to_rest(cast("Any", tasks), clock)
    with engine_on(OrderLifecycle, clock=clock) as engine, pytest.raises(TypeError, match="given Engine: no _async"):
        asyncio.run(run_to_rest_async(cast("Any", engine), clock))


def test_time_does_not_go_back() -> None:
    clock = Clock()
    with engine_on(OrderLifecycle, clock=clock) as engine, pytest.raises(ValueError, match="time does not go back"):
        pass_time(engine, clock, -HOUR)
