"""The class syntax: the body of a Lifecycle is its diagram.

While a class body runs, `State(...)`, `on(...)` and their kin only write down what they were given and on
which line. When the class is complete its whole tree is known; then references become paths, the draft is
checked, and the chart is built (`assemble.py`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Generic, TypeVar, overload

from stateward.chart.body import ArcMark, Body, StateMark, TransitionMark, origin, refusal
from stateward.chart.children import AnyChild
from stateward.chart.nodes import Chart
from stateward.chart.scope import Scope
from stateward.chart.values import (
    Action,
    Actions,
    ContextMarker,
    Delay,
    Done,
    Elapsed,
    Event,
    EventMarker,
    FinalData,
    Guard,
    Meta,
)
from stateward.errors import DefinitionError

__all__ = [
    "AnyArc",
    "Arc",
    "Composite",
    "Final",
    "FreeArc",
    "History",
    "Lifecycle",
    "Nested",
    "Parallel",
    "State",
    "States",
    "Target",
    "Transition",
    "after",
    "always",
    "chart_of",
    "done",
    "nested",
    "on",
]

__declares__ = True

C = TypeVar("C", bound=ContextMarker)
E = TypeVar("E", bound=EventMarker)
E_contra = TypeVar("E_contra", bound=EventMarker, contravariant=True)
T = TypeVar("T", bound=type)

StateHandler = (
    Callable[[Any, Event], ContextMarker | Actions[ContextMarker]]
    | Callable[[Any, Event, Meta], ContextMarker | Actions[ContextMarker]]
)
"""An entry or exit handler: whatever event led there, it takes it."""
StateHandlers = StateHandler | tuple[StateHandler, ...]


class AnyArc(ArcMark):
    """From one or more sources to targets, as written down."""

    __slots__ = ("do", "internal", "origin", "sources", "targets", "when")

    def __init__(
        self,
        sources: tuple[Target, ...],
        targets: tuple[Target, ...],
        when: Callable[..., Any] | None,
        do: Callable[..., Any] | None,
        *,
        internal: bool,
    ) -> None:
        self.sources = sources
        self.targets = targets
        self.when = when
        self.do = do
        self.internal = internal
        self.origin = origin()

    def __repr__(self) -> str:
        return "an arc"


class FreeArc(AnyArc):
    """An arc without handlers of its own; fits any event and context."""

    __slots__ = ()


class Arc(AnyArc, Generic[C, E_contra]):
    """An arc with a guard or an action, which fits their context and event only; a type for checkers.

    It is no FreeArc, for that would let it pass for one, whatever its handlers take.
    """

    __slots__ = ()


class _Source:
    """What can stand before `.to(...)`: a state, or several joined by `|`."""

    def _members(self) -> tuple[Target, ...]:
        raise NotImplementedError

    @overload
    def to(self, target: Target, /, *targets: Target, internal: bool = False) -> FreeArc: ...
    @overload
    def to(
        self,
        target: Target,
        /,
        *targets: Target,
        when: Guard[C, E],
        do: Action[C, E] | None = None,
        internal: bool = False,
    ) -> Arc[C, E]: ...
    @overload
    def to(self, target: Target, /, *targets: Target, do: Action[C, E], internal: bool = False) -> Arc[C, E]: ...
    def to(
        self,
        *targets: Target,
        when: Guard[Any, Any] | None = None,
        do: Action[Any, Any] | None = None,
        internal: bool = False,
    ) -> Any:
        """An arc to a target, or to several in different regions of a parallel.

        Args:
            targets: the states that are entered; a composite's default child follows by itself.
            when: the guard of this arc.
            do: the action of this arc.
            internal: don't leave the composite source, whose descendants the targets are.
        """
        return _arc(self, targets, when, do, internal=internal)

    @overload
    def stay(self) -> FreeArc: ...
    @overload
    def stay(self, *, when: Guard[C, E], do: Action[C, E] | None = None) -> Arc[C, E]: ...
    @overload
    def stay(self, *, do: Action[C, E]) -> Arc[C, E]: ...
    def stay(self, *, when: Guard[Any, Any] | None = None, do: Action[Any, Any] | None = None) -> Any:
        """A targetless arc: its action runs, nothing is left or entered."""
        return FreeArc(self._members(), (), when, do, internal=False)

    def __or__(self, other: State | States | Nested) -> States:
        return _join(self, other)


class States(_Source):
    """Several states, as sources or in `already=`."""

    __slots__ = ("members",)

    def __init__(self, members: tuple[Target, ...]) -> None:
        self.members = members

    def _members(self) -> tuple[Target, ...]:
        return self.members


class State(_Source, StateMark):
    """An atomic state.

    Args:
        initial: its parent starts in it.
        entry: one action or a tuple of them, run when it is entered.
        exit: one action or a tuple of them, run when it is left.
        child: a lifecycle that runs beside it for as long as it is active; its end is `done(...)`.
        sla: how long an entity may stay before it counts as stuck.
        name: its name, where the attribute's can't be used.
        description: one line for drawings and catalogues.
    """

    def __init__(
        self,
        *,
        initial: bool = False,
        entry: StateHandlers = (),
        exit: StateHandlers = (),  # noqa: A002 - the field's word
        child: AnyChild | None = None,
        sla: timedelta | None = None,
        name: str | None = None,
        description: str = "",
    ) -> None:
        self.initial = initial
        self.entry = entry
        self.exit = exit
        self.child = child
        self.sla = sla
        self.name = name
        self.description = description
        self.attribute = ""
        """The name of the attribute, once its class is complete."""
        self.origin = origin()

    def _members(self) -> tuple[Target, ...]:
        return (self,)

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = self.name or name
        self.attribute = name

    def __repr__(self) -> str:
        return self.name or f"a {type(self).__name__} that no body names"


class Final(State):
    """A final state: its parent is done, or at the top level the whole lifecycle is finished.

    Args:
        data: gives the parent's done event its data.
        entry: as for `State`.
        name: as for `State`.
        description: as for `State`.
    """

    def __init__(
        self,
        *,
        data: FinalData[Any, Event] | None = None,
        initial: bool = False,
        entry: StateHandlers = (),
        exit: StateHandlers = (),  # noqa: A002 - the field's word
        name: str | None = None,
        description: str = "",
    ) -> None:
        super().__init__(initial=initial, entry=entry, exit=exit, name=name, description=description)
        self.data = data


class History:
    """A composite's or parallel's memory, as a target; made by `.history(...)`."""

    __slots__ = ("deep", "default", "of", "origin")

    def __init__(self, of: Nested, *, deep: bool, default: State | Nested | None) -> None:
        self.of = of
        self.deep = deep
        self.default = default
        self.origin = origin()


class Transition(TransitionMark):
    """What `on`, `always`, `done` and `after` write down; its attribute's name is its name."""

    __slots__ = ("already", "arcs", "delay", "do", "event", "name", "origin", "waits_for", "when")

    def __init__(
        self,
        waits_for: str,
        arcs: tuple[AnyArc, ...],
        *,
        event: type[EventMarker] | None = None,
        delay: Delay[Any] | None = None,
        when: Callable[..., Any] | None = None,
        do: Callable[..., Any] | None = None,
        already: State | States | Nested | None = None,
        name: str | None = None,
    ) -> None:
        self.waits_for = waits_for
        """`event`, `nothing`, `done` or `time`."""
        self.arcs = arcs
        self.event = event
        self.delay = delay
        self.when = when
        self.do = do
        self.already = already
        self.name = name
        self.origin = origin()

    def __repr__(self) -> str:
        return "a transition"


