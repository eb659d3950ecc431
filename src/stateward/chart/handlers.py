"""Handlers: guards and actions as a stable name and a callable, and whether their annotations fit."""

from __future__ import annotations

import typing
from collections.abc import Callable, Generator
from datetime import timedelta
from functools import partial
from types import MethodType
from typing import Any, Literal, TypeVar

from stateward.chart.body import StateMark, TransitionMark
from stateward.chart.scope import Scope, Unresolved
from stateward.chart.values import ContextMarker, EffectMarker, EventMarker, Meta, Raise
from stateward.errors import DefinitionError

__all__ = ["Handler", "HandlerRole", "find_misfit", "handler"]

HandlerRole = Literal["guard", "action", "data", "delay", "child"]

_A: dict[HandlerRole, str] = {
    "guard": "a guard",
    "action": "an action",
    "data": "data=",
    "delay": "a delay",
    "child": "a child's context",
}
_SHAPES: dict[HandlerRole, str] = {
    "guard": "(context, event) or (context, event, meta), and returns a bool",
    "action": "(context, event) or (context, event, meta), and returns the context",
    "data": "(context, event) or (context, event, meta), and returns the data",
    "delay": "(context), and returns a timedelta",
    "child": "(context), and returns the child's context",
}
_OF_CONTEXT = ("delay", "child")
"""The roles whose functions are given the context, and no event."""


class Handler:
    """A reference to a function: the name stands in documents and digests, the callable runs.

    Equal by name and callable; `wants_meta` says that a third parameter receives Meta.
    """

    __slots__ = ("call", "name", "wants_meta")

    def __init__(self, name: str, call: Callable[..., Any], *, wants_meta: bool = False) -> None:
        self.name = name
        self.call = call
        self.wants_meta = wants_meta

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Handler) and (self.name, self.call) == (other.name, other.call)

    def __hash__(self) -> int:
        return hash((self.name, self.call))

    def __repr__(self) -> str:
        return f"Handler({self.name!r})"


def handler(function: Callable[..., Any] | Handler, role: HandlerRole) -> Handler:
    """Wrap a function that a declaration names, refusing what could not work as `role`.

    Raises:
        DefinitionError: not a function with a name, asynchronous, a generator where none may be, or a
            number of parameters that the role has not.
    """
    if isinstance(function, Handler):
        return function
    name = getattr(function, "__qualname__", None)
    if not callable(function) or name is None or isinstance(function, partial):
        hint = ""
        if isinstance(function, (list, set, frozenset)):
            hint = " (several go into a tuple)"
        elif isinstance(function, (StateMark, TransitionMark)):
            hint = " (in a body, its names hide those of the module)"
        msg = f"{function!r} is no function with a name; {_A[role]} is a function of its own{hint}"
        raise DefinitionError(msg)
    import inspect  # noqa: PLC0415 - a tenth of the import budget, for who declares a lifecycle

    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        msg = f"{name} is asynchronous: {_A[role]} is pure and runs at once; ask for the work by an effect"
        raise DefinitionError(msg)
    if role != "action" and inspect.isgeneratorfunction(function):
        msg = f"{name} is a generator, and {_A[role]} yields nothing"
        raise DefinitionError(msg)
    count, keywords = _count_parameters(function)
    if count not in ({1} if role in _OF_CONTEXT else {2, 3}) or keywords:
        by_name = f" and by keyword {', '.join(keywords)}" if keywords else ""
        msg = f"{name} takes {count} arguments{by_name}; {_A[role]} takes {_SHAPES[role]}"
        raise DefinitionError(msg)
    return Handler(name, function, wants_meta=count == 3)


def _count_parameters(function: Callable[..., Any]) -> tuple[int, list[str]]:
    """How many arguments the kernel will pass, and what it can't: a parameter with a default is the author's own."""
    import inspect  # noqa: PLC0415 - as above

    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # some builtins tell no signature
        return 2, []
    required = [p for p in parameters if p.default is inspect.Parameter.empty]
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    count = sum(1 for p in required if p.kind in positional)
    return count, [p.name for p in required if p.kind is inspect.Parameter.KEYWORD_ONLY]


