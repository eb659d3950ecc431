"""Effects that are given up: they are kept with what they failed of, told to the lifecycle, and can be tried anew."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from threading import Event
from typing import Any

import pytest

from stateward import Call, GiveUp, Retry
from stateward.engine import Engine
from stateward.ledger.after_commit import EndEffects
from stateward.ledger.contract import CommitMoves
from tests.conftest import MakeLedger
from tests.work.conftest import (
    START,
    WAIT_S,
    AnyEngine,
    Clock,
    Watched,
    ask,
    be_away,
    dead,
    handles,
    has,
    lose_the_reply,
    once,
    pending,
    shift_of,
    told,
    trail,
)
from tests.work.lifecycles import Broken, Gone, JobLifecycle, Other, Task, Told, Unwelcome


def give_up(effect: Any, call: Call) -> Any:
    raise GiveUp(f"no {effect.name}")


def test_a_dead_letter_is_kept_with_what_it_failed_of(either: AnyEngine, clock: Clock) -> None:
    def fail(effect: Task, call: Call) -> None:
        raise ValueError(f"attempt {call.attempt}")

    handles(either, Task, retry=Retry(limit=2))(fail)
    asked = ask(either, "j1", "task:a", "task:b")
    either.drain()
    clock.forward(hours=1)
    either.drain()
    [letter] = dead(either)
    assert (letter.key, letter.kind, letter.entity, letter.revision, letter.n) == (
        f"{asked.record}:0",
        "Job",
        "j1",
        2,
        0,
    )
    assert (letter.effect, letter.payload, letter.attempts) == ("Task", {"name": "a"}, 2)
    assert (letter.error, letter.died_at) == ("ValueError: attempt 2", START + timedelta(hours=1))
    assert pending(either, "j1") == [("b", 1, "ValueError: attempt 1")], "the entity goes on"


def test_dead_letters_are_listed_by_what_they_are(engine: Engine, clock: Clock) -> None:
    engine.handles(Task)(give_up)
    engine.handles(Other)(give_up)
    ask(engine, "j2", "task:a", "other:b")
    engine.drain()
    clock.forward(seconds=1)
    ask(engine, "j1", "other:c")
    engine.drain()

    def names(**given: str) -> list[str]:
        return [each.payload["name"] for each in engine.dead(**given)]

    assert names() == ["a", "b", "c"], "the oldest first"
    assert names(effect="Other") == ["b", "c"]
    assert names(entity="j2") == ["a", "b"]
    assert names(kind="Job", entity="j1", effect="Other") == ["c"]
    assert names(kind="Nothing") == names(effect="Nothing") == names(entity="j3") == []


def test_dead_letters_are_listed_in_pages(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stateward.engine.working.PAGE_SIZE", 3)
    engine.handles(Task)(give_up)
    for n in range(8):
        ask(engine, f"j{n}", "task:a")
    engine.drain()
    assert sorted(each.entity for each in engine.dead()) == [f"j{n}" for n in range(8)]
    assert engine.retry(engine.dead()) == 8


# Telling the lifecycle.


def made(effect: Task, why: str) -> Gone:
    return Gone(why=f"{effect.name}: {why}")


@pytest.mark.parametrize(
    ("on_dead", "expected"), [(Gone(why="instance"), "instance"), (Gone, "gone"), (made, "a: no a")]
)
def test_the_lifecycle_is_told(either: AnyEngine, on_dead: Any, expected: str) -> None:
    handles(either, Task, on_dead=on_dead)(give_up)
    asked = ask(either, "j1", "task:a")
    either.drain()
    assert trail(either, "j1") == (expected,)
    key = f"{asked.record}:0"
    assert told(either, "j1") == [("Gone", "applied", f"effect:{key}:dead", "effect", key)]
    assert [each.error for each in dead(either)] == ["no a"]


def no_words() -> Gone:
    return Gone()


def raises(effect: Task, why: str) -> Gone:
    raise RuntimeError("it has no words")


@pytest.mark.parametrize(
    ("on_dead", "error"),
    [
        (raises, "no a; and its on_dead: RuntimeError: it has no words"),
        (lambda effect, why: "words", "no a; and its on_dead: "),
        (no_words, "no a; and its on_dead: TypeError"),
        (Broken, "no a; and its on_dead: "),
    ],
)
def test_the_letter_is_kept_if_the_lifecycle_can_not_be_told(engine: Engine, on_dead: Any, error: str) -> None:
    engine.handles(Task, on_dead=on_dead)(give_up)
    ask(engine, "j1", "task:a", "task:b")
    engine.drain()
    letters = dead(engine)
    assert [each.payload["name"] for each in letters] == ["a", "b"]
    assert letters[0].error.startswith(error)
    assert (trail(engine, "j1"), pending(engine, "j1")) == ((), [])


def test_the_letter_is_kept_if_what_the_lifecycle_is_told_is_refused(either: AnyEngine) -> None:
    handles(either, Task, on_dead=Unwelcome)(give_up)
    ask(either, "j1", "task:a")
    either.drain()
    assert [each.error for each in dead(either)] == ["no a"]
    assert [each[:2] for each in told(either, "j1")] == [("Unwelcome", "rejected_invalid")]
    assert pending(either, "j1") == []


def test_a_reply_that_can_never_be_applied_ends_as_a_dead_letter_that_is_told(either: AnyEngine, clock: Clock) -> None:
    handles(either, Task, retry=Retry(limit=3), on_dead=Gone)(lambda effect, call: Broken())
    ask(either, "j1", "task:a")
    for attempts in (1, 2):
        either.drain()
        assert pending(either, "j1")[0][1] == attempts
        clock.forward(hours=1)
    either.drain()
    [letter] = dead(either)
    assert letter.attempts == 3
    assert "broken" in letter.error
    assert (trail(either, "j1"), pending(either, "j1")) == (("gone",), [])


def test_a_compensation_is_not_stuck_behind_what_it_makes_good(either: AnyEngine) -> None:
    def handle(effect: Task, call: Call) -> Told:
        if effect.name == "charge":
            raise GiveUp("no")
        return Told(what=effect.name)

    handles(either, Task, on_dead=Told(what="charge failed", then=("task:release",)))(handle)
    ask(either, "j1", "task:charge")
    either.drain()
    assert trail(either, "j1") == ("charge failed", "release")


@pytest.mark.parametrize("on_dead", [None, Gone])
def test_a_death_whose_commit_s_reply_is_lost_is_one_death(make_ledger: MakeLedger, clock: Clock, on_dead: Any) -> None:
    ledger = Watched(make_ledger())
    with Engine(ledger, lifecycles=[JobLifecycle], clock=clock) as engine:
        engine.handles(Task, on_dead=on_dead)(give_up)
        ask(engine, "j1", "task:a")
        ledger.after = once(lambda trip: has(trip, EndEffects) and trip.commits, lose_the_reply)
        if on_dead is None:  # nothing looks again for what has no record: whoever drains does
            with pytest.raises(Exception, match="lost"):
                engine.drain()
        engine.drain()
        assert len(dead(engine)) == 1
        assert trail(engine, "j1") == (("gone",) if on_dead else ())
        assert pending(engine, "j1") == []


def test_a_reply_that_could_not_be_written_is_written_later(make_ledger: MakeLedger, clock: Clock) -> None:
    """The ledger is away when it comes: the handler is asked again, as nobody knows that it was."""
    ledger = Watched(make_ledger())
    with Engine(ledger, lifecycles=[JobLifecycle], clock=clock) as engine:
        engine.handles(Task)(lambda effect, call: Told(what="a"))
        ask(engine, "j1", "task:a")
        ledger.before = once(lambda trip: has(trip, CommitMoves), be_away)
        with pytest.raises(Exception, match="away"):
            engine.drain()
        assert (trail(engine, "j1"), len(pending(engine, "j1"))) == ((), 1)
        engine.drain()
        assert (trail(engine, "j1"), pending(engine, "j1")) == (("a",), [])


# Trying anew.


def test_dead_letters_get_their_attempts_anew(either: AnyEngine, clock: Clock) -> None:
    is_down = True
    attempts: list[tuple[str, int]] = []

    def charge(effect: Task, call: Call) -> Told:
        attempts.append((call.key, call.attempt))
        if is_down:
            raise ValueError("down")
        return Told(what=effect.name)

    handles(either, Task, retry=Retry(limit=1))(charge)
    asked = ask(either, "j1", "task:a", "task:b")
    ask(either, "j2", "task:c")
    either.drain()
    letters = dead(either)
    assert len(letters) == 3
    is_down = False
    [b] = [each for each in letters if each.payload["name"] == "b"]
    assert either.retry([b]) == 1
    assert pending(either, "j1") == [("b", 0, "ValueError: down")]
    assert either.retry([b]) == 0, "it is no dead letter any more"
    either.drain()
    assert (trail(either, "j1"), len(dead(either))) == (("b",), 2)
    assert either.retry(dead(either)) == 2
    either.drain()
    assert (trail(either, "j1"), trail(either, "j2"), dead(either)) == (("b", "a"), ("c",), [])
    assert attempts.count((f"{asked.record}:0", 1)) == 2, "under the same key, from the first attempt on"


def test_a_group_is_tried_anew(engine: Engine) -> None:
    engine.handles(Task)(give_up)
    engine.handles(Other)(give_up)
    ask(engine, "j1", "task:a", "other:b", "task:c")
    engine.drain()
    assert engine.retry(engine.dead(effect="Task")) == 2
    assert [each.payload["name"] for each in dead(engine)] == ["b"]
    assert [name for name, *_ in pending(engine, "j1")] == ["a", "c"]


def test_so_many_a_second_are_tried_anew(either: AnyEngine, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also across batches; by when they are due, so that nobody need wait while it is done."""
    for engine in ("working", "working_async"):
        monkeypatch.setattr(f"stateward.engine.{engine}.PAGE_SIZE", 4)
    fails = True
    seen: list[str] = []

    def handle(effect: Task, call: Call) -> None:
        if fails:
            raise GiveUp("no")
        seen.append(call.entity)

    handles(either, Task)(handle)
    for n in range(10):
        ask(either, f"j{n}", "task:a")
    either.drain()
    fails = False
    assert either.retry(dead(either), rate=2.0) == 10
    due = sorted(each.next_attempt for n in range(10) for each in either.pending(JobLifecycle, f"j{n}"))
    assert due == [START + timedelta(seconds=n / 2) for n in range(10)]
    for second in range(5):
        either.drain()
        assert len(seen) == 1 + 2 * second
        clock.forward(seconds=1)
    either.drain()
    assert len(seen) == 10


