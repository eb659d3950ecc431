"""Refusals are values with a reason, and `explain` says what each guard read."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from stateward import (
    Composite,
    Context,
    Elapsed,
    Event,
    EventMarker,
    Final,
    Lifecycle,
    Meta,
    Refusal,
    State,
    Step,
    after,
    always,
    chart_of,
    nested,
    on,
    start,
    step,
)
from stateward.kernel import accepts, explain

pytestmark = pytest.mark.filterwarnings("ignore::stateward.DefinitionWarning")


class Address(Context):
    city: str = "Rome"


class Order(Context):
    total: int = 100
    address: Address = Address()
    tags: frozenset[str] = frozenset()

    @property
    def is_large(self) -> bool:
        return self.total > 1000

    def is_at(self, city: str) -> bool:
        return self.address.city == city


class Pay(Event):
    amount: int = 0


class Ship(Event):
    pass


class Cancel(Event):
    pass


class Note(Event):
    pass


def covers(order: Order, event: Pay) -> bool:
    return event.amount >= order.total


def is_local(order: Order, event: Event) -> bool:
    return order.is_at("Paris") or order.is_large


def is_tagged(order: Order, event: Event) -> bool:
    return "vip" in order.tags


def equals_default(order: Order, event: Event) -> bool:
    return order == Order(total=1)


def is_daytime(order: Order, event: Event, meta: Meta) -> bool:
    return meta.now is not None and 8 <= meta.now.hour < 20


def breaks(order: Order, event: Event) -> bool:
    return 1 // (order.total - 100) > 0


class Life(Lifecycle[Order]):
    pending = State(initial=True)
    paid = State()
    shipped = State()
    cancelled = Final()

    pay = on(Pay, pending.to(paid, when=covers), already=paid | cancelled)
    ship = on(
        Ship, paid.to(shipped, when=is_local), paid.to(shipped, when=is_tagged), paid.to(shipped, when=is_daytime)
    )
    cancel = on(Cancel, (pending | paid).to(cancelled))
    expire = after(timedelta(days=1), pending.to(cancelled))


CHART = chart_of(Life)


def at(state: str, order: Order | None = None) -> Step[Order]:
    """A step that led to a state, by the shortest way."""
    answer: Step[Order] | Refusal = start(CHART, order or Order())
    ways: dict[str, list[EventMarker]] = {"pending": [], "paid": [Pay(amount=10_000)], "cancelled": [Cancel()]}
    for event in ways[state]:
        assert isinstance(answer, Step)
        answer = step(CHART, answer.snapshot, event)
    assert isinstance(answer, Step)
    return answer


@pytest.mark.parametrize(
    ("state", "event", "kind"),
    [
        ("pending", Note(), "unknown"),
        ("cancelled", Note(), "unknown"),
        ("cancelled", Cancel(), "finished"),
        ("pending", Pay(amount=1), "guarded"),
        ("pending", Ship(), "illegal"),
        ("paid", Elapsed("expire@pending"), "illegal"),
        ("pending", Elapsed("expire@paid"), "unknown"),
    ],
)
def test_a_refusal_has_the_first_kind_that_holds(state: str, event: Event, kind: str) -> None:
    before = at(state).snapshot
    answer = step(CHART, before, event)
    assert isinstance(answer, Refusal)
    assert (answer.kind, answer.lifecycle, answer.state) == (kind, "Life", state)
    assert answer.event == event.trigger_label()
    assert event.trigger_label() in str(answer)
    assert pickle.loads(pickle.dumps(answer)) == answer
    assert not accepts(before, event)
    # Asked again, it is answered from memory; it stays the same.
    assert step(CHART, before, event) == answer


@pytest.mark.parametrize("state", ["paid", "cancelled"])
def test_already_done_is_a_step_without_change_also_in_a_final_state(state: str) -> None:
    before = at(state).snapshot
    answer = step(CHART, before, Pay(amount=1))
    assert isinstance(answer, Step)
    assert answer.outcome == "already_done"
    assert answer.snapshot is before
    assert answer == Step((), before, outcome="already_done")
    assert accepts(before, Pay(amount=1))


def test_an_event_that_enables_nothing_is_applied_if_an_eventless_transition_looks_at_it() -> None:
    def is_note(order: Order, event: Event) -> bool:
        return isinstance(event, Note)

    class Watching(Lifecycle[Order]):
        a = State(initial=True)
        b = State()
        go = always(a.to(b), when=is_note)
        other = on(Ship, b.to(a))

    chart = chart_of(Watching)
    begin = start(chart, Order()).snapshot
    answer = step(chart, begin, Note())
    assert isinstance(answer, Step)
    assert answer.state == "b"
    assert accepts(begin, Note())
    refused = step(chart, begin, Ship())
    assert isinstance(refused, Refusal)
    assert refused.kind == "illegal"


def test_why_lists_each_candidate_with_what_its_guard_read() -> None:
    explanation = explain(at("paid").snapshot, Ship(), Meta(now=datetime(2026, 1, 1, 3, tzinfo=UTC)))
    assert explanation.outcome == "guarded"
    assert not explanation.is_accepted
    local, tagged, daytime = explanation.candidates
    assert local.source == "paid"
    assert local.targets == ("shipped",)
    assert local.guard == "is_local"
    assert local.verdict is False
    assert [(read.name, read.value) for read in local.reads] == [
        ("context.address.city", "Rome"),
        ("context.total", 100),
    ]
    assert [read.name for read in tagged.reads] == ["context.tags"]
    assert [read.name for read in daytime.reads] == ["meta.now"]
    text = str(explanation)
    assert "is_local said no (context.address.city = 'Rome', context.total = 100)" in text


def test_why_says_where_the_event_would_be_accepted_when_nothing_here_waits_for_it() -> None:
    explanation = explain(at("pending").snapshot, Ship())
    assert explanation.outcome == "illegal"
    assert explanation.candidates == ()
    assert explanation.elsewhere == ("paid",)
    assert "it is accepted in paid" in str(explanation)


def test_why_of_an_accepted_event_says_where_it_leads() -> None:
    explanation = explain(at("pending").snapshot, Pay(amount=100))
    assert explanation.is_accepted
    assert explanation.reason == "leads to paid"
    assert explain(at("paid").snapshot, Pay(amount=1)).outcome == "already_done"


def test_what_a_proxy_cannot_see_is_labelled_opaque_and_a_raising_guard_is_told() -> None:
    class Odd(Lifecycle[Order]):
        a = State(initial=True)
        b = State()
        compare = on(Ship, a.to(b, when=equals_default))
        divide = on(Pay, a.to(b, when=breaks))

    begin = start(chart_of(Odd), Order()).snapshot
    (compared,) = explain(begin, Ship()).candidates
    assert compared.is_opaque
    assert "opaque" in str(compared)
    broken = explain(begin, Pay())
    assert broken.outcome == "failed"
    assert broken.candidates[0].verdict is None
    assert "ZeroDivisionError" in str(broken)
    assert [read.name for read in broken.candidates[0].reads] == ["context.total"]


def test_what_is_no_event_is_told_as_when_it_is_sent() -> None:
    with pytest.raises(TypeError, match="is no event"):
        explain(at("pending").snapshot, "Pay")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_a_guard_that_asks_for_the_class_gets_the_real_one_and_changes_nothing() -> None:
    def is_order(order: Order, event: Event) -> bool:
        return isinstance(order, Order) and type(order).__name__ != ""

    class Odd(Lifecycle[Order]):
        a = State(initial=True)
        b = State()
        go = on(Ship, a.to(b, when=is_order))

    (candidate,) = explain(start(chart_of(Odd), Order()).snapshot, Ship()).candidates
    assert candidate.verdict is True


def test_an_ancestors_candidate_shared_by_regions_is_listed_once() -> None:
    from stateward import Parallel

    class Both(Lifecycle[Order]):
        @nested(initial=True)
        class both(Parallel):
            class left(Composite):
                a = State(initial=True)

            class right(Composite):
                b = State(initial=True)

        end = Final()
        go = on(Ship, both.to(end, when=is_tagged))

    explanation = explain(start(chart_of(Both), Order()).snapshot, Ship())
    assert [each.transition for each in explanation.candidates] == ["go:both"]


@dataclass(frozen=True)
class Loose(EventMarker):
    """An event that is no Struct."""

    size: int


def test_dataclass_events_are_stepped_and_explained_alike() -> None:
    def is_big(order: Order, event: Loose) -> bool:
        return event.size > 3

    class Odd(Lifecycle[Order]):
        a = State(initial=True)
        b = State()
        go = on(Loose, a.to(b, when=is_big))

    chart = chart_of(Odd)
    begin = start(chart, Order()).snapshot
    refused = step(chart, begin, Loose(1))
    assert isinstance(refused, Refusal)
    (candidate,) = explain(begin, Loose(1)).candidates
    assert [(read.name, read.value) for read in candidate.reads] == [("event.size", 1)]
