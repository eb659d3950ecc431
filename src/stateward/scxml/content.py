"""Executable content (section 4 of SCXML 1.0), compiled to actions.

A block, the content of one `<onentry>` say, is one action: a generator that runs its elements in turn, yields what
they ask for, and returns the new data. When an element fails, the block raises the error's event and drops the
elements after it; what those before it did holds. So no error of a document ever fails a step.
"""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from msgspec.structs import replace

from stateward.chart import Actions, EffectMarker, EventMarker, Meta, Raise
from stateward.errors import EvaluationError
from stateward.scxml.context import Data, location_of, run_of
from stateward.scxml.datamodel import Datamodel
from stateward.scxml.messages import ORIGIN_TYPE, Cancel, Log, ScxmlEvent, Send, error_event
from stateward.scxml.python.operators import iterate
from stateward.scxml.run import Run
from stateward.scxml.values import (
    Compound,
    ListValue,
    MapValue,
    Opaque,
    RecordValue,
    SetValue,
    TupleValue,
    Value,
    freeze,
)
from stateward.scxml.xml import Element, canonical, inner_text

__all__ = [
    "Block",
    "Condition",
    "Failure",
    "Scope",
    "bounded",
    "compile_data",
    "compile_value",
    "inline_value",
    "parse_delay",
    "perform",
]

YIELDS_MAX = 5_000
"""What one block can yield; each error on the way counts too."""
Yielded = Iterator[EffectMarker | Raise]
Sources = Mapping[Element, str]
"""The texts of the files that a document names, by the element that does."""


class Failure(Exception):
    """An element of executable content has failed; the event says how."""

    def __init__(self, event: ScxmlEvent) -> None:
        super().__init__(event.name)
        self.event = event


class Scope:
    """One handler being run: the data as they are by now, and what it was given."""

    __slots__ = ("_data", "run")

    def __init__(self, data: Data, event: EventMarker, meta: Meta) -> None:
        self._data = data
        self.run: Run = run_of(data, event, meta)

    @property
    def session(self) -> str:
        """The session's id."""
        return str(self._data.system["_sessionid"])

    @property
    def data(self) -> Data:
        """The data as they are by now."""
        if self.run.data is self._data.variables:
            return self._data
        return replace(self._data, variables=self.run.data)

    def replace(self, **changes: Any) -> None:
        """Change what is beside the document's variables."""
        self._data = replace(self._data, **changes)

    def new_send_id(self) -> str:
        """An id for a `<send>` without one, unlike any before it in this session."""
        self.replace(sent=self._data.sent + 1)
        return f"{self.session}.send.{self._data.sent}"


class Executable:
    """One element of executable content, compiled."""

    __slots__ = ("element",)

    def __init__(self, element: Element) -> None:
        self.element = element

    def execute(self, scope: Scope) -> Yielded:
        """Run it: yield effects and Raise, change the scope.

        Raises:
            EvaluationError: an expression of it has no value.
            Failure: it failed in another way.
        """
        raise NotImplementedError


def perform(executables: Sequence[Executable], scope: Scope) -> Yielded:
    """Run elements in turn.

    Raises:
        Failure: one has failed; those after it did not run.
    """
    for each in executables:
        scope.run.spend(1)
        try:
            yield from each.execute(scope)
        except EvaluationError as error:
            raise Failure(failure_event(each.element, str(error))) from None


def bounded(items: Yielded) -> Yielded:
    """What an action yields, as long as it is not more than the kernel takes from one action.

    Raises:
        EvaluationError: it is.
    """
    for number, item in enumerate(items):
        if number == YIELDS_MAX:
            message = f"it asks for more than {YIELDS_MAX} events, effects and logs at once"
            raise EvaluationError(message)
        yield item


def failure_event(element: Element, reason: str, *, sendid: str | None = None) -> ScxmlEvent:
    """`error.execution` for an element."""
    return error_event("error.execution", reason, element=element.tag, line=element.line, sendid=sendid)


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
            return self._holds(run_of(data, event, meta))
        except EvaluationError as error:
            raise Failure(failure_event(self.element, f"cond={self.text!r}: {error}")) from None

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
    __slots__ = ("_name",)

    def __init__(self, element: Element, _: Datamodel, __: Sources) -> None:
        super().__init__(element)
        self._name = element.attributes["event"]

    def execute(self, scope: Scope) -> Yielded:  # noqa: ARG002 - it needs nothing but its name
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


class _Cancel(Executable):
    __slots__ = ("_sendid",)

    def __init__(self, element: Element, datamodel: Datamodel, _: Sources) -> None:
        super().__init__(element)
        self._sendid = compile_text(element, "sendid", "sendidexpr", datamodel)

    def execute(self, scope: Scope) -> Yielded:
        yield Cancel(self._sendid(scope.run) or "")


