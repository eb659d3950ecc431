"""Making a failing case small: whatever can be left out while it still fails is left out.

Hypothesis shrinks what it has drawn choice by choice, which for a whole chart is slow and, for a chart made
from a seed, impossible. Here the chart itself is cut: events, transitions, handlers, states.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from stateward.chart.draft import StateDraft
from stateward.errors import DefinitionError
from tests.reference.charts import Case, chart_from

__all__ = ["reduce_case"]

ROUNDS_MAX = 30

_Cut = Callable[[Case], Case]


def reduce_case(case: Case, fails: Callable[[Case], bool]) -> Case:
    """The smallest case found that is well formed and still fails."""
    for _ in range(ROUNDS_MAX):
        smaller = _one_round(case, fails)
        if smaller is None:
            break
        case = smaller
    return case


def _one_round(case: Case, fails: Callable[[Case], bool]) -> Case | None:
    """Every cut tried once, each on what the cuts before it have left."""
    best: Case | None = None
    number = 0
    while True:
        cuts = list(_cuts(best or case))
        if number >= len(cuts):
            return best
        tried = cuts[number](best or case)
        if _is_well_formed(tried) and fails(tried):
            best = tried  # the cuts are numbered anew, so the same number is another cut
        else:
            number += 1


def _is_well_formed(case: Case) -> bool:
    try:
        chart_from(copy.deepcopy(case.draft))
    except DefinitionError:
        return False
    return True


def _cuts(case: Case) -> Iterator[_Cut]:
    """Everything that could be left out, large things first."""
    for size in (8, 4, 2, 1):
        for at in range(0, len(case.events), size):
            yield partial(_without_events, at=at, size=size)
    for state in list(case.draft.root.walk())[1:]:
        yield partial(_in_draft, partial(_drop_state, path=state.path))
    for at in range(len(case.draft.transitions)):
        yield partial(_in_draft, partial(_drop_transition, at=at))
    yield from _cuts_of_the_whole(case)
    for path, name, empty in _told_of_states(case):
        yield partial(_in_draft, partial(_clear_in_state, path=path, name=name, empty=empty))
    for at, transition in enumerate(case.draft.transitions):
        for name, empty in _TOLD_OF_TRANSITIONS:
            if getattr(transition, name):
                yield partial(_in_draft, partial(_clear_in_transition, at=at, name=name, empty=empty))


def _cuts_of_the_whole(case: Case) -> Iterator[_Cut]:
    if case.draft.already:
        yield partial(_in_draft, _drop_already)
    for name in ("before", "guard_error"):
        if getattr(case.draft, name) is not None:
            yield partial(_in_draft, partial(_clear_in_chart, name=name))
    if case.has_meta:
        yield partial(replace, has_meta=False)
    if case.context.fuel:
        yield lambda each: replace(each, context=each.context.replace(fuel=each.context.fuel // 2))


_TOLD_OF_TRANSITIONS: tuple[tuple[str, object], ...] = (
    ("guard", None),
    ("actions", ()),
    ("internal", False),
    ("targets", ()),
)


def _told_of_states(case: Case) -> Iterator[tuple[str, str, object]]:
    """What each state says that could be unsaid, by path and field, with what says nothing."""
    for state in case.draft.root.walk():
        for name in ("entry", "exit", "initial_actions", "default_actions"):
            if getattr(state, name):
                yield state.path, name, ()
        if state.data is not None:
            yield state.path, "data", None
        if len(state.initial) > 1:
            yield state.path, "initial", state.initial[:1]


def _in_draft(cut: Callable[[Case], None], case: Case) -> Case:
    """A cut that changes the draft, made on a copy of it."""
    copied = replace(case, draft=copy.deepcopy(case.draft))
    cut(copied)
    return copied


def _without_events(case: Case, at: int, size: int) -> Case:
    return replace(case, events=case.events[:at] + case.events[at + size :])


def _drop_transition(case: Case, at: int) -> None:
    del case.draft.transitions[at]


def _drop_already(case: Case) -> None:
    case.draft.already.clear()


def _clear_in_chart(case: Case, name: str) -> None:
    setattr(case.draft, name, None)


def _clear_in_state(case: Case, path: str, name: str, empty: object) -> None:
    setattr(_find(case, path), name, empty)


def _clear_in_transition(case: Case, at: int, name: str, empty: object) -> None:
    setattr(case.draft.transitions[at], name, empty)


def _find(case: Case, path: str) -> StateDraft:
    return next(state for state in case.draft.root.walk() if state.path == path)


def _drop_state(case: Case, path: str) -> None:
    """Take out a state, all below it, and every mention of them."""
    parent = next(state for state in case.draft.root.walk() if any(c.path == path for c in state.children))
    dropped = {state.path for state in _find(case, path).walk()}
    was_initial = any(child.path == path and child.is_initial for child in parent.children)
    parent.children = [child for child in parent.children if child.path != path]
    for state in case.draft.root.walk():
        state.initial = tuple(each for each in state.initial if each not in dropped)
        state.default = tuple(each for each in state.default if each not in dropped)
    remaining = [child for child in parent.children if not child.kind.is_history]
    if was_initial and remaining:
        remaining[0].is_initial = True
    case.draft.transitions[:] = [
        t for t in case.draft.transitions if t.source not in dropped and not dropped & {*t.targets}
    ]
    for each in case.draft.already:
        each.states = tuple(state for state in each.states if state not in dropped)
