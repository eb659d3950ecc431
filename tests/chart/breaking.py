"""Declarations that break a rule, each with what it must be told: by whom, about what, and on which line.

A case is a function that declares a class called `Wrong` (or `WrongLifecycle`); the line that the error must
name carries the comment `# here`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from stateward import Context, DefinitionError, Event

__all__ = ["Breaking", "Cart", "Order", "Pay", "Ship", "wrong"]

MARK = "# here"


class Order(Context):
    total: int = 0


class Cart(Context):
    """Another lifecycle's context."""

    items: int = 0


class Pay(Event):
    amount: int = 0


class Ship(Event):
    pass


def wrong(value: object) -> Any:
    """What no type checker would let pass, passed."""
    return value


@dataclass(frozen=True)
class Case:
    declare: Callable[[], object]
    subject: str
    problem: str
    lifecycle: str

    def check(self) -> None:
        """The declaration is refused, and the error says all that it must."""
        with pytest.raises(DefinitionError) as caught:
            self.declare()
        error = caught.value
        assert error.problem == self.problem
        assert (error.lifecycle, error.subject) == (self.lifecycle, self.subject)
        assert error.origin == self.origin()
        assert str(error) == f"{self.lifecycle} {self.subject}: {self.problem} ({error.origin})".lstrip()

    def origin(self) -> str:
        lines, first = inspect.getsourcelines(self.declare)
        marked = [number for number, line in enumerate(lines, start=first) if MARK in line]
        assert len(marked) == 1, "one line of the case is marked"
        return f"{inspect.getsourcefile(self.declare)}:{marked[0]}"


class Breaking:
    """Collects the cases of a test module: a decorator, and the parameters of its test."""

    def __init__(self) -> None:
        self._cases: dict[str, Case] = {}

    def __call__(
        self, subject: str, problem: str, *, lifecycle: str = "Wrong"
    ) -> Callable[[Callable[[], object]], None]:
        def collect(declare: Callable[[], object]) -> None:
            assert declare.__name__ not in self._cases
            self._cases[declare.__name__] = Case(declare, subject, problem, lifecycle)

        return collect

    def __iter__(self) -> Iterator[Any]:
        for name, case in self._cases.items():
            yield pytest.param(case, id=name)
