"""What a name or an attribute in a function's source stands for, found without running anything.

Names are looked up where Python would look them up, so an alias is seen through, and a method of the same name
is not taken for something else. What can't be told stands for nothing.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import MutableSet, Set
from dataclasses import dataclass
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType, UnionType
from typing import Any

from stateward.chart.impure import impurity_of

__all__ = [
    "ANY_SET",
    "Instance",
    "Named",
    "Thing",
    "Value",
    "attribute",
    "dotted",
    "hints_of",
    "is_set",
    "of_hint",
    "static_member",
]


@dataclass(frozen=True, slots=True)
class Thing:
    """An object that exists before the function runs: a global, a builtin, a member of a module or class."""

    object: Any


@dataclass(frozen=True, slots=True)
class Instance:
    """Some instance of a class, made in the function or given to it."""

    of: type


@dataclass(frozen=True, slots=True)
class Named:
    """Known by its dotted name only."""

    name: str


Value = Thing | Instance | Named

ANY_SET = Instance(frozenset)


def dotted(value: Value) -> str:
    """The name under which `impurity_of` knows a value."""
    if isinstance(value, Named):
        return value.name
    if isinstance(value, Instance):
        return _class_name(value.of)
    found = value.object
    if isinstance(found, ModuleType):
        return found.__name__
    if isinstance(found, type):
        return _class_name(found)
    if isinstance(found, FunctionType):
        return f"{found.__module__}.{found.__qualname__}"
    if isinstance(found, (BuiltinFunctionType, MethodType)) and found.__self__ is not None:
        return f"{dotted(Thing(found.__self__))}.{found.__name__}"
    kind = _class_of(value)
    return f"{kind.__module__}.<{kind.__qualname__}>"


def _class_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _class_of(value: Thing | Instance) -> type[Any]:
    kind: type[Any] = value.of if isinstance(value, Instance) else type(value.object)
    return kind


def attribute(owner: Value, name: str) -> Value | None:
    """What an attribute of a value stands for."""
    known = dotted(owner)
    if isinstance(owner, Named):
        return Named(f"{known}.{name}")
    if isinstance(owner, Thing) and isinstance(owner.object, (ModuleType, type)):
        member = getattr(owner.object, name, None)
        if member is None or (not callable(member) and impurity_of(f"{known}.{name}")):
            return Named(f"{known}.{name}")  # of sys.stdout the name says more than whatever stands there now
        return Thing(member)
    member = static_member(owner, name)
    if isinstance(member, property):
        return of_hint(hints_of(member.fget).get("return"))
    if isinstance(member, FunctionType) and impurity_of(known) is None:
        return Thing(member)
    return of_hint(hints_of(_class_of(owner)).get(name)) or Named(f"{known}.{name}")


def static_member(owner: Value, name: str) -> object:
    """A member of an instance's class as it stands there, a property as such; None if there is none."""
    if isinstance(owner, Named):
        return None
    return inspect.getattr_static(_class_of(owner), name, None)


def is_set(value: Value | None) -> bool:
    """Whether a value is a set or a frozenset."""
    if isinstance(value, Thing):
        return isinstance(value.object, (set, frozenset))
    return isinstance(value, Instance) and issubclass(value.of, (set, frozenset))


def hints_of(annotated: Any) -> dict[str, Any]:
    """The annotations of a function or class as types; none where they can't be resolved."""
    try:
        return typing.get_type_hints(annotated)
    except Exception:  # an annotation is code of any kind, and says nothing if it fails
        return {}


def of_hint(hint: Any) -> Value | None:
    """What something annotated so stands for."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, UnionType):
        arms = [each for each in typing.get_args(hint) if each is not type(None)]
        return of_hint(arms[0]) if len(arms) == 1 else None
    if not isinstance(origin or hint, type):
        return None
    kind: type[Any] = origin or hint
    return ANY_SET if issubclass(kind, (set, frozenset)) or kind in (Set, MutableSet) else Instance(kind)
