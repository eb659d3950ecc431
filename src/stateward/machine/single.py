"""A lifecycle in this process, held by one owner at a time; the other machines share its reading side.

A machine is one pointer to an immutable snapshot. A step is computed from that snapshot without touching it,
and stored by a single assignment: whatever interrupts a send, an exception, KeyboardInterrupt, a cancelled
task, finds the machine where it was before the event, or where it is after it. There is nothing in between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from threading import Lock
from typing import Any, Generic, Self, TypeVar, cast

from stateward.chart import Chart, ContextMarker, EventMarker, Lifecycle, Meta, State, chart_of
from stateward.errors import DefinitionError, MachineBusy, Refusal, Refused, SnapshotInvalid
from stateward.kernel import Explanation, Snapshot, Step, accepts, advance, explain, start
from stateward.kernel.step import NO_META, check_context, is_start_quiet

__all__ = ["Listener", "Machine", "MachineBase"]

C = TypeVar("C", bound=ContextMarker)

Listener = Callable[[Step[C]], object]
"""Sees each applied Step, after it holds. What it raises is reported to the log, and changes nothing."""

_Listeners = dict[object, Listener[C]]
"""By a key of each subscription's own. Each change is one operation on the dict, which needs no lock."""
_first_listener = Lock()
"""Held while a machine gets its dict; most never do, and stay small."""


class MachineBase(Generic[C]):
    """What every machine offers to those who look: its state, its context, and what an event would do.

    The ways of keeping callers apart differ in `send` alone, and are classes of their own.
    """

    runs_children = False
    """Whether it runs what its states declare as their children."""
    __slots__ = ("_listeners", "_origin", "_snapshot")

    def __init__(
        self,
        lifecycle: type[Lifecycle[C]] | Chart[C],
        context: C,
        *,
        meta: Meta = NO_META,
        listeners: Iterable[Listener[C]] = (),
    ) -> None:
        """Start an instance.

        Args:
            lifecycle: the lifecycle class, or a chart.
            context: its first context.
            meta: what entry handlers of the start may know.
            listeners: called with each Step from the first event on; the start's is `started`.

        Raises:
            SnapshotInvalid: the context is not of the lifecycle's class.
            ActionFailed: an entry handler raised.
        """
        chart = lifecycle if isinstance(lifecycle, Chart) else chart_of(lifecycle)
        if chart.invokes and not self.runs_children:
            raise self._childless(chart)
        step = start(chart, context, meta)
        self._snapshot = step.snapshot
        # A start that ran no handler can be told again from its context, and keeps nothing else.
        self._origin: Any = context if is_start_quiet(chart) else step
        self._listeners: _Listeners[C] | None = _keyed(listeners) if listeners else None

    @classmethod
    def restore(
        cls,
        lifecycle: type[Lifecycle[C]] | Chart[C],
        snapshot: Snapshot[C],
        *,
        listeners: Iterable[Listener[C]] = (),
    ) -> Self:
        """A machine that goes on from a snapshot; no entry handler runs again.

        Raises:
            SnapshotInvalid: the snapshot belongs to another chart, or its context to another class.
        """
        chart = lifecycle if isinstance(lifecycle, Chart) else chart_of(lifecycle)
        if snapshot.position.chart != chart:
            problem = f"this position belongs to {snapshot.position.chart!r}, not to {chart!r}"
            raise SnapshotInvalid(problem, lifecycle=chart.kind, state=snapshot.state)
        check_context(chart, snapshot.context, snapshot.state)
        if chart.invokes and not cls.runs_children:
            raise cls._childless(chart)
        machine = cls.__new__(cls)
        machine._prepare()
        machine._snapshot = snapshot
        machine._origin = None
        machine._listeners = _keyed(listeners)
        return machine

    def _prepare(self) -> None:
        """Set up what a subclass adds, where `__init__` does not run."""

    @classmethod
    def _childless(cls, chart: Chart[Any]) -> DefinitionError:
        """The error of a chart whose states have children, which only a FamilyMachine runs."""
        subject = next(state.path for state in chart.states if state.invokes)
        problem = f"has a child, which no {cls.__name__} runs: a FamilyMachine does"
        return DefinitionError(problem, lifecycle=chart.kind, subject=subject)

    @property
    def started(self) -> Step[C]:
        """The Step of its start, with the effects and timers that it asked for.

        Raises:
            LookupError: the machine was restored from a snapshot; its start is not known.
        """
        if self._origin is None:
            message = f"{self!r} was restored from a snapshot, which does not tell how it started"
            raise LookupError(message)
        return cast("Step[C]", self._origin) if isinstance(self._origin, Step) else start(self.chart, self._origin)

    @property
    def chart(self) -> Chart[C]:
        """The chart that it runs."""
        return self._snapshot.position.chart

    @property
    def state(self) -> str:
        """The configuration in writing: the paths of the active atomic states, joined by `|`."""
        return self._snapshot.position.state

    @property
    def context(self) -> C:
        """The entity's data."""
        return self._snapshot.context

    @property
    def is_finished(self) -> bool:
        """Whether a top-level final state is reached: no event applies any more."""
        return self._snapshot.position.finished

    def snapshot(self) -> Snapshot[C]:
        """State and context as one immutable value; `restore` goes on from it."""
        return self._snapshot

    def is_in(self, state: State | type | str) -> bool:
        """Whether a state is active, given as the lifecycle's attribute or by its path.

        Raises:
            KeyError: the chart has no such state.
        """
        position = self._snapshot.position
        return position.is_in(state if isinstance(state, str) else position.chart.path_of(state))

    def can(self, event: EventMarker, meta: Meta = NO_META) -> bool:
        """Whether the event would be accepted now; asks guards, runs no action.

        Raises:
            ActionFailed: a guard raised.
        """
        return accepts(self._snapshot, event, meta)

    def why(self, event: EventMarker, meta: Meta = NO_META) -> Explanation:
        """What the event would do now, and why: each candidate, its guard, and what the guard read."""
        return explain(self._snapshot, event, meta)

    def listen(self, listener: Listener[C]) -> Callable[[], None]:
        """Call `listener` with each Step from now on; call what is returned to end that, once or more.

        Either takes effect with the next Step: one that is being told now reaches those who listened when
        it was stored. Who listens twice is told twice.
        """
        fresh: _Listeners[C] = {}
        with _first_listener:
            if self._listeners is None:
                self._listeners = fresh
            listeners = self._listeners
        key = object()
        listeners[key] = listener

        def end() -> None:
            listeners.pop(key, None)

        return end

    def _tell(self, step: Step[C]) -> None:
        for listener in tuple((self._listeners or {}).values()):
            try:
                listener(step)
            except Exception:
                import logging  # noqa: PLC0415 - only who needs it pays for its import

                log = logging.getLogger("stateward.machine")
                log.exception("%s: the listener %r raised; the step holds", self.chart.kind, listener)

    def _busy(self, event: object) -> MachineBusy:
        """The error of an event that was sent while another is being handled; it may be no event at all."""
        label = event.trigger_label() if isinstance(event, EventMarker) else repr(event)
        return MachineBusy(lifecycle=self.chart.kind, event=label)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.chart.kind} {self.state}>"


