"""What holds for all four machines alike, whichever way they keep their callers apart."""

from __future__ import annotations

import copy
import inspect
import logging
import pickle
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import stateward.errors
from stateward import (
    ActionFailed,
    Actions,
    ChannelMachine,
    Chart,
    Composite,
    Conflict,
    Context,
    DefinitionError,
    DefinitionWarning,
    Effect,
    Elapsed,
    EndlessLoop,
    Event,
    Final,
    LedgerUnavailable,
    Lifecycle,
    Machine,
    MachineBusy,
    MachineStopped,
    Meta,
    MutexMachine,
    Parallel,
    Refusal,
    Refused,
    SentWithin,
    Snapshot,
    SnapshotInvalid,
    Started,
    State,
    StatewardError,
    Step,
    SwapMachine,
    TimerSet,
    UnknownEntity,
    WorldError,
    after,
    always,
    chart_of,
    nested,
    on,
    position_of,
    start,
)
from stateward.machine import Listener
from tests.machine.driving import KINDS, Add, Close, Driver, Kind, Tally, TallyLifecycle

every_kind = pytest.mark.parametrize("kind", KINDS)


class Parcel(Context):
    """What is known of a parcel, and what its handlers have done."""

    weight: int = 1
    log: tuple[str, ...] = ()
    drawn: tuple[float, ...] = ()


class Weigh(Event):
    weight: int


class Send(Event):
    pass


class Stamp(Event):
    pass


class Arrive(Event):
    pass


class Lose(Event):
    """No transition of any chart here names it."""


class Announce(Effect):
    text: str


does: dict[str, Callable[[], object]] = {}
"""What the handlers below do besides, by their place; for the tests of what they must not do."""


@pytest.fixture(autouse=True)
def _does_nothing() -> Iterator[None]:
    yield
    does.clear()


def _do(place: str) -> None:
    if place in does:
        does[place]()


def greet(parcel: Parcel, event: Event) -> Actions[Parcel]:
    yield Announce(type(event).__name__)
    return parcel.replace(log=(*parcel.log, "greet"))


def is_light(parcel: Parcel, event: Send) -> bool:
    _do("guard")
    return parcel.weight < 10


def weigh(parcel: Parcel, event: Weigh) -> Parcel:
    _do("action")
    return parcel.replace(weight=event.weight)


def send_off(parcel: Parcel, event: Event) -> Actions[Parcel]:
    yield Announce("off")
    _do("generator")
    return parcel.replace(log=(*parcel.log, "off"))


def stamp(parcel: Parcel, event: Stamp, meta: Meta) -> Parcel:
    log = (f"{meta.now}", f"{meta.entity}", f"{meta.record_id}", f"{meta.actor}", ",".join(sorted(meta.active)))
    return parcel.replace(log=log, drawn=(meta.random.random(), meta.random.random()))


class ParcelLifecycle(Lifecycle[Parcel]):
    @nested(initial=True, entry=greet)
    class packing(Parallel):
        class box(Composite):
            loose = State(initial=True)
            closed = State()
            weigh = on(Weigh, loose.to(closed, do=weigh), closed.stay(do=weigh))

        class label(Composite):
            blank = State(initial=True)
            stamped = State()
            stamp = on(Stamp, (blank | stamped).to(stamped), do=stamp)

    travelling = State(entry=send_off)
    arrived = Final()

    send = on(Send, packing.to(travelling), when=is_light, already=travelling)
    arrive = on(Arrive, travelling.to(arrived))
    age = after(timedelta(days=1), packing.to(arrived))


class Other(Lifecycle[Parcel]):
    packing = State(initial=True)
    arrived = Final()
    send = on(Send, packing.to(arrived))


class OtherContext(Context):
    pass


def parcel(kind: Kind, listener: Listener[Parcel] | None = None) -> Driver[Parcel]:
    return Driver.start(kind, ParcelLifecycle, Parcel(), [listener] if listener else [])


# Start, send, ask.


