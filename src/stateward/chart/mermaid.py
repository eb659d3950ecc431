"""A chart as Mermaid text, for Markdown pages and whatever else draws a `stateDiagram-v2`.

Mermaid puts a state into the block that mentions it last. So each state is declared in its place, an arrow
stands in a block only if both its ends do, and every other arrow stands at the top level, which moves nothing.
Mermaid has neither history nor arcs from a composite to its own inside: those are states with a dashed border.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from itertools import chain, count
from typing import Any

from stateward.chart.drawing import Arrow, Drawing, Mark, initial_key, make_drawing
from stateward.chart.labels import state_label, state_lines
from stateward.chart.nodes import Chart, StateKind, StateNode

__all__ = ["to_mermaid"]

_INDENT = "    "
_ACTIVE_STYLE = "classDef active fill:#ffe9a8,stroke:#b8860b,stroke-width:4px,color:#000"
_MARK_STYLE = "classDef mark stroke-dasharray:4 3"

_RESERVED = re.compile(
    "accdescr|acctitle|as|choice|class|classdef|click|default|direction|end|fork|hide|href|join|note|root|scale"
    "|state|statediagram|style|.*_(start|end)",
    re.IGNORECASE,
)
"""Mermaid's keywords, and the ids that it gives to its own dots (`<id>_start`, `<id>_end`)."""
_NO_IDENTIFIER = re.compile(r"[^A-Za-z0-9_]")
_SPECIAL = re.compile(r"(?<![^\W_])[_.-]|[_.-](?![^\W_])|[^\w.-]")
"""All but letters and digits, and but `_`, `.` and `-` between two of them: there they mean nothing to Markdown."""


def to_mermaid(chart: Chart[Any], *, active: Collection[str] = ()) -> str:
    """Draw a chart as a Mermaid `stateDiagram-v2`; the same chart gives the same text.

    Args:
        chart: the chart to draw.
        active: the paths of the states to mark as current.

    Raises:
        KeyError: the chart has no state of an active path.
    """
    return "\n".join(_Writer(chart).lines([chart.state(path) for path in active])) + "\n"


def _quote(name: str) -> str:
    """Everything that might mean something to Mermaid or to Markdown as a character reference."""
    return _SPECIAL.sub(lambda found: f"#{ord(found[0])};", name)


class _Writer:
    """One drawing on its way into text."""

    def __init__(self, chart: Chart[Any]) -> None:
        self._chart = chart
        self._drawing: Drawing = make_drawing(chart, _quote, has_loops=True)
        self._arrows = self._drawing.arrows_by_home()
        self._dots = {initial_key(state) for state in chart.states}
        keys = (*(state.path for state in chart.states[1:]), *(each.key for each in self._drawing.marks))
        self._ids = _identifiers(keys)

    def lines(self, active: list[StateNode]) -> Iterator[str]:
        yield "stateDiagram-v2"
        for line in self._block(self._chart.states[0]):
            yield _INDENT + line
        dashed = [state.path for state in self._chart.states if state.kind.is_history]
        dashed += [each.key for each in self._drawing.marks if each.kind != "fork"]
        marked = [state.path for state in sorted(active, key=lambda each: each.index)]
        for style, name, keys in ((_MARK_STYLE, "mark", dashed), (_ACTIVE_STYLE, "active", marked)):
            if keys:
                yield _INDENT + style
                yield f"{_INDENT}class {','.join(self._ids[key] for key in keys)} {name}"

    def _block(self, state: StateNode) -> Iterator[str]:
        """What stands inside a composite or parallel state, or inside the root."""
        children = [self._chart.states[index] for index in state.children]
        for child in children:
            if child.kind.is_history:
                yield f'state "{state_label(child, _quote)}" as {self._ids[child.path]}'
        yield from (self._declared(mark) for mark in self._drawing.marks if mark.parent == state.index)
        regions = [child for child in children if not child.kind.is_history]
        for child in regions:
            if state.kind is StateKind.PARALLEL and child is not regions[0]:
                yield "--"
            yield from self._state(child)
        for arrow in self._arrows.get(state.index, ()):
            yield self._arrow(arrow)
        for child in children:
            if child.kind is StateKind.FINAL:
                yield f"{self._ids[child.path]} --> [*]"

    def _state(self, state: StateNode) -> Iterator[str]:
        name, key = state_label(state, _quote), self._ids[state.path]
        lines = state_lines(self._chart, state, _quote)
        if not state.children:
            yield f'state "{name}" as {key}'
            yield from (f"{key} : {line}" for line in lines)
            return
        # A block takes no lines of its own, so they stand in its title.
        yield f'state "{" · ".join((name, *lines))}" as {key} {{'
        for line in self._block(state):
            yield _INDENT + line
        yield "}"

    def _declared(self, mark: Mark) -> str:
        key = self._ids[mark.key]
        return f"state {key} <<fork>>" if mark.kind == "fork" else f'state "{mark.label}" as {key}'

    def _arrow(self, arrow: Arrow) -> str:
        source = "[*]" if arrow.source in self._dots else self._ids[arrow.source]
        text = f"{source} --> {self._ids[arrow.target]}"
        return f"{text} : {arrow.label}" if arrow.label else text


def _identifiers(keys: tuple[str, ...]) -> dict[str, str]:
    """An id of letters, digits and underscores for each key, near to it; a number tells equal ones apart."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for key in keys:
        plain = _NO_IDENTIFIER.sub("_", key)
        stem = plain if plain[0].isalpha() else f"s_{plain}"
        # A number makes it another word than Mermaid's.
        numbered = (f"{stem}_{number}" for number in count(2))
        candidates = numbered if _RESERVED.fullmatch(stem) else chain((stem,), numbered)
        found[key] = next(each for each in candidates if each not in taken)
        taken.add(found[key])
    return found
