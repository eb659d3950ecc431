"""The chart as a JSON document, and its digest.

A document says everything about a chart but what its functions do: those it names, and whoever reads it back
passes a registry of functions and event classes. Nothing is ever imported by name.

The digest is taken over the document without what changes nothing about where an event leads or what a row
holds: descriptions and SLAs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any, TypeVar

import msgspec

from stateward.chart.build import build
from stateward.chart.children import child_document
from stateward.chart.draft import AlreadyDraft, ChartDraft, StateDraft, TransitionDraft
from stateward.chart.fields import FieldTypes
from stateward.chart.handlers import Handler, HandlerRole, handler
from stateward.chart.nodes import (
    Chart,
    DoneTrigger,
    EventTrigger,
    InvokeNode,
    StateKind,
    StateNode,
    TimerTrigger,
    TransitionNode,
    Trigger,
)
from stateward.chart.values import ContextMarker, EventMarker, wire_name
from stateward.errors import DefinitionError

__all__ = ["FORMAT", "digest_of", "from_document", "handlers_of", "to_document"]

C = TypeVar("C", bound=ContextMarker)

FORMAT = 1
"""The version of the document's form, under its key `stateward`."""


def digest_of(chart: Chart[Any]) -> str:
    """SHA-256 in hex over the canonical JSON of what the digest covers."""
    document = to_document(chart)
    covered = {
        **_without(document, "description"),
        # A context has no wire name, so its class may be renamed; the fields are what a row holds.
        "context": _without(document["context"], "name"),
        "states": [_covered(each) for each in document["states"]],
    }
    return hashlib.sha256(msgspec.json.encode(covered, order="deterministic")).hexdigest()


def _covered(state: dict[str, Any]) -> dict[str, Any]:
    inside = {"states": [_covered(each) for each in state["states"]]} if "states" in state else {}
    return {**_without(state, "description", "sla_s"), **inside}


def _without(document: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key not in keys}


def handlers_of(chart: Chart[Any]) -> dict[str, Handler]:
    """The chart's handlers by their names in documents; a second function of one name is `name#2`."""
    found: dict[str, Handler] = {}
    for each in _handlers(chart):
        name, count = each.name, 1
        while found.setdefault(name, each) != each:
            count += 1
            name = f"{each.name}#{count}"
    return found


def _handlers(chart: Chart[Any]) -> Iterator[Handler]:
    if chart.before is not None:
        yield chart.before
    for state in chart.states:
        yield from (*state.entry, *state.exit, *state.initial_actions, *state.default_actions)
        for each in state.invokes:
            yield from (each.start, each.stop)
        if state.data is not None:
            yield state.data
    for transition in chart.transitions:
        if transition.guard is not None:
            yield transition.guard
        yield from transition.actions
        if isinstance(transition.trigger, TimerTrigger) and isinstance(transition.trigger.delay, Handler):
            yield transition.trigger.delay


def to_document(chart: Chart[Any]) -> dict[str, Any]:
    """Behind `Chart.to_document`."""
    names = {each: name for name, each in handlers_of(chart).items()}
    types = FieldTypes()
    context = types.of(chart.context_type)
    events = {name: types.of(event) for name, event in sorted(chart.events.items())}
    root = _state_document(chart, chart.states[0], names)
    return _compact(
        {
            "stateward": FORMAT,
            "kind": chart.kind,
            "version": chart.version,
            "description": chart.description,
            "context": {"name": chart.context_type.__name__, "fields": context},
            "events": events,
            "types": dict(sorted(types.inside.items())),
            "initial": root["initial"],
            "initial_actions": root.get("initial_actions"),
            "before": None if chart.before is None else names[chart.before],
            "driver": None if chart.driver is None else chart.driver.name,
            "states": root["states"],
            "transitions": [_transition_document(chart, each, names) for each in chart.transitions],
            "already": [
                {
                    **_trigger_document(each.trigger, names),
                    "states": [chart.states[index].path for index in each.states],
                }
                for each in chart.already
            ],
        }
    )


def _state_document(chart: Chart[Any], state: StateNode, names: Mapping[Handler, str]) -> dict[str, Any]:
    def paths(indices: tuple[int, ...]) -> list[str]:
        return [chart.states[index].path for index in indices]

    def named(handlers: tuple[Handler, ...]) -> list[str]:
        return [names[each] for each in handlers]

    return _compact(
        {
            "name": state.name,
            "kind": state.kind.value,
            "description": state.description,
            "initial": paths(state.initial),
            "initial_actions": named(state.initial_actions),
            "entry": named(state.entry),
            "exit": named(state.exit),
            "invokes": [_invoke_document(each, names) for each in state.invokes],
            "data": None if state.data is None else names[state.data],
            "default": paths(state.default),
            "default_actions": named(state.default_actions),
            "sla_s": None if state.sla is None else state.sla.total_seconds(),
            "states": [_state_document(chart, chart.states[index], names) for index in state.children],
        }
    )


