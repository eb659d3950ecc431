"""Sagas and gatherings of every shape, made of numbered stages and facts, for tests that walk through all of them."""

from __future__ import annotations

import itertools
import types
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, NamedTuple

from stateward import (
    Actions,
    Context,
    Effect,
    Event,
    EventMarker,
    Fact,
    Gather,
    Patience,
    Saga,
    Stage,
    Undo,
    reply,
    stop_on,
    undo_on,
)

__all__ = [
    "FEATURES",
    "MOST",
    "Ask",
    "AskUndo",
    "Cancel",
    "Shape",
    "Stop",
    "Trip",
    "event_of",
    "fact_of",
    "make_gathering",
    "shapes",
]

MOST = 4
"""Stages, and facts."""
HOUR = timedelta(hours=1)


class Trip(Context):
    kept: frozenset[int] = frozenset()
    """The stages, or facts, whose success was kept."""


class Ask(Effect):
    stage: int


class AskUndo(Effect):
    stage: int


class Cancel(Event):
    pass


class Stop(Event):
    pass


def _event(name: str) -> type[Event]:
    made: type[Event] = type(name, (Event,), {"__module__": __name__})
    return made


_WORDS = ("done", "failed", "abandoned", "undone", "not_undone")
_EVENTS = {(word, i): _event(f"{word.title().replace('_', '')}{i}") for word in _WORDS for i in range(MOST)}
_FACTS = [_event(f"Fact{i}") for i in range(MOST)]


def event_of(word: str, stage: int) -> type[Event]:
    return _EVENTS[word, stage]


def fact_of(number: int) -> type[Event]:
    return _FACTS[number]


def asking(effect: Effect, name: str) -> Callable[[Trip, Event], Actions[Trip]]:
    def ask(trip: Trip, event: Event) -> Actions[Trip]:
        yield effect
        return trip

    ask.__qualname__ = name
    return ask


def _keeping(number: int) -> Callable[[Trip, EventMarker], Trip]:
    def keep(trip: Trip, event: EventMarker) -> Trip:
        return trip.replace(kept=trip.kept | {number})

    keep.__qualname__ = f"keep_{number}"
    return keep


FEATURES = {
    "all": ("failed", "abandoned", "timeout", "undo_timeout"),
    "fails": ("failed",),
    "times out": ("timeout",),
    "abandoned": ("abandoned", "undo_timeout"),
}
"""What every stage of a saga may come to, beside being done."""


class Shape(NamedTuple):
    """A saga to make."""

    undos: tuple[bool, ...]
    """For each stage whether it has an undo."""
    pivot: int
    """The index of the pivot; the number of stages if there is none."""
    cancels: bool
    features: str

    def __str__(self) -> str:
        stages = "".join("u" if undo else "-" for undo in self.undos)
        pivot = f" pivot {self.pivot}" if self.pivot < len(self.undos) else ""
        return f"{stages}{pivot}{' cancels' if self.cancels else ''}, {self.features}"

    @property
    def may_be_abandoned(self) -> bool:
        return any(each in FEATURES[self.features] for each in ("abandoned", "timeout"))

    @property
    def makes_sense(self) -> bool:
        """Whether each undo may be asked for."""
        stages = range(len(self.undos))
        return all(
            self.may_be_abandoned or (self.cancels and i < self.pivot) or any(i < j <= self.pivot for j in stages)
            for i in stages
            if self.undos[i]
        )

    def make(self) -> type[Saga[Trip]]:
        """The saga; its stages are called a, b, c and d."""

        def body(names: dict[str, Any]) -> None:
            names["__module__"] = __name__
            for i in range(len(self.undos)):
                names["abcd"[i]] = self._stage(i)
            if self.cancels:
                names["cancel"] = undo_on(Cancel)

        made: type[Saga[Trip]] = types.new_class("Trips", (Saga[Trip],), {}, body)
        return made

    def _stage(self, i: int) -> Stage:
        features = FEATURES[self.features]
        undo = Undo(
            asking(AskUndo(i), f"ask_undo_{i}"),
            done=event_of("undone", i),
            failed=event_of("not_undone", i),
            timeout=HOUR if "undo_timeout" in features else None,
        )
        return Stage(
            asking(Ask(i), f"ask_{i}"),
            done=reply(event_of("done", i), do=_keeping(i)),
            failed=event_of("failed", i) if "failed" in features else (),
            abandoned=event_of("abandoned", i) if "abandoned" in features else (),
            timeout=HOUR if "timeout" in features else None,
            undo=undo if self.undos[i] else None,
            pivot=i == self.pivot,
        )


def shapes(count: int) -> Iterator[Shape]:
    """Every shape of so many stages, whether it makes sense or not."""
    for pivot, cancels, features in itertools.product(range(count + 1), (False, True), FEATURES):
        if cancels and not pivot:
            continue  # there is nothing before it to undo
        undoable = min(pivot + 1, count)
        for undos in itertools.product((False, True), repeat=undoable):
            yield Shape((*undos, *(False for _ in range(count - undoable))), pivot, cancels, features)


def make_gathering(count: int) -> type[Gather[Trip]]:
    """A gathering of so many facts, called a, b, c and d."""

    def body(names: dict[str, Any]) -> None:
        names["__module__"] = __name__
        for i in range(count):
            names["abcd"[i]] = Fact(fact_of(i), do=_keeping(i), ask=asking(Ask(i), f"ask_{i}"))
        names["patience"] = Patience(HOUR)
        names["stop"] = stop_on(Stop)

    made: type[Gather[Trip]] = types.new_class("Gathers", (Gather[Trip],), {}, body)
    return made
