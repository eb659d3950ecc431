"""What the class syntax means, read off the compiled chart."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, ClassVar, Generic, TypeVar

import msgspec
import pytest

from stateward import (
    Actions,
    Chart,
    Composite,
    ContextMarker,
    DefinitionError,
    Done,
    Effect,
    EffectMarker,
    Elapsed,
    Event,
    EventMarker,
    Final,
    Lifecycle,
    Machine,
    Meta,
    Parallel,
    Raise,
    State,
    Step,
    after,
    always,
    chart_of,
    done,
    nested,
    on,
    start,
    step,
    wire_name,
)
from stateward.chart import DoneTrigger, EventTrigger, StateKind, TimerTrigger
from tests.chart.breaking import Cart, Order, Pay, Ship, wrong

pytestmark = pytest.mark.filterwarnings("ignore::stateward.DefinitionWarning")

HOUR = timedelta(hours=1)
C = TypeVar("C", bound=ContextMarker)


def is_big(order: Order, event: Event) -> bool:
    return order.total > 100


def is_small(order: Order, event: Event) -> bool:
    return order.total < 10


def keep(order: Order, event: Event) -> Order:
    return order


def count(order: Order, event: Event) -> Order:
    return order.replace(total=order.total + 1)


def states(lifecycle: Any) -> dict[str, StateKind]:
    """Kinds by path, in document order."""
    return {state.path: state.kind for state in chart_of(lifecycle).states if state.path}


def arcs(lifecycle: Any) -> list[str]:
    """The transitions in order, as `id -> targets`."""
    chart: Chart[Any] = chart_of(lifecycle)
    return [f"{each.id} -> {', '.join(chart.states[i].path for i in each.targets)}" for each in chart.transitions]


# States.


def test_a_flat_lifecycle() -> None:
    class ParcelLifecycle(Lifecycle[Order]):
        """A parcel, on its way.

        More about it.
        """

        version = 3

        packed = State(initial=True, sla=HOUR, entry=keep, exit=(count, keep), description="In its box.")
        sent = State()
        lost = Final()
        arrived = Final()

        send = on(Ship, packed.to(sent), when=is_big, do=count)
        arrive = on(Pay, sent.to(arrived))

    chart = chart_of(ParcelLifecycle)
    assert (chart.kind, chart.version, chart.description) == ("Parcel", 3, "A parcel, on its way.")
    assert (chart.context_type, chart.lifecycle, chart.events) == (Order, ParcelLifecycle, {"Pay": Pay, "Ship": Ship})
    assert states(ParcelLifecycle) == {
        "packed": StateKind.ATOMIC,
        "sent": StateKind.ATOMIC,
        "lost": StateKind.FINAL,
        "arrived": StateKind.FINAL,
    }
    root, packed = chart.states[:2]
    assert (root.kind, root.parent, root.initial, root.children) == (StateKind.COMPOSITE, None, (1,), (1, 2, 3, 4))
    assert (packed.index, packed.parent, packed.sla, packed.description) == (1, 0, HOUR, "In its box.")
    assert [each.call for each in packed.entry] == [keep]
    assert [each.call for each in packed.exit] == [count, keep]
    send = chart.transitions[0]
    assert (send.id, send.name, send.source, send.targets) == ("send:packed", "send", 1, (2,))
    assert send.trigger == EventTrigger(Ship)
    assert send.guard is not None
    assert send.guard.call is is_big
    assert [each.call for each in send.actions] == [count]
    assert send.internal is False


def test_the_body_is_the_document_order_and_each_body_keeps_its_own() -> None:
    class Deep(Lifecycle[Order]):
        z = State(initial=True)

        class y(Parallel):
            class b(Composite):
                d = State(initial=True)
                c = State()
                go = on(Pay, d.to(c))

            a = State()

        x = Final()
        leave = on(Ship, y.to(x))
        enter = on(Pay, z.to(y))

    assert list(states(Deep)) == ["z", "y", "y.b", "y.b.d", "y.b.c", "y.a", "x"]
    assert states(Deep)["y"] is StateKind.PARALLEL
    assert states(Deep)["y.b"] is StateKind.COMPOSITE
    # A nested body is complete before what stands behind it.
    assert arcs(Deep) == ["y.b.go:y.b.d -> y.b.c", "leave:y -> x", "enter:z -> y"]
    chart = chart_of(Deep)
    assert [chart.states[index].path for index in chart.state("y.b").initial] == ["y.b.d"]
    assert chart.state("y").initial == ()


def test_names_and_descriptions() -> None:
    class Machinery(Lifecycle[Order], name="Plant"):
        power_on = State(name="on", initial=True)

        @nested(name="done", sla=HOUR, description="Said by the decorator.")
        class finished(Composite):
            """Not this."""

            first = State(initial=True, name="after")
            step_on = on(Pay, first.to(first), name="on")

        class other(Composite):
            """Said by the docstring.

            And more.
            """

            plain = State(initial=True)

        class silent(Parallel):
            plain = State()

        switch = on(Ship, power_on.to(finished), name="go")

    chart = chart_of(Machinery)
    assert chart.kind == "Plant"
    assert chart.description == ""
    assert list(states(Machinery)) == ["on", "done", "done.after", "other", "other.plain", "silent", "silent.plain"]
    assert arcs(Machinery) == ["done.on:done.after -> done.after", "go:on -> done"]
    assert chart.state("done").sla == HOUR
    assert [chart.state(path).description for path in ("done", "other", "silent", "on")] == [
        "Said by the decorator.",
        "Said by the docstring.",
        "",
        "",
    ]


@pytest.mark.parametrize(
    ("class_name", "kind"), [("OrderLifecycle", "Order"), ("Order", "Order"), ("Lifecycle", "Lifecycle")]
)
def test_the_kind_is_the_class_name_without_lifecycle(class_name: str, kind: str) -> None:
    made: Any = wrong(type(Lifecycle))(class_name, (Small,), {"__module__": __name__, "__qualname__": class_name})
    assert chart_of(made).kind == kind


class Small(Lifecycle[Order]):
    opened = State(initial=True)
    closed = Final()
    close = on(Pay, opened.to(closed))


def test_a_states_path_is_told_by_its_attribute() -> None:
    class OrderLifecycle(Lifecycle[Order]):
        pending = State(initial=True)

        class active(Composite):
            packed = State(initial=True)

        power_on = State(name="on")
        paid = Final()

    chart = chart_of(OrderLifecycle)
    found = [OrderLifecycle.paid, OrderLifecycle.active, OrderLifecycle.active.packed, OrderLifecycle.power_on]
    assert [chart.path_of(each) for each in found] == ["paid", "active", "active.packed", "on"]
    for stranger in (Small.opened, "paid", None):
        with pytest.raises(KeyError, match="is no state of Order version 1"):
            chart.path_of(stranger)
    assert Machine(OrderLifecycle, Order()).is_in(OrderLifecycle.pending)
    with pytest.raises(KeyError, match=r"has no state 'active\.lost'; it has active, active\.packed, on"):
        chart.state("active.lost")
    assert chart.has_state("active.packed")
    assert not chart.has_state("")
    assert [repr(OrderLifecycle.paid), repr(State())] == ["paid", "a State that no body names"]


def test_a_final_state_gives_data() -> None:
    def total(order: Order, event: Event) -> int:
        return order.total

    def paid(order: Order, event: Done) -> bool:
        return bool(event.data == 7)

    class Giving(Lifecycle[Order]):
        @nested(initial=True)
        class active(Composite):
            opened = State(initial=True)
            ready = Final(data=total, entry=count)
            pay = on(Pay, opened.to(ready))

        good = Final(data=lambda order, event: "good")
        bad = Final()
        finish = done(active.to(good, when=paid), active.to(bad))

    chart = chart_of(Giving)
    taken = step(chart, start(chart, Order(total=6)).snapshot, Pay())
    assert isinstance(taken, Step)
    assert (taken.state, taken.data) == ("good", "good")


# Transitions.


def test_several_arcs_keep_their_order() -> None:
    class Arcs(Lifecycle[Order]):
        a = State(initial=True)
        b = State()
        c = Final()
        pay = on(
            Pay,
            a.to(b, when=is_big, do=count),
            (a | b).to(c, when=is_small),
            a.stay(do=keep),
        )
        again = on(Pay, b.to(a))

    assert arcs(Arcs) == ["pay:a -> b", "pay:a#2 -> c", "pay:b -> c", "pay:a#3 -> ", "again:b -> a"]
    assert [each.guard and each.guard.name for each in chart_of(Arcs).transitions] == [
        "is_big", "is_small", "is_small", None, None,
    ]  # fmt: skip
    assert [[a.name for a in each.actions] for each in chart_of(Arcs).transitions] == [["count"], [], [], ["keep"], []]


def test_a_handler_of_all_arcs() -> None:
    class Arcs(Lifecycle[Order]):
        a = State(initial=True)
        b = Final()
        pay = on(Pay, a.to(b, when=is_big), a.to(a, when=is_small), do=count)
        ship = on(Ship, a.to(b, do=keep), a.to(a), when=is_big)

    transitions = chart_of(Arcs).transitions
    assert [[a.name for a in each.actions] for each in transitions] == [["count"], ["count"], ["keep"], []]
    assert [each.guard and each.guard.name for each in transitions] == ["is_big", "is_small", "is_big", "is_big"]


def test_sources_are_joined_in_every_combination() -> None:
    class Joined(Lifecycle[Order]):
        a = State(initial=True)
        b = State()

        class m(Composite):
            x = State(initial=True)

        class n(Parallel):
            y = State()

        end = Final()
        states = a | b
        e1 = on(Pay, (a | b).to(end))
        e2 = on(Pay, (a | m).to(end))
        e3 = on(Pay, (m | a).to(end))
        e4 = on(Pay, (m | n).to(end))
        e5 = on(Pay, (states | m).to(end))
        e6 = on(Pay, (m | states).to(end))
        e7 = on(Pay, (states | (b | n)).to(end))
        e8 = on(Pay, states.stay(do=keep))
        e9 = on(Pay, (m.x | n.y).to(end), already=end | states)

    sources: dict[str, list[str]] = {}
    for each in chart_of(Joined).transitions:
        sources.setdefault(each.name, []).append(chart_of(Joined).states[each.source].path)
    assert sources == {
        "e1": ["a", "b"],
        "e2": ["a", "m"],
        "e3": ["m", "a"],
        "e4": ["m", "n"],
        "e5": ["a", "b", "m"],
        "e6": ["m", "a", "b"],
        "e7": ["a", "b", "b", "n"],
        "e8": ["a", "b"],
        "e9": ["m.x", "n.y"],
    }
    (already,) = chart_of(Joined).already
    assert [chart_of(Joined).states[index].path for index in already.states] == ["end", "a", "b"]
    assert "states" not in states(Joined)


def test_staying_internal_and_several_targets() -> None:
    class Targets(Lifecycle[Order]):
        a = State(initial=True)

        class active(Parallel):
            class left(Composite):
                x = State(initial=True)
                y = State()

            class right(Composite):
                v = State(initial=True)
                w = State()

        class group(Composite):
            one = State(initial=True)
            two = State()

        wait = on(Pay, active.left.stay(do=count), group.stay())
        jump = on(Ship, a.to(active.left.y, active.right.w))
        inner = on(Ship, group.to(group.two, internal=True))
        outer = on(Pay, group.to(group.two))

    assert arcs(Targets) == [
        "wait:active.left -> ",
        "wait:group -> ",
        "jump:a -> active.left.y, active.right.w",
        "inner:group -> group.two",
        "outer:group -> group.two",
    ]
    assert [each.internal for each in chart_of(Targets).transitions] == [False, False, False, True, False]


def test_eventless_done_and_timed_transitions() -> None:
    def delay(order: Order) -> timedelta:
        return HOUR

    def on_elapsed(order: Order, event: Elapsed) -> bool:
        return event.timer == "active.expire@active.a"

    class Waiting(Lifecycle[Order]):
        @nested(initial=True)
        class active(Composite):
            a = State(initial=True)
            b = State()
            c = Final()
            expire = after(HOUR, (a | b).to(c), when=on_elapsed)
            go = always(a.to(b, when=is_big))

        end = Final()
        late = after(delay, active.to(end), name="too_late")
        finish = done(active.to(end), do=keep)

    chart = chart_of(Waiting)
    expire, expire_b, go, late, finish = chart.transitions
    assert expire.trigger == TimerTrigger("active.expire@active.a", HOUR)
    assert expire_b.trigger == TimerTrigger("active.expire@active.b", HOUR)
    assert go.trigger is None
    assert isinstance(late.trigger, TimerTrigger)
    assert late.trigger.timer == "too_late@active"
    assert not isinstance(late.trigger.delay, timedelta)
    assert late.trigger.delay.call is delay
    assert finish.trigger == DoneTrigger("active")
    assert chart.events == {}


def test_histories_stand_in_their_parent_with_a_default_settled() -> None:
    class Remembering(Lifecycle[Order]):
        @nested(initial=True)
        class active(Parallel):
            class left(Composite):
                x = State(initial=True)
                y = State()

            right = State()

        class group(Composite):
            one = State(initial=True)
            two = State()

        paused = State()
        e1 = on(Pay, paused.to(active.history(deep=True)))
        e2 = on(Ship, paused.to(active.history()))
        e3 = on(Pay, paused.to(group.history()))
        e4 = on(Ship, paused.to(group.history(deep=True, default=group.two)))
        e5 = on(Event, paused.to(active.left.history(default=active.left.y)))
        e6 = on(Event, paused.to(active.history(deep=True)))

    chart = chart_of(Remembering)
    defaults = {
        state.path: (state.kind, [chart.states[index].path for index in state.default])
        for state in chart.states
        if state.kind.is_history
    }
    assert defaults == {
        "active.left.H": (StateKind.SHALLOW_HISTORY, ["active.left.y"]),
        "active.H*": (StateKind.DEEP_HISTORY, ["active.left", "active.right"]),
        "active.H": (StateKind.SHALLOW_HISTORY, ["active.left", "active.right"]),
        "group.H": (StateKind.SHALLOW_HISTORY, ["group.one"]),
        "group.H*": (StateKind.DEEP_HISTORY, ["group.two"]),
    }
    assert arcs(Remembering)[0] == "e1:paused -> active.H*"
    assert list(states(Remembering)) == [
        "active", "active.left", "active.left.x", "active.left.y", "active.left.H", "active.right", "active.H*",
        "active.H", "group", "group.one", "group.two", "group.H", "group.H*", "paused",
    ]  # fmt: skip


# Inheriting.


def test_a_subclass_adds_behind_what_it_inherits() -> None:
    class Base(Lifecycle[Order]):
        """The base."""

        version = 2
        a = State(initial=True)
        b = Final()
        pay = on(Pay, a.to(b, when=is_big))

    class Extended(Base):
        c = State()
        ship = on(Ship, Base.a.to(c))
        also = on(Pay, Base.a.to(c))

    class Further(Extended):
        d = Final()
        end = on(Ship, Extended.c.to(d))

    assert list(states(Extended)) == ["a", "b", "c"]
    assert arcs(Extended) == ["pay:a -> b", "ship:a -> c", "also:a -> c"]
    assert arcs(Further) == ["pay:a -> b", "ship:a -> c", "also:a -> c", "end:c -> d"]
    assert [chart_of(each).kind for each in (Base, Extended, Further)] == ["Base", "Extended", "Further"]
    assert [chart_of(each).version for each in (Base, Extended)] == [2, 2]
    assert chart_of(Extended).context_type is Order
    assert chart_of(Extended).description == ""
    # The base is what it was.
    assert list(states(Base)) == ["a", "b"]


def test_an_overridden_state_keeps_its_place_and_takes_its_bases_arcs() -> None:
    class Base(Lifecycle[Order]):
        a = State(initial=True)
        b = State(entry=keep, sla=HOUR)
        c = Final()
        go = on(Pay, a.to(b))
        leave = on(Pay, b.to(c))

    class Sub(Base):
        b = State(entry=count)
        more = on(Ship, b.to(Base.c))

    assert list(states(Sub)) == ["a", "b", "c"]
    assert arcs(Sub) == ["go:a -> b", "leave:b -> c", "more:b -> c"]
    assert [each.call for each in chart_of(Sub).state("b").entry] == [count]
    assert chart_of(Sub).state("b").sla is None
    chart = chart_of(Sub)
    assert chart.path_of(Sub.b) == chart.path_of(Base.b) == "b"


def test_a_flat_state_may_become_a_composite() -> None:
    class Base(Lifecycle[Order]):
        a = State(initial=True)
        b: Any = State()
        c = Final()
        go = on(Pay, a.to(b))
        leave = on(Ship, b.to(c))

    class Sub(Base):
        class b(Composite):
            one = State(initial=True)
            two = State()
            step_on = on(Pay, one.to(two))

    assert list(states(Sub)) == ["a", "b", "b.one", "b.two", "c"]
    assert arcs(Sub) == ["go:a -> b", "leave:b -> c", "b.step_on:b.one -> b.two"]


class Shop(Lifecycle[Order]):
    @nested(initial=True, sla=HOUR, entry=keep)
    class active(Composite):
        """Something is going on."""

        unpaid = State(initial=True)
        paid = State()
        pay = on(Pay, unpaid.to(paid))

    closed = Final()
    close = on(Ship, active.to(closed))
    void = on(Event, active.unpaid.to(closed))


def test_a_nested_body_is_extended_by_inheriting_from_it() -> None:
    class Sub(Shop):
        class active(Shop.active):
            refunded = State()
            refund = on(Ship, Shop.active.paid.to(refunded))

    assert list(states(Sub)) == ["active", "active.unpaid", "active.paid", "active.refunded", "closed"]
    assert arcs(Sub) == [
        "active.pay:active.unpaid -> active.paid",
        "close:active -> closed",
        "void:active.unpaid -> closed",
        "active.refund:active.paid -> active.refunded",
    ]
    extended = chart_of(Sub).state("active")
    assert (extended.sla, [each.call for each in extended.entry]) == (HOUR, [keep])
    assert list(states(Shop)) == ["active", "active.unpaid", "active.paid", "closed"]


def test_what_an_extended_body_says_by_nested_goes_before_what_it_inherits() -> None:
    class Sub(Shop):
        @nested(sla=2 * HOUR, exit=count)
        class active(Shop.active):
            pass

    extended = chart_of(Sub).state("active")
    assert extended.sla == 2 * HOUR
    assert [each.call for each in extended.entry] == [keep]
    assert [each.call for each in extended.exit] == [count]
    assert [chart_of(Sub).states[index].path for index in chart_of(Sub).states[0].initial] == ["active"]
    assert chart_of(Shop).state("active").sla == HOUR


def test_an_overridden_nested_state_takes_its_bases_arcs_by_path() -> None:
    class Sub(Shop):
        class active(Shop.active):
            @nested(initial=True)
            class unpaid(Composite):
                fresh = State(initial=True)
                reminded = State()
                remind = on(Ship, fresh.to(reminded))

    assert list(states(Sub)) == [
        "active", "active.unpaid", "active.unpaid.fresh", "active.unpaid.reminded", "active.paid", "closed",
    ]  # fmt: skip
    assert arcs(Sub) == [
        "active.pay:active.unpaid -> active.paid",
        "close:active -> closed",
        "void:active.unpaid -> closed",
        "active.unpaid.remind:active.unpaid.fresh -> active.unpaid.reminded",
    ]


def test_who_overrides_an_initial_state_says_anew_that_it_is_initial() -> None:
    with pytest.raises(DefinitionError, match="Sub active: has no initial state"):

        class Sub(Shop):
            class active(Shop.active):
                unpaid = State()


def test_several_bases_are_walked_in_one_order() -> None:
    class Base(Lifecycle[Order]):
        a = State(initial=True)
        end = Final()
        go = on(Pay, a.to(end))

    class Paying(Base):
        paid = State(entry=keep)
        pay = on(Pay, Base.a.to(paid))

    class Shipping(Base):
        shipped = State()
        paid = State(entry=count)
        ship = on(Ship, Base.a.to(shipped))

    class Both(Paying, Shipping):
        last = State()

    class Reversed(Shipping, Paying):
        pass

    # The most distant base first, by Python's own order (Both, Paying, Shipping, Base) from its end.
    assert list(states(Both)) == ["a", "end", "shipped", "paid", "last"]
    assert arcs(Both) == ["go:a -> end", "ship:a -> shipped", "pay:a -> paid"]
    assert [each.call for each in chart_of(Both).state("paid").entry] == [keep]
    assert arcs(Reversed) == ["go:a -> end", "pay:a -> paid", "ship:a -> shipped"]
    assert [each.call for each in chart_of(Reversed).state("paid").entry] == [count]


def test_a_base_without_states_gives_its_context_and_its_version() -> None:
    class Based(Lifecycle[Cart]):
        version = 4

    class Sub(Based):
        a = State(initial=True)
        b = Final()
        pay = on(Pay, a.to(b))

    assert chart_of(Sub).context_type is Cart
    assert chart_of(Sub).version == 4


def test_a_base_that_is_generic_in_its_context() -> None:
    def keep_any(context: C, event: EventMarker) -> C:
        return context

    class Approvable(Lifecycle[C]):
        drafted = State(initial=True, entry=keep_any)
        approved = Final()
        approve = on(Pay, drafted.to(approved), do=keep_any)

    class Explicit(Approvable[C], Generic[C]):
        pass

    class OrderApproval(Approvable[Order]):
        pass

    class CartApproval(Explicit[Cart]):
        rejected = Final()
        reject = on(Ship, Approvable.drafted.to(rejected))

    for base in (Approvable, Explicit):
        with pytest.raises(DefinitionError, match=f"{base.__name__}: has no chart"):
            chart_of(base)
    assert chart_of(OrderApproval).context_type is Order
    assert chart_of(CartApproval).context_type is Cart
    assert arcs(CartApproval) == ["approve:drafted -> approved", "reject:drafted -> rejected"]


def test_a_lifecycle_reserves_no_name_but_version() -> None:
    class Free(Lifecycle[Order]):
        send = State(initial=True)
        context = State()
        state = Final()
        start = on(Pay, send.to(context))
        name = on(Ship, context.to(state))

    assert list(states(Free)) == ["send", "context", "state"]


# Values.


@dataclass(frozen=True)
class Lend(EventMarker):
    book: str
    wire_name: ClassVar[str] = "book.lent"


@dataclass(frozen=True)
class Reminder(EffectMarker):
    book: str


@dataclass(frozen=True)
class Shelf(ContextMarker):
    books: tuple[str, ...] = ()


def take(shelf: Shelf, event: Lend) -> Actions[Shelf]:
    yield Reminder(event.book)
    return replace(shelf, books=(*shelf.books, event.book))


class Loan(Lifecycle[Shelf]):
    opened = State(initial=True)
    closed = Final()
    lend = on(Lend, opened.to(opened), do=take)
    close = on(Pay, opened.to(closed))


def test_frozen_dataclasses_are_events_contexts_and_effects_too() -> None:
    taken = Machine(Loan, Shelf()).send(Lend("Emma"))
    assert taken.snapshot.context == Shelf(("Emma",))
    assert taken.effects == (Reminder("Emma"),)
    assert chart_of(Loan).events == {"book.lent": Lend, "Pay": Pay}


def test_an_events_wire_name_is_its_own() -> None:
    class Named(Event):
        wire_name: ClassVar[str] = "named"

    class Sub(Named):
        pass

    assert [wire_name(each) for each in (Named, Sub, Pay, Lend, Reminder)] == [
        "named", "Sub", "Pay", "book.lent", "Reminder",
    ]  # fmt: skip
    assert Named().trigger_label() == "named"
    assert [Elapsed("a@b").trigger_label(), Done("a").trigger_label()] == ["elapsed(a@b)", "done(a)"]


def test_events_contexts_and_effects_can_not_be_changed() -> None:
    class Note(Effect):
        text: str = ""

    values: tuple[Any, ...] = (Pay(amount=1), Order(total=1), Note(), Meta(), Raise(Pay()))
    for value in values:
        with pytest.raises(AttributeError):
            setattr(value, msgspec.structs.fields(value)[0].name, None)
    assert Order(total=1).replace(total=2) == Order(total=2)
    with pytest.raises(TypeError):
        Order().replace(nothing=1)


def test_a_chart_survives_pickling() -> None:
    assert pickle.loads(pickle.dumps(chart_of(Loan))) is chart_of(Loan)
    table = Chart.from_table([("a", Pay, "b")], kind="Table", context=Order, initial="a", final=("b",))
    copied = pickle.loads(pickle.dumps(table))
    assert copied == table
    assert step(copied, start(copied, Order()).snapshot, Pay()).state == "b"


def test_charts_are_equal_by_their_digest() -> None:
    class OneLifecycle(Lifecycle[Order]):
        a = State(initial=True)
        b = Final()
        pay = on(Pay, a.to(b))

    first = chart_of(OneLifecycle)

    class TwoLifecycle(Lifecycle[Order], name="One"):
        a = State(initial=True, sla=HOUR, description="Something else.")
        b = Final()
        pay = on(Pay, a.to(b))

    assert first == chart_of(TwoLifecycle)
    assert hash(first) == hash(chart_of(TwoLifecycle))
    assert first != chart_of(Loan)
    assert first != "One"
    assert repr(first) == "<Chart One version 1: 2 states>"
