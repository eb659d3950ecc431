"""Whether guards and actions are pure, judged by their source.

The source is read as a syntax tree and nothing is run. Functions, methods and properties of the same module that
a handler uses are followed; what lies in other modules is taken for what its name says (`impure.py`). What can't
be told from the source, a value out of a container say, counts as pure: a finding is meant to be right.
"""

from __future__ import annotations

import ast
import builtins
import inspect
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from random import Random  # noqa: TID251 - to know it when a handler uses it
from types import CodeType, FunctionType, MethodType
from typing import Any

from stateward.chart.impure import Impurity, impurity_of
from stateward.chart.resolve import (
    ANY_SET,
    Instance,
    Named,
    Thing,
    Value,
    attribute,
    dotted,
    hints_of,
    is_set,
    of_hint,
    static_member,
)

__all__ = ["Impure", "SourceUnseen", "find_impure"]


@dataclass(frozen=True, slots=True)
class Impure:
    """One impure thing that a handler does."""

    kind: Impurity
    what: str
    """The expression, as it stands in the source."""
    origin: str
    """Where it stands, `file:line`."""
    via: str
    """The function that does it, if the handler only calls that; otherwise empty."""


_Function = ast.FunctionDef | ast.Lambda


class SourceUnseen(Exception):
    """A function has no source that could be read."""


# In these a set's order is lost again, or never mattered; in those it comes to light.
_ORDER_BLIND = (sorted, set, frozenset, len, sum, min, max, any, all, bool)
_ORDER_SEEN = (list, tuple, iter, enumerate, zip, map, filter)
_SET_METHODS = frozenset({"union", "intersection", "difference", "symmetric_difference", "copy"})
_SET_OPERATORS = (ast.BitOr, ast.BitAnd, ast.BitXor, ast.Sub)


def find_impure(function: Callable[..., Any], parameters: tuple[type, ...]) -> list[Impure]:
    """Everything impure in a function and in what it uses of its own module.

    Args:
        function: a guard, an action, a final state's data or a timer's delay.
        parameters: the classes of what it is called with, for where its annotations do not say.

    Raises:
        SourceUnseen: its source can't be read.
    """
    found: list[Impure] = []
    seen: set[CodeType] = set()
    todo: list[tuple[Any, tuple[type, ...], str]] = [(function, parameters, "")]
    while todo:
        each, given, via = todo.pop(0)
        for layer in _layers(each):
            try:
                reading = _Reading(layer, given)
            except SourceUnseen:
                if not via:
                    raise
                continue
            if reading.code not in seen:
                seen.add(reading.code)
                found += [Impure(kind, what, origin, via) for kind, what, origin in reading.found]
                todo += [(used, (), used.__qualname__) for used in reading.used if used.__code__ not in seen]
    return found


def _layers(function: Any) -> Iterator[Any]:
    """A function, and what it wraps; a wrapper written in C, a cache say, is left out."""
    while function is not None:
        wrapped = getattr(function, "__wrapped__", None)
        if wrapped is None or hasattr(function, "__code__"):
            yield function
        function = wrapped


def _node_of(code: CodeType) -> _Function:
    """The syntax tree of a function, with the line numbers of its file."""
    try:
        lines, _ = inspect.findsource(code)
        tree = _tree_of("".join(lines))
    except (OSError, TypeError, SyntaxError) as error:
        raise SourceUnseen from error
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.Lambda)) and _is_compiled_to(node, code):
            return node
    raise SourceUnseen


def _is_compiled_to(node: _Function, code: CodeType) -> bool:
    if isinstance(node, ast.FunctionDef):
        lines = (node.lineno, *(each.lineno for each in node.decorator_list))
        return node.name == code.co_name and min(lines) == code.co_firstlineno
    if code.co_name != "<lambda>" or node.lineno != code.co_firstlineno:
        return False
    # Of several lambdas on a line, it is the one from whose body the instructions come.
    place = node.body.lineno, node.body.col_offset
    return any((line, column) == place for line, _, column, _ in code.co_positions())


@lru_cache(maxsize=4)
def _tree_of(source: str) -> ast.Module:
    return ast.parse(source)