@every_kind
def test_the_start_is_a_step_that_one_can_ask_for(kind: Kind) -> None:
    begun = parcel(kind).machine.started
    assert begun is not None
    assert begun.effects == (Announce(Started.__name__),)
    assert begun.timers_set == (TimerSet("age@packing", timedelta(days=1)),)
    assert begun.snapshot == start(chart_of(ParcelLifecycle), Parcel()).snapshot
    quiet = Driver.start(kind, TallyLifecycle, Tally()).machine.started
    assert quiet == start(chart_of(TallyLifecycle), Tally())


@every_kind
def test_the_start_stays_what_it_was_when_the_machine_has_moved(kind: Kind) -> None:
    with Driver.start(kind, TallyLifecycle, Tally((7, 8))) as driver:
        driver.send(Add(1))
        begun = driver.machine.started
        assert begun is not None
        assert (begun.state, begun.snapshot.context) == ("even", Tally((7, 8)))


@every_kind
def test_handlers_of_the_start_get_the_meta_of_the_start(kind: Kind) -> None:
    seen: list[str | None] = []

    def look(context: Tally, event: Event, meta: Meta) -> Tally:
        seen.append(meta.actor)
        return context

    class Looks(Lifecycle[Tally]):
        a = State(initial=True, entry=look)
        b = Final()
        go = on(Close, a.to(b))

    kind(Looks, Tally(), meta=Meta(actor="user:1"))
    assert seen == ["user:1"]


@every_kind
def test_a_start_with_a_wrong_context_or_a_raising_entry_makes_no_machine(kind: Kind) -> None:
    with pytest.raises(SnapshotInvalid, match="the context is OtherContext, and the lifecycle's is Parcel"):
        kind(ParcelLifecycle, OtherContext())

    def fails(context: Tally, event: Event) -> Tally:
        raise LookupError

    class Broken(Lifecycle[Tally]):
        a = State(initial=True, entry=fails)
        b = Final()
        go = on(Close, a.to(b))

    with pytest.raises(ActionFailed, match=r"Broken in a, handling Started: .*fails raised LookupError"):
        kind(Broken, Tally())


@every_kind
def test_send_gives_the_step_and_moves_the_machine(kind: Kind) -> None:
    with parcel(kind) as driver:
        machine = driver.machine
        step = driver.send(Weigh(5))
        assert step.outcome == "applied"
        assert step.snapshot is machine.snapshot()
        assert machine.state == step.state == "packing.box.closed|packing.label.blank"
        assert machine.context == Parcel(weight=5, log=("greet",))
        assert driver.send(Send()).timers_cancelled == ("age@packing",)
        assert driver.send(Send()).outcome == "already_done"
        assert not machine.is_finished
        driver.send(Arrive())
        assert machine.is_finished
        assert machine.chart is chart_of(ParcelLifecycle)


@every_kind
def test_what_does_not_apply_is_refused_by_value_or_by_raising_and_changes_nothing(kind: Kind) -> None:
    with parcel(kind) as driver:
        driver.send(Weigh(50))
        before = driver.machine.snapshot()
        state = "packing.box.closed|packing.label.blank"
        for event, reason in ((Send(), "guarded"), (Arrive(), "illegal"), (Lose(), "unknown")):
            refusal = Refusal(reason, "Parcel", state, type(event).__name__)  # type: ignore[arg-type]
            assert driver.attempt(event) == refusal
            with pytest.raises(Refused) as caught:
                driver.send(event)
            assert caught.value.refusal == refusal
            assert driver.machine.snapshot() is before
        driver.send(Elapsed("age@packing"))
        finished = Refusal("finished", "Parcel", "arrived", "Send")
        assert driver.attempt(Send()) == finished
        assert driver.machine.state == "arrived"


@every_kind
def test_can_and_why_ask_without_moving(kind: Kind) -> None:
    machine = parcel(kind).machine
    before = machine.snapshot()
    assert machine.can(Send())
    assert machine.can(Weigh(50))
    assert not machine.can(Arrive())
    assert not machine.can(Lose())
    assert machine.why(Send()).is_accepted
    refused = machine.why(Arrive())
    assert (refused.outcome, refused.elsewhere) == ("illegal", ("travelling",))
    assert machine.snapshot() is before


