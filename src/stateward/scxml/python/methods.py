"""The methods of values: what is not listed here does not exist.

Those that change their value in Python give two things here, the result and the new value; the caller assigns the
new value to where the old one stood.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Set
from itertools import islice
from typing import Any, cast

from stateward.errors import EvaluationError
from stateward.scxml.python.builtins import as_integer, as_text, make_dict, reversed_list, sorted_list
from stateward.scxml.python.formats import format_text
from stateward.scxml.python.operators import item, iterate, place, searching
from stateward.scxml.run import Run
from stateward.scxml.values import ListValue, MapValue, SetValue, TupleValue, Value, brief, checked_key, size_of

__all__ = ["method_of", "mutator_of"]

_ABSENT: Any = object()

Method = Callable[..., Value]
Mutator = Callable[..., tuple[Value, Value]]


def method_of(value: Value, name: str) -> Method | None:
    """The method of that name that leaves its value alone; called with the run and the value first."""
    return METHODS.get(type(value), {}).get(name)


def mutator_of(value: Value, name: str) -> Mutator | None:
    """The method of that name that changes its value: it gives the result and the new value."""
    return MUTATORS.get(type(value), {}).get(name)


def _of_text(name: str, costs: Callable[[str, Any], int] | None = None) -> Method:
    """A text's own method, for those whose result is hardly larger than the text.

    Args:
        name: what Python calls it.
        costs: how many steps it takes at worst, by the text and the first argument.
    """
    method = getattr(str, name)

    def apply(run: Run, text: str, /, *given: Value, **named: Value) -> Value:
        run.spend(1 + len(text) // 16 + sum(map(size_of, given)))
        if costs is not None:
            run.spend(costs(text, given[0] if given else named.get("sep")))
        arguments = [each.items if isinstance(each, TupleValue) else each for each in given]
        return _value_of(run, method(text, *arguments, **named))

    return apply


def _costs_of_case(text: str, _: Any) -> int:
    return len(text) // 4


def _costs_of_stripping(text: str, characters: Any) -> int:
    return len(text) * len(characters) // 512 if isinstance(characters, str) else 0


def _costs_of_finding(text: str, part: Any) -> int:
    return searching(text, part) if isinstance(part, str) else 0


def _costs_of_finding_last(text: str, part: Any) -> int:
    return searching(text, part, backward=True) if isinstance(part, str) else 0


def _costs_of_splitting(text: str, part: Any) -> int:
    # Every second character may be a part of its own, or one between two.
    return len(text) // 2 + (searching(text, part, backward=True) if isinstance(part, str) else 0)


def _value_of(run: Run, result: Any) -> Value:
    """What a text's method gives: a scalar as it is, parts as a list or a tuple."""
    kinds: dict[type, Callable[[Iterable[Value]], Value]] = {list: ListValue, tuple: TupleValue}
    make = kinds.get(type(cast("object", result)))
    if make is not None:
        run.spend(len(result))
        return make(result)
    found: Value = result
    if isinstance(found, str):
        run.spend_making(len(found))  # of one character in small letters, three in capitals may come
    return found


def _padding(name: str) -> Method:
    method = getattr(str, name)

    def apply(run: Run, text: str, width: Value, *fill: Value) -> Value:
        run.spend_making(max(as_integer(width, name), len(text)))
        found: Value = method(text, width, *fill)
        return found

    return apply


def _join(run: Run, separator: str, values: Value, /) -> Value:
    texts = [as_text(each, "join") for each in iterate(run, values)]
    run.spend_making(sum(map(len, texts)) + len(separator) * len(texts))
    return separator.join(texts)


def _replace(run: Run, text: str, old: Value, new: Value, count: Value = -1, /) -> Value:
    old, new, most = as_text(old, "replace"), as_text(new, "replace"), as_integer(count, "replace")
    run.spend(searching(text, old))
    found = text.count(old)
    run.spend_making(len(text) + (min(found, most) if most >= 0 else found) * max(len(new) - len(old), 0))
    return text.replace(old, new, most)


def _expandtabs(run: Run, text: str, size: Value = 8, /) -> Value:
    width = as_integer(size, "expandtabs")
    run.spend_making(len(text) + text.count("\t") * max(width, 0))
    return text.expandtabs(width)


def _format_method(run: Run, text: str, /, *positional: Value, **named: Value) -> Value:
    return format_text(run, text, positional, named)


def _index(run: Run, series: Any, value: Value, /) -> Value:
    run.spend(series.size)
    if value in series.items:
        found: int = series.items.index(value)
        return found
    message = f"{brief(value)} is not among them"
    raise EvaluationError(message)


def _count(run: Run, series: Any, value: Value, /) -> Value:
    run.spend(series.size)
    found: int = series.items.count(value)
    return found


def _copy(_: Run, value: Value, /) -> Value:
    return value


def _get(run: Run, mapping: MapValue, key: Value, default: Value = None, /) -> Value:
    run.spend(size_of(key))
    return mapping.items.get(checked_key(key), default)