class _Reading:
    """One function, read once: what is impure in it, and what it uses of its module."""

    def __init__(self, function: Any, parameters: tuple[type, ...]) -> None:
        plain = getattr(function, "__func__", function)
        if not isinstance(plain, FunctionType):
            raise SourceUnseen
        self.code = plain.__code__
        node = _node_of(self.code)
        self._globals = plain.__globals__
        self._closure = dict(_closure(plain))
        self._assignments = Counter(_assigned_names(node))
        self._locals: dict[str, Value | None] = dict.fromkeys(_bound_names(node))
        self._locals |= dict(_local_imports(node))
        self._locals |= _parameters(node, plain, parameters, is_method=isinstance(function, MethodType))
        self._called: set[ast.expr] = set()
        self._is_blind: set[ast.expr] = set()
        self.found: list[tuple[Impurity, str, str]] = []
        self.used: list[FunctionType] = []
        for statement in node.body if isinstance(node, ast.FunctionDef) else [node.body]:
            self._visit(statement)

    # What an expression stands for.

    def _value(self, node: ast.expr) -> Value | None:
        if isinstance(node, ast.Name):
            return self._lookup(node.id)
        if isinstance(node, ast.Attribute):
            owner = self._value(node.value)
            return None if owner is None else attribute(owner, node.attr)
        if isinstance(node, ast.Call):
            return self._result(node)
        if isinstance(node, (ast.Set, ast.SetComp)):
            return ANY_SET
        if isinstance(node, ast.BinOp) and isinstance(node.op, _SET_OPERATORS):
            return ANY_SET if is_set(self._value(node.left)) or is_set(self._value(node.right)) else None
        if isinstance(node, ast.IfExp):
            return self._value(node.body) or self._value(node.orelse)
        return None

    def _lookup(self, name: str) -> Value | None:
        if name in self._locals:
            return self._locals[name]
        for scope in (self._closure, self._globals, vars(builtins)):
            if name in scope:
                return Thing(scope[name])
        return None

    def _result(self, node: ast.Call) -> Value | None:
        """What a call returns: an instance of a class, a set, or what the function's annotation says."""
        method = node.func if isinstance(node.func, ast.Attribute) and node.func.attr in _SET_METHODS else None
        if method is not None and is_set(self._value(method.value)):
            return ANY_SET
        called = self._value(node.func)
        if not isinstance(called, Thing):
            return None
        if isinstance(called.object, type):
            return Instance(called.object)
        return of_hint(hints_of(called.object).get("return")) if isinstance(called.object, FunctionType) else None

    # What it does.

    def _visit(self, node: ast.AST) -> None:
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            self._learn(node)
        elif isinstance(node, ast.Call):
            self._visit_call(node)
        if node not in self._is_blind:
            for iterated in self._iterated(node):
                if is_set(self._value(iterated)):
                    self._note(Impurity.SET_ORDER, iterated)
        if isinstance(node, (ast.Name, ast.Attribute)):
            self._visit_chain(node)
        else:
            for child in ast.iter_child_nodes(node):
                self._visit(child)

    def _learn(self, node: ast.Assign | ast.AnnAssign) -> None:
        """What a name stands for that is assigned once."""
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target
        if isinstance(target, ast.Name) and node.value is not None and self._assignments[target.id] == 1:
            self._locals[target.id] = self._locals.get(target.id) or self._value(node.value)

    def _visit_call(self, node: ast.Call) -> None:
        self._called.add(node.func)
        called = self._value(node.func)
        if not isinstance(called, Thing):
            return
        if called.object is Random and not (node.args or node.keywords):
            self._note(Impurity.CHANCE, node)
        if any(called.object is each for each in _ORDER_BLIND):
            self._is_blind |= set(node.args)

    def _iterated(self, node: ast.AST) -> Iterator[ast.expr]:
        """What a node goes through in a way that lets the order be seen."""
        if isinstance(node, ast.For):
            yield node.iter
        elif isinstance(node, (ast.ListComp, ast.GeneratorExp, ast.DictComp)):
            yield from (each.iter for each in node.generators)
        elif isinstance(node, (ast.List, ast.Tuple)):
            yield from (each.value for each in node.elts if isinstance(each, ast.Starred))
        elif isinstance(node, ast.YieldFrom):
            yield node.value
        elif isinstance(node, ast.Call):
            yield from (each.value for each in node.args if isinstance(each, ast.Starred))
            yield from self._iterated_by_call(node)

    def _iterated_by_call(self, node: ast.Call) -> Iterator[ast.expr]:
        called = self._value(node.func)
        method = node.func if isinstance(node.func, ast.Attribute) else None
        is_seen = isinstance(called, Thing) and any(called.object is each for each in _ORDER_SEEN)
        if is_seen or (method and method.attr == "join"):
            yield from node.args
        elif method and method.attr == "pop" and not node.args:
            yield method.value

    def _visit_chain(self, node: ast.Name | ast.Attribute) -> None:
        """A name with its attributes: the whole chain says most, and each property on the way runs."""
        value = self._value(node)
        if value is not None and isinstance(node.ctx, ast.Load):
            self._judge(node, value)
        inner: ast.expr = node
        while isinstance(inner, ast.Attribute):
            owner = self._value(inner.value)
            member = None if owner is None else static_member(owner, inner.attr)
            if isinstance(member, property):
                self._follow(member.fget)
            inner = inner.value
        if not isinstance(inner, ast.Name):
            self._visit(inner)

    def _judge(self, node: ast.expr, value: Value) -> None:
        kind = impurity_of(dotted(value))
        found: Any = value.object if isinstance(value, Thing) else None
        is_class = isinstance(found, type)
        is_raised = is_class and issubclass(found, BaseException)
        is_passed_on = not is_class and callable(found)
        if kind and not is_raised and (node in self._called or is_passed_on or kind is Impurity.ENVIRONMENT):
            self._note(kind, node)
        self._follow(found)

    def _follow(self, function: object) -> None:
        """Remember a function of the same module, to be read too."""
        plain = getattr(function, "__func__", function)
        if not isinstance(plain, FunctionType) and not isinstance(plain, type):
            plain = getattr(plain, "__wrapped__", None)  # a cache around it, say
        if isinstance(plain, FunctionType) and plain.__globals__ is self._globals:
            self.used.append(plain)

    def _note(self, kind: Impurity, node: ast.expr) -> None:
        self.found.append((kind, ast.unparse(node), f"{self.code.co_filename}:{node.lineno}"))