class Machine(MachineBase[C]):
    """A machine for a single owner: one thread, or the tasks of one event loop. Nothing is locked.

    Sending from inside a guard, an action or a listener of the same machine is refused with `MachineBusy`.
    """

    __slots__ = ("_is_busy",)

    def __init__(
        self,
        lifecycle: type[Lifecycle[C]] | Chart[C],
        context: C,
        *,
        meta: Meta = NO_META,
        listeners: Iterable[Listener[C]] = (),
    ) -> None:
        self._is_busy = False
        super().__init__(lifecycle, context, meta=meta, listeners=listeners)

    def _prepare(self) -> None:
        self._is_busy = False

    def send(self, event: EventMarker, meta: Meta = NO_META) -> Step[C]:
        """Apply an event; the Step says what happened and what it asks for.

        Raises:
            Refused: the event does not apply; nothing has changed.
            ActionFailed: a guard or an action raised; nothing has changed.
            MachineBusy: sent from inside a guard, an action or a listener of this machine.
        """
        answer = self.attempt(event, meta)
        if type(answer) is Refusal:
            raise Refused(answer)
        return answer

    def attempt(self, event: EventMarker, meta: Meta = NO_META) -> Step[C] | Refusal:
        """Apply an event, or say why not by value; raises as `send` does, but for `Refused`."""
        if self._is_busy:
            raise self._busy(event)
        try:
            self._is_busy = True  # in here, so that no interrupt can come between it and the finally
            answer = advance(self._snapshot, event, meta)
            if type(answer) is Step:
                self._snapshot = answer.snapshot
                if self._listeners:
                    self._tell(answer)
            return answer
        finally:
            self._is_busy = False


def _keyed(listeners: Iterable[Listener[C]]) -> _Listeners[C] | None:
    return {object(): listener for listener in listeners} or None
