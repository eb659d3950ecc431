"""Reconciliation asks about what waits too long, in batches that another worker can go on with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from threading import Event as ThreadEvent
from typing import Any
from unittest.mock import AsyncMock

import pytest

from stateward import AsyncEngine, Composite, Context, Effect, Engine, Event, Final, Lifecycle, State, nested, on
from stateward.engine import Creating
from stateward.errors import DefinitionError, LedgerUnavailable, Unkeepable
from stateward.ledger import Actor, Entity
from stateward.ledger.after_commit import FetchEffects, FetchReconciliation
from stateward.ledger.contract import Trip
from stateward.ledger.results import Record
from stateward.work import WorkerSettings
from stateward.work.leases import Lease
from stateward.work.reconciling import Reconciler
from tests.conftest import MakeLedger
from tests.work.conftest import WAIT_S, Watched, has


class Charged(Event):
    """The provider says that it has the money."""


class Declined(Event):
    """The provider says no."""


class Confirm(Event):
    """The customer has confirmed."""


class Unused(Effect):
    """Something that a worker looks for."""


class Payment(Context):
    amount: int = 1


class PaymentLifecycle(Lifecycle[Payment]):
    version = 1

    @nested(initial=True)
    class waiting(Composite):
        asked = State(initial=True)
        confirmed = State()
        confirm = on(Confirm, asked.to(confirmed))

    paid = State()
    declined = Final()

    charged = on(Charged, waiting.to(paid), already=paid)
    decline = on(Declined, waiting.to(declined))


class Ask:
    """The world: what it answers, and what it was asked about."""

    def __init__(self) -> None:
        self.answers: dict[str, object] = {}
        self.asked: list[str] = []
        self.before: Callable[[str], object] = lambda entity: None

    def __call__(self, entity: Entity[Payment]) -> object:
        self.asked.append(entity.id)
        self.before(entity.id)
        answer = self.answers.get(entity.id)
        if isinstance(answer, BaseException):
            raise answer
        return answer


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


HORIZON, EVERY = timedelta(minutes=15), timedelta(minutes=5)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def world() -> Ask:
    return Ask()


@pytest.fixture
def engine(make_ledger: MakeLedger, clock: Clock, world: Ask) -> Iterator[Engine]:
    with Engine(make_ledger(), lifecycles=[PaymentLifecycle], clock=clock) as engine:
        reconcile(engine, world)
        yield engine


def reconcile(engine: Engine, world: Ask) -> None:
    engine.reconcile(PaymentLifecycle, PaymentLifecycle.waiting, older_than=HORIZON, every=EVERY)(world)


def create(engine: Engine, *entities: str) -> None:
    for each in entities:
        engine.create(PaymentLifecycle, each, Payment(), actor="customer:1")


def last(engine: Engine, entity: str) -> Record:
    return list(engine.history(PaymentLifecycle, entity))[-1]


def test_only_what_has_waited_past_the_horizon_is_asked_about(engine: Engine, clock: Clock, world: Ask) -> None:
    create(engine, "old")
    clock.now += timedelta(minutes=10)
    create(engine, "new")
    clock.now += timedelta(minutes=5)
    engine.drain()
    assert world.asked == ["old"]


def test_what_is_learned_is_sent_as_an_ordinary_event(engine: Engine, clock: Clock, world: Ask) -> None:
    create(engine, "p1", "p2", "p3")
    world.answers = {"p1": Charged(), "p2": Declined()}
    clock.now += HORIZON
    engine.drain()
    assert engine.census(PaymentLifecycle) == {"paid": 1, "declined": 1, "waiting.asked": 1}
    record = last(engine, "p1")
    assert (record.source, record.actor, record.key) == (
        "reconcile",
        Actor("reconcile", "Payment.waiting"),
        "reconcile:Payment.waiting:1",
    )


def test_states_within_the_state_are_asked_about_as_well(engine: Engine, clock: Clock, world: Ask) -> None:
    create(engine, "asked", "confirmed", "paid")
    engine.send(PaymentLifecycle, "confirmed", Confirm(), actor="customer:1")
    engine.send(PaymentLifecycle, "paid", Charged(), actor="customer:1")
    clock.now += HORIZON
    engine.drain()
    assert sorted(world.asked) == ["asked", "confirmed"]


def test_a_round_begins_again_after_its_time_and_not_before(engine: Engine, clock: Clock, world: Ask) -> None:
    create(engine, "p1")
    clock.now += HORIZON
    engine.drain()
    clock.now += EVERY - timedelta(microseconds=1)
    engine.drain()
    assert world.asked == ["p1"]
    clock.now += timedelta(microseconds=1)
    engine.drain()
    assert world.asked == ["p1", "p1"]


def test_a_clock_that_was_far_ahead_keeps_no_round_from_beginning(engine: Engine, clock: Clock, world: Ask) -> None:
    create(engine, "p1")
    clock.now += timedelta(days=3650)
    engine.drain()
    clock.now -= timedelta(days=3650) - HORIZON
    engine.drain()
    assert world.asked == ["p1", "p1"]
    engine.drain()
    assert world.asked == ["p1", "p1"]


def test_an_answer_that_comes_too_late_is_harmless(engine: Engine, clock: Clock, world: Ask) -> None:
    """The customer's event arrives while the provider is asked: the answer has nothing left to do."""
    create(engine, "p1")
    world.answers = {"p1": Charged()}
    world.before = lambda entity: engine.send(PaymentLifecycle, entity, Charged(), actor="customer:1")
    clock.now += HORIZON
    engine.drain()
    assert [each.outcome for each in engine.history(PaymentLifecycle, "p1")] == ["applied", "applied", "already_done"]


