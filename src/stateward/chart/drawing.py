"""What a drawing of a chart holds, before it is written in any syntax: marks, arrows, and where they stand.

States are drawn as they are nested. Arrows that no common syntax can draw are given a mark of their own:

- an arc from a composite to a state inside it starts at `any of <composite>`, since it is taken from
  whichever of its states is active;
- an arc to a composite from a state inside it ends at `<composite> again`, since it is left and entered;
- an arc to several targets goes through a fork;
- an arc from a composite to itself is both of the former, for a syntax whose arrows can't join a block to itself.

A key names a state by its path, a mark by a path or id and a word behind a blank; paths have no blanks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from stateward.chart.labels import Quote, arc_label, label_with_actions, state_label
from stateward.chart.nodes import Chart, StateKind, StateNode, TransitionNode
from stateward.chart.rules import is_within

__all__ = ["Arrow", "Drawing", "Mark", "initial_key", "make_drawing"]


@dataclass(frozen=True, slots=True)
class Mark:
    """Something drawn that is no state."""

    key: str
    kind: Literal["any", "again", "fork"]
    parent: int
    """The index of the state inside which it stands."""
    label: str


@dataclass(frozen=True, slots=True)
class Arrow:
    """From one key to another."""

    source: str
    target: str
    label: str
    kind: Literal["initial", "arc", "branch", "default"] = "arc"
    """`branch` leads out of a fork, `default` out of a history."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """A chart's marks and arrows, in a fixed order."""

    chart: Chart[Any]
    marks: tuple[Mark, ...]
    arrows: tuple[Arrow, ...]

    def arrows_by_home(self) -> dict[int, list[Arrow]]:
        """The arrows by the composite state that directly holds both ends; by the root, 0, if none does.

        Initial arrows stand in the composite that they start.
        """
        parents = {state.path: state.parent or 0 for state in self.chart.states[1:]}
        parents |= {each.key: each.parent for each in self.marks}
        homes: dict[int, list[Arrow]] = {}
        for arrow in self.arrows:
            home = parents[arrow.target]
            is_shared = arrow.kind == "initial" or parents[arrow.source] == home
            if not is_shared or self.chart.states[home].kind is not StateKind.COMPOSITE:
                home = 0
            homes.setdefault(home, []).append(arrow)
        return homes


def initial_key(state: StateNode) -> str:
    """The key of the dot from which a composite's initial arrow starts; not among the marks."""
    return f"{state.path} initial"


def make_drawing(chart: Chart[Any], quote: Quote, *, has_loops: bool) -> Drawing:
    """Work out the marks and arrows of a chart, in document order, then in the order of declaration.

    Args:
        chart: the chart to draw.
        quote: writes the names that the chart's author chose.
        has_loops: whether the syntax can draw an arrow from a composite to itself.
    """
    marks: dict[str, Mark] = {}
    arrows: list[Arrow] = []
    for state in chart.states:
        arrows += _initial_arrows(chart, state, quote)
        arrows += _default_arrows(chart, state, quote)
    for transition in chart.transitions:
        if transition.targets:
            arrows += _arc_arrows(chart, transition, marks, quote, has_loops=has_loops)
    return Drawing(chart, tuple(marks.values()), tuple(arrows))


def _initial_arrows(chart: Chart[Any], state: StateNode, quote: Quote) -> Iterator[Arrow]:
    """To the child that a composite starts in; if it starts deeper, the label says where."""
    if state.kind is not StateKind.COMPOSITE:
        return
    child = chart.states[state.initial[0]]
    while child.parent != state.index:
        child = chart.states[child.parent or 0]
    deeper = [quote(chart.states[index].path) for index in state.initial if index != child.index]
    text = f"in {', '.join(deeper)}" if deeper else ""
    label = label_with_actions(text, state.initial_actions, quote)
    yield Arrow(initial_key(state), child.path, label, "initial")


def _default_arrows(chart: Chart[Any], state: StateNode, quote: Quote) -> Iterator[Arrow]:
    """Where a history leads that remembers nothing, unless that is where its parent starts anyway."""
    if not state.kind.is_history:
        return
    parent = chart.states[state.parent or 0]
    regions = tuple(index for index in parent.children if not chart.states[index].kind.is_history)
    usual = regions if parent.kind is StateKind.PARALLEL else parent.initial
    if state.default != usual or state.default_actions:
        for index in state.default:
            label = label_with_actions("default", state.default_actions, quote)
            yield Arrow(state.path, chart.states[index].path, label, "default")


def _arc_arrows(
    chart: Chart[Any], transition: TransitionNode, marks: dict[str, Mark], quote: Quote, *, has_loops: bool
) -> Iterator[Arrow]:
    source = chart.states[transition.source]
    targets = [chart.states[index] for index in transition.targets]
    is_loop = not has_loops and bool(source.children) and source in targets
    start = source.path
    if is_loop or any(is_within(target.path, source.path) for target in targets):
        start = _mark(marks, "any", source, f"any of {state_label(source, quote)}")
    ends: list[str] = []
    for target in targets:
        is_left = is_loop or is_within(source.path, target.path)
        ends.append(_mark(marks, "again", target, f"{state_label(target, quote)} again") if is_left else target.path)
    label = arc_label(chart, transition, quote)
    if len(ends) == 1:
        yield Arrow(start, ends[0], label)
        return
    fork = Mark(f"{transition.id} fork", "fork", 0, "")
    marks[fork.key] = fork
    yield Arrow(start, fork.key, label)
    for end in ends:
        yield Arrow(fork.key, end, "", "branch")


def _mark(marks: dict[str, Mark], kind: Literal["any", "again"], state: StateNode, label: str) -> str:
    key = f"{state.path} {kind}"
    marks[key] = Mark(key, kind, state.index, label)
    return key
