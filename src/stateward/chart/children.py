"""Children: a lifecycle that runs beside a state of another one, for as long as that state is active.

A declared child becomes two actions of its state, as any `InvokeNode` has them: one asks for the child's start, where
the macrostep that entered the state has come to rest, with a context made of the parent's; the other asks for its end.
They are effects like others, data in a Step; whoever runs the parent runs the child, and tells the parent of its end by
the state's Done event, which carries what the child's final state gives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from stateward.chart.handlers import Handler, handler
from stateward.chart.immutable import declare_immutable
from stateward.chart.nodes import Chart, InvokeNode
from stateward.chart.values import Actions, ContextMarker, Effect, EventMarker
from stateward.errors import DefinitionError

if TYPE_CHECKING:
    from stateward.chart.declaration import Lifecycle

__all__ = [
    "AnyChild",
    "Child",
    "StartChild",
    "StartsChild",
    "StopChild",
    "child_document",
    "child_of",
    "children_of",
    "invoke_of",
]

C = TypeVar("C", bound=ContextMarker)
K = TypeVar("K", bound=ContextMarker)
"""The child's context."""


class AnyChild:
    """A child of whatever contexts."""

    __slots__ = ()


class Child(AnyChild, Generic[C, K]):
    """What runs beside a state: `State(child=Child(PaymentLifecycle, payment_of))`.

    Args:
        lifecycle: the child's lifecycle class, or a chart.
        context: a pure function of the parent's context, which gives the child's first one.
    """

    __slots__ = ("context", "lifecycle")

    def __init__(self, lifecycle: type[Lifecycle[K]] | Chart[K], context: Callable[[C], K]) -> None:
        self.lifecycle = lifecycle
        self.context = context


@declare_immutable
class StartChild(Effect, frozen=True):
    """The child of a state is to be started."""

    state: str
    """The path of the state that it runs beside."""
    child: str
    """The wire name of its lifecycle."""
    context: ContextMarker


class StopChild(Effect, frozen=True):
    """The child of a state is to be stopped, if it still runs: its exit handlers run, and its end is told to nobody."""

    state: str


class StartsChild:
    """The action that asks for a child's start; equal to any other of the same chart, function and state."""

    def __init__(self, state: str, chart: Chart[Any], context: Handler) -> None:
        self.state = state
        self.chart = chart
        self.context = context
        self.__qualname__ = f"child of {state}"

    def __call__(self, context: ContextMarker, _: EventMarker) -> Actions[ContextMarker]:
        """The action."""
        given = self.context.call(context)
        if not isinstance(given, self.chart.context_type):
            message = f"{self.context.name} returned {given!r}; the child takes {self.chart.context_type.__name__}"
            raise TypeError(message)
        yield StartChild(self.state, self.chart.kind, given)
        return context

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StartsChild) and (self.state, self.chart, self.context) == (
            other.state,
            other.chart,
            other.context,
        )

    def __hash__(self) -> int:
        return hash((self.state, self.context))


class _StopsChild:
    """The action that asks for a child's end."""

    def __init__(self, state: str) -> None:
        self.state = state
        self.__qualname__ = f"end of the child of {state}"

    def __call__(self, context: ContextMarker, _: EventMarker) -> Actions[ContextMarker]:
        """The action."""
        yield StopChild(self.state)
        return context

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _StopsChild) and self.state == other.state

    def __hash__(self) -> int:
        return hash((_StopsChild, self.state))


def invoke_of(state: str, child: Any) -> InvokeNode:
    """A declared child as the two actions of its state.

    Raises:
        DefinitionError: it is no child, or its lifecycle or its function is none.
    """
    if not issubclass(type(child), Child):
        problem = f"has the child {child!r}: say child=Child(PaymentLifecycle, payment_of)"
        raise DefinitionError(problem)
    declared: type[Lifecycle[Any]] | Chart[Any] = child.lifecycle
    chart: Chart[Any] | None = declared if isinstance(declared, Chart) else getattr(declared, "__chart__", None)
    if chart is None:
        problem = f"has a child of {getattr(declared, '__name__', declared)!s}, which is no lifecycle"
        raise DefinitionError(problem)
    starts = StartsChild(state, chart, handler(child.context, "child"))
    stops = _StopsChild(state)
    return InvokeNode(Handler(starts.__qualname__, starts), Handler(stops.__qualname__, stops))


def child_of(invoke: InvokeNode) -> StartsChild | None:
    """The declared child that an invoke starts; None for what starts something else."""
    call: object = invoke.start.call
    return call if isinstance(call, StartsChild) else None


def children_of(chart: Chart[Any]) -> dict[str, StartsChild]:
    """The children that a chart declares, by the paths of their states."""
    found = (child_of(invoke) for state in chart.states for invoke in state.invokes)
    return {each.state: each for each in found if each is not None}


def child_document(invoke: InvokeNode) -> dict[str, Any] | None:
    """What a chart's document says of a child; it covers, by its digest, all that the child does."""
    child = child_of(invoke)
    if child is None:
        return None
    chart = child.chart
    return {"kind": chart.kind, "version": chart.version, "digest": chart.digest, "context": child.context.name}
