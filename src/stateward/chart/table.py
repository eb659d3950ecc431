"""A chart from a table: rows of (source, event, target[, guard[, action]])."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar, cast

from stateward.chart.build import build
from stateward.chart.draft import ChartDraft, StateDraft, TransitionDraft
from stateward.chart.handlers import handler
from stateward.chart.nodes import Chart, EventTrigger, StateKind
from stateward.chart.values import ContextMarker, EventMarker, wire_name
from stateward.errors import DefinitionError

__all__ = ["from_table"]

C = TypeVar("C", bound=ContextMarker)
_WIDTHS = (3, 4, 5)


def from_table(
    rows: Iterable[tuple[Any, ...]],
    *,
    kind: str,
    context: type[C],
    initial: str,
    final: tuple[str, ...],
    version: int,
) -> Chart[C]:
    """Behind `Chart.from_table`, which says what it takes."""
    for option, given in (("initial", (initial,)), ("final", final)):
        _check_paths(option, given, kind)
    root = StateDraft(path="", kind=StateKind.COMPOSITE, initial=(initial,) if "." not in initial else ())
    states: dict[str, StateDraft] = {"": root}
    transitions: list[TransitionDraft] = []
    # The initial state stands first, then the order in which the rows name them.
    _place(initial, states, final)
    for number, row in enumerate(rows, start=1):
        transition = _transition(row, number, kind)
        for path in (transition.source, *transition.targets):
            _place(path, states, final, origin=f"row {number}")
        transitions.append(transition)
    for path in final:
        _place(path, states, final)
    for state in root.walk():
        # A composite of a table starts in the child that stands first: the only sign of it there is.
        if state.children and not state.initial:
            state.initial = (state.children[0].path,)
    return build(ChartDraft(kind, version, context, root, transitions), stacklevel=4)


def _check_paths(option: str, given: object, kind: str) -> None:
    try:
        if isinstance(given, str):
            problem = f"{given!r} is no tuple: {option}=({given!r},)"
            raise DefinitionError(problem)
        for state in cast("Iterable[object]", given):
            _path(state)
    except DefinitionError as error:
        raise DefinitionError(error.problem, lifecycle=kind, subject=option) from None


def _transition(row: tuple[Any, ...], number: int, kind: str) -> TransitionDraft:
    place = f"row {number}"
    if not isinstance(row, tuple) or len(row) not in _WIDTHS:
        problem = f"{row!r} is not (source, event, target[, guard[, action]])"
        raise DefinitionError(problem, lifecycle=kind, subject=place, origin=place)
    padded: tuple[Any, ...] = (*row, None, None)
    source, event, target, guard, action = padded[:5]
    try:
        return TransitionDraft(
            name=_name(event),
            source=_path(source),
            targets=() if target is None else (_path(target),),
            trigger=None if event is None else EventTrigger(event),
            guard=None if guard is None else handler(guard, "guard"),
            actions=() if action is None else (handler(action, "action"),),
            origin=place,
        )
    except DefinitionError as error:
        raise DefinitionError(error.problem, lifecycle=kind, subject=place, origin=place) from None


def _name(event: object) -> str:
    """The name of a row's transition: a table gives them none of their own."""
    if event is None:
        return "always"
    if isinstance(event, type) and issubclass(event, EventMarker):
        return wire_name(event)
    problem = f"{event!r} is no Event class"
    raise DefinitionError(problem)


def _path(state: object) -> str:
    if isinstance(state, str) and state:
        return state
    problem = f"{state!r} is no path of a state: write it as text"
    raise DefinitionError(problem)


def _place(path: str, states: dict[str, StateDraft], final: tuple[str, ...], origin: str = "") -> None:
    """Add a state and the composites above it, each once."""
    if path in states:
        return
    parent = path.rpartition(".")[0]
    _place(parent, states, final, origin)
    if parent and parent not in final:  # a final one that is to hold another is told by the rules
        states[parent].kind = StateKind.COMPOSITE
    kind = StateKind.FINAL if path in final else StateKind.ATOMIC
    states[path] = StateDraft(path=path, kind=kind, origin=origin)
    states[parent].children.append(states[path])