def _invoke_document(invoke: InvokeNode, names: Mapping[Handler, str]) -> dict[str, Any]:
    return _compact(
        {"start": names[invoke.start], "stop": names[invoke.stop], "child": child_document(invoke)},
    )


def _transition_document(chart: Chart[Any], transition: TransitionNode, names: Mapping[Handler, str]) -> dict[str, Any]:
    return _compact(
        {
            "name": transition.name,
            "source": chart.states[transition.source].path,
            **_trigger_document(transition.trigger, names),
            "targets": [chart.states[index].path for index in transition.targets],
            "guard": None if transition.guard is None else names[transition.guard],
            "actions": [names[each] for each in transition.actions],
            "internal": transition.internal,
        }
    )


def _trigger_document(trigger: Trigger | None, names: Mapping[Handler, str]) -> dict[str, Any]:
    match trigger:
        case None:
            return {}
        case EventTrigger(event):
            return {"event": wire_name(event)}
        case DoneTrigger(state):
            return {"done": state}
        case TimerTrigger(timer, delay):
            said = names[delay] if isinstance(delay, Handler) else delay.total_seconds()
            return {"timer": timer, "delay": said}
        case _:
            return {"trigger": trigger.label}


def _compact(document: dict[str, Any]) -> dict[str, Any]:
    """Without what is empty: it says nothing."""
    return {key: value for key, value in document.items() if value not in (None, "", [], {}, False)}


# Reading.


class _InvokeForm(msgspec.Struct, forbid_unknown_fields=True):
    start: str
    stop: str
    child: dict[str, Any] | None = None


