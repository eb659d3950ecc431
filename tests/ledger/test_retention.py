"""How long things are kept: ages in order, old events refused, receipts and dead letters deleted in bounded batches."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from stateward import Call, DefinitionError, Event, Refusal, Retry
from stateward.engine import AsyncEngine, Engine, Retention
from stateward.errors import Conflict
from stateward.ledger import Applied
from stateward.ledger.after_commit import EndEffects, ListDeadLetters
from stateward.ledger.contract import CommitMoves, CreateEntities, Ledger, Operation, PairKey, Trip, Trips
from stateward.ledger.contract import LoadPairs as Load
from stateward.ledger.ids import first_id, part_of
from stateward.ledger.postgres import PostgresLedger
from stateward.ledger.rows import EffectEnd, EntityRow, OutboxRow, RecordRow
from stateward.ledger.sqlite import SqliteLedger
from stateward.work.retention import Expired, expire
from tests.ledger.conftest import MakeLedger
from tests.ledger.faults_counting import Count, CountLifecycle, Tick, check_engine
from tests.work.lifecycles import Ask, Broken, Job, JobLifecycle, Task, Told

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
KEPT = Retention(receipts=30 * DAY, dead_letters=10 * DAY, records=90 * DAY, max_event_age=7 * DAY)


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    @property
    def micros(self) -> int:
        return int(self.now.timestamp() * 1_000_000)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(make_ledger: MakeLedger) -> Ledger:
    return make_ledger()


@pytest.fixture
def engine(ledger: Ledger, clock: Clock) -> Iterator[Engine]:
    with Engine(ledger, lifecycles=[CountLifecycle], clock=clock, retention=KEPT) as made:
        made.create(CountLifecycle, "c0", Count(), actor="a:1", key="made")
        yield made


def tick(engine: Engine, n: int, *, at: datetime | None = None) -> Applied[Count] | Refusal:
    return engine.attempt(CountLifecycle, "c0", Tick(n=n), actor="a:1", key=f"k{n}", occurred_at=at)


def expire_all(ledger: Ledger, clock: Clock, limit: int = 1000, kept: Retention = KEPT) -> list[Expired]:
    """Batches until there is no more."""
    batches: list[Expired] = []
    while not batches or batches[-1].has_more:
        batches.append(ledger.run(expire(kept, clock.micros, limit=limit)))
        assert len(batches) < 100, "it comes to an end"
    return batches


def asking(*operations: Operation, writes: bool = False) -> Trips[Any]:
    """A trip of one's own; the page of its last operation."""
    pages = yield Trip(operations, begins=writes, commits=writes)
    return pages[-1]


def receipts_of(ledger: Ledger, keys: list[str]) -> list[str]:
    """Which of these keys of c0 have a receipt."""
    pairs = tuple(PairKey("Count", "c0", key) for key in keys)
    page = ledger.run(asking(Load(pairs)))
    return [pair.key or "" for pair, (_, receipt) in zip(pairs, page, strict=True) if receipt is not None]


# The ages.


def test_ages_in_order_make_a_policy() -> None:
    assert Retention() == Retention(receipts=None, dead_letters=None, records=None, max_event_age=None)
    assert Retention(receipts=DAY, max_event_age=DAY, records=DAY).records == DAY
    assert Retention(max_event_age=DAY).expires_at(5) == 5 + 86_400_000_000
    assert Retention(dead_letters=DAY).expires_at(5) is None


@pytest.mark.parametrize(
    ("ages", "told"),
    [
        ({"receipts": DAY}, "receipts go after 1 day, 0:00:00, and events may be of any age"),
        ({"receipts": DAY, "max_event_age": 2 * DAY}, "events may be 2 days, 0:00:00 old"),
        ({"records": DAY}, "records go after 1 day, 0:00:00, and receipts are kept for ever"),
        ({"receipts": 2 * DAY, "max_event_age": DAY, "records": DAY}, "receipts are kept for 2 days, 0:00:00"),
        ({"dead_letters": timedelta(0)}, "dead_letters is 0:00:00; it is a positive timedelta"),
        ({"max_event_age": -DAY}, "max_event_age is -1 day, 0:00:00; it is a positive timedelta"),
    ],
)
def test_ages_that_break_a_promise_are_told_when_the_policy_is_made(ages: dict[str, Any], told: str) -> None:
    with pytest.raises(DefinitionError, match="retention: ") as caught:
        Retention(**ages)
    assert told in str(caught.value)


