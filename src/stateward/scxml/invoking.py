"""`<invoke>` (6.4 of SCXML 1.0): children that run beside a state, and what a parent does with their events.

An `<invoke>` becomes two actions. One runs where the macrostep that entered the state comes to rest; it works out
what the child is and what it is given, and asks the session for it. The other runs when the state is left, and asks
for the child's end. Which of them run is in the data, by the place of each `<invoke>`.

What a parent does with events before it looks for transitions, `<finalize>` and `autoforward`, is one action of the
whole document, which the kernel runs before every selection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from stateward.chart import Actions, Chart, EffectMarker, EventMarker, Handler, Meta, Raise
from stateward.chart.nodes import InvokeNode
from stateward.errors import EvaluationError
from stateward.scxml.attributes import compile_text, param_value
from stateward.scxml.content import Block
from stateward.scxml.context import Data
from stateward.scxml.datamodel import Datamodel
from stateward.scxml.executing import Scope, failure_event
from stateward.scxml.messages import Forward, Invoke, ScxmlEvent, Uninvoke
from stateward.scxml.run import Run
from stateward.scxml.sending import check_sendable
from stateward.scxml.values import MapValue, Value, brief
from stateward.scxml.xml import Element, canonical, inner_text

__all__ = ["Invocation", "Receiving", "Start", "documents_in"]

_TYPES = ("scxml", "http://www.w3.org/TR/scxml", "http://www.w3.org/TR/scxml/")
"""What names a child that is an SCXML session."""


class Invocation:
    """One `<invoke>`, compiled.

    Args:
        element: the `<invoke>`.
        datamodel: what its expressions mean.
        sources: the files that scripts of its `<finalize>` name.
        state: the id of the state that it stands in.
        place: `path#n`, the n-th of the state of that path.
        inline: the chart of the document that stands in its `<content>`, if one does.
    """

    def __init__(
        self,
        element: Element,
        datamodel: Datamodel,
        sources: Mapping[Element, str],
        *,
        state: str,
        place: str,
        inline: Chart[Data] | None,
    ) -> None:
        self.element = element
        self.place = place
        self.inline = inline
        self.autoforward = element.get("autoforward") == "true"
        self.text = canonical(element)
        if inline is not None and any(each.get("src") for root in documents_in(element) for each in root.walk()):
            self.text += f" {inline.digest}"  # which covers the files that it names
        self._state = state
        self._type = compile_text(element, "type", "typeexpr", datamodel)
        self._src = compile_text(element, "src", "srcexpr", datamodel)
        self._document = _compile_document(element, datamodel)
        self._given = [(name, datamodel.expression(name)) for name in (element.get("namelist") or "").split()]
        self._given += [(each.attributes["name"], param_value(each, datamodel)) for each in element.all("param")]
        idlocation = element.get("idlocation")
        self._assign_id = None if idlocation is None else datamodel.location(idlocation)
        finalize = element.first("finalize")
        self._finalize: Callable[[Data, EventMarker, Meta], Actions[Data]] | None = None
        if finalize is not None:
            # An empty one assigns what the event carries to the locations that the child was given (6.5.2).
            self._finalize = Block(finalize, datamodel, sources) if finalize.elements else _Taking(element, datamodel)
        self.key = (self.text, place, datamodel.name)

    @property
    def node(self) -> InvokeNode:
        """The two actions of it, for a chart."""
        return InvokeNode(
            Handler(f"{self.place} {self.text}", Start(self), wants_meta=True),
            Handler(f"end of {self.place}", Stop(self), wants_meta=True),
        )

    @property
    def receives(self) -> bool:
        """Whether it has anything to do with events before transitions are looked for."""
        return self.autoforward or self._finalize is not None

    def receive(self, data: Data, event: ScxmlEvent, meta: Meta) -> Actions[Data]:
        """What it does with an event from outside: finalize what comes from its child, forward all."""
        invokeid = data.invoked.items.get(self.place)
        if invokeid is None:
            return data
        if self._finalize is not None and event.invokeid == invokeid:
            data = yield from self._finalize(data, event, meta)
        if self.autoforward:
            yield Forward(self.place, event)
        return data

    def ask(self, scope: Scope) -> Invoke:
        """What is to be started, worked out.

        Raises:
            EvaluationError: something of it has no value, or it names nothing that can be started.
        """
        run = scope.run
        kind = self._type(run)
        if kind is not None and kind not in _TYPES:
            message = f"the type {brief(kind)} is not supported; {', '.join(_TYPES)} are"
            raise EvaluationError(message)
        src = self._src(run)
        text = None if self.inline is not None or src is not None else self._document(run)
        pairs = [(name, value(run)) for name, value in self._given]
        for _, value in pairs:
            check_sendable(value)
        invokeid = self.element.get("id") or scope.new_invoke_id(self._state)
        if self._assign_id is not None:
            self._assign_id(run, invokeid)
        scope.begin(self.place, invokeid)
        return Invoke(self.place, invokeid, MapValue(pairs), text, src)


def documents_in(element: Element) -> list[Element]:
    """The documents that stand in an `<invoke>`."""
    content = element.first("content")
    return [] if content is None else content.all("scxml")


def _compile_document(element: Element, datamodel: Datamodel) -> Callable[[Run], str]:
    """The text of the child's document, if it is neither a file nor stands here as elements."""
    content = element.first("content")
    expr = None if content is None else content.get("expr")
    if expr is not None:
        value = datamodel.expression(expr)

        def evaluate(run: Run) -> str:
            found = value(run)
            if not isinstance(found, str):
                message = f"expr={expr!r:.200} is {brief(found)}, and no document"
                raise EvaluationError(message)
            return found

        return evaluate
    text = "" if content is None else inner_text(content).strip()

    def tell(_: Run) -> str:
        if not text:
            message = "it has neither src nor content"
            raise EvaluationError(message)
        return text

    return tell


