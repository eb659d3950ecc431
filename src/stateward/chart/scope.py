"""Which names an annotation written as text may use: those of whoever wrote it, before those around the lifecycle."""

from __future__ import annotations

import sys
import typing
from collections.abc import Mapping
from types import FrameType
from typing import Any, NamedTuple

__all__ = ["NOWHERE", "Scope", "Unresolved"]


class Unresolved(Exception):
    """An annotation names what can't be found at run time."""


class Scope(NamedTuple):
    """The names around a lifecycle: those of its module, and those of the function that declares it, if any."""

    outer: Mapping[str, Any]
    inner: Mapping[str, Any]

    @staticmethod
    def of(frame: FrameType) -> Scope:
        """The names that a frame sees."""
        return Scope(frame.f_globals, {} if frame.f_locals is frame.f_globals else dict(frame.f_locals))

    def with_name(self, name: str, value: object) -> Scope:
        """The same with one more name, that of a class which is just being made."""
        return Scope(self.outer, {**self.inner, name: value})

    def evaluate(self, annotation: str, function: Any) -> Any:
        """What a function's annotation stands for.

        Raises:
            Unresolved: it names what can't be found, or is no expression.
        """
        own: dict[str, Any] = getattr(function, "__globals__", {})
        for names in self._inner_first(function, own):
            try:
                # An annotation is the program's own source, as typing.get_type_hints takes it to be.
                return eval(annotation, dict(own), names)
            except NameError:
                continue
            except Exception as error:
                raise Unresolved(str(error)) from error
        raise Unresolved(annotation)

    def hints_of(self, kind: type) -> dict[str, Any]:
        """A class's annotations, resolved.

        Raises:
            Unresolved: one of them names what can't be found, or is no type.
        """
        problem: Exception | None = None
        module = sys.modules.get(kind.__module__)
        for names in self._inner_first(kind, vars(module) if module else {}):
            try:
                return typing.get_type_hints(kind, localns=dict(names) or None, include_extras=True)
            except (NameError, TypeError, SyntaxError) as error:
                problem = problem or error
        raise Unresolved(str(problem)) from problem

    def _inner_first(self, thing: Any, own: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
        """The names to try beside a function's or class's own, in order: a local one sees the function around it."""
        around = {**self.outer, **self.inner}
        is_neighbour = own is self.outer and "<locals>" in getattr(thing, "__qualname__", "")
        return (self.inner, around) if is_neighbour else ({}, self.inner, around)


NOWHERE = Scope({}, {})
"""Around what is not declared by a class: each annotation has its own module's names only."""
