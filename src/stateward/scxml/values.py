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
from stateward.errors import EvaluationError

__all__ = [
    "DEPTH_LIMIT",
    "INT_BITS_LIMIT",
    "SIZE_LIMIT",
    "TEXT_LIMIT",
    "Compound",
    "ListValue",
    "MapValue",
    "Opaque",
    "RecordValue",
    "SeriesValue",
    "SetValue",
    "TupleValue",
    "Value",
    "brief",
    "checked_key",
    "freeze",
    "size_of",
    "thaw",
]

SIZE_LIMIT = 1_000_000
"""Units of the largest value; a scalar counts one, a text one more for each eight characters, an integer for each
64 bits beyond the first."""
TEXT_LIMIT = SIZE_LIMIT * 8
"""Characters of the longest text."""
DEPTH_LIMIT = 64
"""Values within values."""
INT_BITS_LIMIT = 8192
"""Bits of the largest integer."""
KEY_BITS_LIMIT = 64
"""Bits of the largest integer that is a key: Python's hash of larger ones can be chosen, and keys of one hash are
looked for one by one."""


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
            if isinstance(part, Compound):
                size += part.size
                depth = max(depth, part.depth)
            else:
                size += size_of(part)
        self._weigh(size, depth + 1)

    def _weigh(self, size: int, depth: int) -> None:
        self.size, self.depth = size, depth
        if size > SIZE_LIMIT:
            message = f"a value of more than {SIZE_LIMIT} units is too large"
            raise EvaluationError(message)
        if depth > DEPTH_LIMIT:
            message = f"values nested more than {DEPTH_LIMIT} deep are too deep"
            raise EvaluationError(message)

    def write(self, parts: list[str], room: int) -> int:
        """Append its text to `parts`; what is left of the room for it.

        Raises:
            EvaluationError: there is not enough, and the parts have what is at the beginning.
        """
        raise NotImplementedError

    def model_dump(self, mode: str = "json") -> Any:  # noqa: ARG002 - it is plain either way
        """The value as a ledger keeps it."""
        from stateward.scxml.keeping import to_json  # noqa: PLC0415 - it is made of values

        return to_json(cast("Value", self))

    def __repr__(self) -> str:
        parts: list[str] = []
        self.write(parts, TEXT_LIMIT)
        return "".join(parts)


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
        # The name's hash is another one in every process, so that nobody can choose tuples of the same hash.
        return hash((type(self).__name__, *self.items))

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

    def write(self, parts: list[str], room: int) -> int:
        """As Python writes a list."""
        return _write_series("[", self.items, "]", parts, room)


class TupleValue(SeriesValue):
    """A tuple."""

    __slots__ = ()

    def write(self, parts: list[str], room: int) -> int:
        """As Python writes a tuple."""
        return _write_series("(", self.items, ",)" if len(self.items) == 1 else ")", parts, room)


class SetValue(Compound):
    """A set that remembers the order in which its members came, so that going through it is repeatable."""

    __slots__ = ("items",)

    def __init__(self, items: Iterable[Value] = ()) -> None:
        self.items: dict[Value, None] = dict.fromkeys(map(checked_key, items))
        self._measure(self.items)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SetValue) and self.items.keys() == other.items.keys()

    def __hash__(self) -> int:
        return hash(frozenset(self.items))

    def write(self, parts: list[str], room: int) -> int:
        """As Python writes a set, in the order of its members."""
        opening, closing = ("{", "}") if self.items else ("set(", ")")
        return _write_series(opening, self.items, closing, parts, room)

    def __reduce__(self) -> tuple[Any, ...]:
        return SetValue, (tuple(self.items),)


class MapValue(Compound):
    """A mapping in order of insertion."""

    __slots__ = ("items",)

    def __init__(self, items: Mapping[Value, Value] | Iterable[tuple[Value, Value]] = ()) -> None:
        pairs = cast("Mapping[Value, Value]", items).items() if isinstance(items, Mapping) else items
        self.items: dict[Value, Value] = {checked_key(key): value for key, value in pairs}
        self._measure(part for pair in self.items.items() for part in pair)

    def __getitem__(self, key: Value) -> Value:
        return self.items[key]

    def __contains__(self, key: object) -> bool:
        return key in self.items

    def __iter__(self) -> Iterator[Value]:
        return iter(self.items)

    def replace(self, key: Value, value: Value) -> MapValue:
        """A copy in which `key` has this value; the other values are shared."""
        before = self.items.get(checked_key(key))
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

    def write(self, parts: list[str], room: int) -> int:
        """As Python writes a dict."""
        room = _write_literal("{", parts, room)
        for n, (key, value) in enumerate(self.items.items()):
            room = _write_literal(", " if n else "", parts, room)
            room = _write(key, parts, room)
            room = _write_literal(": ", parts, room)
            room = _write(value, parts, room)
        return _write_literal("}", parts, room)

    def __reduce__(self) -> tuple[Any, ...]:
        return MapValue, (tuple(self.items.items()),)


