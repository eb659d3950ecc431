"""From a document's text to Python's syntax tree, and what every node of it has to be."""

from __future__ import annotations

import ast
from typing import Any

from stateward.errors import EvaluationError

__all__ = ["check_name", "levels", "parse", "refuse", "weight"]

TEXT_LIMIT = 65_536
"""Characters of the longest expression or script."""
NESTING_LIMIT = 100
"""Levels of nesting of the deepest expression or script."""


def parse(text: str, *, is_script: bool = False) -> list[ast.stmt] | ast.expr:
    """The syntax tree of an expression, or of a script the list of its statements.

    Raises:
        EvaluationError: it is no Python, too long or too deep.
    """
    if len(text) > TEXT_LIMIT:
        message = f"a text of {len(text)} characters is too long"
        raise EvaluationError(message)
    try:
        tree: Any = ast.parse(text) if is_script else ast.parse(text.strip(), mode="eval")
        found: list[ast.stmt] | ast.expr = tree.body
        if levels(tree) > NESTING_LIMIT:
            message = f"nested more than {NESTING_LIMIT} levels deep"
            raise EvaluationError(message)
    except SyntaxError as error:
        message = f"{text.strip()!r:.200} is no Python: {error.msg}"
        raise EvaluationError(message) from None
    except (ValueError, MemoryError, RecursionError) as error:
        message = f"{text.strip()!r:.200} can't be read: {type(error).__name__} {error}"
        raise EvaluationError(message) from None
    return found


def levels(tree: ast.AST) -> int:
    """How deep a tree is, found without recursion."""
    levels, row = 0, [tree]
    while row:
        levels += 1
        row = [child for node in row for child in ast.iter_child_nodes(node)]
    return levels


def weight(*nodes: ast.AST) -> int:
    """How many nodes there are: what going once through a loop's or a function's body counts."""
    return sum(1 for node in nodes for _ in ast.walk(node))


def refuse(node: ast.AST) -> EvaluationError:
    """The error of a node that is not on the list."""
    return EvaluationError(f"{type(node).__name__} is not allowed in a document")


def check_name(name: str) -> str:
    """A name that may be used.

    Raises:
        EvaluationError: it begins with two underscores, as the names of Python's inner workings do.
    """
    if name.startswith("__"):
        message = f"{name} is not allowed: names that begin with two underscores are Python's own"
        raise EvaluationError(message)
    return name
