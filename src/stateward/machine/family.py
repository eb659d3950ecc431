"""A machine whose states run children: lifecycles beside a state, for as long as it is active.

The kernel's steps say which children are to be started and stopped, as effects; this machine does it. A child is a
machine of the same kind, and takes events as any other. When it has finished, its parent is given the Done event of the
state, with the data of the child's final state; when the state is left before, the child is stopped: its exit handlers
run, and it takes no more events.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Generic, Self, TypeVar

import msgspec

from stateward.chart import Chart, ContextMarker, Done, EventMarker, Lifecycle, Meta, StartChild, State, StopChild
from stateward.chart.children import children_of
from stateward.chart.values import Started
from stateward.errors import EndlessLoop, Refusal, Refused, SnapshotInvalid
from stateward.kernel import Snapshot, Step, advance
from stateward.kernel.step import NO_META, leave
from stateward.machine.single import Listener, MachineBase

__all__ = ["FamilyMachine", "FamilySnapshot"]

C = TypeVar("C", bound=ContextMarker)

ENDS_LIMIT = 1000
"""Ends of children that follow from one event, after which they count as endless."""


class FamilySnapshot(msgspec.Struct, Generic[C], frozen=True):
    """A machine with its children, as one immutable value."""

    snapshot: Snapshot[C]
    children: dict[str, FamilySnapshot[Any]]
    """Those that run, by the paths of their states, and those whose end their parent has not taken in."""
    data: Any = None
    """What its final state gave, once it has finished."""


class FamilyMachine(MachineBase[C]):
    """A machine for a single owner, as `Machine` is, that runs the children of its states."""

    runs_children = True
    __slots__ = ("_children", "_data", "_ended", "_is_busy", "_is_stopped", "_parent", "_place")

    def __init__(
        self,
        lifecycle: type[Lifecycle[C]] | Chart[C],
        context: C,
        *,
        meta: Meta = NO_META,
        listeners: Iterable[Listener[C]] = (),
    ) -> None:
        self._prepare()
        super().__init__(lifecycle, context, meta=meta, listeners=listeners)
        self._is_busy = True
        try:
            self._hold(self.started, meta)
            self._settle(meta)
        finally:
            self._is_busy = False

    def _prepare(self) -> None:
        self._is_busy = self._is_stopped = False
        self._children: dict[str, FamilyMachine[Any]] = {}
        self._ended: deque[FamilyMachine[Any]] = deque()
        """Children whose end this machine has not been told of yet."""
        self._parent: FamilyMachine[Any] | None = None
        self._place = ""
        self._data: Any = None
        """What its final state gave, once it has finished."""

    @property
    def children(self) -> Mapping[str, FamilyMachine[Any]]:
        """The children that run, by the paths of their states."""
        return MappingProxyType(self._children)

    @property
    def is_stopped(self) -> bool:
        """Whether it was a child, and its state was left before it had finished."""
        return self._is_stopped

    def child(self, state: State | str) -> FamilyMachine[Any]:
        """The child that runs beside a state, given as the lifecycle's attribute or by its path.

        Raises:
            KeyError: none does.
        """
        path = state if isinstance(state, str) else self.chart.path_of(state)
        if path not in self._children:
            message = f"no child of {self!r} runs beside {path}"
            raise KeyError(message)
        return self._children[path]

    def send(self, event: EventMarker, meta: Meta = NO_META) -> Step[C]:
        """Apply an event, and what follows from it in children and, if it ends, in its parent.

        Raises:
            Refused: the event does not apply; nothing has changed.
            ActionFailed: a guard or an action raised. If it was this event's, nothing has changed; if it was one of
                the parent, which was told of the end, that is told again when either of them is sent something.
            EndlessLoop: children end, and are started again, without coming to rest.
            MachineBusy: sent from inside a guard, an action or a listener of this machine.
        """
        answer = self.attempt(event, meta)
        if isinstance(answer, Refusal):
            raise Refused(answer)
        return answer

    def attempt(self, event: EventMarker, meta: Meta = NO_META) -> Step[C] | Refusal:
        """Apply an event, or say why not by value; raises as `send` does, but for `Refused`."""
        if self._is_busy:
            raise self._busy(event)
        try:
            self._is_busy = True
            self._settle(meta)
            answer = self._apply(event, meta)
            self._settle(meta)
        finally:
            self._is_busy = False
        self._tell_parent(meta)
        return answer

    # Families as values.

    def family(self) -> FamilySnapshot[C]:
        """It and its children as one value; `restore_family` goes on from it."""
        children = {path: child.family() for path, child in self._children.items()}
        return FamilySnapshot(self._snapshot, children, self._data)

    @classmethod
    def restore_family(
        cls,
        lifecycle: type[Lifecycle[C]] | Chart[C],
        family: FamilySnapshot[C],
        *,
        listeners: Iterable[Listener[C]] = (),
    ) -> Self:
        """A machine and its children that go on from a value; no entry handler runs again.

        Raises:
            SnapshotInvalid: a snapshot belongs to another chart, or a child to a state that has none or is not active.
        """
        machine = cls.restore(lifecycle, family.snapshot, listeners=listeners)
        machine._data = family.data
        declared = children_of(machine.chart)
        for path, each in family.children.items():
            if path not in declared or not machine.is_in(path):
                problem = f"a child is kept for {path}, beside which none runs"
                raise SnapshotInvalid(problem, lifecycle=machine.chart.kind, state=machine.state)
            child = cls.restore_family(declared[path].chart, each)
            child._parent, child._place = machine, path
            machine._children[path] = child
            if child.is_finished:  # its parent failed on its end, and is told again
                machine._ended.append(child)
        return machine

    # What follows from a step.

    def _apply(self, event: EventMarker, meta: Meta) -> Step[C] | Refusal:
        if self._is_stopped:
            return Refusal("finished", self.chart.kind, self.state, event.trigger_label())
        answer = advance(self._snapshot, event, meta)
        if isinstance(answer, Step):
            self._hold(answer, meta)
        return answer

    def _hold(self, step: Step[C], meta: Meta) -> None:
        """Let a step hold, and what it asks for of children; all of that is worked out before anything changes."""
        asked = self._worked_out(step, meta)
        self._snapshot = step.snapshot
        if self.is_finished:
            self._data = step.data
        if self._listeners:
            self._tell(step)
        for path, child, endings in asked:
            for machine, ending in endings:
                machine._end(ending)
            self._children.pop(path, None)
            if child is not None:
                child._parent, child._place = self, path
                self._children[path] = child
                if child.is_finished:
                    self._ended.append(child)

    def _worked_out(
        self, step: Step[C], meta: Meta
    ) -> list[tuple[str, FamilyMachine[Any] | None, list[tuple[FamilyMachine[Any], Step[Any]]]]]:
        """For each state that a step starts or stops a child of, in order: the new child, and how the old one ends."""
        found: list[tuple[str, FamilyMachine[Any] | None, list[tuple[FamilyMachine[Any], Step[Any]]]]] = []
        for effect in step.effects:
            if isinstance(effect, StartChild):
                chart = children_of(self.chart)[effect.state].chart
                found.append((effect.state, FamilyMachine(chart, effect.context, meta=meta), []))
            elif isinstance(effect, StopChild) and effect.state in self._children:
                found.append((effect.state, None, list(self._children[effect.state]._endings(meta))))
        return found

    def _endings(self, meta: Meta) -> Iterator[tuple[FamilyMachine[Any], Step[Any]]]:
        """How it ends, when its state was left: its own exit handlers run, then those of its children."""
        if not self.is_finished:
            yield self, leave(self._snapshot, Started(), meta)
            for child in self._children.values():
                yield from child._endings(meta)

    def _end(self, step: Step[C]) -> None:
        self._is_stopped = True
        self._parent = None
        self._children.clear()
        self._snapshot = step.snapshot
        if self._listeners:
            self._tell(step)

    def _settle(self, meta: Meta) -> None:
        """Take in the ends of children, until there are no more; one that fails is still there to be taken in."""
        for _ in range(ENDS_LIMIT):
            if not self._ended:
                return
            child = self._ended[0]
            if self._children.get(child._place) is child:
                self._apply(Done(child._place, child._data), meta)
                if self._children.get(child._place) is child:  # the state is still active, and runs no child now
                    del self._children[child._place]
            self._ended.popleft()
        if self._ended:
            raise EndlessLoop(
                lifecycle=self.chart.kind,
                state=self.state,
                event=f"done({self._ended[0]._place})",
                cycle=tuple(dict.fromkeys(f"done({each._place})" for each in self._ended)),
                limit=ENDS_LIMIT,
            )

    def _tell_parent(self, meta: Meta) -> None:
        parent = self._parent
        if parent is None or not self.is_finished or parent._children.get(self._place) is not self:
            return
        if self not in parent._ended:
            parent._ended.append(self)
        if not parent._is_busy:  # else it looks at what has ended when it has done what it does
            parent._take_in(meta)

    def _take_in(self, meta: Meta) -> None:
        try:
            self._is_busy = True
            self._settle(meta)
        finally:
            self._is_busy = False
        self._tell_parent(meta)
