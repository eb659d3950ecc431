"""What the body of a saga may hold beside its stages, how its states are named, and how it is used as a lifecycle."""

from __future__ import annotations

import pickle
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from stateward import (
    Composite,
    Context,
    DefinitionError,
    Event,
    Final,
    Lifecycle,
    Machine,
    Refused,
    Saga,
    Stage,
    State,
    Undo,
    UndoneByHand,
    chart_of,
    nested,
    on,
    reply,
    undo_on,
)
from stateward.chart.lint import lint
from stateward.engine import Engine
from tests.sagas.making import Ask, AskUndo, Cancel, Trip, asking, event_of

HOUR = timedelta(hours=1)
done_0, done_1 = event_of("done", 0), event_of("done", 1)
failed_0, failed_1 = event_of("failed", 0), event_of("failed", 1)
undone_0, not_undone_0 = event_of("undone", 0), event_of("not_undone", 0)


class Begin(Event):
    pass


class Close(Event):
    pass


class Urgent(Cancel):
    pass


def note(trip: Trip, event: Event) -> Trip:
    return trip.replace(kept=trip.kept | {9})


def note_cancel(trip: Trip, event: Cancel) -> Trip:
    return trip.replace(kept=trip.kept | {8})


def is_urgent(trip: Trip, event: Cancel) -> bool:
    return isinstance(event, Urgent)


class Wide(Saga[Trip]):
    """A saga amid a longer life."""

    version = 3

    drafted = State(initial=True)
    charging = State(sla=HOUR, entry=note)

    a = Stage(
        (asking(Ask(0), "ask_0"), asking(Ask(10), "ask_more")),
        done=(done_0, reply(Begin, do=note)),
        failed=failed_0,
        awaiting=charging,
        undo=Undo(
            asking(AskUndo(0), "ask_undo_0"),
            done=undone_0,
            failed=not_undone_0,
            undoing=State(name="giving_back"),
            not_undone=State(name="kept_by_mistake", sla=HOUR),
        ),
    )
    b = Stage(asking(Ask(1), "ask_1"), done=done_1, failed=failed_1)

    completed = State(name="travelling")
    undone = State(name="at_home")
    closed = Final()

    begin = on(Begin, drafted.to(a.awaiting))
    cancel = undo_on(Cancel, when=is_urgent, do=note_cancel)
    drop = on(Cancel, drafted.to(closed))
    close = on(Close, (completed | undone).to(closed))


def test_a_saga_may_stand_amid_a_longer_life_and_its_states_have_the_names_that_they_are_given() -> None:
    chart = chart_of(Wide)
    assert (chart.kind, chart.version, chart.description) == ("Wide", 3, "A saga amid a longer life.")
    assert [state.path for state in chart.states[1:]] == [
        "drafted", "charging", "travelling", "at_home", "closed", "awaiting_b", "giving_back", "kept_by_mistake",
    ]  # fmt: skip
    assert chart.path_of(Wide.a.awaiting) == chart.path_of(Wide.charging) == "charging"
    assert chart.path_of(Wide.a.undoing) == "giving_back"
    assert chart.state("kept_by_mistake").sla == HOUR
    assert lint(chart) == []
    machine = Machine(Wide, Trip())
    assert machine.state == "drafted"
    begun = machine.send(Begin())
    assert begun.effects == (Ask(0), Ask(10))
    assert machine.context.kept == {9}  # its own entry action, behind the asking
    machine.send(done_0())
    machine.send(done_1())
    assert machine.state == "travelling"
    machine.send(Close())
    assert machine.state == "closed"


def test_several_events_may_say_that_a_stage_is_done() -> None:
    """Each with its own action; late, what has none is already done."""
    assert [each.id for each in chart_of(Wide).transitions if each.name.startswith("a_done")] == [
        "a_done:charging",
        "a_done_2:charging",
        "a_done_2:giving_back",
        "a_done_2:kept_by_mistake",
    ]


def test_who_may_cancel_can_be_guarded_and_what_they_said_kept() -> None:
    machine = Machine(Wide, Trip())
    machine.send(Begin())
    with pytest.raises(Refused, match="guard"):
        machine.send(Cancel())
    machine.send(Urgent())
    assert machine.state == "giving_back"
    assert 8 in machine.context.kept
    assert machine.send(Cancel()).outcome == "already_done"


