"""Workers that die, and workers that were taken for dead: what they had in hand goes on elsewhere, nothing twice."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from stateward import Call, GiveUp, Retry, Snooze
from stateward.engine import AsyncEngine, Engine
from stateward.errors import LeaseLost
from stateward.ledger.after_commit import FetchWorkers, RemoveWorker
from stateward.work import WorkerSettings
from stateward.work.timers import TimerStatistics, fire_due
from tests.conftest import MakeLedger
from tests.ledger.by_tasks import EngineByTasks
from tests.work.conftest import WAIT_S, Clock, ask, dead, pending, read, shift_of, told, trail, write
from tests.work.lifecycles import Egg, EggLifecycle, Gone, Job, JobLifecycle, Task, Told

QUICK = WorkerSettings(poll=timedelta(milliseconds=20))


def take_the_lease_away(engine: Engine) -> None:
    """As a peer does that has seen no sign of life."""
    [row] = read(engine, FetchWorkers())
    assert write(engine, RemoveWorker(row.id)) == [[(row.id,)]]


# A worker that was taken for dead.


@pytest.mark.parametrize("late", [Told(what="late"), None, ValueError("late"), GiveUp("late"), Snooze(timedelta(1))])
def test_a_zombie_changes_nothing(make_ledger: MakeLedger, late: Any) -> None:
    """Neither deletes effects, nor applies replies, nor notes attempts: what it had in hand is asked anew."""
    with Engine(make_ledger(), lifecycles=[JobLifecycle]) as engine:
        calls: list[tuple[str, int]] = []
        begun, go_on, again = Event(), Event(), Event()

        @engine.handles(Task, on_dead=Gone)
        def handle(effect: Task, call: Call) -> Any:
            calls.append((call.key, call.attempt))
            if len(calls) == 1:
                begun.set()
                assert go_on.wait(WAIT_S)
                if isinstance(late, Exception):
                    raise late
                return late
            again.set()
            return Told(what="anew")

        asked = ask(engine, "j1", "task:a")
        engine.start(QUICK)
        worker = engine._worker
        assert worker is not None
        assert begun.wait(WAIT_S)
        take_the_lease_away(engine)
        go_on.set()
        assert again.wait(WAIT_S)
        engine.stop()
        assert worker._leases_lost == 1
        assert calls == [(f"{asked.record}:0", 1)] * 2, "the first attempt was noted by nobody"
        assert trail(engine, "j1") == ("anew",)
        assert [each[:2] for each in told(engine, "j1")] == [("Told", "applied")]
        assert (pending(engine, "j1"), dead(engine)) == ([], [])


def test_a_zombie_begins_nothing_more(make_ledger: MakeLedger) -> None:
    """What is in its lines is others' by now; also when its handlers come back, and there is room again."""

    async def come_back_late() -> None:
        with Engine(make_ledger(), lifecycles=[JobLifecycle]) as engine:
            calls: list[str] = []
            go_on = Event()

            @engine.handles(Task)
            def handle(effect: Task, call: Call) -> None:
                calls.append(call.entity)
                assert go_on.wait(WAIT_S)

            for n in range(10):
                ask(engine, f"j{n}", "task:a")
            shift = shift_of(engine, concurrency=2)
            working = asyncio.create_task(shift.work(asyncio.Event(), lambda: 0.0))
            while len(calls) < 2:
                await asyncio.sleep(0)
            take_the_lease_away(engine)
            with pytest.raises(LeaseLost):
                await shift.lease.keep()
            shift.dispatcher.has_outcomes.set()
            shift.lease.keep = lose  # what its next beat comes to
            shift.dispatcher.settle = lose
            with pytest.raises(LeaseLost):
                await asyncio.wait_for(working, WAIT_S)
            go_on.set()
            while shift.dispatcher.running:
                await asyncio.sleep(0)
            assert len(calls) == 2
            shift.caller.close()

    asyncio.run(come_back_late())


async def lose() -> None:
    raise LeaseLost(worker="w")


def test_a_zombie_fires_no_timers(make_ledger: MakeLedger, clock: Clock) -> None:
    with Engine(make_ledger(), lifecycles=[EggLifecycle], clock=clock) as engine:
        engine.create(EggLifecycle, "e1", Egg(), actor="test:1")
        clock.forward(minutes=2)
        statistics = TimerStatistics()

        async def fire_late() -> None:
            shift = shift_of(engine)
            await shift.lease.begin()
            take_the_lease_away(engine)
            with pytest.raises(LeaseLost):
                await fire_due(shift._ground, shift.lease, statistics)

        asyncio.run(fire_late())
        assert (engine.get(EggLifecycle, "e1").state, statistics.fired) == ("boiling", 0)
        engine.drain()
        assert engine.get(EggLifecycle, "e1").state == "hard"