def on(
    event: type[E],
    *arcs: FreeArc | Arc[C, E],
    when: Guard[C, E] | None = None,
    do: Action[C, E] | None = None,
    already: State | States | Nested | None = None,
    name: str | None = None,
) -> Transition:
    """An event and where it leads; arcs of one source are tried in order.

    Args:
        event: the event class; its subclasses trigger too.
        arcs: from where to where.
        when: a guard for all arcs, which then have none of their own.
        do: an action for all arcs, which then have none of their own.
        already: states in which the event has nothing left to do: a step without change, no refusal.
        name: the transition's name, where the attribute's can't be used.
    """
    return Transition("event", arcs, event=event, when=when, do=do, already=already, name=name)


def always(
    *arcs: FreeArc | Arc[C, Event],
    when: Guard[C, Event] | None = None,
    do: Action[C, Event] | None = None,
    name: str | None = None,
) -> Transition:
    """Eventless arcs: taken as soon as their source is active and their guard holds."""
    return Transition("nothing", arcs, when=when, do=do, name=name)


def done(
    *arcs: FreeArc | Arc[C, Done],
    when: Guard[C, Done] | None = None,
    do: Action[C, Done] | None = None,
    name: str | None = None,
) -> Transition:
    """Arcs taken when their source is done: a final child reached, or all regions of a parallel final."""
    return Transition("done", arcs, when=when, do=do, name=name)


