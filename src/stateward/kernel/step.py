"""Run to completion: every transition rule is here and in the two modules below it.

`structure.py` knows the tree, `pieces.py` what a set of transitions exits and enters, `tables.py` which
transitions are enabled; this module runs them. A macrostep handles one event from outside: the microstep
that it enables, then eventless transitions, then internal events one by one, until nothing is left. (The
procedures `mainEventLoop` and `microstep` of Appendix D of SCXML 1.0.)

A step is a pure function. Nothing is changed: a handler that raises leaves the caller with the snapshot that
it had. Time, ids, actor and randomness come in through Meta alone.

`advance` takes a short way where the tables say that nothing can follow: no handler but one, no eventless
transition in sight, no completion that anybody waits for. It is the same selection and the same plan.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Coroutine, Generator
from datetime import timedelta
from types import GeneratorType
from typing import Any, TypeVar, cast

import msgspec

from stateward.chart.handlers import Handler
from stateward.chart.immutable import find_mutable
from stateward.chart.nodes import Chart
from stateward.chart.values import (
    ContextMarker,
    Done,
    EffectMarker,
    EventMarker,
    Meta,
    Raise,
    SeededRandom,
    Started,
)
from stateward.errors import ActionFailed, EndlessLoop, Refusal, RefusalKind, SnapshotInvalid
from stateward.kernel.pieces import Call, Complete, Plan, SetTimer, Stop
from stateward.kernel.structure import bits
from stateward.kernel.tables import EVENTLESS, Fork, Node, Nothing, tables_of
from stateward.kernel.values import Active, Microstep, Position, Snapshot, Step, TimerSet

__all__ = [
    "INTERNAL_EVENT_LIMIT",
    "MICROSTEP_LIMIT",
    "NO_META",
    "YIELD_LIMIT",
    "accepts",
    "advance",
    "advance_once",
    "leave",
    "start",
    "start_once",
    "step",
]

C = TypeVar("C", bound=ContextMarker)

MICROSTEP_LIMIT = 1000
"""Microsteps of one macrostep, after which it counts as endless."""
INTERNAL_EVENT_LIMIT = 10_000
"""Internal events of one macrostep, after which it counts as endless."""
YIELD_LIMIT = 10_000
"""What one action may yield."""

NO_META = Meta()
_STARTED = Started()


def start(chart: Chart[C], context: C, meta: Meta = NO_META) -> Step[C]:
    """The step that enters a lifecycle's initial state.

    Raises:
        SnapshotInvalid: the context is not of the chart's class.
        ActionFailed: an entry handler raised.
        EndlessLoop: the start did not come to rest.
    """
    check_context(chart, context, "the start")
    if chart.driver is not None:
        driven: Step[C] = chart.driver.start(chart, context, meta)
        return driven
    return start_once(chart, context, meta)


def start_once(chart: Chart[C], context: C, meta: Meta = NO_META) -> Step[C]:
    """The macrostep of a start, for whoever drives a chart."""
    plan = tables_of(chart).start_plan
    if plan.is_quiet:
        return Step(plan.microsteps, Snapshot(plan.target, context), (), plan.timers_set)
    # The start has no position before it; errors name the one that it leads to.
    run = Macrostep(Snapshot(plan.target, context), _STARTED, meta)
    run.execute(plan)
    return run.complete()


def is_start_quiet(chart: Chart[Any]) -> bool:
    """Whether the start runs no handler, so that its Step is a matter of the context alone."""
    return tables_of(chart).start_plan.is_quiet


def step(chart: Chart[C], snapshot: Snapshot[C], event: EventMarker, meta: Meta = NO_META) -> Step[C] | Refusal:
    """What an event makes of a snapshot: the step it leads to, or the reason why not. Nothing is changed.

    Args:
        chart: the chart that the snapshot belongs to.
        snapshot: the entity's position and context.
        event: what happened.
        meta: what handlers may know beside it.

    Raises:
        SnapshotInvalid: the snapshot belongs to another chart.
        ActionFailed: a guard or an action raised, or returned what it must not.
        EndlessLoop: the macrostep did not come to rest.
    """
    if snapshot.position.chart is not chart and snapshot.position.chart != chart:
        problem = f"this position belongs to {snapshot.position.chart!r}, not to {chart!r}"
        raise SnapshotInvalid(problem, lifecycle=chart.kind, state=snapshot.state)
    return advance(snapshot, event, meta)


def advance(  # noqa: C901, PLR0912 - the hot path, kept in one frame: a call costs a fifth of a step
    snapshot: Snapshot[C], event: EventMarker, meta: Meta = NO_META
) -> Step[C] | Refusal:
    """`step` without naming the chart, which the snapshot's position knows."""
    position, context = snapshot.position, snapshot.context
    node = position.fast.get(type(event))
    if node is None:
        if not position.tables.is_plain or not isinstance(event, EventMarker):
            driver = position.tables.chart.driver
            if driver is not None:
                driven: Step[C] | Refusal = driver.advance(snapshot, event, meta)
                return driven
            return advance_once(snapshot, event, meta)
        node = position.tables.root(position, event.trigger_key())
    while type(node) is Fork:
        if node.wants_meta:
            return Macrostep(snapshot, event, meta).handle_from(node)
        try:
            verdict = node.call(context, event)
        except Exception as error:
            raise failed(snapshot, event, node.handler, f"raised {error!r}") from error
        if verdict is True:
            node = node.yes or position.tables.branch(position, node, verdict=True)
        elif verdict is False:
            node = node.no or position.tables.branch(position, node, verdict=False)
        else:
            raise failed(snapshot, event, node.handler, f"returned {verdict!r}; a guard returns True or False")
    if type(node) is Plan:
        if node.is_quiet:
            return Step(node.microsteps, Snapshot(node.target, context), (), node.timers_set, node.timers_cancelled)
        only = node.only
        if only is not None:
            try:
                result = given = only.call(context, event)
            except Exception as error:
                raise failed(snapshot, event, only.handler, f"raised {error!r}") from error
            if type(result) is type(context):
                return Step(node.microsteps, Snapshot(node.target, result), (), node.timers_set, node.timers_cancelled)
            if type(result) is GeneratorType:
                result, effects, raised = drain(snapshot, event, only.handler, given)
                if type(result) is type(context) and not raised:
                    target = Snapshot(node.target, result)
                    return Step(node.microsteps, target, tuple(effects), node.timers_set, node.timers_cancelled)
                result = Drained(result, effects, raised)
            return Macrostep(snapshot, event, meta).handle_from(node, result)
    elif type(node) is Nothing and node.refusal is not None:
        return node.refusal
    return Macrostep(snapshot, event, meta).handle_from(node)


