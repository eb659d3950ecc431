"""The names that an expression sees."""

from __future__ import annotations

from collections.abc import Collection

from stateward.scxml.run import Run
from stateward.scxml.values import Value

__all__ = ["Frame"]


class Frame:
    """The names that an expression sees: those of comprehensions and of the function around it, then the data."""

    __slots__ = ("are_global", "loops", "names", "run")

    def __init__(self, run: Run, names: dict[str, Value] | None = None) -> None:
        self.run = run
        self.names = names
        """Parameters and local names; None outside of any function, where names are the document's data."""
        self.loops: dict[str, Value] = {}
        """The names of the comprehensions around it."""
        self.are_global: frozenset[str] = frozenset()
        """Names that a function declared `global`: its assignments go to the document's data."""

    def within(self, names: dict[str, Value]) -> Frame:
        """The frame of a comprehension: the same, and names of its own before them."""
        inner = Frame(self.run, self.names)
        inner.loops = {**self.loops, **names} if self.loops else names
        inner.are_global = self.are_global
        return inner

    def captured(self, used: Collection[str]) -> dict[str, Value]:
        """Those of the names used that mean something here, for a function that outlives the frame."""
        found: dict[str, Value] = {}
        for names in (self.names or {}, self.loops):
            found.update((name, names[name]) for name in used if name in names)
        return found
