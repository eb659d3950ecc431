"""What runs beside a state: when its actions run, and what a driver makes of a chart's macrosteps."""

from __future__ import annotations

from typing import Any

import pytest

from stateward.chart import Actions, Chart, Context, Event, Handler, Meta, Raise
from stateward.chart.build import build
from stateward.chart.draft import ChartDraft, StateDraft, TransitionDraft
from stateward.chart.nodes import EventTrigger, InvokeNode, StateKind
from stateward.errors import ActionFailed, EndlessLoop, Refusal
from stateward.kernel import Snapshot, Step, advance, start
from stateward.kernel.step import advance_once, leave, start_once


class Go(Event):
    pass


class Back(Event):
    pass


class Heard(Event):
    pass


class End(Event):
    pass


class Log(Context):
    lines: tuple[str, ...] = ()


def noting(line: str, *raised: Event) -> Handler:
    """An action that notes a line with the states that it saw, and raises events."""

    def note(log: Log, _: Event, meta: Meta) -> Actions[Log]:
        for each in raised:
            yield Raise(each)
        return log.replace(lines=(*log.lines, f"{line}:{','.join(sorted(meta.active))}"))

    return Handler(line, note, wants_meta=True)


def beside(name: str, *raised: Event) -> InvokeNode:
    return InvokeNode(noting(f"start {name}", *raised), noting(f"stop {name}"))


def chart(*transitions: tuple[str, type[Event] | None, str], raised: tuple[Event, ...] = ()) -> Chart[Log]:
    """a, and b with b1 and b2; something runs beside a, b and b1."""
    a = StateDraft("a", StateKind.ATOMIC, invokes=(beside("a"),), exit=(noting("exit a"),))
    b1 = StateDraft("b.b1", StateKind.ATOMIC, invokes=(beside("b1", *raised), beside("b1 too")), entry=(noting("b1"),))
    b = StateDraft("b", StateKind.COMPOSITE, initial=("b.b1",), invokes=(beside("b"),), children=[b1])
    b.children.append(StateDraft("b.b2", StateKind.ATOMIC))
    root = StateDraft("", StateKind.COMPOSITE, initial=("a",), children=[a, b, StateDraft("end", StateKind.FINAL)])
    arcs = [
        TransitionDraft(f"t{n}", source, (target,), None if event is None else EventTrigger(event))
        for n, (source, event, target) in enumerate((*transitions, ("a", End, "end")))
    ]
    return build(ChartDraft("Beside", 1, Log, root, arcs), stacklevel=None)


def lines(step: Step[Log] | Refusal) -> tuple[str, ...]:
    assert isinstance(step, Step)
    return step.snapshot.context.lines


def after(step: Step[Log] | Refusal) -> Snapshot[Log]:
    assert isinstance(step, Step)
    return Snapshot(step.snapshot.position, Log())


def test_it_starts_at_rest_parents_first_and_stops_after_exit_handlers() -> None:
    made = chart(("a", Go, "b"), ("b", Back, "a"))
    first = start(made, Log())
    assert lines(first) == ("start a:a",)
    second = advance(after(first), Go())
    assert lines(second) == (
        "exit a:a", "stop a:a", "b1:b,b.b1", "start b:b,b.b1", "start b1:b,b.b1", "start b1 too:b,b.b1",
    )  # fmt: skip
    third = advance(after(second), Back())
    assert lines(third) == ("stop b1:b,b.b1", "stop b1 too:b,b.b1", "stop b:b", "start a:a")


def test_a_state_that_was_left_again_before_the_rest_neither_starts_nor_stops() -> None:
    made = chart(("a", Go, "b"), ("b.b1", None, "b.b2"))
    assert lines(advance(after(start(made, Log())), Go())) == ("exit a:a", "stop a:a", "b1:b,b.b1", "start b:b,b.b2")
    made = chart(("a", None, "b"))
    assert lines(start(made, Log()))[:1] == ("exit a:a",)
    assert "start a:a" not in lines(start(made, Log()))
    assert "stop a:a" not in lines(start(made, Log()))


def test_a_state_entered_again_starts_anew() -> None:
    made = chart(("a", Go, "a"))
    first = start(made, Log())
    assert lines(advance(after(first), Go())) == ("exit a:a", "stop a:a", "start a:a")


def test_what_a_start_raises_is_handled_in_the_same_macrostep() -> None:
    made = chart(("a", Go, "b"), ("b.b1", Heard, "b.b2"), raised=(Heard(),))
    step = advance(after(start(made, Log())), Go())
    assert isinstance(step, Step)
    assert step.state == "b.b2"
    assert lines(step)[-2:] == ("stop b1:b,b.b1", "stop b1 too:b,b.b1")
    with pytest.raises(EndlessLoop):
        start(chart(("a", None, "b.b1"), ("b.b1", Heard, "b.b1"), raised=(Heard(),)), Log())


def test_leaving_for_good_stops_what_runs() -> None:
    made = chart(("a", Go, "b"))
    first = start(made, Log())
    assert lines(leave(after(first), Go())) == ("exit a:a", "stop a:a")


def test_an_action_that_raises_changes_nothing() -> None:
    def fail(log: Log, _: Event) -> Log:
        message = "no"
        raise ValueError(message)

    broken = InvokeNode(Handler("fail", fail), noting("stop"))
    root = StateDraft("", StateKind.COMPOSITE, initial=("a",))
    root.children = [StateDraft("a", StateKind.ATOMIC), StateDraft("b", StateKind.ATOMIC, invokes=(broken,))]
    arcs = [TransitionDraft("t", "a", ("b",), EventTrigger(Go))]
    made: Chart[Log] = build(ChartDraft("Broken", 1, Log, root, arcs), stacklevel=None)
    with pytest.raises(ActionFailed, match="no"):
        advance(start(made, Log()).snapshot, Go())


def test_the_document_and_the_digest_know_what_runs_beside_a_state() -> None:
    made = chart(("a", Go, "b"))
    state = made.to_document()["states"][0]
    assert state["invokes"] == [{"start": "start a", "stop": "stop a"}]
    again = Chart.from_document(made.to_document(), context=Log, events=made.events, handlers=made.handlers)
    assert again.digest == made.digest
    assert made.invokes
    assert again.invokes


class Twice:
    """A driver that gives each event twice."""

    name = "twice"

    def start(self, chart: Any, context: Any, meta: Any) -> Any:
        return start_once(chart, context, meta)

    def advance(self, snapshot: Any, event: Any, meta: Any) -> Any:
        first = advance_once(snapshot, event, meta)
        return first if isinstance(first, Refusal) else advance_once(first.snapshot, event, meta)


def test_a_driver_puts_macrosteps_together_and_is_in_the_digest() -> None:
    made = chart(("a", Go, "b"), ("b", Go, "a"))
    driven = chart(("a", Go, "b"), ("b", Go, "a"))
    driven.driver = Twice()
    first = start(driven, Log())
    step = advance(first.snapshot, Go())
    assert isinstance(step, Step)
    assert step.state == "a"
    assert isinstance(advance(first.snapshot, Back()), Refusal)
    assert driven.digest != made.digest