class _OfInvocation:
    """An action of an `<invoke>`; equal to any other of the same text, place and datamodel."""

    def __init__(self, invocation: Invocation) -> None:
        self.invocation = invocation

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and isinstance(other, _OfInvocation) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple[str, str, str]:
        return self.invocation.key


class Start(_OfInvocation):
    """The action that starts a child."""

    def __call__(self, data: Data, event: EventMarker, meta: Meta) -> Actions[Data]:
        """The action."""
        scope = Scope(data, event, meta)
        try:
            asked = self.invocation.ask(scope)
        except EvaluationError as error:
            yield Raise(failure_event(self.invocation.element, str(error)))
        else:
            yield asked
        return scope.data


class Stop(_OfInvocation):
    """The action that cancels a child."""

    def __call__(self, data: Data, _: EventMarker, __: Meta) -> Actions[Data]:
        """The action."""
        place = self.invocation.place
        if place in data.invoked:
            yield Uninvoke(place)
            return data.replace(invoked=data.invoked.remove(place))
        return data  # it could not be started


class _Taking:
    """An empty `<finalize>`: what an event carries by the names that the child was given goes where they are from."""

    def __init__(self, element: Element, datamodel: Datamodel) -> None:
        self._element = element
        names = (element.get("namelist") or "").split()
        self._locations = [(name, datamodel.location(name)) for name in names]
        for each in element.all("param"):
            location = each.get("location")
            if location is not None:
                self._locations.append((each.attributes["name"], datamodel.location(location)))

    def __call__(self, data: Data, event: EventMarker, meta: Meta) -> Actions[Data]:
        """The action."""
        scope = Scope(data, event, meta)
        carried: Value = event.data if isinstance(event, ScxmlEvent) else None
        found = carried.items if isinstance(carried, MapValue) else {}
        try:
            for name, assign in self._locations:
                if name in found:
                    assign(scope.run, found[name])
        except EvaluationError as error:
            yield Raise(failure_event(self._element, str(error)))
        return scope.data


class Receiving:
    """The action of a document that runs before transitions are looked for: `<finalize>` and `autoforward`."""

    def __init__(self, invocations: Sequence[Invocation]) -> None:
        self._invocations = [each for each in invocations if each.receives]
        self.text = " ".join(each.place for each in self._invocations)
        self._key = tuple(each.key for each in self._invocations)

    def __bool__(self) -> bool:
        return bool(self._invocations)

    def __call__(self, data: Data, event: EventMarker, meta: Meta) -> Actions[Data]:
        """The action."""
        if isinstance(event, ScxmlEvent) and event.kind == "external":
            for each in self._invocations:
                data = yield from each.receive(data, event, meta)
        return data

    def receive(self, data: Data, event: EventMarker, meta: Meta) -> tuple[Data, list[EffectMarker]]:
        """The same for an event that no transition has taken; what it raises reaches nobody either."""
        asked: list[EffectMarker] = []
        run: Iterator[Any] = self(data, event, meta)
        try:
            while True:
                item = next(run)
                if not isinstance(item, Raise):
                    asked.append(item)
        except StopIteration as end:
            return end.value, asked

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Receiving) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)
