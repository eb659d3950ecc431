"""From text to functions: expressions, locations and scripts of the Python datamodel.

Python's own parser reads the text; every node of the tree that is on the list here becomes a function of a frame,
and any other is refused. Nothing is ever given to `eval` or `exec`, no attribute of a Python object is ever looked
up by a name from the document, and no name leads to anything but the document's data and the listed functions.

The text is finite and a node takes bounded time, so only loops, calls and operations on large values need
counting; `Run` does it.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from stateward.scxml.python.formats import format_value
from stateward.scxml.python.frame import Frame
from stateward.scxml.python.functions import BUILTINS, Callable_, call, method_of, mutator_of
from stateward.scxml.python.operators import BINARY, COMPARE, UNARY, Slice, item, iterate, kind_name, place, truth
from stateward.scxml.run import Run
from stateward.scxml.values import (
    EvaluationError,
    ListValue,
    MapValue,
    RecordValue,
    SetValue,
    TupleValue,
    Value,
    size_of,
)

__all__ = [
    "Evaluate",
    "Location",
    "compile_expression",
    "compile_location",
    "expression",
    "location",
    "parse",
    "refuse",
]

TEXT_LIMIT = 65_536
"""Characters of the longest expression or script."""
NESTING_LIMIT = 100
"""Levels of nesting of the deepest expression or script."""

T = TypeVar("T")
Evaluate = Callable[[Frame], Value]
"""A compiled expression."""


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
        if _levels(tree) > NESTING_LIMIT:
            message = f"nested more than {NESTING_LIMIT} levels deep"
            raise EvaluationError(message)
    except SyntaxError as error:
        message = f"{text.strip()!r:.200} is no Python: {error.msg}"
        raise EvaluationError(message) from None
    except (ValueError, MemoryError, RecursionError) as error:
        message = f"{text.strip()!r:.200} can't be read: {type(error).__name__} {error}"
        raise EvaluationError(message) from None
    return found


def _levels(tree: ast.AST) -> int:
    """How deep a tree is, found without recursion."""
    levels, row = 0, [tree]
    while row:
        levels += 1
        row = [child for node in row for child in ast.iter_child_nodes(node)]
    return levels


def weight(*nodes: ast.AST) -> int:
    """How many nodes there are: what going once through a loop's or a function's body counts."""
    return sum(1 for node in nodes for _ in ast.walk(node))


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

    def evaluate(frame: Frame) -> Value:
        if frame.names is not None and name in frame.names:
            return frame.names[name]
        run = frame.run
        for known in (run.data.items, run.system.items, BUILTINS):
            if name in known:
                return known[name]
        message = f"{name} is not declared"
        raise EvaluationError(message)

    return evaluate


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
    container, key = expression(node.value), expression(node.slice)
    return lambda frame: item(frame.run, container(frame), key(frame))


def _slice(node: ast.Slice) -> Evaluate:
    parts = [(lambda _: None) if each is None else expression(each) for each in (node.lower, node.upper, node.step)]
    return lambda frame: Slice(part(frame) for part in parts)


def _attribute(node: ast.Attribute) -> Evaluate:
    owner, name = expression(node.value), check_name(node.attr)
    return lambda frame: field_of(owner(frame), name)


def field_of(owner: Value, name: str) -> Value:
    """A record's field; of one that a script's class made, the class's own values too.

    Raises:
        EvaluationError: there is none of that name.
    """
    if isinstance(owner, RecordValue):
        if name in owner.fields:
            return owner.fields[name]
        if isinstance(owner.kind, ClassValue) and name in owner.kind.fields:
            return owner.kind.fields[name]
    elif isinstance(owner, ClassValue) and name in owner.fields:
        return owner.fields[name]
    message = f"{kind_name(owner)} has no field {name}"
    raise EvaluationError(message)


# Displays and comprehensions.


def _series(make: Callable[[list[Value]], Value]) -> Callable[[Any], Evaluate]:
    def compile_series(node: Any) -> Evaluate:
        items = [expression(each) for each in node.elts]
        return lambda frame: make([each(frame) for each in items])

    return compile_series


def _mapping(node: ast.Dict) -> Evaluate:
    pairs: list[tuple[Evaluate, Evaluate]] = []
    for key, value in zip(node.keys, node.values, strict=True):
        if key is None:
            message = "** is not allowed in a document: use dict.update or |"
            raise EvaluationError(message)
        pairs.append((expression(key), expression(value)))
    return lambda frame: MapValue([(key(frame), value(frame)) for key, value in pairs])


def _comprehension(make: Callable[[Any], Value]) -> Callable[[Any], Evaluate]:
    def compile_comprehension(node: Any) -> Evaluate:
        element, cost = _element(node)
        generators = [_generator(each) for each in node.generators]

        def gather(frame: Frame, level: int, found: list[Any]) -> None:
            if level == len(generators):
                frame.run.spend(cost)
                made = element(frame)
                # What is gathered is held while it grows, so it is counted before it is measured as a whole.
                frame.run.spend(sum(map(size_of, made)) if isinstance(made, tuple) else size_of(made))
                found.append(made)
                return
            source, bind, conditions, price = generators[level]
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


def _element(node: Any) -> tuple[Callable[[Frame], Any], int]:
    """What a comprehension makes of each item, a pair if it makes a dict, and what that costs."""
    if isinstance(node, ast.DictComp):
        key, value = expression(node.key), expression(node.value)
        return lambda frame: (key(frame), value(frame)), weight(node.key, node.value)
    return expression(node.elt), weight(node.elt)


_Bind = Callable[[Frame, Value], dict[str, Value]]


def _generator(node: ast.comprehension) -> tuple[Evaluate, _Bind, list[Evaluate], int]:
    if node.is_async:
        raise refuse(node)
    bind = binding(node.target)
    return expression(node.iter), bind, [expression(each) for each in node.ifs], 1 + weight(*node.ifs)


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
    spec = expression(node.format_spec) if node.format_spec is not None else lambda _: ""
    conversion = chr(node.conversion) if node.conversion >= 0 else None
    return lambda frame: format_value(frame.run, value(frame), str(spec(frame)), conversion)


# Calls.


class FunctionValue(Callable_):
    """A function that a document wrote, with the values of the names around it when it was made.

    It is compared by its text and those values. Its parameters are copies, as all values are: what it changes of
    them is its own.
    """

    __slots__ = ("around", "body", "cost", "defaults", "levels", "name", "parameters", "source")

    def __init__(self, template: FunctionTemplate, defaults: Sequence[Value], around: MapValue) -> None:
        self.name = template.name
        self.parameters = template.parameters
        self.body = template.body
        self.cost = template.cost
        self.levels = template.levels
        self.source = template.source
        self.defaults = tuple(defaults)
        self.around = around
        self._measure((template.source, around, *self.defaults))

    def call(self, run: Run, positional: Sequence[Value], named: Mapping[str, Value]) -> Value:
        return self.invoke(run, self._bound(positional, named))[0]

    def invoke(self, run: Run, names: dict[str, Value]) -> tuple[Value, dict[str, Value]]:
        """Run it with its parameters bound: the result, and what its names stand for at the end."""
        run.spend(self.cost)
        run.descend(self.levels)
        try:
            frame = Frame(run, {**_texts(self.around), self.name: self, **names})
            return self.body(frame), frame.names or {}
        finally:
            run.ascend(self.levels)

    def bound_to(self, owner: Value, positional: Sequence[Value], named: Mapping[str, Value]) -> dict[str, Value]:
        """The parameters of a method, the first of which is its owner."""
        return self._bound((owner, *positional), named)

    def _bound(self, positional: Sequence[Value], named: Mapping[str, Value]) -> dict[str, Value]:
        without = len(self.parameters) - len(self.defaults)
        names = dict(zip(self.parameters[without:], self.defaults, strict=True))
        if len(positional) > len(self.parameters):
            message = f"{self.name}() takes {len(self.parameters)} values, not {len(positional)}"
            raise EvaluationError(message)
        names.update(zip(self.parameters, positional, strict=False))
        for name, value in named.items():
            if name not in self.parameters[len(positional) :]:
                message = f"{self.name}() takes no {name}, or has it already"
                raise EvaluationError(message)
            names[name] = value
        missing = [name for name in self.parameters if name not in names]
        if missing:
            message = f"{self.name}() lacks {', '.join(missing)}"
            raise EvaluationError(message)
        return names

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FunctionValue) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[Any, ...]:
        return self.source, self.defaults, self.around

    def __repr__(self) -> str:
        return f"<function {self.name}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _function, (self.source, self.defaults, self.around)


def _texts(names: MapValue) -> dict[str, Value]:
    return {str(name): value for name, value in names.items.items()}


def _function(source: str, defaults: Sequence[Value], around: MapValue) -> FunctionValue:
    """A function read back from its text."""
    from stateward.scxml.python.statements import function_template  # noqa: PLC0415 - it is made of expressions

    [node] = ast.parse(source).body
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Lambda):
        template = lambda_template(node.value)
    else:
        assert isinstance(node, ast.FunctionDef)
        template = function_template(node)
    return FunctionValue(template, defaults, around)


class FunctionTemplate:
    """What a `def` or a `lambda` says, compiled once."""

    __slots__ = ("body", "cost", "defaults", "levels", "name", "parameters", "source")

    def __init__(self, node: ast.FunctionDef | ast.Lambda, name: str, body: Evaluate) -> None:
        arguments = node.args
        if arguments.vararg or arguments.kwarg or arguments.kwonlyargs or arguments.posonlyargs:
            message = f"{name}: parameters are plain names, with or without a default"
            raise EvaluationError(message)
        self.name = name
        self.parameters = tuple(check_name(each.arg) for each in arguments.args)
        self.defaults = [expression(each) for each in arguments.defaults]
        self.body = body
        self.cost = weight(node)
        self.levels = _levels(node)
        self.source = ast.unparse(node)

    def make(self, frame: Frame) -> FunctionValue:
        """The function, as made within this frame."""
        around = MapValue((frame.names or {}).items())
        return FunctionValue(self, [each(frame) for each in self.defaults], around)


def lambda_template(node: ast.Lambda) -> FunctionTemplate:
    """What a lambda says, compiled."""
    return FunctionTemplate(node, "lambda", expression(node.body))


def _lambda(node: ast.Lambda) -> Evaluate:
    return lambda_template(node).make


class ClassValue(Callable_):
    """A class that a script wrote: methods and values, no bases."""

    __slots__ = ("fields", "methods", "name")

    def __init__(self, name: str, methods: MapValue, fields: MapValue) -> None:
        self.name = name
        self.methods = methods
        self.fields = fields
        self._measure((methods, fields))

    def call(self, run: Run, positional: Sequence[Value], named: Mapping[str, Value]) -> Value:
        made = RecordValue(self, MapValue())
        if "__init__" not in self.methods:
            if positional or named:
                message = f"{self.name}() takes no values"
                raise EvaluationError(message)
            return made
        return self.run_method(run, made, "__init__", positional, named)[1]

    def run_method(
        self, run: Run, owner: RecordValue, name: str, positional: Sequence[Value], named: Mapping[str, Value]
    ) -> tuple[Value, Value]:
        """Run a method: the result, and what its owner has become."""
        method = self.methods[name]
        assert isinstance(method, FunctionValue)
        if not method.parameters:
            message = f"{self.name}.{name}() has no parameter for its owner"
            raise EvaluationError(message)
        result, names = method.invoke(run, method.bound_to(owner, positional, named))
        return result, names[method.parameters[0]]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ClassValue) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[Any, ...]:
        return self.name, self.methods, self.fields

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple[Any, ...]:
        return ClassValue, self._key()


def _call(node: ast.Call) -> Evaluate:
    positional = [expression(each) for each in node.args]
    named: list[tuple[str, Evaluate]] = []
    for keyword in node.keywords:
        if keyword.arg is None:
            message = "** is not allowed in a call"
            raise EvaluationError(message)
        named.append((check_name(keyword.arg), expression(keyword.value)))
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
    owner_of, name = expression(node.value), check_name(node.attr)
    try:
        place_of_owner: Location | None = location(node.value)
    except EvaluationError:
        place_of_owner = None  # a value that stands nowhere: what it becomes is nobody's

    def evaluate(frame: Frame) -> Value:
        owner = owner_of(frame)
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
        if place_of_owner is not None and after is not owner:
            place_of_owner.update(frame, lambda _: after)
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
    ast.Set: _series(SetValue),
    ast.SetComp: _comprehension(SetValue),
    ast.Slice: _slice,
    ast.Subscript: _subscript,
    ast.Tuple: _series(TupleValue),
    ast.UnaryOp: _unary,
}
"""The list. What Python has beside it, `await`, `yield` and `:=` say, is refused."""


# Locations.


class Location:
    """Something to assign to. Assigning makes new values from the place up to the name, and shares the others."""

    def update(self, frame: Frame, change: Callable[[Value], Value]) -> None:
        """Put what `change` makes of the value there in its place; if the place is new, it gets None.

        Raises:
            EvaluationError: there can be nothing at that place.
        """
        raise NotImplementedError

    def assign(self, frame: Frame, value: Value) -> None:
        """Assign a value. Within a function, a name assigned to is the function's own, as in Python.

        Raises:
            EvaluationError: nothing can be assigned to that place.
        """
        self.update(frame, lambda _: value)


def location(node: ast.expr) -> Location:
    """A node as a location.

    Raises:
        EvaluationError: it is none.
    """
    if isinstance(node, ast.Name):
        return _NameLocation(check_name(node.id))
    if isinstance(node, ast.Attribute):
        return _FieldLocation(location(node.value), check_name(node.attr))
    if isinstance(node, ast.Subscript) and not isinstance(node.slice, ast.Slice):
        return _ItemLocation(location(node.value), expression(node.slice))
    message = f"{ast.unparse(node):.100} is no location: a name, or an item or a field of one"
    raise EvaluationError(message)


class _NameLocation(Location):
    def __init__(self, name: str) -> None:
        self.name = name

    def update(self, frame: Frame, change: Callable[[Value], Value]) -> None:
        if frame.names is not None and self.name in frame.names:
            frame.names[self.name] = change(frame.names[self.name])
        else:
            self._update_data(frame, change)

    def assign(self, frame: Frame, value: Value) -> None:
        if frame.names is None or self.name in frame.are_global:
            self._update_data(frame, lambda _: value)
        else:
            frame.names[self.name] = value

    def _update_data(self, frame: Frame, change: Callable[[Value], Value]) -> None:
        run, name = frame.run, self.name
        if name.startswith("_"):
            message = f"{name} can't be assigned to: names that begin with an underscore are the system's"
            raise EvaluationError(message)
        if name not in run.data and not run.may_declare:
            message = f"{name} is not declared"
            raise EvaluationError(message)
        run.spend(1 + len(run.data.items) // 16)
        run.data = run.data.replace(name, change(run.data.items.get(name)))


class _FieldLocation(Location):
    def __init__(self, owner: Location, name: str) -> None:
        self.owner = owner
        self.name = name

    def update(self, frame: Frame, change: Callable[[Value], Value]) -> None:
        def changed(owner: Value) -> Value:
            if not isinstance(owner, RecordValue) or not isinstance(owner.kind, ClassValue):
                message = f"{kind_name(owner)} has no fields to assign to"
                raise EvaluationError(message)
            before = owner.fields.items.get(self.name)
            return RecordValue(owner.kind, owner.fields.replace(self.name, change(before)))

        self.owner.update(frame, changed)


class _ItemLocation(Location):
    def __init__(self, owner: Location, key: Evaluate) -> None:
        self.owner = owner
        self.key = key

    def update(self, frame: Frame, change: Callable[[Value], Value]) -> None:
        def changed(owner: Value) -> Value:
            key = self.key(frame)
            if isinstance(owner, MapValue):
                frame.run.spend(1 + len(owner.items) // 16)
                return owner.replace(key, change(owner.items.get(key)))
            if isinstance(owner, ListValue) and isinstance(key, int):
                frame.run.spend(len(owner.items))
                index = place(key, len(owner.items))
                return owner.replace(index, change(owner.items[index]))
            message = f"{kind_name(owner)} has no items of {kind_name(key)} to assign to"
            raise EvaluationError(message)

        self.owner.update(frame, changed)
