"""What an expression can call: built-in functions, functions and classes that a script wrote, methods of values.

Everything here is on a list; what is not listed does not exist. Methods that change their value in Python give two
things here, the result and the new value, and the caller assigns the new value to where the old one stood.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

from stateward.scxml.python.formats import format_text, format_value, text_of
from stateward.scxml.python.operators import add, checked_number, item, iterate, kind_name, place, power, truth
from stateward.scxml.run import Run
from stateward.scxml.values import (
    SIZE_LIMIT,
    Compound,
    EvaluationError,
    ListValue,
    MapValue,
    Opaque,
    RecordValue,
    SetValue,
    TupleValue,
    Value,
    size_of,
)

__all__ = ["BUILTINS", "METHODS", "MUTATORS", "Builtin", "Callable_", "call", "method_of", "mutator_of"]


class Callable_(Opaque):  # noqa: N801 - `Callable` is the name of the type of any
    """A value that can be called."""

    __slots__ = ()

    def call(self, run: Run, positional: Sequence[Value], named: Mapping[str, Value]) -> Value:
        """The result of calling it with these values."""
        raise NotImplementedError


def call(run: Run, function: Value, positional: Sequence[Value], named: Mapping[str, Value]) -> Value:
    """Call a value.

    Raises:
        EvaluationError: it can't be called, or not with these.
    """
    if isinstance(function, Callable_):
        run.spend(1 + len(positional))
        return function.call(run, positional, named)
    message = f"{kind_name(function)} can't be called"
    raise EvaluationError(message)


class Builtin(Callable_):
    """A built-in function or type, by its name."""

    __slots__ = ("function", "name", "type_")

    def __init__(self, name: str, function: Callable[..., Value], type_: tuple[type, ...] = ()) -> None:
        self.name = name
        self.function = function
        self.type_ = type_
        """The types that `isinstance` takes it for; empty: it is no type."""
        self._measure(())

    def call(self, run: Run, positional: Sequence[Value], named: Mapping[str, Value]) -> Value:
        try:
            return self.function(run, *positional, **named)
        except TypeError as error:
            # What Python says names a function of ours; what was passed wrongly is said by the rest.
            message = f"{self.name}(): {str(error).partition('() ')[2] or error}"
            raise EvaluationError(message) from None

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self) -> str | tuple[Any, ...]:
        return _builtin, (self.name,)


def _builtin(name: str) -> Builtin:
    return BUILTINS[name]


# Built-in functions. Each gets the run it is called in; those that go through values let `iterate` count.


def _number(run: Run, value: Value, kind: str) -> int | float:
    if isinstance(value, (int, float)):
        return value
    message = f"{kind}() takes numbers, not {kind_name(value)}"
    raise EvaluationError(message)


def _abs(run: Run, value: Value, /) -> Value:
    return abs(_number(run, value, "abs"))


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


def _dict(run: Run, given: Value = None, /, **named: Value) -> Value:
    found: dict[Value, Value] = {}
    if isinstance(given, MapValue):
        run.spend(given.size)
        found.update(given.items)
    elif given is not None:
        found.update(_pair(run, each) for each in iterate(run, given))
    found.update(named.items())
    return MapValue(found)


def _pair(run: Run, value: Value) -> tuple[Value, Value]:
    found = iterate(run, value)
    if len(found) != 2:
        message = f"{len(found)} values are no pair of a key and a value"
        raise EvaluationError(message)
    return found[0], found[1]


def _divmod(_: Run, left: Value, right: Value, /) -> Value:
    if isinstance(left, (int, float)) and isinstance(right, (int, float)):
        return TupleValue(divmod(left, right))
    message = "divmod() takes two numbers"
    raise EvaluationError(message)


def _enumerate(run: Run, values: Value, start: Value = 0) -> Value:
    first = _integer(start, "enumerate")
    return ListValue(TupleValue((first + n, each)) for n, each in enumerate(iterate(run, values)))


def _filter(run: Run, function: Value, values: Value, /) -> Value:
    items = iterate(run, values)
    if function is None:
        return ListValue(each for each in items if truth(each))
    return ListValue(each for each in items if truth(call(run, function, (each,), {})))


def _float(_: Run, value: Value = 0.0, /) -> Value:
    if isinstance(value, str):
        return float(value[:1000])
    if isinstance(value, (int, float)):
        return float(value)
    message = f"float() takes a number or a text, not {kind_name(value)}"
    raise EvaluationError(message)


def _format(run: Run, value: Value, spec: Value = "", /) -> Value:
    return format_value(run, value, _text(spec, "format"))


def _int(_: Run, value: Value = 0, base: Value = 10) -> Value:
    if isinstance(value, str):
        if len(value) > 2500:
            message = f"int() takes at most 2500 digits, not {len(value)}"
            raise EvaluationError(message)
        return int(value, _integer(base, "int"))
    if isinstance(value, (int, float)):
        return int(value)
    message = f"int() takes a number or a text, not {kind_name(value)}"
    raise EvaluationError(message)


def _isinstance(_: Run, value: Value, kinds: Value, /) -> Value:
    for kind in kinds.items if isinstance(kinds, TupleValue) else (kinds,):
        if isinstance(kind, Builtin) and kind.type_:
            if isinstance(value, kind.type_):
                return True
        elif isinstance(kind, Callable_):
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
        run.spend(sum(map(size_of, items)))
        ranks = items if key is None else [call(run, key, (each,), {}) for each in items]
        found: int = choose(range(len(items)), key=ranks.__getitem__)
        return items[found]

    return apply


def _pow(run: Run, base: Value, exponent: Value, /) -> Value:
    return power(run, base, exponent)


def _range(run: Run, *bounds: Value) -> Value:
    found = range(*(_integer(each, "range") for each in bounds))
    if len(found) > SIZE_LIMIT:
        message = f"a range of {len(found)} numbers is too large"
        raise EvaluationError(message)
    run.spend(len(found))
    return ListValue(found)


def _repr(run: Run, value: Value, /) -> Value:
    if isinstance(value, Compound):
        run.spend(value.size)
    text = repr(value)
    run.spend_making(len(text))
    return text


def _reversed(run: Run, values: Value, /) -> Value:
    return ListValue(reversed(iterate(run, values)))


def _round(run: Run, number: Value, digits: Value = None) -> Value:
    value = _number(run, number, "round")
    if digits is None:
        return round(value)
    places = _integer(digits, "round")
    if abs(places) > 1000:
        message = f"round() to {places} digits is too much"
        raise EvaluationError(message)
    return checked_number(round(value, places))


def _set(run: Run, values: Value = ListValue(), /) -> Value:  # noqa: B008 - a value never changes
    return SetValue(iterate(run, values))


def _sorted(run: Run, values: Value, /, *, key: Value = None, reverse: Value = False) -> Value:
    items = iterate(run, values)
    run.spend(sum(map(size_of, items)) * max(len(items).bit_length(), 1))
    ranks = items if key is None else [call(run, key, (each,), {}) for each in items]
    order = sorted(range(len(items)), key=ranks.__getitem__, reverse=truth(reverse))  # type: ignore[arg-type]
    return ListValue(items[index] for index in order)


def _str(run: Run, value: Value = "", /) -> Value:
    return text_of(run, value)


def _sum(run: Run, values: Value, /, start: Value = 0) -> Value:
    total = start
    for each in iterate(run, values):
        if not isinstance(each, (int, float)):
            message = f"sum() takes numbers, not {kind_name(each)}"
            raise EvaluationError(message)
        total = add(run, total, each)
    return total


def _tuple(run: Run, values: Value = TupleValue(), /) -> Value:  # noqa: B008 - a value never changes
    return TupleValue(iterate(run, values))


def _zip(run: Run, *values: Value) -> Value:
    columns = [iterate(run, each) for each in values]
    return ListValue(TupleValue(row) for row in zip(*columns, strict=False))


def _in(run: Run, state: Value, /) -> Value:
    return run.is_in(_text(state, "In"))


def _integer(value: Value, function: str) -> int:
    if isinstance(value, int):
        return value
    message = f"{function}() takes an integer, not {kind_name(value)}"
    raise EvaluationError(message)


def _text(value: Value, function: str) -> str:
    if isinstance(value, str):
        return value
    message = f"{function}() takes a text, not {kind_name(value)}"
    raise EvaluationError(message)


_ABSENT: Any = object()

BUILTINS: dict[str, Builtin] = {
    each.name: each
    for each in (
        Builtin("In", _in),
        Builtin("abs", _abs),
        Builtin("all", _all),
        Builtin("any", _any),
        Builtin("bool", _bool, (bool,)),
        Builtin("chr", _chr),
        Builtin("dict", _dict, (MapValue,)),
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
        Builtin("reversed", _reversed),
        Builtin("round", _round),
        Builtin("set", _set, (SetValue,)),
        Builtin("sorted", _sorted),
        Builtin("str", _str, (str,)),
        Builtin("sum", _sum),
        Builtin("tuple", _tuple, (TupleValue,)),
        Builtin("zip", _zip),
    )
}
"""Everything that a name can mean beside the document's own data."""