def test_one_whose_reply_was_applied_ends_as_a_duplicate(engine: Engine) -> None:
    """Its second reply failed, so that it died; the first one was applied, and is not again."""
    answers: list[Any] = [[Told(what="once"), Broken()], [Told(what="once")]]
    engine.handles(Task, retry=Retry(limit=1))(lambda effect, call: answers.pop(0))
    ask(engine, "j1", "task:a")
    engine.drain()
    assert trail(engine, "j1") == ("once",)
    engine.retry(engine.dead())
    engine.drain()
    assert trail(engine, "j1") == ("once",)
    assert (pending(engine, "j1"), dead(engine)) == ([], [])
    assert len(told(engine, "j1")) == 1


def test_the_lifecycle_is_told_of_a_second_death_no_more(engine: Engine) -> None:
    engine.handles(Task, on_dead=Gone)(give_up)
    ask(engine, "j1", "task:a")
    engine.drain()
    engine.retry(engine.dead())
    engine.drain()
    assert trail(engine, "j1") == ("gone",)
    assert len(dead(engine)) == 1


def test_one_that_is_tried_anew_goes_before_what_was_asked_for_later(engine: Engine) -> None:
    fails = True
    seen: list[str] = []

    @engine.handles(Task)
    def handle(effect: Task, call: Call) -> None:
        if fails:
            raise GiveUp("no")
        seen.append(effect.name)

    ask(engine, "j1", "task:first")
    engine.drain()
    fails = False
    ask(engine, "j1", "task:second")
    engine.retry(engine.dead())
    engine.drain()
    assert seen == ["first", "second"]


