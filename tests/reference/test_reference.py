"""The reference itself: against answers worked out by hand, and for what the random charts reach."""

from __future__ import annotations

import pytest

from tests.reference.charts import chart_from, general_case, twelve_region_case
from tests.reference.coverage import POINTS, measure, points_of
from tests.reference.handlers import Log
from tests.reference.interpreter import ReferenceRefusal, ReferenceStep, start, step
from tests.reference.subtle import SUBTLE, Said, Subtle


def as_said(answer: ReferenceStep | ReferenceRefusal, before: Log) -> Said:
    """An answer in the words of `subtle`."""
    if isinstance(answer, ReferenceRefusal):
        return Said(refused=answer.kind, state=answer.state)
    if answer.outcome == "already_done":
        return Said(already=True, state=answer.state)
    added = answer.snapshot.context.entries[len(before.entries) :]
    return Said(
        log=" ".join(added),
        state=answer.state,
        unhandled=answer.unhandled,
        timers_set=tuple(name for name, _ in answer.timers_set),
        timers_cancelled=answer.timers_cancelled,
    )


@pytest.mark.parametrize("subtle", SUBTLE, ids=lambda each: each.name)
def test_reference_answers_as_worked_out_by_hand(subtle: Subtle) -> None:
    chart = chart_from(subtle.draft)
    taken = start(chart, Log())
    assert as_said(taken, Log()) == subtle.start
    snapshot = taken.snapshot
    for event, expected in subtle.events:
        answer = step(chart, snapshot, event)
        assert as_said(answer, snapshot.context) == expected, event
        if isinstance(answer, ReferenceStep):
            snapshot = answer.snapshot


@pytest.mark.parametrize("subtle", SUBTLE, ids=lambda each: each.name)
def test_a_chart_by_hand_passes_the_points_that_it_is_there_for(subtle: Subtle) -> None:
    assert subtle.points <= set(POINTS)
    assert subtle.points <= points_of(subtle.case)


def test_random_charts_pass_every_point() -> None:
    """Fixed seeds, so that it says the same each time; the rarest points need some hundreds of charts."""
    count = measure(general_case, range(600)) + measure(twelve_region_case, range(60))
    assert [point for point in POINTS if not count[point]] == []
