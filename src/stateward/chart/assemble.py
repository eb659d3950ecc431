"""From a lifecycle class to its draft: the tree walked, references turned into paths.

Inheritance is a walk over the bases, the most distant first: a state keeps the place where its path was
first seen, a transition the order in which it was, and a later declaration under the same path replaces the
earlier one. Since references are resolved by path, inherited arcs lead to what replaced their ends.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any, TypeVar

from stateward.chart.build import build
from stateward.chart.children import invoke_of
from stateward.chart.declaration import (
    AnyArc,
    Composite,
    Final,
    History,
    Lifecycle,
    Nested,
    Parallel,
    State,
    States,
    Target,
    Transition,
    members_of,
)
from stateward.chart.draft import AlreadyDraft, ChartDraft, StateDraft, TransitionDraft
from stateward.chart.handlers import Handler, HandlerRole, handler
from stateward.chart.nodes import Chart, DoneTrigger, EventTrigger, StateKind, TimerTrigger, Trigger
from stateward.chart.rules import is_within
from stateward.chart.scope import Scope
from stateward.errors import DefinitionError

__all__ = ["assemble"]

_HISTORY_NAMES = {False: "H", True: "H*"}
"""Harel's notation: an H in a circle, starred when deep."""


def assemble(lifecycle: type, *, scope: Scope, origin: str) -> Chart[Any] | None:
    """Build the chart of a lifecycle class; None for a base of others, without states or generic in its context.

    Args:
        lifecycle: the class, its body complete.
        scope: the names around it, by which annotations written as text are resolved.
        origin: where it stands, `file:line`.

    Raises:
        DefinitionError: something in it can't be.
    """
    tree = _Tree(lifecycle.__kind__, origin)  # type: ignore[attr-defined]
    tree.walk(lifecycle, "", origin)
    context = _context_of(lifecycle)
    if not tree.states or isinstance(context, TypeVar):
        return None
    if not isinstance(context, type):
        named = "is not named" if context is None else f"is {context!r}, which is no class"
        problem = f"{named}: class OrderLifecycle(Lifecycle[Order])"
        raise DefinitionError(problem, lifecycle=tree.kind, subject="context", origin=origin)
    draft = ChartDraft(
        kind=tree.kind,
        version=lifecycle.version,  # type: ignore[attr-defined]
        context_type=context,
        root=tree.root,
        transitions=[],
        description=(lifecycle.__doc__ or "").strip().partition("\n")[0] if "__doc__" in vars(lifecycle) else "",
        origin=origin,
        scope=scope.with_name(lifecycle.__name__, lifecycle),
    )
    for body, name, transition in tree.transitions.values():
        _TransitionReader(tree, body, name, transition).read(draft)
    chart = build(draft, stacklevel=4)
    chart.lifecycle = lifecycle
    chart.declared = tree.paths
    return chart


def _context_of(lifecycle: type) -> Any:
    """What a lifecycle names as its context: a class, a type variable in a generic base, or None."""
    for alias in vars(lifecycle).get("__orig_bases__", ()):
        base: Any = typing.get_origin(alias)
        if base is Lifecycle:
            return typing.get_args(alias)[0]
        if _is_lifecycle(base):
            context = _context_of(base)
            return dict(zip(base.__parameters__, typing.get_args(alias), strict=True)).get(context, context)
    contexts = (_context_of(base) for base in lifecycle.__bases__ if _is_lifecycle(base))
    return next((context for context in contexts if context is not None), None)


def _is_lifecycle(base: Any) -> bool:
    return isinstance(base, type) and issubclass(base, Lifecycle)


class _Tree:
    """What a lifecycle's bodies declare, inherited ones first, by path."""

    def __init__(self, kind: str, origin: str) -> None:
        self.kind = kind
        self.root = StateDraft(path="", kind=StateKind.COMPOSITE, origin=origin)
        self.states: dict[str, StateDraft] = {}
        self.transitions: dict[str, tuple[str, str, Transition]] = {}
        """By full name: the path of the body, the name in it, the declaration."""
        self.paths: dict[int, str] = {}
        """By the identity of a declaration, which the class keeps alive."""

    def walk(self, body: type, path: str, origin: str) -> None:
        """Take in a body, which stands there, and those it inherits from, the most distant first."""
        for base in reversed(body.__mro__):
            if base in (object, Lifecycle, Composite, Parallel) or not isinstance(base, type(body)):
                continue
            names: set[tuple[type, str]] = set()
            for attribute, value in vars(base).items():
                if not isinstance(value, (State, Nested, Transition)):
                    continue
                sort = Transition if isinstance(value, Transition) else State
                full = _join(path, self._name_of(value, path, attribute))
                if (sort, full) in names:
                    raise self._error("is the name of two in one body: name= gives what is taken", full, value.origin)
                names.add((sort, full))
                if isinstance(value, Transition):
                    self.transitions[full] = (path, full, value)
                else:
                    self._take_state(value, path, full, origin)

    def _name_of(self, value: State | Nested | Transition, parent: str, attribute: str) -> str:
        """The name it was given, or else that of its attribute."""
        name: object = (value.options.get("name") if isinstance(value, Nested) else value.name) or attribute
        if isinstance(value, Transition) and (not isinstance(name, str) or any(ch in name for ch in ".|:@# \t\n")):
            problem = f"{name!r} can't name a transition: a text with no blanks, and none of . | : @ #"
            raise self._error(problem, _join(parent, attribute), value.origin)
        if not isinstance(name, str):
            problem = f"{name!r} can't name a state: a name is a text"
            raise self._error(problem, _join(parent, attribute), value.origin)
        return name

    def _take_state(self, value: State | Nested, parent: str, path: str, origin: str) -> None:
        if self.paths.setdefault(id(value), path) != path:
            problem = f"is one state under two names, {self.paths[id(value)]} and {path}"
            raise self._error(problem, path, origin)
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
            self.walk(value, path, value.origin)

    def path_of(self, target: Target, *, of: str, origin: str) -> str:
        """The path of a referenced state."""
        if isinstance(target, History):
            return self._history_path(target, of, origin)
        path = self.paths.get(id(target))
        if path is not None:
            return path
        if isinstance(target, States):
            names = ", ".join(str(getattr(each, "__name__", each)) for each in target.members)
            problem = f"leads to {names} as a group: it takes one arc for each, or .to(a, b) into several regions"
        else:
            problem = f"refers to {getattr(target, '__name__', target)!s}, which is no state of this lifecycle"
        raise self._error(problem, of, origin)

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
        elif not known.kind.is_history:
            raise self._error(f"needs {path} for a history, and a state has that name", of, origin)
        elif known.default != default:
            raise self._error(f"gives the history {path} a second default", of, origin)
        return path

    def _error(self, problem: str, subject: str, origin: str) -> DefinitionError:
        return DefinitionError(problem, lifecycle=self.kind, subject=subject, origin=origin)