def advance_once(snapshot: Snapshot[C], event: EventMarker, meta: Meta = NO_META) -> Step[C] | Refusal:
    """One macrostep, for whoever drives a chart."""
    return Macrostep(snapshot, event, meta).handle()


def leave(snapshot: Snapshot[C], event: EventMarker, meta: Meta = NO_META) -> Step[C]:
    """Leave every active state for good, running exit handlers from the innermost out: the end of an instance.

    No transition does this: a top-level final state ends a lifecycle without leaving it, so that its entity can be
    asked where it ended. The step's position is the one that was left, for the same reason.

    Args:
        snapshot: what is to end.
        event: what its exit handlers are given, the last event that it handled say.
        meta: what handlers may know beside it.

    Raises:
        ActionFailed: an exit handler raised, or returned what it must not.
    """
    run = Macrostep(snapshot, event, meta)
    run.execute(snapshot.position.tables.plan_leave(snapshot.position))
    return run.close()


def accepts(snapshot: Snapshot[C], event: EventMarker, meta: Meta = NO_META) -> bool:
    """Whether `advance` would lead to a step: guards are asked; actions run only if the chart has hooks.

    Raises:
        ActionFailed: a guard raised, or returned what it must not.
    """
    return Macrostep(snapshot, event, meta).would_step()


def check_context(chart: Chart[Any], context: ContextMarker, where: str) -> None:
    """Refuse a context that is not of the chart's class.

    Raises:
        SnapshotInvalid: it is of another class.
    """
    if type(context) is not chart.context_type and not isinstance(context, chart.context_type):
        problem = f"the context is {type(context).__name__}, and the lifecycle's is {chart.context_type.__name__}"
        raise SnapshotInvalid(problem, lifecycle=chart.kind, state=where)