def test_one_that_is_tried_anew_waits_for_what_goes_on(engine: Engine) -> None:
    """Of an entity one effect goes on at a time, also if one is put back before it."""
    begun, go_on = Event(), Event()
    seen: list[str] = []

    @engine.handles(Task, retry=Retry(limit=1))
    def handle(effect: Task, call: Call) -> None:
        seen.append(effect.name)
        if effect.name == "second":
            begun.set()
            assert go_on.wait(WAIT_S)
        elif len(seen) == 1:
            raise GiveUp("no")

    async def work() -> None:
        shift = shift_of(engine)
        await shift.lease.begin()
        dispatcher = shift.dispatcher
        assert await dispatcher.fetch() == 1
        assert begun.wait(WAIT_S)
        assert engine.retry(engine.dead()) == 1
        assert await dispatcher.fetch() == 0
        assert seen == ["first", "second"]
        go_on.set()
        while dispatcher.is_at_work:
            await dispatcher.has_outcomes.wait()
            await dispatcher.settle()
        assert await dispatcher.fetch() == 1
        while dispatcher.is_at_work:
            await dispatcher.has_outcomes.wait()
            await dispatcher.settle()
        await shift.lease.end()
        shift.caller.close()

    ask(engine, "j1", "task:first")
    engine.drain()
    ask(engine, "j1", "task:second")
    try:
        asyncio.run(work())
    finally:
        go_on.set()
    assert seen == ["first", "second", "first"]
    assert (dead(engine), pending(engine, "j1")) == ([], [])