def test_a_zombie_of_tasks_changes_nothing(make_ledger: MakeLedger, request: pytest.FixtureRequest) -> None:
    """The same for an engine of tasks: its coroutines are cancelled, and one that goes on all the same is not heard."""
    ledger: Any = make_ledger()
    with Engine(ledger, lifecycles=[JobLifecycle]) as engine:
        if ledger.capabilities.name == "postgres":
            ledger = request.getfixturevalue("postgres_dsn")
        with EngineByTasks(lambda: AsyncEngine(ledger, lifecycles=[JobLifecycle])) as by_tasks:
            begun, again, was_cancelled = Event(), Event(), Event()
            calls: list[int] = []

            async def handle(effect: Task, call: Call) -> Any:
                calls.append(call.attempt)
                if len(calls) > 1:
                    again.set()
                    return Told(what="anew")
                begun.set()
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    was_cancelled.set()
                return Told(what="late")

            by_tasks.engine.handles(Task)(handle)
            ask(engine, "j1", "task:a")
            by_tasks.start(WorkerSettings(lease=timedelta(milliseconds=250), poll=timedelta(milliseconds=20)))
            assert begun.wait(WAIT_S)
            take_the_lease_away(engine)
            assert was_cancelled.wait(WAIT_S)
            assert again.wait(WAIT_S)
            by_tasks.stop()
            assert (calls, trail(engine, "j1")) == ([1, 1], ("anew",))


# A worker that died.


async def die_amid(engine: Engine, begun: Callable[[], bool], **given: Any) -> None:
    """Work until so much is begun, and die: the lease runs out, and nothing was given back."""
    shift = shift_of(engine, **given)
    await shift.lease.begin()
    await shift.dispatcher.fetch()
    for _ in range(1000):
        if begun():
            break
        await shift.dispatcher.settle()
        await asyncio.sleep(0)
    assert begun()
    shift.caller.close()
    await asyncio.sleep(0)
    await shift.lease.abandon()


def test_an_effect_that_kills_its_workers_runs_out_of_attempts(make_ledger: MakeLedger) -> None:
    """It is noted before it is called, from the second worker on; and then the lifecycle is told, and goes on."""
    with Engine(make_ledger(), lifecycles=[JobLifecycle]) as engine:
        attempts: list[int] = []

        @engine.handles(Task, retry=Retry(limit=3), on_dead=Gone)
        async def kill(effect: Task, call: Call) -> Any:
            if effect.name != "poison":
                return Told(what=effect.name)
            attempts.append(call.attempt)
            await asyncio.Event().wait()
            return None

        ask(engine, "j1", "task:poison", "task:next")
        for _ in range(4):
            before = len(attempts)
            asyncio.run(die_amid(engine, lambda before=before: len(attempts) > before))  # type: ignore[misc]
            if len(attempts) == 4:
                break
        # The first death was not noted by anybody: nobody knew that the effect was in hand.
        assert attempts == [1, 1, 2, 3]
        engine.drain()
        [letter] = dead(engine)
        assert (letter.attempts, letter.error) == (3, "attempt 3 was begun, and its worker died amid it")
        assert trail(engine, "j1") == ("gone", "next")


def test_what_waits_beside_an_effect_that_kills_its_workers_loses_no_attempt(make_ledger: MakeLedger) -> None:
    """And what went on beside it loses one: the next time, it is not begun together with it."""
    with Engine(make_ledger(), lifecycles=[JobLifecycle]) as engine:
        begun: set[str] = set()

        @engine.handles(Task, retry=Retry(limit=3))
        async def handle(effect: Task, call: Call) -> Any:
            begun.add(effect.name)
            for _ in range(3):
                await asyncio.sleep(0)
            if "poison" in begun:  # nothing goes on any more
                await asyncio.Event().wait()
            return Told(what=effect.name)

        names = [f"j{n}" for n in range(12)]
        for name in names:
            ask(engine, name, "task:a")
        ask(engine, "ill", "task:poison")
        seen: list[int] = []
        for _ in range(4):
            begun.clear()
            asyncio.run(die_amid(engine, lambda: "poison" in begun, concurrency=4))
            seen += [attempts for name in names for _, attempts, _ in pending(engine, name)]
        assert seen, "something went on beside it, or waited"
        assert set(seen) <= {0, 1}
        begun.clear()
        engine.drain()
        assert [(each.entity, each.attempts) for each in dead(engine)] == [("ill", 3)]
        assert {trail(engine, name) for name in names} == {("a",)}