def after(
    delay: Delay[C],
    *arcs: FreeArc | Arc[C, Elapsed],
    when: Guard[C, Elapsed] | None = None,
    do: Action[C, Elapsed] | None = None,
    name: str | None = None,
) -> Transition:
    """Arcs taken when their source has been active for `delay`; leaving it cancels the timer."""
    return Transition("time", arcs, delay=delay, when=when, do=do, name=name)


_RESERVED_NESTED = ("to", "stay", "history", "options", "origin")
"""What would hide, as a name in a nested body, what every nested class has."""


class Nested(type, StateMark):
    """The class of Composite and Parallel classes: gives them what a State's instances have."""

    options: dict[str, Any]
    origin: str

    @classmethod
    def __prepare__(mcs, name: str, bases: tuple[type, ...], /, **_: Any) -> Body:
        return Body(name, bases, reserved=_RESERVED_NESTED)

    def __new__(mcs, name: str, bases: tuple[type, ...], body: dict[str, Any], **options: Any) -> Nested:
        """Keep the line; the namespace has watched the names."""
        made = super().__new__(mcs, name, bases, dict(body), **options)
        made.origin = origin()
        return made

    @overload
    def to(cls, target: Target, /, *targets: Target, internal: bool = False) -> FreeArc: ...
    @overload
    def to(
        cls,
        target: Target,
        /,
        *targets: Target,
        when: Guard[C, E],
        do: Action[C, E] | None = None,
        internal: bool = False,
    ) -> Arc[C, E]: ...
    @overload
    def to(cls, target: Target, /, *targets: Target, do: Action[C, E], internal: bool = False) -> Arc[C, E]: ...
    def to(
        cls,
        *targets: Target,
        when: Guard[Any, Any] | None = None,
        do: Action[Any, Any] | None = None,
        internal: bool = False,
    ) -> Any:
        """As `State.to`."""
        return _arc(cls, targets, when, do, internal=internal)

    @overload
    def stay(cls) -> FreeArc: ...
    @overload
    def stay(cls, *, when: Guard[C, E], do: Action[C, E] | None = None) -> Arc[C, E]: ...
    @overload
    def stay(cls, *, do: Action[C, E]) -> Arc[C, E]: ...
    def stay(cls, *, when: Guard[Any, Any] | None = None, do: Action[Any, Any] | None = None) -> Any:
        """As `State.stay`."""
        return FreeArc((cls,), (), when, do, internal=False)

    def history(cls, *, deep: bool = False, default: State | Nested | None = None) -> History:
        """Where this state was when it was last left.

        Args:
            deep: down to the atomic states; otherwise to its child, which then starts by default.
            default: where it leads before anything is remembered; the state's own start if not given.
        """
        return History(cls, deep=deep, default=default)

    def __or__(cls, other: State | States | Nested) -> States:  # type: ignore[override]
        return _join(cls, other)


class Composite(metaclass=Nested):
    """A state with states of its own, one of which is active: declare it as a nested class."""

    options: dict[str, Any] = {}  # noqa: RUF012 - replaced by @nested, never changed


class Parallel(metaclass=Nested):
    """A state whose children, its regions, are all active at once: declare it as a nested class."""

    options: dict[str, Any] = {}  # noqa: RUF012 - replaced by @nested, never changed


Target = State | Nested | History


