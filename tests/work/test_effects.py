"""Effects go to their handlers, and what these answer goes back to the entity, once."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from datetime import timedelta
from threading import Barrier, Event, Lock
from typing import Any

import pytest

from stateward import Call, DefinitionError, Effect, GiveUp, Retry, Snooze
from stateward.engine import Engine
from stateward.ledger.after_commit import EndEffects, PostponeEffects
from stateward.ledger.contract import CommitMoves
from stateward.work import WorkerSettings
from tests.conftest import MakeLedger
from tests.work.conftest import (
    START,
    WAIT_S,
    AnyEngine,
    Clock,
    Watched,
    ask,
    dead,
    handles,
    has,
    lose_the_reply,
    once,
    pending,
    told,
    trail,
)
from tests.work.lifecycles import Ask, Broken, Closed, Job, JobLifecycle, Other, Task, Told, Unwelcome

QUICK = WorkerSettings(poll=timedelta(milliseconds=50))


def as_is(function: Callable[[Any, Call], Any]) -> Callable[[Any, Call], Any]:
    return function


def as_task(function: Callable[[Any, Call], Any]) -> Callable[[Any, Call], Any]:
    async def call(effect: Any, call: Call) -> Any:
        await asyncio.sleep(0)
        return function(effect, call)

    return call


class Called:
    """A callable object."""

    def __init__(self, function: Callable[[Any, Call], Any]) -> None:
        self.function = function

    def __call__(self, effect: Any, call: Call) -> Any:
        return self.function(effect, call)


class CalledLater(Called):
    """A callable object that is a coroutine's."""

    async def __call__(self, effect: Any, call: Call) -> Any:
        await asyncio.sleep(0)
        return self.function(effect, call)


every_shape = pytest.mark.parametrize("shape", [as_is, as_task, Called, CalledLater])


# What a handler is told.


@every_shape
def test_a_handler_gets_the_effect_and_its_call(in_memory: AnyEngine, shape: Any, clock: Clock) -> None:
    calls: list[tuple[Any, Call]] = []
    handles(in_memory, Task, timeout=timedelta(seconds=7))(shape(lambda effect, call: calls.append((effect, call))))
    asked = ask(in_memory, "j1", "task:a", "task:b")
    clock.forward(seconds=5)
    in_memory.drain()
    assert [effect for effect, _ in calls] == [Task(name="a"), Task(name="b")]
    first, second = (call for _, call in calls)
    assert (first.key, second.key) == (f"{asked.record}:0", f"{asked.record}:1")
    assert (first.kind, first.entity, first.effect, first.revision) == ("Job", "j1", "Task", 2)
    assert (first.record, first.attempt, first.asked_at) == (asked.record, 1, START)
    assert first.deadline == START + timedelta(seconds=12)
    assert pending(in_memory, "j1") == []


def test_the_key_stays_and_the_attempt_rises(engine: Engine, clock: Clock) -> None:
    calls: list[Call] = []

    @engine.handles(Task, retry=Retry(limit=3))
    def fail(effect: Task, call: Call) -> None:
        calls.append(call)
        raise ValueError("no")

    ask(engine, "j1", "task:a")
    for _ in range(4):
        engine.drain()
        clock.forward(hours=1)
    assert [call.attempt for call in calls] == [1, 2, 3]
    assert len({call.key for call in calls}) == 1


# What it answers.


@every_shape
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (None, ()),
        (Told(what="x"), ("x",)),
        ([], ()),
        ([Told(what="x"), Told(what="y"), Told(what="z")], ("x", "y", "z")),
        ((Told(what="x"),), ("x",)),
    ],
)
def test_answers_go_back_to_the_entity(in_memory: Engine, shape: Any, answer: Any, expected: tuple[str, ...]) -> None:
    in_memory.handles(Task)(shape(lambda effect, call: answer))
    asked = ask(in_memory, "j1", "task:a")
    in_memory.drain()
    assert trail(in_memory, "j1") == expected
    key = f"effect:{asked.record}:0"
    keys = [key, *(f"{key}:{n}" for n in range(1, len(expected)))][: len(expected)]
    assert told(in_memory, "j1") == [("Told", "applied", each, "effect", f"{asked.record}:0") for each in keys]
    assert pending(in_memory, "j1") == []