@every_kind
def test_can_raises_what_a_guard_raises_and_why_tells_it(kind: Kind) -> None:
    machine = parcel(kind).machine
    does["guard"] = lambda: 1 // 0
    with pytest.raises(ActionFailed, match=r"is_light raised ZeroDivisionError"):
        machine.can(Send())
    assert machine.why(Send()).outcome == "failed"


@every_kind
def test_is_in_takes_an_attribute_a_nested_class_or_a_path(kind: Kind) -> None:
    with parcel(kind) as driver:
        machine = driver.machine
        assert machine.is_in(ParcelLifecycle.packing)
        assert machine.is_in(ParcelLifecycle.packing.box)
        assert machine.is_in(ParcelLifecycle.packing.box.loose)
        assert machine.is_in("packing.label.blank")
        assert not machine.is_in(ParcelLifecycle.packing.label.stamped)
        assert not machine.is_in(ParcelLifecycle.travelling)
        driver.send(Send())
        assert machine.is_in(ParcelLifecycle.travelling)
        assert not machine.is_in(ParcelLifecycle.packing)
        assert not machine.is_in("packing.label.blank")


@every_kind
def test_is_in_knows_no_state_of_another_lifecycle(kind: Kind) -> None:
    machine = parcel(kind).machine
    with pytest.raises(KeyError, match="no state 'nowhere'; it has arrived, packing"):
        machine.is_in("nowhere")
    with pytest.raises(KeyError, match="is no state of Parcel version 1"):
        machine.is_in(Other.packing)
    with pytest.raises(KeyError, match="is no state of Parcel version 1"):
        machine.is_in(int)


@every_kind
def test_a_chart_does_as_well_as_a_lifecycle(kind: Kind) -> None:
    rows = [("even", Add, "odd"), ("odd", Add, "even"), ("even", Close, "end")]
    chart: Chart[Tally] = Chart.from_table(rows, kind="Flip", context=Tally, initial="even", final=("end",))
    with Driver.start(kind, chart, Tally()) as driver:
        driver.send(Add(1))
        assert driver.machine.state == "odd"
        assert driver.machine.is_in("odd")


@every_kind
def test_a_machine_says_what_it_is(kind: Kind) -> None:
    assert repr(parcel(kind).machine) == f"<{kind.__name__} Parcel packing.box.loose|packing.label.blank>"


# Snapshots.


@every_kind
def test_a_restored_machine_goes_on_without_entering_anything_again(kind: Kind) -> None:
    with parcel(kind) as driver:
        driver.send(Weigh(3))
        snapshot = driver.machine.snapshot()
    restored = kind.restore(ParcelLifecycle, snapshot)
    assert type(restored) is kind
    assert restored.snapshot() is snapshot
    with pytest.raises(LookupError, match="restored from a snapshot"):
        _ = restored.started
    assert restored.context.log == ("greet",)
    with Driver(restored) as driver:
        assert driver.send(Send()).state == "travelling"
        assert driver.machine.context.log == ("greet", "off")
    assert snapshot.state == "packing.box.closed|packing.label.blank"


@every_kind
def test_a_restored_machine_has_listeners_and_takes_a_chart(kind: Kind) -> None:
    told: list[Step[Parcel]] = []
    snapshot = parcel(kind).machine.snapshot()
    restored = kind.restore(chart_of(ParcelLifecycle), pickle.loads(pickle.dumps(snapshot)), listeners=[told.append])
    with Driver(restored) as driver:
        assert told == []
        step = driver.send(Send())
        assert told == [step]


@every_kind
def test_what_belongs_to_another_chart_or_context_is_not_restored(kind: Kind) -> None:
    other = kind(Other, Parcel()).snapshot()
    with pytest.raises(SnapshotInvalid, match=r"Parcel in packing: this position belongs to <Chart Other version 1"):
        kind.restore(ParcelLifecycle, other)

    class Next(ParcelLifecycle, name="Parcel"):
        version = 2
        lost = Final()
        lose = on(Lose, ParcelLifecycle.travelling.to(lost))

    with pytest.raises(SnapshotInvalid, match="this position belongs to <Chart Parcel version 2"):
        kind.restore(ParcelLifecycle, kind(Next, Parcel()).snapshot())
    position = kind(ParcelLifecycle, Parcel()).snapshot().position
    with pytest.raises(SnapshotInvalid, match="the context is OtherContext, and the lifecycle's is Parcel"):
        kind.restore(ParcelLifecycle, Snapshot(position, OtherContext()))


