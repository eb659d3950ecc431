"""The beginning and the end of an instance: initial actions of the whole, and leaving it for good."""

from __future__ import annotations

from datetime import timedelta

import pytest

from stateward import ActionFailed, Actions, Chart, Event, Handler, Microstep, start
from stateward.chart import EventTrigger, StateKind, TimerTrigger
from stateward.chart.build import build
from stateward.chart.draft import ChartDraft, StateDraft, TransitionDraft
from stateward.kernel.step import leave
from tests.kernel.logbook import A, B, C, Log, Note, raises, says, shows_active


def note_bye(context: Log, event: Event) -> Actions[Log]:
    yield Note("bye")
    return context


def _lamp() -> Chart[Log]:
    """Two levels, with an initial action of the whole, and a word on every way in and out."""
    root = StateDraft(path="", kind=StateKind.COMPOSITE, initial=("on",))
    root.initial_actions = (Handler("first", raises(B(), "first")), Handler("then", says("then")))
    on_state = StateDraft(path="on", kind=StateKind.COMPOSITE, initial=("on.bright",))
    bright = StateDraft(path="on.bright", kind=StateKind.ATOMIC)
    for state in (on_state, bright):
        state.entry = (Handler(f"in {state.name}", says(f"in {state.name}")),)
        state.exit = (Handler(f"out {state.name}", shows_active(f"out {state.name}"), wants_meta=True),)
    bright.exit = (*bright.exit, Handler("last", raises(C())), Handler("note", note_bye))
    on_state.children = [bright]
    root.children = [on_state, StateDraft(path="off", kind=StateKind.FINAL)]
    dim = TransitionDraft("dim", "on", ("off",), TimerTrigger("dim@on", timedelta(hours=1)))
    stay = TransitionDraft("stay", "on", (), EventTrigger(B), actions=(Handler("stay", says("took B")),))
    return build(ChartDraft("Lamp", 1, Log, root, [dim, stay]))


def test_initial_actions_of_the_whole_run_before_anything_is_entered() -> None:
    first = start(_lamp(), Log())
    assert first.snapshot.context.log == ("first", "then", "in on", "in bright", "took B")
    assert first.microsteps[0].entered == ("on", "on.bright")


def test_initial_actions_of_the_whole_stand_in_its_document() -> None:
    chart = _lamp()
    document = chart.to_document()
    assert document["initial_actions"] == ["first", "then"]
    again = Chart.from_document(document, context=Log, events={"B": B}, handlers=chart.handlers)
    assert again.digest == chart.digest
    changed = {**document, "initial_actions": ["then"]}
    assert Chart.from_document(changed, context=Log, events={"B": B}, handlers=chart.handlers).digest != chart.digest


def test_leaving_for_good_runs_exit_handlers_from_the_innermost_out() -> None:
    chart = _lamp()
    snapshot = start(chart, Log()).snapshot
    last = leave(snapshot, A())
    assert last.snapshot.context.log[-2:] == ("out bright:on,on.bright", "out on:on")
    assert last.snapshot.position is snapshot.position
    assert last.microsteps == (Microstep(exited=("on.bright", "on"), transitions=(), entered=()),)
    assert last.timers_cancelled == ("dim@on",)
    assert last.effects == (Note("bye"),)
    assert last.unhandled == (C(),)


def test_a_handler_that_fails_while_leaving_fails_the_step() -> None:
    def fails(context: Log, event: Event) -> Log:
        raise ValueError(event)

    chart = _lamp()
    bad = chart.state("on.bright").exit[0]
    bad.call = fails
    bad.wants_meta = False
    with pytest.raises(ActionFailed, match="handling A: out bright raised ValueError"):
        leave(start(chart, Log()).snapshot, A())