@pytest.mark.parametrize("answer", [True, "paid", Told, {"what": "x"}, [Told(), None], (x for x in [Told()])])
def test_whatever_else_it_answers_is_a_failed_attempt(either_in_memory: AnyEngine, answer: Any) -> None:
    handles(either_in_memory, Task)(lambda effect, call: answer)
    ask(either_in_memory, "j1", "task:a")
    either_in_memory.drain()
    [(_, attempts, error)] = pending(either_in_memory, "j1")
    assert attempts == 1
    assert "it returns None, an event, or a list or tuple of events" in error
    assert trail(either_in_memory, "j1") == ()


def test_a_reply_that_asks_for_more_has_it_done(either: AnyEngine) -> None:
    seen: list[str] = []

    def answer(effect: Task, call: Call) -> Told:
        seen.append(effect.name)
        return Told(what=effect.name, then=("task:b",) if effect.name == "a" else ())

    handles(either, Task)(answer)
    ask(either, "j1", "task:a")
    either.drain()
    assert (seen, trail(either, "j1")) == (["a", "b"], ("a", "b"))


def test_a_refused_reply_is_recorded_and_the_effect_is_done(either: AnyEngine) -> None:
    handles(either, Task)(lambda effect, call: Unwelcome())
    asked = ask(either, "j1", "task:a")
    either.drain()
    key = f"{asked.record}:0"
    assert told(either, "j1") == [("Unwelcome", "rejected_invalid", f"effect:{key}", "effect", key)]
    assert (pending(either, "j1"), dead(either)) == ([], [])


def test_a_reply_to_a_lifecycle_that_has_ended_is_recorded(engine: Engine) -> None:
    engine.handles(Task)(lambda effect, call: Told(what="late"))
    ask(engine, "j1", "task:a")
    engine.send(JobLifecycle, "j1", Closed(), actor="test:1")
    engine.drain()
    [(event, outcome, *_)] = told(engine, "j1")
    assert (event, outcome) == ("Told", "rejected_invalid")
    assert pending(engine, "j1") == []


def test_a_reply_whose_action_raises_is_a_failed_attempt(either: AnyEngine, clock: Clock) -> None:
    answers: list[Any] = [Broken(), Told(what="whole")]
    handles(either, Task)(lambda effect, call: answers.pop(0))
    ask(either, "j1", "task:a")
    either.drain()
    [(_, attempts, error)] = pending(either, "j1")
    assert (attempts, "broken" in error) == (1, True)
    clock.forward(hours=1)
    either.drain()
    assert (trail(either, "j1"), pending(either, "j1")) == (("whole",), [])


def test_what_is_behind_a_reply_that_raises_is_not_applied(engine: Engine, clock: Clock) -> None:
    """Several replies are applied in their order: what follows one that failed comes with the next attempt."""
    answers: list[Any] = [
        [Told(what="a"), Broken(), Told(what="c")],
        [Told(what="a"), Told(what="b"), Told(what="c")],
    ]
    engine.handles(Task)(lambda effect, call: answers.pop(0))
    ask(engine, "j1", "task:a")
    engine.drain()
    assert trail(engine, "j1") == ("a",)
    assert len(pending(engine, "j1")) == 1
    clock.forward(hours=1)
    engine.drain()
    assert (trail(engine, "j1"), pending(engine, "j1")) == (("a", "b", "c"), [])