class _StateForm(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    kind: StateKind = StateKind.ATOMIC
    description: str = ""
    initial: tuple[str, ...] = ()
    initial_actions: tuple[str, ...] = ()
    entry: tuple[str, ...] = ()
    exit: tuple[str, ...] = ()
    invokes: tuple[_InvokeForm, ...] = ()
    data: str | None = None
    default: tuple[str, ...] = ()
    default_actions: tuple[str, ...] = ()
    sla_s: float | None = None
    states: tuple[_StateForm, ...] = ()


class _TriggerForm(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    event: str | None = None
    done: str | None = None
    timer: str | None = None
    delay: float | str | None = None


class _TransitionForm(_TriggerForm, forbid_unknown_fields=True, kw_only=True):
    name: str
    source: str
    targets: tuple[str, ...] = ()
    guard: str | None = None
    actions: tuple[str, ...] = ()
    internal: bool = False


class _AlreadyForm(_TriggerForm, forbid_unknown_fields=True, kw_only=True):
    states: tuple[str, ...]


class _ContextForm(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    fields: dict[str, str] = {}


class _ChartForm(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    stateward: int
    kind: str
    version: int = 1
    description: str = ""
    context: _ContextForm | None = None
    events: dict[str, dict[str, str]] = {}
    types: dict[str, dict[str, str]] = {}
    initial: tuple[str, ...]
    initial_actions: tuple[str, ...] = ()
    before: str | None = None
    states: tuple[_StateForm, ...]
    transitions: tuple[_TransitionForm, ...] = ()
    already: tuple[_AlreadyForm, ...] = ()


def from_document(
    document: Mapping[str, Any],
    *,
    context: type[C],
    events: Mapping[str, type[EventMarker]],
    handlers: Mapping[str, Callable[..., Any]],
) -> Chart[C]:
    """Behind `Chart.from_document`."""
    try:
        form = msgspec.convert(document, _ChartForm)
    except msgspec.ValidationError as error:
        problem = f"is no chart document: {error}"
        kind = document.get("kind", "") if isinstance(document, Mapping) else ""
        raise DefinitionError(problem, lifecycle=str(kind), subject="document") from error
    return _Reader(form, context, events, handlers).read()


class _Reader:
    """A document on its way to a draft, with the registries that its names are looked up in."""

    def __init__(
        self,
        form: _ChartForm,
        context: type[ContextMarker],
        events: Mapping[str, type[EventMarker]],
        handlers: Mapping[str, Callable[..., Any]],
    ) -> None:
        self._form = form
        self._context = context
        self._events = events
        self._handlers = handlers

    def read(self) -> Chart[Any]:
        form = self._form
        if form.stateward != FORMAT:
            raise self._error(f"has the form {form.stateward}; this version reads {FORMAT}", "document")
        self._check_fields()
        root = StateDraft(path="", kind=StateKind.COMPOSITE, initial=form.initial)
        root.initial_actions = self._many(form.initial_actions, "initial_actions")
        root.children = [self._state(each, "") for each in form.states]
        return build(
            ChartDraft(
                kind=form.kind,
                version=form.version,
                context_type=self._context,
                root=root,
                transitions=[self._transition(each) for each in form.transitions],
                already=[self._already(each) for each in form.already],
                description=form.description,
                before=self._one(form.before, "action", "before"),
            ),
            stacklevel=5,
        )

    def _check_fields(self) -> None:
        """The classes passed must have the fields that the document was written for."""
        claims: list[tuple[str, dict[str, str], type]] = []
        if self._form.context is not None and self._form.context.fields:
            claims.append((self._form.context.name, self._form.context.fields, self._context))
        claims += [(name, fields, self._event(name, name)) for name, fields in self._form.events.items()]
        types = FieldTypes()
        found = [(name, fields, types.of(given)) for name, fields, given in claims]
        found += [(name, fields, types.inside.get(name, fields)) for name, fields in self._form.types.items()]
        for name, fields, actual in found:
            if fields and fields != actual:
                raise self._error(f"has the fields {fields}, and the class given has {actual}", name)

    def _state(self, form: _StateForm, parent: str) -> StateDraft:
        path = f"{parent}.{form.name}" if parent else form.name
        return StateDraft(
            path=path,
            kind=form.kind,
            initial=form.initial,
            initial_actions=self._many(form.initial_actions, path),
            entry=self._many(form.entry, path),
            exit=self._many(form.exit, path),
            invokes=tuple(self._invoke(each, path) for each in form.invokes),
            data=self._one(form.data, "data", path),
            default=form.default,
            default_actions=self._many(form.default_actions, path),
            sla=None if form.sla_s is None else timedelta(seconds=form.sla_s),
            description=form.description,
            children=[self._state(each, path) for each in form.states],
        )

    def _invoke(self, form: _InvokeForm, path: str) -> InvokeNode:
        found = InvokeNode(*self._many((form.start, form.stop), path))
        if form.child != child_document(found):
            raise self._error(f"has the child {form.child}, and the handler given starts {child_document(found)}", path)
        return found

    def _transition(self, form: _TransitionForm) -> TransitionDraft:
        return TransitionDraft(
            name=form.name,
            source=form.source,
            targets=form.targets,
            trigger=self._trigger(form, form.name),
            guard=self._one(form.guard, "guard", form.name),
            actions=self._many(form.actions, form.name),
            internal=form.internal,
        )

    def _already(self, form: _AlreadyForm) -> AlreadyDraft:
        trigger = self._trigger(form, "already")
        if trigger is None:
            raise self._error("names no event", "already")
        return AlreadyDraft(trigger.label, trigger, form.states)

    def _trigger(self, form: _TriggerForm, subject: str) -> Trigger | None:
        given = [each for each in (form.event, form.done, form.timer) if each is not None]
        if len(given) > 1:
            raise self._error(f"waits for {' and '.join(given)} at once", subject)
        if form.event is not None:
            return EventTrigger(self._event(form.event, subject))
        if form.done is not None:
            return DoneTrigger(form.done)
        if form.timer is None:
            return None
        if form.delay is None:
            raise self._error(f"has the timer {form.timer} without a delay", subject)
        if isinstance(form.delay, str):
            delay = self._one(form.delay, "delay", subject)
            assert delay is not None
            return TimerTrigger(form.timer, delay)
        return TimerTrigger(form.timer, timedelta(seconds=form.delay))

    def _event(self, name: str, subject: str) -> type[EventMarker]:
        if name not in self._events:
            raise self._error(f"waits for the event {name}, which is not among events=", subject)
        return self._events[name]

    def _many(self, names: tuple[str, ...], subject: str) -> tuple[Handler, ...]:
        found = (self._one(name, "action", subject) for name in names)
        return tuple(each for each in found if each is not None)

    def _one(self, name: str | None, role: HandlerRole, subject: str) -> Handler | None:
        if name is None:
            return None
        if name not in self._handlers:
            raise self._error(f"names the {role} {name}, which is not among handlers=", subject)
        try:
            checked = handler(self._handlers[name], role)
        except DefinitionError as error:
            raise self._error(error.problem, subject) from None
        return Handler(name.partition("#")[0], checked.call, wants_meta=checked.wants_meta)

    def _error(self, problem: str, subject: str) -> DefinitionError:
        return DefinitionError(problem, lifecycle=self._form.kind, subject=subject)
