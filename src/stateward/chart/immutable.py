"""Whether a class is deeply immutable, judged by its declared fields.

A guard that could append to a list in the context would change the "unchanged" snapshot of a refused
event. So a mutable field type is a definition error, found when the lifecycle is built.
"""

from __future__ import annotations

import collections.abc
import enum
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, time, timedelta, tzinfo
from decimal import Decimal
from fractions import Fraction
from typing import Any, TypeVar
from uuid import UUID
from weakref import WeakSet

from stateward.chart.scope import NOWHERE, Scope, Unresolved
from stateward.chart.values import ContextMarker, EffectMarker, EventMarker

__all__ = ["FrozenMap", "declare_immutable", "field_names", "find_mutable", "unwrapped"]

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T", bound=type)


class FrozenMap(Mapping[K, V]):
    """An immutable mapping, for the field that would have been a dict."""

    __slots__ = ("_items",)
    _items: dict[K, V]

    def __init__(self, items: Mapping[K, V] | Iterable[tuple[K, V]] = ()) -> None:
        object.__setattr__(self, "_items", dict(items))

    def __setattr__(self, name: str, value: object) -> None:
        msg = f"a FrozenMap can't be changed ({name})"
        raise AttributeError(msg)

    def __delattr__(self, name: str) -> None:
        msg = f"a FrozenMap can't be changed ({name})"
        raise AttributeError(msg)

    def __getitem__(self, key: K) -> V:
        return self._items[key]

    def __iter__(self) -> Iterator[K]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return hash(frozenset(self._items.items()))

    def __repr__(self) -> str:
        return f"FrozenMap({self._items!r})"

    def __reduce__(self) -> tuple[type[FrozenMap[K, V]], tuple[dict[K, V]]]:
        return FrozenMap, (self._items,)

    def replace(self, key: K, value: V) -> FrozenMap[K, V]:
        """A copy in which `key` has this value."""
        return FrozenMap({**self._items, key: value})

    def remove(self, key: K) -> FrozenMap[K, V]:
        """A copy without `key`; a KeyError if it was not there."""
        items = dict(self._items)
        del items[key]
        return FrozenMap(items)


_SCALARS = (
    bool, int, float, complex, str, bytes, type(None), Decimal, Fraction, date, time, timedelta, tzinfo, UUID,
)  # fmt: skip
_CONTAINERS = (tuple, frozenset, FrozenMap)
_INSTEAD: tuple[tuple[type, str], ...] = (
    (bytearray, "bytes"),
    (collections.abc.Set, "frozenset"),
    (collections.abc.Mapping, "FrozenMap"),
    (collections.abc.Sequence, "tuple"),
)
_declared: WeakSet[type] = WeakSet()


def declare_immutable(kind: T) -> T:
    """Vouch for a class whose immutability can't be seen, one of a C extension say; usable as a decorator."""
    _declared.add(kind)
    return kind


def find_mutable(kind: type, scope: Scope = NOWHERE) -> str | None:
    """What makes `kind` mutable, in words with the path of the field; None when nothing does.

    Args:
        kind: a context, event or effect class.
        scope: the names around the lifecycle, by which annotations written as text are resolved.
    """
    return _find(kind, kind.__name__, scope, set())


def _find(kind: Any, path: str, scope: Scope, seen: set[Any]) -> str | None:
    """The recursion behind `find_mutable`: unions and containers by their arguments, classes by their fields."""
    kind = unwrapped(kind)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal or kind is Ellipsis or isinstance(kind, TypeVar):
        return None
    if kind in (Any, object):
        return f"{path} is {_name(kind)}, which may be anything: name the type"
    if origin is not None:
        found = _first(_find(each, path, scope, seen) for each in arguments if not isinstance(each, list))
        if origin in (typing.Union, types.UnionType) or origin in _CONTAINERS:
            return found
        return _find(origin, path, scope, seen) or found
    if not isinstance(kind, type):
        return f"{path} has the annotation {kind!r}, which names no type"
    if kind in seen or kind in _declared:
        return None
    if kind in _CONTAINERS:
        return f"{path} is a {kind.__name__} of anything: name the type of its items"
    seen.add(kind)
    plain: type[Any] = kind
    return None if issubclass(plain, (*_SCALARS, enum.Enum)) else _find_in_class(plain, path, scope, seen)


def unwrapped(kind: Any) -> Any:
    """A type without Annotated, NewType and aliases around it."""
    while True:
        if typing.get_origin(kind) is typing.Annotated:
            kind = typing.get_args(kind)[0]
        elif isinstance(kind, typing.NewType):
            kind = kind.__supertype__
        elif type(kind).__name__ == "TypeAliasType":
            kind = kind.__value__
        else:
            return type(None) if kind is None else kind


def _find_in_class(kind: type[Any], path: str, scope: Scope, seen: set[Any]) -> str | None:
    is_frozen = _is_frozen(kind)
    if is_frozen is None:
        markers = (ContextMarker, EventMarker, EffectMarker)
        is_empty_marker = issubclass(kind, markers) and not _instance_attributes(kind)
        return None if is_empty_marker else _mutable(kind, path)
    if not is_frozen:
        return f"{path} is an unfrozen class, {kind.__name__}: declare it frozen"
    try:
        hints = scope.hints_of(kind)
    except Unresolved as error:
        return f"{path}: an annotation can't be resolved at run time ({error})"
    return _first(_find(hints.get(name, Any), f"{path}.{name}", scope, seen) for name in field_names(kind))


def _instance_attributes(kind: type[Any]) -> bool:
    """Whether instances can hold anything: a class of empty slots all the way up can't."""
    return any("__dict__" in base.__dict__ or base.__dict__.get("__slots__") for base in kind.__mro__[:-1])


def _is_frozen(kind: Any) -> bool | None:
    """True for a frozen class with declared fields, False for an unfrozen one, None for any other class."""
    struct = getattr(kind, "__struct_config__", None)
    if struct is not None:
        return bool(struct.frozen)
    dataclass = getattr(kind, "__dataclass_params__", None)
    if dataclass is not None:
        return bool(dataclass.frozen)
    if hasattr(kind, "model_fields"):  # pydantic, which the base does not require
        return bool(kind.model_config.get("frozen"))
    return True if hasattr(kind, "_fields") and issubclass(kind, tuple) else None


def field_names(kind: Any) -> tuple[str, ...]:
    """The declared fields of a Struct, dataclass, pydantic model or named tuple, in order; of others none."""
    if hasattr(kind, "__dataclass_fields__"):
        import dataclasses  # noqa: PLC0415 - whose class it is has imported it

        return tuple(field.name for field in dataclasses.fields(kind))
    for attribute in ("__struct_fields__", "model_fields", "_fields"):
        names: Any = getattr(kind, attribute, None)
        if names is not None:
            return tuple(names)
    return ()


def _mutable(kind: type[Any], path: str) -> str:
    for base, instead in _INSTEAD:
        if issubclass(kind, base):
            return f"{path} is a {kind.__name__}, which can be changed in place: use {instead}"
    other = "use a frozen Struct or dataclass, or vouch for it with declare_immutable"
    return f"{path} is a {kind.__name__}, which can be changed in place: {other}"


def _name(kind: Any) -> str:
    return getattr(kind, "__name__", None) or repr(kind)


def _first(problems: Iterator[str | None]) -> str | None:
    return next((problem for problem in problems if problem), None)
