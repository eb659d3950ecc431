"""From a lifecycle class to its draft: the tree walked, references turned into paths.

Inheritance is a walk over the bases, the most distant first: a state keeps the place where its path was
first seen, a transition the order in which it was, and a later declaration under the same path replaces the
earlier one. Since references are resolved by path, inherited arcs lead to what replaced their ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any, cast

from stateward.chart.build import build
from stateward.chart.declaration import (
    Composite,
    Final,
    FreeArc,
    History,
    Lifecycle,
    Nested,
    Parallel,
    State,
    Target,
    Transition,
)
from stateward.chart.draft import AlreadyDraft, ChartDraft, StateDraft, TransitionDraft
from stateward.chart.handlers import Handler, HandlerRole, handler
from stateward.chart.nodes import Chart, DoneTrigger, EventTrigger, StateKind, TimerTrigger, Trigger
from stateward.chart.rules import is_within
from stateward.chart.values import ContextMarker
from stateward.errors import DefinitionError

__all__ = ["assemble"]

_HISTORY_NAMES = {False: "H", True: "H*"}
"""Harel's notation: an H in a circle, starred when deep."""


def assemble(lifecycle: type, *, names: Mapping[str, Any], origin: str) -> Chart[Any] | None:
    """Build the chart of a lifecycle class; None for a class without any states, a base for others.

    Args:
        lifecycle: the class, its body complete.
        names: the names around it, by which annotations written as text are resolved.
        origin: where it stands, `file:line`.

    Raises:
        DefinitionError: something in it can't be.
    """
    tree = _Tree(lifecycle.__kind__)  # type: ignore[attr-defined]
    tree.walk(lifecycle, "")
    if not tree.states:
        return None
    draft = ChartDraft(
        kind=tree.kind,
        version=lifecycle.version,  # type: ignore[attr-defined]
        context_type=_context_type(lifecycle, origin),
        root=tree.root,
        transitions=[],
        description=(lifecycle.__doc__ or "").strip().partition("\n")[0] if "__doc__" in vars(lifecycle) else "",
        origin=origin,
        names={**names, lifecycle.__name__: lifecycle},
    )
    for body, name, transition in tree.transitions.values():
        _draft_transition(tree, draft, body, name, transition)
    chart = build(draft, stacklevel=5)
    chart.lifecycle = lifecycle
    chart.declared = tree.paths
    return chart


def _context_type(lifecycle: type, origin: str) -> type[ContextMarker]:
    for base in lifecycle.__mro__:
        for generic in vars(base).get("__orig_bases__", ()):
            arguments: tuple[Any, ...] = getattr(generic, "__args__", ())
            if getattr(generic, "__origin__", None) is Lifecycle and isinstance(arguments[0], type):
                kind: type[ContextMarker] = arguments[0]
                return kind
    problem = "names no context: class OrderLifecycle(Lifecycle[Order])"
    raise DefinitionError(problem, lifecycle=lifecycle.__name__, origin=origin)


