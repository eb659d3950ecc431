"""How executable content runs: in turn, each element in a scope of data, and what a failure of one does.

A block, the content of one `<onentry>` say, is one action: a generator that runs its elements in turn, yields what
they ask for, and returns the new data. When an element fails, the block raises the error's event and drops the
elements after it; what those before it did holds. So no error of a document ever fails a step.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from stateward.chart import EffectMarker, EventMarker, Meta, Raise
from stateward.errors import EvaluationError
from stateward.scxml.context import Data, run_of
from stateward.scxml.messages import ScxmlEvent, error_event
from stateward.scxml.run import Run
from stateward.scxml.xml import Element

__all__ = ["Executable", "Failure", "Scope", "Sources", "Yielded", "bounded", "failure_event", "perform"]

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

    @property
    def has_http(self) -> bool:
        """Whether the session takes part in the Basic HTTP event processor."""
        return "basichttp" in self._data.processors

    @property
    def is_invoked(self) -> bool:
        """Whether another session has invoked this one, and is its parent."""
        return self._data.is_invoked

    def can_reach(self, session: str) -> bool:
        """Whether there is a session of that id."""
        return session == self.session or session in self._data.reachable

    def has_invoked(self, invokeid: str) -> bool:
        """Whether this session has invoked another one under that id, by a state that is still active."""
        return invokeid in self._data.invoked.items.values()

    def new_invoke_id(self, state: str) -> str:
        """An id for an `<invoke>` without one, of the form that 6.4.1 prescribes: `state.number`."""
        self.replace(started=self._data.started + 1)
        return f"{state}.{self._data.started}"

    def begin(self, place: str, invokeid: str) -> None:
        """Remember that the `<invoke>` at that place runs, and under which id."""
        self.replace(invoked=self._data.invoked.replace(place, invokeid))

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
