"""In which order effects are done: an entity's one after the other, and no entity waits for another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from threading import Event, Lock
from typing import Any

import psycopg
import pytest

from stateward import Call, Retry
from stateward.engine import Engine
from stateward.ledger.after_commit import EndEffects, FetchEffects, ListPauses
from stateward.ledger.contract import CommitMoves
from stateward.work import WorkerSettings
from stateward.work.calling import Caller, InlineCaller
from stateward.work.dispatching import PAGE_MAX
from stateward.work.shift import Shift
from tests.conftest import MakeLedger
from tests.work.conftest import (
    WAIT_S,
    AnyEngine,
    Clock,
    Watched,
    ask,
    ask_many,
    dead,
    handles,
    has,
    once,
    pending,
    shift_of,
    trail,
)
from tests.work.lifecycles import Broken, JobLifecycle, Loose, Other, Task, Told

QUICK = WorkerSettings(poll=timedelta(milliseconds=20))


def test_an_entity_s_effects_are_done_in_their_order(either: AnyEngine) -> None:
    """By the revision that asked for them, and by their place in it; whichever handler does them."""
    seen: list[tuple[int, str]] = []

    def note(effect: Any, call: Call) -> None:
        seen.append((call.revision, effect.name))

    handles(either, Task)(note)
    handles(either, Other)(note)
    for _ in range(11):  # revisions 2 to 12, which are no texts
        ask(either, "j1", "task:0", "other:1", "task:2")
    either.drain()
    assert seen == [(revision, str(n)) for revision in range(2, 13) for n in range(3)]


def test_the_next_one_begins_when_the_one_before_is_over(make_ledger: MakeLedger) -> None:
    """However much room there is: the handlers of one entity never overlap, and those of others do."""
    with Engine(make_ledger(), lifecycles=[JobLifecycle]) as engine:
        lock, going, overlaps, other_goes, over = Lock(), set[str](), list[str](), Event(), Event()
        left = 12

        def work(effect: Any, call: Call) -> None:
            nonlocal left
            with lock:
                if call.entity in going:
                    overlaps.append(call.entity)
                going.add(call.entity)
                if len(going) > 1:
                    other_goes.set()
            assert other_goes.wait(WAIT_S)
            with lock:
                going.discard(call.entity)
                left -= 1
                if not left:
                    over.set()

        engine.handles(Task)(work)
        engine.handles(Other)(work)
        for entity in ("a", "b"):
            for _ in range(3):
                ask(engine, entity, "task:0", "other:1")
        engine.start(QUICK)
        assert over.wait(WAIT_S)
        engine.stop()
        assert overlaps == []


def test_types_that_may_overtake_neither_wait_nor_are_waited_for(either: AnyEngine, clock: Clock) -> None:
    seen: list[str] = []

    def fail(effect: Any, call: Call) -> None:
        seen.append(effect.name)
        raise ValueError("no")

    def note(effect: Any, call: Call) -> None:
        seen.append(effect.name)

    handles(either, Task)(note)
    handles(either, Other)(fail)
    handles(either, Loose, ordered=False)(fail)
    ask(either, "j1", "loose:1", "task:2", "other:3", "task:4", "loose:5")
    either.drain()
    assert sorted(seen) == ["1", "2", "3", "5"]
    assert [name for name, *_ in pending(either, "j1")] == ["1", "3", "4", "5"]


def test_an_effect_that_nobody_handles_holds_up_what_is_behind_it(engine: Engine) -> None:
    seen: list[str] = []
    engine.handles(Other)(lambda effect, call: seen.append(effect.name))
    ask(engine, "j1", "other:1", "task:2", "other:3")
    engine.drain()
    assert seen == ["1"]
    engine.handles(Task)(lambda effect, call: seen.append(effect.name))
    engine.drain()
    assert seen == ["1", "2", "3"]


def test_a_poison_effect_holds_up_its_own_entity_only(either: AnyEngine, clock: Clock) -> None:
    """Until it is dead: then the entity goes on."""

    def work(effect: Any, call: Call) -> Told:
        if effect.name == "poison":
            raise ValueError("no")
        return Told(what=effect.name)

    handles(either, Task, retry=Retry(limit=3))(work)
    ask(either, "ill", "task:1", "task:poison", "task:2")
    for name in ("a", "b", "c"):
        ask(either, name, "task:1", "task:2")
    for attempts in (1, 2):
        either.drain()
        assert trail(either, "ill") == ("1",)
        assert [each[:2] for each in pending(either, "ill")] == [("poison", attempts), ("2", 0)]
        assert {trail(either, name) for name in ("a", "b", "c")} == {("1", "2")}
        clock.forward(hours=1)
    either.drain()
    assert (trail(either, "ill"), pending(either, "ill")) == (("1", "2"), [])
    assert [each.payload for each in dead(either)] == [{"name": "poison"}]


def test_a_poison_reply_holds_up_its_own_entity_only(make_ledger: MakeLedger, clock: Clock) -> None:
    """Also in one batch with the replies of others, in one commit."""
    ledger = Watched(make_ledger())
    with Engine(ledger, lifecycles=[JobLifecycle], clock=clock) as engine:
        engine.handles(Task)(lambda effect, call: Broken() if effect.name == "poison" else Told(what="x"))
        for n in range(10):
            ask(engine, f"j{n}", "task:poison" if n == 5 else "task:a")
        commits: list[Any] = []
        ledger.after = lambda trip: commits.append(trip) if has(trip, CommitMoves) else None
        engine.drain()
        assert len(commits) == 1
        assert [trail(engine, f"j{n}") for n in range(10)] == [() if n == 5 else ("x",) for n in range(10)]
        assert pending(engine, "j5")[0][:2] == ("poison", 1)


def test_an_entity_that_others_hold_holds_up_itself_only(postgres_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody's transaction goes on and on: what came of all other effects is written meanwhile."""
    monkeypatch.setattr("stateward.ledger.committing.HELD_S_MAX", 3600.0)
    lock, held, others, seen = Lock(), Event(), Event(), list[str]()
    with Engine(postgres_dsn, lifecycles=[JobLifecycle]) as engine:
        engine.handles(Task)(lambda effect, call: Told(what="told", then=("other:b",)))

        @engine.handles(Other)
        def follow(effect: Other, call: Call) -> None:
            with lock:
                seen.append(call.entity)
                if call.entity == "j7":
                    held.set()
                elif len(seen) == 19:
                    others.set()

        ask_many(engine, [f"j{n}" for n in range(20)], "task:a")
        with psycopg.connect(postgres_dsn) as connection:
            connection.execute("SELECT FROM entity WHERE kind = 'Job' AND id = 'j7' FOR UPDATE")
            engine.start(QUICK)
            assert others.wait(WAIT_S)
            assert "j7" not in seen
        assert held.wait(WAIT_S)
        engine.stop()
        assert trail(engine, "j7") == ("told",)
        assert len(seen) == 20