def failed(snapshot: Snapshot[Any], event: EventMarker, handler: Handler, problem: str) -> ActionFailed:
    """The error of a handler, with the snapshot that still holds."""
    return ActionFailed(
        lifecycle=snapshot.position.chart.kind,
        state=snapshot.state,
        event=event.trigger_label(),
        function=handler.name,
        problem=problem,
    )


class Drained(msgspec.Struct):
    """What a handler gave: the context that it returned, and what it yielded on the way."""

    context: Any
    effects: list[EffectMarker]
    raised: list[EventMarker]


def drain(
    snapshot: Snapshot[Any], event: EventMarker, handler: Handler, generator: Generator[Any, None, Any]
) -> tuple[Any, list[Any], list[EventMarker]]:
    """Run a generator action to its end; what it yields is of a closed set: effects and Raise.

    Returns:
        What it returned, the effects, and the events that it raised.

    Raises:
        ActionFailed: it raised, yielded a stranger, or did not end.
    """
    effects: list[Any] = []
    raised: list[EventMarker] = []
    problem: str | None = None
    try:
        # A loop with a bound, and the generator's own return value at its end.
        while len(effects) + len(raised) < YIELD_LIMIT:
            item: object = next(generator)
            if type(item) in _vetted:
                effects.append(item)
            elif isinstance(item, Raise) and isinstance(item.event, EventMarker):
                raised.append(item.event)
            elif problem := _vet(item):
                break
            else:
                effects.append(item)
    except StopIteration as end:
        return end.value, effects, raised
    except Exception as error:
        raise failed(snapshot, event, handler, f"raised {error!r}") from error
    except BaseException:  # an interrupt that found the generator half way
        generator.close()
        raise
    try:
        generator.close()
    except Exception as error:
        raise failed(snapshot, event, handler, f"{problem}, and when closed raised {error!r}") from error
    raise failed(snapshot, event, handler, problem or f"yielded more than {YIELD_LIMIT} times")


def _vet(item: object) -> str | None:
    """What is wrong with a yielded item whose class has not been seen before; None for an effect."""
    if isinstance(item, Raise):
        return f"raised {item.event!r}, which is no event"
    if not isinstance(item, EffectMarker):
        return f"yielded {item!r}; an action yields effects and Raise(event)"
    if problem := find_mutable(type(item)):
        return f"yielded an effect that can be changed: {problem}"
    _vetted.add(type(item))
    return None


_ABSENT: Any = object()
_vetted: set[type] = set()
"""Effect classes found to be immutable; they are first seen when an action yields one."""