class _Send(Executable):
    """`<send>` (6.2). What it says is worked out at once; when it is delivered is the session's business."""

    __slots__ = ("_assign_id", "_data", "_delay", "_event", "_target", "_type")

    def __init__(self, element: Element, datamodel: Datamodel, _: Sources) -> None:
        super().__init__(element)
        self._event = compile_text(element, "event", "eventexpr", datamodel)
        self._target = compile_text(element, "target", "targetexpr", datamodel)
        self._type = compile_text(element, "type", "typeexpr", datamodel)
        self._delay = compile_text(element, "delay", "delayexpr", datamodel)
        idlocation = element.get("idlocation")
        self._assign_id = None if idlocation is None else datamodel.location(idlocation)
        self._data = compile_data(element, datamodel)

    def execute(self, scope: Scope) -> Yielded:
        run = scope.run
        given = self.element.get("id")
        sendid = given or scope.new_send_id()
        try:
            if self._assign_id is not None:
                self._assign_id(run, sendid)
                given = sendid
            event, delay = self._message(scope, given)
            target = self._target(run) or ""
            kind = self._type(run) or "scxml"
        except EvaluationError as error:
            raise Failure(failure_event(self.element, str(error), sendid=sendid)) from None
        if kind not in ("scxml", ORIGIN_TYPE):
            raise Failure(failure_event(self.element, f"the type {kind!r} is not supported", sendid=sendid))
        if target == "#_internal":
            if delay:
                raise Failure(failure_event(self.element, "an internal event can't be delayed", sendid=sendid))
            yield Raise(replace(event, kind="internal", origin=None, origintype=None))
        elif target in ("", location_of(scope.session)):
            yield Send(event, sendid, delay)
        else:
            raise Failure(self._unreachable(target, sendid))

    def _message(self, scope: Scope, sendid: str | None) -> tuple[ScxmlEvent, timedelta]:
        name = self._event(scope.run)
        if not name:
            message = "it names no event"
            raise EvaluationError(message)
        data = self._data(scope.run)
        check_sendable(data)
        delay = parse_delay(self._delay(scope.run) or "0s")
        origin = location_of(scope.session)
        return ScxmlEvent(name, data, sendid=sendid, origin=origin, origintype=ORIGIN_TYPE), delay

    def _unreachable(self, target: str, sendid: str) -> ScxmlEvent:
        """A session that can't be reached is an error of communication; what is no address at all, of execution."""
        name = "error.communication" if target.startswith("#_") else "error.execution"
        reason = f"there is no session {target!r}" if target.startswith("#_") else f"{target!r} is no address"
        return error_event(name, reason, element="send", line=self.element.line, sendid=sendid)


def check_sendable(value: Value) -> None:
    """Refuse to send what is no plain data.

    Raises:
        EvaluationError: it is a function or a class, or holds one.
    """
    if isinstance(value, Opaque):
        message = f"{value!r} can't be sent: it is no plain data"
        raise EvaluationError(message)
    parts: tuple[Value, ...] = ()
    if isinstance(value, MapValue):
        parts = (*value.items.keys(), *value.items.values())
    elif isinstance(value, RecordValue):
        parts = (value.kind, value.fields)
    elif isinstance(value, (ListValue, TupleValue, SetValue)):
        parts = tuple(value.items)
    for each in parts:
        check_sendable(each)


_COMPILERS: dict[str, Callable[[Element, Datamodel, Sources], Executable]] = {
    "raise": _RaiseEvent,
    "if": _If,
    "foreach": _ForEach,
    "log": _Log,
    "assign": _Assign,
    "script": _Script,
    "send": _Send,
    "cancel": _Cancel,
}

# What elements say.


def compile_text(element: Element, name: str, expr: str, datamodel: Datamodel) -> Callable[[Run], str | None]:
    """An attribute given as it is or as an expression whose value is a text; None if neither is there."""
    fixed, computed = element.get(name), element.get(expr)
    if computed is None:
        return lambda _: fixed
    value = datamodel.expression(computed)

    def evaluate(run: Run) -> str:
        found = value(run)
        if not isinstance(found, str):
            message = f"{expr}={computed!r} is {found!r:.100}, and no text"
            raise EvaluationError(message)
        return found

    return evaluate


def compile_value(element: Element, datamodel: Datamodel) -> Callable[[Run], Value]:
    """The value of an element that says it by `expr` or by what stands in it."""
    expr = element.get("expr")
    if expr is not None:
        return datamodel.expression(expr)
    value = inline_value(inner_text(element))
    return lambda _: value


def inline_value(text: str) -> Value:
    """What a text in a document stands for: what it is as JSON, or else itself with its white space normalised."""
    if not text.strip():
        return None
    try:
        return freeze(json.loads(text))
    except (ValueError, RecursionError, EvaluationError):
        return " ".join(text.split())


def compile_data(element: Element, datamodel: Datamodel) -> Callable[[Run], Value]:
    """What `<content>`, or `namelist` and `<param>`, give an event to carry; None without any of them."""
    content = element.first("content")
    if content is not None:
        return compile_value(content, datamodel)
    pairs = [(name, datamodel.expression(name)) for name in (element.get("namelist") or "").split()]
    pairs += [(each.attributes["name"], param_value(each, datamodel)) for each in element.all("param")]
    if not pairs:
        return lambda _: None
    return lambda run: MapValue([(name, value(run)) for name, value in pairs])


def param_value(param: Element, datamodel: Datamodel) -> Callable[[Run], Value]:
    """The value of a `<param>`, said by `expr` or found at `location`."""
    return datamodel.expression(param.get("expr") or param.get("location") or "")


_DELAY = re.compile(r"\+?(\d+\.?\d*|\.\d+)(ms|s)", re.ASCII)
_DELAY_MAX = timedelta(days=1_000_000)


def parse_delay(text: str) -> timedelta:
    """A time as CSS 2 writes it (6.2.1): `1.5s`, `.5s` or `500ms`.

    Raises:
        EvaluationError: it is none.
    """
    found = _DELAY.fullmatch(text.strip())
    if found is None:
        message = f"{text!r:.50} is no delay: write 1.5s or 500ms"
        raise EvaluationError(message)
    seconds = float(found[1]) / (1000 if found[2] == "ms" else 1)
    if seconds > _DELAY_MAX.total_seconds():
        message = f"{text!r:.50} is too long a delay; {_DELAY_MAX.days} days are waited at most"
        raise EvaluationError(message)
    return timedelta(seconds=seconds)
