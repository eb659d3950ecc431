"""The built-in functions and types of an expression: what is not listed here does not exist."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stateward.errors import EvaluationError
from stateward.scxml.python.callables import CallableValue, call
from stateward.scxml.python.formats import format_value, representation_of, text_of
from stateward.scxml.python.operators import add, checked_number, iterate, kind_name, power, spend_on_numbers, truth
from stateward.scxml.run import Run
from stateward.scxml.values import (
    SIZE_LIMIT,
    ListValue,
    MapValue,
    RecordValue,
    SeriesValue,
    SetValue,
    TupleValue,
    Value,
    size_of,
)

__all__ = ["BUILTINS", "Builtin", "as_integer", "as_text", "make_dict", "reversed_list", "sorted_list"]


_ABSENT: Any = object()
LEVELS_OF_BUILTIN = 2
"""What a call of a built-in function counts as, for what it may call in turn."""


class Builtin(CallableValue):
    """A built-in function or type, by its name."""

    __slots__ = ("function", "name", "type_")

    def __init__(self, name: str, function: Callable[..., Value], type_: tuple[type, ...] = ()) -> None:
        self.name = name
        self.function = function
        self.type_ = type_
        """The types that `isinstance` takes it for; empty: it is no type."""
        self._measure(())

    def call(self, run: Run, positional: Sequence[Value], named: Mapping[str, Value]) -> Value:
        """The function's result."""
        run.descend(LEVELS_OF_BUILTIN)
        try:
            return self.function(run, *positional, **named)
        except TypeError as error:
            # What Python says names a function of ours; what was passed wrongly is said by the rest.
            message = f"{self.name}(): {str(error).partition('() ')[2] or error}"
            raise EvaluationError(message) from None
        finally:
            run.ascend(LEVELS_OF_BUILTIN)

    def _title(self) -> str:
        return self.name

    def __reduce__(self) -> str | tuple[Any, ...]:
        return make_builtin, (self.name,)


def make_builtin(name: str) -> Builtin:
    """A function read back from its name."""
    return BUILTINS[name]


# Built-in functions. Each gets the run it is called in; those that go through values let `iterate` count.


def _number(value: Value, kind: str) -> int | float:
    if isinstance(value, (int, float)):
        return value
    message = f"{kind}() takes numbers, not {kind_name(value)}"
    raise EvaluationError(message)


def _abs(_: Run, value: Value, /) -> Value:
    return abs(_number(value, "abs"))


def _all(run: Run, values: Value, /) -> Value:
    return all(truth(each) for each in iterate(run, values))


def _any(run: Run, values: Value, /) -> Value:
    return any(truth(each) for each in iterate(run, values))


def _bool(_: Run, value: Value = False, /) -> Value:
    return truth(value)


def _chr(_: Run, code: Value, /) -> Value:
    if not isinstance(code, int):
        message = f"chr() takes an integer, not {kind_name(code)}"
        raise EvaluationError(message)
    return chr(code)


def _ord(_: Run, text: Value, /) -> Value:
    if not isinstance(text, str):
        message = f"ord() takes a text, not {kind_name(text)}"
        raise EvaluationError(message)
    return ord(text)


def make_dict(run: Run, given: Value = None, /, **named: Value) -> Value:
    """A dict of pairs or of another dict, and of names."""
    found: dict[Value, Value] = {}
    if isinstance(given, MapValue):
        run.spend(given.size)
        found.update(given.items)
    elif given is not None:
        run.spend(size_of(given))  # its keys are looked at as a whole
        found.update(_pair(run, each) for each in iterate(run, given))
    found.update(named.items())
    return MapValue(found)


def _pair(run: Run, value: Value) -> tuple[Value, Value]:
    found = iterate(run, value)
    if len(found) != 2:
        message = f"{len(found)} values are no pair of a key and a value"
        raise EvaluationError(message)
    return found[0], found[1]


def _divmod(run: Run, left: Value, right: Value, /) -> Value:
    if isinstance(left, (int, float)) and isinstance(right, (int, float)):
        if isinstance(left, int) and isinstance(right, int):
            spend_on_numbers(run, left, right)
        return TupleValue(divmod(left, right))
    message = "divmod() takes two numbers"
    raise EvaluationError(message)


