"""The fields of a class as text, for documents and digests: the same for the same types, however written."""

from __future__ import annotations

import enum
import types
import typing
from typing import Any

from stateward.chart.immutable import field_names

__all__ = ["describe_class"]


def describe_class(kind: type) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """A class's fields with their types, and the same of every class with fields that those name.

    Args:
        kind: a context or event class.

    Returns:
        Field types by field name in order; and by class name, the fields of the classes inside, an enum's
        members as fields of their values.
    """
    inside: dict[str, dict[str, str]] = {}
    return _fields(kind, inside), inside


def _fields(kind: type, inside: dict[str, dict[str, str]]) -> dict[str, str]:
    hints = _hints(kind)
    return {name: _text(hints[name], inside) for name in field_names(kind) if name in hints}


def _hints(kind: type) -> dict[str, Any]:
    try:
        return typing.get_type_hints(kind, include_extras=True)
    except (NameError, TypeError):
        # Names local to a function: what was written is all there is.
        return {
            name: hint
            for base in reversed(kind.__mro__)
            for name, hint in vars(base).get("__annotations__", {}).items()
        }


def _text(hint: Any, inside: dict[str, dict[str, str]]) -> str:
    origin = typing.get_origin(hint)
    arguments = typing.get_args(hint)
    if hint is None or hint is type(None):
        return "None"
    if hint is Ellipsis:
        return "..."
    if origin is typing.Literal:
        return f"Literal[{', '.join(repr(each) for each in arguments)}]"
    if origin is typing.Annotated:
        return _text(arguments[0], inside)
    if origin in (typing.Union, types.UnionType):
        return " | ".join(_text(each, inside) for each in arguments)
    if origin is not None:
        return f"{_text(origin, inside)}[{', '.join(_text(each, inside) for each in arguments)}]"
    if isinstance(hint, type):
        found: type[Any] = hint
        _describe_inside(found, inside)
        return found.__name__
    return hint if isinstance(hint, str) else getattr(hint, "__name__", str(hint))


def _describe_inside(kind: type[Any], inside: dict[str, dict[str, str]]) -> None:
    if kind.__name__ in inside:
        return
    if issubclass(kind, enum.Enum):
        inside[kind.__name__] = {name: repr(member.value) for name, member in kind.__members__.items()}
    elif field_names(kind):
        inside[kind.__name__] = {}  # set first: a class may name itself
        inside[kind.__name__] = _fields(kind, inside)
