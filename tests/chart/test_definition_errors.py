"""Every rule of a declaration, broken: names, shapes, references and transitions.

Handlers are in test_handler_errors.py, mutable fields in test_immutable.py, tables and documents in
test_table_and_document.py.
"""

from __future__ import annotations

import inspect
import pickle
import re
import warnings
from datetime import timedelta
from typing import Any, ClassVar

import pytest

from stateward import (
    Chart,
    Composite,
    DefinitionError,
    DefinitionWarning,
    Done,
    Elapsed,
    Event,
    Final,
    Lifecycle,
    Parallel,
    Started,
    State,
    after,
    always,
    chart_of,
    done,
    nested,
    on,
)
from tests.chart.breaking import Breaking, Case, Order, Pay, Ship, wrong

breaking = Breaking()
HOUR = timedelta(hours=1)


class Other(Lifecycle[Order]):
    """A lifecycle to take foreign states from."""

    opened = State(initial=True)

    class paused(Composite):
        idle = State(initial=True)

    closed = Final()
    pause = on(Ship, opened.to(paused))
    close = on(Pay, opened.to(closed))


# Names.


@breaking("a", "the name a is given twice in one body")
def a_name_twice() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        a = State()  # noqa: PIE794 # here


@breaking("pay", "the name pay is given twice in one body")
def a_transition_over_a_state() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        pay: Any = State()
        pay = on(Pay, a.to(a))  # noqa: PIE794 # here


@breaking("active", "the name active is given twice in one body")
def a_name_twice_by_a_class() -> None:
    class Wrong(Lifecycle[Order]):
        active = wrong(State(initial=True))

        class active(Composite):  # type: ignore[no-redef] # noqa: F811 # pyright: ignore # here
            a = State(initial=True)


@breaking("active.a", "the name a is given twice in one body")
def a_name_twice_in_a_nested_body() -> None:
    class Wrong(Lifecycle[Order]):
        class active(Composite):
            a = State(initial=True)
            a = State()  # noqa: PIE794 # here


@breaking("x", "is the name of two in one body: name= gives what is taken")
def a_name_twice_by_name() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True, name="x")
        b = State(name="x")  # here


@breaking("x", "is the name of two in one body: name= gives what is taken")
def a_transition_name_twice_by_name() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        x = on(Pay, a.to(a))
        y = on(Ship, a.to(a), name="x")  # here


@breaking("b", "is a under a second name: declare each by itself")
def one_state_under_two_names() -> None:
    class Wrong(Lifecycle[Order]):
        a = b = State(initial=True)  # here


@breaking("again", "is pay under a second name: declare each by itself")
def one_transition_under_two_names() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        pay = on(Pay, a.to(a))
        again = pay  # here


@breaking("also", "is opened under a second name: declare each by itself")
def an_inherited_state_under_a_second_name() -> None:
    class Wrong(Other):
        also = Other.opened  # here


@breaking("busy.idle", "is one state under two names, paused.idle and busy.idle")
def a_nested_state_under_two_paths() -> None:
    class Wrong(Other):
        class busy(Other.paused):  # here
            pass


@breaking("version", "is taken here: give the attribute another name, and it the argument name='version'")
def a_state_called_version() -> None:
    class Wrong(Lifecycle[Order]):
        version = wrong(State(initial=True))  # here


@pytest.mark.parametrize("name", ["to", "stay", "history", "options", "origin"])
def test_a_nested_body_reserves_what_every_nested_class_has(name: str) -> None:
    source = f"class Wrong(Lifecycle[Order]):\n    class active(Composite):\n        {name} = State(initial=True)\n"
    with pytest.raises(DefinitionError) as caught:
        exec(compile(source, "declared.py", "exec"), {**globals()})
    assert (caught.value.lifecycle, caught.value.subject) == ("Wrong", f"active.{name}")
    assert caught.value.origin == "declared.py:3"
    assert caught.value.problem.startswith("is taken here")


@breaking("a|b", "'a|b' can't name a state: a text with no blanks, and none of . | : @ #")
def a_state_named_with_a_bar() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True, name="a|b")  # here


@pytest.mark.parametrize("name", ["a:b", "a@b", "a#b", "a b", "a\tb", "a.b", " a"])
def test_names_that_no_state_can_have(name: str) -> None:
    with pytest.raises(DefinitionError, match=re.escape(f"{name!r} can't name a state")):

        class Wrong(Lifecycle[Order]):
            active = State(initial=True, name=name)