def test_a_question_that_fails_keeps_no_other_from_being_asked(engine: Engine, clock: Clock, world: Ask) -> None:
    create(engine, "p1", "p2", "p3")
    world.answers = {"p1": ConnectionError("away"), "p2": 17, "p3": Charged()}
    clock.now += HORIZON
    engine.drain()
    assert engine.census(PaymentLifecycle) == {"paid": 1, "waiting.asked": 2}
    clock.now += EVERY
    world.answers = {"p1": Charged(), "p2": [Charged()]}
    engine.drain()
    assert engine.census(PaymentLifecycle) == {"paid": 3}


def test_many_are_asked_about_in_batches(engine: Engine, clock: Clock, world: Ask) -> None:
    ids = [f"p{n:03}" for n in range(350)]
    engine.create_many(
        [Creating(lifecycle=PaymentLifecycle, entity=each, context=Payment(), actor="a:1") for each in ids]
    )
    world.answers = {each: Charged() for each in ids[::2]}
    clock.now += HORIZON
    engine.drain()
    assert sorted(world.asked) == ids
    assert engine.census(PaymentLifecycle) == {"paid": 175, "waiting.asked": 175}


class Died(BaseException):
    """The worker ends amid a question."""


def test_another_worker_goes_on_where_one_has_ended(
    make_ledger: MakeLedger, clock: Clock, world: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was asked in batches that were finished is not asked again in this round; the others are."""
    monkeypatch.setattr("stateward.work.reconciling.BATCH_MAX", 10)
    ids = [f"p{n:03}" for n in range(35)]
    with Engine(make_ledger(), lifecycles=[PaymentLifecycle], clock=clock) as first:
        reconcile(first, world)
        create(first, *ids)
        clock.now += HORIZON

        def die(entity: str) -> None:
            if entity == "p024":
                raise Died

        world.before = die
        with pytest.raises(Died):
            first.drain()
        assert set(ids[:20]) <= set(world.asked)
        world.asked.clear()
        world.before = lambda entity: None
        with Engine(make_ledger(), lifecycles=[PaymentLifecycle], clock=clock) as second:
            reconcile(second, world)
            second.drain()
    assert sorted(world.asked) == ids[20:]


def test_what_is_not_kept_is_asked_again(
    engine: Engine, clock: Clock, world: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger is away when the round is to be kept: what was learned holds once, however often it is asked."""
    create(engine, "p1")
    world.answers = {"p1": Charged()}
    clock.now += HORIZON

    def fail(*_: object) -> None:
        raise LedgerUnavailable("away")

    with monkeypatch.context() as broken:
        broken.setattr("stateward.work.reconciling.KeepReconciliation", fail)
        with pytest.raises(LedgerUnavailable):
            engine.drain()
    engine.drain()
    assert [each.outcome for each in engine.history(PaymentLifecycle, "p1")] == ["applied", "applied"]


def test_the_rate_is_kept(make_ledger: MakeLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that the waits themselves move: of twenty questions at ten a second, the last comes after 1.9 s."""
    now = [0.0]

    async def sleep(seconds: float) -> None:
        now[0] += seconds

    async def in_thread(work: Callable[[], Any]) -> Any:
        return work()

    async def ask_twenty(asker: Reconciler) -> None:
        for _ in range(20):
            await asker._wait_for_turn()

    with Engine(make_ledger(), lifecycles=[PaymentLifecycle]) as engine:
        engine.reconcile(PaymentLifecycle, "paid", older_than=HORIZON, every=EVERY, rate=10.0)(Ask())
        worker = engine._make_worker(AsyncMock(), WorkerSettings())
        worker.ground.monotonic = lambda: now[0]
        lease = Lease(worker.ground, 1.0, lambda part: False)
        [what] = worker.reconciliations
        asker = Reconciler(worker.ground, lease, what, worker.counts.reconciliations, run_in_thread=in_thread)
        with monkeypatch.context() as timed:
            timed.setattr("stateward.work.reconciling.asyncio.sleep", sleep)
            asyncio.run(ask_twenty(asker))
    assert now[0] == pytest.approx(1.9)


def test_one_that_has_nothing_to_do_wakes_nobody(make_ledger: MakeLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Effects are looked for ever less often while nothing happens, however often it is asked what to reconcile."""
    monkeypatch.setattr("stateward.work.shift.RECONCILE_S", 0.001)
    looks, fetches, have_looked = 0, 0, ThreadEvent()

    def count(trip: Trip) -> None:
        nonlocal looks, fetches
        looks += has(trip, FetchReconciliation)
        fetches += has(trip, FetchEffects)
        if looks == 100:
            have_looked.set()

    ledger = Watched(make_ledger())
    with Engine(ledger, lifecycles=[PaymentLifecycle]) as engine:
        engine.handles(Unused)(lambda effect, call: None)
        reconcile(engine, Ask())
        ledger.before = count
        engine.start(WorkerSettings(poll=timedelta(hours=1)))
        assert have_looked.wait(WAIT_S)
        engine.stop()
    assert fetches < 50, fetches


def test_tasks_reconcile_too(make_ledger: MakeLedger, clock: Clock) -> None:
    asked: list[str] = []

    async def main() -> None:
        async with AsyncEngine(make_ledger(), lifecycles=[PaymentLifecycle], clock=clock) as engine:

            @engine.reconcile(PaymentLifecycle, "waiting", older_than=HORIZON, every=EVERY)
            async def ask(entity: Entity[Payment]) -> Charged:
                asked.append(entity.id)
                return Charged()

            await engine.create(PaymentLifecycle, "p1", Payment(), actor="a:1")
            clock.now += HORIZON
            await engine.drain()
            assert await engine.census(PaymentLifecycle) == {"paid": 1}

    asyncio.run(main())
    assert asked == ["p1"]


@pytest.mark.parametrize("is_async", [False, True])
def test_a_question_that_hangs_keeps_no_other_from_being_asked(make_ledger: MakeLedger, *, is_async: bool) -> None:
    go_on, others = ThreadEvent(), ThreadEvent()
    asked: list[str] = []

    def answer(entity: Entity[Payment]) -> Charged | None:
        asked.append(entity.id)
        if entity.id == "p1":
            go_on.wait(WAIT_S)
            return None
        if asked.count("p2") == 2 and asked.count("p3") == 2:
            others.set()
        return None

    async def answer_later(entity: Entity[Payment]) -> Charged | None:
        if entity.id == "p1":
            await asyncio.Event().wait()
        return answer(entity)

    with Engine(make_ledger(), lifecycles=[PaymentLifecycle]) as engine:
        soon = timedelta(milliseconds=1)
        engine.reconcile(
            PaymentLifecycle, "waiting", older_than=soon, every=soon, concurrency=2, timeout=timedelta(milliseconds=50)
        )(answer_later if is_async else answer)
        create(engine, "p1", "p2", "p3")
        engine.start()
        assert others.wait(WAIT_S), "more rounds went through"
        go_on.set()
        engine.stop()


def test_functions_that_do_not_come_back_are_not_asked_for_ever_more(make_ledger: MakeLedger) -> None:
    """Each keeps a thread: when there are as many as may be asked at once, no more are begun until one is back."""
    go_on, all_hang, second_round = ThreadEvent(), ThreadEvent(), ThreadEvent()
    asked: list[str] = []

    def hang(entity: Entity[Payment]) -> None:
        asked.append(entity.id)
        if len(asked) == 2:
            all_hang.set()
        if len(asked) == 3:
            second_round.set()
        go_on.wait(WAIT_S)

    with Engine(make_ledger(), lifecycles=[PaymentLifecycle]) as engine:
        soon = timedelta(milliseconds=1)
        engine.reconcile(
            PaymentLifecycle, "waiting", older_than=soon, every=soon, concurrency=2, timeout=timedelta(milliseconds=20)
        )(hang)
        create(engine, *(f"p{n}" for n in range(5)))
        engine.start()
        assert all_hang.wait(WAIT_S)
        worker = engine._worker
        assert worker is not None
        while worker.counts.reconciliations.failed < 10:  # of two rounds
            assert not second_round.wait(0.01)
        go_on.set()
        assert second_round.wait(WAIT_S)
        engine.stop()


def test_a_kind_that_is_paused_is_not_asked_about(engine: Engine, clock: Clock, world: Ask) -> None:
    create(engine, "p1")
    engine.pause(kind="Payment", reason="the provider is down", actor="operator:1")
    clock.now += HORIZON
    engine.drain()
    assert not world.asked
    engine.resume(kind="Payment", actor="operator:1")
    engine.drain()
    assert world.asked == ["p1"]


def test_what_can_not_be_meant_is_told(engine: Engine, world: Ask) -> None:
    with pytest.raises(DefinitionError, match="has no state 'waited'"):
        engine.reconcile(PaymentLifecycle, "waited", older_than=HORIZON, every=EVERY)(world)
    with pytest.raises(DefinitionError, match=r"called Payment\.waiting already"):
        engine.reconcile(PaymentLifecycle, "waiting", older_than=HORIZON, every=EVERY)(world)
    with pytest.raises(DefinitionError, match="positive"):
        engine.reconcile(PaymentLifecycle, "paid", older_than=HORIZON, every=timedelta(0))(world)
    with pytest.raises(DefinitionError, match="positive"):
        engine.reconcile(PaymentLifecycle, "paid", older_than=HORIZON, every=EVERY, timeout=timedelta(0))(world)
    create(engine, "p1")
    with pytest.raises(Unkeepable, match="stateward's own"):
        engine.send(PaymentLifecycle, "p1", Charged(), actor="a:1", key="reconcile:Payment.waiting:1")