def test_an_effect_is_not_done_by_its_second_reply_when_the_first_failed(make_ledger: MakeLedger, clock: Clock) -> None:
    """Not even if another writer moves the entity meanwhile, so that the second one alone goes round again."""
    ledger = Watched(make_ledger())
    with (
        Engine(ledger, lifecycles=[JobLifecycle], clock=clock) as engine,
        Engine(make_ledger(), lifecycles=[JobLifecycle], clock=clock) as other,
    ):
        if ledger.capabilities.holds_write_lock:
            return  # nobody can move it in between
        answers: list[Any] = [[Broken(), Told(what="b")], [Told(what="a"), Told(what="b")]]
        engine.handles(Task)(lambda effect, call: answers.pop(0))
        ask(engine, "j1", "task:a")
        ledger.before = once(
            lambda trip: has(trip, CommitMoves),
            lambda: ignore(other.send(JobLifecycle, "j1", Told(what="meanwhile"), actor="test:1")),
        )
        engine.drain()
        assert len(pending(engine, "j1")) == 1
        ledger.before = lambda _: None
        clock.forward(hours=1)
        engine.drain()
        assert sorted(trail(engine, "j1"))[:2] == ["a", "b"]
        assert pending(engine, "j1") == []


# Once, however often it is asked.


def ignore(_: Any) -> None:
    """What it gives does not matter."""


class JobOfNewCode(JobLifecycle, name="Job"):
    version = 2


@pytest.mark.parametrize("fails", [False, True])
def test_a_reply_to_a_newer_version_is_left_to_a_newer_worker(
    make_ledger: MakeLedger, clock: Clock, *, fails: bool
) -> None:
    """While workers are replaced one after the other, old ones ask what new ones are answered; nothing dies by it."""
    ledger = make_ledger()
    with (
        Engine(ledger, lifecycles=[JobLifecycle], clock=clock) as old,
        Engine(ledger, lifecycles=[JobLifecycle, JobOfNewCode], clock=clock) as new,
    ):
        attempts: list[int] = []

        def handle(effect: Task, call: Call) -> Told:
            attempts.append(call.attempt)
            if fails:
                raise GiveUp("no")
            return Told(what="told")

        for engine in (old, new):
            engine.handles(Task, retry=Retry(limit=2), on_dead=Told(what="dead"))(handle)
        new.create(JobOfNewCode, "j1", Job(), actor="test:1")
        new.send(JobOfNewCode, "j1", Ask(what=("task:a",)), actor="test:1")
        for _ in range(4):
            old.drain()
            clock.forward(seconds=30)
        assert (attempts, dead(old)) == ([1] * 4, [])
        [(_, _, error)] = pending(old, "j1")
        assert "is on version 2" in error
        new.drain()
        assert new.get(JobOfNewCode, "j1").context.trail == ("dead" if fails else "told",)


@pytest.mark.parametrize("answers", [[Told(what="first"), Told(what="second")], [Told(what="first"), None]])
def test_a_redelivery_applies_no_reply_twice(make_ledger: MakeLedger, clock: Clock, answers: list[Any]) -> None:
    """The commit of the reply comes through, and its reply is lost: the deletion came through with it."""
    ledger = Watched(make_ledger())
    with Engine(ledger, lifecycles=[JobLifecycle], clock=clock) as engine:
        left = list(answers)
        engine.handles(Task)(lambda effect, call: left.pop(0))
        ask(engine, "j1", "task:a")
        ledger.after = once(lambda trip: has(trip, EndEffects) and trip.commits, lose_the_reply)
        engine.drain()
        assert trail(engine, "j1") == ("first",)
        assert (pending(engine, "j1"), len(left)) == ([], 1)


def test_the_reply_and_the_deletion_are_one_commit(make_ledger: MakeLedger, clock: Clock) -> None:
    """Whenever the reply is there, the effect is not: whoever looks between any two trips sees both or neither."""
    ledger = Watched(make_ledger())
    is_memory = ledger.capabilities.name == "memory"
    with (
        Engine(ledger, lifecycles=[JobLifecycle], clock=clock) as engine,
        Engine(make_ledger(), lifecycles=[JobLifecycle], clock=clock) as other,
    ):
        engine.handles(Task)(lambda effect, call: Told(what="a"))
        ask(engine, "j1", "task:a")
        seen: list[tuple[int, int]] = []

        def look(_: Any) -> None:
            if not is_memory:  # whose lock is held for as long as a transaction lasts
                seen.append((len(trail(other, "j1")), len(pending(other, "j1"))))

        ledger.before = ledger.after = look
        engine.drain()
        assert set(seen) <= {(0, 1), (1, 0)}
        assert (len(trail(engine, "j1")), len(pending(engine, "j1"))) == (1, 0)