class _Tree:
    """What a lifecycle's bodies declare, inherited ones first, by path."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.root = StateDraft(path="", kind=StateKind.COMPOSITE)
        self.states: dict[str, StateDraft] = {}
        self.transitions: dict[str, tuple[str, str, Transition]] = {}
        """By full name: the path of the body, the name in it, the declaration."""
        self.paths: dict[int, str] = {}
        """By the identity of a declaration, which the class keeps alive."""

    def walk(self, body: type, path: str) -> None:
        """Take in a body and those it inherits from, the most distant first."""
        for base in reversed(body.__mro__):
            if base in (object, Lifecycle, Composite, Parallel) or not isinstance(base, type(body)):
                continue
            for name, value in vars(base).items():
                if isinstance(value, (State, Nested)):
                    self._take_state(value, path, name)
                elif isinstance(value, Transition):
                    full = _join(path, value.name or name)
                    self.transitions[full] = (path, full, value)
                else:
                    self._refuse_stray(base, name, value)

    def _take_state(self, value: State | Nested, parent: str, attribute: str) -> None:
        given = value.options.get("name") if isinstance(value, Nested) else value.name
        path = _join(parent, given or attribute)
        if self.paths.setdefault(id(value), path) != path:
            problem = f"is one state under two names, {self.paths[id(value)]} and {path}"
            raise self._error(problem, path, value.origin)
        known = self.states.get(path)
        draft = known or StateDraft(path=path, kind=StateKind.ATOMIC)
        if known is None:
            self.states[path] = draft
            (self.states[parent] if parent else self.root).children.append(draft)
        try:
            _describe(draft, value)
        except DefinitionError as error:
            raise self._error(error.problem, path, value.origin) from None
        if isinstance(value, Nested):
            self.walk(value, path)

    def _refuse_stray(self, body: type, name: str, value: object) -> None:
        """What stands in a body and would be lost in silence: an arc without an event, a tuple by a comma."""
        if name.startswith("__"):
            return
        if isinstance(value, FreeArc):
            raise self._error("is an arc that waits for nothing: put it into on(...)", name, value.origin)
        members = cast("tuple[object, ...]", value) if isinstance(value, tuple) else ()
        for each in members:
            if isinstance(each, (State, Transition)):
                raise self._error("is a tuple: take the comma from the end of the line", name, each.origin)
        if isinstance(value, type) and value.__qualname__.startswith(f"{body.__qualname__}."):
            raise self._error("is a nested class, but neither Composite nor Parallel", name, "")

    def path_of(self, target: Target, *, of: str, origin: str) -> str:
        """The path of a referenced state."""
        if isinstance(target, History):
            return self._history_path(target, of, origin)
        path = self.paths.get(id(target))
        if path is None:
            name = target.__name__ if isinstance(target, Nested) else getattr(target, "name", None) or repr(target)
            raise self._error(f"refers to {name}, which is no state of this lifecycle", of, origin)
        return path

    def _history_path(self, history: History, of: str, origin: str) -> str:
        """The pseudo-state behind `.history(...)`, added to its parent when first referred to."""
        parent = self.states[self.path_of(history.of, of=of, origin=origin)]
        default = () if history.default is None else (self.path_of(history.default, of=of, origin=origin),)
        path = _join(parent.path, _HISTORY_NAMES[history.deep])
        known = self.states.get(path)
        if known is None:
            kind = StateKind.DEEP_HISTORY if history.deep else StateKind.SHALLOW_HISTORY
            known = StateDraft(path=path, kind=kind, default=default, origin=history.origin)
            self.states[path] = known
            parent.children.append(known)
        elif known.default != default:
            raise self._error(f"gives the history {path} a second default", of, origin)
        return path

    def _error(self, problem: str, subject: str, origin: str) -> DefinitionError:
        return DefinitionError(problem, lifecycle=self.kind, subject=subject, origin=origin)


def _describe(draft: StateDraft, value: State | Nested) -> None:
    """Fill a state's draft from its declaration; an overriding one replaces all but place and children."""
    options: Mapping[str, Any] = value.options if isinstance(value, Nested) else vars(value)
    if isinstance(value, Nested):
        draft.kind = StateKind.PARALLEL if issubclass(value, Parallel) else StateKind.COMPOSITE
        draft.description = options.get("description") or (value.__doc__ or "").strip().partition("\n")[0]
        if value.__doc__ in (Composite.__doc__, Parallel.__doc__):
            draft.description = options.get("description") or ""
    else:
        draft.kind = StateKind.FINAL if isinstance(value, Final) else StateKind.ATOMIC
        draft.description = value.description
        draft.data = handler(value.data, "data") if isinstance(value, Final) and value.data else None
    draft.is_initial = options.get("initial", False)
    draft.sla = options.get("sla")
    draft.entry = tuple(_handlers(options.get("entry", ())))
    draft.exit = tuple(_handlers(options.get("exit", ())))
    draft.origin = value.origin


def _handlers(given: Callable[..., Any] | tuple[Callable[..., Any], ...]) -> Iterator[Handler]:
    functions: tuple[Callable[..., Any], ...] = given if isinstance(given, tuple) else (given,)
    for each in functions:
        yield handler(each, "action")


def _draft_transition(tree: _Tree, draft: ChartDraft, body: str, name: str, transition: Transition) -> None:
    """Write down every arc of a declaration, one transition for each of its sources."""
    origin = transition.origin

    def refuse(problem: str) -> DefinitionError:
        return DefinitionError(problem, lifecycle=tree.kind, subject=name, origin=origin)

    def wrap(function: Callable[..., Any] | None, role: HandlerRole) -> Handler | None:
        try:
            return None if function is None else handler(function, role)
        except DefinitionError as error:
            raise refuse(error.problem) from None

    def place(state: Target) -> str:
        path = tree.path_of(state, of=name, origin=origin)
        if body and not is_within(path, body):
            problem = (
                f"stands in {body}, which does not hold {path}: declare it in the nearest body that holds both ends"
            )
            raise refuse(problem)
        return path

    if not transition.arcs and not transition.already:
        raise refuse("has no arc: say from where to where, pending.to(paid)")
    given = transition.delay
    delay = given if given is None or isinstance(given, timedelta) else wrap(given, "delay")
    for arc in transition.arcs:
        if not isinstance(arc, FreeArc):
            raise refuse(f"{arc!r} is no arc: say pending.to(paid)")
        if (arc.when and transition.when) or (arc.do and transition.do):
            raise refuse("gives a handler to one arc and to all of them: give it to each arc, or to all")
        do = wrap(arc.do or transition.do, "action")
        for state in arc.sources:
            source = place(state)
            draft.transitions.append(
                TransitionDraft(
                    name=name,
                    source=source,
                    targets=tuple(place(target) for target in arc.targets),
                    trigger=_trigger(transition, name, source, delay),
                    guard=wrap(arc.when or transition.when, "guard"),
                    actions=() if do is None else (do,),
                    internal=arc.internal,
                    origin=arc.origin or origin,
                )
            )
    if transition.already and transition.event is not None:
        states = tuple(place(state) for state in transition.already)
        draft.already.append(AlreadyDraft(name, EventTrigger(transition.event), states, origin))


def _trigger(transition: Transition, name: str, source: str, delay: timedelta | Handler | None) -> Trigger | None:
    if transition.waits_for == "nothing":
        return None
    if transition.waits_for == "done":
        return DoneTrigger(source)
    if transition.waits_for == "time":
        assert delay is not None
        return TimerTrigger(f"{name}@{source}", delay)
    assert transition.event is not None
    return EventTrigger(transition.event)


def _join(parent: str, name: str) -> str:
    return f"{parent}.{name}" if parent else name