def test_low_keys_do_not_starve_high_ones(make_ledger: MakeLedger) -> None:
    """Thousands wait, and each that is done asks for the next: those behind the first page get their turn."""
    with Engine(make_ledger(), lifecycles=[JobLifecycle]) as engine:
        count = PAGE_MAX + 300
        names = [f"j{n}" for n in range(count)]
        ask_many(engine, names, "task:a")
        lock, seen, all_seen = Lock(), set[str](), Event()
        calls = 0

        @engine.handles(Task)
        async def again(effect: Task, call: Call) -> Told:
            nonlocal calls
            with lock:
                calls += 1
                seen.add(call.entity)
                if len(seen) == count:
                    all_seen.set()
            return Told(then=("task:a",))

        engine.start(WorkerSettings(concurrency=500))
        assert all_seen.wait(WAIT_S)
        engine.stop()
        assert calls < 10 * count


def test_the_pages_of_a_drain_reach_all(make_ledger: MakeLedger) -> None:
    """Also where the first page is filled by what can't be done now."""
    with Engine(make_ledger(), lifecycles=[JobLifecycle]) as engine:
        names = [f"j{n}" for n in range(PAGE_MAX * 2 + 50)]
        ask_many(engine, names, "task:a")
        seen: list[str] = []

        @engine.handles(Task, retry=Retry(base=timedelta(hours=1)))
        def fail(effect: Task, call: Call) -> None:
            seen.append(call.entity)
            raise ValueError("no")

        engine.drain()
        assert sorted(seen) == sorted(names)


def test_a_type_whose_line_is_long_keeps_no_other_waiting(make_ledger: MakeLedger) -> None:
    """A thousand effects of a type that is stuck: another type's effects behind them are read and done."""
    with Engine(make_ledger(), lifecycles=[JobLifecycle]) as engine:
        release, done = Event(), Event()

        @engine.handles(Task, concurrency=2)
        def stuck(effect: Task, call: Call) -> None:
            release.wait(WAIT_S)

        engine.handles(Other)(lambda effect, call: done.set())
        ask_many(engine, [f"j{n}" for n in range(2 * PAGE_MAX + 200)], "task:a")
        engine.start(QUICK)
        ask_many(engine, [f"o{n}" for n in range(3)], "other:a")
        assert done.wait(WAIT_S)
        engine.stop(grace=timedelta(0))
        release.set()


