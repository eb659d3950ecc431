"""Operators on values, bounded before they compute: what would be too large is never made."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable
from typing import Any

from stateward.errors import EvaluationError
from stateward.scxml.python.formats import percent
from stateward.scxml.run import Run
from stateward.scxml.values import (
    INT_BITS_LIMIT,
    SIZE_LIMIT,
    ListValue,
    MapValue,
    RecordValue,
    SeriesValue,
    SetValue,
    TupleValue,
    Value,
    brief,
    checked_key,
    size_of,
)

__all__ = [
    "BINARY",
    "COMPARE",
    "UNARY",
    "Slice",
    "add",
    "checked_number",
    "item",
    "iterate",
    "kind_name",
    "place",
    "power",
    "searching",
    "spend_on_numbers",
    "truth",
]

Binary = Callable[[Run, Value, Value], Value]


def kind_name(value: Value) -> str:
    """What Python would call the type of a value."""
    if isinstance(value, RecordValue):
        return str(value.kind)
    names: dict[type, str] = {ListValue: "list", TupleValue: "tuple", SetValue: "set", MapValue: "dict"}
    return "None" if value is None else names.get(type(value), type(value).__name__)


def truth(value: Value) -> bool:
    """Whether a value counts as true: what is empty, zero or None does not."""
    if isinstance(value, (SeriesValue, SetValue, MapValue)):
        return bool(value.items)
    return bool(value)


def iterate(run: Run, value: Value) -> tuple[Value, ...]:
    """The items of a series or set, the keys of a mapping, the characters of a text.

    Raises:
        EvaluationError: it is none of these.
    """
    if isinstance(value, SeriesValue):
        run.spend(len(value.items))
        return value.items
    if isinstance(value, (SetValue, MapValue)):
        run.spend(len(value.items))
        return tuple(value.items)
    if isinstance(value, str):
        run.spend(len(value))
        return tuple(value)
    message = f"{kind_name(value)} can't be gone through"
    raise EvaluationError(message)


def searching(text: str, part: str, *, backward: bool = False) -> int:
    """Steps that looking for a part in a text takes at worst.

    Python compares character by character where the text or the part is short, or it looks from the end.
    """
    compared = min(len(part), 100) if len(text) >= 2500 and not backward else len(part)
    return 1 + len(text) // 16 + len(text) * compared // 512


# Arithmetic.


def _refused(symbol: str, left: Value, right: Value) -> EvaluationError:
    return EvaluationError(f"{symbol} is not defined for {kind_name(left)} and {kind_name(right)}")


def _bits(value: int | float) -> int:
    return value.bit_length() if isinstance(value, int) else 64


def _numeric(symbol: str, compute: Callable[[Any, Any], Any], bits: Callable[[Any, Any], int]) -> Binary:
    """An operator on numbers, whose result has so many bits, or one more."""

    def apply(run: Run, left: Value, right: Value) -> Value:
        if not isinstance(left, (int, float)) or not isinstance(right, (int, float)):
            raise _refused(symbol, left, right)
        if isinstance(left, int) and isinstance(right, int):
            made = bits(left, right)
            if made > INT_BITS_LIMIT:
                message = f"{symbol} would make an integer of more than {INT_BITS_LIMIT} bits"
                raise EvaluationError(message)
            spend_on_numbers(run, left, right, made)
        result = checked_number(compute(left, right))
        size_of(result)
        return result

    return apply


def spend_on_numbers(run: Run, left: int, right: int, made: int = 0) -> None:
    """Count what takes longer the more bits there are, squared."""
    bits = max(left.bit_length(), right.bit_length(), made)
    if bits > 256:
        run.spend(bits * bits >> 18)


def checked_number(number: Any) -> Value:
    """A number that is none of another kind: a negative one to the power of a fraction is complex."""
    if not isinstance(number, (int, float)):
        message = "complex numbers are no data"
        raise EvaluationError(message)
    return number


def _widest(left: Any, right: Any) -> int:
    return max(_bits(left), _bits(right))


def _bits_of_power(left: Any, right: Any) -> int:
    # 0, 1 and -1 stay small whatever the exponent; a negative one gives a float.
    return int(math.log2(abs(left)) * min(max(right, 0), INT_BITS_LIMIT + 1)) if abs(left) > 1 else 1


def _bits_of_shift(left: Any, right: Any) -> int:
    return _bits(left) + max(int(right), 0) if left else 0


_add_numbers = _numeric("+", lambda a, b: a + b, _widest)
_subtract_numbers = _numeric("-", lambda a, b: a - b, _widest)
_multiply_numbers = _numeric("*", lambda a, b: a * b, lambda a, b: _bits(a) + _bits(b) - 1)
_modulo_numbers = _numeric("%", lambda a, b: a % b, _widest)


def add(run: Run, left: Value, right: Value) -> Value:
    """`left + right`."""
    if isinstance(left, str) and isinstance(right, str):
        run.spend_making(len(left) + len(right))
        return left + right
    if isinstance(left, SeriesValue) and type(left) is type(right):
        assert isinstance(right, SeriesValue)
        run.spend(len(left.items) + len(right.items))
        return type(left)(left.items + right.items)
    return _add_numbers(run, left, right)


def _subtract(run: Run, left: Value, right: Value) -> Value:
    if isinstance(left, SetValue) and isinstance(right, SetValue):
        run.spend(left.size)
        return SetValue(each for each in left.items if each not in right.items)
    return _subtract_numbers(run, left, right)


def _multiply(run: Run, left: Value, right: Value) -> Value:
    if isinstance(left, int) and isinstance(right, (str, SeriesValue)):
        left, right = right, left
    if isinstance(left, (str, SeriesValue)) and isinstance(right, int):
        return _repeat(run, left, max(right, 0))
    return _multiply_numbers(run, left, right)


def _repeat(run: Run, value: str | SeriesValue, times: int) -> Value:
    if isinstance(value, str):
        run.spend_making(len(value) * times)
        return value * times
    if (value.size - 1) * times >= SIZE_LIMIT:
        message = f"repeating it would make a value of more than {SIZE_LIMIT} units"
        raise EvaluationError(message)
    run.spend(len(value.items) * times)
    return type(value)(value.items * times)


def _modulo(run: Run, left: Value, right: Value) -> Value:
    return percent(run, left, right) if isinstance(left, str) else _modulo_numbers(run, left, right)


def _bitwise(symbol: str, compute: Callable[[Any, Any], Any]) -> Binary:
    def apply(_: Run, left: Value, right: Value) -> Value:
        if not isinstance(left, int) or not isinstance(right, int):
            raise _refused(symbol, left, right)
        result: Value = compute(left, right)
        return result

    return apply


_or_numbers = _bitwise("|", lambda a, b: a | b)
_and_numbers = _bitwise("&", lambda a, b: a & b)
_xor_numbers = _bitwise("^", lambda a, b: a ^ b)


def _or(run: Run, left: Value, right: Value) -> Value:
    if isinstance(left, SetValue) and isinstance(right, SetValue):
        run.spend(left.size + right.size)
        return SetValue((*left.items, *right.items))
    if isinstance(left, MapValue) and isinstance(right, MapValue):
        run.spend(left.size + right.size)
        return MapValue({**left.items, **right.items})
    return _or_numbers(run, left, right)


def _and(run: Run, left: Value, right: Value) -> Value:
    if isinstance(left, SetValue) and isinstance(right, SetValue):
        run.spend(left.size)
        return SetValue(each for each in left.items if each in right.items)
    return _and_numbers(run, left, right)


def _xor(run: Run, left: Value, right: Value) -> Value:
    if isinstance(left, SetValue) and isinstance(right, SetValue):
        run.spend(left.size + right.size)
        only_left = [each for each in left.items if each not in right.items]
        return SetValue((*only_left, *(each for each in right.items if each not in left.items)))
    return _xor_numbers(run, left, right)


power = _numeric("**", lambda a, b: a**b, _bits_of_power)
"""`left ** right`."""

BINARY: dict[type[ast.operator], Binary] = {
    ast.Add: add,
    ast.Sub: _subtract,
    ast.Mult: _multiply,
    ast.Div: _numeric("/", lambda a, b: a / b, lambda _, __: 0),
    ast.FloorDiv: _numeric("//", lambda a, b: a // b, _widest),
    ast.Mod: _modulo,
    ast.Pow: power,
    ast.LShift: _numeric("<<", lambda a, b: a << b, _bits_of_shift),
    ast.RShift: _numeric(">>", lambda a, b: a >> b, _widest),
    ast.BitOr: _or,
    ast.BitAnd: _and,
    ast.BitXor: _xor,
}


def _sign(compute: Callable[[Any], Any]) -> Callable[[Value], Value]:
    def apply(value: Value) -> Value:
        if not isinstance(value, (int, float)):
            message = f"{kind_name(value)} has no sign"
            raise EvaluationError(message)
        result: Value = compute(value)
        return result

    return apply


UNARY: dict[type[ast.unaryop], Callable[[Value], Value]] = {
    ast.Not: lambda value: not truth(value),
    ast.USub: _sign(operator.neg),
    ast.UAdd: _sign(operator.pos),
    ast.Invert: _sign(operator.invert),
}

# Comparison.


def _equal(run: Run, left: Value, right: Value) -> bool:
    run.spend(min(size_of(left), size_of(right)))
    return left == right


def _ordered(symbol: str, compare: Callable[[Any, Any], Any]) -> Callable[[Run, Value, Value], bool]:
    def apply(run: Run, left: Value, right: Value) -> bool:
        run.spend(min(size_of(left), size_of(right)))
        if isinstance(left, SetValue) and isinstance(right, SetValue):
            return bool(compare(left.items.keys(), right.items.keys()))
        numbers = isinstance(left, (int, float)) and isinstance(right, (int, float))
        if not numbers and (type(left) is not type(right) or not isinstance(left, (str, SeriesValue))):
            raise _refused(symbol, left, right)
        if isinstance(left, SeriesValue) and isinstance(right, SeriesValue):
            return bool(compare(left.items, right.items))
        return bool(compare(left, right))

    return apply


def _contains(run: Run, member: Value, container: Value) -> bool:
    if isinstance(container, str):
        if not isinstance(member, str):
            raise _refused("in", member, container)
        run.spend(searching(container, member))
        return member in container
    if isinstance(container, SeriesValue):
        run.spend(container.size)
        return member in container.items
    if isinstance(container, (SetValue, MapValue)):
        run.spend(size_of(member))
        return checked_key(member) in container.items
    raise _refused("in", member, container)


COMPARE: dict[type[ast.cmpop], Callable[[Run, Value, Value], bool]] = {
    ast.Eq: _equal,
    ast.NotEq: lambda run, left, right: not _equal(run, left, right),
    ast.Lt: _ordered("<", operator.lt),
    ast.LtE: _ordered("<=", operator.le),
    ast.Gt: _ordered(">", operator.gt),
    ast.GtE: _ordered(">=", operator.ge),
    ast.In: _contains,
    ast.NotIn: lambda run, left, right: not _contains(run, left, right),
    ast.Is: lambda _, left, right: left is right,
    ast.IsNot: lambda _, left, right: left is not right,
}


def item(run: Run, container: Value, key: Value) -> Value:
    """`container[key]`; of a series or text, `key` may be a slice made by `slice_of`.

    Raises:
        EvaluationError: there is no such item.
    """
    if isinstance(container, MapValue):
        run.spend(size_of(key))
        if checked_key(key) in container.items:
            return container.items[key]
        message = f"there is no key {brief(key)}"
        raise EvaluationError(message)
    if isinstance(container, (SeriesValue, str)):
        if isinstance(key, Slice):
            cut = slice(key.start, key.stop, key.step)
            if isinstance(container, str):
                run.spend_making(len(range(*cut.indices(len(container)))))
                return container[cut]
            run.spend(len(range(*cut.indices(len(container.items)))))
            return type(container)(container.items[cut])
        if isinstance(key, int):
            items: Any = container if isinstance(container, str) else container.items
            found: Value = items[place(key, len(items))]
            return found
    message = f"{kind_name(container)} has no items of {kind_name(key)}"
    raise EvaluationError(message)


def place(index: int, length: int) -> int:
    """An index, counted from the end if negative, as one from the beginning.

    Raises:
        EvaluationError: there is nothing there.
    """
    found = index + length if index < 0 else index
    if 0 <= found < length:
        return found
    message = f"there is no item {index} among {length}"
    raise EvaluationError(message)


class Slice(TupleValue):
    """A slice while an expression is evaluated; no data can hold one."""

    __slots__ = ()

    @property
    def start(self) -> Any:
        """Where it starts."""
        return self.items[0]

    @property
    def stop(self) -> Any:
        """Where it ends."""
        return self.items[1]

    @property
    def step(self) -> Any:
        """How far from one to the next."""
        return self.items[2]
