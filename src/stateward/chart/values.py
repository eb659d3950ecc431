"""The values that travel: events, contexts, effects, and what a handler is told beside them.

`Event`, `Context` and `Effect` are frozen msgspec Structs: cheap to make, compared by value, ready to
serialise. A frozen dataclass or a frozen pydantic model works too when it inherits the marker of its
kind. Each has a wire name, the name of its class unless the class says `wire_name = "..."`, under which
rows and documents know it, so that renaming a class orphans nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Set
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar, dataclass_transform

import msgspec
from msgspec.structs import replace as _replace

if TYPE_CHECKING:
    from random import Random  # noqa: TID251 - the type only

__all__ = [
    "Action",
    "Actions",
    "Context",
    "ContextMarker",
    "Delay",
    "Done",
    "Effect",
    "EffectMarker",
    "Elapsed",
    "Event",
    "EventMarker",
    "FinalData",
    "Guard",
    "Meta",
    "Raise",
    "SeededRandom",
    "Started",
    "wire_name",
]


class EventMarker:
    """The marker base of every event; `Event` has it, a frozen dataclass inherits it."""

    __slots__ = ()
    wire_name: ClassVar[str]

    def trigger_key(self) -> Any:
        """What the chart's triggers are matched against: hashable; equal keys match equally."""
        return type(self)

    def trigger_label(self) -> str:
        """What refusals, errors and records call this event."""
        return wire_name(type(self))


class ContextMarker:
    """The marker base of every context; `Context` has it, a frozen dataclass inherits it."""

    __slots__ = ()


class EffectMarker:
    """The marker base of every effect; `Effect` has it, a frozen dataclass inherits it."""

    __slots__ = ()
    wire_name: ClassVar[str]


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class Event(EventMarker, msgspec.Struct, frozen=True):
    """Something that happened or was asked for; subclass it and declare the payload as fields."""


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class Context(ContextMarker, msgspec.Struct, frozen=True):
    """An entity's data: deeply immutable, changed by making a new one."""

    def replace(self, **changes: Any) -> Self:
        """A copy with these fields changed; an unknown field is a TypeError."""
        return _replace(self, **changes)


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class Effect(EffectMarker, msgspec.Struct, frozen=True):
    """Plain data that asks the outside world for something, done after commit, at least once."""


class Started(Event, frozen=True):
    """What entry handlers get when an entity starts: no caller's event led there."""


class Elapsed(Event, frozen=True):
    """A timer has run out; sent by whoever keeps the time."""

    timer: str
    """The timer's name as the Step that set it gave it, `expire@pending`."""

    def trigger_key(self) -> Any:
        """A timer's transitions are those of its name."""
        return Elapsed, self.timer

    def trigger_label(self) -> str:
        """`elapsed(timer)`."""
        return f"elapsed({self.timer})"


class Done(Event, frozen=True):
    """A composite has reached a final child, or every region of a parallel is final; made by the kernel."""

    state: str
    """The path of the composite or parallel state."""
    data: Any = None
    """What the final state's `data=` returned."""

    def trigger_key(self) -> Any:
        """A completion's transitions are those of its state."""
        return Done, self.state

    def trigger_label(self) -> str:
        """`done(state)`."""
        return f"done({self.state})"


class Raise(msgspec.Struct, frozen=True):
    """Yielded by an action: an internal event, handled within the same macrostep."""

    event: EventMarker


class SeededRandom:
    """One step's source of randomness, seeded by its record id so that a replay draws the same numbers."""

    __slots__ = ("_random", "_seed")

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._random: Random | None = None

    def get(self) -> Random:
        """The generator, made when first asked for; its state goes on through the step."""
        if self._random is None:
            from random import Random  # noqa: PLC0415, TID251 - seeded: equal record ids draw equal numbers

            self._random = Random(self._seed)
        return self._random


class Meta(msgspec.Struct, frozen=True):
    """What a step knows beside its event: time, ids and actor come in here, and only here."""

    now: datetime | None = None
    entity: str | None = None
    record_id: str | None = None
    actor: str | None = None
    active: Set[str] = frozenset()
    """Filled by the kernel: the paths of the states active at the moment the handler runs."""
    source: SeededRandom | None = None
    """Filled by the kernel; read it as `random`."""

    @property
    def random(self) -> Random:
        """A random source that draws the same numbers whenever this step is run again.

        Raises:
            LookupError: no record id was given, so nothing could be repeated.
        """
        if self.source is None:
            msg = "Meta.random needs a record id to be seeded by: send with meta=Meta(record_id=...)"
            raise LookupError(msg)
        return self.source.get()


C = TypeVar("C", bound=ContextMarker)
E = TypeVar("E", bound=EventMarker)

Guard = Callable[[C, E], bool] | Callable[[C, E, Meta], bool]
"""A pure predicate of context and event; a third parameter, if declared, receives Meta."""
Actions = Generator[EffectMarker | Raise, None, C]
"""What a generator action is annotated to return: it yields effects and Raise, and returns the context."""
Action = Callable[[C, E], C | Actions[C]] | Callable[[C, E, Meta], C | Actions[C]]
"""A pure function that returns the new context, or a generator that yields effects and returns it."""
FinalData = Callable[[C, E], object] | Callable[[C, E, Meta], object]
"""Gives a final state's done event its data."""
Delay = timedelta | Callable[[C], timedelta]
"""How long a timer runs: a fixed time, or a function of the context at the state's entry."""


def wire_name(kind: type[EventMarker] | type[EffectMarker]) -> str:
    """The name under which rows and documents know an event or effect class.

    It is inherited by nobody: a subclass is another event.
    """
    name = kind.__dict__.get("wire_name", kind.__name__)
    return str(name)
