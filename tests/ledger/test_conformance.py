"""What every ledger promises, held against each of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from threading import Barrier, Thread
from typing import Any

import pytest

from stateward import (
    ActionFailed,
    Conflict,
    Context,
    DefinitionError,
    Event,
    Final,
    Lifecycle,
    Refusal,
    Refused,
    SnapshotInvalid,
    State,
    UnknownEntity,
    after,
    on,
)
from stateward.engine import Creating, Engine, Sending
from stateward.errors import Unkeepable, VersionUnknown
from stateward.ledger import Actor, Applied
from stateward.ledger.contract import Ledger
from tests.ledger.conftest import MakeLedger
from tests.ledger.lifecycles import Deliver, Fail, Parcel, ParcelLifecycle, Pay, Return, Ship

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def engine(make_ledger: MakeLedger, clock: Clock) -> Iterator[Engine]:
    with Engine(make_ledger(), lifecycles=[ParcelLifecycle], clock=clock) as made:
        yield made


def create(engine: Engine, *ids: str, **changes: Any) -> None:
    for each in ids:
        engine.create(ParcelLifecycle, each, Parcel(**changes), actor="shop:1")


def attempt(engine: Engine, entity: str, event: Any, **given: Any) -> Any:
    whole: dict[str, Any] = {"actor": "shop:1", **given}
    return engine.attempt(ParcelLifecycle, entity, event, **whole)


def told(engine: Engine, entity: str) -> list[tuple[Any, ...]]:
    """An entity's history in short."""
    return [
        (each.revision, each.event, each.state_from, each.state_to, each.outcome, each.reason)
        for each in engine.history(ParcelLifecycle, entity)
    ]


# Creating.


def test_a_creation_is_the_first_record(engine: Engine) -> None:
    made = engine.create(ParcelLifecycle, "p1", Parcel(price=7), actor="shop:1", key="cart-5")
    assert (made.revision, made.state, made.version, made.outcome) == (1, "ordered", 1, "applied")
    [record] = engine.history(ParcelLifecycle, "p1")
    assert record.id == made.record
    assert (record.event, record.state_from, record.state_to) == ("Started", None, "ordered")
    assert record.payload == {"price": 7, "paid": 0, "trail": []}
    assert (record.actor, record.key, record.source) == (Actor("shop", "1"), "cart-5", "call")
    assert record.occurred_at == record.recorded_at == START
    entity = engine.get(ParcelLifecycle, "p1")
    assert (entity.kind, entity.id, entity.state, entity.context) == ("Parcel", "p1", "ordered", Parcel(price=7))
    assert entity.entered == {"ordered": START}
    assert entity.due_by == START + timedelta(hours=1)


def test_a_creation_repeated_under_its_key_gives_the_first_answer(engine: Engine) -> None:
    first = engine.create(ParcelLifecycle, "p1", Parcel(), actor="shop:1", key="k")
    again = engine.create(ParcelLifecycle, "p1", Parcel(), actor="shop:1", key="k")
    assert (again.record, again.revision, again.state) == (first.record, 1, "ordered")
    assert again.is_repetition
    assert len(told(engine, "p1")) == 1


@pytest.mark.parametrize("key", [None, "other", "k"])
def test_an_id_is_taken_once(engine: Engine, key: str | None) -> None:
    engine.create(ParcelLifecycle, "p1", Parcel(), actor="shop:1", key="k")
    with pytest.raises(Conflict, match=r"the id is taken|used for another event"):
        engine.create(ParcelLifecycle, "p1", Parcel(price=1), actor="shop:1", key=key)
    assert len(told(engine, "p1")) == 1