class Macrostep:
    """One event being run to completion: what has been gathered so far, and what is still to be handled."""

    __slots__ = (
        "_before",
        "_cancelled",
        "_chart",
        "_context",
        "_data",
        "_effects",
        "_event",
        "_handled",
        "_meta",
        "_microsteps",
        "_nothing",
        "_outer",
        "_pending",
        "_position",
        "_queue",
        "_set",
        "_source",
        "_tables",
        "_unhandled",
    )

    def __init__(self, snapshot: Snapshot[Any], event: EventMarker, meta: Meta) -> None:
        self._before = snapshot
        self._position: Position = snapshot.position
        self._context: Any = snapshot.context
        self._tables = snapshot.position.tables
        self._chart = snapshot.position.tables.chart
        self._outer = event
        self._event = event
        """What handlers get now: the event from outside, later an internal one."""
        self._meta = meta
        self._source: SeededRandom | None = None
        self._queue: deque[EventMarker] = deque()
        self._microsteps: list[Microstep] = []
        self._effects: list[EffectMarker] = []
        self._set: dict[str, TimerSet] = {}
        self._cancelled: dict[str, None] = {}
        self._unhandled: list[EventMarker] = []
        self._data: Any = None
        self._handled = 0
        self._pending = 0
        """The states entered by now beside which something is to run, and does not run yet."""
        self._nothing: Nothing | None = None

    # The macrostep.

    def handle(self) -> Step[Any] | Refusal:
        """Handle the event from outside, from the beginning."""
        return self.handle_from(self._look(self._event))

    def handle_from(self, node: Node | None, first: Any = _ABSENT) -> Step[Any] | Refusal:
        """Handle the event from outside, its selection having come to `node`.

        Args:
            node: a guard to ask, or where the asking has ended.
            first: what the plan's only handler has returned, if it was already run.
        """
        plan = self._select(node)
        outer = self._nothing
        if plan is not None:
            self.execute(plan, first)
        self._rest()
        return self._step() if self._microsteps else self._refuse(outer)

    def complete(self) -> Step[Any]:
        """Go on from a microstep that has been executed."""
        self._rest()
        return self._step()

    def close(self) -> Step[Any]:
        """Go no further: what handlers raised reaches nobody."""
        self._unhandled += self._queue
        return self._step()

    def would_step(self) -> bool:
        """Whether the event from outside enables anything, or has nothing left to do."""
        if not self._tables.is_plain:  # what a hook raises may be what is taken, which only a whole step shows
            return isinstance(self.handle(), Step)
        if self._select(self._look(self._event)) is not None:
            return True
        if self._position.restless and self._select(self._tables.root(self._position, EVENTLESS)) is not None:
            return True
        return self._tables.is_already(self._position, self._event.trigger_key())

    def _rest(self) -> None:
        """Eventless transitions first, then one internal event, and again, until both run dry."""
        while not self._position.finished:
            if self._position.restless:
                plan = self._select(self._tables.root(self._position, EVENTLESS))
                if plan is not None:
                    self.execute(plan)
                    continue
            if not self._queue:
                if self._pending:
                    self._begin()
                if not self._queue:
                    return
                continue
            self._event = self._queue.popleft()
            self._handled += 1
            if self._handled > INTERNAL_EVENT_LIMIT:
                raise self._endless(INTERNAL_EVENT_LIMIT)
            plan = self._select(self._look(self._event))
            if plan is not None:
                self.execute(plan)
            elif not isinstance(self._event, Done):
                self._unhandled.append(self._event)
        # Finished: what is still queued reaches nobody.
        self._unhandled += (event for event in self._queue if not isinstance(event, Done))

    def _begin(self) -> None:
        """Start what runs beside the states that were entered and not left; what it raises is still handled."""
        pending, self._pending = self._pending, 0
        for index in bits(pending):
            for each in self._chart.states[index].invokes:
                self._run(Call(each.start, self._position.configuration))

    def _look(self, event: EventMarker) -> Node:
        """Where the selection for an event starts, after the chart's own action before it."""
        if not isinstance(event, EventMarker):
            message = f"{event!r} is no event: send an instance of an Event class"
            raise TypeError(message)
        if self._chart.before is not None and not self._position.finished:
            self._run(Call(self._chart.before, self._position.configuration))
        return self._tables.root(self._position, event.trigger_key())

    def _select(self, node: Node | None) -> Plan | None:
        """Ask guards until it is clear what is to be done; None: nothing is enabled."""
        while type(node) is Fork:
            node = self._tables.branch(self._position, node, verdict=self._ask(node))
        if type(node) is Plan:
            return node
        assert type(node) is Nothing
        self._nothing = node
        return None

    def _ask(self, fork: Fork) -> bool:
        try:
            verdict = self._call(fork.handler, self._position.configuration)
        except Exception as error:
            if self._chart.guard_error is None:
                raise self._failed(fork.handler, f"raised {error!r}") from error
            self._queue.append(self._chart.guard_error(error, self._event))
            return False
        if verdict is not True and verdict is not False:
            raise self._failed(fork.handler, f"returned {verdict!r}; a guard returns True or False")
        return verdict

    # One microstep.

    def execute(self, plan: Plan, first: Any = _ABSENT) -> None:
        """Run a plan's program: exits, contents, entries.

        Args:
            plan: the microstep worked out.
            first: what the first handler has returned, if it was already run.
        """
        self._microsteps += plan.microsteps
        if len(self._microsteps) > MICROSTEP_LIMIT:
            raise self._endless(MICROSTEP_LIMIT)
        for name in plan.timers_cancelled:
            # One that was set in this very macrostep has never run.
            if self._set.pop(name, None) is None:
                self._cancelled[name] = None
        for op in plan.ops:
            if type(op) is Call:
                if first is not _ABSENT:
                    self._absorb(op.handler, first)
                    first = _ABSENT
                else:
                    self._run(op)
            elif type(op) is TimerSet:
                self._set[op.name] = op
            elif type(op) is SetTimer:
                self._set_timer(op)
            elif type(op) is Stop:
                if not self._pending >> op.state & 1:
                    self._run(op.call)
            elif type(op) is Complete:
                self._complete(op)
        self._position = plan.target
        self._pending = self._pending & plan.target.configuration | plan.begins

    def _run(self, op: Call) -> None:
        try:
            result = self._call(op.handler, op.active)
        except Exception as error:
            raise self._failed(op.handler, f"raised {error!r}") from error
        self._absorb(op.handler, result)

    def _absorb(self, handler: Handler, result: Any) -> None:
        """Take in what an action returned: the new context, or a generator that yields effects and returns it."""
        if isinstance(result, Generator):
            generator = cast("Generator[Any, None, Any]", result)
            result = Drained(*drain(self._before, self._event, handler, generator))
        if type(result) is Drained:
            self._effects += result.effects
            self._queue += result.raised
            result = result.context
        if type(result) is not type(self._context) and not isinstance(result, self._chart.context_type):
            if isinstance(result, Coroutine):
                result.close()  # nobody will await it
            wanted = self._chart.context_type.__name__
            raise self._failed(handler, f"returned {result!r}; an action returns the context, {wanted}")
        self._context = result

    def _set_timer(self, op: SetTimer) -> None:
        try:
            delay = op.delay.call(self._context)
        except Exception as error:
            raise self._failed(op.delay, f"raised {error!r}") from error
        if not isinstance(delay, timedelta) or delay <= timedelta(0):
            raise self._failed(op.delay, f"returned {delay!r}; a delay is a positive timedelta")
        self._set[op.name] = TimerSet(op.name, delay)

    def _complete(self, op: Complete) -> None:
        data = None
        if op.data is not None:
            try:
                data = self._call(op.data, op.active)
            except Exception as error:
                raise self._failed(op.data, f"raised {error!r}") from error
        if op.state:
            self._queue.append(Done(op.state, data))
        else:
            self._data = data

    def _call(self, handler: Handler, active: int) -> Any:
        if not handler.wants_meta:
            return handler.call(self._context, self._event)
        given = self._meta
        if self._source is None and given.record_id is not None:
            self._source = SeededRandom(given.record_id)
        meta = Meta(given.now, given.entity, given.record_id, given.actor, Active(self._tables, active), self._source)
        return handler.call(self._context, self._event, meta)

    # The answer.

    def _step(self) -> Step[Any]:
        return Step(
            tuple(self._microsteps),
            Snapshot(self._position, self._context),
            tuple(self._effects),
            tuple(self._set.values()),
            tuple(self._cancelled),
            tuple(self._unhandled),
            self._data,
        )

    def _refuse(self, nothing: Nothing | None) -> Step[Any] | Refusal:
        """No microstep was made: already done, or refused for the first reason that holds."""
        key: Any = self._outer.trigger_key()
        position = self._before.position
        if self._tables.is_already(position, key):
            return Step((), self._before, outcome="already_done")
        assert nothing is not None
        if not self._tables.knows(key):
            kind: RefusalKind = "unknown"
        elif position.finished:
            kind = "finished"
        else:
            kind = "guarded" if nothing.is_guarded else "illegal"
        refusal = Refusal(kind, self._chart.kind, position.state, self._outer.trigger_label())
        if self._tables.is_plain and not position.restless:
            nothing.refusal = refusal
        return refusal

    def _failed(self, handler: Handler, problem: str) -> ActionFailed:
        return failed(self._before, self._event, handler, problem)

    def _endless(self, limit: int) -> EndlessLoop:
        # Without a microstep it is events that come again: one that a guard's error raises whenever it is asked.
        taken = ["+".join(each.transitions) for each in self._microsteps if each.transitions]
        taken = taken or [self._event.trigger_label()]
        period = next((n for n in range(1, len(taken) // 2) if taken[-n:] == taken[-2 * n : -n]), len(taken))
        return EndlessLoop(
            lifecycle=self._chart.kind,
            state=self._before.state,
            event=self._outer.trigger_label(),
            cycle=tuple(taken[-period:]),
            limit=limit,
        )
