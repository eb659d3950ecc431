"""Sessions that a ledger keeps: the same macrosteps, put together so that all of a session is in its entity.

An entity is a session: its state is the configuration, its context the data. An event from outside and all events
without a delay that follow from it are one step, as the specification's external queue has them before anything
else; so they are one transaction. A delayed message is kept in the data, and waits for a timer of the entity's;
`<cancel>` cancels that. Others can't be reached, which `error.communication` or `error.execution` tells.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from stateward.chart import Chart, EffectMarker, Elapsed, EventMarker, Meta, Started
from stateward.errors import EndlessLoop, Refusal
from stateward.kernel import Microstep, Snapshot, Step, TimerSet
from stateward.kernel.step import advance_once, leave, start_once
from stateward.scxml.context import Data, Waiting, new_data
from stateward.scxml.document import prologue_of
from stateward.scxml.messages import Cancel, ScxmlEvent, Send
from stateward.scxml.run import Budget, spending
from stateward.scxml.values import MapValue, freeze, thaw

__all__ = ["first_data", "kept_chart"]

EVENT_LIMIT = 1_000
"""Events that follow from one, without a delay, after which they count as endless."""
STEP_LIMIT = 5_000_000
"""Steps of evaluation that they take together."""
WAITING_LIMIT = 1_000
"""Delayed messages of one session."""


def first_data(values: Mapping[str, object] | None = None) -> Data:
    """What a session is created with: values for the document's top-level data, instead of those that it says.

    Raises:
        EvaluationError: they hold what is no plain data.
    """
    return Data(variables=MapValue([(name, freeze(value)) for name, value in (values or {}).items()]))


def kept_chart(chart: Chart[Any]) -> Chart[Any]:
    """The chart of a document as a ledger keeps it; of one chart always the same."""
    found: Chart[Any] | None = chart.__dict__.get("_kept")
    if found is None:
        found = copy.copy(chart)
        found.__dict__.pop("digest", None)  # the driver is part of it
        found.driver, found.kept, found.tables = _DRIVER, None, None
        chart.__dict__["_kept"] = found
    return found


class _Driver:
    """A session's events, as steps of its entity."""

    name = "scxml"

    def start(self, chart: Chart[Data], context: Data, meta: Meta) -> Step[Data]:
        """The session's start, to rest; its id is that of the entity."""
        prologue = prologue_of(chart)
        name = (prologue.name if prologue is not None else None) or ""
        data = new_data(meta.entity or "session", name, context.variables)
        with spending(Budget(STEP_LIMIT)):
            first = start_once(chart, data, meta)
            return _Course(first.snapshot, Started(), meta).run(first)

    def advance(self, snapshot: Snapshot[Data], event: EventMarker, meta: Meta) -> Step[Data] | Refusal:
        """An event from outside, or a timer that has run out, and all that follows from it."""
        with spending(Budget(STEP_LIMIT)):
            if isinstance(event, Elapsed):
                return self._elapse(snapshot, event, meta)
            if not isinstance(event, ScxmlEvent):
                chart = snapshot.position.chart
                return Refusal("unknown", chart.kind, snapshot.state, event.trigger_label())
            event = replace(event, kind="external")  # whatever the caller calls it, it comes from outside
            outcome = advance_once(snapshot, event, meta)
            return outcome if isinstance(outcome, Refusal) else _Course(snapshot, event, meta).run(outcome)

    def _elapse(self, snapshot: Snapshot[Data], event: Elapsed, meta: Meta) -> Step[Data] | Refusal:
        data = snapshot.context
        due = next((each for each in data.waiting if each.timer == event.timer), None)
        if due is None:
            return Refusal("expired", snapshot.position.chart.kind, snapshot.state, event.trigger_label())
        left = tuple(each for each in data.waiting if each is not due)
        snapshot = Snapshot(snapshot.position, data.replace(waiting=left))
        outcome = advance_once(snapshot, due.event, meta)
        if isinstance(outcome, Refusal):  # nobody takes it; it is no longer waiting all the same
            outcome = Step((), snapshot)
        return _Course(snapshot, due.event, meta).run(outcome)


_DRIVER = _Driver()


class _Course:
    """What follows from one event, on its way to being one step."""

    def __init__(self, snapshot: Snapshot[Data], event: EventMarker, meta: Meta) -> None:
        self._snapshot = snapshot
        self._event = event
        self._meta = meta
        self._queue: deque[ScxmlEvent] = deque()
        self._microsteps: list[Microstep] = []
        self._unhandled: list[EventMarker] = []
        self._set: dict[str, TimerSet] = {}
        self._cancelled: list[str] = []

    def run(self, first: Step[Data]) -> Step[Data]:
        """Go on from the first macrostep until the session is at rest."""
        self._take(first)
        for _ in range(EVENT_LIMIT):
            if self._snapshot.position.finished:
                return self._finish()
            if not self._queue:
                return self._step(None)
            event = self._queue.popleft()
            outcome = advance_once(self._snapshot, event, self._meta)
            if isinstance(outcome, Step):
                self._take(outcome)
        raise EndlessLoop(
            lifecycle=self._snapshot.position.chart.kind,
            state=self._snapshot.state,
            event=self._event.trigger_label(),
            cycle=tuple(dict.fromkeys(each.name for each in self._queue))[:20],
            limit=EVENT_LIMIT,
        )

    def _take(self, step: Step[Data]) -> None:
        self._snapshot = step.snapshot
        self._microsteps += step.microsteps
        self._unhandled += step.unhandled
        for effect in step.effects:
            self._do(effect)

    def _do(self, effect: EffectMarker) -> None:
        """What goes to the session itself; a log, which no ledger keeps, is passed over."""
        match effect:
            case Send() if effect.delay and not effect.target:
                self._wait(effect)
            case Send() if not effect.target:
                self._queue.append(effect.event)
            case Cancel():
                self._forget([each for each in self._data.waiting if each.sendid == effect.sendid])
            case _:
                return

    @property
    def _data(self) -> Data:
        return self._snapshot.context

    def _replace(self, **changes: Any) -> None:
        self._snapshot = Snapshot(self._snapshot.position, self._data.replace(**changes))

    def _wait(self, message: Send) -> None:
        if len(self._data.waiting) >= WAITING_LIMIT:
            raise EndlessLoop(
                lifecycle=self._snapshot.position.chart.kind,
                state=self._snapshot.state,
                event=self._event.trigger_label(),
                cycle=(message.event.name,),
                limit=WAITING_LIMIT,
            )
        number = self._data.delayed + 1
        waiting = Waiting(f"send.{number}", message.sendid, message.event)
        self._set[waiting.timer] = TimerSet(waiting.timer, message.delay)
        self._replace(waiting=(*self._data.waiting, waiting), delayed=number)

    def _forget(self, gone: list[Waiting]) -> None:
        for each in gone:
            if self._set.pop(each.timer, None) is None:
                self._cancelled.append(each.timer)
        if gone:
            self._replace(waiting=tuple(each for each in self._data.waiting if each not in gone))

    def _finish(self) -> Step[Data]:
        """The end of a session: exit handlers run, and nothing waits any more."""
        self._snapshot = leave(self._snapshot, self._data.last or Started(), self._meta).snapshot
        self._forget(list(self._data.waiting))
        self._replace(last=None)  # nobody asks for it any more
        return self._step(thaw(self._data.result))

    def _step(self, data: object) -> Step[Data]:
        return Step(
            tuple(self._microsteps),
            self._snapshot,
            (),
            tuple(self._set.values()),
            tuple(self._cancelled),
            tuple(self._unhandled),
            data,
        )
