"""Events, effects, a context that keeps a log, and handlers that are plain data.

A handler here is a frozen dataclass with a `__call__`, so a chart prints as what its handlers do, and two
drafts with the same handlers are equal. Every action writes a line into the context's log: when two engines
end with equal contexts they have called the same handlers in the same order with the same event, the same
context and, where a handler looks, the same active states.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any
from zlib import crc32

from stateward.chart import Context, Effect, Event, EventMarker, Handler, Meta, Raise

ENTRIES_MAX = 200

__all__ = [
    "Act",
    "Ask",
    "Boom",
    "Data",
    "DelayOf",
    "Failed",
    "FailedGuard",
    "Log",
    "Note",
    "Stranger",
    "handler_of",
]


class A(Event):
    """The commonest event."""

    n: int = 0


class B(Event):
    """Another one."""

    n: int = 0


class C(Event):
    """A third."""

    n: int = 0


class D(A):
    """A subclass, which triggers what its base triggers."""


class Stranger(Event):
    """Stands in no chart, but for those that take every event."""


class Failed(Event):
    """What `guard_error` makes of a guard's exception."""

    problem: str
    during: str


class Note(Effect):
    """An effect that says who asked for it and when."""

    label: str
    at: int


class Log(Context):
    """The context of every chart here."""

    entries: tuple[str, ...] = ()
    count: int = 0
    """Goes up with some actions; guards ask for its remainder."""
    fuel: int = 0
    """Burnt by every action that raises an event or could loop, and never filled up: loops come to an end."""


class Boom(Exception):
    """What a broken handler raises."""


def shortened(entries: tuple[str, ...]) -> tuple[str, ...]:
    """The older part of a long log as a checksum, so that an endless loop ends before it is long."""
    if len(entries) < ENTRIES_MAX:
        return entries
    kept = ENTRIES_MAX // 2
    return (f"before: {crc32(repr(entries[:-kept]).encode()):x}", *entries[-kept:])


@dataclass(frozen=True)
class Act:
    """An action: logs, and whatever else its fields say."""

    label: str
    adds: int = 0
    burns: bool = False
    notes: int = 0
    raises: tuple[EventMarker, ...] = ()
    """Raised only while there is fuel; each burns one."""
    sees: bool = False
    """Logs the active states."""
    draws: bool = False
    """Logs a random number."""
    breaks: str = ""
    """`raise`, `none` or `junk`: what it does wrong when the count is a multiple of three."""

    @property
    def wants_meta(self) -> bool:
        """Whether it takes the third argument."""
        return self.sees or self.draws

    def __call__(self, context: Log, event: EventMarker, meta: Meta | None = None) -> Any:
        line = f"{self.label} on {event!r} at {context.count}/{context.fuel}"
        if self.sees and meta is not None:
            line += f" in {sorted(meta.active)} for {meta.entity}"
        if self.draws and meta is not None and meta.source is not None:
            line += f" drew {meta.random.randrange(1000)}"
        if self.breaks and context.count % 3 == 0:
            if self.breaks == "raise":
                raise Boom(self.label)
            if self.breaks == "none":
                return None
        after = context.replace(
            entries=(*shortened(context.entries), line),
            count=context.count + self.adds,
            fuel=max(0, context.fuel - self.burns),
        )
        return self._yield_from(after) if self.notes or self.raises or self.breaks == "junk" else after

    def _yield_from(self, context: Log) -> Generator[Any, None, Log]:
        for _ in range(self.notes):
            yield Note(self.label, len(context.entries))
        for event in self.raises:
            if context.fuel > 0:
                context = context.replace(fuel=context.fuel - 1)
                yield Raise(event)
                if self.notes:
                    yield Note(f"{self.label} has raised", context.fuel)
        if self.breaks == "junk" and context.count % 3 == 0:
            yield "junk"
        return context


@dataclass(frozen=True)
class Ask:
    """A guard."""

    kind: str
    a: int = 1
    b: int = 0
    subject: str | type[EventMarker] = ""
    fuelled: bool = False
    """False without fuel, whatever else it asks; with an action that burns, it ends every loop."""

    @property
    def wants_meta(self) -> bool:
        """Whether it takes the third argument."""
        return self.kind in ("active", "absent", "random")

    def __call__(self, context: Log, event: EventMarker, meta: Meta | None = None) -> bool:
        if self.fuelled and context.fuel <= 0:
            return False
        match self.kind:
            case "count":
                return context.count % self.a == self.b
            case "fuel":
                return context.fuel % self.a == self.b
            case "payload":
                return bool(getattr(event, "n", 0) >= self.a)
            case "event":
                return isinstance(self.subject, type) and isinstance(event, self.subject)
            case "active":
                return meta is not None and self.subject in meta.active
            case "absent":
                return meta is not None and self.subject not in meta.active
            case "random":
                return meta is None or meta.source is None or meta.random.random() < 0.5
            case "boom":
                if context.count % self.a == self.b:
                    raise Boom(f"guard at {context.count}")
                return True
            case _:
                return self.kind == "true"


@dataclass(frozen=True)
class Data:
    """A final state's data."""

    label: str
    wants_meta: bool = False

    def __call__(self, context: Log, event: EventMarker, meta: Meta | None = None) -> Any:
        return (self.label, len(context.entries), type(event).__name__, meta and tuple(sorted(meta.active)))


@dataclass(frozen=True)
class DelayOf:
    """A delay that the context decides at the state's entry."""

    seconds: int
    wants_meta = False

    def __call__(self, context: Log) -> timedelta:
        return timedelta(seconds=self.seconds, milliseconds=len(context.entries))


@dataclass(frozen=True)
class FailedGuard:
    """A chart's `guard_error`."""

    def __call__(self, error: Exception, event: EventMarker) -> EventMarker:
        return Failed(f"{type(error).__name__}: {error}", type(event).__name__)


def handler_of(call: Act | Ask | Data | DelayOf) -> Handler:
    """The handler that a chart takes; its name says all that it does."""
    default = type(call).__dataclass_fields__
    told = [
        f"{each.name}={getattr(call, each.name)!r}"
        for each in fields(call)
        if each.name != "label" and getattr(call, each.name) != default[each.name].default
    ]
    label = getattr(call, "label", type(call).__name__)
    return Handler(f"{label}({', '.join(told)})" if told else label, call, wants_meta=call.wants_meta)
