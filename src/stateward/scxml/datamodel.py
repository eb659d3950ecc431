"""The contract of a datamodel: what a document's expressions, locations and scripts mean.

A document names its datamodel; `null` and `python` are here, and `python` is what a document without a name gets.
What is wrong with a text is told when it is evaluated, as the specification has it, not when the document is read:
until then it harms nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn, Protocol

from stateward.errors import EvaluationError
from stateward.scxml.run import Run
from stateward.scxml.values import Value

__all__ = ["Datamodel", "raiser"]


class Datamodel(Protocol):
    """Compiles the texts of a document. What is compiled raises EvaluationError and nothing else."""

    name: str

    def condition(self, text: str) -> Callable[[Run], bool]:
        """A `cond`: whether it holds."""
        ...

    def expression(self, text: str) -> Callable[[Run], Value]:
        """An `expr`: its value."""
        ...

    def location(self, text: str) -> Callable[[Run, Value], None]:
        """A `location`: assigns a value to it."""
        ...

    def script(self, text: str) -> Callable[[Run], None]:
        """A `<script>`: runs it."""
        ...


def raiser(problem: str) -> Callable[..., NoReturn]:
    """What a text that means nothing is compiled to: it says so whenever it is asked."""

    def complain(*_: object) -> NoReturn:
        raise EvaluationError(problem)

    return complain
