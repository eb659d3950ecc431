"""Scripts: the statements that a document may use, each made a function of a frame."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from stateward.errors import EvaluationError
from stateward.scxml.python.callables import COST_OF_MAKING, ClassValue, FunctionTemplate
from stateward.scxml.python.expressions import expression, location, nothing, unpack
from stateward.scxml.python.frame import Frame
from stateward.scxml.python.locations import Location
from stateward.scxml.python.methods import mutator_of
from stateward.scxml.python.operators import BINARY, iterate, truth
from stateward.scxml.python.syntax import check_length, check_name, parse, refuse, weight
from stateward.scxml.run import Run
from stateward.scxml.values import MapValue, Value

__all__ = ["Execute", "compile_script", "function_template"]


class Returned:
    """A function has returned this."""

    __slots__ = ("value",)

    def __init__(self, value: Value) -> None:
        self.value = value


class Jump:
    """A loop is left, or goes on with its next item."""

    __slots__ = ()


_BREAK, _CONTINUE = Jump(), Jump()

Execute = Callable[[Frame], Returned | Jump | None]
"""A compiled statement; what it gives says whether those after it still run."""


def compile_script(text: str) -> Execute:
    """A script as a function of a frame.

    Raises:
        EvaluationError: it is no Python, or uses what is not on the list.
    """
    check_length(text)
    tree = _parsed(text)
    assert isinstance(tree, list)
    _refuse_loose_jumps(tree)
    return _block(tree)


def _parsed(text: str) -> list[ast.stmt] | ast.expr:
    """A script read without the indentation that all its lines share: a document indents it as it likes."""
    from textwrap import dedent  # noqa: PLC0415 - for documents with scripts alone

    try:
        return parse(dedent(text).strip(), is_script=True)
    except EvaluationError:
        # One that begins on the line of its tag has no indentation there, whatever its other lines share.
        first, newline, rest = text.strip().partition("\n")
        if not newline:
            raise
        return parse(f"{first}\n{dedent(rest)}", is_script=True)


def _block(nodes: Sequence[ast.stmt]) -> Execute:
    statements = [_statement(each) for each in nodes]

    def execute(frame: Frame) -> Returned | Jump | None:
        for statement in statements:
            outcome = statement(frame)
            if outcome is not None:
                return outcome
        return None

    return execute


def _statement(node: ast.stmt) -> Execute:
    make = _STATEMENTS.get(type(node))
    if make is None:
        raise refuse(node)
    execute: Execute = make(node)
    return execute


# Assignments.

_Assign = Callable[[Frame, Value], None]


def _target(node: ast.expr) -> _Assign:
    """What assigns a value to a target: a location, or several in a tuple."""
    if isinstance(node, (ast.Tuple, ast.List)):
        parts = [_target(each) for each in node.elts]

        def assign(frame: Frame, value: Value) -> None:
            for part, each in zip(parts, unpack(frame, value, len(parts)), strict=True):
                part(frame, each)

        return assign
    return location(node).assign


def _assign(node: ast.Assign) -> Execute:
    value, targets = expression(node.value), [_target(each) for each in node.targets]

    def execute(frame: Frame) -> None:
        found = value(frame)
        for assign in targets:
            assign(frame, found)

    return execute


def _annotated(node: ast.AnnAssign) -> Execute:
    if node.value is None:
        return lambda _: None
    value, assign = expression(node.value), _target(node.target)
    return lambda frame: assign(frame, value(frame))


def _augmented(node: ast.AugAssign) -> Execute:
    target, operand, apply = location(node.target), expression(node.value), BINARY.get(type(node.op))
    if apply is None:
        raise refuse(node.op)

    def execute(frame: Frame) -> None:
        place = target.resolve(frame)
        place.assign(apply(frame.run, place.read(), operand(frame)))

    return execute


def _delete(node: ast.Delete) -> Execute:
    places: list[tuple[Location, Callable[[Frame], Value]]] = []
    for each in node.targets:
        if not isinstance(each, ast.Subscript):
            message = "only an item can be deleted"
            raise EvaluationError(message)
        places.append((location(each.value), expression(each.slice)))

    def execute(frame: Frame) -> None:
        for owner, key in places:
            place, found = owner.resolve(frame), key(frame)
            place.update(partial(_without, frame.run, found))

    return execute


def _without(run: Run, key: Value, owner: Value) -> Value:
    pop = mutator_of(owner, "pop")  # whose result nobody wants
    if pop is None:
        message = "only an item of a list or a dict can be deleted"
        raise EvaluationError(message)
    return pop(run, owner, key)[1]


# Control.


def _if(node: ast.If) -> Execute:
    test, yes, no = expression(node.test), _block(node.body), _block(node.orelse)
    return lambda frame: yes(frame) if truth(test(frame)) else no(frame)


def _for(node: ast.For) -> Execute:
    source, assign, body, otherwise = (
        expression(node.iter),
        _target(node.target),
        _block(node.body),
        _block(node.orelse),
    )
    price = weight(node.target, *node.body)

    def execute(frame: Frame) -> Returned | Jump | None:
        for each in iterate(frame.run, source(frame)):
            frame.run.spend(price)
            assign(frame, each)
            outcome = body(frame)
            if outcome is _BREAK:
                return None
            if isinstance(outcome, Returned):
                return outcome
        return otherwise(frame)

    return execute


def _while(node: ast.While) -> Execute:
    test, body, otherwise = expression(node.test), _block(node.body), _block(node.orelse)
    price = weight(node.test, *node.body)

    def execute(frame: Frame) -> Returned | Jump | None:
        while truth(test(frame)):
            frame.run.spend(price)
            outcome = body(frame)
            if outcome is _BREAK:
                return None
            if isinstance(outcome, Returned):
                return outcome
        return otherwise(frame)

    return execute


def _return(node: ast.Return) -> Execute:
    value = nothing if node.value is None else expression(node.value)

    def execute(frame: Frame) -> Returned:
        if frame.names is None:
            message = "return outside of a function"
            raise EvaluationError(message)
        return Returned(value(frame))

    return execute


def _jump(jump: Jump) -> Callable[[Any], Execute]:
    return lambda _: lambda _: jump


def _refuse_loose_jumps(nodes: Sequence[ast.stmt]) -> None:
    """Python's parser takes `break` and `continue` anywhere; they belong into loops."""
    for node in nodes:
        if isinstance(node, (ast.Break, ast.Continue)):
            message = f"{type(node).__name__.lower()} outside of a loop"
            raise EvaluationError(message)
        if isinstance(node, ast.If):
            _refuse_loose_jumps(node.body)
        if isinstance(node, (ast.If, ast.For, ast.While)):
            _refuse_loose_jumps(node.orelse)