# Old events.


def test_an_event_older_than_the_maximum_age_is_refused_and_recorded(engine: Engine, clock: Clock) -> None:
    answer = tick(engine, 1, at=START - 7 * DAY - timedelta(microseconds=1))
    assert isinstance(answer, Refusal)
    assert (answer.kind, answer.state, answer.event) == ("expired", "even", "Tick")
    record = list(engine.history(CountLifecycle, "c0"))[-1]
    assert (record.outcome, record.reason, record.revision) == ("rejected_invalid", "expired", 1)
    assert isinstance(tick(engine, 2, at=START - 7 * DAY), Applied), "to the very microsecond it is young enough"
    check_engine(engine)


def test_an_old_event_whose_receipt_is_there_gets_its_first_answer(engine: Engine, clock: Clock) -> None:
    first = tick(engine, 1, at=START)
    clock.now += 20 * DAY
    again = tick(engine, 1, at=START)
    assert isinstance(first, Applied)
    assert isinstance(again, Applied)
    assert (again.is_repetition, again.record) == (True, first.record)


def test_what_is_no_callers_event_has_no_maximum_age(engine: Engine, clock: Clock) -> None:
    clock.now += 400 * DAY
    imported = engine.attempt(
        CountLifecycle, "c0", Tick(n=1), actor="a:1", key="line 1", occurred_at=START, source="import"
    )
    assert isinstance(imported, Applied)
    engine.create(CountLifecycle, "c9", Count(), actor="a:1", occurred_at=START)
    engine.repair(CountLifecycle, "c9", "odd", reason="a test", actor="a:1")


def test_an_engine_without_a_policy_takes_events_of_any_age(ledger: Ledger, clock: Clock) -> None:
    with Engine(ledger, lifecycles=[CountLifecycle], clock=clock) as engine:
        engine.create(CountLifecycle, "c0", Count(), actor="a:1")
        assert isinstance(tick(engine, 1, at=START - 4000 * DAY), Applied)


def test_an_engine_for_tasks_refuses_old_events_too(make_ledger: MakeLedger, clock: Clock) -> None:
    async def send() -> Applied[Count] | Refusal:
        async with AsyncEngine(make_ledger(), lifecycles=[CountLifecycle], clock=clock, retention=KEPT) as engine:
            await engine.create(CountLifecycle, "c0", Count(), actor="a:1")
            return await engine.attempt(CountLifecycle, "c0", Tick(), actor="a:1", occurred_at=START - 8 * DAY)

    answer = asyncio.run(send())
    assert isinstance(answer, Refusal)
    assert answer.kind == "expired"


# Receipts.


def test_receipts_past_their_age_go_in_bounded_batches_the_oldest_first(
    engine: Engine, ledger: Ledger, clock: Clock
) -> None:
    keys = ["made"]
    for n in range(9):
        tick(engine, n)
        keys.append(f"k{n}")
        engine.attempt(CountLifecycle, "c0", Tick(n=n), actor="a:1")  # without a key: it has a record and no receipt
        clock.now += DAY
    clock.now = START + 34 * DAY + timedelta(hours=1)  # those of the first five days are more than thirty days old
    first = ledger.run(expire(KEPT, clock.micros, limit=3))
    assert first.has_more
    assert 0 < first.receipts <= 3
    assert receipts_of(ledger, keys) == keys[first.receipts :]
    rest = expire_all(ledger, clock, limit=3)
    assert first.receipts + sum(each.receipts for each in rest) == 6
    assert all(each.receipts <= 3 for each in rest)
    assert receipts_of(ledger, keys) == keys[6:]
    assert expire_all(ledger, clock) == [Expired(0, 0, has_more=False)]
    clock.now += DAY
    assert [each.receipts for each in expire_all(ledger, clock)] == [1], "it goes on where it ended"
    check_engine(engine)


