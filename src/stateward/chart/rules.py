"""The rules a declaration must keep; each is a function that yields what breaks it.

Errors stop the build at the first; they name the state or transition, say what to write instead, and carry
the line. Warnings let it pass: they are seldom meant, but work.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from datetime import timedelta
from itertools import combinations
from typing import Any

from stateward.chart.children import child_of
from stateward.chart.draft import AlreadyDraft, ChartDraft, StateDraft, TransitionDraft
from stateward.chart.graph import reachable, top_finals
from stateward.chart.handlers import Handler, HandlerRole, find_misfit
from stateward.chart.immutable import find_mutable
from stateward.chart.nodes import Chart, DoneTrigger, EventTrigger, StateKind, TimerTrigger, Trigger
from stateward.chart.values import (
    ContextMarker,
    Done,
    Elapsed,
    Event,
    EventMarker,
    Started,
    wire_name,
)
from stateward.errors import DefinitionError, DefinitionWarning

__all__ = ["TOP_LEVEL", "check_draft", "common_ancestor", "event_class", "is_within", "warn_of_chart"]

TOP_LEVEL = "top level"
"""The subject of what is wrong with the lifecycle as a whole."""

_Problem = tuple[str, str, str]
"""The subject, what is wrong, and where it is declared."""
_States = dict[str, StateDraft]


def check_draft(draft: ChartDraft) -> None:
    """Hold a draft against every rule.

    Raises:
        DefinitionError: the first rule that is broken.
    """
    for subject, problem, origin in _problems(draft):
        raise DefinitionError(problem, lifecycle=draft.kind, subject=subject, origin=origin)


def warn_of_chart(chart: Chart[Any], *, stacklevel: int) -> None:
    """Warn of what works but is seldom meant: no final state, or no way to one."""
    finals = top_finals(chart)
    if not finals:
        text = f"{chart.kind} has no top-level final state: its entities are never finished"
        warnings.warn(text, DefinitionWarning, stacklevel=stacklevel)
    elif not finals & reachable(chart):
        text = f"{chart.kind} has no way to a final state from its initial one"
        warnings.warn(text, DefinitionWarning, stacklevel=stacklevel)


def _problems(draft: ChartDraft) -> Iterator[_Problem]:
    states: _States = {}
    for rule in (_of_names, _of_shapes, _of_sla):
        for state in draft.root.walk():
            yield from rule(state, states)
    for state in draft.root.walk():
        yield from _of_references(state, states)
    for transition in draft.transitions:
        yield from _of_transition(transition, states)
    yield from _of_timers(draft)
    yield from _of_already(draft, states)
    yield from _of_types(draft)
    yield from _of_handlers(draft)


def _of_names(state: StateDraft, seen: _States) -> Iterator[_Problem]:
    for child in state.children:
        name = child.path.removeprefix(f"{state.path}.") if state.path else child.path
        if not name or any(ch in name for ch in ".|:@#") or name != "".join(name.split()):
            problem = f"{name!r} can't name a state: a text with no blanks, and none of . | : @ #"
            yield child.path or repr(name), problem, child.origin
    if state.path in seen:
        yield (
            state.path,
            f"is declared twice, first at {seen[state.path].origin or 'another place'}",
            state.origin,
        )
    seen[state.path] = state


def _of_shapes(state: StateDraft, _: _States) -> Iterator[_Problem]:
    children = [child for child in state.children if not child.kind.is_history]
    where = state.path or TOP_LEVEL
    if state.kind is StateKind.COMPOSITE:
        marked = [child for child in children if child.is_initial]
        if not children:
            yield where, "has no states: declare them as State(...)", state.origin
        elif len(marked) > 1:
            names = ", ".join(child.name for child in marked)
            yield where, f"has {len(marked)} initial states, {names}: mark one", marked[1].origin or state.origin
        elif not marked and not state.initial:
            yield where, "has no initial state: mark one State(initial=True)", state.origin
    elif state.kind is StateKind.PARALLEL:
        if not children:
            yield where, "is parallel and has no regions", state.origin
        for child in children:
            if child.kind is StateKind.FINAL:
                yield child.path, "is final and a region at once: put it into a Composite", child.origin
            if child.is_initial:
                yield child.path, "is a region, and all regions are entered: drop initial=True", child.origin
    elif state.children:
        yield where, f"is {state.kind.value} and can't hold {state.children[0].name}", state.origin
    if not state.path and state.kind is not StateKind.COMPOSITE:
        yield where, f"is {state.kind.value}; the top level is composite", state.origin


def _of_sla(state: StateDraft, _: _States) -> Iterator[_Problem]:
    if state.sla is None:
        return
    if state.kind is StateKind.FINAL:
        yield state.path, "is final: nothing is due there, so it takes no sla", state.origin
    elif not isinstance(state.sla, timedelta):
        yield state.path, f"has the sla {state.sla!r}, which is no timedelta", state.origin
    elif state.sla <= timedelta(0):
        yield state.path, "has an sla that is not positive", state.origin


def _of_references(state: StateDraft, states: _States) -> Iterator[_Problem]:
    """The default entry of a composite and of a history."""
    inside = state.path if state.kind is StateKind.COMPOSITE else state.path.rpartition(".")[0]
    for what, paths in (("initial", state.initial), ("history default", state.default)):
        for path in paths:
            if path not in states:
                yield (
                    state.path or TOP_LEVEL,
                    f"has the {what} {path}, which is no state of this lifecycle",
                    state.origin,
                )
                return
            if not is_within(path, inside):
                yield state.path or TOP_LEVEL, f"has the {what} {path}, which is not inside {inside}", state.origin
        yield from _of_togetherness(state.path or TOP_LEVEL, paths, states, state.origin)
    if state.kind.is_history and not state.default:
        yield state.path, "is a history without a default", state.origin
    if state.kind.is_history and state.path in _histories_from(state, states):
        yield state.path, "is a history whose default leads back to itself: name a state", state.origin


def _histories_from(history: StateDraft, states: _States) -> set[str]:
    """The histories that a history's default leads to, through histories alone."""
    found: set[str] = set()
    todo = list(history.default)
    while todo:
        path = todo.pop()
        if path not in found and path in states and states[path].kind.is_history:
            found.add(path)
            todo += states[path].default
    return found


