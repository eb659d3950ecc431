"""The fields of classes as text, for documents and digests: the same for the same types, however written."""

from __future__ import annotations

import enum
import types
import typing
from typing import Any, cast

from stateward.chart.immutable import field_names, unwrapped

__all__ = ["FieldTypes"]


class FieldTypes:
    """Describes classes by their fields, and with them every class that those name."""

    def __init__(self) -> None:
        self.inside: dict[str, dict[str, str]] = {}
        """By class name, the fields of the classes inside, in the order in which they were met; an enum's are its
        members, with their values. A second class of one name is `name#2`."""
        self._names: dict[type, str] = {}

    def of(self, kind: type) -> dict[str, str]:
        """The types of a context's or event's fields, by name and in order."""
        hints = _hints(kind)
        return {name: self._text(hints[name]) for name in field_names(kind) if name in hints}

    def _text(self, hint: Any) -> str:
        hint = unwrapped(hint)
        origin = typing.get_origin(hint)
        arguments = typing.get_args(hint)
        if hint is type(None):
            return "None"
        if hint is Ellipsis:
            return "..."
        if origin is typing.Literal:
            return f"Literal[{', '.join(map(_value, arguments))}]"
        if origin in (typing.Union, types.UnionType):
            return " | ".join(map(self._text, arguments))
        if origin is not None:
            return f"{self._text(origin)}[{', '.join(map(self._text, arguments))}]"
        if isinstance(hint, type):
            return self._name(hint)
        return hint if isinstance(hint, str) else getattr(hint, "__name__", str(hint))

    def _name(self, kind: type[Any]) -> str:
        """A class's name; met for the first time, its fields are written down."""
        if kind in self._names:
            return self._names[kind]
        is_enum = issubclass(kind, enum.Enum)
        if not is_enum and not field_names(kind):
            return kind.__name__
        name, count = kind.__name__, 1
        while name in self.inside:
            count += 1
            name = f"{kind.__name__}#{count}"
        self._names[kind] = name
        self.inside[name] = {}  # set first: a class may name itself
        if is_enum:
            self.inside[name] = {member: _value(each.value) for member, each in kind.__members__.items()}
        else:
            self.inside[name] = self.of(kind)
        return name


def _value(value: object) -> str:
    """A value in writing, without anything that differs between two runs."""
    if isinstance(value, enum.Enum):
        return f"{type(value).__name__}.{value.name}"
    if isinstance(value, tuple):
        return f"({', '.join(map(_value, cast('tuple[object, ...]', value)))})"
    is_plain = value is None or isinstance(value, (bool, int, float, str, bytes))
    return repr(value) if is_plain else type(value).__name__


def _hints(kind: type) -> dict[str, Any]:
    try:
        return typing.get_type_hints(kind)
    except (NameError, TypeError):
        # Names local to a function: what was written is all there is.
        return {
            name: hint
            for base in reversed(kind.__mro__)
            for name, hint in vars(base).get("__annotations__", {}).items()
        }
