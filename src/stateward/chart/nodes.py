"""The chart: a lifecycle compiled to immutable nodes in document order.

A node's index is its place in document order, so comparing indices compares document order, and a set of
states is an int with a bit per index. Index 0 is the root, which holds the top-level states, is entered by
nothing and is never part of a configuration.

Everything that says where an event leads is in these nodes; how to read them is the kernel's business.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import cached_property
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from stateward.chart.handlers import Handler
from stateward.chart.values import ContextMarker, Done, Elapsed, EventMarker, wire_name

__all__ = [
    "AlreadyNode",
    "Chart",
    "DoneTrigger",
    "Driver",
    "EventTrigger",
    "GuardErrorPolicy",
    "InvokeNode",
    "StateKind",
    "StateNode",
    "TimerTrigger",
    "TransitionNode",
    "Trigger",
]

C = TypeVar("C", bound=ContextMarker)
C2 = TypeVar("C2", bound=ContextMarker)
"""That of a chart being made, whatever the class it is made by stands for."""


class StateKind(enum.Enum):
    """What a state is; the two kinds of history are pseudo-states, never part of a configuration."""

    ATOMIC = "atomic"
    COMPOSITE = "composite"
    PARALLEL = "parallel"
    FINAL = "final"
    SHALLOW_HISTORY = "shallow_history"
    DEEP_HISTORY = "deep_history"

    @property
    def is_history(self) -> bool:
        """Whether it is one of the two history pseudo-states."""
        return self in (StateKind.SHALLOW_HISTORY, StateKind.DEEP_HISTORY)


class Trigger:
    """What a transition waits for. The kernel asks `matches` only while it fills its tables."""

    __slots__ = ()

    def matches(self, key: Any) -> bool:
        """Whether events of this key (`EventMarker.trigger_key`) trigger the transition."""
        raise NotImplementedError

    @property
    def label(self) -> str:
        """A short text for drawings and messages."""
        raise NotImplementedError

    @property
    def event_class(self) -> type[EventMarker]:
        """The class of the events that a handler of such a transition gets."""
        raise NotImplementedError


class EventTrigger(Trigger, msgspec.Struct, frozen=True):
    """An event class; its subclasses trigger too, so `on(Event, ...)` takes every event a caller sends."""

    event: type[EventMarker]

    def matches(self, key: Any) -> bool:
        """A key that is this class or a subclass of it."""
        return isinstance(key, type) and issubclass(key, self.event)

    @property
    def label(self) -> str:
        """The event's wire name."""
        return wire_name(self.event)

    @property
    def event_class(self) -> type[EventMarker]:
        """The event class itself."""
        return self.event


class DoneTrigger(Trigger, msgspec.Struct, frozen=True):
    """The completion of a composite or parallel state."""

    state: str

    def matches(self, key: Any) -> bool:
        """The Done event of this state."""
        return bool(key == (Done, self.state))

    @property
    def label(self) -> str:
        """`done(state)`."""
        return f"done({self.state})"

    @property
    def event_class(self) -> type[EventMarker]:
        """`Done`."""
        return Done


class TimerTrigger(Trigger, msgspec.Struct, frozen=True):
    """A timer that is set when its source state is entered and cancelled when it is left."""

    timer: str
    """`<name>@<source path>`, unique in the chart."""
    delay: timedelta | Handler

    def matches(self, key: Any) -> bool:
        """The Elapsed event of this timer."""
        return bool(key == (Elapsed, self.timer))

    @property
    def label(self) -> str:
        """`after(delay)`."""
        return f"after({self.delay.name if isinstance(self.delay, Handler) else self.delay})"

    @property
    def event_class(self) -> type[EventMarker]:
        """`Elapsed`."""
        return Elapsed


class InvokeNode(msgspec.Struct, frozen=True, eq=False):
    """What runs beside a state for as long as it is active, as two actions that ask for it and for its end."""

    start: Handler
    """Runs where the macrostep that entered the state comes to rest, if it is still active by then."""
    stop: Handler
    """Runs after the state's exit actions, if `start` has run since it was entered."""