def test_who_answers_otherwise_the_second_time_is_heard_the_first_time(engine: Engine, clock: Clock) -> None:
    """The reply was applied, and the effect is asked again nevertheless: as a dead letter that is given a new try."""
    answers: list[Any] = [[Told(what="first"), Broken()], [Told(what="second"), Told(what="third")]]
    engine.handles(Task, retry=Retry(limit=1))(lambda effect, call: answers.pop(0))
    ask(engine, "j1", "task:a")
    engine.drain()
    assert trail(engine, "j1") == ("first",)
    assert engine.retry(engine.dead()) == 1
    engine.drain()
    assert trail(engine, "j1") == ("first", "third")
    assert (pending(engine, "j1"), dead(engine)) == ([], [])


# How often it is asked.


class Chance(random.Random):
    """Chance that is told."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def random(self) -> float:
        return self.value


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_waits_grow_exponentially_with_full_jitter(value: float) -> None:
    retry = Retry(limit=100, base=timedelta(seconds=2), maximum=timedelta(seconds=60))
    waits = [retry.delay(attempt, Chance(value)) for attempt in range(1, 9)]
    assert waits == [timedelta(seconds=value * each) for each in (2, 4, 8, 16, 32, 60, 60, 60)]


@pytest.mark.parametrize("base", [timedelta(microseconds=1), timedelta(hours=1), timedelta(days=30)])
def test_waits_reach_the_maximum_whatever_the_base(base: timedelta) -> None:
    retry = Retry(limit=10_000, base=base, maximum=timedelta(days=365))
    waits = [retry.delay(attempt, Chance(1.0)) for attempt in (*range(1, 100), 10_000)]
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (base, timedelta(days=365))


def test_an_attempt_that_failed_is_made_again_when_it_is_due(
    either: AnyEngine, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stateward.work.workplace.random.Random", lambda: Chance(0.5))
    attempts: list[int] = []

    def fail(effect: Task, call: Call) -> None:
        attempts.append(call.attempt)
        raise ValueError("no")

    handles(either, Task, retry=Retry(limit=9, base=timedelta(seconds=8)))(fail)
    ask(either, "j1", "task:a")
    due = START
    for n in range(3):
        either.drain()
        assert attempts == list(range(1, n + 2))
        due += timedelta(seconds=8 * 2**n / 2)
        [effect] = either.pending(JobLifecycle, "j1")
        assert (effect.attempts, effect.next_attempt, effect.last_error) == (n + 1, due, "ValueError: no")
        clock.now = due - timedelta(microseconds=1)
        either.drain()
        assert len(attempts) == n + 1
        clock.now = due


def test_what_failed_is_attempted_once_in_a_drain(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """However short the wait is that chance gives it."""
    monkeypatch.setattr("stateward.work.workplace.random.Random", lambda: Chance(0.0))
    attempts: list[tuple[str, int]] = []

    @engine.handles(Task, retry=Retry(limit=100))
    def fail(effect: Task, call: Call) -> None:
        attempts.append((effect.name, call.attempt))
        if effect.name == "snooze":
            raise Snooze(timedelta(0))
        raise ValueError("no")

    ask(engine, "j1", "task:a")
    ask(engine, "j2", "task:snooze")
    engine.drain()
    assert sorted(attempts) == [("a", 1), ("snooze", 1)]
    engine.drain()
    assert sorted(attempts) == [("a", 1), ("a", 2), ("snooze", 1), ("snooze", 1)]


class BadCard(Exception):
    pass


class WorseCard(BadCard):
    pass


class Busy(Exception):
    pass


def test_rules_say_what_follows_an_error(engine: Engine, clock: Clock) -> None:
    rules: Any = {BadCard: "give_up", WorseCard: "retry", Busy: timedelta(seconds=30)}
    errors: dict[str, Exception] = {
        "bad": BadCard("b"),
        "worse": WorseCard("w"),
        "busy": Busy("later"),
        "other": OSError(),
    }

    @engine.handles(Task, retry=Retry(rules=rules, limit=5))
    def fail(effect: Task, call: Call) -> None:
        raise errors[effect.name]

    for name in errors:
        ask(engine, name, f"task:{name}")
    engine.drain()
    assert [(each.entity, each.error, each.attempts) for each in dead(engine)] == [("bad", "BadCard: b", 1)]
    assert pending(engine, "worse") == [("worse", 1, "WorseCard: w")]
    assert pending(engine, "other") == [("other", 1, "OSError")]
    assert pending(engine, "busy") == [("busy", 0, "Busy: later")]
    [effect] = engine.pending(JobLifecycle, "busy")
    assert effect.next_attempt == START + timedelta(seconds=30)


def test_a_snooze_counts_as_no_attempt(either: AnyEngine, clock: Clock) -> None:
    attempts: list[int] = []

    def snooze(effect: Task, call: Call) -> None:
        attempts.append(call.attempt)
        if len(attempts) < 20:
            raise Snooze(timedelta(minutes=1), "not yet")

    handles(either, Task, retry=Retry(limit=1))(snooze)
    ask(either, "j1", "task:a")
    for _ in range(19):
        either.drain()
        assert pending(either, "j1") == [("a", 0, "not yet")]
        clock.forward(minutes=1)
    either.drain()
    assert (attempts, pending(either, "j1")) == ([1] * 20, [])


@pytest.mark.parametrize("delay", [timedelta.max, timedelta(days=-1), timedelta.min])
def test_a_snooze_of_any_length_harms_nobody(engine: Engine, delay: timedelta) -> None:
    @engine.handles(Task)
    def snooze(effect: Task, call: Call) -> Told:
        if effect.name == "snooze":
            raise Snooze(delay)
        return Told(what="done")

    ask(engine, "j1", "task:snooze")
    ask(engine, "j2", "task:a")
    engine.drain()
    [effect] = engine.pending(JobLifecycle, "j1")
    assert effect.next_attempt is not None
    assert trail(engine, "j2") == ("done",)


@pytest.mark.parametrize("reason", ["\0 not yet", "\ud800 not yet", "x" * 9000, ""])
def test_a_snooze_for_any_reason_harms_nobody(engine: Engine, reason: str) -> None:
    """What no database can keep of it is left out, as of an error: else it would end the worker, again and again."""

    @engine.handles(Task)
    def snooze(effect: Task, call: Call) -> Told:
        if effect.name == "snooze":
            raise Snooze(timedelta(minutes=1), reason)
        return Told(what="done")

    ask(engine, "j1", "task:snooze")
    ask(engine, "j2", "task:a")
    engine.drain()
    [(_, attempts, error)] = pending(engine, "j1")
    assert (attempts, error) == (0, (reason or "Snooze")[:2000].replace("\0", " ").replace("\ud800", "?"))
    assert trail(engine, "j2") == ("done",)


class Nameless(Exception):
    def __str__(self) -> str:
        raise RuntimeError("nobody can say it")


class Interrupting(BaseException):
    pass


@pytest.mark.parametrize("shape", [as_is, as_task])
@pytest.mark.parametrize(
    ("error", "told_as"),
    [
        (Nameless(), "Nameless"),
        (Interrupting("x"), "Interrupting: x"),
        (SystemExit(3), "SystemExit: 3"),
        (asyncio.CancelledError(), "CancelledError"),
        (TimeoutError("mine"), "TimeoutError: mine"),
        (Snooze("soon"), "TypeError"),  # type: ignore[arg-type]
        (ValueError("\0 \ud800" + "x" * 9000), "ValueError"),
    ],
)
def test_whatever_a_handler_raises_is_a_failed_attempt(shape: Any, error: BaseException, told_as: str) -> None:
    """In the background; while it drains, what is meant for the caller's own thread goes to the caller."""
    with Engine("memory://", lifecycles=[JobLifecycle]) as engine:
        over = Event()

        def fail(effect: Task, call: Call) -> None:
            if effect.name == "bad" and call.attempt == 1:
                raise error
            over.set()

        engine.handles(Task, retry=Retry(base=timedelta(milliseconds=1), maximum=timedelta(milliseconds=1)))(
            shape(fail)
        )
        ask(engine, "j1", "task:bad")
        engine.start(QUICK)
        assert over.wait(WAIT_S)
        engine.stop()
        assert pending(engine, "j1") == []