def test_any_machine_goes_on_from_the_snapshot_of_any_other() -> None:
    snapshot: Snapshot[Tally] = Machine(TallyLifecycle, Tally()).snapshot()
    for number, kind in enumerate(KINDS * 2):
        with Driver(kind.restore(TallyLifecycle, snapshot)) as driver:
            driver.send(Add(number))
            snapshot = pickle.loads(pickle.dumps(driver.machine.snapshot()))
    assert snapshot.context.ids == tuple(range(8))
    assert snapshot.state == "even"


# Listeners.


@every_kind
def test_listeners_see_each_applied_step_in_order_after_it_holds(kind: Kind) -> None:
    told: list[Step[Tally]] = []
    states: list[str] = []
    with Driver.start(kind, TallyLifecycle, Tally(), [told.append]) as driver:
        machine = driver.machine
        machine.listen(lambda step: states.append(machine.state))
        steps = [driver.send(Add(number)) for number in range(5)]
        driver.attempt(Elapsed("none"))
        with pytest.raises(Refused):
            driver.send(Lose())
    assert len(told) == 5
    assert all(one is other for one, other in zip(told, steps, strict=True))
    assert states == ["odd", "even", "odd", "even", "odd"]


@every_kind
def test_listeners_are_told_of_a_step_without_change(kind: Kind) -> None:
    told: list[str] = []
    with parcel(kind, lambda step: told.append(step.outcome)) as driver:
        driver.send(Send())
        driver.send(Send())
    assert told == ["applied", "already_done"]


@every_kind
def test_a_raising_listener_changes_nothing_is_logged_and_the_others_are_told(
    kind: Kind, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[str] = []

    def fails(step: Step[Tally]) -> None:
        raise LookupError("nobody home")

    with Driver.start(kind, TallyLifecycle, Tally(), [fails, lambda step: told.append(step.state)]) as driver:
        assert driver.send(Add(1)).state == "odd"
        assert driver.send(Add(2)).state == "even"
    assert told == ["odd", "even"]
    assert [(each.name, each.levelno) for each in caplog.records] == [("stateward.machine", logging.ERROR)] * 2
    record = caplog.records[0]
    assert "Tally: the listener" in record.getMessage()
    assert "fails" in record.getMessage()
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], LookupError)


@every_kind
def test_who_stops_listening_is_not_told_any_more(kind: Kind) -> None:
    one: list[str] = []
    other: list[str] = []
    with Driver.start(kind, TallyLifecycle, Tally()) as driver:
        end = driver.machine.listen(lambda step: one.append(step.state))
        driver.machine.listen(lambda step: other.append(step.state))
        driver.send(Add(1))
        end()
        driver.send(Add(2))
        end()
        driver.send(Add(3))
    assert one == ["odd"]
    assert other == ["odd", "even", "odd"]


@every_kind
def test_who_listens_twice_is_told_twice_and_each_can_end(kind: Kind) -> None:
    told: list[str] = []

    def listener(step: Step[Tally]) -> None:
        told.append(step.state)

    with Driver.start(kind, TallyLifecycle, Tally(), [listener]) as driver:
        end = driver.machine.listen(listener)
        driver.send(Add(1))
        end()
        end()
        driver.send(Add(2))
    assert told == ["odd", "odd", "even"]


@every_kind
def test_listening_and_ending_within_a_notification_hold_from_the_next_step(kind: Kind) -> None:
    told: list[str] = []
    ends: list[Callable[[], None]] = []
    with Driver.start(kind, TallyLifecycle, Tally()) as driver:
        machine = driver.machine

        def changes_who_listens(step: Step[Tally]) -> None:
            told.append(f"first {step.state}")
            for end in ends:
                end()
            ends.clear()
            if step.state == "odd":
                machine.listen(lambda later: told.append(f"third {later.state}"))

        ends.append(machine.listen(changes_who_listens))
        ends.append(machine.listen(lambda step: told.append(f"second {step.state}")))
        driver.send(Add(1))
        driver.send(Add(2))
    assert told == ["first odd", "second odd", "third even"]