class StateNode(msgspec.Struct, frozen=True, eq=False):
    """A state in its place; every reference to another state is an index."""

    index: int
    path: str
    name: str
    kind: StateKind
    parent: int | None
    children: tuple[int, ...] = ()
    initial: tuple[int, ...] = ()
    """A composite's default entry: one child, or several deep descendants in different regions."""
    initial_actions: tuple[Handler, ...] = ()
    entry: tuple[Handler, ...] = ()
    exit: tuple[Handler, ...] = ()
    invokes: tuple[InvokeNode, ...] = ()
    data: Handler | None = None
    default: tuple[int, ...] = ()
    """Where a history leads that remembers nothing yet."""
    default_actions: tuple[Handler, ...] = ()
    sla: timedelta | None = None
    description: str = ""
    origin: str = ""


class TransitionNode(msgspec.Struct, frozen=True, eq=False):
    """One arc from one source; `on()` with two sources makes two."""

    index: int
    """Its place among all transitions, in order of declaration."""
    id: str
    """`<name>:<source path>`, with `#2` and so on behind it for further arcs of the same source."""
    name: str
    source: int
    targets: tuple[int, ...]
    trigger: Trigger | None
    """None: eventless."""
    guard: Handler | None = None
    actions: tuple[Handler, ...] = ()
    internal: bool = False
    origin: str = ""


class AlreadyNode(msgspec.Struct, frozen=True, eq=False):
    """States in which an event has nothing left to do."""

    trigger: Trigger
    states: tuple[int, ...]


GuardErrorPolicy = Callable[[Exception, EventMarker], EventMarker]
"""Turns a guard's exception into an internal event; the guard counts as false."""


class Driver(Protocol):
    """Runs a chart that has more to a step than one macrostep, on the macrosteps of the kernel; pure as they are."""

    name: str
    """What documents and digests call it."""

    def start(self, chart: Any, context: Any, meta: Any) -> Any:
        """`kernel.start` of such a chart."""
        ...

    def advance(self, snapshot: Any, event: Any, meta: Any) -> Any:
        """`kernel.advance` of such a chart."""
        ...


