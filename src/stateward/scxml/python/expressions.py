"""From text to functions: expressions and locations of the Python datamodel.

Python's own parser reads the text; every node of the tree that is on the list here becomes a function of a frame,
and any other is refused. Nothing is ever given to `eval` or `exec`, no attribute of a Python object is ever looked
up by a name from the document, and no name leads to anything but the document's data and the listed functions.

The text is finite and a node takes bounded time, so only loops, calls and operations on large values need
counting; `Run` does it.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any, TypeVar

from stateward.errors import EvaluationError
from stateward.scxml.python.callables import ClassValue, FunctionTemplate, call, field_of
from stateward.scxml.python.formats import format_value
from stateward.scxml.python.frame import Frame
from stateward.scxml.python.locations import FieldLocation, ItemLocation, Location, NameLocation, value_of_name
from stateward.scxml.python.methods import method_of, mutator_of
from stateward.scxml.python.operators import BINARY, COMPARE, UNARY, Slice, item, iterate, kind_name, truth
from stateward.scxml.python.syntax import check_name, parse, refuse, weight
from stateward.scxml.values import ListValue, MapValue, RecordValue, SetValue, TupleValue, Value, size_of

__all__ = [
    "Evaluate",
    "compile_expression",
    "compile_location",
    "expression",
    "lambda_template",
    "location",
    "nothing",
    "unpack",
]

T = TypeVar("T")
Evaluate = Callable[[Frame], Value]
"""A compiled expression."""


def compile_expression(text: str) -> Evaluate:
    """An expression as a function of a frame.

    Raises:
        EvaluationError: it is no Python expression, or uses what is not on the list.
    """
    tree = parse(text)
    assert isinstance(tree, ast.expr)
    return expression(tree)


def compile_location(text: str) -> Location:
    """A location as something to assign to: a name, or an item or a field of a location.

    Raises:
        EvaluationError: it is none.
    """
    tree = parse(text)
    assert isinstance(tree, ast.expr)
    return location(tree)


def expression(node: ast.expr) -> Evaluate:
    """A node of an expression as a function of a frame.

    Raises:
        EvaluationError: it is not on the list.
    """
    make = _EXPRESSIONS.get(type(node))
    if make is None:
        raise refuse(node)
    evaluate: Evaluate = make(node)
    return evaluate


def nothing(_: Frame) -> Value:
    """What is evaluated where nothing is written: None."""
    return None


# Names and constants.


def _constant(node: ast.Constant) -> Evaluate:
    value: Any = node.value
    if value is not None and not isinstance(value, (bool, int, float, str)):
        message = f"{value!r:.50} is no data: None, bool, int, float and str are"
        raise EvaluationError(message)
    size_of(value)
    constant: Value = value
    return lambda _: constant


def _name(node: ast.Name) -> Evaluate:
    name = check_name(node.id)
    return lambda frame: value_of_name(frame, name)


# Operators.


def _binary(node: ast.BinOp) -> Evaluate:
    left, right = expression(node.left), expression(node.right)
    apply = BINARY.get(type(node.op))
    if apply is None:
        raise refuse(node.op)
    return lambda frame: apply(frame.run, left(frame), right(frame))


def _unary(node: ast.UnaryOp) -> Evaluate:
    operand, apply = expression(node.operand), UNARY[type(node.op)]
    return lambda frame: apply(operand(frame))


def _boolean(node: ast.BoolOp) -> Evaluate:
    operands = [expression(each) for each in node.values]
    stops_at = isinstance(node.op, ast.Or)

    def evaluate(frame: Frame) -> Value:
        value: Value = None
        for operand in operands:
            value = operand(frame)
            if truth(value) is stops_at:
                break
        return value

    return evaluate


def _compare(node: ast.Compare) -> Evaluate:
    first = expression(node.left)
    rest = [(COMPARE[type(op)], expression(each)) for op, each in zip(node.ops, node.comparators, strict=True)]

    def evaluate(frame: Frame) -> Value:
        left = first(frame)
        for compare, operand in rest:
            right = operand(frame)
            if not compare(frame.run, left, right):
                return False
            left = right
        return True

    return evaluate


def _conditional(node: ast.IfExp) -> Evaluate:
    test, yes, no = expression(node.test), expression(node.body), expression(node.orelse)
    return lambda frame: yes(frame) if truth(test(frame)) else no(frame)


# Parts.


def _subscript(node: ast.Subscript) -> Evaluate:
    container = expression(node.value)
    key = _slice(node.slice) if isinstance(node.slice, ast.Slice) else expression(node.slice)
    return lambda frame: item(frame.run, container(frame), key(frame))


def _slice(node: ast.Slice) -> Evaluate:
    parts = [nothing if each is None else expression(each) for each in (node.lower, node.upper, node.step)]
    return lambda frame: Slice(part(frame) for part in parts)


def _attribute(node: ast.Attribute) -> Evaluate:
    owner, name = expression(node.value), check_name(node.attr)
    return lambda frame: field_of(owner(frame), name)


# Displays and comprehensions.


def _series(make: Callable[[list[Value]], Value]) -> Callable[[Any], Evaluate]:
    def compile_series(node: Any) -> Evaluate:
        items = [expression(each) for each in node.elts]
        return lambda frame: make([each(frame) for each in items])

    return compile_series


def _members(node: ast.Set) -> Evaluate:
    members = [_key(each) for each in node.elts]
    return lambda frame: SetValue([each(frame) for each in members])


def _mapping(node: ast.Dict) -> Evaluate:
    pairs: list[tuple[Evaluate, Evaluate]] = []
    for key, value in zip(node.keys, node.values, strict=True):
        if key is None:
            message = "** is not allowed in a document: use dict.update or |"
            raise EvaluationError(message)
        pairs.append((_key(key), expression(value)))
    return lambda frame: MapValue([(key(frame), value(frame)) for key, value in pairs])


def _key(node: ast.expr) -> Evaluate:
    """What is looked at as a whole where it stands, to find out whether it is there already."""
    value = expression(node)

    def evaluate(frame: Frame) -> Value:
        key = value(frame)
        frame.run.spend(size_of(key))
        return key

    return evaluate


def _comprehension(make: Callable[[Any], Value]) -> Callable[[Any], Evaluate]:
    def compile_comprehension(node: Any) -> Evaluate:
        element, cost = _element(node)
        following = (*node.generators[1:], None)
        generators = [_generator(*pair) for pair in zip(node.generators, following, strict=True)]

        def gather(frame: Frame, level: int, found: list[Any]) -> None:
            if level == len(generators):
                frame.run.spend(cost)
                made, size = element(frame)
                # What is gathered is held while it grows, so it is counted before it is measured as a whole.
                frame.run.spend(size)
                found.append(made)
                return
            source, bind, conditions, price = generators[level]
            price += len(frame.loops)  # which each item gets a copy of
            for each in iterate(frame.run, source(frame)):
                frame.run.spend(price)
                inner = frame.within(bind(frame, each))
                if all(truth(condition(inner)) for condition in conditions):
                    gather(inner, level + 1, found)

        def evaluate(frame: Frame) -> Value:
            found: list[Any] = []
            gather(frame, 0, found)
            return make(found)

        return evaluate

    return compile_comprehension


def _element(node: Any) -> tuple[Callable[[Frame], tuple[Any, int]], int]:
    """What a comprehension makes of each item and its size, and what making it costs."""
    if not isinstance(node, ast.DictComp):
        only = expression(node.elt)

        def evaluate(frame: Frame) -> tuple[Any, int]:
            made = only(frame)
            return made, size_of(made)

        return evaluate, weight(node.elt)
    key, value = expression(node.key), expression(node.value)

    def evaluate_pair(frame: Frame) -> tuple[Any, int]:
        pair = key(frame), value(frame)
        return pair, size_of(pair[0]) + size_of(pair[1])

    return evaluate_pair, weight(node.key, node.value)


_Bind = Callable[[Frame, Value], dict[str, Value]]


def _generator(node: ast.comprehension, inner: ast.comprehension | None) -> tuple[Evaluate, _Bind, list[Evaluate], int]:
    """What it goes through, binds and asks, and what each item costs: with it, the next generator starts anew."""
    if node.is_async:
        raise refuse(node)
    price = weight(node.target, *node.ifs) + (weight(inner.iter) if inner else 0)
    return expression(node.iter), binding(node.target), [expression(each) for each in node.ifs], price


def binding(node: ast.expr) -> _Bind:
    """The names that a loop's target gives to an item: one, or several in a tuple.

    Raises:
        EvaluationError: it is neither.
    """
    if isinstance(node, ast.Name):
        name = check_name(node.id)
        return lambda _, value: {name: value}
    if isinstance(node, (ast.Tuple, ast.List)):
        parts = [binding(each) for each in node.elts]

        def bind(frame: Frame, value: Value) -> dict[str, Value]:
            names: dict[str, Value] = {}
            for part, each in zip(parts, unpack(frame, value, len(parts)), strict=True):
                names.update(part(frame, each))
            return names

        return bind
    raise refuse(node)


def unpack(frame: Frame, value: Value, count: int) -> tuple[Value, ...]:
    """So many values out of one.

    Raises:
        EvaluationError: there are more or fewer.
    """
    found = iterate(frame.run, value)
    if len(found) != count:
        message = f"{len(found)} values can't be given to {count} names"
        raise EvaluationError(message)
    return found


# Texts.


def _joined(node: ast.JoinedStr) -> Evaluate:
    parts = [expression(each) for each in node.values]

    def evaluate(frame: Frame) -> Value:
        texts = [str(part(frame)) for part in parts]
        frame.run.spend_making(sum(map(len, texts)))
        return "".join(texts)

    return evaluate


def _formatted(node: ast.FormattedValue) -> Evaluate:
    value = expression(node.value)
    spec = expression(node.format_spec) if node.format_spec is not None else _constant(ast.Constant(""))
    conversion = chr(node.conversion) if node.conversion >= 0 else None
    return lambda frame: format_value(frame.run, value(frame), str(spec(frame)), conversion)


# Calls.


def lambda_template(node: ast.Lambda) -> FunctionTemplate:
    """What a lambda says, compiled."""
    return FunctionTemplate(node, "lambda", [expression(each) for each in node.args.defaults], expression(node.body))


def _lambda(node: ast.Lambda) -> Evaluate:
    return lambda_template(node).make


def _call(node: ast.Call) -> Evaluate:
    positional = [expression(each) for each in node.args]
    named: list[tuple[str, Evaluate]] = []
    for keyword in node.keywords:
        if keyword.arg is None:
            message = "** is not allowed in a call"
            raise EvaluationError(message)
        named.append((check_name(keyword.arg), expression(keyword.value)))
    if len(dict(named)) < len(named):
        message = "an argument is given twice"
        raise EvaluationError(message)
    if isinstance(node.func, ast.Attribute):
        return _method_call(node.func, positional, named)
    function = expression(node.func)

    def evaluate(frame: Frame) -> Value:
        called = function(frame)
        return call(
            frame.run, called, [each(frame) for each in positional], {name: each(frame) for name, each in named}
        )

    return evaluate


def _method_call(node: ast.Attribute, positional: list[Evaluate], named: list[tuple[str, Evaluate]]) -> Evaluate:
    """A call of a method, whose owner is assigned anew if the method changes it."""
    name = check_name(node.attr)
    # Of a value that stands nowhere, what it becomes is nobody's. Either is compiled, and evaluated, once.
    place_of = location(node.value).resolve if _is_location(node.value) else None
    owner_of = nothing if place_of else expression(node.value)

    def evaluate(frame: Frame) -> Value:
        place = place_of(frame) if place_of else None
        owner = place.read() if place else owner_of(frame)
        arguments = [each(frame) for each in positional]
        keywords = {key: each(frame) for key, each in named}
        run = frame.run
        run.spend(1 + len(arguments))
        if isinstance(owner, RecordValue) and isinstance(owner.kind, ClassValue) and name in owner.kind.methods:
            result, after = owner.kind.run_method(run, owner, name, arguments, keywords)
        elif mutator := mutator_of(owner, name):
            result, after = _checked(name, lambda: mutator(run, owner, *arguments, **keywords))
        elif method := method_of(owner, name):
            return _checked(name, lambda: method(run, owner, *arguments, **keywords))
        elif isinstance(owner, (RecordValue, ClassValue)):
            return call(run, field_of(owner, name), arguments, keywords)
        else:
            message = f"{kind_name(owner)} has no method {name}"
            raise EvaluationError(message)
        if place is not None and after is not owner:
            place.update(lambda _: after)
        return result

    return evaluate


def _checked(name: str, compute: Callable[[], T]) -> T:
    try:
        return compute()
    except TypeError as error:
        message = f"{name}(): {str(error).partition('() ')[2] or error}"
        raise EvaluationError(message) from None


_EXPRESSIONS: dict[type[ast.expr], Callable[[Any], Evaluate]] = {
    ast.Attribute: _attribute,
    ast.BinOp: _binary,
    ast.BoolOp: _boolean,
    ast.Call: _call,
    ast.Compare: _compare,
    ast.Constant: _constant,
    ast.Dict: _mapping,
    ast.DictComp: _comprehension(MapValue),
    ast.FormattedValue: _formatted,
    ast.GeneratorExp: _comprehension(ListValue),
    ast.IfExp: _conditional,
    ast.JoinedStr: _joined,
    ast.Lambda: _lambda,
    ast.List: _series(ListValue),
    ast.ListComp: _comprehension(ListValue),
    ast.Name: _name,
    ast.Set: _members,
    ast.SetComp: _comprehension(SetValue),
    ast.Subscript: _subscript,
    ast.Tuple: _series(TupleValue),
    ast.UnaryOp: _unary,
}
"""The list. What Python has beside it, `await`, `yield` and `:=` say, is refused."""


# Locations.


def location(node: ast.expr) -> Location:
    """A node as a location.

    Raises:
        EvaluationError: it is none.
    """
    if isinstance(node, ast.Name):
        return NameLocation(check_name(node.id))
    if isinstance(node, ast.Attribute):
        return FieldLocation(location(node.value), check_name(node.attr))
    if isinstance(node, ast.Subscript) and not isinstance(node.slice, ast.Slice):
        return ItemLocation(location(node.value), expression(node.slice))
    message = f"{type(node).__name__} is no location: a name, or an item or a field of one is"
    raise EvaluationError(message)


def _is_location(node: ast.expr) -> bool:
    while isinstance(node, ast.Attribute) or (
        isinstance(node, ast.Subscript) and not isinstance(node.slice, ast.Slice)
    ):
        node = node.value
    return isinstance(node, ast.Name)