def find_misfit(
    reference: Handler,
    role: HandlerRole,
    context: type[ContextMarker],
    event: type[EventMarker],
    scope: Scope,
    *,
    child: type[ContextMarker] | None = None,
) -> str | None:
    """Why a handler's annotations don't fit its place, in words; None if they do or say nothing.

    This catches what no type checker sees: a handler written for another lifecycle's context.

    Args:
        reference: the handler.
        role: the place it stands in.
        context: the lifecycle's context class.
        event: the class of the events that reach it.
        scope: the names around the lifecycle, by which annotations written as text are resolved.
        child: for a child's context, its class.
    """
    function: Any = reference.call
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    code = getattr(function, "__code__", None)
    annotations = getattr(function, "__annotations__", {})
    if code is None or not annotations:
        return None
    parameters = code.co_varnames[: code.co_argcount]
    if isinstance(reference.call, MethodType):
        parameters = parameters[1:]
    wanted: list[tuple[str, type]] = [("context", context), ("event", event), ("meta", Meta)]
    # A parameter with a default is the author's own.
    filled = 1 if role in _OF_CONTEXT else 3 if reference.wants_meta else 2
    for parameter, (what, given) in zip(parameters[:filled], wanted, strict=False):
        annotated = _resolved(annotations.get(parameter, Any), function, scope)
        if not _accepts(annotated, given):
            return f"{reference.name} takes {what} {_name(annotated)}, and would get {_name(given)}"
    returned = _resolved(annotations.get("return", Any), function, scope)
    if returned is Any:
        return None
    if child is not None:
        fits = all(_produces(arm, child) for arm in _arms(returned))
        return None if fits else f"{reference.name} returns {_name(returned)}; the child takes {child.__name__}"
    return _misfit_of_return(reference.name, role, returned, context)


def _misfit_of_return(name: str, role: HandlerRole, returned: Any, context: type[ContextMarker]) -> str | None:
    if role == "data":
        return None
    for arm in _arms(returned):
        plain = _plain(arm)
        if role != "action":
            wanted = _RETURNS[role]
            if plain is None or not _is_within(plain, wanted):
                return f"{name} returns {_name(returned)}; {_A[role]} returns {wanted.__name__}"
        elif isinstance(plain, type) and issubclass(plain, Generator):
            yielded, *_, result = typing.get_args(arm) or (Any, Any)
            if not all(_is_within(_plain(each), EffectMarker, Raise) for each in _arms(yielded)):
                return f"{name} yields {_name(yielded)}; an action yields effects and Raise"
            if not _produces(result, context):
                return f"{name} returns {_name(result)} at its end; an action returns {context.__name__}"
        elif not _produces(arm, context):
            an_action = f"an action returns {context.__name__} or Actions[{context.__name__}]"
            return f"{name} returns {_name(returned)}; {an_action}"
    return None


def _resolved(annotation: Any, function: Any, scope: Scope) -> Any:
    """The annotation as a type; Any where it can't be resolved, which says nothing either way."""
    if not isinstance(annotation, str):
        return annotation
    try:
        return scope.evaluate(annotation, function)
    except Unresolved:
        return Any


def _accepts(annotated: Any, given: type) -> bool:
    """Whether a parameter annotated so may be given an instance of `given`."""
    if isinstance(annotated, TypeVar):
        return annotated.__bound__ is None or _accepts(annotated.__bound__, given)
    return any(_is_within(given, _plain(arm)) for arm in _arms(annotated))


def _produces(returned: Any, context: type[ContextMarker]) -> bool:
    """Whether a return annotation can stand for the context: its class, a subclass, or a base among contexts."""
    plain = _plain(returned)
    if plain is None:
        return False
    is_base = isinstance(plain, type) and issubclass(plain, ContextMarker) and issubclass(context, plain)
    return is_base or _is_within(plain, context)


def _is_within(kind: Any, *of: Any) -> bool:
    """Whether a class is one of these or a subclass; what is no class, a type variable say, is not judged."""
    if not isinstance(kind, type):
        return kind is not None
    found: type[Any] = kind
    return any(not isinstance(each, type) or _is_protocol(each) or issubclass(found, each) for each in of)


def _is_protocol(kind: type) -> bool:
    """Whether nobody can ask if a class keeps it; a type checker has."""
    return getattr(kind, "_is_protocol", False)


def _plain(annotation: Any) -> Any:
    """An annotation without its arguments; Any, which is a class of its own, as what it means: no class at all."""
    return Ellipsis if annotation is Any else typing.get_origin(annotation) or annotation


def _arms(annotation: Any) -> tuple[Any, ...]:
    """The members of a union; of anything else, itself."""
    return typing.get_args(annotation) if typing.get_origin(annotation) in _UNIONS else (annotation,)


def _name(kind: Any) -> str:
    names = ("None" if arm in (None, type(None)) else getattr(arm, "__name__", None) or str(arm) for arm in _arms(kind))
    return " | ".join(names)


_UNIONS = (typing.Union, type(int | str))
_RETURNS: dict[HandlerRole, type] = {"guard": bool, "delay": timedelta}