# Sending from inside.


def sends_within(machine: Any, event: Event) -> None:
    """Each way in which code that a machine runs could send to it; each is refused."""
    if isinstance(machine, ChannelMachine):
        ways: list[Callable[[], object]] = [
            lambda: machine.send_from_thread(event),
            lambda: _by_hand(machine.send(event)),
            lambda: _by_hand(machine.attempt(event)),
            lambda: _by_hand(machine.put(event)),
        ]
    else:
        ways = [lambda: machine.send(event), lambda: machine.attempt(event)]
    for way in ways:
        with pytest.raises(MachineBusy) as caught:
            way()
        assert (caught.value.lifecycle, caught.value.event) == ("Parcel", type(event).__name__)


def _by_hand(coroutine: Any) -> None:
    try:
        coroutine.send(None)
    finally:
        coroutine.close()


EVENTS: dict[str, Event] = {"guard": Send(), "action": Weigh(2), "generator": Send()}


@every_kind
@pytest.mark.parametrize("place", list(EVENTS))
def test_sending_from_within_a_handler_is_refused_and_harms_nothing(kind: Kind, place: str) -> None:
    with parcel(kind) as driver:
        machine = driver.machine
        tried: list[str] = []

        def sends() -> None:
            tried.append(machine.state)
            sends_within(machine, Stamp())
            assert machine.can(Stamp())  # reading is allowed anywhere

        does[place] = sends
        before = machine.state
        expected = {"action": "packing.box.closed|packing.label.blank"}.get(place, "travelling")
        assert driver.send(EVENTS[place]).state == expected
        assert tried == [before] * len(tried)
        assert tried
        does.clear()
        assert driver.attempt(Arrive() if expected == "travelling" else Send()) is not None
        assert driver.machine.state in ("arrived", "travelling")


@every_kind
@pytest.mark.parametrize("place", list(EVENTS))
def test_a_handler_that_lets_the_refusal_through_fails_and_the_machine_goes_on(kind: Kind, place: str) -> None:
    with parcel(kind) as driver:
        machine = driver.machine

        def sends() -> None:
            if isinstance(machine, ChannelMachine):
                machine.send_from_thread(Stamp())
            else:
                machine.send(Stamp())

        does[place] = sends
        before = machine.snapshot()
        with pytest.raises(ActionFailed, match="raised MachineBusy") as caught:
            driver.send(EVENTS[place])
        assert isinstance(caught.value.__cause__, MachineBusy)
        assert machine.snapshot() is before
        does.clear()
        assert driver.send(EVENTS[place]).outcome == "applied"


@every_kind
def test_sending_from_within_a_listener_is_refused_and_harms_nothing(
    kind: Kind, caplog: pytest.LogCaptureFixture
) -> None:
    with parcel(kind) as driver:
        machine = driver.machine
        told: list[str] = []

        def sends(step: Step[Parcel]) -> None:
            told.append(machine.state)
            sends_within(machine, Stamp())
            sends_within(machine, Lose())

        machine.listen(sends)
        driver.send(Weigh(2))
        driver.send(Send())
        assert told == ["packing.box.closed|packing.label.blank", "travelling"]
    assert caplog.records == []


@every_kind
def test_a_machine_may_send_to_another_of_its_kind_from_a_listener(kind: Kind) -> None:
    with parcel(kind) as first:
        second = Machine(TallyLifecycle, Tally())
        first.machine.listen(lambda step: second.send(Add(len(step.effects))))
        first.send(Weigh(2))
        first.send(Send())
        assert second.context.ids == (0, 1)


@every_kind
def test_even_what_is_no_event_gets_a_clear_answer_from_within(kind: Kind) -> None:
    answers: list[BaseException] = []
    with parcel(kind) as driver:
        machine: Any = driver.machine
        send = machine.send_from_thread if kind is ChannelMachine else machine.send

        def sends(step: Step[Parcel]) -> None:
            try:
                send("noon")
            except Exception as error:
                answers.append(error)

        machine.listen(sends)
        driver.send(Weigh(2))
    assert [type(each) for each in answers] == [TypeError if kind is ChannelMachine else MachineBusy]
    assert "'noon'" in str(answers[0])