def test_many_are_created_at_once(engine: Engine) -> None:
    create(engine, "p3")
    names = ["p1", "p2", "p3", "", "p1"]
    creatings = [Creating(lifecycle=ParcelLifecycle, entity=name, context=Parcel(), actor="a:1") for name in names]
    kinds = [type(each) for each in engine.create_many(creatings)]
    assert kinds == [Applied, Applied, Conflict, Unkeepable, Conflict]
    assert [each.id for each in engine.list(ParcelLifecycle)] == ["p1", "p2", "p3"]
    assert engine.census(ParcelLifecycle) == {"ordered": 3}


# Sending.


def test_an_event_moves_the_entity_and_is_recorded(engine: Engine, clock: Clock) -> None:
    create(engine, "p1")
    clock.now += timedelta(minutes=5)
    at = START + timedelta(minutes=3)
    done = attempt(engine, "p1", Pay(amount=100), actor=Actor("customer", "9"), key="e1", occurred_at=at)
    assert (done.revision, done.state, done.outcome, done.is_repetition) == (2, "paid", "applied", False)
    assert done.step.effects[0].text == "paid 100"
    *_, record = engine.history(ParcelLifecycle, "p1")
    assert (record.revision, record.event, record.state_from, record.state_to) == (2, "Pay", "ordered", "paid")
    assert record.payload == {"amount": 100, "note": "", "ratio": 0.0}
    assert (record.occurred_at, record.recorded_at) == (at, clock.now)
    entity = engine.get(ParcelLifecycle, "p1")
    assert entity.context == Parcel(paid=100, trail=("Pay",))
    assert (entity.created_at, entity.updated_at) == (START, clock.now)
    assert (entity.entered, entity.due_by) == ({"paid": clock.now}, None)


def test_regions_and_histories_are_kept(engine: Engine) -> None:
    create(engine, "p1")
    for event in (Pay(amount=100), Ship(), Ship(), Return(), Return()):
        engine.send(ParcelLifecycle, "p1", event, actor="shop:1")
    assert engine.get(ParcelLifecycle, "p1").state == "moving.van.driving|moving.papers.drafted"
    assert engine.send(ParcelLifecycle, "p1", Deliver(), actor="shop:1").state == "delivered"


def test_refused_and_already_done_attempts_are_recorded_and_change_nothing(engine: Engine) -> None:
    create(engine, "p1")
    assert attempt(engine, "p1", Ship()).kind == "illegal"
    assert attempt(engine, "p1", Pay(amount=1)).kind == "guarded"
    attempt(engine, "p1", Pay(amount=100))
    assert attempt(engine, "p1", Pay(amount=100)).outcome == "already_done"
    with pytest.raises(Refused, match="Parcel in paid refused Deliver"):
        engine.send(ParcelLifecycle, "p1", Deliver(), actor="shop:1")
    assert told(engine, "p1") == [
        (1, "Started", None, "ordered", "applied", None),
        (1, "Ship", "ordered", "ordered", "rejected_invalid", "illegal"),
        (1, "Pay", "ordered", "ordered", "rejected_invalid", "guarded"),
        (2, "Pay", "ordered", "paid", "applied", None),
        (2, "Pay", "paid", "paid", "already_done", None),
        (2, "Deliver", "paid", "paid", "rejected_invalid", "illegal"),
    ]  # fmt: skip
    assert engine.get(ParcelLifecycle, "p1").revision == 2


def test_an_entity_that_is_not_there_is_told(engine: Engine) -> None:
    with pytest.raises(UnknownEntity, match="there is no Parcel p1"):
        attempt(engine, "p1", Ship())
    with pytest.raises(UnknownEntity):
        engine.get(ParcelLifecycle, "p1")
    assert told(engine, "p1") == []


def test_a_handler_that_raises_drops_only_its_event(engine: Engine) -> None:
    create(engine, "p1", "p2")
    with pytest.raises(ActionFailed, match="broken"):
        attempt(engine, "p1", Fail())
    sendings = [Sending(lifecycle=ParcelLifecycle, entity=each, event=event, actor="a:1")
                for each, event in (("p1", Fail()), ("p1", Pay(amount=100)), ("p2", Pay(amount=100)))]  # fmt: skip
    failed, *others = engine.send_many(sendings)
    assert isinstance(failed, ActionFailed)
    assert [each.state for each in others if isinstance(each, Applied)] == ["paid", "paid"]
    assert [line[1] for line in told(engine, "p1")] == ["Started", "Pay"]