@breaking("a", "5 can't name a state: a name is a text")
def a_state_named_by_a_number() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True, name=wrong(5))  # here


@breaking("active.a", "'a.b' can't name a transition: a text with no blanks, and none of . | : @ #")
def a_transition_named_with_a_dot() -> None:
    class Wrong(Lifecycle[Order]):
        @nested(initial=True)
        class active(Composite):
            x = State(initial=True)
            a = on(Pay, x.to(x), name="a.b")  # here


# What Python would take in silence.


@breaking("pay", "is an arc that waits for nothing: put it into on(...)")
def an_arc_without_an_event() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        pay = a.to(a)  # here


@breaking("a", "is a tuple: take the comma from the end of the line")
def a_trailing_comma_behind_a_state() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True),  # here # fmt: skip


@breaking("active.pay", "is a tuple: take the comma from the end of the line")
def a_trailing_comma_behind_a_transition() -> None:
    class Wrong(Lifecycle[Order]):
        @nested(initial=True)
        class active(Composite):
            a = State(initial=True)
            pay = on(Pay, a.to(a)),  # here # fmt: skip


@breaking("active", "is a nested class, but neither Composite nor Parallel")
def a_nested_class_of_another_kind() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)

        class active:  # here
            b = State(initial=True)


@breaking("active", "is a nested class, but neither Composite nor Parallel")
def a_lifecycle_in_a_lifecycle() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)

        class active(Other):  # here
            pass


@breaking("active", "is marked @nested, but neither Composite nor Parallel")
def nested_before_another_class() -> None:
    class Wrong(Lifecycle[Order]):
        @nested(initial=True)  # here
        class active:
            b = State(initial=True)


@breaking("active", "is Composite and Parallel at once: a state is one of them")
def composite_and_parallel_at_once() -> None:
    class Wrong(Lifecycle[Order]):
        class active(Composite, Parallel):  # here
            b = State(initial=True)


@breaking("opened", "replaces the inherited state opened by what is none: what is inherited stays")
def an_inherited_state_taken_away() -> None:
    class Wrong(Other):
        opened = wrong(None)  # here


@breaking("close", "replaces the inherited transition close by what is none: what is inherited stays")
def an_inherited_transition_replaced_by_a_state() -> None:
    class Wrong(Other):
        close = wrong(State())  # here


@breaking("paused.idle", "replaces the inherited state idle by what is none: what is inherited stays")
def an_inherited_nested_state_taken_away() -> None:
    class Wrong(Other):
        class paused(Other.paused):
            idle = wrong(None)  # here


# The class as a whole.


@breaking("version", "is 0; it is a whole number from 1")
def a_version_below_one() -> None:
    class Wrong(Lifecycle[Order]):  # here
        version = 0
        a = State(initial=True)


@pytest.mark.parametrize("version", [-1, 1.0, "1", True, None])
def test_a_version_is_a_whole_number_from_one(version: Any) -> None:
    with pytest.raises(DefinitionError, match=r"Wrong version: is .*; it is a whole number from 1"):
        wrong(type(Lifecycle))("Wrong", (Other,), {"version": version, "__module__": __name__, "__qualname__": "Wrong"})


@breaking("context", "is not named: class OrderLifecycle(Lifecycle[Order])")
def no_context() -> None:
    class WrongLifecycle(wrong(Lifecycle)):  # type: ignore[misc] # here
        a = State(initial=True)


@breaking("context", "is ForwardRef('Order'), which is no class: class OrderLifecycle(Lifecycle[Order])")
def a_context_written_as_text() -> None:
    class Wrong(wrong(Lifecycle)["Order"]):  # type: ignore[misc] # here
        a = State(initial=True)


@breaking("context", "<class 'int'> is no Context: class Order(Context)")
def a_context_that_is_none() -> None:
    class Wrong(Lifecycle[wrong(int)]):  # type: ignore[misc] # here
        a = State(initial=True)


@breaking("context", "<class 'int'> is no Context: class Order(Context)", lifecycle="Wire")
def the_kind_is_named_by_its_wire_name() -> None:
    class Wrong(Lifecycle[wrong(int)], name="Wire"):  # type: ignore[misc, call-arg] # here
        a = State(initial=True)


