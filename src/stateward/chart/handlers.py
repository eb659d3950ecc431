"""Handlers: guards and actions as a stable name and a callable, and whether their annotations fit."""

from __future__ import annotations

import typing
from collections.abc import Callable, Generator, Mapping
from functools import partial
from types import MethodType
from typing import Any, Literal, TypeVar

from stateward.chart.values import ContextMarker, EventMarker, Meta
from stateward.errors import DefinitionError

__all__ = ["Handler", "HandlerRole", "find_misfit", "handler"]

HandlerRole = Literal["guard", "action", "data", "delay"]

_SHAPES: dict[HandlerRole, str] = {
    "guard": "(context, event) or (context, event, meta), and returns a bool",
    "action": "(context, event) or (context, event, meta), and returns the context",
    "data": "(context, event) or (context, event, meta), and returns the data",
    "delay": "(context), and returns a timedelta",
}


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
        msg = f"{function!r} is no function with a name; handlers are functions of their own"
        raise DefinitionError(msg)
    import inspect  # noqa: PLC0415 - a tenth of the import budget, for who declares a lifecycle

    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        msg = f"{name} is asynchronous: a {role} is pure and runs at once; ask for the work by an effect"
        raise DefinitionError(msg)
    if role != "action" and inspect.isgeneratorfunction(function):
        msg = f"{name} is a generator, and a {role} yields nothing"
        raise DefinitionError(msg)
    count = _positional_count(function)
    if count not in ({1} if role == "delay" else {2, 3}):
        msg = f"{name} takes {count} arguments; a {role} takes {_SHAPES[role]}"
        raise DefinitionError(msg)
    return Handler(name, function, wants_meta=count == 3)


def _positional_count(function: Callable[..., Any]) -> int:
    """How many arguments the kernel will pass: a parameter with a default is the author's own."""
    import inspect  # noqa: PLC0415 - as above

    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # some builtins tell no signature
        return 2
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(1 for p in parameters if p.kind in positional and p.default is inspect.Parameter.empty)


def find_misfit(
    reference: Handler,
    role: HandlerRole,
    context: type[ContextMarker],
    event: type[EventMarker],
    names: Mapping[str, Any],
) -> str | None:
    """Why a handler's annotations don't fit its place, in words; None if they do or say nothing.

    This catches what no type checker sees: a handler written for another lifecycle's context.

    Args:
        reference: the handler.
        role: the place it stands in.
        context: the lifecycle's context class.
        event: the class of the events that reach it.
        names: the names around the lifecycle, by which annotations written as text are resolved.
    """
    function: Any = reference.call
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    code = getattr(function, "__code__", None)
    annotations = getattr(function, "__annotations__", {})
    if code is None or not annotations:
        return None
    scope = {**getattr(function, "__globals__", {}), **names}
    parameters = code.co_varnames[: code.co_argcount]
    if isinstance(reference.call, MethodType):
        parameters = parameters[1:]
    wanted: list[tuple[str, type]] = [("context", context), ("event", event), ("meta", Meta)]
    for parameter, (what, given) in zip(parameters, wanted, strict=False):
        annotated = _resolved(annotations.get(parameter, Any), scope)
        if not _accepts(annotated, given):
            return f"{reference.name} takes {what} {_name(annotated)}, and would get {_name(given)}"
    returned = _resolved(annotations.get("return", Any), scope)
    return _misfit_of_return(reference.name, role, returned, context)


def _misfit_of_return(name: str, role: HandlerRole, returned: Any, context: type) -> str | None:
    if role == "guard" and returned not in (bool, Any):
        return f"{name} returns {_name(returned)}; a guard returns bool"
    if role != "action" or returned is Any:
        return None
    origin = typing.get_origin(returned)
    if origin is not None and isinstance(origin, type) and issubclass(origin, Generator):
        returned = typing.get_args(returned)[-1]
    if returned is Generator or _produces(returned, context):
        return None
    return f"{name} returns {_name(returned)}; an action returns {context.__name__} or Actions[{context.__name__}]"


def _resolved(annotation: Any, scope: dict[str, Any]) -> Any:
    """The annotation as a type; Any where it can't be resolved, which says nothing either way."""
    if not isinstance(annotation, str):
        return annotation
    try:
        # An annotation is the program's own source, as typing.get_type_hints takes it to be.
        return eval(annotation, scope)
    except Exception:
        return Any


def _accepts(annotated: Any, given: type) -> bool:
    """Whether a parameter annotated so may be given an instance of `given`."""
    if isinstance(annotated, TypeVar):
        return annotated.__bound__ is None or _accepts(annotated.__bound__, given)
    if typing.get_origin(annotated) in _UNIONS:
        return any(_accepts(arm, given) for arm in typing.get_args(annotated))
    annotated = typing.get_origin(annotated) or annotated
    return not isinstance(annotated, type) or issubclass(given, annotated)


def _produces(returned: Any, wanted: type) -> bool:
    """Whether a return annotation can stand for `wanted`."""
    if returned is None:
        return False
    if typing.get_origin(returned) in _UNIONS:
        return all(_produces(arm, wanted) or typing.get_origin(arm) is not None for arm in typing.get_args(returned))
    returned = typing.get_origin(returned) or returned
    return not isinstance(returned, type) or issubclass(returned, wanted) or issubclass(wanted, returned)


def _name(kind: Any) -> str:
    return getattr(kind, "__name__", None) or str(kind)


_UNIONS = (typing.Union, type(int | str))
