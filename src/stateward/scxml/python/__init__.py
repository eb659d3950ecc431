"""The Python datamodel: Python's expressions and scripts, by an interpreter of its own that knows what is allowed.

Read `syntax.py` for how a text is taken apart, `expressions.py` and `statements.py` for what each node of it does,
`builtins.py` and `methods.py` for what can be called, `operators.py` and `formats.py` for what is bounded before it
is computed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from stateward.errors import EvaluationError
from stateward.scxml.datamodel import raiser
from stateward.scxml.python.expressions import compile_expression, compile_location
from stateward.scxml.python.frame import Frame
from stateward.scxml.python.operators import truth
from stateward.scxml.python.statements import compile_script
from stateward.scxml.run import Run
from stateward.scxml.values import Value

__all__ = ["PythonDatamodel"]

T = TypeVar("T")


class PythonDatamodel:
    """Python's expressions, as far as they are allowed in a document."""

    name = "python"

    def condition(self, text: str) -> Callable[[Run], bool]:
        """An expression whose value counts as true."""
        evaluate = self.expression(text)
        return lambda run: truth(evaluate(run))

    def expression(self, text: str) -> Callable[[Run], Value]:
        """The value of an expression."""
        try:
            evaluate = compile_expression(text)
        except EvaluationError as error:
            return raiser(str(error))
        return lambda run: _guarded(lambda: evaluate(Frame(run)))

    def location(self, text: str) -> Callable[[Run, Value], None]:
        """What assigns a value to a location; to a name, only if it is declared."""
        try:
            place = compile_location(text)
        except EvaluationError as error:
            return raiser(str(error))
        return lambda run, value: _guarded(lambda: place.assign(Frame(run), value))

    def script(self, text: str) -> Callable[[Run], None]:
        """What runs a script; a name that it assigns to is declared by that."""
        try:
            execute = compile_script(text)
        except EvaluationError as error:
            return raiser(str(error))

        def run_script(run: Run) -> None:
            run.may_declare = True
            try:
                _guarded(lambda: execute(Frame(run)))
            finally:
                run.may_declare = False

        return run_script


def _guarded(compute: Callable[[], T]) -> T:
    """Compute, and turn whatever Python raises on the way into the one error of an evaluation."""
    try:
        return compute()
    except EvaluationError:
        raise
    except Exception as error:  # an operator's own errors, and whatever else a document can think of
        raise EvaluationError(f"{type(error).__name__}: {error}"[:500]) from None