# Shapes.


@breaking("top level", "has no initial state: mark one State(initial=True)")
def no_initial_state() -> None:
    class Wrong(Lifecycle[Order]):  # here
        a = State()


@breaking("top level", "has 2 initial states, a, c: mark one")
def two_initial_states() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        b = State()
        c = State(initial=True)  # here


@breaking("active", "has no initial state: mark one State(initial=True)")
def no_initial_state_in_a_composite() -> None:
    class Wrong(Lifecycle[Order]):
        @nested(initial=True)  # here
        class active(Composite):
            a = State()


@breaking("active", "has 2 initial states, a, b: mark one")
def two_initial_states_in_a_composite() -> None:
    class Wrong(Lifecycle[Order]):
        @nested(initial=True)
        class active(Composite):
            a = State(initial=True)

            @nested(initial=True)  # here
            class b(Composite):
                c = State(initial=True)


@breaking("active", "has no states: declare them as State(...)")
def an_empty_composite() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)

        class active(Composite):  # here
            pass


@breaking("active", "is parallel and has no regions")
def an_empty_parallel() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)

        class active(Parallel):  # here
            pass


@breaking("active.b", "is a region, and all regions are entered: drop initial=True")
def an_initial_region() -> None:
    class Wrong(Lifecycle[Order]):
        @nested(initial=True)
        class active(Parallel):
            a = State()
            b = State(initial=True)  # here


@breaking("active.b", "is final and a region at once: put it into a Composite")
def a_final_region() -> None:
    class Wrong(Lifecycle[Order]):
        @nested(initial=True)
        class active(Parallel):
            a = State()
            b = Final()  # here


@breaking("paused", "is atomic and can't hold idle")
def an_inherited_composite_replaced_by_a_state() -> None:
    class Wrong(Other):
        paused = wrong(State())  # here


@breaking("a", "has an sla that is not positive")
def an_sla_of_nothing() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True, sla=timedelta(0))  # here


@breaking("active", "has an sla that is not positive")
def an_sla_of_less_than_nothing_on_a_composite() -> None:
    class Wrong(Lifecycle[Order]):
        @nested(initial=True, sla=-HOUR)  # here
        class active(Composite):
            a = State(initial=True)


@breaking("a", "has the sla 5, which is no timedelta")
def an_sla_that_is_a_number() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True, sla=wrong(5))  # here


def test_a_final_state_takes_no_sla() -> None:
    with pytest.raises(TypeError, match="sla"):
        wrong(Final)(sla=HOUR)


# References.


@breaking("pay", "refers to closed, which is no state of this lifecycle")
def a_foreign_target() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        pay = on(Pay, a.to(Other.closed))  # here


@breaking("pay", "refers to opened, which is no state of this lifecycle")
def a_foreign_source() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        pay = on(
            Pay,
            a.to(a),
            Other.opened.to(a),  # here
        )


@breaking("pay", "refers to paused, which is no state of this lifecycle")
def a_foreign_composite() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        pay = on(Pay, Other.paused.to(a))  # here


@breaking("pay", "refers to paused, which is no state of this lifecycle")
def a_foreign_history() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        pay = on(Pay, a.to(Other.paused.history()))  # here


@breaking("pay", "refers to a State that no body names, which is no state of this lifecycle")
def a_state_that_stands_in_no_body() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        pay = on(Pay, a.to(State()))  # here


@breaking("pay", "refers to paid, which is no state of this lifecycle")
def a_target_by_its_name() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        pay = on(Pay, a.to(wrong("paid")))  # here


@breaking("pay", "leads to a, b as a group: it takes one arc for each, or .to(a, b) into several regions")
def a_group_as_a_target() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        b = State()
        pay = on(Pay, a.to(wrong(a | b)))  # here


@breaking("a", "is joined by | with 'paid', which is no state")
def a_state_joined_with_what_is_none() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        pay = on(Pay, (a | wrong("paid")).to(a))  # here


@breaking("active", "is joined by | with <class 'int'>, which is no state")
def a_composite_joined_with_what_is_none() -> None:
    class Wrong(Lifecycle[Order]):
        class active(Composite):
            a = State(initial=True)

        pay = on(Pay, (active | wrong(int)).to(active))  # here


@breaking("a", "has an arc to() without a target: a transition that leads nowhere is stay()")
def no_target() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        pay = on(Pay, wrong(a).to())  # here