def _of_transition(transition: TransitionDraft, states: _States) -> Iterator[_Problem]:
    subject, origin = transition.name, transition.origin
    if not transition.source or transition.source not in states:
        yield subject, f"leaves {transition.source or TOP_LEVEL}, which is no state of this lifecycle", origin
        return
    source = states[transition.source]
    if source.kind is StateKind.FINAL:
        yield subject, f"leads out of {source.path}, which is final", origin
    if source.kind.is_history:
        yield (
            subject,
            f"leads out of {source.path}, a history; its default is given by history(default=...)",
            origin,
        )
    for target in transition.targets:
        if not target or target not in states:
            yield subject, f"leads to {target or TOP_LEVEL}, which is no state of this lifecycle", origin
            return
        # What a history stands for, and so whether that lies inside, is known only when the arc is taken.
        if transition.internal and not is_within(target, source.path) and not states[target].kind.is_history:
            yield subject, f"is internal, but {target} is not inside {source.path}", origin
    if transition.internal and transition.targets and source.kind is not StateKind.COMPOSITE:
        yield subject, f"is internal, but {source.path} is {source.kind.value}, not composite", origin
    yield from _of_togetherness(subject, transition.targets, states, origin)
    yield from _of_trigger(transition, states)


def _of_trigger(transition: TransitionDraft, states: _States) -> Iterator[_Problem]:
    trigger, subject, origin = transition.trigger, transition.name, transition.origin
    if isinstance(trigger, DoneTrigger):
        if trigger.state not in states:
            yield subject, f"waits for {trigger.state}, which is no state of this lifecycle", origin
            return
        state = states[trigger.state]
        finals = [child for child in state.children if child.kind is StateKind.FINAL]
        if state.kind is StateKind.COMPOSITE and not finals:
            yield subject, f"waits for {state.path} to be done, which has no final child", origin
        children = [child for child in map(child_of, state.invokes) if child is not None]
        if any(not top_finals(child.chart) for child in children):
            yield subject, f"waits for the child of {state.path} to be done, which has no final state", origin
        if state.kind not in (StateKind.COMPOSITE, StateKind.PARALLEL) and not children:
            yield subject, f"waits for {state.path} to be done, which is {state.kind.value}", origin
    if isinstance(trigger, TimerTrigger) and isinstance(trigger.delay, timedelta) and trigger.delay <= timedelta(0):
        yield subject, f"has the delay {trigger.delay}, which is not positive: use always(...)", origin
    if trigger is None and not transition.targets and transition.guard is None:
        yield subject, "is eventless, unguarded and stays: it would be taken for ever", origin


def _of_togetherness(subject: str, paths: tuple[str, ...], states: _States, origin: str) -> Iterator[_Problem]:
    """Several targets must be active at once: each pair in different regions of a parallel."""
    if _are_together([states[path].parent if states[path].kind.is_history else path for path in paths], states):
        return
    for one, other in combinations(paths, 2):
        # A history stands for any part of its parent, in whichever region.
        ends = [states[path].parent if states[path].kind.is_history else path for path in (one, other)]
        common = common_ancestor(*ends)
        if common in ends or states[common].kind is not StateKind.PARALLEL:
            yield (
                subject,
                f"can't lead to {one} and {other} at once: they are not in different regions",
                origin,
            )


