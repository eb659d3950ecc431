"""The kernel against the naive interpreter of `tests/reference`, on random charts and by hand.

Everything that a step says is compared, after every event: outcome or kind of refusal, microsteps,
configuration, history, context (in which each handler has left a line), effects, timers, unhandled events.
`STATEWARD_EXAMPLES` scales how many charts are drawn; a failure prints the case cut down to what matters.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings

from stateward.chart import Chart, Done, Elapsed, EventMarker, Meta, StateKind, wire_name
from stateward.errors import ActionFailed, EndlessLoop, Refusal
from stateward.kernel import Snapshot, Step, position_of
from stateward.kernel import start as kernel_start
from stateward.kernel import step as kernel_step
from tests.reference.charts import (
    Case,
    chart_from,
    general_case,
    general_cases,
    seeds,
    twelve_region_case,
)
from tests.reference.handlers import Boom, Log
from tests.reference.interpreter import (
    HandlerFault,
    ReferenceRefusal,
    ReferenceStep,
    start,
    step,
)
from tests.reference.reduction import reduce_case
from tests.reference.subtle import SUBTLE, Subtle

EXAMPLES = int(os.environ.get("STATEWARD_EXAMPLES", "1500"))

settings.register_profile(
    "reference",
    deadline=None,
    derandomize=False,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
REFERENCE = settings.get_profile("reference")
SEEDED = settings(REFERENCE, phases=[Phase.explicit, Phase.reuse, Phase.generate])

DONE_IS_REPORTED = False
"""Whether a Done event that enabled nothing is among `Step.unhandled`, as an event that was raised is."""

Answer = dict[str, Any]
"""What an engine said, in words that both share."""


class Disagreement(AssertionError):
    """The two engines differ, or one of them differs from itself."""


def counted(unhandled: tuple[EventMarker, ...]) -> tuple[EventMarker, ...]:
    """Those of the unhandled events that a step reports."""
    return tuple(each for each in unhandled if DONE_IS_REPORTED or not isinstance(each, Done))


def answer_of_reference(run: Callable[[], ReferenceStep | ReferenceRefusal]) -> tuple[Answer, Any]:
    """The reference's answer, and the snapshot that it leads to."""
    try:
        answer = run()
    except EndlessLoop:
        return {"fails": "EndlessLoop"}, None
    except (Boom, HandlerFault):
        return {"fails": "ActionFailed"}, None
    if isinstance(answer, ReferenceRefusal):
        return {"refused": answer.kind, "state": answer.state}, None
    return {
        "outcome": answer.outcome,
        "state": answer.state,
        "active": answer.snapshot.active,
        "history": dict(answer.snapshot.history),
        "context": answer.snapshot.context,
        "microsteps": tuple((m.exited, m.transitions, m.entered) for m in answer.microsteps),
        "effects": answer.effects,
        "timers set": answer.timers_set,
        "timers cancelled": answer.timers_cancelled,
        "unhandled": counted(answer.unhandled),
        "data": answer.data,
    }, answer.snapshot


def answer_of_kernel(run: Callable[[], Step[Log] | Refusal]) -> tuple[Answer, Any]:
    """The kernel's answer, and the step or refusal itself."""
    try:
        answer = run()
    except EndlessLoop:
        return {"fails": "EndlessLoop"}, None
    except ActionFailed:
        return {"fails": "ActionFailed"}, None
    if isinstance(answer, Refusal):
        return {"refused": answer.kind, "state": answer.state}, answer
    position = answer.snapshot.position
    return {
        "outcome": answer.outcome,
        "state": position.state,
        "active": position.active,
        "history": dict(position.history),
        "context": answer.snapshot.context,
        "microsteps": tuple((m.exited, m.transitions, m.entered) for m in answer.microsteps),
        "effects": answer.effects,
        "timers set": tuple((each.name, each.delay) for each in answer.timers_set),
        "timers cancelled": answer.timers_cancelled,
        "unhandled": counted(answer.unhandled),
        "data": answer.data,
    }, answer


def check_equal(what: str, expected: Answer, got: Answer) -> None:
    """Compare two answers and name the fields that differ."""
    if expected == got:
        return
    names = [name for name in {**expected, **got} if expected.get(name) != got.get(name)]
    lines = [f"{name}:\n    {expected.get(name)!r}\n    {got.get(name)!r}" for name in names]
    raise Disagreement(f"{what}:\n" + "\n".join(lines))


def check_legal(chart: Chart[Any], active: frozenset[str], what: str) -> None:
    """One child of every active composite, all children of every active parallel, and nothing beside them."""
    expected = {""}
    for state in chart.states:
        if state.path not in expected:
            continue
        children = [chart.states[i] for i in state.children if not chart.states[i].kind.is_history]
        if state.kind is StateKind.COMPOSITE:
            one = [child.path for child in children if child.path in active]
            if len(one) != 1:
                raise Disagreement(f"{what}: {state.path or 'the root'} has {one} active, not one child")
            expected.update(one)
        elif state.kind is StateKind.PARALLEL:
            expected.update(child.path for child in children)
    if set(active) != expected - {""}:
        raise Disagreement(f"{what}: no legal configuration, {sorted(active ^ (expected - {''}))} differ")


