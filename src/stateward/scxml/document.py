"""What a document has beside executable content, compiled to handlers: its data, and its finals' data.

Data are bound by actions as well: those of the whole document by the first action of all, before the initial state
is entered; with late binding, those within a state by the state's first entry action, once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from stateward.chart import Actions, Chart, Event, EventMarker, Meta, Raise
from stateward.errors import EvaluationError
from stateward.scxml.attributes import compile_data, compile_value, inline_value, param_value
from stateward.scxml.context import Data
from stateward.scxml.datamodel import Datamodel
from stateward.scxml.executing import Scope, Yielded, bounded, failure_event
from stateward.scxml.invoking import Invocation, Receiving
from stateward.scxml.run import Run
from stateward.scxml.values import MapValue, Value
from stateward.scxml.xml import Element, canonical, inner_text

__all__ = ["DoneData", "Ending", "LateData", "Prologue", "data_elements", "prologue_of", "result_of"]


class _Datum:
    """One `<data>`, compiled."""

    __slots__ = ("element", "id", "value")

    def __init__(self, element: Element, datamodel: Datamodel, loaded: str | None) -> None:
        self.element = element
        self.id = element.attributes["id"]
        self.value: Callable[[Run], Value]
        if element.get("src") is None:
            self.value = compile_value(element, datamodel)
        else:
            self.value = _loaded(element, loaded)


def _loaded(element: Element, text: str | None) -> Callable[[Run], Value]:
    """What a file holds, read when the document was."""
    if text is not None:
        value = inline_value(text)
        return lambda _: value

    def complain(_: Run) -> Value:
        message = f"src={element.get('src')!r} can't be read"
        raise EvaluationError(message)

    return complain


def data_elements(element: Element) -> list[Element]:
    """The `<data>` of an element's own datamodel."""
    datamodel = element.first("datamodel")
    return [] if datamodel is None else datamodel.all("data")


def bind(scope: Scope, data: Sequence[_Datum]) -> Yielded:
    """Assign data their values in turn; one without a value stays None and raises its error (5.3.3)."""
    for each in data:
        scope.run.spend(1 + len(scope.run.data.items) // 64)  # each value makes a map of all of them
        try:
            value = each.value(scope.run)
        except EvaluationError as error:
            yield Raise(failure_event(each.element, str(error)))
        else:
            scope.run.data = scope.run.data.replace(each.id, value)


class Prologue:
    """The first action of a document: its data are declared and bound, then its script runs (5.3.3, 5.8)."""

    def __init__(
        self,
        root: Element,
        names: Mapping[Element, str],
        datamodel: Datamodel,
        sources: Mapping[Element, str],
        load: Callable[[str], str] | None = None,
    ) -> None:
        self.datamodel = datamodel
        self.is_late = root.get("binding") == "late"
        self.element = root
        self.name = root.get("name")
        self.script = root.first("script")
        self.declared: dict[str, Element] = {}
        """The `<datamodel>` of each state by its id, of the document's own by an empty text; in document order."""
        for each in root.walk():
            declaration = each.first("datamodel")
            if declaration is not None:
                self.declared[names.get(each, "")] = declaration
        own = data_elements(root)
        every = [each for declaration in self.declared.values() for each in declaration.all("data")]
        self._ids = [each.attributes["id"] for each in every]
        self._own = {each.attributes["id"] for each in own}
        self._bound = [_Datum(each, datamodel, sources.get(each)) for each in (own if self.is_late else every)]
        self.load = load
        """What `src` of the document's `<invoke>` stand for, when they are run."""
        self.invocations: dict[str, Invocation] = {}
        """The document's `<invoke>`, by their places; in document order."""
        self.receiving: Receiving | None = None
        self._run_script = None
        if self.script is not None:
            self._run_script = datamodel.script(sources.get(self.script, inner_text(self.script)))
        self.text = self._described(sources)

    def _described(self, sources: Mapping[Element, str]) -> str:
        """All that it depends on, as a text."""
        parts = [self.datamodel.name, "late" if self.is_late else "", "unnamed" if self.name is None else ""]
        for state, declaration in self.declared.items():
            parts += [state, canonical(declaration), *(sources.get(each, "") for each in declaration.all("data"))]
        if self.script is not None:
            parts += [canonical(self.script), sources.get(self.script, "")]
        return " ".join(part for part in parts if part)

    def __call__(self, data: Data, event: EventMarker, meta: Meta) -> Actions[Data]:
        """The action."""
        given = data.variables
        scope = Scope(data, event, meta)
        try:
            scope.run.data = MapValue([(name, None) for name in self._ids])
            for name in given:
                if name in self._own:
                    scope.run.data = scope.run.data.replace(name, given[name])
            bound = [each for each in self._bound if each.id not in given or each.id not in self._own]
            yield from bounded(bind(scope, bound))
        except EvaluationError as error:
            yield Raise(failure_event(self.element, str(error)))
        if self.script is not None and self._run_script is not None:
            try:
                self._run_script(scope.run)
            except EvaluationError as error:
                yield Raise(failure_event(self.script, str(error)))
        return scope.data

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Prologue) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)