# What is no event.


@every_kind
@pytest.mark.parametrize("nothing", [None, "Send", 5, [], Send, Parcel()], ids=repr)
def test_what_is_no_event_is_a_type_error_and_changes_nothing(kind: Kind, nothing: Any) -> None:
    with parcel(kind) as driver:
        before = driver.machine.snapshot()
        for ask in (driver.send, driver.attempt, driver.machine.can):
            with pytest.raises(TypeError, match="is no event: send an instance of an Event class"):
                ask(nothing)
        assert driver.machine.snapshot() is before
        assert driver.send(Send()).outcome == "applied"


# Meta.


@every_kind
def test_meta_reaches_the_handler_and_its_randomness_can_be_repeated(kind: Kind) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    meta = Meta(now=now, entity="p-1", record_id="r-1", actor="user:9")
    drawn: list[tuple[float, ...]] = []
    for given in (meta, meta, Meta(record_id="r-2")):
        with parcel(kind) as driver:
            driver.send(Stamp(), given)
            drawn.append(driver.machine.context.drawn)
            if given is meta:
                active = "packing,packing.box,packing.box.loose,packing.label"
                assert driver.machine.context.log == (str(now), "p-1", "r-1", "user:9", active)
    assert len(set(drawn[0])) == 2
    assert drawn[0] == drawn[1] != drawn[2]


@every_kind
def test_randomness_without_a_record_id_is_told(kind: Kind) -> None:
    with parcel(kind) as driver:
        with pytest.raises(ActionFailed, match=r"needs a record id to be seeded by: send with meta=Meta"):
            driver.send(Stamp())
        assert driver.machine.is_in("packing.label.blank")


# Copies and pickles.


def test_snapshots_positions_steps_and_refusals_survive_pickling_and_copying() -> None:
    machine = Machine(ParcelLifecycle, Parcel())
    step = machine.send(Weigh(4))
    refusal = machine.attempt(Arrive())
    explanation = machine.why(Send())
    values = [machine.snapshot(), machine.snapshot().position, step, refusal, machine.started, explanation]
    for value in values:
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
            assert pickle.loads(pickle.dumps(value, protocol)) == value
        assert copy.deepcopy(value) == value
        assert copy.copy(value) == value
    again = pickle.loads(pickle.dumps(machine.snapshot()))
    assert again.position.chart is chart_of(ParcelLifecycle)
    assert again.state == machine.state


def test_a_deep_copy_of_a_snapshot_goes_its_own_way() -> None:
    machine = Machine(ParcelLifecycle, Parcel())
    copied = copy.deepcopy(machine.snapshot())
    assert copied.position is machine.snapshot().position
    other = Machine.restore(ParcelLifecycle, copied)
    other.send(Send())
    assert machine.state == "packing.box.loose|packing.label.blank"
    assert other.state == "travelling"