def test_no_event_that_comes_again_is_applied_twice_whenever_its_receipt_goes(
    engine: Engine, ledger: Ledger, clock: Clock
) -> None:
    tight = Retention(receipts=7 * DAY, max_event_age=7 * DAY)
    tick(engine, 1, at=START)
    for micros in (0, 999, 1000, 1001, 2000, 86_400_000_000):
        clock.now = START + 7 * DAY + timedelta(microseconds=micros)
        ledger.run(expire(tight, clock.micros))
        answer = tick(engine, 1, at=START)
        assert isinstance(answer, Refusal) or answer.is_repetition, f"{micros} microseconds beyond its age"
    assert receipts_of(ledger, ["k1"]) == []


def set_mark_back(ledger: Ledger) -> None:
    """As if no batch had been run yet."""
    if isinstance(ledger, SqliteLedger):
        with ledger.connection() as connection:
            connection.execute("UPDATE expiry SET through = zeroblob(16)")
    elif isinstance(ledger, PostgresLedger):
        with ledger._connection() as postgres:
            postgres.execute("UPDATE expiry SET through = '00000000-0000-0000-0000-000000000000'")


def test_a_key_that_was_used_anew_keeps_its_new_receipt(engine: Engine, ledger: Ledger, clock: Clock) -> None:
    """An old record under the same key does not take it along, even if it is looked at once more."""
    tick(engine, 1)
    clock.now += 31 * DAY
    assert sum(each.receipts for each in expire_all(ledger, clock)) == 2
    clock.now += timedelta(hours=1)
    again = tick(engine, 1)
    assert isinstance(again, Applied)
    assert not again.is_repetition
    clock.now += 29 * DAY
    set_mark_back(ledger)
    assert expire_all(ledger, clock)[-1].receipts == 0
    assert receipts_of(ledger, ["k1"]) == ["k1"]


@pytest.mark.parametrize("is_dead", [False, True])
def test_receipts_of_an_effect_s_replies_stay_while_it_may_be_asked_again(
    ledger: Ledger, clock: Clock, *, is_dead: bool
) -> None:
    """One reply was applied and the next one raised; weeks later the effect is asked again, and replies both anew."""
    keep = Retention(receipts=30 * DAY, dead_letters=90 * DAY, max_event_age=7 * DAY)
    is_mended = False
    with Engine(ledger, lifecycles=[JobLifecycle], clock=clock, retention=keep) as engine:

        @engine.handles(Task, retry=Retry(limit=1 if is_dead else 2))
        def handle(effect: Task, call: Call) -> list[Event]:
            return [Told(what="charged"), Told(what="mailed") if is_mended else Broken()]

        def trail() -> tuple[str, ...]:
            return engine.get(JobLifecycle, "j1").context.trail

        engine.create(JobLifecycle, "j1", Job(), actor="a:1", key="made")
        engine.send(JobLifecycle, "j1", Ask(what=("task:a",)), actor="a:1", key="asked")
        engine.drain()
        assert trail() == ("charged",)
        engine.pause(effect="Task", reason="the lifecycle is to be mended", actor="a:1")
        clock.now += 40 * DAY
        assert sum(each.receipts for each in expire_all(ledger, clock, kept=keep)) == 2, "the callers' own"
        is_mended = True
        engine.resume(effect="Task", actor="a:1")
        assert engine.retry(engine.dead()) == is_dead
        engine.drain()
        assert trail() == ("charged", "mailed")
        assert engine.pending(JobLifecycle, "j1") == []


def test_a_creation_whose_receipt_is_gone_is_a_conflict_and_no_second_entity(
    engine: Engine, ledger: Ledger, clock: Clock
) -> None:
    clock.now += 31 * DAY
    expire_all(ledger, clock)
    with pytest.raises(Conflict, match="the id is taken"):
        engine.create(CountLifecycle, "c0", Count(), actor="a:1", key="made")


def test_nothing_goes_without_an_age(engine: Engine, ledger: Ledger, clock: Clock) -> None:
    clock.now += 4000 * DAY
    assert ledger.run(expire(Retention(), clock.micros)) == Expired(0, 0, has_more=False)
    assert receipts_of(ledger, ["made"]) == ["made"]