def _keys(run: Run, mapping: MapValue, /) -> Value:
    return ListValue(iterate(run, mapping))


def _values(run: Run, mapping: MapValue, /) -> Value:
    run.spend(mapping.size)
    return ListValue(mapping.items.values())


def _items(run: Run, mapping: MapValue, /) -> Value:
    run.spend(mapping.size)
    return ListValue(TupleValue(pair) for pair in mapping.items.items())


def _members(run: Run, values: Value) -> dict[Value, None]:
    run.spend(size_of(values))  # they are looked at as a whole
    return dict.fromkeys(map(checked_key, iterate(run, values)))


def _relation(compare: Callable[[Set[Value], Set[Value]], bool]) -> Method:
    def apply(run: Run, members: SetValue, others: Value, /) -> Value:
        return compare(members.items.keys(), _members(run, others).keys())

    return apply


def _combination(symbol: str) -> Method:
    def apply(run: Run, members: SetValue, *others: Value) -> Value:
        found = list(members.items)
        for each in others:
            items = _members(run, each)
            run.spend(members.size)
            if symbol == "|":
                found = list(dict.fromkeys((*found, *items)))
            else:
                found = [one for one in found if (one in items) == (symbol == "&")]
        return SetValue(found)

    return apply


_TEXT_METHODS: dict[Callable[[str, Any], int] | None, str] = {
    None: """
        endswith isalnum isalpha isascii isdecimal isdigit isidentifier islower isnumeric isprintable isspace istitle
        isupper removeprefix removesuffix startswith
    """,
    _costs_of_case: "capitalize casefold lower swapcase title upper",
    _costs_of_stripping: "lstrip rstrip strip",
    _costs_of_finding: "count find index partition",
    _costs_of_finding_last: "rfind rindex rpartition",
    _costs_of_splitting: "rsplit split splitlines",
}

METHODS: dict[type, dict[str, Method]] = {
    str: {
        **{name: _of_text(name, costs) for costs, names in _TEXT_METHODS.items() for name in names.split()},
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
    items.insert(as_integer(index, "insert"), value)
    return None, ListValue(items)


def _pop(run: Run, series: ListValue, index: Value = -1, /) -> tuple[Value, Value]:
    run.spend(len(series.items))
    items = list(series.items)
    return items.pop(place(as_integer(index, "pop"), len(items))), ListValue(items)


def _remove(run: Run, series: ListValue, value: Value, /) -> tuple[Value, Value]:
    found = _index(run, series, value)
    assert isinstance(found, int)
    return None, ListValue((*series.items[:found], *series.items[found + 1 :]))


def _reverse(run: Run, series: ListValue, /) -> tuple[Value, Value]:
    return None, reversed_list(run, series)


def _sort(run: Run, series: ListValue, /, *, key: Value = None, reverse: Value = False) -> tuple[Value, Value]:
    return None, sorted_list(run, series, key=key, reverse=reverse)


def _clear_list(_: Run, __: ListValue, /) -> tuple[Value, Value]:
    return None, ListValue()


def _update(run: Run, mapping: MapValue, given: Value = None, /, **named: Value) -> tuple[Value, Value]:
    added = make_dict(run, given, **named)
    assert isinstance(added, MapValue)
    run.spend(mapping.size)
    return None, MapValue({**mapping.items, **added.items})


def _setdefault(run: Run, mapping: MapValue, key: Value, default: Value = None, /) -> tuple[Value, Value]:
    run.spend(size_of(key) + len(mapping.items) // 4)
    if checked_key(key) in mapping.items:
        return mapping.items[key], mapping
    return default, mapping.replace(key, default)


def _pop_key(run: Run, mapping: MapValue, key: Value, default: Value = _ABSENT, /) -> tuple[Value, Value]:
    run.spend(mapping.size + size_of(key))
    if checked_key(key) not in mapping.items and default is not _ABSENT:
        return default, mapping
    found = item(run, mapping, key)
    return found, MapValue({each: value for each, value in mapping.items.items() if each != key})


def _popitem(run: Run, mapping: MapValue, /) -> tuple[Value, Value]:
    if not mapping.items:
        message = "popitem() of an empty dict"
        raise EvaluationError(message)
    run.spend(mapping.size)
    *_, last = mapping.items.items()
    return TupleValue(last), MapValue(islice(mapping.items.items(), len(mapping.items) - 1))


def _clear_map(_: Run, __: MapValue, /) -> tuple[Value, Value]:
    return None, MapValue()


def _add(run: Run, members: SetValue, value: Value, /) -> tuple[Value, Value]:
    run.spend(members.size + size_of(value))
    return None, SetValue((*members.items, value))


def _discard(run: Run, members: SetValue, value: Value, /) -> tuple[Value, Value]:
    run.spend(members.size + size_of(value))
    checked_key(value)
    return None, SetValue(each for each in members.items if each != value)


def _remove_member(run: Run, members: SetValue, value: Value, /) -> tuple[Value, Value]:
    run.spend(size_of(value))
    if checked_key(value) not in members.items:
        message = f"{brief(value)} is not among them"
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
