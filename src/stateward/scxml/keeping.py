"""Values, events and data of a document as plain JSON, and back: what a ledger keeps of a session.

Scalars and lists are themselves; all else is an object with one key, which says what it is. What was written is read
back equal: functions and classes by their texts, and the values that they know.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from stateward.scxml.values import Compound, ListValue, MapValue, RecordValue, SetValue, TupleValue, Value

if TYPE_CHECKING:
    from stateward.scxml.messages import ScxmlEvent

__all__ = ["event_from_json", "event_to_json", "from_json", "to_json"]

_WHOLE_MAX = 2**53
"""Beyond it JSON's readers may round."""


def to_json(value: Value) -> Any:
    """A value as JSON.

    Raises:
        TypeError: it is none.
    """
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > _WHOLE_MAX:
        return {"int": hex(value)}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, ListValue):
        return [to_json(each) for each in value.items]
    if isinstance(value, MapValue):
        return {"map": [[to_json(key), to_json(each)] for key, each in value.items.items()]}
    if isinstance(value, (TupleValue, SetValue)):
        return {"tuple" if isinstance(value, TupleValue) else "set": [to_json(each) for each in value.items]}
    if isinstance(value, RecordValue):
        return {"record": [to_json(value.kind), to_json(value.fields)]}
    if not isinstance(value, Compound):
        message = f"{type(value).__name__} is no value of a document: freeze(...) makes one of plain data"
        raise TypeError(message)
    return _opaque_to_json(value)


def _opaque_to_json(value: Value) -> Any:
    """What a script wrote, by what makes it again."""
    make, parts = cast("tuple[Callable[..., Any], tuple[Any, ...]]", value.__reduce__())
    name = next(each for each, known in _makers().items() if known is make)
    return {name: [_all_to_json(each) if isinstance(each, tuple) else to_json(each) for each in parts]}


def _all_to_json(values: Any) -> list[Any]:
    return [to_json(each) for each in values]


def _makers() -> dict[str, Callable[..., Any]]:
    from stateward.scxml.python import builtins, callables  # noqa: PLC0415 - only scripts make such values

    return {"function": callables.make_function, "class": callables.ClassValue, "builtin": builtins.make_builtin}


def from_json(data: Any) -> Value:
    """A value that `to_json` wrote.

    Raises:
        ValueError: it has not.
    """
    if data is None or isinstance(data, (bool, int, float, str)):
        return data
    if isinstance(data, list):
        return ListValue(_all_from(data))
    pairs = list(cast("dict[str, Any]", data).items()) if isinstance(data, dict) else []
    if len(pairs) != 1 or pairs[0][0] not in _READERS:
        message = f"{data!r:.100} is no value of a document"
        raise ValueError(message)
    [(kind, parts)] = pairs
    return _READERS[kind](parts)


def _all_from(data: Any) -> list[Value]:
    return [from_json(each) for each in data]


def _function_from(parts: Any) -> Value:
    source, defaults, around, knows_itself = parts
    made: Value = _makers()["function"](source, _all_from(defaults), _map_from(around), knows_itself)
    return made


def _class_from(parts: Any) -> Value:
    made: Value = _makers()["class"](parts[0], _map_from(parts[1]), _map_from(parts[2]))
    return made


def _builtin_from(parts: Any) -> Value:
    made: Value = _makers()["builtin"](parts[0])
    return made


_READERS: dict[str, Callable[[Any], Value]] = {
    "float": float,
    "int": lambda parts: int(parts, 16),
    "map": lambda parts: MapValue([(from_json(key), from_json(each)) for key, each in parts]),
    "tuple": lambda parts: TupleValue(_all_from(parts)),
    "set": lambda parts: SetValue(_all_from(parts)),
    "record": lambda parts: RecordValue(from_json(parts[0]), _map_from(parts[1])),
    "function": _function_from,
    "class": _class_from,
    "builtin": _builtin_from,
}


def _map_from(data: Any) -> MapValue:
    found = from_json(data)
    if not isinstance(found, MapValue):
        message = f"{found!r:.100} is no map"
        raise ValueError(message)
    return found


_TEXTS = ("kind", "sendid", "origin", "origintype", "invokeid", "raw")


def event_to_json(event: ScxmlEvent) -> dict[str, Any]:
    """An event as JSON, without what is as it usually is."""
    given = {name: getattr(event, name) for name in _TEXTS}
    texts = {name: text for name, text in given.items() if text is not None and text != "external"}
    return {"name": event.name, **({} if event.data is None else {"data": to_json(event.data)}), **texts}


def event_from_json(make: type[ScxmlEvent], data: Mapping[str, Any]) -> ScxmlEvent:
    """An event that `event_to_json` wrote.

    Raises:
        ValueError: it has not.
    """
    texts = {name: data[name] for name in _TEXTS if name in data}
    if not isinstance(data.get("name"), str) or not all(isinstance(each, str) for each in texts.values()):
        message = f"{data!r:.100} is no event of a document"
        raise ValueError(message)
    return make(data["name"], from_json(data.get("data")), **texts)
