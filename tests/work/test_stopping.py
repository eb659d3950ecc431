"""Starting and stopping: twice is safe, what goes on may end within its grace, and errors are not lost."""

from __future__ import annotations

import asyncio
import ctypes
import operator
import os
import signal
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any

import pytest

from stateward import Call, GiveUp, Retry, Snooze
from stateward.engine import AsyncEngine, Engine, working
from stateward.errors import CallerError, LedgerUnavailable
from stateward.ledger.after_commit import FetchEffects, FetchWorkers, RaiseBeat
from stateward.work import WorkerSettings
from tests.conftest import MakeLedger
from tests.work.conftest import (
    WAIT_S,
    AnyEngine,
    Watched,
    ask,
    be_away,
    dead,
    handles,
    has,
    once,
    owners_of,
    pending,
    read,
    trail,
)
from tests.work.lifecycles import Ask, Job, JobLifecycle, Task, Told, Unwelcome
from tests.work.test_takeover import child, line_of

QUICK = WorkerSettings(poll=timedelta(milliseconds=20))


def test_stopping_what_was_never_started_is_safe(either: AnyEngine) -> None:
    either.stop()
    either.stop()


def test_starting_and_stopping_twice_is_safe(either: AnyEngine) -> None:
    done = Event()
    handles(either, Task)(lambda effect, call: done.set())
    either.start(QUICK)
    either.start(QUICK)
    ask(either, "j1", "task:a")
    assert done.wait(WAIT_S)
    either.stop()
    either.stop()
    assert pending(either, "j1") == []


def test_what_was_stopped_starts_again(either: AnyEngine) -> None:
    done: list[Event] = [Event(), Event(), Event()]
    handles(either, Task)(lambda effect, call: done[int(effect.name)].set())
    for n, each in enumerate(done):
        either.start(QUICK)
        ask(either, "j1", f"task:{n}")
        assert each.wait(WAIT_S)
        either.stop()
    assert pending(either, "j1") == []


@pytest.mark.parametrize("is_async", [False, True])
def test_a_handler_may_end_within_the_grace(make_ledger: MakeLedger, is_async: bool) -> None:
    """And nothing more is begun meanwhile; then all is given back."""
    with Engine(make_ledger(), lifecycles=[JobLifecycle]) as engine:
        begun, go_on, calls = Event(), Event(), list[str]()

        def work(effect: Task, call: Call) -> Told:
            calls.append(effect.name)
            begun.set()
            assert go_on.wait(WAIT_S)
            return Told(what=effect.name)

        async def work_later(effect: Task, call: Call) -> Told:
            return await asyncio.to_thread(work, effect, call)

        engine.handles(Task, concurrency=1)(work_later if is_async else work)
        ask(engine, "j1", "task:a", "task:b")
        ask(engine, "j2", "task:a")
        engine.start(QUICK)
        assert begun.wait(WAIT_S)
        worker = engine._worker
        assert worker is not None
        stopping = Thread(target=engine.stop)
        stopping.start()
        while not worker._stopping.is_set():
            pass
        go_on.set()
        stopping.join(WAIT_S)
        assert (calls, sorted((trail(engine, "j1"), trail(engine, "j2")))) == (["a"], [(), ("a",)])
        assert owners_of(engine) == {None}
        assert read(engine, FetchWorkers()) == []


@pytest.mark.parametrize("is_async", [False, True])
def test_a_handler_that_goes_on_beyond_the_grace_is_left_to_the_lease(make_ledger: MakeLedger, is_async: bool) -> None:
    """Its part is kept until the lease runs out, since it goes on there; the others are given back at once."""
    with Engine(make_ledger(), lifecycles=[JobLifecycle]) as engine:
        begun, go_on, over = Event(), Event(), Event()

        def hang(effect: Task, call: Call) -> Told:
            begun.set()
            assert go_on.wait(WAIT_S)
            over.set()
            return Told(what="late")

        async def hang_later(effect: Task, call: Call) -> Told:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                over.set()
            return Told(what="never")

        engine.handles(Task)(hang_later if is_async else hang)
        ask(engine, "j1", "task:a")
        engine.start(QUICK)
        assert begun.wait(WAIT_S)
        stopping = Thread(target=engine.stop, kwargs={"grace": timedelta(0)})
        stopping.start()
        stopping.join(WAIT_S)
        assert not stopping.is_alive()
        [row] = read(engine, FetchWorkers())
        assert owners_of(engine) == {None, row.id}
        go_on.set()
        assert over.wait(WAIT_S)
        assert (trail(engine, "j1"), len(pending(engine, "j1"))) == ((), 1)


