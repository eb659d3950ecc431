"""A context that logs, and handlers that write into it: what ran, in which order, and when."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stateward import (
    Actions,
    Context,
    Effect,
    Event,
    Lifecycle,
    Meta,
    Raise,
    Refusal,
    Snapshot,
    Step,
    chart_of,
    start,
    step,
)

__all__ = ["A", "B", "C", "D", "Log", "Note", "raises", "run", "says", "shows_active"]


class Log(Context):
    """What has been logged, and a number for guards to look at."""

    log: tuple[str, ...] = ()
    n: int = 0


class Note(Effect):
    """An effect with a text."""

    text: str


class A(Event):
    """An event."""


class B(Event):
    """Another."""


class C(Event):
    """Another."""


class D(Event):
    """Another."""


def says(word: str) -> Callable[[Log, Event], Log]:
    """An action that logs a word."""

    def say(context: Log, event: Event) -> Log:
        return context.replace(log=(*context.log, word))

    say.__qualname__ = f"say_{word}"
    return say


def raises(event: Event, word: str = "") -> Callable[[Log, Event], Actions[Log]]:
    """An action that raises an internal event, and logs a word."""

    def raise_it(context: Log, _: Event) -> Actions[Log]:
        yield Raise(event)
        return context.replace(log=(*context.log, word)) if word else context

    raise_it.__qualname__ = f"raise_{type(event).__name__}"
    return raise_it


def shows_active(word: str) -> Callable[[Log, Event, Meta], Log]:
    """An action that logs which states are active at that moment."""

    def show(context: Log, event: Event, meta: Meta) -> Log:
        return context.replace(log=(*context.log, f"{word}:{','.join(sorted(meta.active))}"))

    show.__qualname__ = f"show_{word}"
    return show


def run(lifecycle: type[Lifecycle[Log]], *events: Event, context: Log | None = None) -> Step[Log]:
    """The step of the last event, after a start and all before it; each must apply."""
    chart = chart_of(lifecycle)
    answer: Step[Log] | Refusal = start(chart, context or Log())
    for event in events:
        assert isinstance(answer, Step)
        before: Snapshot[Log] = answer.snapshot
        answer = step(chart, before, event)
    assert isinstance(answer, Step), answer
    return answer


def log_of(answer: Step[Any]) -> list[str]:
    """What has been logged up to a step."""
    return list(answer.snapshot.context.log)
