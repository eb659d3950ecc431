"""What drawings say about states and arcs, in words that every drawing shares.

The notation is that of statecharts: `trigger [guard] / action, action`. Each form of drawing has characters of
its own that would break its syntax; it passes a function that writes a name harmlessly, and every word that
the author of a chart chose goes through it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

from stateward.chart.children import child_of
from stateward.chart.handlers import Handler
from stateward.chart.nodes import (
    Chart,
    DoneTrigger,
    EventTrigger,
    StateKind,
    StateNode,
    TimerTrigger,
    TransitionNode,
)

__all__ = ["Quote", "arc_label", "describe_duration", "label_with_actions", "state_label", "state_lines"]

Quote = Callable[[str], str]
"""Writes a name so that no character of it means anything to the drawing's syntax."""

_UNITS = ((86_400, "day"), (3600, "hour"), (60, "minute"))
_HISTORY_LABELS = {StateKind.SHALLOW_HISTORY: "H", StateKind.DEEP_HISTORY: "H*"}


def state_label(state: StateNode, quote: Quote) -> str:
    """A state's name, the last part of its path; a history's sign is an H, starred when deep."""
    return _HISTORY_LABELS.get(state.kind) or quote(state.name)


def state_lines(chart: Chart[Any], state: StateNode, quote: Quote) -> tuple[str, ...]:
    """What happens in a state without leaving it: its entry and exit actions, and its targetless transitions."""
    lines = [
        label_with_actions(what, actions, quote)
        for what, actions in (("entry", state.entry), ("exit", state.exit))
        if actions
    ]
    if state.data is not None:
        lines.append(label_with_actions("data", (state.data,), quote))
    lines += [f"child {quote(child.chart.kind)}" for child in map(child_of, state.invokes) if child is not None]
    stays = (each for each in chart.transitions if each.source == state.index and not each.targets)
    return (*lines, *(arc_label(chart, each, quote) for each in stays))


def arc_label(chart: Chart[Any], transition: TransitionNode, quote: Quote) -> str:
    """`trigger [guard] / actions`, each part only if there is one; empty for a bare eventless arc."""
    parts = [
        _trigger_label(chart, transition, quote),
        "(internal)" if transition.internal else "",
        f"[{_name(transition.guard, quote)}]" if transition.guard else "",
    ]
    return label_with_actions(" ".join(part for part in parts if part), transition.actions, quote)


def label_with_actions(text: str, actions: Iterable[Handler], quote: Quote) -> str:
    """A label and the actions behind a slash."""
    names = ", ".join(_name(each, quote) for each in actions)
    return f"{text} / {names}".lstrip() if names else text


def _trigger_label(chart: Chart[Any], transition: TransitionNode, quote: Quote) -> str:
    trigger = transition.trigger
    if trigger is None:
        return ""
    if isinstance(trigger, EventTrigger):
        return quote(trigger.label)
    if isinstance(trigger, DoneTrigger):
        is_own = trigger.state == chart.states[transition.source].path
        return "done" if is_own else f"done({quote(trigger.state)})"
    if isinstance(trigger, TimerTrigger):
        delay = trigger.delay
        return f"after({_name(delay, quote) if isinstance(delay, Handler) else describe_duration(delay)})"
    return quote(trigger.label)


def _name(handler: Handler, quote: Quote) -> str:
    """A handler's name without the function that it was written in."""
    return quote(handler.name.rpartition("<locals>.")[2])


def describe_duration(length: timedelta) -> str:
    """A length of time as one says it: `1 day`, `2 hours 30 minutes`, `1.5 seconds`."""
    rest = length.days * 86_400 + length.seconds
    parts: list[str] = []
    for size, unit in _UNITS:
        count, rest = divmod(rest, size)
        if count:
            parts.append(_counted(str(count), unit))
    if rest or length.microseconds or not parts:
        seconds = f"{rest}.{length.microseconds:06}".rstrip("0").rstrip(".")
        parts.append(_counted(seconds, "second"))
    return " ".join(parts)


def _counted(count: str, unit: str) -> str:
    return f"{count} {unit}" if count == "1" else f"{count} {unit}s"
