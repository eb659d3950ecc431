"""What elements say, by attributes, by expressions or by what stands in them, compiled to functions of a run."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import timedelta

from stateward.errors import EvaluationError
from stateward.scxml.datamodel import Datamodel
from stateward.scxml.run import Run
from stateward.scxml.values import MapValue, Value, freeze
from stateward.scxml.xml import Element, inner_text

__all__ = ["compile_data", "compile_text", "compile_value", "inline_value", "param_value", "parse_delay"]


def compile_text(element: Element, name: str, expr: str, datamodel: Datamodel) -> Callable[[Run], str | None]:
    """An attribute given as it is or as an expression whose value is a text; None if neither is there."""
    fixed, computed = element.get(name), element.get(expr)
    if computed is None:
        return lambda _: fixed
    value = datamodel.expression(computed)

    def evaluate(run: Run) -> str:
        found = value(run)
        if not isinstance(found, str):
            message = f"{expr}={computed!r} is {found!r:.100}, and no text"
            raise EvaluationError(message)
        return found

    return evaluate


def compile_value(element: Element, datamodel: Datamodel) -> Callable[[Run], Value]:
    """The value of an element that says it by `expr` or by what stands in it."""
    expr = element.get("expr")
    if expr is not None:
        return datamodel.expression(expr)
    # Of elements every character may count, in the scripts of a document that is to be invoked say.
    value = inner_text(element).strip() if element.elements else inline_value(inner_text(element))
    return lambda _: value


def inline_value(text: str) -> Value:
    """What a text in a document stands for: what it is as JSON, or else itself with its white space normalised."""
    if not text.strip():
        return None
    try:
        return freeze(json.loads(text))
    except (ValueError, RecursionError, EvaluationError):
        return " ".join(text.split())


def compile_data(element: Element, datamodel: Datamodel) -> Callable[[Run], Value]:
    """What `<content>`, or `namelist` and `<param>`, give an event to carry; None without any of them."""
    content = element.first("content")
    if content is not None:
        return compile_value(content, datamodel)
    pairs = [(name, datamodel.expression(name)) for name in (element.get("namelist") or "").split()]
    pairs += [(each.attributes["name"], param_value(each, datamodel)) for each in element.all("param")]
    if not pairs:
        return lambda _: None
    return lambda run: MapValue([(name, value(run)) for name, value in pairs])


def param_value(param: Element, datamodel: Datamodel) -> Callable[[Run], Value]:
    """The value of a `<param>`, said by `expr` or found at `location`."""
    return datamodel.expression(param.get("expr") or param.get("location") or "")


_DELAY = re.compile(r"\+?(\d+\.?\d*|\.\d+)(ms|s)", re.ASCII)
_DELAY_LENGTH_MAX = 100
_DELAY_MAX = timedelta(days=1_000_000)


def parse_delay(text: str) -> timedelta:
    """A time as CSS 2 writes it (6.2.1): `1.5s`, `.5s` or `500ms`.

    Raises:
        EvaluationError: it is none.
    """
    # Longer than any delay that is one: what comes after it would be looked at again for each of its digits.
    found = _DELAY.fullmatch(text.strip()) if len(text) <= _DELAY_LENGTH_MAX else None
    if found is None:
        message = f"{text!r:.50} is no delay: write 1.5s or 500ms"
        raise EvaluationError(message)
    seconds = float(found[1]) / (1000 if found[2] == "ms" else 1)
    if seconds > _DELAY_MAX.total_seconds():
        message = f"{text!r:.50} is too long a delay; {_DELAY_MAX.days} days are waited at most"
        raise EvaluationError(message)
    return timedelta(seconds=seconds)
