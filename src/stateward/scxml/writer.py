"""From a chart to a document: any chart, whether it was read from SCXML or declared in Python.

What was read is written as it was, so that reading it again gives a chart of the same digest. Of a lifecycle
declared in Python the structure is written in full; its functions stay behind, and each is called by its name, a
guard as `cond="covers_total()"`, an action as `<script>record_payment()</script>`. The document's own script has a stub
for each, a guard that holds or an action that does nothing, so that it can be run as it is. Timers are written as
delayed events that are cancelled when their state is left.
"""

from __future__ import annotations

import keyword
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any

from stateward.chart import Chart, Handler
from stateward.chart.nodes import (
    DoneTrigger,
    EventTrigger,
    StateKind,
    StateNode,
    TimerTrigger,
    TransitionNode,
    Trigger,
)
from stateward.chart.values import Event
from stateward.scxml.content import Block, Condition
from stateward.scxml.document import DoneData, Invocation, LateData, Prologue
from stateward.scxml.ids import id_of
from stateward.scxml.reader import DEFAULT_NAME
from stateward.scxml.xml import Element, serialise

__all__ = ["write"]

_TAGS = {
    StateKind.ATOMIC: "state",
    StateKind.COMPOSITE: "state",
    StateKind.PARALLEL: "parallel",
    StateKind.FINAL: "final",
    StateKind.SHALLOW_HISTORY: "history",
    StateKind.DEEP_HISTORY: "history",
}


def write(chart: Chart[Any]) -> str:
    """The chart as an SCXML 1.0 document."""
    return serialise(_Writer(chart).root())