def error_samples() -> list[StatewardError]:
    refusal = Refusal("illegal", "Order", "paid", "Pay")
    return [
        StatewardError("plain"),
        stateward.errors.CallerError("plain"),
        WorldError("plain"),
        LedgerUnavailable("the ledger is away", record="r1", is_outcome_unknown=True),
        stateward.errors.LedgerOutdated(found=1, wanted=2),
        stateward.errors.LedgerCorrupt("its row can't be read", lifecycle="Order", entity="A-17"),
        stateward.errors.LeaseLost(worker="w1"),
        stateward.errors.EffectFailed("its handler returned 7", effect="Charge", key="r1:0"),
        stateward.errors.Unkeepable("the id is empty"),
        stateward.errors.Unjoinable("no transaction is open"),
        stateward.errors.CursorInvalid("7-x", "it is no cursor"),
        stateward.errors.ImportStopped("is no time", path="log.csv", line=3),
        stateward.errors.ArchiveRefused("2026-03 is not over"),
        stateward.errors.ArchiveFailed("can't be read", path="record-2026-03.jsonl.gz"),
        stateward.errors.MapInvalid("names no column"),
        stateward.errors.VersionUnknown(lifecycle="Order", entity="A-17", version=3, known=(1, 2)),
        DefinitionError("is wrong", lifecycle="Order", subject="paid", origin="order.py:3"),
        Refused(refusal),
        ActionFailed(lifecycle="Order", state="paid", event="Pay", function="charge", problem="raised ValueError()"),
        EndlessLoop(lifecycle="Order", state="paid", event="Pay", cycle=("a:x", "b:y"), limit=1000),
        stateward.errors.DocumentInvalid("is no element", document="order.scxml", line=3, element="stat"),
        stateward.errors.EvaluationError("x is not declared"),
        stateward.errors.ExtraMissing(package="defusedxml", extra="scxml"),
        SnapshotInvalid("does not fit", lifecycle="Order", state="paid"),
        MachineBusy(lifecycle="Order", event="Pay"),
        SentWithin(lifecycle="Order", entity="A-17", event="Pay"),
        MachineStopped(lifecycle="Order", event="Pay"),
        UnknownEntity(lifecycle="Order", entity="A-17"),
        Conflict("is taken", lifecycle="Order", entity="A-17"),
    ]


def test_every_error_has_a_sample_here() -> None:
    errors = {each for _, each in inspect.getmembers(stateward.errors, inspect.isclass)}
    assert {type(each) for each in error_samples()} == {each for each in errors if issubclass(each, StatewardError)}


@pytest.mark.parametrize("error", error_samples(), ids=lambda error: type(error).__name__)
def test_every_error_survives_pickling_and_copying(error: StatewardError) -> None:
    error.add_note("seen")
    copies = [pickle.loads(pickle.dumps(error, protocol)) for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)]
    for each in (*copies, copy.copy(error), copy.deepcopy(error)):
        assert type(each) is type(error)
        assert str(each) == str(error) != ""
        assert (each.args, vars(each)) == (error.args, vars(error))
        assert each.__notes__ == ["seen"]


def test_an_error_that_a_machine_raised_survives_pickling() -> None:
    machine = MutexMachine(ParcelLifecycle, Parcel())
    does["action"] = lambda: 1 // 0
    with pytest.raises(ActionFailed) as caught:
        machine.send(Weigh(1))
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.function, again.state) == ("weigh", "packing.box.loose|packing.label.blank")
    warning = pickle.loads(pickle.dumps(DefinitionWarning("no end")))
    assert str(warning) == "no end"


# Endless loops, and positions from text.


@every_kind
@pytest.mark.filterwarnings("ignore::stateward.DefinitionWarning")
def test_an_endless_loop_changes_nothing_and_the_machine_goes_on(kind: Kind) -> None:
    class Spins(Lifecycle[Tally]):
        still = State(initial=True)
        left = State()
        right = State()
        end = Final()
        go = on(Add, still.to(left))
        there = always(left.to(right))
        back = always(right.to(left))
        close = on(Close, still.to(end))

    with Driver.start(kind, Spins, Tally()) as driver:
        with pytest.raises(EndlessLoop, match=r"there:left -> back:right|back:right -> there:left"):
            driver.send(Add(1))
        assert driver.machine.state == "still"
        assert driver.send(Close()).state == "end"


@every_kind
def test_a_machine_restores_from_the_text_that_a_ledger_kept(kind: Kind) -> None:
    position = position_of(chart_of(ParcelLifecycle), "packing.box.closed|packing.label.stamped")
    with Driver(kind.restore(ParcelLifecycle, Snapshot(position, Parcel(weight=2)))) as driver:
        assert driver.send(Send()).state == "travelling"


def test_the_machines_differ_in_nothing_else_that_a_caller_reads() -> None:
    common = {name for name in dir(Machine) if not name.startswith("_")}
    for kind in (MutexMachine, SwapMachine):
        assert {name for name in dir(kind) if not name.startswith("_")} == common
    assert {name for name in dir(ChannelMachine) if not name.startswith("_")} == common | {
        "put",
        "send_from_thread",
        "statistics",
        "stop",
    }