class Chart(Generic[C]):
    """A lifecycle compiled: immutable, versioned, with a digest. Charts of equal digest are equal.

    Made by declaring a `Lifecycle`, by `Chart.from_table`, or by `Chart.from_document`.
    """

    def __init__(
        self,
        *,
        kind: str,
        version: int,
        context_type: type[C],
        states: tuple[StateNode, ...],
        transitions: tuple[TransitionNode, ...],
        already: tuple[AlreadyNode, ...] = (),
        events: Mapping[str, type[EventMarker]],
        description: str = "",
        before: Handler | None = None,
        guard_error: GuardErrorPolicy | None = None,
        driver: Driver | None = None,
    ) -> None:
        self.kind = kind
        """The wire name of the lifecycle, `Order`."""
        self.version = version
        self.context_type = context_type
        self.states = states
        """All states in document order, the root first."""
        self.transitions = transitions
        """All transitions in order of declaration."""
        self.already = already
        self.events = dict(events)
        """The event classes that transitions name, by wire name."""
        self.description = description
        self.before = before
        """An action that runs on each event, internal ones included, before transitions are selected."""
        self.guard_error = guard_error
        """What a raising guard leads to; None: the step fails."""
        self.driver = driver
        """What runs its macrosteps; None: each event is one."""
        self.kept: Callable[[Chart[Any]], Chart[Any]] | None = None
        """What makes the chart that a ledger keeps of this one; None: it is kept as it is."""
        self.lifecycle: type | None = None
        """The declaring class, if there is one."""
        self.declared: dict[int, str] = {}
        """The paths of the declaring class's states, by the identity of their declaration."""
        self.tables: Any = None
        """The kernel's, filled by it the first time it steps this chart."""
        self.invokes = any(state.invokes for state in states)
        """Whether something runs beside any of its states, so that whoever runs the chart has to run that too."""
        self._by_path = {state.path: state for state in states}

    def state(self, path: str) -> StateNode:
        """The state of that dotted path.

        Raises:
            KeyError: the chart has no such state.
        """
        try:
            return self._by_path[path]
        except KeyError:
            known = ", ".join(sorted(path for path in self._by_path if path))
            msg = f"{self.kind} version {self.version} has no state {path!r}; it has {known}"
            raise KeyError(msg) from None

    def path_of(self, declaration: object) -> str:
        """The path of a state given as its lifecycle's attribute, `OrderLifecycle.paid`.

        Raises:
            KeyError: it is no state of the declaring class.
        """
        path = self.declared.get(id(declaration))
        if path is None:
            msg = f"{declaration!r} is no state of {self.kind} version {self.version}"
            raise KeyError(msg)
        return path

    def has_state(self, path: str) -> bool:
        """Whether the chart has a state of that dotted path."""
        return bool(path) and path in self._by_path

    @cached_property
    def digest(self) -> str:
        """SHA-256 over structure, ids, order, timers, field types and handler names, in hex."""
        from stateward.chart.document import digest_of  # noqa: PLC0415 - the document is made from nodes

        return digest_of(self)

    def to_document(self) -> dict[str, Any]:
        """The chart as plain JSON data; `from_document` reads it back to the same digest."""
        from stateward.chart.document import to_document  # noqa: PLC0415 - the document is made from nodes

        return to_document(self)

    @property
    def handlers(self) -> dict[str, Callable[..., Any]]:
        """Every handler by its name: the registry that `from_document` asks for."""
        from stateward.chart.document import handlers_of  # noqa: PLC0415 - the document is made from nodes

        return {name: each.call for name, each in handlers_of(self).items()}

    @staticmethod
    def from_document(
        document: Mapping[str, Any],
        *,
        context: type[C2],
        events: Mapping[str, type[EventMarker]] | None = None,
        handlers: Mapping[str, Callable[..., Any]] | None = None,
    ) -> Chart[C2]:
        """A chart from its JSON document.

        Args:
            document: what `to_document` gave, or the same written by hand.
            context: the context class.
            events: the event classes by wire name.
            handlers: the functions by the names that the document uses; nothing is ever imported by name.

        Raises:
            DefinitionError: the document is no valid chart, or names what the registries lack.
        """
        from stateward.chart.document import from_document  # noqa: PLC0415 - the document is made from nodes

        return from_document(document, context=context, events=events or {}, handlers=handlers or {})

    @staticmethod
    def from_table(
        rows: Any,
        *,
        kind: str,
        context: type[C2],
        initial: str,
        final: tuple[str, ...] = (),
        version: int = 1,
    ) -> Chart[C2]:
        """A flat or dotted chart from rows of (source, event, target[, guard[, action]]).

        Args:
            rows: the transitions in order; a source or target is a state's dotted path, an event an Event
                class or None for an eventless transition, a target None to stay.
            kind: the wire name of the lifecycle.
            context: the context class.
            initial: the path of the initial state; composites start in the child that stands first.
            final: the paths of the final states.
            version: the version of the lifecycle.

        Raises:
            DefinitionError: the table is no valid chart.
        """
        from stateward.chart.table import from_table  # noqa: PLC0415 - the builder is made from nodes

        return from_table(rows, kind=kind, context=context, initial=initial, final=final, version=version)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Chart):
            return NotImplemented
        return self is other or self.digest == other.digest

    def __hash__(self) -> int:
        return hash((self.kind, self.version))

    def __repr__(self) -> str:
        return f"<Chart {self.kind} version {self.version}: {len(self.states) - 1} states>"

    def __reduce__(self) -> tuple[Any, ...]:
        if self.lifecycle is not None:
            return _chart_of, (self.lifecycle,)
        return object.__new__, (Chart,), {**self.__dict__, "tables": None}


def _chart_of(lifecycle: Any) -> Chart[Any]:
    chart: Chart[Any] = lifecycle.__chart__
    return chart
