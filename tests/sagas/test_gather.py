"""Every gathering of one to four facts: all orders, doubles, and the time running out in between."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from stateward import (
    Chart,
    Elapsed,
    Event,
    EventMarker,
    Fact,
    Final,
    Gather,
    Machine,
    Parallel,
    Patience,
    Refusal,
    Snapshot,
    State,
    Step,
    StopWaiting,
    WaitLonger,
    chart_of,
    missing_facts,
    nested,
    on,
    start,
    step,
    stop_on,
)
from stateward.chart.lint import lint
from stateward.chart.mermaid import to_mermaid
from tests.sagas.making import MOST, Ask, Stop, Trip, fact_of, make_gathering

COUNTS = range(1, MOST + 1)
EXPIRY = "gathering.patience.expire@gathering.patience.in_time"
HOUR = timedelta(hours=1)


def said(lifecycle: type[Gather[Any]], snapshot: Snapshot[Trip]) -> tuple[str, frozenset[str]]:
    """Where it stands, in words of its promise."""
    position = snapshot.position
    if not position.is_in("gathering"):
        return position.state, frozenset()
    time = "overdue" if position.is_in("gathering.patience.overdue") else "in time"
    return time, frozenset(missing_facts(lifecycle, position.state))


@pytest.mark.parametrize("count", COUNTS)
def test_facts_are_gathered_in_every_order_however_often_they_come_and_whenever_the_time_is_up(count: int) -> None:
    lifecycle = make_gathering(count)
    chart = chart_of(lifecycle)
    facts = range(count)
    for order in itertools.permutations(facts):
        # After so many facts the time is up; behind the last of them it never is.
        for expires in range(count + 1):
            snapshot = start(chart, Trip()).snapshot
            for number, fact in enumerate(order):
                if number == expires:
                    snapshot = applied(chart, snapshot, Elapsed(EXPIRY))
                snapshot = applied(chart, snapshot, fact_of(fact)())
                assert snapshot.context.kept == set(order[: number + 1])
                for double in order[: number + 1]:
                    again = step(chart, snapshot, fact_of(double)())
                    assert isinstance(again, Step)
                    assert (again.outcome, again.snapshot, again.effects) == ("already_done", snapshot, ())
                if number + 1 < count:
                    time = "overdue" if number >= expires else "in time"
                    missing = frozenset("abcd"[each] for each in order[number + 1 :])
                    assert said(lifecycle, snapshot) == (time, missing)
            assert snapshot.state == "complete"


def applied(chart: Chart[Trip], snapshot: Snapshot[Trip], event: EventMarker) -> Snapshot[Trip]:
    answer = step(chart, snapshot, event)
    assert isinstance(answer, Step), answer
    assert answer.outcome == "applied"
    return answer.snapshot


def every_event(chart: Chart[Any]) -> Iterator[EventMarker]:
    for event in chart.events.values():
        yield event(reason="") if event in (WaitLonger, StopWaiting) else event()
    yield Elapsed(EXPIRY)


@pytest.mark.parametrize("count", COUNTS)
def test_from_wherever_a_gathering_stands_each_event_leads_where_it_is_said_to(count: int) -> None:
    lifecycle = make_gathering(count)
    chart = chart_of(lifecycle)
    begun = start(chart, Trip())
    assert begun.effects == tuple(Ask(each) for each in range(count))
    todo, seen = [begun.snapshot], {begun.snapshot}
    while todo:
        snapshot = todo.pop()
        for event in every_event(chart):
            answer = step(chart, snapshot, event)
            expected = expect(lifecycle, snapshot, event)
            if isinstance(answer, Refusal):
                assert expected is None, (snapshot, event)
                continue
            assert said(lifecycle, answer.snapshot) == expected, (snapshot, event)
            is_change = said(lifecycle, snapshot) != expected
            assert (answer.outcome == "applied") == is_change
            if answer.snapshot not in seen:
                seen.add(answer.snapshot)
                todo.append(answer.snapshot)
    # Each subset of missing facts but the empty one, in time and overdue; given up with each; complete.
    assert len(seen) == 3 * (2**count - 1) + 1


def expect(
    lifecycle: type[Gather[Any]], snapshot: Snapshot[Trip], event: EventMarker
) -> tuple[str, frozenset[str]] | None:
    """Where an event leads, by what a gathering promises; None: it is refused."""
    time, missing = said(lifecycle, snapshot)
    name = type(event).__name__
    if name.startswith("Fact"):
        rest = missing - {"abcd"[int(name[-1])]}
        if time == "given_up":
            return None
        return (time, rest) if rest else ("complete", frozenset())
    if isinstance(event, Stop):
        return None if time == "complete" else ("given_up", frozenset())
    if isinstance(event, StopWaiting):
        return ("given_up", frozenset()) if time in ("overdue", "given_up") else None
    if isinstance(event, WaitLonger):
        return ("in time", missing) if time in ("overdue", "in time") else None
    assert isinstance(event, Elapsed)
    return ("overdue", missing) if time == "in time" else None


def test_the_time_runs_from_the_beginning_and_anew_when_people_wait_longer() -> None:
    machine = Machine(make_gathering(2), Trip())
    assert [(each.name, each.delay) for each in machine.started.timers_set] == [(EXPIRY, HOUR)]
    machine.send(Elapsed(EXPIRY))
    assert machine.send(fact_of(0)()).timers_set == ()
    longer = machine.send(WaitLonger(reason="the bank says tomorrow"))
    assert [(each.name, each.delay) for each in longer.timers_set] == [(EXPIRY, HOUR)]
    assert missing_facts(make_gathering(2), machine.state) == ("b",)
    assert machine.send(fact_of(1)()).timers_cancelled == (EXPIRY,)


@pytest.mark.parametrize("count", COUNTS)
def test_a_gathering_is_a_chart_like_any_other(count: int) -> None:
    chart = chart_of(make_gathering(count))
    assert lint(chart) == []
    assert to_mermaid(chart).startswith("stateDiagram-v2\n")
    again = Chart.from_document(chart.to_document(), context=Trip, events=chart.events, handlers=chart.handlers)
    assert again.digest == chart.digest == chart_of(make_gathering(count)).digest


class Begin(Event):
    pass


class Leave(Event):
    pass


class FirstCame(Event):
    pass


class FirstCameByPost(FirstCame):
    pass


class SecondCame(Event):
    pass


def note(trip: Trip, event: Event) -> Trip:
    return trip.replace(kept=trip.kept | {9})


def a_while(trip: Trip) -> timedelta:
    return HOUR * (1 + len(trip.kept))


def with_states_of_its_own() -> type[Gather[Trip]]:
    class Wide(Gather[Trip]):
        asked = State(initial=True)

        @nested(entry=note, sla=HOUR)
        class gathering(Parallel):
            """All that a trip takes."""

        left = Final()

        first = Fact(FirstCame, missing=State(name="not_here", sla=HOUR))
        second = Fact(SecondCame)
        time = Patience(a_while, in_time=State(name="early"), overdue=State(name="late", entry=note))
        complete = State(name="ready")
        given_up = State()

        begin = on(Begin, asked.to(gathering))
        leave = on(Leave, (complete | given_up | time.overdue).to(left))
        refused = stop_on(Stop, do=note)

    return Wide


def test_its_body_may_have_states_of_its_own_and_name_those_that_are_made() -> None:
    wide = with_states_of_its_own()
    chart = chart_of(wide)
    assert lint(chart) == []
    machine = Machine(wide, Trip())
    assert machine.state == "asked"
    assert missing_facts(wide, machine.state) == ()
    begun = machine.send(Begin())
    assert machine.state == ("gathering.facts.first.not_here|gathering.facts.second.missing|gathering.time.early")
    assert machine.context.kept == {9}
    assert begun.timers_set[0].delay == 2 * HOUR
    assert machine.is_in(wide.first.missing)  # type: ignore[attr-defined] # pyright: ignore
    machine.send(FirstCameByPost())
    assert missing_facts(wide, machine.state) == ("second",)
    machine.send(SecondCame())
    assert machine.state == "ready"
    assert machine.send(FirstCame()).outcome == "already_done"
    machine.send(Leave())
    assert machine.state == "left"
    assert chart.state("gathering").description == "All that a trip takes."


def test_what_extends_a_gathering_has_its_facts() -> None:
    wide = with_states_of_its_own()

    class Wider(wide):  # type: ignore[misc, valid-type] # pyright: ignore
        lost = Final()
        lose = on(Leave, wide.first.missing.to(lost))  # type: ignore[attr-defined] # pyright: ignore

    machine = Machine(Wider, Trip())
    machine.send(Begin())
    assert missing_facts(Wider, machine.state) == ("first", "second")
    machine.send(Leave())
    assert machine.state == "lost"