def test_what_people_say_of_another_stage_is_refused() -> None:
    machine = Machine(Wide, Trip())
    machine.send(Begin())
    machine.send(Urgent())
    machine.send(not_undone_0())
    with pytest.raises(Refused) as refused:
        machine.send(UndoneByHand(stage="b", reason="by cheque"))
    assert refused.value.kind == "guarded"
    assert "is_about_a said no (event.stage = 'b')" in str(machine.why(UndoneByHand(stage="b", reason="by cheque")))
    machine.send(UndoneByHand(stage="a", reason="by cheque"))
    assert machine.state == "at_home"


class Further(Wide):
    held = State()
    hold = on(Close, Wide.b.awaiting.to(held), held.to(Wide.undone))


def test_a_saga_is_extended_as_any_lifecycle_is() -> None:
    machine = Machine(Further, Trip())
    for event in (Begin(), done_0(), Close()):
        machine.send(event)
    assert machine.state == "held"
    assert pickle.loads(pickle.dumps(chart_of(Further))) == chart_of(Further)
    assert issubclass(Further, Lifecycle)


def test_a_saga_may_be_generic_in_its_context() -> None:
    from typing import TypeVar

    from stateward import ContextMarker

    C = TypeVar("C", bound=ContextMarker)

    class Plain(Context):
        pass

    def quiet(context: ContextMarker, event: Event) -> ContextMarker:
        return context

    class Base(Saga[C]):
        a = Stage(quiet, done=done_0)

    class Made(Base[Plain]):
        pass

    with pytest.raises(DefinitionError, match="has no chart"):
        chart_of(Base)
    assert Machine(Made, Plain()).state == "awaiting_a"


def test_a_saga_may_begin_behind_a_state_with_states_of_its_own() -> None:
    class Later(Saga[Trip]):
        @nested(initial=True)
        class before(Composite):
            drafted = State(initial=True)

        a = Stage(asking(Ask(0), "ask_0"), done=done_0)
        begin = on(Begin, before.to(a.awaiting))

    assert Machine(Later, Trip()).state == "before.drafted"


def test_a_saga_that_can_not_fail_has_no_way_back() -> None:
    class Sure(Saga[Trip]):
        a = Stage(asking(Ask(0), "ask_0"), done=done_0)

    assert [state.path for state in chart_of(Sure).states[1:]] == ["awaiting_a", "completed"]


def test_a_saga_is_kept_on_a_ledger_with_its_effects_and_timers(tmp_path: Path) -> None:
    from examples import shipping as of

    address = f"sqlite:///{tmp_path}/orders.db"
    with Engine(address, lifecycles=[of.OrderShipping]) as engine:
        engine.create(of.OrderShipping, "A-17", of.Order(id="A-17", total=4200), actor="customer:9")
        engine.send(of.OrderShipping, "A-17", of.Paid(payment="p1"), actor="customer:9", key="evt-1")
        engine.send(of.OrderShipping, "A-17", of.SoldOut(item="lamp"), actor="stock:1", key="evt-2")
    with Engine(address, lifecycles=[of.OrderShipping]) as engine:
        assert engine.get(of.OrderShipping, "A-17").state == "undoing_payment"
        engine.send(of.OrderShipping, "A-17", of.RefundRefused(reason="closed account"), actor="bank:1", key="evt-3")
        stuck = engine.get(of.OrderShipping, "A-17")
        assert (stuck.state, stuck.context.payment) == ("payment_not_undone", "p1")
        engine.send(of.OrderShipping, "A-17", UndoneByHand(stage="payment", reason="by cheque"), actor="support:4")
        assert engine.get(of.OrderShipping, "A-17").state == "undone"
        told = [(each.event, each.state_to) for each in engine.history(of.OrderShipping, "A-17")]
    assert told == [
        ("Started", "awaiting_payment"),
        ("Paid", "awaiting_goods"),
        ("SoldOut", "undoing_payment"),
        ("RefundRefused", "payment_not_undone"),
        ("UndoneByHand", "undone"),
    ]


def test_stateward_is_imported_without_its_sagas() -> None:
    code = "import stateward, sys; assert 'stateward.sagas' not in sys.modules; stateward.Saga; stateward.missing_facts"
    subprocess.run([sys.executable, "-c", code], check=True)
    import stateward
    import stateward.sagas

    # Reply is the type behind reply(...), and is looked up in the room itself.
    assert set(stateward.sagas.__all__) - {"Reply"} <= set(stateward.__all__)