def test_a_worker_whose_lines_are_full_rests(make_ledger: MakeLedger) -> None:
    """It asks the ledger for more when something is done, and does not turn round and round until then."""

    async def wait_for_room() -> bool:
        ledger = make_ledger()
        with Engine(ledger, lifecycles=[JobLifecycle]) as engine:
            ask_many(engine, [f"j{n}" for n in range(PAGE_MAX + 10)], "task:a")
            going = asyncio.Event()

            @engine.handles(Task, concurrency=1)
            async def stuck(effect: Task, call: Call) -> None:
                going.set()
                await asyncio.Event().wait()

            dispatcher = await dispatcher_of(engine, ledger)
            while await dispatcher.fetch():
                pass
            await going.wait()
            assert await dispatcher.fetch() == 0
            waiting = asyncio.create_task(dispatcher.wait_for_room())
            for _ in range(100):
                await asyncio.sleep(0)
            is_resting = not waiting.done()
            dispatcher.stop()
            await asyncio.wait_for(waiting, WAIT_S)
            dispatcher._caller.close()
            return is_resting

    assert asyncio.run(wait_for_room())


async def dispatcher_of(engine: Engine, ledger: Any, before: Callable[[Any], Any] | None = None) -> Any:
    """A dispatcher of the engine's handlers under a lease on all parts."""

    async def run(trips: Any) -> Any:
        if before is not None:
            await before(trips)
        return ledger.run(trips)

    worker = engine._make_worker(run, QUICK)
    shift = Shift(worker, Caller(4))
    await shift.lease.begin()
    shift.dispatcher.shift = shift  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue]
    return shift.dispatcher


def test_what_was_read_before_a_part_changed_hands_is_dropped(make_ledger: MakeLedger) -> None:
    """The part was given back and taken again while effects were read: what was read may be done by now, by another,
    and what is behind it is due. Taken in hand, two effects of one entity would go on at the same time."""

    async def read_while_it_changes() -> list[str]:
        ledger = make_ledger()
        with Engine(ledger, lifecycles=[JobLifecycle]) as engine:
            seen: list[str] = []

            @engine.handles(Task)
            async def note(effect: Task, call: Call) -> None:
                seen.append(effect.name)
                await asyncio.Event().wait()

            ask(engine, "j1", "task:1", "task:2")
            dispatcher = await dispatcher_of(engine, ledger)
            run = dispatcher._ground.run
            lease = dispatcher._lease

            async def run_and_change(trips: Any) -> Any:
                pages = await run(trips)
                dispatcher._ground.run = run
                await lease._release(list(lease.parts))
                # Another takes them, does the first effect, and gives them back.
                other = await dispatcher_of(engine, ledger)
                await other._lease.keep()
                assert other._lease.parts
                ledger.run(end_first(engine, pages[0]))
                await other._lease._release(list(other._lease.parts))
                await other._lease.abandon()
                await lease.keep()
                return pages

            dispatcher._ground.run = run_and_change
            assert await dispatcher.fetch() == 0
            await dispatcher.fetch()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            dispatcher._caller.close()
            return seen

    assert asyncio.run(read_while_it_changes()) == ["2"]


def end_first(engine: Engine, rows: Any) -> Any:
    from stateward.ledger.contract import Trip
    from stateward.ledger.rows import EffectEnd

    part, kind, entity, revision, n = rows[0][:5]
    yield Trip((EndEffects((EffectEnd(part, kind, entity, revision, n, 1),)),), begins=True, commits=True)


def test_nothing_that_is_read_while_it_stops_is_left_in_hand(make_ledger: MakeLedger) -> None:
    """The answer comes when the worker is stopping: what it holds is not taken, so that the parts can be given back."""
    ledger = Watched(make_ledger())
    with Engine(ledger, lifecycles=[JobLifecycle]) as engine:
        seen: list[str] = []
        engine.handles(Task)(lambda effect, call: seen.append(effect.name))
        ask(engine, "j1", "task:a")
        is_reading, is_stopping = Event(), Event()

        def stop_meanwhile() -> None:
            is_reading.set()
            assert is_stopping.wait(WAIT_S)

        ledger.after = once(lambda trip: has(trip, FetchEffects), stop_meanwhile)
        engine.start(QUICK)
        assert is_reading.wait(WAIT_S)
        worker = engine._worker
        background = engine._background
        assert worker is not None
        assert background is not None
        assert background._loop is not None
        background._loop.call_soon_threadsafe(worker.stop, 30.0)
        background._loop.call_soon_threadsafe(is_stopping.set)
        engine.stop()
        assert seen == []
        with Engine(make_ledger(), lifecycles=[JobLifecycle]) as other:
            assert owners(other) == {None}


