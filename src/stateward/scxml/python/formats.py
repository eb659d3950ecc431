"""Text formatting, bounded: widths and precisions are small, and a field is a name or a number, never an attribute."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from string import Formatter
from typing import Any

from stateward.errors import EvaluationError
from stateward.scxml.run import Run
from stateward.scxml.values import INT_BITS_LIMIT, Compound, MapValue, TupleValue, Value, size_of

__all__ = ["format_text", "format_value", "percent", "representation_of", "text_of"]

WIDTH_LIMIT = 1000
"""The largest width or precision of a format."""

_NUMBER = re.compile(r"\d+")
_PERCENT = re.compile(
    r"%(?:\((?P<name>[^()]*)\))?[-#0 +]*(?P<width>\d*)(?:\.(?P<precision>\d*))?(?P<kind>.)?", re.DOTALL
)
_KINDS = frozenset("diouxXeEfFgGcrsa%")


def text_of(run: Run, value: Value) -> str:
    """`str(value)`."""
    return value if isinstance(value, str) else representation_of(run, value)


def representation_of(run: Run, value: Value) -> str:
    """`repr(value)`."""
    run.spend(size_of(value))
    text = repr(value)
    run.spend_making(len(text))
    return text


def format_value(run: Run, value: Value, spec: str, conversion: str | None = None) -> str:
    """`format(value, spec)`, with `!r`, `!s` or `!a` applied before.

    Raises:
        EvaluationError: a width or precision is too large, or the spec is not one for the value.
    """
    if len(spec) > 32 or any(int(number) > WIDTH_LIMIT for number in _NUMBER.findall(spec)):
        message = f"the format {spec[:32]!r} asks for more than {WIDTH_LIMIT} characters"
        raise EvaluationError(message)
    if conversion is not None and conversion not in ("r", "s", "a"):
        message = f"!{conversion} is no conversion"
        raise EvaluationError(message)
    shown: Any = value
    if conversion in ("r", "a"):
        shown = representation_of(run, value)
        if conversion == "a":
            shown = shown.encode("ascii", "backslashreplace").decode("ascii")
    elif conversion == "s" or isinstance(value, Compound) or value is None:
        shown = text_of(run, value)
    text = format(shown, spec)
    run.spend_making(len(text))
    if not isinstance(shown, str):
        run.spend(len(text) // 2)  # digits take longer than characters
    return text


def format_text(run: Run, template: str, positional: Sequence[Value], named: Mapping[str, Value]) -> str:
    """`template.format(*positional, **named)`.

    Raises:
        EvaluationError: a field is more than a name or number, is missing, or its spec is not allowed.
    """
    parts: list[str] = []
    following = 0
    for literal, field, spec, conversion in Formatter().parse(template):
        run.spend_making(len(literal))
        parts.append(literal)
        if field is not None:
            name = field or str(following)
            following += not field
            if "{" in (spec or "") or not (name.isdecimal() or name.isidentifier()):
                message = f"{{{name:.50}}} is no field: a name or a number, and a format without fields of its own"
                raise EvaluationError(message)
            if name.isdecimal() and len(name) < 6 and int(name) < len(positional):
                value = positional[int(name)]
            elif name in named:
                value = named[name]
            else:
                message = f"the field {name:.50} has no value"
                raise EvaluationError(message)
            parts.append(format_value(run, value, spec or "", conversion or None))
    run.spend_making(sum(map(len, parts)))
    return "".join(parts)


def percent(run: Run, template: str, given: Value) -> str:
    """`template % given`.

    Raises:
        EvaluationError: a width or precision is too large or given by `*`, or the values don't fit.
    """
    for found in _PERCENT.finditer(template):
        run.spend(1)
        if found["kind"] not in _KINDS:
            message = f"{found[0]!r} is no format"
            raise EvaluationError(message)
        if any(int(found[part] or 0) > WIDTH_LIMIT for part in ("width", "precision")):
            message = f"the format {found[0][:32]!r} asks for more than {WIDTH_LIMIT} characters"
            raise EvaluationError(message)
    arguments = _arguments(run, template, given)
    # What one format can make of one value: the value's own text, or the width; all of them can be named again.
    texts = arguments.values() if isinstance(arguments, dict) else arguments
    widest = max((len(each) if isinstance(each, str) else INT_BITS_LIMIT // 2 for each in texts), default=0)
    run.spend_making(len(template) + template.count("%") * (widest + 2 * WIDTH_LIMIT))
    text: str = template % arguments
    run.spend_making(len(text))
    return text


def _arguments(run: Run, template: str, given: Value) -> tuple[Any, ...] | dict[Value, Any]:
    """What `%` takes from: values that stand in the template's order, or those of a dict by their names."""
    run.spend(size_of(given))
    if isinstance(given, MapValue) and any(found["name"] is not None for found in _PERCENT.finditer(template)):
        return {name: _shown(run, each) for name, each in given.items.items()}
    items = given.items if isinstance(given, TupleValue) else (given,)
    return tuple(_shown(run, each) for each in items)


def _shown(run: Run, value: Value) -> Any:
    return text_of(run, value) if isinstance(value, Compound) else value