# Keys and revisions.


def test_a_repeated_key_gives_the_first_answer_whatever_came_since(engine: Engine) -> None:
    create(engine, "p1")
    first = attempt(engine, "p1", Pay(amount=100), key="k")
    attempt(engine, "p1", Ship())
    again = attempt(engine, "p1", Pay(amount=100), key="k")
    assert (again.record, again.revision, again.state, again.is_repetition) == (first.record, 2, "paid", True)
    assert len(told(engine, "p1")) == 3


def test_a_key_used_for_another_event_or_payload_is_a_conflict(engine: Engine) -> None:
    create(engine, "p1")
    attempt(engine, "p1", Pay(amount=100), key="k")
    for event in (Pay(amount=101), Ship()):
        with pytest.raises(Conflict, match="'k' was used for another event or payload"):
            attempt(engine, "p1", event, key="k")
    assert len(told(engine, "p1")) == 2


def test_a_key_is_an_entitys_own(engine: Engine) -> None:
    create(engine, "p1", "p2")
    assert attempt(engine, "p1", Pay(amount=100), key="k").state == "paid"
    assert not attempt(engine, "p2", Pay(amount=100), key="k").is_repetition


def test_a_refusal_holds_no_receipt_so_that_the_event_can_come_again(engine: Engine) -> None:
    create(engine, "p1")
    assert isinstance(attempt(engine, "p1", Ship(), key="k"), Refusal)
    attempt(engine, "p1", Pay(amount=100))
    assert attempt(engine, "p1", Ship(), key="k").revision == 3


@pytest.mark.parametrize("key", ["effect:1", "timer:1", "", "a\0b", "\ud800", "x" * 501])
def test_a_key_that_can_not_be_kept_or_is_reserved_is_told(engine: Engine, key: str) -> None:
    create(engine, "p1")
    with pytest.raises(Unkeepable, match="key"):
        attempt(engine, "p1", Pay(amount=100), key=key)


def test_a_stale_caller_is_refused(engine: Engine) -> None:
    create(engine, "p1")
    attempt(engine, "p1", Pay(amount=100), expected_revision=1)
    stale = attempt(engine, "p1", Ship(), expected_revision=1)
    assert (stale.kind, stale.state) == ("stale", "paid")
    assert attempt(engine, "p1", Ship(), expected_revision=2).revision == 3
    assert told(engine, "p1")[-2][4:] == ("rejected_invalid", "stale")


# Batches.


def test_answers_come_in_the_order_of_the_events_and_an_entitys_events_apply_in_theirs(engine: Engine) -> None:
    create(engine, "p1", "p2")
    events = [("p1", Ship()), ("p1", Pay(amount=100)), ("p2", Pay(amount=100)), ("p1", Ship()), ("nobody", Ship()),
              ("p1", Ship()), ("p1", Ship()), ("p2", Ship())]  # fmt: skip
    answers = engine.send_many(
        [Sending(lifecycle=ParcelLifecycle, entity=entity, event=event, actor="a:1") for entity, event in events]
    )
    shown = [each.kind if isinstance(each, Refusal) else getattr(each, "revision", type(each)) for each in answers]
    assert shown == ["illegal", 2, 2, 3, UnknownEntity, 4, "illegal", 3]
    assert [line[:2] for line in told(engine, "p1")] == [
        (1, "Started"), (1, "Ship"), (2, "Pay"), (3, "Ship"), (4, "Ship"), (4, "Ship"),
    ]  # fmt: skip


