"""The values that a document's data hold: immutable, each knowing its size and depth.

A list is no Python list here: what is assigned into it makes a new one and shares the rest, so that a snapshot of
a session never changes under its holder, and a guard can change nothing. Values are compared by what they hold.

Because nothing can be made that contains itself, and sizes add up where a part is shared, going through a value
takes as long as its size says. So a document can't build in few steps what takes for ever to compare or to write.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, cast

from stateward.chart import declare_immutable
from stateward.errors import CallerError

__all__ = [
    "DEPTH_LIMIT",
    "INT_BITS_LIMIT",
    "SIZE_LIMIT",
    "Compound",
    "EvaluationError",
    "ListValue",
    "MapValue",
    "Opaque",
    "RecordValue",
    "SeriesValue",
    "SetValue",
    "TupleValue",
    "Value",
    "freeze",
    "size_of",
    "thaw",
]

SIZE_LIMIT = 1_000_000
"""Units of the largest value; a scalar counts one, a text one more for each eight characters."""
DEPTH_LIMIT = 64
"""Values within values."""
INT_BITS_LIMIT = 8192
"""Bits of the largest integer."""


class EvaluationError(CallerError):
    """An expression, a location or a script of a document has no value; its session gets `error.execution`."""


@declare_immutable
class Compound:
    """A value made of others, or with something behind it that is no plain data."""

    __slots__ = ("depth", "size")
    size: int
    depth: int

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        declare_immutable(cls)

    def _measure(self, parts: Iterable[Value]) -> None:
        size, depth = 1, 0
        for part in parts:
            size += size_of(part)
            depth = max(depth, _depth(part))
        self._weigh(size, depth + 1)

    def _weigh(self, size: int, depth: int) -> None:
        self.size, self.depth = size, depth
        if size > SIZE_LIMIT:
            message = f"a value of more than {SIZE_LIMIT} units is too large"
            raise EvaluationError(message)
        if depth > DEPTH_LIMIT:
            message = f"values nested more than {DEPTH_LIMIT} deep are too deep"
            raise EvaluationError(message)


Value = None | bool | int | float | str | Compound


class SeriesValue(Compound):
    """Values in order: a list or a tuple."""

    __slots__ = ("items",)

    def __init__(self, items: Iterable[Value] = ()) -> None:
        self.items = tuple(items)
        self._measure(self.items)

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, SeriesValue) and type(self) is type(other) and self.items == other.items
        )

    def __hash__(self) -> int:
        return hash((type(self).__name__, self.items))

    def __lt__(self, other: object) -> bool:
        """Item by item; of another kind, a TypeError as in Python."""
        if isinstance(other, SeriesValue) and type(self) is type(other):
            return bool(self.items < other.items)
        return NotImplemented

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.items,)


class ListValue(SeriesValue):
    """A list."""

    __slots__ = ()

    def append(self, value: Value) -> ListValue:
        """A list with one value more, made without measuring the others again."""
        made = ListValue.__new__(ListValue)
        made.items = (*self.items, value)
        made._weigh(self.size + size_of(value), max(self.depth, _depth(value) + 1))
        return made

    def replace(self, index: int, value: Value) -> ListValue:
        """A list with another value at that place; the others are shared."""
        return ListValue((*self.items[:index], value, *self.items[index + 1 :]))

    def __repr__(self) -> str:
        return repr(list(self.items))


class TupleValue(SeriesValue):
    """A tuple."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(self.items)


class SetValue(Compound):
    """A set that remembers the order in which its members came, so that going through it is repeatable."""

    __slots__ = ("items",)

    def __init__(self, items: Iterable[Value] = ()) -> None:
        self.items: dict[Value, None] = dict.fromkeys(items)
        self._measure(self.items)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SetValue) and self.items.keys() == other.items.keys()

    def __hash__(self) -> int:
        return hash(frozenset(self.items))

    def __repr__(self) -> str:
        return "{" + ", ".join(map(repr, self.items)) + "}" if self.items else "set()"

    def __reduce__(self) -> tuple[Any, ...]:
        return SetValue, (tuple(self.items),)