def test_what_is_tried_after_a_takeover_counts_on(make_ledger: MakeLedger, clock: Clock) -> None:
    """Noted before it is called, an attempt counts once: a failure is the attempt that was noted, a snooze is none."""
    with Engine(make_ledger(), lifecycles=[JobLifecycle], clock=clock) as engine:
        dies = True
        raised: list[Exception] = [ValueError("no"), Snooze(timedelta(minutes=1)), ValueError("no")]
        attempts: list[int] = []

        @engine.handles(Task, retry=Retry(limit=8))
        async def handle(effect: Task, call: Call) -> None:
            attempts.append(call.attempt)
            if dies:
                await asyncio.Event().wait()
            raise raised.pop(0)

        ask(engine, "j1", "task:a")
        asyncio.run(die_amid(engine, lambda: bool(attempts)))
        dies = False
        for expected in (1, 1, 2):
            engine.drain()
            assert pending(engine, "j1")[0][1] == expected
            clock.forward(hours=1)
        assert attempts == [1, 1, 2, 2]


def test_what_was_asked_for_after_a_takeover_is_not_noted(make_ledger: MakeLedger, clock: Clock) -> None:
    with Engine(make_ledger(), lifecycles=[JobLifecycle], clock=clock) as engine:
        noted: list[Any] = []
        engine.handles(Task)(lambda effect, call: noted.append(pending(engine, call.entity)[0][1:]))
        engine.create(JobLifecycle, "j1", Job(), actor="test:1")
        asyncio.run(die_amid(engine, lambda: True))

        async def work_on() -> None:
            shift = shift_of(engine)
            await shift.lease.begin()
            assert len(shift.lease.taken_over) == 64
            clock.forward(hours=1)
            ask(engine, "j1", "task:a")
            await shift.dispatcher.fetch()
            while shift.dispatcher.is_at_work:
                await shift.dispatcher.has_outcomes.wait()
                await shift.dispatcher.settle()
            shift.caller.close()

        asyncio.run(work_on())
        assert noted == [(0, None)]


# In processes of their own.


@contextmanager
def child(address: str, act: str) -> Generator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.work.worker_child", address, act],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def say(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


@pytest.fixture(params=["sqlite", "postgres"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    dsn: str = request.getfixturevalue("postgres_dsn")
    return dsn


def test_a_process_that_is_killed_by_an_effect_leaves_it_to_the_next_at_once(address: str) -> None:
    """No lease need run out: the next process sees that it is gone."""
    with Engine(address, lifecycles=[JobLifecycle]) as engine:
        ask(engine, "ill", "task:poison")
        ask(engine, "j1", "task:a")
        for expected in (1, 1):
            with child(address, "die") as process:
                lines, _ = process.communicate(timeout=WAIT_S)
                assert f"handling poison {expected}" in lines
                assert process.returncode == 9
        attempts: list[int] = []
        engine.handles(Task)(lambda effect, call: attempts.append(call.attempt) if effect.name == "poison" else None)
        engine.drain()
        assert (attempts, pending(engine, "ill"), pending(engine, "j1")) == ([2], [], [])


def test_a_process_that_was_stopped_for_too_long_changes_nothing(address: str) -> None:
    """It is stopped amid a handler; another takes over and does the effect; then it wakes, and answers."""
    with Engine(address, lifecycles=[JobLifecycle]) as engine, child(address, "wait") as process:
        ask(engine, "j1", "task:a")
        assert line_of(process) == "handling a 1"
        done = Event()

        @engine.handles(Task)
        def handle(effect: Task, call: Call) -> Told:
            done.set()
            return Told(what=f"parent {call.attempt}")

        os.kill(process.pid, signal.SIGSTOP)
        engine.start(WorkerSettings(lease=timedelta(milliseconds=300), poll=timedelta(milliseconds=20)))
        assert done.wait(WAIT_S)
        while not trail(engine, "j1"):
            pass
        os.kill(process.pid, signal.SIGCONT)
        say(process)
        assert line_of(process) == "lost"
        say(process)
        assert line_of(process) == "ended"
        engine.stop()
        assert trail(engine, "j1") == ("parent 1",)
        assert [each[:2] for each in told(engine, "j1")] == [("Told", "applied")]
        assert pending(engine, "j1") == []