def nested(
    *,
    initial: bool = False,
    entry: StateHandlers = (),
    exit: StateHandlers = (),  # noqa: A002 - the field's word
    sla: timedelta | None = None,
    name: str | None = None,
    description: str = "",
) -> Callable[[T], T]:
    """Give a Composite or Parallel what a State takes as arguments; a decorator, so that checkers see it."""
    given = {
        "initial": initial,
        "entry": entry,
        "exit": exit,
        "sla": sla,
        "name": name,
        "description": description,
    }
    place = origin()

    def decorate(cls: T) -> T:
        if not isinstance(cls, Nested):
            raise refusal("is marked @nested, but neither Composite nor Parallel", cls)
        cls.origin = place
        # What an extended class was given holds on where nothing else is said.
        cls.options = {**cls.options, **{key: value for key, value in given.items() if value not in _NOTHING}}
        return cls

    return decorate


_NOTHING = (False, (), None, "")


def _arc(
    source: _Source | Nested,
    targets: tuple[Target, ...],
    when: Callable[..., Any] | None,
    do: Callable[..., Any] | None,
    *,
    internal: bool,
) -> FreeArc:
    if not targets:
        raise refusal("has an arc to() without a target: a transition that leads nowhere is stay()", source)
    return FreeArc(members_of(source), targets, when, do, internal=internal)


def _join(one: _Source | Nested, other: object) -> States:
    members = members_of(other)
    if not members:
        raise refusal(f"is joined by | with {other!r}, which is no state", one)
    return States((*members_of(one), *members))


def members_of(states: object) -> tuple[Target, ...]:
    """The states behind what may stand for several; none, if it stands for no state."""
    if isinstance(states, Nested):
        return (states,)
    return states._members() if isinstance(states, _Source) else ()  # pyright: ignore[reportPrivateUsage]


class _LifecycleType(type):
    """Watches the names of a lifecycle's body, and builds its chart when the body is complete."""

    @classmethod
    def __prepare__(mcs, class_name: str, bases: tuple[type, ...], /, *, name: str | None = None, **_: Any) -> Body:
        return Body(class_name, bases, reserved=("version",), kind=_kind(class_name, name))

    __kind__: str
    __chart__: Chart[Any] | None

    def __new__(
        mcs, class_name: str, bases: tuple[type, ...], body: dict[str, Any], *, name: str | None = None
    ) -> _LifecycleType:
        # In the body, so that __init_subclass__ of a base finds the kind.
        known = {"__kind__": _kind(class_name, name), "__chart__": None}
        return super().__new__(mcs, class_name, bases, {**body, **known})

    def __init__(
        cls,
        class_name: str,
        bases: tuple[type, ...],
        body: dict[str, Any],
        *,
        name: str | None = None,  # noqa: ARG002 - taken by __new__
    ) -> None:
        super().__init__(class_name, bases, body)
        if any(isinstance(base, _LifecycleType) for base in bases):
            from stateward.chart.assemble import assemble  # noqa: PLC0415 - assembles what is declared here

            frame = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]
            cls.__chart__ = assemble(cls, scope=Scope.of(frame), origin=origin())


def _kind(class_name: str, name: str | None) -> str:
    return name or class_name.removesuffix("Lifecycle") or class_name


class Lifecycle(Generic[C], metaclass=_LifecycleType):
    """The states of an entity, its events and its transitions; subclass it and declare them in the body.

    Its chart is `chart_of(OrderLifecycle)`. A subclass of a lifecycle extends it: what is inherited comes
    first, and what it declares under the same path replaces the inherited state.
    """

    version = 1


def chart_of(lifecycle: type[Lifecycle[C]]) -> Chart[C]:
    """The chart that a lifecycle class declares.

    Raises:
        DefinitionError: it is a base for others: it declares no states, or is generic in its context.
    """
    chart: Chart[C] | None = getattr(lifecycle, "__chart__", None)
    if chart is None:
        message = "has no chart: it declares no states, or its context is still open; it is a base for others"
        raise DefinitionError(message, lifecycle=getattr(lifecycle, "__name__", repr(lifecycle)))
    return chart