def test_a_coroutine_that_can_not_be_cancelled_keeps_nobody_from_leaving(
    make_ledger: MakeLedger, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("stateward.engine.working.LEFT_S", 0.05)
    with Engine(make_ledger(), lifecycles=[JobLifecycle]) as engine:
        begun, go_on, over = Event(), Event(), Event()

        @engine.handles(Task)
        async def stubborn(effect: Task, call: Call) -> None:
            begun.set()
            while not go_on.is_set():
                with suppress(asyncio.CancelledError):
                    await asyncio.sleep(0.001)
            over.set()

        ask(engine, "j1", "task:a")
        engine.start(QUICK)
        background = engine._background
        assert background is not None
        assert begun.wait(WAIT_S)
        engine.stop(grace=timedelta(0))
        assert "goes on though it was cancelled" in caplog.text
        go_on.set()
        assert over.wait(WAIT_S)
        background.thread.join(WAIT_S)
        assert not background.thread.is_alive()


def test_a_long_drain_shows_that_it_lives(make_ledger: MakeLedger) -> None:
    """Each round takes longer than a lease holds: its beats go on between them."""
    ledger = make_ledger()
    with Engine(ledger, lifecycles=[JobLifecycle]) as engine:
        beats: list[int] = []
        now = [0.0]

        @engine.handles(Task)
        def slow(effect: Task, call: Call) -> None:
            now[0] += 100.0
            beats.extend(row.beat for row in read(engine, FetchWorkers()))

        ask(engine, "j1", "task:a", "task:b", "task:c")

        async def run(trips: Any) -> Any:
            return ledger.run(trips)

        worker = engine._make_worker(run, QUICK)
        worker.ground.monotonic = lambda: now[0]
        asyncio.run(worker.drain())
        assert beats == sorted(set(beats))
        assert len(beats) == 3


def test_what_a_worker_ended_by_surfaces_when_it_is_stopped(
    make_ledger: MakeLedger, caplog: pytest.LogCaptureFixture
) -> None:
    """And in the log at once: it may be long until somebody stops it."""
    ledger = Watched(make_ledger())
    with Engine(ledger, lifecycles=[JobLifecycle]) as engine:
        engine.handles(Task)(lambda effect, call: None)
        failed = Event()

        def fail() -> None:
            failed.set()
            raise ZeroDivisionError("no such luck")

        ledger.before = once(lambda trip: has(trip, FetchEffects), fail)
        engine.start(QUICK)
        assert failed.wait(WAIT_S)
        background = engine._background
        assert background is not None
        assert background.has_ended.wait(WAIT_S)
        [told] = [each for each in caplog.records if each.levelname == "CRITICAL"]
        assert "the worker has ended by an error" in told.message
        assert told.exc_info is not None
        assert isinstance(told.exc_info[1], ZeroDivisionError)
        with pytest.raises(ZeroDivisionError, match="no such luck"):
            engine.stop()
        assert read(engine, FetchWorkers()) == [], "others need not wait for its lease"
        engine.stop()


def test_what_a_worker_ended_by_surfaces_where_it_runs(make_ledger: MakeLedger) -> None:
    ledger = Watched(make_ledger())
    with Engine(ledger, lifecycles=[JobLifecycle]) as engine:
        engine.handles(Task)(lambda effect, call: None)

        def fail() -> None:
            raise ZeroDivisionError("no such luck")

        ledger.before = once(lambda trip: has(trip, FetchEffects), fail)
        with pytest.raises(ZeroDivisionError, match="no such luck"):
            engine.run(QUICK)


def test_a_ledger_that_is_away_ends_no_worker(make_ledger: MakeLedger) -> None:
    """It is asked again; and it need not be there to stop."""
    ledger = Watched(make_ledger())
    with Engine(ledger, lifecycles=[JobLifecycle]) as engine:
        done, asked = Event(), Event()
        engine.handles(Task)(lambda effect, call: done.set())
        ledger.before = once(lambda trip: has(trip, FetchEffects), be_away)
        ask(engine, "j1", "task:a")
        engine.start(QUICK)
        assert done.wait(WAIT_S)

        def all_away(trip: Any) -> None:
            if has(trip, FetchEffects, RaiseBeat):
                asked.set()
            be_away()

        ledger.before = all_away
        assert asked.wait(WAIT_S)
        engine.stop(grace=timedelta(0))
        ledger.before = lambda _: None


def test_a_run_ends_when_another_thread_stops_it(make_ledger: MakeLedger) -> None:
    with Engine(make_ledger(), lifecycles=[JobLifecycle]) as engine:
        stopping: list[Thread] = []

        @engine.handles(Task)
        def stop(effect: Task, call: Call) -> None:
            stopping.append(Thread(target=engine.stop))
            stopping[0].start()

        ask(engine, "j1", "task:a")
        engine.run(QUICK)
        stopping[0].join(WAIT_S)
        assert pending(engine, "j1") == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_ends_at_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    """In the main thread of a process; all is given back."""
    address = f"sqlite:///{tmp_path / 'ledger.db'}"
    with Engine(address, lifecycles=[JobLifecycle]) as engine, child(address, "run") as process:
        ask(engine, "j1", "task:a")
        assert line_of(process) == "handling a 1"
        os.kill(process.pid, number)
        assert line_of(process) == "ended"
        assert process.wait(WAIT_S) == 0
        assert trail(engine, "j1") == ("child a",)
        assert owners_of(engine) == {None}


def test_a_signal_just_before_the_wait_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind Python's last look for signals: it strikes and waits in one call into C, so nothing looks in between."""
    strike = partial(ctypes.CDLL(None)["raise"], int(signal.SIGTERM))
    waits: list[float | None] = []

    class Struck:
        def __init__(self) -> None:
            self._queue: SimpleQueue[None] = SimpleQueue()
            self.put = self._queue.put

        def get(self, timeout: float | None = None) -> None:
            assert timeout is not None, "such a wait would have no end"
            waits.append(timeout)
            before = [] if len(waits) > 1 else [strike]
            list(map(operator.call, [*before, partial(self._queue.get, timeout=timeout)]))

    monkeypatch.setattr(working, "SimpleQueue", Struck)
    with Engine("memory://", lifecycles=[JobLifecycle]) as engine:
        engine.run(WorkerSettings(), grace=timedelta(seconds=10))
    assert 1 <= len(waits) <= 2


def test_a_run_that_is_cancelled_stops(make_ledger: MakeLedger) -> None:
    """Else it would go on behind the back of whoever cancelled it."""

    async def work() -> None:
        async with AsyncEngine(make_ledger(), lifecycles=[JobLifecycle]) as engine:
            called = asyncio.Event()

            @engine.handles(Task)
            async def handle(effect: Task, call: Call) -> None:
                called.set()
                await asyncio.sleep(WAIT_S)

            await engine.create(JobLifecycle, "j1", Job(), actor="test:1")
            await engine.send(JobLifecycle, "j1", Ask(what=("task:a",)), actor="test:1")
            running = asyncio.create_task(engine.run(QUICK))
            async with asyncio.timeout(WAIT_S):
                await called.wait()
                running.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await running
            assert engine.statistics().worker is None
            assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(work())


def test_closing_stops(make_ledger: MakeLedger) -> None:
    engine = Engine(make_ledger(), lifecycles=[JobLifecycle])
    done = Event()
    engine.handles(Task)(lambda effect, call: done.set())
    engine.start(QUICK)
    ask(engine, "j1", "task:a")
    assert done.wait(WAIT_S)
    background = engine._background
    assert background is not None
    engine.close()
    assert not background.thread.is_alive()
    engine.close()
    with pytest.raises(LedgerUnavailable):
        engine.drain()


def test_a_drain_is_not_for_a_running_loop(engine: Engine) -> None:
    async def drain() -> None:
        engine.drain()

    with pytest.raises(CallerError, match="use AsyncEngine"):
        asyncio.run(drain())


def test_what_a_worker_has_done_is_counted(make_ledger: MakeLedger) -> None:
    with Engine(make_ledger(), lifecycles=[JobLifecycle]) as engine:
        assert engine.statistics().worker is None
        release, held = Event(), Event()
        again = {"fail": ValueError("no"), "snooze": None}

        @engine.handles(Task, retry=Retry(base=timedelta(milliseconds=1), maximum=timedelta(milliseconds=1)))
        def work(effect: Task, call: Call) -> Any:
            if effect.name == "hold":
                held.set()
                release.wait(WAIT_S)
                return None
            if effect.name in again:
                error = again.pop(effect.name)
                raise error or Snooze(timedelta(milliseconds=1))
            if effect.name == "die":
                raise GiveUp("no")
            return {"reply": Told(what="x"), "refused": Unwelcome(), "none": None}.get(effect.name)

        for name in ("reply", "refused", "none", "fail", "snooze", "die", "hold"):
            ask(engine, name, f"task:{name}")
        engine.start(QUICK)
        assert held.wait(WAIT_S)
        worker = engine._worker
        assert worker is not None
        while (found := worker.statistics()).effects.done < 5 or not found.effects.dead or found.in_hand > 1:
            pass
        counts = found.effects
        assert (counts.done, counts.replied, counts.failed, counts.snoozed, counts.dead) == (5, 2, 2, 1, 1)
        assert (found.parts, found.in_hand, found.running, found.abandoned, found.leases_lost) == (64, 1, 1, 0, 0)
        assert found.worker == read(engine, FetchWorkers())[0].id
        release.set()
        engine.stop()
        assert worker.statistics().effects.done == 6
        assert (worker.statistics().worker, worker.statistics().parts) == ("", 0)
        assert engine.statistics().worker is None
        assert len(dead(engine)) == 1
