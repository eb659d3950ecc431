"""A chart as Graphviz text: composites are clusters, regions dashed ones, finals have a double border.

An edge of Graphviz joins nodes, never clusters: where an end is a composite, the edge goes to the dot that it
starts with and is cut off at the cluster's border (`lhead`, `ltail`). Without `newrank` Graphviz fails on some
charts that go to and fro between clusters.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from stateward.chart.drawing import Arrow, Drawing, Mark, initial_key, make_drawing
from stateward.chart.labels import state_label, state_lines
from stateward.chart.nodes import Chart, StateKind, StateNode

__all__ = ["to_dot"]

_INDENT = "    "
_HEAD = (
    "graph [compound=true, newrank=true, fontname=Helvetica]",
    'node [shape=box, style="rounded,filled", fillcolor=white, fontname=Helvetica]',
    "edge [fontname=Helvetica, fontsize=11]",
)
_ACTIVE = 'fillcolor="#ffe9a8", color="#b8860b", penwidth=3'
_PLAIN = "color=black, penwidth=1"
"""Said by each cluster that is not active: it would take over what the one around it says."""
_SHAPES = {
    StateKind.FINAL: "peripheries=2",
    StateKind.SHALLOW_HISTORY: "shape=circle",
    StateKind.DEEP_HISTORY: "shape=circle",
}
_DOT = 'shape=circle, width=0.15, label="", style=filled, fillcolor=black'


def to_dot(chart: Chart[Any], *, active: Collection[str] = ()) -> str:
    """Draw a chart in the DOT language of Graphviz; the same chart gives the same text.

    Args:
        chart: the chart to draw.
        active: the paths of the states to mark as current.

    Raises:
        KeyError: the chart has no state of an active path.
    """
    marked = frozenset(chart.state(path).index for path in active)
    return "\n".join(_Writer(chart, marked).lines()) + "\n"


def _quote(name: str) -> str:
    """What means nothing inside a quoted string: no quotes, escapes, entities or control characters."""
    shown = "".join(each if each.isprintable() else f"\\u{ord(each):04x}" for each in name)
    return shown.replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"')


def _id(key: str) -> str:
    """Any quoted string is an id, so a key needs no other name."""
    return '"' + _quote(key) + '"'


class _Writer:
    """One drawing on its way into text."""

    def __init__(self, chart: Chart[Any], active: frozenset[int]) -> None:
        self._chart = chart
        self._active = active
        self._drawing: Drawing = make_drawing(chart, _quote, has_loops=False)

    def lines(self) -> Iterator[str]:
        yield f"digraph {_id(self._chart.kind)} {{"
        for line in (*_HEAD, *self._block(self._chart.states[0])):
            yield _INDENT + line
        for arrow in self._drawing.arrows:
            yield _INDENT + self._edge(arrow)
        yield "}"

    def _block(self, state: StateNode) -> Iterator[str]:
        """The nodes inside a composite or parallel state, or inside the root."""
        if state.kind is StateKind.COMPOSITE:
            yield f"{_id(initial_key(state))} [{_DOT}]"
        for mark in self._drawing.marks:
            if mark.parent == state.index:
                yield f"{_id(mark.key)} [{_mark_options(mark)}]"
        for index in state.children:
            yield from self._state(self._chart.states[index], is_region=state.kind is StateKind.PARALLEL)

    def _state(self, state: StateNode, *, is_region: bool) -> Iterator[str]:
        label = self._label(state)
        is_active = state.index in self._active
        if not state.children:
            shape = "".join(f", {each}" for each in (_SHAPES.get(state.kind), _ACTIVE if is_active else "") if each)
            yield f"{_id(state.path)} [{label}{shape}]"
            return
        styles = ["rounded", *(["dashed"] if is_region else []), *(["filled"] if is_active else [])]
        yield f"subgraph {_id(f'cluster {state.path}')} {{"
        yield f'{_INDENT}graph [{label}, style="{",".join(styles)}", {_ACTIVE if is_active else _PLAIN}]'
        for line in self._block(state):
            yield _INDENT + line
        yield "}"

    def _label(self, state: StateNode) -> str:
        """The name in the middle, and below it, to the left, what happens inside."""
        name, lines = state_label(state, _quote), state_lines(self._chart, state, _quote)
        return f'label="{name}' + ("\\n" if lines else "") + "".join(f"{line}\\l" for line in lines) + '"'

    def _edge(self, arrow: Arrow) -> str:
        tail, head = self._anchor(arrow.source), self._anchor(arrow.target)
        options = [f'label="{arrow.label}"'] if arrow.label else []
        if tail != arrow.source:
            options.append(f"ltail={_id(f'cluster {arrow.source}')}")
        if head != arrow.target:
            options.append(f"lhead={_id(f'cluster {arrow.target}')}")
        return f"{_id(tail)} -> {_id(head)}" + (f" [{', '.join(options)}]" if options else "")

    def _anchor(self, key: str) -> str:
        """The node inside a cluster at which its edges end: its dot, or that of its first region."""
        if not self._chart.has_state(key):
            return key
        state: StateNode = self._chart.state(key)
        while state.kind is StateKind.PARALLEL:
            state = self._first_region(state)
        return initial_key(state) if state.kind is StateKind.COMPOSITE else state.path

    def _first_region(self, state: StateNode) -> StateNode:
        children = (self._chart.states[index] for index in state.children)
        return next(each for each in children if not each.kind.is_history)


def _mark_options(mark: Mark) -> str:
    if mark.kind == "fork":
        return 'shape=box, width=0.6, height=0.06, label="", style=filled, fillcolor=black'
    return f'label="{mark.label}", style="rounded,dashed"'