def _enumerate(run: Run, values: Value, start: Value = 0) -> Value:
    first, items = as_integer(start, "enumerate"), iterate(run, values)
    run.spend(2 * len(items))
    return ListValue(TupleValue((first + n, each)) for n, each in enumerate(items))


def _filter(run: Run, function: Value, values: Value, /) -> Value:
    items = iterate(run, values)
    if function is None:
        return ListValue(each for each in items if truth(each))
    return ListValue(each for each in items if truth(call(run, function, (each,), {})))


def _float(run: Run, value: Value = 0.0, /) -> Value:
    if isinstance(value, str):
        if len(value) > 1000:
            message = f"float() takes at most 1000 digits, not {len(value)}"
            raise EvaluationError(message)
        run.spend(len(value) // 8)
        return float(value)
    if isinstance(value, (int, float)):
        return float(value)
    message = f"float() takes a number or a text, not {kind_name(value)}"
    raise EvaluationError(message)


def _format(run: Run, value: Value, spec: Value = "", /) -> Value:
    return format_value(run, value, as_text(spec, "format"))


def _int(run: Run, value: Value = 0, base: Value = _ABSENT) -> Value:
    if isinstance(value, str):
        if len(value) > 2500:
            message = f"int() takes at most 2500 digits, not {len(value)}"
            raise EvaluationError(message)
        run.spend(len(value) // 4)
        found = int(value, 10 if base is _ABSENT else as_integer(base, "int"))
        size_of(found)  # whether it is too large: in another base than ten it may be
        return found
    if isinstance(value, (int, float)) and base is _ABSENT:
        return int(value)
    message = f"int() takes a number or a text, not {kind_name(value)}"
    raise EvaluationError(message)


def _isinstance(run: Run, value: Value, kinds: Value, /) -> Value:
    run.spend(size_of(kinds))
    for kind in kinds.items if isinstance(kinds, TupleValue) else (kinds,):
        if isinstance(kind, Builtin) and kind.type_:
            if isinstance(value, kind.type_):
                return True
        elif isinstance(kind, CallableValue):
            if isinstance(value, RecordValue) and value.kind == kind:
                return True
        else:
            message = f"isinstance() takes a type or a tuple of types, not {kind_name(kind)}"
            raise EvaluationError(message)
    return False


def _len(_: Run, value: Value, /) -> Value:
    if isinstance(value, str):
        return len(value)
    items: Any = getattr(value, "items", None)
    if items is None or isinstance(value, RecordValue):
        message = f"{kind_name(value)} has no length"
        raise EvaluationError(message)
    return len(items)


def _list(run: Run, values: Value = ListValue(), /) -> Value:  # noqa: B008 - a value never changes
    return ListValue(iterate(run, values))


def _map(run: Run, function: Value, *values: Value) -> Value:
    columns = [iterate(run, each) for each in values]
    return ListValue(call(run, function, row, {}) for row in zip(*columns, strict=False))


def _extreme(name: str, choose: Callable[..., Any]) -> Callable[..., Value]:
    def apply(run: Run, *values: Value, key: Value = None, default: Value = _ABSENT) -> Value:
        items = iterate(run, values[0]) if len(values) == 1 else values
        if not items:
            if default is _ABSENT:
                message = f"{name}() of nothing"
                raise EvaluationError(message)
            return default
        ranks = items if key is None else [call(run, key, (each,), {}) for each in items]
        run.spend(sum(map(size_of, ranks)))
        found: int = choose(range(len(items)), key=ranks.__getitem__)
        return items[found]

    return apply


def _pow(run: Run, base: Value, exponent: Value, /) -> Value:
    return power(run, base, exponent)


def _range(run: Run, *bounds: Value) -> Value:
    found = range(*(as_integer(each, "range") for each in bounds))
    if len(found) > SIZE_LIMIT:
        message = f"a range of {len(found)} numbers is too large"
        raise EvaluationError(message)
    run.spend(len(found))
    return ListValue(found)


def _repr(run: Run, value: Value, /) -> Value:
    return representation_of(run, value)


def reversed_list(run: Run, values: Value, /) -> Value:
    """The values from the last to the first."""
    return ListValue(reversed(iterate(run, values)))


def _round(run: Run, number: Value, digits: Value = None) -> Value:
    value = _number(number, "round")
    if digits is None:
        return round(value)
    places = as_integer(digits, "round")
    if abs(places) > 1000:
        message = f"round() to {places} digits is too much"
        raise EvaluationError(message)
    run.spend(abs(places) // 4)
    return checked_number(round(value, places))


def _set(run: Run, values: Value = ListValue(), /) -> Value:  # noqa: B008 - a value never changes
    run.spend(size_of(values))  # its members are looked at as a whole
    return SetValue(iterate(run, values))


def sorted_list(run: Run, values: Value, /, *, key: Value = None, reverse: Value = False) -> Value:
    """The values in order, by what `key` makes of them."""
    items = iterate(run, values)
    ranks: Any = items if key is None else [call(run, key, (each,), {}) for each in items]
    run.spend(sum(map(size_of, ranks)) * max(len(items).bit_length(), 1))
    order = sorted(range(len(items)), key=ranks.__getitem__, reverse=truth(reverse))
    return ListValue(items[index] for index in order)


def _str(run: Run, value: Value = "", /) -> Value:
    return text_of(run, value)


def _sum(run: Run, values: Value, /, start: Value = 0) -> Value:
    total = start
    for each in iterate(run, values):
        if not isinstance(each, (int, float, SeriesValue)):
            message = f"sum() takes numbers, lists or tuples, not {kind_name(each)}"
            raise EvaluationError(message)
        total = add(run, total, each)
    return total


def _tuple(run: Run, values: Value = TupleValue(), /) -> Value:  # noqa: B008 - a value never changes
    return TupleValue(iterate(run, values))


def _zip(run: Run, *values: Value) -> Value:
    columns = [iterate(run, each) for each in values]
    run.spend(2 * min(map(len, columns), default=0))
    return ListValue(TupleValue(row) for row in zip(*columns, strict=False))


def _in(run: Run, state: Value, /) -> Value:
    return run.is_in(as_text(state, "In"))


def as_integer(value: Value, function: str) -> int:
    """An argument that must be an integer."""
    if isinstance(value, int):
        return value
    message = f"{function}() takes an integer, not {kind_name(value)}"
    raise EvaluationError(message)


def as_text(value: Value, function: str) -> str:
    """An argument that must be a text."""
    if isinstance(value, str):
        return value
    message = f"{function}() takes a text, not {kind_name(value)}"
    raise EvaluationError(message)


BUILTINS: dict[str, Builtin] = {
    each.name: each
    for each in (
        Builtin("In", _in),
        Builtin("abs", _abs),
        Builtin("all", _all),
        Builtin("any", _any),
        Builtin("bool", _bool, (bool,)),
        Builtin("chr", _chr),
        Builtin("dict", make_dict, (MapValue,)),
        Builtin("divmod", _divmod),
        Builtin("enumerate", _enumerate),
        Builtin("filter", _filter),
        Builtin("float", _float, (float,)),
        Builtin("format", _format),
        Builtin("int", _int, (int,)),
        Builtin("isinstance", _isinstance),
        Builtin("len", _len),
        Builtin("list", _list, (ListValue,)),
        Builtin("map", _map),
        Builtin("max", _extreme("max", max)),
        Builtin("min", _extreme("min", min)),
        Builtin("ord", _ord),
        Builtin("pow", _pow),
        Builtin("range", _range),
        Builtin("repr", _repr),
        Builtin("reversed", reversed_list),
        Builtin("round", _round),
        Builtin("set", _set, (SetValue,)),
        Builtin("sorted", sorted_list),
        Builtin("str", _str, (str,)),
        Builtin("sum", _sum),
        Builtin("tuple", _tuple, (TupleValue,)),
        Builtin("zip", _zip),
    )
}
"""Everything that a name can mean beside the document's own data."""
