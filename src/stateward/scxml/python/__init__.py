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

MESSAGE_LIMIT = 500
"""Characters of the longest message: what a document names in it may be as long as the document."""

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
        evaluate = _compiled(compile_expression, text)
        if isinstance(evaluate, EvaluationError):
            return raiser(str(evaluate))
        return lambda run: _guarded(lambda: evaluate(Frame(run)))

    def location(self, text: str) -> Callable[[Run, Value], None]:
        """What assigns a value to a location; to a name, only if it is declared."""
        place = _compiled(compile_location, text)
        if isinstance(place, EvaluationError):
            return raiser(str(place))
        return lambda run, value: _guarded(lambda: place.assign(Frame(run), value))

    def script(self, text: str) -> Callable[[Run], None]:
        """What runs a script; a name that it assigns to is declared by that."""
        execute = _compiled(compile_script, text)
        if isinstance(execute, EvaluationError):
            return raiser(str(execute))

        def run_script(run: Run) -> None:
            run.may_declare = True
            try:
                _guarded(lambda: execute(Frame(run)))
            finally:
                run.may_declare = False

        return run_script


def _compiled(compile_: Callable[[str], T], text: str) -> T | EvaluationError:
    """What the text means, or why it means nothing."""
    try:
        return _guarded(lambda: compile_(text))
    except EvaluationError as error:
        return error


def _guarded(compute: Callable[[], T]) -> T:
    """Compute or compile, and turn whatever Python raises on the way into the one error of an evaluation."""
    try:
        return compute()
    except EvaluationError as error:
        raise EvaluationError(_message(error)) from None
    except Exception as error:  # an operator's own errors, and whatever else a document can think of
        raise EvaluationError(_message(error, type(error).__name__)) from None


def _message(error: Exception, kind: str = "") -> str:
    """What an error says, no longer than a message is, and without characters that no file can hold."""
    text = f"{kind}: {error}" if kind else str(error)
    return text[:MESSAGE_LIMIT].encode("utf-8", "backslashreplace").decode("utf-8")
