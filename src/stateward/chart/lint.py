"""Findings about a chart that works, and is not what was meant or will not keep.

Each rule is a function that yields findings, and each finding says what to use instead:

- SW1xx names and size: a state named as a command (SW101), a catch-all failure state (SW102), too many states (SW103).
- SW2xx the graph: a state that can't be reached (SW201) or can't finish (SW202), an arc behind an unguarded one of
  the same source and event (SW203), a transition never taken for another reason (SW204), no final state (SW205).
- SW3xx handlers: a lambda (SW301), a function whose source can't be seen (SW302), and what makes one impure: clock
  (SW311), chance (SW312), environment (SW313), sleep (SW314), threads and tasks (SW315), the order of a set (SW316),
  I/O (SW317).

A transition of a state that can't be reached is not reported beside that state, nor an arc under two rules.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from stateward.chart.children import children_of
from stateward.chart.graph import able_to_finish, find_blocked, reachable, top_finals
from stateward.chart.handlers import Handler
from stateward.chart.impure import Impurity
from stateward.chart.naming import happenings_of, is_catch_all, is_command
from stateward.chart.nodes import Chart, StateKind, StateNode, TimerTrigger
from stateward.chart.purity import SourceUnseen, find_impure
from stateward.chart.values import Event, EventMarker, Meta

__all__ = ["Finding", "Severity", "lint"]

Severity = Literal["error", "warning", "info"]

STATES_WARNED = 100
STATES_MAX = 1000

_ATOMIC = (StateKind.ATOMIC, StateKind.FINAL)


class Finding(msgspec.Struct, frozen=True):
    """One thing to look at."""

    rule: str
    severity: Severity
    """An info asks for nothing; the other two make `stateward check` fail."""
    lifecycle: str
    subject: str
    """The state, transition or handler at fault; the lifecycle itself if empty."""
    message: str
    """What is wrong, and what to use instead."""
    origin: str
    """Where it is declared, `file:line`; empty if that is not known."""


def lint(chart: Chart[Any]) -> list[Finding]:
    """Hold a chart against every rule.

    Args:
        chart: a chart of any origin; nothing in it is run.

    Returns:
        The findings in the order of the rules, then of the chart.
    """
    return [each for rule in (_of_names, _of_size, _of_ways, _of_blocked, _of_handlers) for each in rule(chart)]


def _of_names(chart: Chart[Any]) -> Iterator[Finding]:
    happenings = happenings_of(chart)
    for state in chart.states[1:]:
        if state.kind.is_history:
            continue
        if is_command(state, happenings):
            message = (
                f"{state.name} is named as a command: name a state as the condition that holds in it, "
                "as in paid, awaiting_payment or payment_due"
            )
            yield _about(chart, state, "SW101", "warning", message)
        if is_catch_all(state):
            message = (
                f"{state.name} stands for any failure whatever: use a state for each that is handled differently, "
                "as in payment_declined or delivery_lost"
            )
            yield _about(chart, state, "SW102", "warning", message)


def _of_size(chart: Chart[Any]) -> Iterator[Finding]:
    count = sum(1 for state in chart.states[1:] if not state.kind.is_history)
    if count > STATES_WARNED:
        severity: Severity = "error" if count > STATES_MAX else "warning"
        message = (
            f"has {count} states: what varies without changing which events are legal belongs into the context, "
            "what varies independently into regions, and what lives by itself into a lifecycle of its own"
        )
        yield _about(chart, chart.states[0], "SW103", severity, message)


def _of_ways(chart: Chart[Any]) -> Iterator[Finding]:
    """What can't be reached, and from where there is no way to the end."""
    live = reachable(chart)
    for state in chart.states[1:]:
        # Of a part that can't be reached only the outermost state is told.
        if state.index not in live and not state.kind.is_history and (state.parent or 0) in live:
            message = "can't be reached: no way leads there from the initial state; give it an arc, or take it away"
            yield _about(chart, state, "SW201", "warning", message)
    finals = top_finals(chart)
    if not finals:
        message = "has no final state: if its entities ever end, say where by Final()"
        yield _about(chart, chart.states[0], "SW205", "info", message)
        return
    atoms = [state for state in chart.states if state.kind in _ATOMIC and state.index in live]
    able = able_to_finish(chart)
    trapped = [state for state in atoms if state.index not in able]
    if len(trapped) == len(atoms):
        message = "has final states, but no way leads to any of them: give one an arc"
        yield _about(chart, chart.states[0], "SW202", "warning", message)
        return
    for state in trapped:
        message = "has no way to a final state: what enters it never ends; give it an arc, or declare it Final()"
        yield _about(chart, state, "SW202", "warning", message)


