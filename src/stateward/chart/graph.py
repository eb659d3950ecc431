"""Questions about a chart as a graph: what can be reached, what can finish, what is never taken.

Guards are taken as open and events as sent in any order, so `reachable` and `able_to_finish` may hold too much
for possible, never too little; what `find_blocked` names really is never taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stateward.chart.nodes import Chart, EventTrigger, StateKind, StateNode, TransitionNode

__all__ = ["able_to_finish", "find_blocked", "lineage", "reachable", "top_finals"]


def top_finals(chart: Chart[Any]) -> frozenset[int]:
    """The states that finish the lifecycle."""
    children = (chart.states[index] for index in chart.states[0].children)
    return frozenset(state.index for state in children if state.kind is StateKind.FINAL)


def lineage(chart: Chart[Any], state: StateNode) -> Iterator[StateNode]:
    """A state and its ancestors, the nearest first, the root last."""
    yield state
    while state.parent is not None:
        state = chart.states[state.parent]
        yield state


def reachable(chart: Chart[Any]) -> frozenset[int]:
    """The states that some sequence of events may make active, the root included; no history is active."""
    return _Reach(chart).run()


class _Reach:
    """The search behind `reachable`: a state is active by itself, or entered, and then starts what it holds."""

    def __init__(self, chart: Chart[Any]) -> None:
        self._states = chart.states
        self._chart = chart
        self._from: dict[int, list[TransitionNode]] = {}
        for each in chart.transitions:
            self._from.setdefault(each.source, []).append(each)
        self._active: set[int] = set()
        self._entered: set[int] = set()
        self._restoring: set[int] = set()
        """Parents of shallow histories: whichever of their children was active may be entered anew."""
        self._todo = [0]

    def run(self) -> frozenset[int]:
        while self._todo:
            index = self._todo.pop()
            if index not in self._entered:
                self._entered.add(index)
                self._enter(self._states[index])
        return frozenset(self._active)

    def _enter(self, state: StateNode) -> None:
        if state.kind.is_history:
            self._enter_history(state)
            return
        below: StateNode | None = None
        for each in lineage(self._chart, state):
            self._activate(each)
            if each.kind is StateKind.PARALLEL:
                regions = (self._states[index] for index in each.children)
                self._todo += [r.index for r in regions if r is not below and not r.kind.is_history]
            below = each
        if state.kind is StateKind.COMPOSITE:
            self._todo += state.initial

    def _enter_history(self, state: StateNode) -> None:
        self._todo += state.default
        parent = state.parent or 0
        if state.kind is StateKind.SHALLOW_HISTORY and parent not in self._restoring:
            self._restoring.add(parent)
            self._todo += [child for child in self._states[parent].children if child in self._active]

    def _activate(self, state: StateNode) -> None:
        if state.index in self._active:
            return
        self._active.add(state.index)
        if state.parent in self._restoring:
            self._todo.append(state.index)
        for transition in self._from.get(state.index, ()):
            self._todo += transition.targets


def able_to_finish(chart: Chart[Any]) -> frozenset[int]:
    """The atomic states from which some sequence of events may lead to a top-level final state."""
    comes_from: dict[object, list[object]] = {}
    for source, target in _leads(chart):
        comes_from.setdefault(target, []).append(source)
    able: set[object] = set(top_finals(chart))
    todo: list[object] = list(able)
    while todo:
        for source in comes_from.get(todo.pop(), ()):
            if source not in able:
                able.add(source)
                todo.append(source)
    return frozenset(index for index in able if isinstance(index, int))


def _leads(chart: Chart[Any]) -> Iterator[tuple[object, object]]:
    """Pairs of a state and one that may be active after it; `("in", region)` stands for any state of a region.

    A composite or a parallel stands for having been entered. What is active at the same time in other regions
    may move on too, and take the whole parallel with it.
    """
    states = chart.states
    for transition in chart.transitions:
        for target in transition.targets:
            yield ("of", transition.source), target
    for state in states:
        yield state.index, ("of", state.index)
        if state.parent is not None:
            yield ("of", state.index), ("of", state.parent)
            yield ("in", state.parent), ("in", state.index)
            yield ("in", state.index), state.index
        if state.kind is StateKind.COMPOSITE:
            yield from ((state.index, index) for index in state.initial)
        elif state.kind is StateKind.PARALLEL:
            regions = [index for index in state.children if not states[index].kind.is_history]
            yield from ((state.index, index) for index in regions)
            yield from ((("of", one), ("in", other)) for one in regions for other in regions if one != other)
        elif state.kind.is_history:
            yield state.index, ("in", state.parent)


def find_blocked(chart: Chart[Any], live: frozenset[int]) -> Iterator[tuple[TransitionNode, TransitionNode]]:
    """The transitions that are never taken, each with an unguarded one that is taken instead.

    Within one source the earlier arc wins, a descendant's wins over an ancestor's, and an eventless one over
    all that wait for something. So an outer transition is never taken if whichever of the states inside is
    active has such an arc; where regions are active at once, one of them is enough if both arcs move.

    Args:
        chart: the chart.
        live: the states that can be active, from `reachable`; transitions of others are left out.
    """
    unguarded: dict[int, list[TransitionNode]] = {}
    for each in chart.transitions:
        if each.guard is None:
            unguarded.setdefault(each.source, []).append(each)
    for transition in chart.transitions:
        if transition.source in live:
            blocker = _Blocking(chart, unguarded, live, transition).find()
            if blocker is not None:
                yield transition, blocker


class _Blocking:
    """The search for what is taken instead of one transition, down from its source."""

    def __init__(
        self,
        chart: Chart[Any],
        unguarded: dict[int, list[TransitionNode]],
        live: frozenset[int],
        transition: TransitionNode,
    ) -> None:
        self._chart = chart
        self._unguarded = unguarded
        self._live = live
        self._transition = transition

    def find(self) -> TransitionNode | None:
        source = self._chart.states[self._transition.source]
        return self._above(source) or self._inside(source)

    def _above(self, source: StateNode) -> TransitionNode | None:
        """An eventless transition of an ancestor: it is taken before any event is looked at."""
        if self._transition.trigger is None:
            return None
        above = (each for state in lineage(self._chart, source) for each in self._unguarded.get(state.index, ()))
        return next((each for each in above if each.trigger is None), None)

    def _inside(self, state: StateNode) -> TransitionNode | None:
        """What is taken instead while this state is active: by itself, or by whatever is active in it."""
        for each in self._unguarded.get(state.index, ()):
            if self._wins(each):
                return each
        children = [self._chart.states[index] for index in state.children if index in self._live]
        blockers = [self._inside(child) for child in children]
        if state.kind is StateKind.PARALLEL and self._transition.targets:
            for region, blocker in zip(children, blockers, strict=True):
                if blocker is not None and not self._may_stay(region):
                    return blocker
        return blockers[0] if blockers and all(blockers) else None

    def _may_stay(self, region: StateNode) -> bool:
        """Whether a region may take the same without moving: then it leaves an arc around it its way."""
        return any(
            not each.targets
            and (_covers(each, self._transition) or _covers(self._transition, each))
            and region in lineage(self._chart, self._chart.states[each.source])
            for each in self._chart.transitions
        )

    def _wins(self, other: TransitionNode) -> bool:
        """Whether an unguarded transition of the same source, or of a state inside, is taken before ours."""
        ours = self._transition
        if other.trigger is None and ours.trigger is not None:
            return True
        if other.source == ours.source and other.index >= ours.index:
            return False
        return _covers(other, ours)


def _covers(one: TransitionNode, other: TransitionNode) -> bool:
    """Whether whatever triggers `other` triggers `one` too."""
    if isinstance(one.trigger, EventTrigger) and isinstance(other.trigger, EventTrigger):
        return issubclass(other.trigger.event, one.trigger.event)
    return one.trigger == other.trigger