def _closure(function: FunctionType) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # not yet bound
            continue


def _assigned_names(node: _Function) -> Iterator[str]:
    """A name for each time it is bound anew; `|=` and its like leave it what it was."""
    augmented = {each.target for each in ast.walk(node) if isinstance(each, ast.AugAssign)}
    for each in ast.walk(node):
        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store) and each not in augmented:
            yield each.id


def _bound_names(node: _Function) -> Iterator[str]:
    """Every name that something in the function binds."""
    for each in ast.walk(node):
        if isinstance(each, ast.Name) and not isinstance(each.ctx, ast.Load):
            yield each.id
        elif isinstance(each, ast.arg):
            yield each.arg
        elif isinstance(each, (ast.FunctionDef, ast.ClassDef, ast.ExceptHandler, ast.MatchAs)):
            yield from [each.name] if each is not node and each.name else []


def _local_imports(node: _Function) -> Iterator[tuple[str, Named]]:
    for each in ast.walk(node):
        if isinstance(each, ast.Import):
            for alias in each.names:
                name = alias.name if alias.asname else alias.name.partition(".")[0]
                yield alias.asname or name, Named(name)
        elif isinstance(each, ast.ImportFrom) and each.module and not each.level:
            for alias in each.names:
                yield alias.asname or alias.name, Named(f"{each.module}.{alias.name}")


def _parameters(
    node: _Function, function: FunctionType, given: tuple[type, ...], *, is_method: bool
) -> Iterator[tuple[str, Value]]:
    """What the parameters stand for: by their annotations, or by what the kernel passes."""
    arguments = [each.arg for each in (*node.args.posonlyargs, *node.args.args)][is_method:]
    hints = hints_of(function)
    for name, kind in zip(arguments, given, strict=False):
        yield name, Instance(kind)
    for name in arguments:
        if (value := of_hint(hints.get(name))) is not None:
            yield name, value