def _are_together(ends: Iterable[str], states: _States) -> bool:
    """Whether that holds for all of them, without looking at each pair: of many there are very many."""
    chosen: dict[str, str] = {}
    """What lies below a state on the way to some end."""
    seen: set[str] = set()
    for end in ends:
        if end in chosen or end in seen:
            return False
        seen.add(end)
        below = end
        while below:
            parent = below.rpartition(".")[0]
            if parent in seen:
                return False
            other = chosen.setdefault(parent, below)
            if other != below and states[parent].kind is not StateKind.PARALLEL:
                return False
            below = parent
    return True


def _of_timers(draft: ChartDraft) -> Iterator[_Problem]:
    """A timer lives as long as one state, and runs for one time."""
    seen: dict[str, tuple[str, TimerTrigger]] = {}
    for each in draft.transitions:
        if isinstance(each.trigger, TimerTrigger):
            source, trigger = seen.setdefault(each.trigger.timer, (each.source, each.trigger))
            if (source, trigger) != (each.source, each.trigger):
                problem = f"uses the timer {each.trigger.timer}, which is another one's of {source}"
                yield each.name, problem, each.origin


def _of_already(draft: ChartDraft, states: _States) -> Iterator[_Problem]:
    for each in draft.already:
        for path in each.states:
            if path not in states:
                yield each.name, f"has already={path}, which is no state of this lifecycle", each.origin
            sources = {t.source for t in draft.transitions if t.name == each.name}
            if path in sources:
                yield each.name, f"has an arc from {path} and says that it is already done there", each.origin


def _of_types(draft: ChartDraft) -> Iterator[_Problem]:
    context = draft.context_type
    if not (isinstance(context, type) and issubclass(context, ContextMarker)):
        yield "context", f"{context!r} is no Context: class Order(Context)", draft.origin
        return
    if problem := find_mutable(context, draft.scope):
        yield "context", problem, draft.origin
    by_name: dict[str, type[EventMarker]] = {}
    declared: list[TransitionDraft | AlreadyDraft] = [*draft.transitions, *draft.already]
    for each in declared:
        if not isinstance(each.trigger, EventTrigger):
            continue
        event = each.trigger.event
        if not (isinstance(event, type) and issubclass(event, EventMarker)):
            yield each.name, f"{event!r} is no Event class: class Pay(Event)", each.origin
            return
        if event in (Started, Elapsed, Done):
            yield (
                each.name,
                f"waits for {event.__name__}, which callers don't send: use after() or done()",
                each.origin,
            )
        if not isinstance(event.__dict__.get("wire_name", ""), str):
            problem = f"has the event {event.__name__}, whose wire_name is no text: wire_name: ClassVar[str] = ..."
            yield each.name, problem, each.origin
        if event not in (Event, EventMarker) and (problem := find_mutable(event, draft.scope)):
            yield each.name, problem, each.origin
        other = by_name.setdefault(wire_name(event), event)
        if other is not event:
            name = wire_name(event)
            problem = f"waits for a second event class of the wire name {name}: give one a wire_name"
            yield each.name, problem, each.origin


def _of_handlers(draft: ChartDraft) -> Iterator[_Problem]:
    for subject, reference, role, event, origin in _places(draft):
        if reference is None:
            continue
        problem = find_misfit(reference, role, draft.context_type, event, draft.scope)
        if problem:
            yield subject, problem, origin
    for state in draft.root.walk():
        for child in map(child_of, state.invokes):
            if child is not None:
                context, taken = draft.context_type, child.chart.context_type
                problem = find_misfit(child.context, "child", context, Event, draft.scope, child=taken)
                if problem:
                    yield state.path, problem, state.origin


_Place = tuple[str, Handler | None, HandlerRole, type[EventMarker], str]


def _places(draft: ChartDraft) -> Iterator[_Place]:
    """Every place where a handler stands, with the class of the events that reach it."""
    for state in draft.root.walk():
        for each in (*state.entry, *state.exit, *state.initial_actions, *state.default_actions):
            yield state.path, each, "action", Event, state.origin
        yield state.path, state.data, "data", Event, state.origin
    for transition in draft.transitions:
        event = event_class(transition.trigger)
        yield transition.name, transition.guard, "guard", event, transition.origin
        for each in transition.actions:
            yield transition.name, each, "action", event, transition.origin
        if isinstance(transition.trigger, TimerTrigger) and isinstance(transition.trigger.delay, Handler):
            yield transition.name, transition.trigger.delay, "delay", event, transition.origin


def event_class(trigger: Trigger | None) -> type[EventMarker]:
    """The class of the events that reach a transition; an eventless one gets whatever is being handled."""
    return Event if trigger is None else trigger.event_class


def is_within(path: str, ancestor: str) -> bool:
    """Whether `path` lies properly below `ancestor`; everything lies below the root."""
    return path.startswith(ancestor + ".") if ancestor else bool(path)


def common_ancestor(one: str, other: str) -> str:
    """The deepest path that both lie at or below."""
    if one == other or is_within(other, one):
        return one
    while one and not is_within(other, one):
        one = one.rpartition(".")[0]
    return one