def test_a_key_twice_in_a_batch_applies_once(engine: Engine) -> None:
    create(engine, "p1")
    both = engine.send_many(
        [Sending(lifecycle=ParcelLifecycle, entity="p1", event=Pay(amount=100), actor="a:1", key="k")] * 2
    )
    assert [(each.revision, each.is_repetition) for each in both if isinstance(each, Applied)] == [
        (2, False),
        (2, True),
    ]
    assert len(told(engine, "p1")) == 2


def test_one_bad_event_does_not_harm_the_other_ninety_nine(engine: Engine) -> None:
    create(engine, *(f"p{n}" for n in range(100)))
    events: list[Any] = [Pay(amount=100) for _ in range(100)]
    events[50] = Pay(amount=100, note="a\0b")
    answers = engine.send_many(
        [Sending(lifecycle=ParcelLifecycle, entity=f"p{n}", event=event, actor="a:1") for n, event in enumerate(events)]
    )
    assert isinstance(answers[50], Unkeepable)
    assert sum(isinstance(each, Applied) for each in answers) == 99
    assert engine.census(ParcelLifecycle) == {"ordered": 1, "paid": 99}


BAD: dict[str, tuple[Any, str]] = {
    "a NUL": (Pay(note="a\0b"), "a NUL character"),
    "half a character": (Pay(note="\ud800"), "can't be written as JSON"),
    "no number": (Pay(ratio=float("nan")), "not finite"),
    "no end": (Pay(ratio=float("inf")), "not finite"),
    "ten megabytes": (Pay(note="x" * 10_000_000), "kept at most"),
}


@pytest.mark.parametrize(("event", "problem"), BAD.values(), ids=BAD)
def test_an_event_that_can_not_be_kept_is_told(engine: Engine, event: Pay, problem: str) -> None:
    create(engine, "p1")
    with pytest.raises(Unkeepable, match=problem):
        attempt(engine, "p1", event)
    assert len(told(engine, "p1")) == 1


@pytest.mark.parametrize(
    "entity", ['o\'clock "x"', "a\nb\tc", "%s {} ; --", "\u00e9\u2603\U0001f600", "x" * 500, "a|b:c@d#e.f"]
)
def test_an_id_can_hold_any_text(engine: Engine, entity: str) -> None:
    create(engine, entity)
    assert attempt(engine, entity, Pay(amount=100)).state == "paid"
    assert [each.id for each in engine.list(ParcelLifecycle)] == [entity]
    assert len(told(engine, entity)) == 2


@pytest.mark.parametrize("entity", ["", "a\0b", "\udcff", "x" * 501, 7, None])
def test_an_id_that_can_not_be_kept_is_told(engine: Engine, entity: Any) -> None:
    with pytest.raises(Unkeepable, match="the id"):
        create(engine, entity)


def test_numbers_of_any_size_come_back_as_they_were(engine: Engine) -> None:
    create(engine, "p1", price=10**30)
    assert engine.get(ParcelLifecycle, "p1").context.price == 10**30


def test_a_time_without_a_zone_is_told(engine: Engine) -> None:
    create(engine, "p1")
    with pytest.raises(Unkeepable, match="no time zone"):
        attempt(engine, "p1", Ship(), occurred_at=datetime(2026, 1, 1))  # noqa: DTZ001 - that is the point


@pytest.mark.parametrize("year", [1, 9999])
def test_a_time_that_can_not_be_told_in_utc_is_told(engine: Engine, year: int) -> None:
    edge = datetime(1, 1, 1, tzinfo=UTC) if year == 1 else datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    beyond = edge.replace(tzinfo=timezone(timedelta(hours=1 if year == 1 else -1)))
    with pytest.raises(Unkeepable, match="not from the year 1 to the end of 9999"):
        engine.create(ParcelLifecycle, "p1", Parcel(), actor="a:1", occurred_at=beyond)
    engine.create(ParcelLifecycle, "p2", Parcel(), actor="a:1", occurred_at=edge)
    assert [each.occurred_at for each in engine.history(ParcelLifecycle, "p2")] == [edge]


# Reading.