def _of_blocked(chart: Chart[Any]) -> Iterator[Finding]:
    """The transitions that are never taken: behind an arc of the same source and event, or for another reason."""
    for transition, blocker in find_blocked(chart, reachable(chart)):
        rule = "SW204"
        if blocker.trigger is None and transition.trigger is not None:
            why = "waits for nothing and has no guard, so it is taken before any event"
            remedy = "guard it with when=, or take this one away"
        elif blocker.source != transition.source:
            why = "takes the same without a guard, as does whatever else may be active there"
            remedy = "guard those inside, or take this one away"
        elif transition.guard is None:
            rule = "SW203"
            why, remedy = "takes the same before it, without a guard", "guard the first, or take this one away"
        else:
            why, remedy = "takes the same before it, without a guard", "put the guarded arc first"
        message = f"never happens: {blocker.id} {why}; {remedy}"
        yield Finding(rule, "warning", chart.kind, transition.id, message, transition.origin)


def _of_handlers(chart: Chart[Any]) -> Iterator[Finding]:
    seen: set[Handler] = set()
    for where, each, parameters, origin in _places(chart):
        if each in seen:
            continue
        seen.add(each)
        if _is_lambda(each):
            message = (
                "has a lambda for a handler: use a function of the module, which has a name for the digest, "
                "annotations for the type checker, and can be tested by itself"
            )
            yield Finding("SW301", "warning", chart.kind, where, message, origin)
        yield from _of_handler(chart, where, each, parameters, origin)


def _of_handler(
    chart: Chart[Any], where: str, reference: Handler, parameters: tuple[type, ...], origin: str
) -> Iterator[Finding]:
    try:
        impure = find_impure(reference.call, parameters)
    except SourceUnseen:
        if _is_lambda(reference):
            return  # that it is one has been said
        message = f"{reference.name} can't be seen: its source can't be read, so whether it is pure is not known"
        yield Finding("SW302", "warning", chart.kind, where, message, origin)
        return
    for each in impure:
        severity: Severity = "warning" if each.kind is Impurity.SET_ORDER else "error"
        function = f"{reference.name} calls {each.via}, which" if each.via else reference.name
        message = f"{function} {each.kind.deed} ({each.what}): {each.kind.remedy}"
        yield Finding(each.kind.rule, severity, chart.kind, where, message, each.origin)


def _is_lambda(reference: Handler) -> bool:
    return getattr(getattr(reference.call, "__code__", None), "co_name", "") == "<lambda>"


_Place = tuple[str, Handler, tuple[type, ...], str]


def _places(chart: Chart[Any]) -> Iterator[_Place]:
    """Every handler with the subject it belongs to, what it is called with, and the line of that subject."""

    def called_with(event: type[EventMarker]) -> tuple[type, ...]:
        return chart.context_type, event, Meta

    if chart.before is not None:
        yield "", chart.before, called_with(Event), ""
    for state in chart.states:
        data = () if state.data is None else (state.data,)
        for each in (*state.entry, *state.exit, *state.initial_actions, *state.default_actions, *data):
            yield state.path, each, called_with(Event), state.origin
    for path, child in children_of(chart).items():
        yield path, child.context, (chart.context_type,), chart.state(path).origin
    for transition in chart.transitions:
        trigger = transition.trigger
        given = called_with(Event if trigger is None else trigger.event_class)
        guard = () if transition.guard is None else (transition.guard,)
        for each in (*guard, *transition.actions):
            yield transition.id, each, given, transition.origin
        if isinstance(trigger, TimerTrigger) and isinstance(trigger.delay, Handler):
            yield transition.id, trigger.delay, (chart.context_type,), transition.origin


def _about(chart: Chart[Any], state: StateNode, rule: str, severity: Severity, message: str) -> Finding:
    # The root's place is the first of its states'.
    origin = state.origin or next((each.origin for each in chart.states if each.origin), "")
    return Finding(rule, severity, chart.kind, state.path, message, origin)
