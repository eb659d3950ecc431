"""The names that an expression sees."""

from __future__ import annotations

from stateward.scxml.run import Run
from stateward.scxml.values import Value

__all__ = ["Frame"]


class Frame:
    """The names that an expression sees: those of the function around it, then the document's data."""

    __slots__ = ("are_global", "names", "run")

    def __init__(self, run: Run, names: dict[str, Value] | None = None) -> None:
        self.run = run
        self.names = names
        """Parameters and local names; None outside of any function, where names are the document's data."""
        self.are_global: frozenset[str] = frozenset()
        """Names that a function declared `global`: its assignments go to the document's data."""

    def within(self, names: dict[str, Value]) -> Frame:
        """The frame of a comprehension: the same, and names of its own before them."""
        inner = Frame(self.run, {**(self.names or {}), **names})
        inner.are_global = self.are_global
        return inner