class RecordValue(Compound):
    """Named fields, read as attributes: `_event` and what a script's classes make."""

    __slots__ = ("fields", "kind")

    def __init__(self, kind: Value, fields: MapValue) -> None:
        self.kind = kind
        """A text, or the class that a script wrote."""
        self.fields = fields
        self._measure((kind, fields))  # comparing records compares their classes

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RecordValue) and (self.kind, self.fields) == (other.kind, other.fields)

    def __hash__(self) -> int:
        return hash((self.kind, self.fields))

    def write(self, parts: list[str], room: int) -> int:
        """As a call that would make it."""
        room = _write_literal(f"{self.kind}(", parts, room)
        for n, (name, value) in enumerate(self.fields.items.items()):
            room = _write_literal(f"{', ' if n else ''}{name}=", parts, room)
            room = _write(value, parts, room)
        return _write_literal(")", parts, room)

    def __reduce__(self) -> tuple[Any, ...]:
        return RecordValue, (self.kind, self.fields)


class Opaque(Compound):
    """A value that is no plain data, a function that a script wrote say: it can be kept and compared, not sent."""

    __slots__ = ()

    def write(self, parts: list[str], room: int) -> int:
        """What stands for it."""
        return _write_literal(self._title(), parts, room)

    def _title(self) -> str:
        """What stands for it in a text."""
        raise NotImplementedError


def _write(value: Value, parts: list[str], room: int) -> int:
    if isinstance(value, Compound):
        return value.write(parts, room)
    # Only what has room is shown at all: with its escapes, a text may become ten times as long.
    return _write_literal(repr(value[: room + 1] if isinstance(value, str) else value), parts, room)


def _write_literal(text: str, parts: list[str], room: int) -> int:
    parts.append(text)
    if len(text) <= room:
        return room - len(text)
    message = f"a text of more than {TEXT_LIMIT} characters is too large"
    raise EvaluationError(message)


def _write_series(opening: str, items: Iterable[Value], closing: str, parts: list[str], room: int) -> int:
    room = _write_literal(opening, parts, room)
    for n, item in enumerate(items):
        if n:
            room = _write_literal(", ", parts, room)
        room = _write(item, parts, room)
    return _write_literal(closing, parts, room)


def brief(value: Value) -> str:
    """The beginning of a value's text, for a message."""
    parts: list[str] = []
    try:
        _write(value, parts, 50)
    except EvaluationError:
        return "".join(parts)[:50] + "…"
    return "".join(parts)


def checked_key(value: Value) -> Value:
    """A value that may be a key of a dict or a member of a set.

    Raises:
        EvaluationError: it is no scalar and no tuple of them, or it is a large integer.
    """
    if isinstance(value, TupleValue):
        for each in value.items:
            checked_key(each)
    elif isinstance(value, Compound):
        message = f"{brief(value)} can't be a key: None, bool, int, float, str and tuples of them can"
        raise EvaluationError(message)
    elif isinstance(value, int) and value.bit_length() > KEY_BITS_LIMIT:
        message = f"an integer of more than {KEY_BITS_LIMIT} bits can't be a key"
        raise EvaluationError(message)
    return value


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
        if len(value) <= TEXT_LIMIT:
            return 1 + len(value) // 8
        message = f"a text of {len(value)} characters is too large"
        raise EvaluationError(message)
    if isinstance(value, int):
        bits = value.bit_length()
        if bits > INT_BITS_LIMIT:
            message = f"an integer of more than {INT_BITS_LIMIT} bits is too large"
            raise EvaluationError(message)
        return 1 + (bits - 1) // 64 if bits > 64 else 1
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
        return {_thawed_key(each) for each in value.items}
    if isinstance(value, MapValue):
        return {_thawed_key(key): thaw(each) for key, each in value.items.items()}
    if isinstance(value, RecordValue):
        return thaw(value.fields)
    return repr(value) if isinstance(value, Compound) else value


def _thawed_key(value: Value) -> Any:
    return tuple(map(_thawed_key, value.items)) if isinstance(value, TupleValue) else value
