"""Rules that only drafts, documents and odd references can break; the second interpreter's charts found them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from stateward import Composite, Context, DefinitionError, Event, Final, Lifecycle, Parallel, State, on
from stateward.chart.build import build
from stateward.chart.draft import ChartDraft, StateDraft, TransitionDraft
from stateward.chart.nodes import EventTrigger, StateKind, TimerTrigger

pytestmark = pytest.mark.filterwarnings("ignore::stateward.DefinitionWarning")


class Empty(Context):
    pass


class Go(Event):
    pass


def atom(path: str, **options: Any) -> StateDraft:
    return StateDraft(path=path, kind=StateKind.ATOMIC, **options)


def composite(path: str, *children: StateDraft, initial: str) -> StateDraft:
    return StateDraft(path=path, kind=StateKind.COMPOSITE, initial=(initial,), children=list(children))


def history(path: str, *default: str) -> StateDraft:
    return StateDraft(path=path, kind=StateKind.SHALLOW_HISTORY, default=default)


def drafted(*states: StateDraft, transitions: tuple[TransitionDraft, ...] = (), kind: Any = StateKind.COMPOSITE) -> Any:
    initial = (states[0].path,) if kind is StateKind.COMPOSITE else ()
    root = StateDraft(path="", kind=kind, initial=initial, children=list(states))
    return build(ChartDraft("Odd", 1, Empty, root, list(transitions)))


def test_a_history_and_a_state_of_the_same_parallel_are_no_targets_of_one_arc() -> None:
    with pytest.raises(DefinitionError, match="not in different regions"):

        class Odd(Lifecycle[Empty]):
            off = State(initial=True)

            class p(Parallel):
                class r(Composite):
                    a = State(initial=True)
                    b = State()

                class s(Composite):
                    c = State(initial=True)

            end = Final()
            go = on(Go, off.to(p.history(deep=True), p.r.b))


def test_histories_of_different_regions_are_targets_of_one_arc() -> None:
    class Even(Lifecycle[Empty]):
        off = State(initial=True)

        class p(Parallel):
            class r(Composite):
                a = State(initial=True)

            class s(Composite):
                c = State(initial=True)

        end = Final()
        go = on(Go, off.to(p.r.history(), p.s.history()))
        stop = on(Go, p.to(end))

    assert Even.__chart__ is not None


@pytest.mark.parametrize("default", ["c.h", "c.i"])
def test_a_historys_default_does_not_lead_back_to_it(default: str) -> None:
    with pytest.raises(DefinitionError, match="leads back to itself: name a state"):
        drafted(composite("c", atom("c.a"), history("c.h", default), history("c.i", "c.h"), initial="c.a"))


def test_a_historys_default_may_be_another_one() -> None:
    inner = composite("c.d", atom("c.d.x"), history("c.d.h", "c.d.x"), initial="c.d.x")
    assert drafted(composite("c", inner, history("c.h", "c.d.h"), initial="c.d")).state("c.h").default


def test_a_composite_that_starts_in_its_history_needs_a_default_there() -> None:
    with pytest.raises(DefinitionError, match="leads back to itself: name a state"):
        drafted(composite("c", atom("c.a"), history("c.h"), initial="c.h"))


def test_the_top_level_is_neither_source_nor_target_nor_parallel() -> None:
    for arc in (
        TransitionDraft("go", "", ("a",), EventTrigger(Go)),
        TransitionDraft("go", "a", ("",), EventTrigger(Go)),
    ):
        with pytest.raises(DefinitionError, match="no state of this lifecycle"):
            drafted(atom("a"), transitions=(arc,))
    with pytest.raises(DefinitionError, match="the top level is composite"):
        drafted(atom("a"), kind=StateKind.PARALLEL)


def test_a_history_stands_in_a_composite_or_parallel() -> None:
    with pytest.raises(DefinitionError, match="can't hold h"):
        drafted(atom("a", children=[history("a.h", "a.h")]))


def test_a_timer_is_of_one_state_and_of_one_length() -> None:
    def timed(source: str, hours: int) -> TransitionDraft:
        return TransitionDraft("late", source, ("b",), TimerTrigger("late", timedelta(hours=hours)))

    for other in (timed("b", 1), timed("a", 2)):
        with pytest.raises(DefinitionError, match="uses the timer late, which is another one's of a"):
            drafted(atom("a"), atom("b"), transitions=(timed("a", 1), other))