def test_an_interrupt_in_a_drain_goes_to_the_caller_and_leaves_the_rest_to_the_next(engine: Engine) -> None:
    answers: list[Any] = [KeyboardInterrupt, None, None]

    @engine.handles(Task)
    def interrupt(effect: Task, call: Call) -> None:
        answer = answers.pop(0)
        if answer is not None:
            raise answer

    ask(engine, "j1", "task:a")
    ask(engine, "j2", "task:b")
    with pytest.raises(KeyboardInterrupt):
        engine.drain()
    engine.drain()
    assert (pending(engine, "j1"), pending(engine, "j2"), answers) == ([], [], [])


def test_an_error_is_kept_as_far_as_it_can_be(engine: Engine) -> None:
    @engine.handles(Task)
    def fail(effect: Task, call: Call) -> None:
        raise ValueError("\0 \ud800" + "x" * 9000)

    ask(engine, "j1", "task:a")
    engine.drain()
    [(_, _, error)] = pending(engine, "j1")
    assert error.startswith("ValueError:   ?xxx")
    assert len(error) == 2000


def test_give_up_makes_a_dead_letter_at_once(either: AnyEngine) -> None:
    def give_up(effect: Task, call: Call) -> None:
        raise GiveUp("the account is closed")

    handles(either, Task)(give_up)
    ask(either, "j1", "task:a")
    either.drain()
    assert [(each.attempts, each.error) for each in dead(either)] == [(1, "the account is closed")]
    assert pending(either, "j1") == []