class MapValue(Compound):
    """A mapping in order of insertion."""

    __slots__ = ("items",)

    def __init__(self, items: Mapping[Value, Value] | Iterable[tuple[Value, Value]] = ()) -> None:
        self.items: dict[Value, Value] = dict(items)
        self._measure(part for pair in self.items.items() for part in pair)

    def __getitem__(self, key: Value) -> Value:
        return self.items[key]

    def __contains__(self, key: object) -> bool:
        return key in self.items

    def __iter__(self) -> Iterator[Value]:
        return iter(self.items)

    def replace(self, key: Value, value: Value) -> MapValue:
        """A copy in which `key` has this value; the other values are shared."""
        before = self.items.get(key)
        if _depth(value) < _depth(before) == self.depth - 1:  # what made it so deep is gone
            return MapValue({**self.items, key: value})
        made = MapValue.__new__(MapValue)
        made.items = {**self.items, key: value}
        grown = size_of(value) - size_of(before) if key in self.items else size_of(key) + size_of(value)
        made._weigh(self.size + grown, max(self.depth, _depth(key) + 1, _depth(value) + 1))
        return made

    def remove(self, key: Value) -> MapValue:
        """A copy without `key`."""
        return MapValue({each: value for each, value in self.items.items() if each != key})

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, MapValue) and self.items == other.items)

    def __hash__(self) -> int:
        return hash(frozenset(self.items.items()))

    def __repr__(self) -> str:
        return repr(self.items)

    def __reduce__(self) -> tuple[Any, ...]:
        return MapValue, (tuple(self.items.items()),)


class RecordValue(Compound):
    """Named fields, read as attributes: `_event` and what a script's classes make."""

    __slots__ = ("fields", "kind")

    def __init__(self, kind: Value, fields: MapValue) -> None:
        self.kind = kind
        """A text, or the class that a script wrote."""
        self.fields = fields
        self._measure((fields,))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RecordValue) and (self.kind, self.fields) == (other.kind, other.fields)

    def __hash__(self) -> int:
        return hash((self.kind, self.fields))

    def __repr__(self) -> str:
        inside = ", ".join(f"{name}={value!r}" for name, value in self.fields.items.items())
        return f"{self.kind}({inside})"

    def __reduce__(self) -> tuple[Any, ...]:
        return RecordValue, (self.kind, self.fields)


class Opaque(Compound):
    """A value that is no plain data, a function that a script wrote say: it can be kept and compared, not sent."""

    __slots__ = ()


def _depth(value: Value) -> int:
    return value.depth if isinstance(value, Compound) else 0


def size_of(value: Value) -> int:
    """The units that a value counts.

    Raises:
        EvaluationError: it is an integer or a text beyond what any value may be.
    """
    if isinstance(value, Compound):
        return value.size
    if isinstance(value, str):
        size = 1 + len(value) // 8
        if size <= SIZE_LIMIT:
            return size
        message = f"a text of {len(value)} characters is too large"
        raise EvaluationError(message)
    if isinstance(value, int) and value.bit_length() > INT_BITS_LIMIT:
        message = f"an integer of more than {INT_BITS_LIMIT} bits is too large"
        raise EvaluationError(message)
    return 1


def freeze(data: object) -> Value:
    """Plain data as a value: None, bool, int, float, str, and lists, tuples, sets and dicts of them.

    Raises:
        EvaluationError: something in it is of another type, or it is too large or too deep.
    """
    return _freeze(data, 0)


def _freeze(data: Any, depth: int) -> Value:
    if depth > DEPTH_LIMIT:
        message = f"data nested more than {DEPTH_LIMIT} deep are too deep"
        raise EvaluationError(message)
    kind = type(cast("object", data))
    if data is None or kind in (bool, int, float, str):
        size_of(data)
        scalar: Value = data
        return scalar
    if isinstance(data, Compound):
        return data
    if kind is dict:
        return MapValue([(_freeze(key, depth + 1), _freeze(value, depth + 1)) for key, value in data.items()])
    make = _FROZEN.get(kind)
    if make is None:
        message = f"{kind.__name__} is no data: None, bool, int, float, str, and lists, tuples, sets and dicts of them"
        raise EvaluationError(message)
    return make([_freeze(each, depth + 1) for each in data])


_FROZEN: dict[type, Callable[[Iterable[Value]], Value]] = {
    list: ListValue,
    tuple: TupleValue,
    set: SetValue,
    frozenset: SetValue,
}


def thaw(value: Value) -> Any:
    """A value as plain data of the caller's own; a record becomes a dict, and what is no plain data its text."""
    if isinstance(value, ListValue):
        return [thaw(each) for each in value.items]
    if isinstance(value, TupleValue):
        return tuple(thaw(each) for each in value.items)
    if isinstance(value, SetValue):
        return {_hashable(each) for each in value.items}
    if isinstance(value, MapValue):
        return {_hashable(key): thaw(each) for key, each in value.items.items()}
    if isinstance(value, RecordValue):
        return thaw(value.fields)
    return repr(value) if isinstance(value, Compound) else value


def _hashable(value: Value) -> Any:
    """A member of a set, or a key, as plain data that can be one: a list as a tuple, a dict as its pairs."""
    if isinstance(value, SeriesValue):
        return tuple(_hashable(each) for each in value.items)
    if isinstance(value, SetValue):
        return frozenset(_hashable(each) for each in value.items)
    if isinstance(value, MapValue):
        return tuple((_hashable(key), _hashable(each)) for key, each in value.items.items())
    return _hashable(value.fields) if isinstance(value, RecordValue) else thaw(value)
