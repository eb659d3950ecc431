"""The draft: what every way of declaring a chart is first written down as, with paths for references.

The class syntax, the table and the document each make a draft; `build` checks it and compiles it. So there
is one set of rules, and a chart is the same whichever way it came.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta

from stateward.chart.handlers import Handler
from stateward.chart.nodes import GuardErrorPolicy, InvokeNode, StateKind, Trigger
from stateward.chart.scope import NOWHERE, Scope
from stateward.chart.values import ContextMarker

__all__ = ["AlreadyDraft", "ChartDraft", "StateDraft", "TransitionDraft"]


@dataclass
class StateDraft:
    """A state as declared; `path` and `children` place it in the tree."""

    path: str
    kind: StateKind
    is_initial: bool = False
    """Marked as its parent's initial child; `initial` says the same from above."""
    initial: tuple[str, ...] = ()
    initial_actions: tuple[Handler, ...] = ()
    entry: tuple[Handler, ...] = ()
    exit: tuple[Handler, ...] = ()
    invokes: tuple[InvokeNode, ...] = ()
    data: Handler | None = None
    default: tuple[str, ...] = ()
    default_actions: tuple[Handler, ...] = ()
    sla: timedelta | None = None
    description: str = ""
    origin: str = ""
    children: list[StateDraft] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition(".")[2]

    @property
    def parent(self) -> str:
        """The path without its last part; empty at the top level."""
        return self.path.rpartition(".")[0]

    def walk(self) -> Iterator[StateDraft]:
        """This state and all below it, in document order."""
        yield self
        for child in self.children:
            yield from child.walk()


@dataclass
class TransitionDraft:
    """One arc from one source."""

    name: str
    source: str
    targets: tuple[str, ...]
    trigger: Trigger | None
    guard: Handler | None = None
    actions: tuple[Handler, ...] = ()
    internal: bool = False
    origin: str = ""


@dataclass
class AlreadyDraft:
    """The states in which an event has nothing left to do."""

    name: str
    trigger: Trigger
    states: tuple[str, ...]
    origin: str = ""


@dataclass
class ChartDraft:
    """A whole lifecycle as declared. The root state's path is empty."""

    kind: str
    version: int
    context_type: type[ContextMarker]
    root: StateDraft
    transitions: list[TransitionDraft]
    already: list[AlreadyDraft] = field(default_factory=list)
    description: str = ""
    origin: str = ""
    scope: Scope = NOWHERE
    """The names around the declaration, by which annotations written as text are resolved."""
    before: Handler | None = None
    guard_error: GuardErrorPolicy | None = None
