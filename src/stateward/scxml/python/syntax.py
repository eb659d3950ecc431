"""From a document's text to Python's syntax tree, and what every node of it has to be."""

from __future__ import annotations

import ast
import re
import warnings
from typing import Any, cast

from stateward.errors import EvaluationError

__all__ = [
    "check_length",
    "check_name",
    "levels",
    "names_within",
    "parse",
    "parse_function",
    "refuse",
    "text_of_function",
    "weight",
]

TEXT_LIMIT = 65_536
"""Characters of the longest expression or script."""
NESTING_LIMIT = 100
"""Levels of nesting of the deepest expression or script."""
_LONG_DOTTED_NAME = re.compile(r"(?:\.[\s\\]*\w+[\s\\]*){100}")
FUNCTION_NESTING_LIMIT = 5
"""Functions within functions: each keeps its own text, with those of all within it."""


def parse(text: str, *, is_script: bool = False) -> list[ast.stmt] | ast.expr:
    """The syntax tree of an expression, or of a script the list of its statements.

    Raises:
        EvaluationError: it is no Python, too long or too deep.
    """
    check_length(text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about `'\\d'`, say: nobody who runs a document can mend it
            tree: Any = ast.parse(text) if is_script else ast.parse(text.strip(), mode="eval")
        _annotate(tree)
    except SyntaxError as error:
        message = f"{text.strip()!r:.200} is no Python: {error.msg}"
        raise EvaluationError(message) from None
    except (ValueError, MemoryError, RecursionError) as error:
        message = f"{text.strip()!r:.200} can't be read: {type(error).__name__} {error}"
        raise EvaluationError(message) from None
    found: list[ast.stmt] | ast.expr = tree.body
    return found


def check_length(text: str) -> None:
    """Refuse a text before anything is done with it.

    Raises:
        EvaluationError: it is too long.
    """
    if len(text) > TEXT_LIMIT:
        message = f"a text of {len(text)} characters is too long"
        raise EvaluationError(message)
    # Of what is imported, Python's parser keeps each beginning by itself: a long name would fill the memory.
    if "import" in text and _LONG_DOTTED_NAME.search(text):
        message = "import is not allowed in a document"
        raise EvaluationError(message)


def text_of_function(node: ast.FunctionDef | ast.Lambda) -> str:
    """A function as a text, to be kept.

    Raises:
        EvaluationError: it can't be written.
    """
    try:
        return ast.unparse(node)
    except ValueError as error:  # of an f-string whose quotes don't fit into each other, before Python 3.12
        message = f"a function can't be written as a text: {error}"
        raise EvaluationError(message) from None


def parse_function(text: str) -> ast.FunctionDef | ast.Lambda:
    """What `text_of_function` made a text of."""
    [node] = ast.parse(text).body
    found = node.value if isinstance(node, ast.Expr) else node
    assert isinstance(found, (ast.FunctionDef, ast.Lambda))
    _annotate(found)
    return found


def _annotate(tree: ast.AST) -> None:
    """Write into each node, once, what `weight` and `levels` tell of it.

    Raises:
        EvaluationError: the tree is too deep, or its functions are.
    """
    rows, nodes = 0, [tree]
    ordered: list[ast.AST] = []
    while nodes:
        rows += 1
        if rows > NESTING_LIMIT:
            message = f"nested more than {NESTING_LIMIT} levels deep"
            raise EvaluationError(message)
        ordered += nodes
        nodes = [child for node in nodes for child in ast.iter_child_nodes(node)]
    for node in reversed(ordered):
        measures = [_measures(child) for child in ast.iter_child_nodes(node)]
        functions = max((each[2] for each in measures), default=0) + isinstance(node, (ast.FunctionDef, ast.Lambda))
        if functions > FUNCTION_NESTING_LIMIT:
            message = f"functions nested more than {FUNCTION_NESTING_LIMIT} deep"
            raise EvaluationError(message)
        weight = 1 + sum(each[0] for each in measures)
        node.measures = weight, 1 + max((each[1] for each in measures), default=0), functions  # type: ignore[attr-defined]


def _measures(node: ast.AST) -> tuple[int, int, int]:
    return cast("tuple[int, int, int]", cast("Any", node).measures)


def levels(node: ast.AST) -> int:
    """How deep a parsed node is."""
    return _measures(node)[1]


def weight(*nodes: ast.AST) -> int:
    """How many nodes there are: what going once through a loop's or a function's body counts."""
    return sum(_measures(node)[0] for node in nodes)


def names_within(node: ast.FunctionDef | ast.Lambda) -> tuple[str, ...]:
    """The names that a function uses and may find around it: none of its parameters, nothing `global`."""
    own = {each.arg for each in node.args.args}
    found: dict[str, None] = {}
    for each in ast.walk(node):
        if isinstance(each, ast.Name):
            found[each.id] = None
        elif isinstance(each, ast.Global):
            own.update(each.names)
    return tuple(name for name in found if name not in own)


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