def _describe(draft: StateDraft, value: State | Nested) -> None:
    """Fill a state's draft from its declaration; an overriding one replaces all but place and children."""
    options: Mapping[str, Any] = value.options if isinstance(value, Nested) else vars(value)
    if isinstance(value, Nested):
        if issubclass(value, Parallel) and issubclass(value, Composite):
            problem = "is Composite and Parallel at once: a state is one of them"
            raise DefinitionError(problem)
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
    child = None if isinstance(value, Nested) else value.child
    draft.invokes = () if child is None else (invoke_of(draft.path, child),)
    draft.origin = value.origin


def _handlers(given: Callable[..., Any] | tuple[Callable[..., Any], ...]) -> Iterator[Handler]:
    functions: tuple[Callable[..., Any], ...] = given if isinstance(given, tuple) else (given,)
    for each in functions:
        yield handler(each, "action")


class _TransitionReader:
    """One declared transition on its way to a draft: every arc becomes one for each of its sources."""

    def __init__(self, tree: _Tree, body: str, name: str, transition: Transition) -> None:
        self._tree = tree
        self._body = body
        self._name = name
        self._transition = transition
        self._origin = transition.origin
        """Where the arc that is being read stands; many stand on their transition's line."""

    def read(self, draft: ChartDraft) -> None:
        given = self._transition
        already = members_of(given.already)
        if given.already is not None and not already:
            raise self._error(f"has already={given.already!r}, which is no state")
        for place, asked in ((given.event, "an event: on(Pay, "), (given.delay, "a delay: after(timedelta(hours=1), ")):
            if isinstance(place, AnyArc):
                raise self._error(f"has an arc in the place of {asked}pending.to(paid))")
        if not given.arcs and not already:
            raise self._error("has no arc: say from where to where, pending.to(paid)")
        delay = given.delay if isinstance(given.delay, timedelta) else self._handler(given.delay, "delay")
        for arc in given.arcs:
            draft.transitions += self._read_arc(arc, delay)
        if already and given.event is not None:
            self._origin = given.origin
            states = tuple(self._path_of(state) for state in already)
            draft.already.append(AlreadyDraft(self._name, EventTrigger(given.event), states, given.origin))

    def _read_arc(self, arc: object, delay: timedelta | Handler | None) -> Iterator[TransitionDraft]:
        given = self._transition
        if not isinstance(arc, AnyArc):
            raise self._error(f"{getattr(arc, '__name__', arc)!s} is no arc: say pending.to(paid)")
        self._origin = arc.origin
        if (arc.when and given.when) or (arc.do and given.do):
            raise self._error("gives a handler to one arc and to all of them: give it to each arc, or to all")
        do = self._handler(arc.do or given.do, "action")
        for state in arc.sources:
            source = self._path_of(state)
            yield TransitionDraft(
                name=self._name,
                source=source,
                targets=tuple(self._path_of(target) for target in arc.targets),
                trigger=_trigger(given, self._name, source, delay),
                guard=self._handler(arc.when or given.when, "guard"),
                actions=() if do is None else (do,),
                internal=arc.internal,
                origin=arc.origin,
            )

    def _path_of(self, state: Target) -> str:
        path = self._tree.path_of(state, of=self._name, origin=self._origin)
        if self._body and not is_within(path, self._body):
            problem = f"stands in {self._body}, which does not hold {path}"
            raise self._error(f"{problem}: declare it in the nearest body that holds both ends")
        return path

    def _handler(self, function: Callable[..., Any] | None, role: HandlerRole) -> Handler | None:
        try:
            return None if function is None else handler(function, role)
        except DefinitionError as error:
            raise self._error(error.problem) from None

    def _error(self, problem: str) -> DefinitionError:
        return DefinitionError(problem, lifecycle=self._tree.kind, subject=self._name, origin=self._origin)


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