# Dead letters.


def bury(ledger: Ledger, n: int, died_at: int) -> None:
    """An effect of an entity of its own, that died."""
    entity, record = f"d{n}", first_id(n + 1)
    part = part_of("Count", entity)
    row = EntityRow("Count", entity, part, 1, "even", "{}", '{"ticks":[]}', 1, 0, 0, '{"even":0}', None)
    start = RecordRow(record, "Count", entity, 1, 1, "Started", "{}", None, "even", "a", "1", None, 0, 0, None,
                      "call", "applied", None)  # fmt: skip
    effect = OutboxRow(part, "Count", entity, 1, 0, "Told", '{"n":1}', record)
    made = CommitMoves(created=(row,), records=(start,), outbox=(effect,))
    ended = EndEffects((EffectEnd(part, "Count", entity, 1, 0, attempts=8, error="no", died_at=died_at),))
    ledger.run(asking(CreateEntities((row,)), made, ended, writes=True))


def dead_of(ledger: Ledger) -> list[str]:
    return [row.entity for row in ledger.run(asking(ListDeadLetters(limit=100)))]


def test_dead_letters_past_their_age_go_in_bounded_batches_the_oldest_first(
    engine: Engine, ledger: Ledger, clock: Clock
) -> None:
    for n in (3, 1, 4, 0, 2):
        bury(ledger, n, clock.micros + n * 86_400_000_000)
    assert dead_of(ledger) == [f"d{n}" for n in range(5)]
    clock.now += 13 * DAY  # three of them are older than ten days; the one that is just as old stays
    first = ledger.run(expire(KEPT, clock.micros, limit=2))
    assert (first.dead_letters, first.has_more) == (2, True)
    assert dead_of(ledger) == ["d2", "d3", "d4"]
    assert sum(each.dead_letters for each in expire_all(ledger, clock, limit=2)) == 1
    assert dead_of(ledger) == ["d3", "d4"]


# Workers.


def test_a_worker_deletes_what_is_past_its_age(engine: Engine, ledger: Ledger, clock: Clock) -> None:
    tick(engine, 1)
    bury(ledger, 1, clock.micros)
    clock.now += 31 * DAY
    tick(engine, 2)
    engine.drain()
    assert receipts_of(ledger, ["made", "k1", "k2"]) == ["k2"]
    assert dead_of(ledger) == []


def test_a_worker_without_a_policy_deletes_nothing(ledger: Ledger, clock: Clock) -> None:
    with Engine(ledger, lifecycles=[CountLifecycle], clock=clock) as engine:
        engine.create(CountLifecycle, "c0", Count(), actor="a:1", key="made")
        clock.now += 4000 * DAY
        engine.drain()
        assert receipts_of(ledger, ["made"]) == ["made"]


# Beside others.


def test_two_that_expire_at_once_do_not_wait_for_each_other(postgres_dsn: str, clock: Clock) -> None:
    with Engine(postgres_dsn, lifecycles=[CountLifecycle], clock=clock) as engine:
        engine.create(CountLifecycle, "c0", Count(), actor="a:1", key="made")
        clock.now += 31 * DAY
        ledger = engine._ledger
        with psycopg.connect(postgres_dsn) as busy:
            busy.execute("SELECT through FROM expiry FOR UPDATE")
            assert ledger.run(expire(KEPT, clock.micros)) == Expired(0, 0, has_more=False), "the other is at it"
        assert ledger.run(expire(KEPT, clock.micros)).receipts == 1


def test_a_receipt_is_made_while_others_expire(ledger: Ledger, clock: Clock) -> None:
    """A commit and a batch of expiring between its reading and its writing do not disturb each other."""
    with Engine(ledger, lifecycles=[CountLifecycle], clock=clock, retention=KEPT) as engine:
        engine.create(CountLifecycle, "c0", Count(), actor="a:1", key="made")
        clock.now += 31 * DAY
        for n in range(5):
            tick(engine, n)
            ledger.run(expire(KEPT, clock.micros, limit=1))
        assert receipts_of(ledger, ["made", "k0", "k4"]) == ["k0", "k4"]
        check_engine(engine)