def test_a_history_is_read_in_pages(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stateward.engine.core.PAGE_SIZE", 3)
    create(engine, "p1")
    for event in (Ship(), Ship(), Pay(amount=100), Pay(), Ship(), Ship(), Pay(), Pay(), Deliver()):
        attempt(engine, "p1", event)
    lines = told(engine, "p1")
    assert [line[:2] for line in lines] == [
        (1, "Started"), (1, "Ship"), (1, "Ship"), (2, "Pay"), (2, "Pay"), (3, "Ship"), (4, "Ship"), (4, "Pay"),
        (4, "Pay"), (5, "Deliver"),
    ]  # fmt: skip
    ids = [each.id for each in engine.history(ParcelLifecycle, "p1")]
    assert len(set(ids)) == 10


def test_entities_are_listed_in_pages_by_id_and_by_state(
    engine: Engine, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stateward.engine.core.PAGE_SIZE", 2)
    names = ["p3", "p1", "p5", "p2", "p4"]
    create(engine, *names)
    for number, name in enumerate(names):
        clock.now = START + timedelta(minutes=number % 2)
        if name != "p5":
            attempt(engine, name, Pay(amount=100))
    assert [each.id for each in engine.list(ParcelLifecycle)] == ["p1", "p2", "p3", "p4", "p5"]
    assert [each.id for each in engine.list(ParcelLifecycle, state="paid")] == ["p3", "p4", "p1", "p2"]
    assert [
        each.id for each in engine.list(ParcelLifecycle, state="paid", unmoved_since=clock.now + timedelta(seconds=1))
    ]
    since = START + timedelta(seconds=30)
    assert [each.id for each in engine.list(ParcelLifecycle, state="paid", unmoved_since=since)] == ["p3", "p4"]
    assert [each.id for each in engine.list(ParcelLifecycle, unmoved_since=since)] == ["p3", "p4", "p5"]
    assert list(engine.list(ParcelLifecycle, version=2)) == []
    assert list(engine.list(ParcelLifecycle, state="lost")) == []
    assert set(engine.get_many(ParcelLifecycle, ["p1", "nobody", "p5"])) == {"p1", "p5"}


def test_the_stuck_are_listed_worst_first(engine: Engine, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stateward.engine.core.PAGE_SIZE", 2)
    for minutes, name in enumerate(("p2", "p1", "p3", "p4")):
        clock.now = START + timedelta(minutes=minutes)
        create(engine, name)
    attempt(engine, "p1", Pay(amount=100))
    assert list(engine.stuck(ParcelLifecycle)) == []
    clock.now = START + timedelta(hours=1, minutes=2)
    assert [each.id for each in engine.stuck(ParcelLifecycle)] == ["p2", "p3"]


def test_what_is_due_by_a_time_is_listed_the_first_due_first(
    engine: Engine, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stateward.engine.core.PAGE_SIZE", 2)
    for minutes, name in enumerate(("p5", "p1", "p3", "p4", "p2")):
        clock.now = START + timedelta(minutes=minutes)
        create(engine, name)
    attempt(engine, "p1", Pay(amount=100))  # which has no SLA from then on

    def due(minutes: int, **only: Any) -> list[str]:
        due_by = START + timedelta(hours=1, minutes=minutes)
        return [each.id for each in engine.list(ParcelLifecycle, due_by=due_by, **only)]

    assert due(-1) == []
    assert due(0) == ["p5"]
    assert due(10) == ["p5", "p3", "p4", "p2"]
    assert due(10, state="ordered", version=1) == ["p5", "p3", "p4", "p2"]
    assert due(10, state="paid") == due(10, version=2) == []
    assert due(10, unmoved_since=START + timedelta(minutes=3)) == ["p5", "p3"]


def test_the_census_counts_what_is_there(engine: Engine) -> None:
    create(engine, "p1", "p2", "p3")
    attempt(engine, "p1", Pay(amount=100))
    attempt(engine, "p2", Ship())
    assert engine.census(ParcelLifecycle) == {"ordered": 2, "paid": 1}
    assert sum(engine.census(ParcelLifecycle).values()) == len(list(engine.list(ParcelLifecycle)))


def test_why_explains_what_is_refused(engine: Engine) -> None:
    create(engine, "p1")
    assert engine.why(ParcelLifecycle, "p1", Pay(amount=1)).outcome == "guarded"


# Repairs and permissions.


def test_a_repair_forces_a_configuration_and_is_a_record(engine: Engine, clock: Clock) -> None:
    create(engine, "p1")
    clock.now += timedelta(hours=2)
    engine.repair(ParcelLifecycle, "p1", "moving.van.driving|moving.papers.drafted", reason="found it", actor="op:7")
    entity = engine.get(ParcelLifecycle, "p1")
    assert (entity.state, entity.revision) == ("moving.van.driving|moving.papers.drafted", 2)
    assert set(entity.entered) == {
        "moving",
        "moving.van",
        "moving.van.driving",
        "moving.papers",
        "moving.papers.drafted",
    }
    assert entity.due_by == clock.now + timedelta(days=2)
    *_, record = engine.history(ParcelLifecycle, "p1")
    assert (record.source, record.reason, record.event) == ("repair", "found it", "Repaired")
    assert engine.census(ParcelLifecycle) == {"moving.van.driving|moving.papers.drafted": 1}
    with pytest.raises(SnapshotInvalid):
        engine.repair(ParcelLifecycle, "p1", "moving.van.driving", reason="half of it", actor="op:7")
    with pytest.raises(Unkeepable, match="reason"):
        engine.repair(ParcelLifecycle, "p1", "paid", reason="", actor="op:7")


def test_an_actor_who_may_not_is_refused_and_recorded(make_ledger: MakeLedger) -> None:
    def authorize(actor: Actor, kind: str, entity: str, event: Any) -> bool:
        return actor.kind != "stranger"

    with Engine(make_ledger(), lifecycles=[ParcelLifecycle], authorize=authorize) as engine:
        create(engine, "p1")
        refusal = attempt(engine, "p1", Pay(amount=100), actor="stranger:1")
        assert refusal.kind == "unauthorized"
        assert told(engine, "p1")[-1][4:] == ("rejected_auth", "unauthorized")
        with pytest.raises(Refused, match="this actor may not"):
            engine.create(ParcelLifecycle, "p2", Parcel(), actor="stranger:1")
        assert attempt(engine, "p1", Pay(amount=100)).state == "paid"


# Versions.


class ParcelTwo(Lifecycle[Parcel], name="Parcel"):
    """The second version: nothing is paid for any more."""

    version = 2
    ordered = State(initial=True)
    gone = Final()
    ship = on(Ship, ordered.to(gone))


def test_entities_stay_on_their_version(make_ledger: MakeLedger) -> None:
    engine = Engine(make_ledger(), lifecycles=[ParcelLifecycle, ParcelTwo])
    create(engine, "old")
    engine.create(ParcelTwo, "new", Parcel(), actor="a:1")
    assert attempt(engine, "new", Ship()).version == 2
    assert isinstance(attempt(engine, "old", Ship()), Refusal)
    assert engine.get(ParcelTwo, "old").version == 1
    assert [each.id for each in engine.list(ParcelLifecycle, version=2)] == ["new"]
    with (
        Engine(make_ledger(), lifecycles=[ParcelLifecycle]) as engine,
        pytest.raises(VersionUnknown, match="version 2"),
    ):
        attempt(engine, "new", Ship())


def declare_toll(fee: int) -> tuple[type[Lifecycle[Parcel]], type[Event]]:
    class Toll(Event):
        paid: int

    def covers_fee(parcel: Parcel, event: Toll) -> bool:
        return event.paid >= fee

    class TollLifecycle(Lifecycle[Parcel]):
        version = 1
        waiting = State(initial=True)
        through = Final()
        toll = on(Toll, waiting.to(through), when=covers_fee)

    return TollLifecycle, Toll


def test_a_lifecycle_declared_anew_in_the_same_process_has_its_new_functions(make_ledger: MakeLedger) -> None:
    """As in a notebook, where a cell is run again: the charts are equal, and what their functions do is not."""
    for fee, outcome in ((10, "guarded"), (5, "applied")):
        lifecycle, toll = declare_toll(fee)
        engine = Engine(make_ledger(), lifecycles=[lifecycle])
        if fee == 10:
            engine.create(lifecycle, "t1", Parcel(), actor="a:1")
        answer = engine.attempt(lifecycle, "t1", toll(paid=5), actor="a:1")  # pyright: ignore[reportCallIssue]
        assert (answer.kind if isinstance(answer, Refusal) else answer.outcome) == outcome


# Concurrency.


def test_two_engines_and_many_threads_apply_each_event_once(make_ledger: MakeLedger) -> None:
    first = Engine(make_ledger(), lifecycles=[ParcelLifecycle])
    second = Engine(make_ledger(), lifecycles=[ParcelLifecycle])
    create(first, *(f"p{n}" for n in range(4)))
    barrier = Barrier(8)
    answers: list[Any] = []

    def work(engine: Engine, worker: int) -> None:
        barrier.wait()
        for turn in range(10):
            for n in range(4):
                event: Any = (Pay(amount=100), Ship(), Return())[(turn + worker % 4) % 3]
                answers.append(attempt(engine, f"p{n}", event, key=f"{worker % 4}-{turn}"))

    threads = [Thread(target=work, args=((first, second)[n % 2], n)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 8 * 10 * 4
    for n in range(4):
        lines = list(first.history(ParcelLifecycle, f"p{n}"))
        applied = [each for each in lines if each.outcome == "applied"]
        assert [each.revision for each in applied] == list(range(1, len(applied) + 1)), "revisions are dense from 1"
        keys = [each.key for each in applied if each.key is not None]
        assert len(keys) == len(set(keys)), "a key is honoured once"
        for before, following in pairwise(applied):
            assert before.state_to == following.state_from, "one order that all readers see"
        assert first.get(ParcelLifecycle, f"p{n}").revision == len(applied)
    assert sum(first.census(ParcelLifecycle).values()) == 4
    second.close()
    first.close()


def test_the_same_version_with_another_digest_is_a_loud_error(make_ledger: MakeLedger) -> None:
    class Other(Lifecycle[Parcel], name="Parcel"):
        ordered = State(initial=True)
        gone = Final()
        ship = on(Ship, ordered.to(gone))

    Engine(make_ledger(), lifecycles=[ParcelLifecycle])
    with pytest.raises(DefinitionError, match="version 1 was registered in this ledger with another digest"):
        Engine(make_ledger(), lifecycles=[Other])


def test_a_closed_ledger_says_so(make_ledger: MakeLedger) -> None:
    ledger: Ledger = make_ledger()
    engine = Engine(ledger, lifecycles=[ParcelLifecycle])
    engine.close()
    engine.close()
    with pytest.raises(Exception, match="closed"):
        create(engine, "p1")


# Found by looking for what nobody had tried.

SENDER: list[Any] = []


class Meddle(Event):
    pass


class Begin(Event):
    pass


class Fickle(Context):
    seconds: int = 5


def delay(fickle: Fickle) -> timedelta:
    return timedelta(seconds=fickle.seconds) * (fickle.seconds // fickle.seconds)


def meddle(fickle: Fickle, event: Meddle) -> Fickle:
    for send in SENDER:
        send()
    return fickle.replace(seconds=fickle.seconds + 1)


class FickleLifecycle(Lifecycle[Fickle]):
    idle = State(initial=True)
    timed = State()
    gone = Final()
    meddled = on(Meddle, idle.stay(do=meddle))
    begin = on(Begin, idle.to(timed))
    late = after(delay, timed.to(gone))


@pytest.mark.parametrize("name", ["p\0", "p\ud800", ""])
def test_what_can_not_be_an_id_is_not_found(engine: Engine, name: str) -> None:
    create(engine, "p1")
    with pytest.raises(UnknownEntity):
        engine.get(ParcelLifecycle, name)
    assert set(engine.get_many(ParcelLifecycle, [name, "p1"])) == {"p1"}
    assert list(engine.history(ParcelLifecycle, name)) == []
    assert list(engine.list(ParcelLifecycle, state=name)) == []


@pytest.mark.parametrize(
    "at",
    [
        datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        datetime(2300, 1, 1, 0, 0, 0, 123457, tzinfo=UTC),
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    ],
)
def test_a_time_comes_back_to_the_microsecond(engine: Engine, at: datetime) -> None:
    engine.create(ParcelLifecycle, "p1", Parcel(), actor="shop:1", occurred_at=at)
    assert [each.occurred_at for each in engine.history(ParcelLifecycle, "p1")] == [at]


def test_entities_of_before_1970_are_listed_too(engine: Engine, clock: Clock) -> None:
    clock.now = datetime(1960, 1, 1, tzinfo=UTC)
    create(engine, "p1")
    assert [each.id for each in engine.list(ParcelLifecycle, state="ordered")] == ["p1"]
    assert [each.id for each in engine.list(ParcelLifecycle, due_by=clock.now + timedelta(days=1))] == ["p1"]


def test_a_repair_whose_timer_has_no_delay_is_told_and_harms_no_other(make_ledger: MakeLedger) -> None:
    with Engine(make_ledger(), lifecycles=[FickleLifecycle]) as engine:
        for name, seconds in (("a", 5), ("b", -5), ("c", 0)):
            engine.create(FickleLifecycle, name, Fickle(seconds=seconds), actor="a:1")
        engine.repair(FickleLifecycle, "a", "timed", reason="it works", actor="op:1")
        for name, problem in (("b", "a positive timedelta"), ("c", "raised ZeroDivisionError")):
            with pytest.raises(ActionFailed, match=problem):
                engine.repair(FickleLifecycle, name, "timed", reason="it does not", actor="op:1")
            assert engine.get(FickleLifecycle, name).state == "idle"
            assert len(list(engine.history(FickleLifecycle, name))) == 1


def test_an_action_that_sends_is_told_so(make_ledger: MakeLedger) -> None:
    with Engine(make_ledger(), lifecycles=[FickleLifecycle]) as engine:
        engine.create(FickleLifecycle, "a", Fickle(), actor="a:1")
        SENDER.append(lambda: engine.send(FickleLifecycle, "a", Meddle(), actor="a:1"))
        try:
            with pytest.raises(ActionFailed, match="meddle raised SentWithin") as caught:
                engine.send(FickleLifecycle, "a", Meddle(), actor="a:1")
            assert "Fickle a: Meddle was sent from inside a guard or an action" in str(caught.value.__cause__)
        finally:
            SENDER.clear()
        assert engine.get(FickleLifecycle, "a").revision == 1
        assert engine.send(FickleLifecycle, "a", Meddle(), actor="a:1").revision == 2


def test_an_engine_tells_what_it_has_done(make_ledger: MakeLedger) -> None:
    with Engine(make_ledger(), lifecycles=[ParcelLifecycle]) as engine:
        engine.create(ParcelLifecycle, "p1", Parcel(), actor="a:1")
        attempt(engine, "p1", Pay(amount=100))
        found = engine.statistics()
        assert (found.commits.batches, found.commits.pairs, found.commits.waiting) == (2, 2, 0)
        assert found.worker is None
        assert found.ledger.name in ("memory", "sqlite", "postgres")
        assert found.ledger.idle == found.ledger.connections >= (0 if found.ledger.name == "memory" else 1)