def _pass(_: ast.stmt) -> Execute:
    return lambda _: None


def _evaluated(node: ast.Expr) -> Execute:
    value = expression(node.value)

    def execute(frame: Frame) -> None:
        value(frame)

    return execute


def _global(node: ast.Global) -> Execute:
    names = frozenset(check_name(name) for name in node.names)

    def execute(frame: Frame) -> None:
        frame.are_global |= names

    return execute


# Functions and classes.


def function_template(node: ast.FunctionDef) -> FunctionTemplate:
    """What a `def` says, compiled.

    Raises:
        EvaluationError: it uses what is not on the list.
    """
    if node.decorator_list:
        message = f"{node.name}: decorators are not allowed in a document"
        raise EvaluationError(message)
    _refuse_loose_jumps(node.body)
    execute = _block(node.body)

    def body(frame: Frame) -> Value:
        outcome = execute(frame)
        return outcome.value if isinstance(outcome, Returned) else None

    return FunctionTemplate(node, node.name, [expression(each) for each in node.args.defaults], body)


def _function(node: ast.FunctionDef) -> Execute:
    place, template = location(ast.Name(check_name(node.name))), function_template(node)
    return lambda frame: place.assign(frame, template.make(frame, knows_itself=frame.names is not None))


def _class(node: ast.ClassDef) -> Execute:
    if node.bases or node.keywords or node.decorator_list:
        message = f"{node.name}: a class in a document has no bases and no decorators"
        raise EvaluationError(message)
    place = location(ast.Name(check_name(node.name)))
    methods: dict[str, FunctionTemplate] = {}
    values: list[tuple[str, Callable[[Frame], Value]]] = []
    for each in node.body:
        match each:
            case ast.FunctionDef(name=name):
                methods[name if name == "__init__" else check_name(name)] = function_template(each)
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                value = nothing if each.value is None else expression(each.value)
                values.append((check_name(name), value))
            case ast.Pass() | ast.Expr(value=ast.Constant()):
                pass
            case _:
                message = f"{node.name}: a class in a document holds methods and values"
                raise EvaluationError(message)

    def execute(frame: Frame) -> None:
        frame.run.spend(COST_OF_MAKING)
        made = MapValue([(name, template.make(frame)) for name, template in methods.items()])
        fields = MapValue([(name, value(frame)) for name, value in values])
        place.assign(frame, ClassValue(node.name, made, fields))

    return execute


_STATEMENTS: dict[type[ast.stmt], Callable[[Any], Execute]] = {
    ast.AnnAssign: _annotated,
    ast.Assign: _assign,
    ast.AugAssign: _augmented,
    ast.Break: _jump(_BREAK),
    ast.ClassDef: _class,
    ast.Continue: _jump(_CONTINUE),
    ast.Delete: _delete,
    ast.Expr: _evaluated,
    ast.For: _for,
    ast.FunctionDef: _function,
    ast.Global: _global,
    ast.If: _if,
    ast.Pass: _pass,
    ast.Return: _return,
    ast.While: _while,
}
"""The list. There is no `import`, `try`, `with` or `raise`, and nothing asynchronous."""
