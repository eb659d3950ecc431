"""What a document's text can make that can be called: functions and classes."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stateward.errors import EvaluationError
from stateward.scxml.python.frame import Frame
from stateward.scxml.python.operators import kind_name
from stateward.scxml.python.syntax import check_name, levels, names_within, parse_function, text_of_function, weight
from stateward.scxml.run import Run
from stateward.scxml.values import MapValue, Opaque, RecordValue, Value

__all__ = ["COST_OF_MAKING", "CallableValue", "ClassValue", "FunctionTemplate", "FunctionValue", "call", "field_of"]

Evaluate = Callable[[Frame], Value]

COST_OF_MAKING = 5
"""Steps that a function or a class takes to be made, beside those that its parts take."""


class CallableValue(Opaque):
    """A value that can be called."""

    __slots__ = ()

    def call(self, run: Run, positional: Sequence[Value], named: Mapping[str, Value]) -> Value:
        """The result of calling it with these values."""
        raise NotImplementedError


def call(run: Run, function: Value, positional: Sequence[Value], named: Mapping[str, Value]) -> Value:
    """Call a value.

    Raises:
        EvaluationError: it can't be called, or not with these.
    """
    if isinstance(function, CallableValue):
        run.spend(1 + len(positional))
        return function.call(run, positional, named)
    message = f"{kind_name(function)} can't be called"
    raise EvaluationError(message)


class FunctionValue(CallableValue):
    """A function that a document wrote, with the values of the names around it when it was made.

    Of the names around it, it knows those that it uses. It is compared by its text and those values. Its parameters
    are copies, as all values are: what it changes of them is its own.
    """

    __slots__ = ("around", "body", "cost", "defaults", "knows_itself", "levels", "name", "parameters", "source")

    def __init__(
        self, template: FunctionTemplate, defaults: Sequence[Value], around: MapValue, *, knows_itself: bool = False
    ) -> None:
        self.name = template.name
        self.parameters = template.parameters
        self.body = template.body
        self.cost = template.cost
        self.levels = template.levels
        self.source = template.source
        self.defaults = tuple(defaults)
        self.around = around
        self.knows_itself = knows_itself
        """Whether its name means itself within it: a function's own function, which can't be around itself."""
        self._measure((template.source, around, *self.defaults))

    def call(self, run: Run, positional: Sequence[Value], named: Mapping[str, Value]) -> Value:
        """What the function returns."""
        return self.invoke(run, self._bound(positional, named))[0]

    def invoke(self, run: Run, names: dict[str, Value]) -> tuple[Value, dict[str, Value]]:
        """Run it with its parameters bound: the result, and what its names stand for at the end."""
        run.spend(self.cost + len(self.around.items) + len(names))
        run.descend(self.levels)
        try:
            around = {str(name): value for name, value in self.around.items.items()}
            if self.knows_itself:
                around[self.name] = self
            around.update(names)
            return self.body(Frame(run, around)), around
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
        open_names = frozenset(self.parameters[len(positional) :])
        for name, value in named.items():
            if name not in open_names:
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
        return self.source, self.defaults, self.around, self.knows_itself

    def _title(self) -> str:
        return f"<function {self.name}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return make_function, self._key()


def make_function(source: str, defaults: Sequence[Value], around: MapValue, knows_itself: bool) -> FunctionValue:
    """A function read back from its text."""
    from stateward.scxml.python.expressions import lambda_template  # noqa: PLC0415 - they make functions
    from stateward.scxml.python.statements import function_template  # noqa: PLC0415

    node = parse_function(source)
    template = lambda_template(node) if isinstance(node, ast.Lambda) else function_template(node)
    return FunctionValue(template, defaults, around, knows_itself=knows_itself)


class FunctionTemplate:
    """What a `def` or a `lambda` says, compiled once."""

    __slots__ = ("body", "cost", "defaults", "levels", "name", "names", "parameters", "source")

    def __init__(
        self, node: ast.FunctionDef | ast.Lambda, name: str, defaults: Sequence[Evaluate], body: Evaluate
    ) -> None:
        arguments = node.args
        if arguments.vararg or arguments.kwarg or arguments.kwonlyargs or arguments.posonlyargs:
            message = f"{name}: parameters are plain names, with or without a default"
            raise EvaluationError(message)
        self.name = name
        self.parameters = tuple(check_name(each.arg) for each in arguments.args)
        if len(set(self.parameters)) < len(self.parameters):
            message = f"{name}: two parameters have the same name"
            raise EvaluationError(message)
        self.defaults = defaults
        self.body = body
        self.cost = weight(node)
        self.levels = levels(node)
        self.names = names_within(node)
        self.source = text_of_function(node)

    def make(self, frame: Frame, *, knows_itself: bool = False) -> FunctionValue:
        """The function, as made within this frame."""
        frame.run.spend(COST_OF_MAKING + len(self.names))
        around = MapValue(frame.captured(self.names).items())
        return FunctionValue(self, [each(frame) for each in self.defaults], around, knows_itself=knows_itself)


class ClassValue(CallableValue):
    """A class that a script wrote: methods and values, no bases."""

    __slots__ = ("fields", "methods", "name")

    def __init__(self, name: str, methods: MapValue, fields: MapValue) -> None:
        self.name = name
        self.methods = methods
        self.fields = fields
        self._measure((name, methods, fields))

    def call(self, run: Run, positional: Sequence[Value], named: Mapping[str, Value]) -> Value:
        """A record of this class."""
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
        after = names[method.parameters[0]]
        if not isinstance(after, RecordValue) or after.kind is not self:
            message = f"{self.name}.{name}() assigned something else to {method.parameters[0]}"
            raise EvaluationError(message)
        return result, after

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ClassValue) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[Any, ...]:
        return self.name, self.methods, self.fields

    def _title(self) -> str:
        return self.name

    def __reduce__(self) -> tuple[Any, ...]:
        return ClassValue, self._key()


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