@breaking("active.a", "has an arc to() without a target: a transition that leads nowhere is stay()")
def no_target_in_a_nested_body() -> None:
    class Wrong(Lifecycle[Order]):
        class active(Composite):
            a = State(initial=True)
            pay = on(Pay, wrong(a).to())  # here


@breaking("active", "has an arc to() without a target: a transition that leads nowhere is stay()")
def no_target_of_a_composite() -> None:
    class Wrong(Lifecycle[Order]):
        class active(Composite):
            a = State(initial=True)

        pay = on(Pay, wrong(active).to())  # here


@breaking("pay", "has no arc: say from where to where, pending.to(paid)")
def no_arc() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        pay = on(Pay)  # here


@breaking("pay", "a is no arc: say pending.to(paid)")
def a_state_for_an_arc() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        pay = on(Pay, wrong(a))  # here


@breaking("pay", "has an arc in the place of an event: on(Pay, pending.to(paid))")
def no_event() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        pay = on(wrong(a.to(a)))  # here


@breaking("pay", "'Pay' is no Event class: class Pay(Event)")
def an_event_by_its_name() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        pay = on(wrong("Pay"), a.to(a))  # here


@breaking("pay", "Pay(amount=0) is no Event class: class Pay(Event)")
def an_instance_of_an_event() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        pay = on(wrong(Pay()), a.to(a))  # here


@pytest.mark.parametrize("event", [Started, Elapsed, Done])
def test_nobody_waits_for_the_kernels_own_events(event: type[Event]) -> None:
    with pytest.raises(DefinitionError, match=f"Wrong pay: waits for {event.__name__}, which callers don't send"):

        class Wrong(Lifecycle[Order]):
            a = State(initial=True)
            pay = on(event, a.to(a))


class Paid(Event):
    wire_name: ClassVar[str] = "Pay"


class Nameless(Event):
    wire_name: ClassVar[Any] = 7


@breaking("paid", "waits for a second event class of the wire name Pay: give one a wire_name")
def two_events_of_one_wire_name() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        pay = on(Pay, a.to(a))
        paid = on(Paid, a.to(a))  # here


@breaking("also", "waits for a second event class of the wire name Pay: give one a wire_name")
def two_events_of_one_wire_name_by_already() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        pay = on(Pay, a.to(a))
        also = on(Paid, already=a)  # here


@breaking("x", "has the event Nameless, whose wire_name is no text: wire_name: ClassVar[str] = ...")
def a_wire_name_that_is_no_text() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        x = on(Nameless, a.to(a))  # here


# Arcs that the body around them does not see.


@breaking(
    "paused.leave",
    "stands in paused, which does not hold opened: declare it in the nearest body that holds both ends",
)
def an_arc_to_a_state_outside_the_body() -> None:
    class Wrong(Other):
        class paused(Other.paused):
            leave = on(Pay, Other.paused.idle.to(Other.opened))  # here


@breaking(
    "active.left.jump",
    "stands in active.left, which does not hold active.right.b: declare it in the nearest body that holds both ends",
)
def an_arc_between_two_parts_of_the_tree() -> None:
    class Base(Lifecycle[Order]):
        @nested(initial=True)
        class active(Composite):
            @nested(initial=True)
            class left(Composite):
                a = State(initial=True)

            class right(Composite):
                b = State(initial=True)

        closed = Final()
        close = on(Ship, active.to(closed))

    class Wrong(Base):
        class active(Base.active):
            class left(Base.active.left):
                jump = on(Pay, Base.active.left.a.to(Base.active.right.b))  # here


@breaking(
    "paused.again",
    "stands in paused, which does not hold paused: declare it in the nearest body that holds both ends",
)
def an_arc_of_the_body_itself() -> None:
    class Wrong(Other):
        class paused(Other.paused):
            again = on(Pay, Other.paused.to(Other.paused.idle))  # here


@breaking(
    "paused.pay",
    "stands in paused, which does not hold opened: declare it in the nearest body that holds both ends",
)
def already_outside_the_body() -> None:
    class Wrong(Other):
        class paused(Other.paused):
            pay = on(Pay, already=Other.opened)  # here


# Transitions.