def owners(engine: Engine) -> set[str | None]:
    from stateward.ledger.after_commit import FetchParts
    from stateward.ledger.contract import Trip

    def fetch() -> Any:
        [rows] = yield Trip((FetchParts(),))
        return {row.owner for row in rows}

    found: set[str | None] = engine._ledger.run(fetch())
    return found


def test_a_look_that_takes_long_and_finds_little_is_followed_by_a_rest(
    make_ledger: MakeLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred thousand that are postponed are gone past each time: the ledger is not kept busy with that alone."""
    now, rests, looks = [0.0], list[float](), 0

    async def look_around(ledger: Any, engine: Engine) -> None:
        async def run(trips: Any) -> Any:
            return ledger.run(trips)

        worker = engine._make_worker(run, QUICK)
        worker.ground.monotonic = lambda: now[0]
        shift = Shift(worker, InlineCaller())
        stopping = asyncio.Event()

        async def fetch() -> int:
            nonlocal looks
            looks += 1
            now[0] += 0.4
            worker.effects.set()  # there is always a reason to look again
            return 3

        async def rest(event: asyncio.Event, timeout_s: float) -> bool:
            rests.append(timeout_s)
            if len(rests) == 3:
                stopping.set()
            return False

        monkeypatch.setattr(shift.dispatcher, "fetch", fetch)
        monkeypatch.setattr("stateward.work.shift._is_set_within", rest)
        await shift._dispatch(stopping)

    ledger = make_ledger()
    with Engine(ledger, lifecycles=[JobLifecycle]) as engine:
        engine.handles(Task)(lambda effect, call: None)
        asyncio.run(look_around(ledger, engine))
    assert looks == 3
    assert rests == pytest.approx([0.8] * 3)


@pytest.mark.parametrize("scope", [{"effect": "Task"}, {"kind": "Job"}])
def test_what_waits_in_line_rests_when_it_is_paused(engine: Engine, scope: dict[str, Any]) -> None:
    """Who pauses what is handled one by one has not to wait until a line of it is through."""
    called, begun, go_on = list[str](), Event(), Event()

    @engine.handles(Task, concurrency=1)
    def handle(effect: Task, call: Call) -> None:
        called.append(call.entity)
        begun.set()
        assert go_on.wait(WAIT_S)

    async def work() -> None:
        shift = shift_of(engine)
        await shift.lease.begin()
        dispatcher = shift.dispatcher
        assert await dispatcher.fetch() == 20
        assert begun.wait(WAIT_S)
        await shift._heed_pauses(shift._ground, shift.lease)
        assert len(dispatcher.in_hand) == 20
        engine.pause(**scope, reason="the provider is down", actor="test:1")
        await shift._heed_pauses(shift._ground, shift.lease)
        assert len(dispatcher.in_hand) == 1
        go_on.set()
        while dispatcher.is_at_work:
            await dispatcher.has_outcomes.wait()
            await dispatcher.settle()
        assert await dispatcher.fetch() == 0
        await shift.lease.end()
        shift.caller.close()

    ask_many(engine, [f"j{n}" for n in range(20)], "task:a")
    try:
        asyncio.run(work())
    finally:
        go_on.set()
    assert len(called) == 1
    engine.resume(**scope, actor="test:1")
    engine.drain()
    assert len(called) == 20


def test_a_worker_looks_again_and_again_for_pauses(make_ledger: MakeLedger) -> None:
    """While anything waits in line, and not else."""
    looked, go_on = Event(), Event()
    ledger = Watched(make_ledger())
    with Engine(ledger, lifecycles=[JobLifecycle]) as engine:
        engine.handles(Task, concurrency=1)(lambda effect, call: go_on.wait(WAIT_S) and None)
        looks = 0

        def count(trip: Any) -> None:
            nonlocal looks
            looks += has(trip, ListPauses)
            if looks == 3:
                looked.set()

        ledger.before = count
        ask_many(engine, ["j1", "j2"], "task:a")
        engine.start(QUICK)
        assert looked.wait(WAIT_S)
        go_on.set()
        engine.stop()