class LateData:
    """With late binding, the data of a state, assigned when it is entered for the first time."""

    def __init__(self, state: str, element: Element, datamodel: Datamodel, sources: Mapping[Element, str]) -> None:
        self.state = state
        self.element = element
        found = data_elements(element)
        self._data = [_Datum(each, datamodel, sources.get(each)) for each in found]
        self.text = canonical(*element.all("datamodel")) + "".join(sources.get(each, "") for each in found)

    def __call__(self, data: Data, event: EventMarker, meta: Meta) -> Actions[Data]:
        """The action."""
        if self.state in data.bound:
            return data
        scope = Scope(data, event, meta)
        scope.replace(bound=data.bound | {self.state})
        try:
            yield from bounded(bind(scope, self._data))
        except EvaluationError as error:
            yield Raise(failure_event(self.element, str(error)))
        return scope.data

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LateData) and (self.state, self.text) == (other.state, other.text)

    def __hash__(self) -> int:
        return hash((self.state, self.text))


class DoneData:
    """A final state's `<donedata>` (5.5), worked out by its last entry action, at the top level the last exit action.

    What is wrong is an event of its own, raised before the completion's, so it can't wait for the completion to ask.
    """

    def __init__(self, element: Element, datamodel: Datamodel) -> None:
        self.element = element
        self.text = canonical(element)
        self._params = [(each, param_value(each, datamodel)) for each in element.all("param")]
        self._content = None if self._params else compile_data(element, datamodel)
        self._key = (self.text, datamodel.name)

    def __call__(self, data: Data, event: EventMarker, meta: Meta) -> Actions[Data]:
        """The action."""
        scope = Scope(data, event, meta)
        result: Value = None
        if self._content is not None:
            try:
                result = self._content(scope.run)
            except EvaluationError as error:
                result = ""  # as 5.6.2 has it
                yield Raise(failure_event(self.element, str(error)))
        found: list[tuple[Value, Value]] = []
        for param, value in self._params:
            # A param without a value is left out, and the others are kept (5.7.2).
            try:
                found.append((param.attributes["name"], value(scope.run)))
            except EvaluationError as error:
                yield Raise(failure_event(param, str(error)))
        scope.replace(result=MapValue(found) if found else result)
        return scope.data

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DoneData) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


class Ending:
    """The last entry action of a top-level final state: it keeps the event that led there.

    Exit handlers run when the session ends, after the last step, and are to see that event still.
    """

    def __call__(self, data: Data, event: EventMarker) -> Data:
        """The action."""
        return replace(data, last=event if isinstance(event, Event) else None, result=None)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ending)

    def __hash__(self) -> int:
        return hash(Ending)


def prologue_of(chart: Chart[Any]) -> Prologue | None:
    """The first action of a chart that was read from SCXML; None for any other."""
    first = chart.states[0].initial_actions[:1]
    call: object = first[0].call if first else None
    return call if isinstance(call, Prologue) else None


def result_of(data: Data, _: EventMarker) -> Value:
    """What a final state gives its completion: what its `<donedata>` came to."""
    return data.result
