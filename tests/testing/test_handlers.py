"""Scripted handlers answer as written down, remember what they were asked, and are loud about what was not."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from threading import Event as ThreadEvent
from typing import Any, cast

import pytest

from stateward import Call, Event, GiveUp, Retry, Snooze
from stateward.engine import AsyncEngine, Engine
from stateward.testing import Clock, ScriptedHandlers, Unscripted, engine_on, run_to_rest, run_to_rest_async
from stateward.testing.handlers import Answer
from tests.testing.shop import Announce, Buy, Charge, Charged, ChargeLost, Order, OrderLifecycle


def buy(engine: Engine, *names: str) -> None:
    for name in names:
        engine.create(OrderLifecycle, name, Order(), actor="customer:9")
        engine.send(OrderLifecycle, name, Buy(amount=100), actor="customer:9")


def test_answers_come_in_their_order_and_attempts_are_remembered() -> None:
    clock = Clock()
    with engine_on(OrderLifecycle, clock=clock) as engine, ScriptedHandlers(engine) as handlers:
        handlers.script(Charge, ConnectionError("hung up"), Snooze(timedelta(hours=1)), Charged(reference="p1"))
        handlers.script(Announce, None)
        buy(engine, "A-1")
        run_to_rest(engine, clock)
        assert engine.get(OrderLifecycle, "A-1").context.reference == "p1"
        assert [each.effect for each in handlers.asked(Charge)] == [Charge(100)] * 3
        assert [each.attempt for each in handlers.asked(Charge)] == [1, 2, 2]
        assert len({each.key for each in handlers.asked(Charge)}) == 1
        assert [type(each.effect) for each in handlers.asked()] == [Charge, Charge, Charge, Announce]
        assert clock.now - Clock().now >= timedelta(hours=1)


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (Charged(), "paid"),
        ([Charged()], "paid"),
        (lambda effect, call: Charged(reference=f"{effect.amount} {call.entity}"), "paid"),
        (GiveUp("no such card"), "lost"),
        (GiveUp, "lost"),
        (None, "paying"),
    ],
)
def test_an_answer_is_an_event_an_error_a_function_or_none(answer: Answer, state: str) -> None:
    with engine_on(OrderLifecycle) as engine, ScriptedHandlers(engine) as handlers:
        handlers.script(Charge, answer, on_dead=ChargeLost)
        handlers.always(Announce, None)
        buy(engine, "A-1")
        engine.drain()
        assert engine.get(OrderLifecycle, "A-1").state == state


def test_options_are_those_of_the_engine() -> None:
    clock = Clock()
    with engine_on(OrderLifecycle, clock=clock) as engine, ScriptedHandlers(engine) as handlers:
        handlers.script(Charge, OSError("away"), OSError("away"), retry=Retry(limit=2), on_dead=ChargeLost)
        buy(engine, "A-1")
        run_to_rest(engine, clock)
        assert engine.get(OrderLifecycle, "A-1").state == "lost"
        with pytest.raises(TypeError, match="Charge has its handler already: retry can't be changed"):
            handlers.script(Charge, Charged(), retry=Retry(limit=3))


@pytest.mark.parametrize("wrong", [7, Charged, int, "Charged"])
def test_what_is_no_answer_is_told_where_it_is_written_down(wrong: Any) -> None:
    with engine_on(OrderLifecycle) as engine:
        handlers = ScriptedHandlers(engine)
        with pytest.raises(TypeError, match=r"Charge can't be answered by .*: events, exceptions, functions of effect"):
            handlers.script(Charge, wrong)


def test_what_is_asked_once_too_often_comes_out_of_drain() -> None:
    with engine_on(OrderLifecycle) as engine:
        handlers = ScriptedHandlers(engine)
        handlers.script(Charge, None)
        buy(engine, "A-1")
        engine.drain()
        buy(engine, "A-2")
        with pytest.raises(Unscripted) as told:
            engine.drain()
        [_, call] = [each.call for each in handlers.asked()]
        assert str(told.value) == (
            "Charge of Order A-2 was asked for once more than the script has answers (1 answer): Charge(amount=100), "
            f"attempt 1, key {call.key}"
        )
        with pytest.raises(AssertionError, match=r"^Charge of Order A-2 was asked for once more"):
            handlers.check()


def test_in_the_background_it_is_kept_until_the_block_ends() -> None:
    def use() -> None:
        with engine_on(OrderLifecycle) as engine, ScriptedHandlers(engine) as handlers:
            lost = ThreadEvent()
            engine.listen(lambda committed: lost.set() if committed.event == "ChargeLost" else None)
            handlers.script(Charge, retry=Retry(limit=1), on_dead=ChargeLost)
            buy(engine, "A-1")
            engine.start()
            assert lost.wait(60)

    with pytest.raises(AssertionError, match=r"^Charge of Order A-1 was asked for once more"):
        use()


def test_what_was_never_asked_for_is_told_at_the_end() -> None:
    def use() -> None:
        with engine_on(OrderLifecycle) as engine, ScriptedHandlers(engine) as handlers:
            handlers.script(Charge, Charged(reference="p1"), OSError("away"), announce_it)
            handlers.script(Announce)
            buy(engine, "A-1")
            with pytest.raises(Unscripted, match=r"\(0 answers\): Announce\(\)"):
                engine.drain()

    with pytest.raises(AssertionError) as told:
        use()
    excess, unasked = str(told.value).splitlines()
    assert excess.startswith("Announce of Order A-1 was asked for once more than the script has answers (0 answers)")
    assert unasked == "Charge was asked for 1 times, and never for: OSError('away'), announce_it"


def announce_it(effect: Announce, call: Call) -> Event | None:
    return None


def test_what_the_test_fails_of_is_not_hidden_by_it() -> None:
    def use() -> None:
        with engine_on(OrderLifecycle) as engine, ScriptedHandlers(engine) as handlers:
            handlers.script(Charge)
            buy(engine, "A-1")
            with pytest.raises(Unscripted):
                engine.drain()
            assert engine.get(OrderLifecycle, "A-1").state == "paid", "it is not paid"

    with pytest.raises(AssertionError, match="it is not paid") as told:
        use()
    assert [each.partition(" (")[0] for each in told.value.__notes__] == [
        "Charge of Order A-1 was asked for once more than the script has answers"
    ]


def test_unscripted_itself_goes_through_the_block() -> None:
    def use() -> None:
        with engine_on(OrderLifecycle) as engine, ScriptedHandlers(engine) as handlers:
            handlers.script(Charge)
            buy(engine, "A-1")
            engine.drain()

    with pytest.raises(Unscripted, match=r"Charge of Order A-1"):
        use()


def test_more_can_be_written_down_later_and_always_stands_behind_it() -> None:
    with engine_on(OrderLifecycle) as engine, ScriptedHandlers(engine) as handlers:
        handlers.always(Charge, Charged(reference="as ever"))
        handlers.always(Announce, None)
        handlers.script(Charge, Charged(reference="the first"))
        buy(engine, "A-1", "A-2", "A-3")
        engine.drain()
        [first, *others] = [each.call.entity for each in handlers.asked(Charge)]
        assert engine.get(OrderLifecycle, first).context.reference == "the first"
        assert [engine.get(OrderLifecycle, each).context.reference for each in others] == ["as ever"] * 2
        handlers.script(Charge, Charged(reference="the last"))
        buy(engine, "A-4")
        engine.drain()
        assert engine.get(OrderLifecycle, "A-4").context.reference == "the last"
        assert [each.call.entity for each in handlers.asked(entity="A-4")] == ["A-4", "A-4"]


def test_an_engine_of_tasks_is_answered_likewise() -> None:
    async def use() -> None:
        clock = Clock()
        async with AsyncEngine("memory://", lifecycles=[OrderLifecycle], clock=clock) as engine:
            with ScriptedHandlers(engine) as handlers:
                handlers.script(Charge, ConnectionError("hung up"), Charged(reference="p1"))
                handlers.script(Announce, None)
                await engine.create(OrderLifecycle, "A-1", Order(), actor="customer:9")
                await engine.send(OrderLifecycle, "A-1", Buy(amount=100), actor="customer:9")
                await run_to_rest_async(engine, clock)
                assert (await engine.get(OrderLifecycle, "A-1")).context.reference == "p1"
                await engine.create(OrderLifecycle, "A-2", Order(), actor="customer:9")
                await engine.send(OrderLifecycle, "A-2", Buy(amount=100), actor="customer:9")
                await engine.drain()

    with pytest.raises(Unscripted, match=r"Charge of Order A-2"):
        asyncio.run(use())


async def answer_in_a_task(effect: Charge, call: Call) -> Charged:
    return Charged()


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ([Charged(), "paid"], "can't be answered by "),
        (answer_in_a_task, "can't be answered by the coroutine function "),
        (lambda effect: Charged(), "does not take an effect and its Call: too many positional arguments"),
    ],
)
def test_what_could_be_no_answer_is_refused_where_it_is_written_down(answer: Any, problem: str) -> None:
    with engine_on(OrderLifecycle) as engine, ScriptedHandlers(engine) as handlers:
        with pytest.raises(TypeError, match=problem):
            handlers.script(Charge, answer)
        with pytest.raises(TypeError, match=r"Charge\(amount=1\) is no class of effects"):
            handlers.script(cast("Any", Charge(amount=1)), Charged())


def test_a_function_that_gives_no_answer_fails_the_test_and_is_no_failed_attempt() -> None:
    with engine_on(OrderLifecycle) as engine:
        handlers = ScriptedHandlers(engine)
        handlers.script(Charge, lambda effect, call: 7)
        buy(engine, "A-1")
        with pytest.raises(Unscripted, match="the function for Charge of Order A-1 gave 7: no answer"):
            engine.drain()
        with pytest.raises(AssertionError, match="gave 7"):
            handlers.check()


def test_an_exception_that_a_function_gives_is_raised() -> None:
    with engine_on(OrderLifecycle) as engine, ScriptedHandlers(engine) as handlers:
        handlers.script(Charge, lambda effect, call: GiveUp("no such card"), on_dead=ChargeLost)
        handlers.always(Announce, None)
        buy(engine, "A-1")
        engine.drain()
        assert engine.get(OrderLifecycle, "A-1").state == "lost"