@breaking("pay", "leads out of closed, which is final")
def a_way_out_of_a_final_state() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        closed = Final()
        pay = on(
            Pay,
            a.to(closed),
            (a | closed).to(a),  # here
        )


@breaking("reopen", "leads out of closed, which is final")
def a_stay_in_a_final_state() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        closed = Final()
        reopen = on(Pay, closed.stay())  # here


@breaking("pay", "can't lead to active.left.a and active.left.b at once: they are not in different regions")
def two_targets_in_one_region() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)

        class active(Parallel):
            class left(Composite):
                a = State(initial=True)
                b = State()

            class right(Composite):
                c = State(initial=True)

        pay = on(Pay, a.to(active.left.a, active.right, active.left.b))  # here


@breaking("pay", "can't lead to a and b at once: they are not in different regions")
def two_targets_without_a_parallel() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        b = State()
        pay = on(Pay, a.to(a, b))  # here


@breaking("pay", "can't lead to active and active.b at once: they are not in different regions")
def a_target_and_its_child() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)

        class active(Composite):
            b = State(initial=True)

        pay = on(Pay, a.to(active, active.b))  # here


@breaking("pay", "is internal, but b is not inside active")
def internal_with_a_target_outside() -> None:
    class Wrong(Lifecycle[Order]):
        @nested(initial=True)
        class active(Composite):
            a = State(initial=True)

        b = State()
        pay = on(Pay, active.to(b, internal=True))  # here


@breaking("pay", "is internal, but active is not inside active")
def internal_to_itself() -> None:
    class Wrong(Lifecycle[Order]):
        @nested(initial=True)
        class active(Composite):
            a = State(initial=True)

        pay = on(Pay, active.to(active, internal=True))  # here


@breaking("pay", "is internal, but active is parallel, not composite")
def internal_with_a_parallel_source() -> None:
    class Wrong(Lifecycle[Order]):
        @nested(initial=True)
        class active(Parallel):
            a = State()

        pay = on(Pay, active.to(active.a, internal=True))  # here


@breaking("pay", "is internal, but b is not inside a")
def internal_with_an_atomic_source() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        b = State()
        pay = on(Pay, a.to(b, internal=True))  # here


@breaking("finish", "waits for a to be done, which is atomic")
def done_on_an_atomic_state() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        closed = Final()
        finish = done(a.to(closed))  # here


@breaking("finish", "waits for active to be done, which has no final child")
def done_on_a_composite_without_a_final_child() -> None:
    class Wrong(Lifecycle[Order]):
        @nested(initial=True)
        class active(Composite):
            a = State(initial=True)

        closed = Final()
        finish = done(active.to(closed))  # here


@breaking("expire", "has the delay 0:00:00, which is not positive: use always(...)")
def a_delay_of_nothing() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        closed = Final()
        expire = after(timedelta(0), a.to(closed))  # here


@breaking("expire", "has an arc in the place of a delay: after(timedelta(hours=1), pending.to(paid))")
def no_delay() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        closed = Final()
        expire = after(wrong(a.to(closed)))  # here


@breaking("expire", "5 is no function with a name; a delay is a function of its own")
def a_delay_that_is_a_number() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        closed = Final()
        expire = after(wrong(5), a.to(closed))  # here


@breaking("spin", "is eventless, unguarded and stays: it would be taken for ever")
def eventless_and_unguarded_staying() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        spin = always(a.stay(do=lambda order, event: order))  # here


@breaking("pay", "has an arc from b and says that it is already done there")
def already_where_an_arc_begins() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        b = State()
        pay = on(Pay, (a | b).to(b), already=b)  # here


@breaking("pay", "refers to closed, which is no state of this lifecycle")
def already_in_a_foreign_state() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        pay = on(Pay, a.to(a), already=Other.closed)  # here


@breaking("pay", "has already='paid', which is no state")
def already_by_a_name() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)
        pay = on(Pay, a.to(a), already=wrong("paid"))  # here


@breaking("pay", "needs active.H for a history, and a state has that name")
def a_state_where_a_history_would_be() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)

        class active(Composite):
            H = State(initial=True)

        pay = on(Pay, a.to(active.history()))  # here


@breaking("ship", "gives the history active.H a second default")
def two_defaults_of_one_history() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)

        class active(Composite):
            b = State(initial=True)
            c = State()

        pay = on(Pay, a.to(active.history(default=active.b)))
        ship = on(Ship, a.to(active.history(default=active.c)))  # here