# Deadlines.


def test_a_coroutine_is_cancelled_at_its_deadline(make_ledger: MakeLedger) -> None:
    with Engine(make_ledger(), lifecycles=[JobLifecycle]) as engine:
        cancelled, again = Event(), Event()

        @engine.handles(
            Task,
            timeout=timedelta(milliseconds=250),
            retry=Retry(base=timedelta(milliseconds=1), maximum=timedelta(milliseconds=1)),
        )
        async def hang(effect: Task, call: Call) -> Told:
            if call.attempt > 1:
                again.set()
                return Told(what=f"attempt {call.attempt}")
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                cancelled.set()
                raise
            return Told(what="never")

        ask(engine, "j1", "task:a")
        engine.start(QUICK)
        assert cancelled.wait(WAIT_S)
        assert again.wait(WAIT_S)
        engine.stop()
        assert trail(engine, "j1") == ("attempt 2",)


def test_a_function_is_abandoned_at_its_deadline_and_its_late_answer_changes_nothing(make_ledger: MakeLedger) -> None:
    with Engine(make_ledger(), lifecycles=[JobLifecycle]) as engine:
        release, again, late = Event(), Event(), Event()

        @engine.handles(
            Task,
            timeout=timedelta(milliseconds=250),
            retry=Retry(base=timedelta(milliseconds=1), maximum=timedelta(milliseconds=1)),
        )
        def hang(effect: Task, call: Call) -> Told:
            if call.attempt > 1:
                again.set()
                return Told(what=f"attempt {call.attempt}")
            release.wait(WAIT_S)
            late.set()
            return Told(what="late")

        ask(engine, "j1", "task:a")
        engine.start(QUICK)
        assert again.wait(WAIT_S)
        worker = engine.statistics().worker
        assert worker is not None
        assert worker.abandoned == 1
        release.set()
        assert late.wait(WAIT_S)
        engine.stop()
        assert trail(engine, "j1") == ("attempt 2",)
        assert [event for event, *_ in told(engine, "j1")] == ["Told"]


# Many at once.


