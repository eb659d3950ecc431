"""Executable content (section 4 of SCXML 1.0), compiled to actions and guards."""

from __future__ import annotations

import keyword
from collections.abc import Callable, Mapping, Sequence

from stateward.chart import Actions, EventMarker, Meta, Raise
from stateward.errors import EvaluationError
from stateward.scxml.attributes import compile_value
from stateward.scxml.context import Data, run_of
from stateward.scxml.datamodel import Datamodel
from stateward.scxml.executing import Executable, Failure, Scope, Sources, Yielded, bounded, failure_event, perform
from stateward.scxml.messages import Log, ScxmlEvent, problem_of_name
from stateward.scxml.python.operators import iterate
from stateward.scxml.run import Run
from stateward.scxml.sending import CancelElement, SendElement
from stateward.scxml.values import Compound
from stateward.scxml.xml import Element, canonical, inner_text

__all__ = ["Block", "Condition", "compile_all"]


class Block:
    """Executable content as one action; equal to any other of the same text and datamodel."""

    def __init__(self, element: Element, datamodel: Datamodel, sources: Mapping[Element, str]) -> None:
        self.element = element
        """The element whose content it is: an `onentry`, an `onexit` or a `transition`."""
        files = "".join(sources[each] for each in element.walk() if each in sources)
        self.text = canonical(*element.elements) + files
        self._executables = compile_all(element.elements, datamodel, sources)
        self._key = (self.text, datamodel.name)

    def __call__(self, data: Data, event: EventMarker, meta: Meta) -> Actions[Data]:
        """The action."""
        scope = Scope(data, event, meta)
        try:
            yield from bounded(perform(self._executables, scope))
        except Failure as failure:
            yield Raise(failure.event)
        except EvaluationError as error:  # the block as a whole takes too many steps
            yield Raise(failure_event(self.element, str(error)))
        return scope.data

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Block) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


class Condition:
    """A `cond` as a guard; equal to any other of the same text and datamodel."""

    def __init__(self, element: Element, text: str, datamodel: Datamodel) -> None:
        self.element = element
        self.text = text.strip()
        self._holds = datamodel.condition(text)
        self._key = (self.text, datamodel.name)

    def __call__(self, data: Data, event: EventMarker, meta: Meta) -> bool:
        """The guard. What it changes of the data, by a method say, is dropped."""
        try:
            run = run_of(data, event, meta)
            run.spend(1)
            return self._holds(run)
        except EvaluationError as error:
            raise Failure(failure_event(self.element, f"cond={self.text!r:.200}: {error}")) from None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Condition) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


# The elements.


def compile_all(elements: Sequence[Element], datamodel: Datamodel, sources: Mapping[Element, str]) -> list[Executable]:
    """Executable content in order.

    Args:
        elements: the elements.
        datamodel: what their expressions mean.
        sources: the files that scripts name, by the script.
    """
    return [_COMPILERS[each.tag](each, datamodel, sources) for each in elements]


class _RaiseEvent(Executable):
    __slots__ = ("_name", "_problem")

    def __init__(self, element: Element, _: Datamodel, __: Sources) -> None:
        super().__init__(element)
        self._name = element.attributes["event"]
        self._problem = problem_of_name(self._name)

    def execute(self, scope: Scope) -> Yielded:  # noqa: ARG002 - it needs nothing but its name
        if self._problem is not None:
            raise EvaluationError(self._problem)
        yield Raise(ScxmlEvent(self._name, kind="internal"))


class _If(Executable):
    __slots__ = ("_branches",)

    def __init__(self, element: Element, datamodel: Datamodel, sources: Sources) -> None:
        super().__init__(element)
        branches: list[tuple[Element, list[Element]]] = [(element, [])]
        for each in element.elements:
            if each.tag in ("elseif", "else"):
                branches.append((each, []))
            else:
                branches[-1][1].append(each)
        self._branches = [
            (each, _condition_of(each, datamodel), compile_all(content, datamodel, sources))
            for each, content in branches
        ]

    def execute(self, scope: Scope) -> Yielded:
        for at, holds, content in self._branches:
            try:
                is_taken = holds is None or holds(scope.run)
            except EvaluationError as error:  # counts as false, as every condition does (5.9.1)
                yield Raise(failure_event(at, str(error)))
                is_taken = False
            if is_taken:
                yield from perform(content, scope)
                return


def _condition_of(element: Element, datamodel: Datamodel) -> Callable[[Run], bool] | None:
    cond = element.get("cond")
    return None if cond is None else datamodel.condition(cond)


class _ForEach(Executable):
    """`<foreach>` (4.6) over what its array is at the beginning; its variables are declared if they are not."""

    __slots__ = ("_array", "_content", "_index", "_item")

    def __init__(self, element: Element, datamodel: Datamodel, sources: Sources) -> None:
        super().__init__(element)
        self._array = datamodel.expression(element.attributes["array"])
        self._item = element.attributes["item"].strip()
        self._index = (element.get("index") or "").strip() or None
        self._content = compile_all(element.elements, datamodel, sources)

    def execute(self, scope: Scope) -> Yielded:
        run = scope.run
        array = self._array(run)
        if not isinstance(array, Compound):
            message = f"the array is {array!r:.100}; it can be a list, a tuple, a set or a dict"
            raise EvaluationError(message)
        items = iterate(run, array)
        for name in (self._item, self._index):
            if name is not None and not is_variable(name):
                message = f"{name!r} is no name of a variable"
                raise EvaluationError(message)
        for number, item in enumerate(items):
            run.spend(1 + len(run.data.items) // 8)
            run.data = run.data.replace(self._item, item)
            if self._index is not None:
                run.data = run.data.replace(self._index, number)
            yield from perform(self._content, scope)


def is_variable(name: str) -> bool:
    """Whether data can go by that name; those that begin with an underscore are the system's."""
    return name.isidentifier() and not keyword.iskeyword(name) and not name.startswith("_")


class _Log(Executable):
    __slots__ = ("_value",)

    def __init__(self, element: Element, datamodel: Datamodel, _: Sources) -> None:
        super().__init__(element)
        expr = element.get("expr")
        self._value = None if expr is None else datamodel.expression(expr)

    def execute(self, scope: Scope) -> Yielded:
        yield Log(self.element.get("label") or "", None if self._value is None else self._value(scope.run))


class _Assign(Executable):
    __slots__ = ("_assign", "_value")

    def __init__(self, element: Element, datamodel: Datamodel, _: Sources) -> None:
        super().__init__(element)
        self._assign = datamodel.location(element.attributes["location"])
        self._value = compile_value(element, datamodel)

    def execute(self, scope: Scope) -> Yielded:
        self._assign(scope.run, self._value(scope.run))
        return
        yield  # a generator that yields nothing


class _Script(Executable):
    __slots__ = ("_execute",)

    def __init__(self, element: Element, datamodel: Datamodel, sources: Sources) -> None:
        super().__init__(element)
        self._execute = datamodel.script(sources.get(element, inner_text(element)))

    def execute(self, scope: Scope) -> Yielded:
        self._execute(scope.run)
        return
        yield


_COMPILERS: dict[str, Callable[[Element, Datamodel, Sources], Executable]] = {
    "raise": _RaiseEvent,
    "if": _If,
    "foreach": _ForEach,
    "log": _Log,
    "assign": _Assign,
    "script": _Script,
    "send": SendElement,
    "cancel": CancelElement,
}