class _Writer:
    def __init__(self, chart: Chart[Any]) -> None:
        self._chart = chart
        first = chart.states[0].initial_actions[:1]
        self._prologue = first[0].call if first and isinstance(first[0].call, Prologue) else None
        self._stubs: dict[str, str] = {}
        """What each function that stays behind is written as, by its name."""

    def root(self) -> Element:
        chart, prologue = self._chart, self._prologue
        top = chart.states[0]
        attributes = {"version": "1.0"}
        if prologue is None or chart.kind != DEFAULT_NAME:
            attributes["name"] = chart.kind
        attributes["datamodel"] = "python" if prologue is None else prologue.datamodel.name
        if prologue is not None and prologue.is_late:
            attributes["binding"] = "late"
        element = Element("scxml", attributes | self._initial_attribute(top))
        states = [self._state(chart.states[index]) for index in top.children]
        if prologue is not None:
            element.children += [prologue.declared[""]] if "" in prologue.declared else []
            element.children += [prologue.script] if prologue.script is not None else []
        elif self._stubs:
            element.children.append(_script("\n".join(("", *self._stubs.values(), ""))))
        element.children += states
        return element

    # States.

    def _state(self, state: StateNode) -> Element:
        attributes = {"id": self._id(state.index)}
        if state.kind.is_history:
            attributes["type"] = "deep" if state.kind is StateKind.DEEP_HISTORY else "shallow"
        element = Element(_TAGS[state.kind], attributes)
        if state.kind.is_history:
            element.children.append(self._arc(state.default, state.default_actions))
            return element
        if self._prologue is not None and self._id(state.index) in self._prologue.declared:
            element.children.append(self._prologue.declared[self._id(state.index)])
        if state.initial_actions:
            initial = Element("initial")
            initial.children.append(self._arc(state.initial, state.initial_actions))
            element.children.append(initial)
        else:
            element.attributes |= self._initial_attribute(state)
        element.children += self._entry(state)
        element.children += self._exit(state)
        element.children += [self._transition(each) for each in self._chart.transitions if each.source == state.index]
        element.children += [self._state(self._chart.states[index]) for index in state.children]
        return element

    def _id(self, index: int) -> str:
        """The id of a state: of a lifecycle's its path, which is the only name that no other state has."""
        path = self._chart.states[index].path
        return path if self._prologue is None else id_of(path)

    def _ids(self, indices: Iterable[int]) -> str:
        return " ".join(self._id(index) for index in indices)

    def _initial_attribute(self, state: StateNode) -> dict[str, str]:
        """Where a composite starts, unless it is the child that stands first."""
        real = [index for index in state.children if not self._chart.states[index].kind.is_history]
        return {} if state.initial in ((), tuple(real[:1])) else {"initial": self._ids(state.initial)}

    def _entry(self, state: StateNode) -> Iterator[Element]:
        for each in state.entry:
            call: object = each.call
            if isinstance(call, (DoneData, Invocation)):
                yield call.element
            elif not isinstance(call, LateData):  # which is written as the state's <datamodel>
                yield _holding("onentry", self._content(each))
        for timer, delay in self._timers(state):
            attributes = {"event": _timer_event(timer), "id": timer, **self._delay(delay)}
            yield _holding("onentry", [Element("send", attributes)])
        if state.data is not None and self._prologue is None:
            yield _holding("donedata", [Element("content", {"expr": self._call(state.data, "None")})])

    def _exit(self, state: StateNode) -> Iterator[Element]:
        for each in state.exit:
            yield _holding("onexit", self._content(each))
        for timer, _ in self._timers(state):
            yield _holding("onexit", [Element("cancel", {"sendid": timer})])

    def _timers(self, state: StateNode) -> list[tuple[str, timedelta | Handler]]:
        found: dict[str, timedelta | Handler] = {}
        for each in self._chart.transitions:
            if each.source == state.index and isinstance(each.trigger, TimerTrigger):
                found[each.trigger.timer] = each.trigger.delay
        return list(found.items())

    # Transitions.

    def _transition(self, transition: TransitionNode) -> Element:
        attributes: dict[str, str] = {}
        if transition.trigger is not None:
            attributes["event"] = self._event(transition.trigger)
        if transition.guard is not None:
            attributes["cond"] = self._condition(transition.guard)
        element = self._arc(transition.targets, transition.actions)
        if transition.internal:
            attributes["type"] = "internal"
        element.attributes = attributes | element.attributes
        return element

    def _arc(self, targets: tuple[int, ...], actions: Iterable[Handler]) -> Element:
        element = Element("transition", {"target": self._ids(targets)} if targets else {})
        for each in actions:
            element.children += self._content(each)
        return element

    def _event(self, trigger: Trigger) -> str:
        match trigger:
            case EventTrigger(event) if event is Event:
                return "*"
            case EventTrigger(event):  # its subclasses trigger too
                names = [name for name, each in self._chart.events.items() if issubclass(each, event)]
                return " ".join("_".join(name.split()) for name in names)
            case DoneTrigger(state):
                return f"done.state.{self._id(self._chart.state(state).index)}"
            case TimerTrigger(timer):
                return _timer_event(timer)
            case _:
                return trigger.label

    # Functions.

    def _content(self, action: Handler) -> list[Element]:
        """An action as executable content."""
        call: object = action.call
        return call.element.elements if isinstance(call, Block) else [_script(self._call(action, "None"))]

    def _condition(self, guard: Handler) -> str:
        call: object = guard.call
        return call.text if isinstance(call, Condition) else self._call(guard, "True")

    def _delay(self, delay: timedelta | Handler) -> dict[str, str]:
        if isinstance(delay, Handler):
            return {"delayexpr": self._call(delay, "'0s'")}
        seconds, rest = divmod(delay, timedelta(seconds=1))
        milliseconds = f"{delay / timedelta(milliseconds=1):.3f}".rstrip("0").rstrip(".")
        return {"delay": f"{milliseconds}ms" if rest else f"{seconds}s"}

    def _call(self, handler: Handler, returned: str) -> str:
        """A call of a function that stays behind, by its own name; its stub returns the same whatever happens."""
        name = "".join(each if each.isalnum() else "_" for each in handler.name.rpartition(".")[2]).strip("_")
        name = f"{name}_" if keyword.iskeyword(name) else name or "function"
        self._stubs.setdefault(name, f"def {name}(): return {returned}")
        return f"{name}()"


def _holding(tag: str, content: Iterable[Element]) -> Element:
    element = Element(tag)
    element.children += content
    return element


def _script(text: str) -> Element:
    script = Element("script")
    script.children.append(text)
    return script


def _timer_event(timer: str) -> str:
    return f"elapsed.{timer.replace('@', '.')}"