def check_case(case: Case, *, backwards: bool = True) -> None:
    """Run both engines side by side, the kernel on warm tables and once more on cold ones."""
    chart = chart_from(case.draft)
    has_started = check_run(case, chart)
    if backwards and has_started:
        check_run(replace(case, events=case.events[::-1]), chart)


def check_run(case: Case, chart: Chart[Log]) -> bool:
    """One sequence of events, from the start, on a chart whose tables may know much already.

    Returns:
        Whether there was anything to send events to.
    """
    trail: list[tuple[Snapshot[Log], EventMarker, Meta, Answer]] = []
    meta = case.meta(0)
    expected, reference = answer_of_reference(lambda: start(chart, case.context, meta))
    got, first = answer_of_kernel(lambda: kernel_start(chart, case.context, meta or Meta()))
    check_equal("the start", expected, got)
    again, first_again = answer_of_kernel(lambda: kernel_start(chart, case.context, meta or Meta()))
    check_equal("the start, once more", got, again)
    if first is None:
        return False
    check_legal(chart, got["active"], "the start")
    check_same(first, first_again, "the start, once more")
    snapshot = first.snapshot
    for number, event in enumerate(case.events, start=1):
        what = f"step {number}, {event!r} in {snapshot.position.state}"
        meta = case.meta(number)
        before = snapshot
        expected, next_reference = answer_of_reference(lambda: step(chart, reference, event, meta))  # noqa: B023
        run = lambda: kernel_step(chart, before, event, meta or Meta())  # noqa: B023, E731
        got, answer = answer_of_kernel(run)
        check_equal(what, expected, got)
        again, answer_again = answer_of_kernel(run)
        check_equal(f"{what}, once more", got, again)
        check_same(answer, answer_again, f"{what}, once more")
        trail.append((before, event, meta or Meta(), got))
        if isinstance(answer, Refusal):
            name = event.timer if isinstance(event, Elapsed) else wire_name(type(event))
            if answer.lifecycle != chart.kind or name not in answer.event:
                raise Disagreement(f"{what}: the refusal names {answer.lifecycle} and {answer.event}")
        elif answer is not None:
            check_legal(chart, got["active"], what)
            snapshot, reference = answer.snapshot, next_reference
    check_cold(case, trail)
    return True


def check_same(one: object, other: object, what: str) -> None:
    """Equal by value, as two runs of one step must be."""
    if one != other:
        raise Disagreement(f"{what}: {one!r} is not {other!r}")


def check_cold(case: Case, trail: list[tuple[Snapshot[Log], EventMarker, Meta, Answer]]) -> None:
    """The same steps on a second chart whose tables are empty, the last step first."""
    cold = chart_from(case.draft)
    for before, event, meta, warm in reversed(trail):
        position = position_of(cold, before.position.state, before.position.history)
        snapshot = Snapshot(position, before.context)
        got, _ = answer_of_kernel(lambda: kernel_step(cold, snapshot, event, meta))  # noqa: B023
        check_equal(f"{event!r} in {position.state}, on cold tables", warm, got)


def fails(case: Case) -> bool:
    """Whether the engines disagree on a case, for the reduction."""
    try:
        check_case(case, backwards=False)
    except Disagreement:
        return True
    except RecursionError:  # a history that a cut has made lead to itself
        return False
    return False


def check_seeded(case: Case) -> None:
    """As `check_case`; a failure is cut down and told with the case that is left."""
    try:
        check_case(case)
    except Disagreement:
        turned = replace(case, events=case.events[::-1])
        failing = next((each for each in (case, turned) if fails(each)), None)
        if failing is None:
            raise  # only the two runs on one chart after each other show it
        small = reduce_case(failing, fails)
        note(repr(small))
        check_case(small, backwards=False)
        raise


@pytest.mark.parametrize("subtle", SUBTLE, ids=lambda each: each.name)
def test_kernel_agrees_on_the_charts_by_hand(subtle: Subtle) -> None:
    check_case(subtle.case)


@settings(SEEDED, max_examples=EXAMPLES)
@given(seeds)
def test_kernel_does_what_the_algorithm_says(seed: int) -> None:
    check_seeded(general_case(seed))


@settings(REFERENCE, max_examples=max(1, EXAMPLES // 5))
@given(general_cases())
def test_kernel_does_what_the_algorithm_says_on_cases_that_shrink(case: Case) -> None:
    check_case(case)


@settings(SEEDED, max_examples=max(1, EXAMPLES * 2 // 15))
@given(seeds)
def test_kernel_does_what_the_algorithm_says_in_twelve_regions(seed: int) -> None:
    check_seeded(twelve_region_case(seed))
