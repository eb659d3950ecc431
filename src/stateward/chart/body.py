"""The namespace in which a class body runs, and where in a file it is being written down.

A body refuses at once, and at the line, what Python would take without a word and the chart would then lack:
a name given twice, an arc that no event takes, a comma that makes a tuple, a class of the wrong kind.
"""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any, cast

from stateward.errors import DefinitionError

__all__ = ["ArcMark", "Body", "StateMark", "TransitionMark", "origin", "refusal"]


class StateMark:
    """The mark of what stands for a state: a State, or the class of a Composite or Parallel."""

    __slots__ = ()


class TransitionMark:
    """The mark of what stands for a transition."""

    __slots__ = ()


class ArcMark:
    """The mark of an arc."""

    __slots__ = ()

    origin: str


__declares__ = True
"""The mark of a module that writes declarations down: a line of its own is nobody's place."""


def origin() -> str:
    """The file and line of the declaration that is being written down, `file:line`."""
    frame: FrameType | None = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]
    while frame is not None and frame.f_globals.get("__declares__"):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame else ""


def refusal(problem: str, subject: object) -> DefinitionError:
    """The error of a declaration that is being written down: the running bodies know whose it is.

    Args:
        problem: what is wrong, and what to write instead.
        subject: the name of the state or transition, or one of them by itself.
    """
    kind = ""
    parts: list[str] = []
    frame: FrameType | None = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]
    while frame is not None and not kind:
        body = frame.f_locals
        if isinstance(body, Body):
            parts = parts or [body.name_of(subject)]
            kind = body.kind
            parts += [] if kind else [body.owner]
        frame = frame.f_back
    parts = parts or [_name_of(subject)]
    return DefinitionError(problem, lifecycle=kind, subject=".".join(reversed(parts)), origin=origin())


def _name_of(subject: object) -> str:
    return subject if isinstance(subject, str) else str(getattr(subject, "__name__", None) or subject)


class Body(dict[str, Any]):
    """The namespace of a body: a name that stands for a state or a transition is bound once."""

    def __init__(self, owner: str, bases: tuple[type, ...], *, reserved: tuple[str, ...], kind: str = "") -> None:
        super().__init__()
        self.owner = owner
        """The name of the class whose body it is."""
        self.kind = kind
        """The kind of the lifecycle; empty for a nested body."""
        self._bases = bases
        self._reserved = reserved
        self._names: dict[int, str] = {}
        """The names given so far, by the identity of what they stand for."""

    def __setitem__(self, name: str, value: Any) -> None:
        if not (name.startswith("__") and name.endswith("__")):
            problem = self._problem_of(name, value)
            if problem:
                raise refusal(problem, name)
        if _is_declared(value):
            self._names[id(value)] = name
        super().__setitem__(name, value)

    def name_of(self, subject: object) -> str:
        """The name under which something stands in this body, or else the one it gives itself."""
        return self._names.get(id(subject)) or _name_of(subject)

    def _problem_of(self, name: str, value: object) -> str | None:
        if name in self and (_is_declared(self[name]) or _is_declared(value)):
            return f"the name {name} is given twice in one body"
        if _is_declared(value):
            if name in self._reserved:
                return f"is taken here: give the attribute another name, and it the argument name={name!r}"
            known = self._names.get(id(value)) or _attribute_of(value) or name
            if known != name:
                return f"is {known} under a second name: declare each by itself"
        return self._problem_of_stray(name, value) or self._problem_of_override(name, value)

    def _problem_of_stray(self, name: str, value: object) -> str | None:
        """What would be lost in silence: an arc without an event, a tuple by a comma, a class of another kind."""
        if isinstance(value, ArcMark):
            return "is an arc that waits for nothing: put it into on(...)"
        members = cast("tuple[object, ...]", value) if isinstance(value, tuple) else ()
        if any(map(_is_declared, members)):
            return "is a tuple: take the comma from the end of the line"
        is_declared_here = isinstance(value, type) and value.__qualname__ == f"{self.get('__qualname__')}.{name}"
        if is_declared_here and not isinstance(value, StateMark):
            return "is a nested class, but neither Composite nor Parallel"
        return None

    def _problem_of_override(self, name: str, value: object) -> str | None:
        """A subclass extends: what it inherits may be replaced by its like, and not be taken away."""
        for base in self._bases:
            inherited = getattr(base, name, None)
            for mark, word in ((StateMark, "state"), (TransitionMark, "transition")):
                if isinstance(inherited, mark) and not isinstance(value, mark):
                    return f"replaces the inherited {word} {name} by what is none: what is inherited stays"
        return None


def _is_declared(value: object) -> bool:
    return isinstance(value, (StateMark, TransitionMark, ArcMark))


def _attribute_of(value: object) -> object:
    """The name of the attribute as which a State stands in a class that is complete; a class may stand anywhere."""
    return None if isinstance(value, type) else getattr(value, "attribute", None)
