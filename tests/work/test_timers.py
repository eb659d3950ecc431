"""Timers fire once for the stay that set them, in bounded batches, whatever the clock does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import cycle
from threading import Event as Flag
from typing import Any

import pytest

from stateward import AsyncEngine, Context, Elapsed, Engine, Event, Final, Lifecycle, State, after, on
from stateward.engine import Creating
from stateward.errors import Unkeepable
from stateward.ledger import Actor
from stateward.ledger.after_commit import FetchTimers
from stateward.ledger.contract import CommitMoves, Trip
from stateward.ledger.ids import part_of
from stateward.work import WorkerSettings
from stateward.work.timers import FIRE_MAX, fire_due
from tests.conftest import MakeLedger
from tests.work.conftest import shift_of


class Touch(Event):
    """It goes on."""


class Rest(Event):
    """It waits where no timer runs."""


class Wake(Event):
    """It goes back to where one does."""


class Visit(Context):
    touches: int = 0
    is_locked: bool = False
    is_broken: bool = False


class Lock(Event):
    """The guard of its timers says no from now on."""


class Break(Event):
    """The guard of its timers raises from now on."""


class Mend(Event):
    """It does not any more."""


def is_open(visit: Visit, event: Elapsed) -> bool:
    if visit.is_broken:
        raise RuntimeError("the guard is broken")
    return not visit.is_locked


def touched(visit: Visit, event: Touch) -> Visit:
    return visit.replace(touches=visit.touches + 1)


def locked(visit: Visit, event: Lock) -> Visit:
    return visit.replace(is_locked=True)


def broken(visit: Visit, event: Break) -> Visit:
    return visit.replace(is_broken=True)


def mended(visit: Visit, event: Mend) -> Visit:
    return visit.replace(is_broken=False)


def counted(visit: Visit, event: Elapsed) -> Visit:
    return visit.replace(touches=visit.touches + 100)


class VisitLifecycle(Lifecycle[Visit]):
    version = 1

    here = State(initial=True)
    away = State()
    ended = Final()

    touch = on(Touch, here.to(here), do=touched)  # leaves and enters: its timers begin anew
    rest = on(Rest, here.to(away))
    wake = on(Wake, away.to(here))
    lock = on(Lock, here.stay(do=locked))
    break_it = on(Break, here.stay(do=broken))
    mend = on(Mend, here.stay(do=mended))
    remind = after(timedelta(minutes=10), here.stay(do=counted, when=is_open))
    end = after(timedelta(hours=1), here.to(ended, when=is_open))


HAS_ENDED = Flag()


def tell(visit: Visit, event: Elapsed) -> Visit:
    HAS_ENDED.set()
    return visit


class Brief(Lifecycle[Visit]):
    version = 1

    begun = State(initial=True)
    over = Final()
    end = after(timedelta(milliseconds=100), begun.to(over, do=tell))


START = datetime(2026, 3, 1, tzinfo=UTC)
ACTOR = "customer:1"


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def move(self, **by: float) -> None:
        self.now += timedelta(**by)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def engine(make_ledger: MakeLedger, clock: Clock) -> Iterator[Engine]:
    with Engine(make_ledger(), lifecycles=[VisitLifecycle], clock=clock) as engine:
        yield engine


def create(engine: Engine, entity: str = "v1") -> None:
    engine.create(VisitLifecycle, entity, Visit(), actor=ACTOR)


def records(engine: Engine, entity: str = "v1") -> list[tuple[int, str, str, str | None]]:
    return [(each.revision, each.event, each.outcome, each.reason) for each in engine.history(VisitLifecycle, entity)]


def test_a_timer_fires_when_it_is_due_and_not_before(engine: Engine, clock: Clock) -> None:
    create(engine)
    clock.move(minutes=10, microseconds=-1)
    engine.drain()
    assert engine.get(VisitLifecycle, "v1").context.touches == 0
    clock.move(microseconds=1)
    engine.drain()
    assert engine.get(VisitLifecycle, "v1").context.touches == 100


def test_a_fire_is_a_record_under_the_timers_key(engine: Engine, clock: Clock) -> None:
    create(engine)
    clock.move(hours=1)
    engine.drain()
    start, *fired = engine.history(VisitLifecycle, "v1")
    assert [(each.event, each.source, each.actor, each.cause) for each in fired] == [
        ("elapsed(remind@here)", "timer", Actor("timer", "remind@here"), start.id),
        ("elapsed(end@here)", "timer", Actor("timer", "end@here"), start.id),
    ]
    assert [each.key for each in fired] == [f"timer:{start.id}:remind@here", f"timer:{start.id}:end@here"]
    assert engine.get(VisitLifecycle, "v1").state == "ended"


def test_a_timer_that_has_fired_without_leaving_its_state_does_not_fire_again(engine: Engine, clock: Clock) -> None:
    create(engine)
    for _ in range(3):
        clock.move(minutes=15)
        engine.drain()
    assert engine.get(VisitLifecycle, "v1").context.touches == 100
    assert [each.name for each in engine.timers(VisitLifecycle, "v1")] == ["end@here"]


def test_a_state_that_was_left_has_no_timers(engine: Engine, clock: Clock) -> None:
    create(engine)
    engine.send(VisitLifecycle, "v1", Rest(), actor=ACTOR)
    assert not list(engine.timers(VisitLifecycle, "v1"))
    clock.move(days=1)
    engine.drain()
    assert [event for _, event, _, _ in records(engine)] == ["Started", "Rest"]


def test_a_state_that_was_entered_again_has_timers_of_its_own(engine: Engine, clock: Clock) -> None:
    create(engine)
    clock.move(minutes=9)
    engine.send(VisitLifecycle, "v1", Rest(), actor=ACTOR)
    engine.send(VisitLifecycle, "v1", Wake(), actor=ACTOR)
    clock.move(minutes=9)  # 18 minutes after the first stay began, 9 after the second
    engine.drain()
    assert engine.get(VisitLifecycle, "v1").context.touches == 0
    clock.move(minutes=1)
    engine.drain()
    assert engine.get(VisitLifecycle, "v1").context.touches == 100
    assert {each.revision for each in engine.timers(VisitLifecycle, "v1")} == {3}


@pytest.mark.parametrize("events", [[Rest()], [Rest(), Wake()], [Touch()]], ids=["left", "entered-again", "itself"])
def test_a_fire_that_meets_an_entity_that_has_just_moved_on_changes_nothing(
    engine: Engine, clock: Clock, monkeypatch: pytest.MonkeyPatch, events: list[Event]
) -> None:
    """The timer is read as due, and its state is left before it fires: by then it is that of a former stay."""
    create(engine)
    clock.move(minutes=10)
    between_reading_and_firing(engine, monkeypatch, partial(send_all, engine, events))
    engine.drain()
    monkeypatch.undo()
    assert engine.get(VisitLifecycle, "v1").context.touches in (0, 1)
    assert [event for _, event, _, _ in records(engine)] == ["Started", *[type(each).__name__ for each in events]]


def test_of_a_batch_the_first_fire_that_leaves_the_state_makes_the_others_expire(engine: Engine, clock: Clock) -> None:
    create(engine)
    clock.move(days=30)  # asleep for a month: both are due
    engine.drain()
    assert engine.get(VisitLifecycle, "v1").state == "ended"
    create(engine, "v2")
    clock.move(minutes=10)
    engine.drain()
    engine.send(VisitLifecycle, "v2", Rest(), actor=ACTOR)
    assert not list(engine.timers(VisitLifecycle, "v2"))


def test_a_refused_fire_is_recorded_and_spends_the_timer(engine: Engine, clock: Clock) -> None:
    create(engine)
    engine.send(VisitLifecycle, "v1", Lock(), actor=ACTOR)
    clock.move(minutes=10)
    engine.drain()
    engine.drain()
    assert records(engine)[2:] == [(2, "elapsed(remind@here)", "rejected_invalid", "guarded")]
    assert [each.name for each in engine.timers(VisitLifecycle, "v1")] == ["end@here"]


def test_a_guard_that_raises_spends_nothing_and_holds_up_no_other(engine: Engine, clock: Clock) -> None:
    create(engine)
    create(engine, "v2")
    engine.send(VisitLifecycle, "v1", Break(), actor=ACTOR)
    clock.move(minutes=10)
    engine.drain()
    assert engine.get(VisitLifecycle, "v2").context.touches == 100
    assert [each.name for each in engine.timers(VisitLifecycle, "v1")] == ["remind@here", "end@here"]
    assert records(engine)[2:] == []
    engine.send(VisitLifecycle, "v1", Mend(), actor=ACTOR)
    clock.move(minutes=1)
    engine.drain()
    assert engine.get(VisitLifecycle, "v1").context.touches == 100


def test_a_clock_that_goes_back_fires_nothing_twice(engine: Engine, clock: Clock) -> None:
    create(engine)
    clock.move(minutes=10)
    engine.drain()
    clock.move(days=-3)
    create(engine, "v2")
    engine.drain()
    clock.move(days=3, minutes=1)
    engine.drain()
    assert engine.get(VisitLifecycle, "v1").context.touches == 100
    # Three days later, by its own clock, the other's time is over, too.
    assert engine.get(VisitLifecycle, "v2").state == "ended"


def test_ten_thousand_timers_that_are_due_at_once_fire_in_bounded_batches(
    engine: Engine, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [Creating(lifecycle=VisitLifecycle, entity=f"v{n}", context=Visit(), actor=ACTOR) for n in range(5_000)]
    engine.create_many(many)
    clock.move(days=1)
    seen: list[Any] = []
    run = engine._ledger.run
    monkeypatch.setattr(engine._ledger, "run", lambda trips: run(watched(trips, seen)))
    engine.drain()
    monkeypatch.undo()
    assert engine.census(VisitLifecycle) == {"ended": 5_000}
    assert not list(engine.timers(VisitLifecycle))
    sizes = [len(each.records) for each in seen if isinstance(each, CommitMoves)]
    assert sum(sizes) == 10_000
    assert max(sizes) <= FIRE_MAX


def test_no_part_waits_until_others_have_nothing_to_do(
    engine: Engine, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More is due in each part than fits into a batch: batches begin at one part and then at another."""
    starts = cycle([0, 50, 10, 60, 20, 40, 30])
    monkeypatch.setattr("random.randrange", lambda count: next(starts) % count)
    monkeypatch.setattr("stateward.work.timers.FIRE_MAX", 4)

    async def work() -> None:
        shift = shift_of(engine)
        await shift.lease.begin()
        for _ in range(4):
            assert await fire_due(shift._ground, shift.lease, shift._worker.counts.timers)
        await shift.lease.end()
        shift.caller.close()

    engine.create_many(
        [Creating(lifecycle=VisitLifecycle, entity=f"v{n}", context=Visit(), actor=ACTOR) for n in range(1000)]
    )
    clock.move(days=1)
    before = {each.entity for each in engine.timers(VisitLifecycle)}
    asyncio.run(work())
    fired = [part_of("Visit", each) for each in before if engine.get(VisitLifecycle, each).revision > 1]
    assert len(set(fired)) > 1, fired


