"""One evaluation: what it may read and change, and how much it may still do."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar

from stateward.errors import EvaluationError
from stateward.scxml.values import SIZE_LIMIT, MapValue, Value

__all__ = ["CALL_DEPTH_LIMIT", "STEP_LIMIT", "Budget", "Run", "spending"]

STEP_LIMIT = 1_000_000
"""Steps of one run: about one for each operator and each item that a loop or a built-in function goes through."""
CALL_DEPTH_LIMIT = 400
"""Levels of nested expressions and statements, those of functions called within them included."""


class Budget:
    """How many steps all runs together may still take."""

    __slots__ = ("left", "limit")

    def __init__(self, limit: int = STEP_LIMIT) -> None:
        self.limit = self.left = limit


_BUDGET: ContextVar[Budget | None] = ContextVar("budget", default=None)


@contextmanager
def spending(budget: Budget) -> Generator[None, None, None]:
    """Let every run that begins within take its steps out of one budget, beside its own bound."""
    token = _BUDGET.set(budget)
    try:
        yield
    finally:
        _BUDGET.reset(token)


class Run:
    """One guard or one block of executable content being evaluated.

    The data are a map that is replaced as a whole; whoever started the run takes the last one, or drops it.
    """

    __slots__ = ("_budget", "_depth", "_event", "_left", "_system", "data", "is_in", "may_declare")

    def __init__(
        self,
        data: MapValue,
        system: MapValue,
        is_in: Callable[[str], bool],
        event: Callable[[], Value] | None = None,
    ) -> None:
        self.data = data
        """The document's variables by name."""
        self._system = system
        self._event = event
        """What makes `_event`, until it is first asked for: few expressions look at it."""
        self.is_in = is_in
        """Whether the state of that id is active."""
        self.may_declare = False
        """Whether assigning to a name that is not declared declares it, as it does in a script."""
        self._left = STEP_LIMIT
        self._budget = _BUDGET.get() or Budget()
        self._depth = 0

    @property
    def system(self) -> MapValue:
        """The system variables by name, which nothing can assign to."""
        if self._event is not None:
            self._system = self._system.replace("_event", self._event())
            self._event = None
        return self._system

    def spend(self, steps: int) -> None:
        """Count what is about to be done.

        Raises:
            EvaluationError: it is too much.
        """
        self._left -= steps
        if self._left < 0:
            message = f"it takes more than {STEP_LIMIT} steps"
            raise EvaluationError(message)
        self._budget.left -= steps
        if self._budget.left < 0:
            message = f"it and what went before take more than {self._budget.limit} steps"
            raise EvaluationError(message)

    def spend_making(self, characters: int) -> None:
        """Count a text that is about to be made.

        Raises:
            EvaluationError: it would be too large, or is too much.
        """
        if characters > SIZE_LIMIT * 8:
            message = f"a text of {characters} characters is too large"
            raise EvaluationError(message)
        self.spend(1 + characters // 16)

    def descend(self, levels: int) -> None:
        """Go so many levels deeper, into a function's body; `ascend` comes back.

        Raises:
            EvaluationError: that is too deep.
        """
        self._depth += levels
        if self._depth > CALL_DEPTH_LIMIT:
            self._depth -= levels
            message = f"calls nested more than {CALL_DEPTH_LIMIT} levels deep are too deep"
            raise EvaluationError(message)

    def ascend(self, levels: int) -> None:
        """Come back from `descend`."""
        self._depth -= levels