@breaking("active.H", "has the history default a, which is not inside active")
def a_history_with_a_default_outside() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)

        class active(Composite):
            b = State(initial=True)

        pay = on(Pay, a.to(active.history(default=a)))  # here


@breaking("pay", "refers to closed, which is no state of this lifecycle")
def a_history_with_a_foreign_default() -> None:
    class Wrong(Lifecycle[Order]):
        a = State(initial=True)

        class active(Composite):
            b = State(initial=True)

        pay = on(Pay, a.to(active.history(default=Other.closed)))  # here


@pytest.mark.parametrize("case", [*breaking])
def test_what_can_not_be_is_told_with_its_lifecycle_its_subject_and_its_line(case: Case) -> None:
    case.check()


# Elsewhere.


def test_an_error_survives_pickling_with_its_fields() -> None:
    error = DefinitionError("is wrong", lifecycle="Order", subject="paid", origin="orders.py:7")
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.problem, copy.lifecycle, copy.subject, copy.origin) == ("is wrong", "Order", "paid", "orders.py:7")
    assert str(copy) == "Order paid: is wrong (orders.py:7)"


def test_a_body_outside_of_a_lifecycle_is_watched_too() -> None:
    with pytest.raises(DefinitionError, match=r"^payment\.a: the name a is given twice"):

        class payment(Composite):
            a = State(initial=True)
            a = State()  # noqa: PIE794


def test_a_lifecycle_without_states_has_no_chart() -> None:
    class BaseLifecycle(Lifecycle[Order]):
        pass

    with pytest.raises(DefinitionError, match="BaseLifecycle: has no chart"):
        chart_of(BaseLifecycle)
    with pytest.raises(DefinitionError, match="int: has no chart"):
        chart_of(wrong(int))


# Warnings.


def line_of_mark() -> int:
    """The marked line of the calling test."""
    frame = inspect.currentframe()
    assert frame is not None
    assert frame.f_back is not None
    lines, first = inspect.getsourcelines(frame.f_back.f_code)
    return next(number for number, line in enumerate(lines, start=first) if "# here" in line)


def test_a_lifecycle_that_never_ends_is_a_warning_at_its_class() -> None:
    with pytest.warns(DefinitionWarning, match="^Endless has no top-level final state") as caught:

        class EndlessLifecycle(Lifecycle[Order]):  # here
            a = State(initial=True)

            class active(Composite):
                b = State(initial=True)
                c = Final()

            pay = on(Pay, a.to(active))

    assert [(each.filename, each.lineno) for each in caught] == [(__file__, line_of_mark())]


def test_no_way_to_a_final_state_is_a_warning_at_its_class() -> None:
    with pytest.warns(DefinitionWarning, match="^Stuck has no way to a final state") as caught:

        class StuckLifecycle(Lifecycle[Order]):  # here
            a = State(initial=True)
            b = State()
            closed = Final()
            pay = on(Pay, a.to(a))
            ship = on(Ship, b.to(closed))

    assert [(each.filename, each.lineno) for each in caught] == [(__file__, line_of_mark())]


def test_a_table_and_a_document_are_warned_of_at_the_call() -> None:
    with pytest.warns(DefinitionWarning) as caught:
        chart = Chart.from_table([("a", Pay, "b")], kind="Endless", context=Order, initial="a")  # here
    assert [(each.filename, each.lineno) for each in caught] == [(__file__, line_of_mark())]
    document = chart.to_document()

    def read() -> int:
        with pytest.warns(DefinitionWarning) as caught:
            Chart.from_document(document, context=Order, events=chart.events)  # here
        assert [each.filename for each in caught] == [__file__]
        return caught[0].lineno - line_of_mark()

    assert read() == 0


def test_what_ends_through_histories_regions_and_completion_is_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")

        class EndingLifecycle(Lifecycle[Order]):
            @nested(initial=True)
            class active(Parallel):
                class left(Composite):
                    a = State(initial=True)
                    b = Final()
                    pay = on(Pay, a.to(b))

                class right(Composite):
                    c = State(initial=True)
                    d = Final()
                    ship = on(Ship, c.to(d))

            paused = State()
            closed = Final()
            pause = on(Event, active.to(paused))
            resume = on(Pay, paused.to(active.history(deep=True)))
            finish = done(active.to(closed))