class Going:
    """Counts what goes on at the same time; each waits until so many do, or until it is let go."""

    def __init__(self, together: int) -> None:
        self._lock = Lock()
        self.now = self.most = self.calls = 0
        self.are_together, self.release = Event(), Event()
        self._together = together

    def enter(self) -> None:
        with self._lock:
            self.now += 1
            self.calls += 1
            self.most = max(self.most, self.now)
            if self.now >= self._together:
                self.are_together.set()

    def leave(self) -> None:
        with self._lock:
            self.now -= 1

    def call(self, effect: Any, call: Call) -> None:
        self.enter()
        self.release.wait(WAIT_S)
        self.leave()

    async def call_later(self, effect: Any, call: Call) -> None:
        self.enter()
        await asyncio.to_thread(self.release.wait, WAIT_S)
        self.leave()


@pytest.mark.parametrize("is_async", [False, True])
def test_so_many_go_on_at_the_same_time_and_never_more(make_ledger: MakeLedger, is_async: bool) -> None:
    """Per type, and per worker: the barrier shows that so many do, the count that no more do."""
    with Engine(make_ledger(), lifecycles=[JobLifecycle]) as engine:
        tasks, others, all_of_them = Going(3), Going(4), Going(7)

        def enter(going: Going) -> Any:
            def call(effect: Any, call: Call) -> None:
                all_of_them.enter()
                going.call(effect, call)
                all_of_them.leave()

            async def call_later(effect: Any, call: Call) -> None:
                all_of_them.enter()
                await going.call_later(effect, call)
                all_of_them.leave()

            return call_later if is_async else call

        engine.handles(Task, concurrency=3)(enter(tasks))
        engine.handles(Other)(enter(others))
        for n in range(12):
            ask(engine, f"t{n}", "task:a")
            ask(engine, f"o{n}", "other:a")
        engine.start(WorkerSettings(concurrency=7, poll=timedelta(milliseconds=20)))
        assert tasks.are_together.wait(WAIT_S)
        assert others.are_together.wait(WAIT_S)
        tasks.release.set()
        others.release.set()
        wait_until(engine, lambda counts: counts.done == 24)
        engine.stop()
        assert (tasks.calls, others.calls) == (12, 12)
        assert (tasks.most, all_of_them.most) == (3, 7)


def wait_until(engine: Engine, are_such: Callable[[Any], bool]) -> None:
    """Wait until the counts of effects are such; the worker tells when it waits for more."""
    idle = Event()
    worker = engine._worker
    assert worker is not None
    worker.effects.watchers.append(idle.set)
    worker.wake()
    while not are_such(worker.statistics().effects):
        idle.clear()
        assert idle.wait(WAIT_S)


def test_functions_that_do_not_come_back_keep_their_places(make_ledger: MakeLedger) -> None:
    """What was abandoned still goes on: it counts for the concurrency of its type, and of the worker's threads."""
    with Engine(make_ledger(), lifecycles=[JobLifecycle]) as engine:
        going, other_called = Going(2), Event()

        @engine.handles(Task, concurrency=2, timeout=timedelta(milliseconds=20), retry=Retry(limit=1))
        def hang(effect: Task, call: Call) -> None:
            going.call(effect, call)

        engine.handles(Other)(lambda effect, call: other_called.set())
        for n in range(6):
            ask(engine, f"t{n}", "task:a")
        engine.start(WorkerSettings(concurrency=3, poll=timedelta(milliseconds=20)))
        assert going.are_together.wait(WAIT_S)
        wait_until(engine, lambda counts: counts.dead == 2)
        ask(engine, "o1", "other:a")
        assert other_called.wait(WAIT_S)
        assert going.calls == 2
        assert len(dead(engine)) == 2
        going.release.set()
        wait_until(engine, lambda counts: counts.done + counts.dead == 7)
        engine.stop()
        assert (going.most, going.calls) == (2, 6)


