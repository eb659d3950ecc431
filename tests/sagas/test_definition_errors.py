"""Every way of declaring a saga or a gathering wrongly, and what is told: by whom, about what, on which line."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from stateward import (
    Composite,
    DefinitionError,
    Event,
    Fact,
    Final,
    Gather,
    Parallel,
    Patience,
    Saga,
    Stage,
    State,
    Undo,
    on,
    reply,
    undo_on,
)
from tests.chart.breaking import Breaking, Case, Order, Pay, Ship, wrong
from tests.sagas.making import Ask, Cancel, Trip, asking, event_of

breaking = Breaking()
HOUR = timedelta(hours=1)
ask = asking(Ask(0), "ask")
done_0, done_1, done_2 = (event_of("done", i) for i in range(3))
failed_0, failed_1, failed_2 = (event_of("failed", i) for i in range(3))
undone_0, undone_1 = (event_of("undone", i) for i in range(2))
not_undone_0, not_undone_1 = (event_of("not_undone", i) for i in range(2))


def undo_0(**options: Any) -> Undo:
    given: dict[str, Any] = {"done": undone_0, "failed": not_undone_0, **options}
    return Undo(ask, **given)


# Sagas.


@breaking("saga", "has no stages: declare them as Stage(...), or the whole as a Lifecycle")
def no_stages() -> None:
    class Wrong(Saga[Trip]):  # here
        a = State(initial=True)
        end = Final()
        go = on(Pay, a.to(end))


@breaking("cancel", "stands in a body without stages, and would undo nothing")
def undo_on_without_stages() -> None:
    class Base(Saga[Trip]):
        a = Stage(ask, done=done_0)

    class Wrong(Base):
        cancel = undo_on(Cancel)  # here


@breaking(
    "b",
    "is a stage of a saga that extends one with stages of its own, a the first: their order would be open; "
    "declare them all in one body",
)
def stages_in_two_bodies() -> None:
    class Base(Saga[Trip]):
        a = Stage(ask, done=done_0)

    class Wrong(Base):
        b = Stage(ask, done=done_1)  # here


@breaking("b", "is a second pivot beside a: there is one point of no return")
def two_pivots() -> None:
    class Wrong(Saga[Trip]):
        a = Stage(ask, done=done_0, pivot=True)
        b = Stage(ask, done=done_1, pivot=True)  # here


@breaking("a", "has no done=: the event that says that it is done")
def no_done() -> None:
    class Wrong(Saga[Trip]):
        a = Stage(ask, done=())  # here


@breaking("a_done", "14 is no Event class: class Pay(Event)")
def done_by_what_is_no_event() -> None:
    class Wrong(Saga[Trip]):
        a = Stage(ask, done=wrong(14), failed=failed_0)  # here


@breaking("awaiting_a", "14 is no function with a name; an action is a function of its own")
def asked_by_what_is_no_function() -> None:
    class Wrong(Saga[Trip]):
        a = Stage(wrong(14), done=done_0)  # here


def of_order(order: Order, event: Event) -> Order:
    return order


@breaking("awaiting_a", "of_order takes context Order, and would get Trip")
def asked_for_another_context() -> None:
    class Wrong(Saga[Trip]):
        a = Stage(of_order, done=done_0)  # here


def on_ship(trip: Trip, event: Ship) -> Trip:
    return trip


@breaking("a_done", "on_ship takes event Ship, and would get Done0")
def a_reply_with_an_action_for_another() -> None:
    class Wrong(Saga[Trip]):
        a = Stage(ask, done=reply(done_0, do=wrong(on_ship)))  # here


@breaking("a_timeout", "has the delay 0:00:00, which is not positive: use always(...)")
def no_time() -> None:
    class Wrong(Saga[Trip]):
        a = Stage(ask, done=done_0, timeout=timedelta(0))  # here


@breaking("a", "has awaiting='charging', which is no state: State(name=...)")
def a_name_for_a_state() -> None:
    class Wrong(Saga[Trip]):
        a = Stage(ask, done=done_0, awaiting=wrong("charging"))  # here


@breaking("a", "gives paused, which is final, for a state from which it goes on: State()")
def a_final_state_amid() -> None:
    class Wrong(Saga[Trip]):
        a = Stage(ask, done=done_0, awaiting=Final(name="paused"))  # here


@breaking("b", "gives charging in two places: each is a state of its own")
def a_state_for_two() -> None:
    class Wrong(Saga[Trip]):
        charging = State()
        a = Stage(ask, done=done_0, awaiting=charging)
        b = Stage(ask, done=done_1, awaiting=charging)  # here


@breaking("a", "has undo=<class 'stateward.sagas.stages.Undo'>: write undo=Undo(ask, done=..., failed=...)")
def an_undo_that_is_none() -> None:
    class Wrong(Saga[Trip]):
        a = Stage(ask, done=done_0, timeout=HOUR, undo=wrong(Undo))  # here


@breaking("a", "has an undo without done=: the event that says that it is undone")
def an_undo_without_a_reply() -> None:
    class Wrong(Saga[Trip]):
        a = Stage(ask, done=done_0, timeout=HOUR, undo=undo_0(done=()))  # here


@breaking(
    "a",
    "has an undo that can't fail, so that nobody would hear of it: give it failed=, the event behind its dead letter "
    "say, or timeout=",
)
def an_undo_that_can_not_fail() -> None:
    class Wrong(Saga[Trip]):
        a = Stage(ask, done=done_0, timeout=HOUR, undo=undo_0(failed=()))  # here


@breaking("b", "has an undo and stands behind the pivot a, where nothing is undone: take it away, or move the stage")
def an_undo_behind_the_pivot() -> None:
    class Wrong(Saga[Trip]):
        a = Stage(ask, done=done_0, pivot=True)
        b = Stage(ask, done=done_1, timeout=HOUR, undo=undo_0())  # here


@breaking(
    "a",
    "has an undo that nothing asks for: neither it nor a later stage up to the pivot can fail so that it would be "
    "undone",
)
def an_undo_that_nothing_asks_for() -> None:
    class Wrong(Saga[Trip]):
        a = Stage(ask, done=done_0, failed=failed_0, undo=undo_0())  # here
        b = Stage(ask, done=done_1, pivot=True)
        c = Stage(ask, done=done_2, failed=failed_2)


@breaking(
    "a", "has in_doubt= and is never in doubt: a pivot without an undo is, if it has a timeout or may be abandoned"
)
def a_doubt_that_never_is() -> None:
    class Wrong(Saga[Trip]):
        a = Stage(ask, done=done_0, timeout=HOUR, in_doubt=State())  # here


@breaking("a", "has not_done= and never comes there: a stage behind the pivot does, if it can fail or has a timeout")
def a_trouble_that_never_is() -> None:
    class Wrong(Saga[Trip]):
        a = Stage(ask, done=done_0, failed=failed_0, not_done=State())  # here


@breaking(
    "b",
    "takes Done0 for b done, and Done0 stands for a done: one that comes late would be taken for the other; "
    "give each a class",
)
def a_reply_of_two_stages() -> None:
    class Wrong(Saga[Trip]):
        a = Stage(ask, done=done_0)
        b = Stage(ask, done=done_0)  # here


class Special(done_0):  # type: ignore[misc, valid-type] # pyright: ignore
    pass


@breaking(
    "a",
    "takes Special for a failed, and Done0 stands for a done: one that comes late would be taken for the other; "
    "give each a class",
)
def a_reply_that_is_a_kind_of_another() -> None:
    class Wrong(Saga[Trip]):
        a = Stage(ask, done=done_0, failed=Special)  # here


@breaking(
    "cancel",
    "takes Failed0 for cancel, and Failed0 stands for a failed: one that comes late would be taken for the other; "
    "give each a class",
)
def a_cancellation_that_is_a_reply() -> None:
    class Wrong(Saga[Trip]):
        a = Stage(ask, done=done_0, failed=failed_0)
        cancel = undo_on(failed_0)  # here


@breaking("cancel", "a is the pivot and stands first, so there is nothing to undo")
def nothing_to_cancel() -> None:
    class Wrong(Saga[Trip]):
        a = Stage(ask, done=done_0, pivot=True)
        cancel = undo_on(Cancel)  # here


@breaking("a", "makes a state awaiting_a, and the body has that name: give one of them another")
def a_name_that_is_taken() -> None:
    class Wrong(Saga[Trip]):
        awaiting_a = State()
        a = Stage(ask, done=done_0)  # here


@breaking("a", "makes a transition a_done, and the body has that name: give one of them another")
def a_transition_that_is_taken() -> None:
    class Wrong(Saga[Trip]):
        a_done = State()
        a = Stage(ask, done=done_0)  # here


@breaking("a", "the name a is given twice in one body")
def a_stage_twice() -> None:
    class Wrong(Saga[Trip]):
        a = Stage(ask, done=done_0)
        a = Stage(ask, done=done_1)  # noqa: PIE794 # here


def test_an_end_is_a_state() -> None:
    with pytest.raises(DefinitionError, match=r"Wrong completed: is completed; the name stands for the end"):

        class Wrong(Saga[Trip]):
            completed = wrong(Stage(ask, done=done_0))


@breaking("go", "refers to a_in_doubt, which is no state of this lifecycle")
def a_state_that_a_stage_has_not() -> None:
    class Wrong(Saga[Trip]):
        a = Stage(ask, done=done_0)
        go = on(Pay, a.in_doubt.to(a.awaiting))  # here


shared = Stage(ask, done=done_0)


class Sharing(Saga[Trip]):
    a = shared


def test_a_stage_belongs_to_one_saga() -> None:
    with pytest.raises(DefinitionError, match="Wrong a: stands in Sharing already: a stage belongs to one saga"):

        class Wrong(Saga[Trip]):
            a = shared


# Gatherings.


@breaking("gathering", "has no facts: declare them as Fact(...), or the whole as a Lifecycle")
def no_facts() -> None:
    class Wrong(Gather[Trip]):  # here
        patience = Patience(HOUR)


@breaking("patience", "waits for ever: say once how long it waits, patience = Patience(timedelta(days=2))")
def no_patience() -> None:
    class Wrong(Gather[Trip]):  # here
        a = Fact(done_0)


@breaking("patience", "has 2 of them: say once how long it waits, patience = Patience(timedelta(days=2))")
def two_patiences() -> None:
    class Wrong(Gather[Trip]):  # here
        a = Fact(done_0)
        patience = Patience(HOUR)
        more = Patience(HOUR)


@breaking("b", "is told by Done0, as a is: give each an event class of its own")
def a_fact_twice() -> None:
    class Wrong(Gather[Trip]):
        a = Fact(done_0)
        b = Fact(done_0)  # here
        patience = Patience(HOUR)


@breaking("a", "gives 'missing' for a state from which it goes on: State()")
def a_name_for_a_missing_fact() -> None:
    class Wrong(Gather[Trip]):
        a = Fact(done_0, missing=wrong("missing"))  # here
        patience = Patience(HOUR)


@breaking("patience", "gives late, which the body has as a state of its own: name it within, State(name=...)")
def a_state_of_the_body_within() -> None:
    class Wrong(Gather[Trip]):
        late = State()
        a = Fact(done_0)
        patience = Patience(HOUR, overdue=late)  # here


@breaking("a", "has the name arrived twice: give one of them another")
def a_name_twice_in_a_region() -> None:
    class Wrong(Gather[Trip]):
        a = Fact(done_0, missing=State(name="arrived"))  # here
        patience = Patience(HOUR)


@breaking("gathering.facts.a.arrive", "on_ship takes event Ship, and would get Done0")
def a_fact_with_an_action_for_another() -> None:
    class Wrong(Gather[Trip]):
        a = Fact(done_0, do=wrong(on_ship))  # here
        patience = Patience(HOUR)


@breaking("b", "extends a gathering that is complete, with a the first: declare all in one body")
def facts_in_two_bodies() -> None:
    class Base(Gather[Trip]):
        a = Fact(done_0)
        patience = Patience(HOUR)

    class Wrong(Base):
        b = Fact(done_1)  # here


fact = Fact(done_0)


class Gathering(Gather[Trip]):
    a = fact
    patience = Patience(HOUR)


def test_a_fact_belongs_to_one_gathering() -> None:
    with pytest.raises(DefinitionError, match="Wrong a: stands in Gathering already: it belongs to one gathering"):

        class Wrong(Gather[Trip]):
            a = fact
            patience = Patience(HOUR)


@breaking("gathering", "is gathering; the name stands for the state of it all: class gathering(Parallel)")
def a_gathering_that_is_none() -> None:
    class Wrong(Gather[Trip]):  # here
        gathering = State()
        a = Fact(done_0)
        patience = Patience(HOUR)


@breaking("facts", "makes a region facts, and the body of gathering has that name: give one of them another")
def a_region_that_is_taken() -> None:
    class Wrong(Gather[Trip]):
        class gathering(Parallel):
            class facts(Composite):
                idle = State(initial=True)

        a = Fact(done_0)
        patience = Patience(HOUR)  # here


@breaking("given_up", "is given_up; the name stands for the end: given_up = Final() or State()")
def an_end_that_is_no_state() -> None:
    class Wrong(Gather[Trip]):  # here
        a = Fact(done_0)
        given_up = wrong(Patience(HOUR))


@breaking("gathering.facts.a.arrive", "14 is no Event class: class Pay(Event)")
def a_fact_told_by_what_is_no_event() -> None:
    class Wrong(Gather[Trip]):
        a = Fact(wrong(14))  # here
        patience = Patience(HOUR)


@pytest.mark.parametrize("case", list(breaking))
def test_what_is_wrong_is_told(case: Case) -> None:
    case.check()