class Patient(Lifecycle[Visit]):
    """Waits for longer than any date can tell."""

    version = 1

    waiting = State(initial=True)
    over = Final()

    end = after(timedelta.max, waiting.to(over))


def test_a_timer_that_is_due_in_no_time_is_set_and_listed(make_ledger: MakeLedger, clock: Clock) -> None:
    with Engine(make_ledger(), lifecycles=[Patient], clock=clock) as engine:
        engine.create(Patient, "p1", Visit(), actor=ACTOR)
        [timer] = engine.timers(Patient)
        assert timer.due_at.year == 9999
        engine.drain()
        assert engine.get(Patient, "p1").state == "waiting"


def test_what_is_paused_fires_when_it_is_resumed(engine: Engine, clock: Clock) -> None:
    create(engine)
    assert engine.pause(kind="Visit", reason="an incident", actor="operator:7")
    clock.move(minutes=10)
    engine.drain()
    assert engine.get(VisitLifecycle, "v1").context.touches == 0
    assert engine.resume(kind="Visit", actor="operator:7")
    engine.drain()
    assert engine.get(VisitLifecycle, "v1").context.touches == 100


def test_a_timer_of_this_process_that_is_due_soon_is_not_left_to_the_next_poll(
    make_ledger: MakeLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Polls come after a minute: only who knows when it is due fires it within this test's time."""
    monkeypatch.setattr("stateward.work.shift.POLL_S_MIN", 60.0)
    HAS_ENDED.clear()
    with Engine(make_ledger(), lifecycles=[Brief]) as engine:
        engine.start(WorkerSettings(poll=timedelta(minutes=1)))
        engine.create(Brief, "b1", Visit(), actor=ACTOR)
        assert HAS_ENDED.wait(20)
        engine.stop()
        assert engine.get(Brief, "b1").state == "over"


def test_tasks_fire_them_too(make_ledger: MakeLedger, clock: Clock) -> None:
    async def main() -> None:
        async with AsyncEngine(make_ledger(), lifecycles=[VisitLifecycle], clock=clock) as engine:
            await engine.create(VisitLifecycle, "v1", Visit(), actor=ACTOR)
            clock.move(hours=1)
            await engine.drain()
            assert (await engine.get(VisitLifecycle, "v1")).state == "ended"

    asyncio.run(main())


def test_nobody_is_asked_whether_a_timer_may_fire(make_ledger: MakeLedger, clock: Clock) -> None:
    """Nobody sends it but the entity's own lifecycle."""
    with Engine(
        make_ledger(), lifecycles=[VisitLifecycle], clock=clock, authorize=lambda actor, *_: actor.kind == "customer"
    ) as engine:
        create(engine)
        clock.move(hours=1)
        engine.drain()
        assert engine.get(VisitLifecycle, "v1").state == "ended"


def test_a_caller_can_not_use_a_timers_key(engine: Engine) -> None:
    create(engine)
    with pytest.raises(Unkeepable, match="stateward's own"):
        engine.send(VisitLifecycle, "v1", Touch(), actor=ACTOR, key="timer:x:remind@here")


def test_a_fire_that_comes_too_late_is_expired(engine: Engine, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the worker counts of it: it was no fire, and no refusal of the lifecycle's."""
    create(engine)
    clock.move(minutes=10)
    between_reading_and_firing(engine, monkeypatch, partial(sent_once, engine, Rest()))
    kept: list[Any] = []
    make = engine._make_worker
    monkeypatch.setattr(engine, "_make_worker", lambda *given: keep(kept, make(*given)))
    engine.drain()
    assert kept[0].counts.timers.expired == 1
    assert (kept[0].counts.timers.fired, kept[0].counts.timers.refused) == (0, 0)


def sent_once(engine: Engine, event: Event) -> None:
    """Send it under a key of its own, so that the second time is none."""
    engine.send(VisitLifecycle, "v1", event, actor=ACTOR, key=type(event).__name__)


def between_reading_and_firing(engine: Engine, monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Have something happen after due timers were read, and before they fire."""
    run = engine._ledger.run

    def run_and_act(trips: Any) -> Any:
        seen: list[Any] = []
        result = run(watched(trips, seen))
        if any(isinstance(each, FetchTimers) for each in seen) and result[0]:
            act()
        return result

    monkeypatch.setattr(engine._ledger, "run", run_and_act)


def watched(trips: Any, seen: list[Any]) -> Any:
    """The same protocol; its operations are noted."""
    trip: Trip = next(trips)
    while True:
        seen += trip.operations
        pages = yield trip
        try:
            trip = trips.send(pages)
        except StopIteration as end:
            return end.value


def send_all(engine: Engine, events: list[Event]) -> None:
    for each in events:
        sent_once(engine, each)


def keep(kept: list[Any], given: Any) -> Any:
    kept.append(given)
    return given