def test_functions_that_do_not_come_back_are_told_in_the_log(
    make_ledger: MakeLedger, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """When they have taken all places nothing more is begun, and whoever is on call has to learn why."""
    monkeypatch.setattr("stateward.work.shift.ABANDONED_S", 0.01)
    told, go_on = Event(), Event()

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "go on and keep their places: 1 of 3" in record.getMessage():
                told.set()

    caplog.set_level("WARNING", "stateward.work.shift")
    listener = Listener()
    logging.getLogger("stateward.work.shift").addHandler(listener)
    try:
        with Engine(make_ledger(), lifecycles=[JobLifecycle]) as engine:

            @engine.handles(Task, timeout=timedelta(milliseconds=20), retry=Retry(limit=1))
            def hang(effect: Task, call: Call) -> None:
                go_on.wait(WAIT_S)

            ask(engine, "j1", "task:a")
            engine.start(WorkerSettings(concurrency=3))
            assert told.wait(WAIT_S)
            go_on.set()
            engine.stop()
    finally:
        logging.getLogger("stateward.work.shift").removeHandler(listener)


def test_each_call_has_a_thread_of_its_own_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that comes while a thread has just taken another: it would wait for that one, however long it takes."""
    from queue import SimpleQueue

    from stateward.work.calling import Caller

    async def call_two() -> None:
        caller = Caller(2)
        both = Barrier(2, timeout=WAIT_S)
        first_done, over, ended = asyncio.Event(), asyncio.Event(), 0

        class Queue(SimpleQueue):  # type: ignore[type-arg]
            hook: Callable[[], None] | None = None

            def get(self) -> Any:  # type: ignore[override]
                item = super().get()
                hook, self.hook = self.hook, None
                if hook is not None:
                    hook()
                return item

        def count(_: Any) -> None:
            nonlocal ended
            ended += 1
            if ended == 2:
                over.set()

        queue = caller._queue = Queue()
        caller.submit(lambda: None, lambda _: first_done.set())  # so that there is a thread, and it is idle
        await first_done.wait()
        queue.hook = lambda: caller.submit(both.wait, count)
        caller.submit(both.wait, count)
        await asyncio.wait_for(over.wait(), WAIT_S)
        assert not both.broken
        caller.close()

    asyncio.run(call_two())


# Registering.


def test_what_can_not_be_meant_is_refused_at_once(in_memory: Any) -> None:
    engine = in_memory
    engine.handles(Task)(lambda effect, call: None)
    with pytest.raises(DefinitionError, match="has a handler already"):
        engine.handles(Task)(lambda effect, call: None)
    with pytest.raises(DefinitionError, match="takes an effect and its Call"):
        engine.handles(Other)(lambda effect: None)
    with pytest.raises(DefinitionError, match="is no effect"):
        engine.handles(Told)(lambda effect, call: None)
    for wrong in ({"timeout": timedelta(0)}, {"concurrency": 0}, {"on_dead": 3}):
        with pytest.raises(DefinitionError):
            engine.handles(Other, **wrong)(lambda effect, call: None)
    make: Any = Retry
    for retry in ({"limit": 0}, {"base": timedelta(0)}, {"maximum": timedelta(0)}, {"rules": {OSError: "stop"}}):
        with pytest.raises(DefinitionError):
            make(**retry)


class Later:
    class Task(Effect):
        """What Task has become in a later release."""

        count: int


def test_an_effect_that_fits_its_class_no_more_is_a_dead_letter(engine: Engine) -> None:
    engine.handles(Later.Task)(lambda effect, call: None)
    ask(engine, "j1", "task:a")
    engine.drain()
    [letter] = dead(engine)
    assert "its payload does not fit Task" in letter.error


def test_postponements_and_ends_are_written_together(make_ledger: MakeLedger, clock: Clock) -> None:
    ledger = Watched(make_ledger())
    with Engine(ledger, lifecycles=[JobLifecycle], clock=clock) as engine:

        @engine.handles(Task)
        def fail_half(effect: Task, call: Call) -> None:
            if effect.name == "bad":
                raise ValueError("no")

        for n in range(10):
            ask(engine, f"j{n}", "task:bad" if n % 2 else "task:good")
        trips: list[Any] = []
        ledger.after = lambda trip: trips.append(trip) if has(trip, EndEffects, PostponeEffects) else None
        engine.drain()
        assert len(trips) == 1
