"""From a chart to a document: any chart, whether it was read from SCXML or declared in Python.

What was read is written as it was, so that reading it again gives a chart of the same digest. Of a lifecycle
declared in Python the structure is written in full; its functions stay behind, and each is called by its name, a
guard as `cond="covers_total()"`, an action as `<script>record_payment()</script>`. The document's own script has a stub
for each, a guard that holds or an action that does nothing, so that it can be run as it is. Timers are written as
delayed events that are cancelled when their state is left.
"""

from __future__ import annotations

import keyword
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any

from stateward.chart import Chart, Handler
from stateward.chart.children import StartsChild
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
from stateward.scxml.document import DoneData, Ending, LateData, prologue_of
from stateward.scxml.ids import id_of
from stateward.scxml.invoking import Start
from stateward.scxml.xml import Element, serialise

__all__ = ["ids_of", "write"]

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


def ids_of(chart: Chart[Any]) -> dict[str, str]:
    """The id that each state is written with, by its path.

    Of a lifecycle it is the state's name if no other state has it, and else its path without dots: with a dot,
    `done.state.a` would be taken for `done.state.a.b` too.
    """
    paths = [state.path for state in chart.states[1:]]
    if prologue_of(chart) is not None:
        return {path: id_of(path) for path in paths}
    names = Counter(_identifier(state.name) for state in chart.states[1:])
    found: dict[str, str] = {}
    for state in chart.states[1:]:
        name = _identifier(state.name)
        found[state.path] = _unlike(found.values(), name if names[name] == 1 else _identifier(state.path))
    return found


def _identifier(text: str) -> str:
    """A text as an XML name without dots."""
    name = re.sub(r"[^\w-]", "-", text).rstrip("-")
    return name if name[:1].isalpha() else f"_{name}"


def _unlike(taken: Iterable[str], name: str) -> str:
    """The name, or with a number behind it, so that it is unlike those taken."""
    known = set(taken)
    return next(each for each in (name, *(f"{name}-{n}" for n in range(2, len(known) + 3))) if each not in known)


class _Writer:
    def __init__(self, chart: Chart[Any]) -> None:
        self._chart = chart
        self._prologue = prologue_of(chart)
        self._ids_by_path = ids_of(chart)
        self._has_completions = any(state.kind is StateKind.FINAL and state.parent for state in chart.states)
        self._stubs: dict[str, str] = {}
        """What each function that stays behind is written as, by its name."""

    def root(self) -> Element:
        chart, prologue = self._chart, self._prologue
        top = chart.states[0]
        attributes = {"version": "1.0"}
        if prologue is None or prologue.name is not None:
            attributes["name"] = chart.kind
        attributes["datamodel"] = "python" if prologue is None else prologue.datamodel.name
        if prologue is not None and prologue.is_late:
            attributes["binding"] = "late"
        element = Element("scxml", attributes | self._initial_attribute(top))
        states = [self._state(chart.states[index]) for index in top.children if not self._is_spare(index)]
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
        element.children += self._invokes(state)
        element.children += [self._transition(each) for each in self._chart.transitions if each.source == state.index]
        element.children += [self._state(self._chart.states[index]) for index in state.children]
        return element

    def _id(self, index: int) -> str:
        return self._ids_by_path[self._chart.states[index].path]

    def _ids(self, indices: Iterable[int]) -> str:
        return " ".join(self._id(index) for index in self._without_spare(indices))

    def _is_spare(self, index: int) -> bool:
        """Whether it is a history of the top level, which SCXML has not: nothing leaves it, so it is its default."""
        state = self._chart.states[index]
        return state.kind.is_history and state.parent == 0

    def _without_spare(self, indices: Iterable[int]) -> Iterator[int]:
        for index in indices:
            if self._is_spare(index):
                yield from self._without_spare(self._chart.states[index].default)
            else:
                yield index

    def _initial_attribute(self, state: StateNode) -> dict[str, str]:
        """Where a composite starts, unless it is the child that stands first."""
        real = [index for index in state.children if not self._chart.states[index].kind.is_history]
        initial = tuple(self._without_spare(state.initial))
        return {} if initial in ((), tuple(real[:1])) else {"initial": self._ids(initial)}

    def _entry(self, state: StateNode) -> Iterator[Element]:
        for each in state.entry:
            call: object = each.call
            if isinstance(call, DoneData):
                yield call.element
            elif not isinstance(call, (LateData, Ending)):  # late data are written as the state's <datamodel>
                yield _holding("onentry", self._content(each))
        for timer, delay in self._timers(state):
            attributes = {"event": _timer_event(timer), "id": timer, **self._delay(delay)}
            yield _holding("onentry", [Element("send", attributes)])
        if state.data is not None and self._prologue is None:
            yield _holding("donedata", [Element("content", {"expr": self._call(state.data, "None")})])

    def _exit(self, state: StateNode) -> Iterator[Element]:
        for each in state.exit:
            call: object = each.call
            yield call.element if isinstance(call, DoneData) else _holding("onexit", self._content(each))
        for timer, _ in self._timers(state):
            yield _holding("onexit", [Element("cancel", {"sendid": timer})])

    def _invokes(self, state: StateNode) -> Iterator[Element]:
        for each in state.invokes:
            call: object = each.start.call
            if isinstance(call, Start):
                yield call.invocation.element
            elif isinstance(call, StartsChild):  # the function that gives its context stays behind
                invoke = Element("invoke", {"id": self._id(state.index)})
                invoke.children.append(_holding("content", [_Writer(call.chart).root()]))
                yield invoke

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
            case EventTrigger(event) if event is Event and not self._has_completions:
                return "*"  # which would take completions too
            case EventTrigger(event):  # its subclasses trigger too
                names = [name for name, each in self._chart.events.items() if issubclass(each, event)]
                return " ".join(map(self._event_name, names))
            case DoneTrigger(state) if self._chart.state(state).invokes:
                return f"done.invoke.{self._id(self._chart.state(state).index)}"
            case DoneTrigger(state):
                return f"done.state.{self._id(self._chart.state(state).index)}"
            case TimerTrigger(timer):
                return _timer_event(timer)
            case _:
                return trigger.label

    def _event_name(self, name: str) -> str:
        """An event by its wire name; without its dots if a part of it is another event's, which would take it too."""
        name = "-".join(name.split())
        parts = name.split(".")
        is_nested = any(".".join(parts[:length]) in self._chart.events for length in range(1, len(parts)))
        return "-".join(parts) if is_nested else name

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
    return f"elapsed.{_identifier(timer)}"