# Methods.

Method = Callable[..., Value]
Mutator = Callable[..., tuple[Value, Value]]


def method_of(value: Value, name: str) -> Method | None:
    """The method of that name that leaves its value alone; called with the run and the value first."""
    return METHODS.get(type(value), {}).get(name)


def mutator_of(value: Value, name: str) -> Mutator | None:
    """The method of that name that changes its value: it gives the result and the new value."""
    return MUTATORS.get(type(value), {}).get(name)


def _of_text(name: str) -> Method:
    """A text's own method, for those whose result is no larger than the text."""
    method = getattr(str, name)

    def apply(run: Run, text: str, *given: Value) -> Value:
        run.spend(1 + len(text) // 16)
        arguments = [each.items if isinstance(each, TupleValue) else each for each in given]
        result = method(text, *arguments)
        if isinstance(result, (list, tuple)):
            run.spend(len(result))
            return ListValue(result) if isinstance(result, list) else TupleValue(result)
        found: Value = result
        return found

    return apply


def _padding(name: str) -> Method:
    method = getattr(str, name)

    def apply(run: Run, text: str, width: Value, *fill: Value) -> Value:
        run.spend_making(max(_integer(width, name), len(text)))
        found: Value = method(text, width, *fill)
        return found

    return apply


def _join(run: Run, separator: str, values: Value, /) -> Value:
    texts = [_text(each, "join") for each in iterate(run, values)]
    run.spend_making(sum(map(len, texts)) + len(separator) * len(texts))
    return separator.join(texts)


def _replace(run: Run, text: str, old: Value, new: Value, count: Value = -1, /) -> Value:
    old, new = _text(old, "replace"), _text(new, "replace")
    run.spend(1 + len(text) // 16)
    run.spend_making(len(text) + text.count(old) * max(len(new) - len(old), 0))
    return text.replace(old, new, _integer(count, "replace"))


def _expandtabs(run: Run, text: str, size: Value = 8, /) -> Value:
    width = _integer(size, "expandtabs")
    run.spend_making(len(text) + text.count("\t") * max(width, 0))
    return text.expandtabs(width)


def _format_method(run: Run, text: str, /, *positional: Value, **named: Value) -> Value:
    return format_text(run, text, positional, named)


def _index(run: Run, series: Any, value: Value, /) -> Value:
    run.spend(series.size)
    if value in series.items:
        found: int = series.items.index(value)
        return found
    message = f"{value!r} is not among them"
    raise EvaluationError(message)


def _count(run: Run, series: Any, value: Value, /) -> Value:
    run.spend(series.size)
    found: int = series.items.count(value)
    return found


def _copy(_: Run, value: Value, /) -> Value:
    return value


def _get(_: Run, mapping: MapValue, key: Value, default: Value = None, /) -> Value:
    return mapping.items.get(key, default)


def _keys(run: Run, mapping: MapValue, /) -> Value:
    return ListValue(iterate(run, mapping))


def _values(run: Run, mapping: MapValue, /) -> Value:
    run.spend(mapping.size)
    return ListValue(mapping.items.values())


def _items(run: Run, mapping: MapValue, /) -> Value:
    run.spend(mapping.size)
    return ListValue(TupleValue(pair) for pair in mapping.items.items())


def _relation(compare: Callable[[Any, Any], bool]) -> Method:
    def apply(run: Run, members: SetValue, others: Value, /) -> Value:
        return compare(members.items.keys(), dict.fromkeys(iterate(run, others)).keys())

    return apply


def _combination(symbol: str) -> Method:
    def apply(run: Run, members: SetValue, *others: Value) -> Value:
        found = list(members.items)
        for each in others:
            items = dict.fromkeys(iterate(run, each))
            run.spend(len(found))
            if symbol == "|":
                found = list(dict.fromkeys((*found, *items)))
            else:
                found = [one for one in found if (one in items) == (symbol == "&")]
        return SetValue(found)

    return apply


_TEXT_METHODS = """
    capitalize casefold count endswith find index isalnum isalpha isascii isdecimal isdigit isidentifier islower
    isnumeric isprintable isspace istitle isupper lower lstrip partition removeprefix removesuffix rfind rindex
    rpartition rsplit rstrip split splitlines startswith strip swapcase title upper
"""

METHODS: dict[type, dict[str, Method]] = {
    str: {
        **{name: _of_text(name) for name in _TEXT_METHODS.split()},
        **{name: _padding(name) for name in ("center", "ljust", "rjust", "zfill")},
        "expandtabs": _expandtabs,
        "format": _format_method,
        "join": _join,
        "replace": _replace,
    },
    ListValue: {"index": _index, "count": _count, "copy": _copy},
    TupleValue: {"index": _index, "count": _count},
    MapValue: {"get": _get, "keys": _keys, "values": _values, "items": _items, "copy": _copy},
    SetValue: {
        "copy": _copy,
        "union": _combination("|"),
        "intersection": _combination("&"),
        "difference": _combination("-"),
        "issubset": _relation(lambda own, other: own <= other),
        "issuperset": _relation(lambda own, other: own >= other),
        "isdisjoint": _relation(lambda own, other: not own & other),
    },
}
"""Methods that leave their value alone, by its type."""


def _append(run: Run, series: ListValue, value: Value, /) -> tuple[Value, Value]:
    run.spend(1 + len(series.items) // 16)
    return None, series.append(value)


def _extend(run: Run, series: ListValue, values: Value, /) -> tuple[Value, Value]:
    run.spend(len(series.items))
    return None, ListValue((*series.items, *iterate(run, values)))


def _insert(run: Run, series: ListValue, index: Value, value: Value, /) -> tuple[Value, Value]:
    run.spend(len(series.items))
    items = list(series.items)
    items.insert(_integer(index, "insert"), value)
    return None, ListValue(items)


def _pop(run: Run, series: ListValue, index: Value = -1, /) -> tuple[Value, Value]:
    run.spend(len(series.items))
    items = list(series.items)
    return items.pop(place(_integer(index, "pop"), len(items))), ListValue(items)


def _remove(run: Run, series: ListValue, value: Value, /) -> tuple[Value, Value]:
    found = _index(run, series, value)
    assert isinstance(found, int)
    return None, ListValue((*series.items[:found], *series.items[found + 1 :]))


def _reverse(run: Run, series: ListValue, /) -> tuple[Value, Value]:
    return None, _reversed(run, series)


def _sort(run: Run, series: ListValue, /, *, key: Value = None, reverse: Value = False) -> tuple[Value, Value]:
    return None, _sorted(run, series, key=key, reverse=reverse)


def _clear_list(_: Run, __: ListValue, /) -> tuple[Value, Value]:
    return None, ListValue()


def _update(run: Run, mapping: MapValue, given: Value = None, /, **named: Value) -> tuple[Value, Value]:
    added = _dict(run, given, **named)
    assert isinstance(added, MapValue)
    run.spend(mapping.size)
    return None, MapValue({**mapping.items, **added.items})


def _setdefault(run: Run, mapping: MapValue, key: Value, default: Value = None, /) -> tuple[Value, Value]:
    run.spend(1 + len(mapping.items) // 16)
    if key in mapping.items:
        return mapping.items[key], mapping
    return default, mapping.replace(key, default)


def _pop_key(run: Run, mapping: MapValue, key: Value, default: Value = _ABSENT, /) -> tuple[Value, Value]:
    run.spend(len(mapping.items))
    if key not in mapping.items and default is not _ABSENT:
        return default, mapping
    found = item(run, mapping, key)
    return found, MapValue({each: value for each, value in mapping.items.items() if each != key})


def _popitem(run: Run, mapping: MapValue, /) -> tuple[Value, Value]:
    if not mapping.items:
        message = "popitem() of an empty dict"
        raise EvaluationError(message)
    run.spend(len(mapping.items))
    *_, last = mapping.items.items()
    return TupleValue(last), MapValue(islice(mapping.items.items(), len(mapping.items) - 1))


def _clear_map(_: Run, __: MapValue, /) -> tuple[Value, Value]:
    return None, MapValue()


def _add(run: Run, members: SetValue, value: Value, /) -> tuple[Value, Value]:
    run.spend(len(members.items))
    return None, SetValue((*members.items, value))


def _discard(run: Run, members: SetValue, value: Value, /) -> tuple[Value, Value]:
    run.spend(len(members.items))
    return None, SetValue(each for each in members.items if each != value)


def _remove_member(run: Run, members: SetValue, value: Value, /) -> tuple[Value, Value]:
    if value not in members.items:
        message = f"{value!r} is not among them"
        raise EvaluationError(message)
    return _discard(run, members, value)


def _update_set(run: Run, members: SetValue, *others: Value) -> tuple[Value, Value]:
    return None, _combination("|")(run, members, *others)


def _clear_set(_: Run, __: SetValue, /) -> tuple[Value, Value]:
    return None, SetValue()


MUTATORS: dict[type, dict[str, Mutator]] = {
    ListValue: {
        "append": _append,
        "clear": _clear_list,
        "extend": _extend,
        "insert": _insert,
        "pop": _pop,
        "remove": _remove,
        "reverse": _reverse,
        "sort": _sort,
    },
    MapValue: {
        "clear": _clear_map,
        "pop": _pop_key,
        "popitem": _popitem,
        "setdefault": _setdefault,
        "update": _update,
    },
    SetValue: {
        "add": _add,
        "clear": _clear_set,
        "discard": _discard,
        "remove": _remove_member,
        "update": _update_set,
    },
}
"""Methods that change their value, by its type: each gives the result and the new value."""
