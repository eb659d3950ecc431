"""A document being run: its queues, its delayed events, and the clock that they wait for.

A session sends events to its chart, one at a time and each to its end, and keeps what the chart's actions asked
for: events to itself go to the end of the external queue, at once or when their time has come. Where an event
leads is the kernel's business alone.

A session does nothing by itself, and no time passes in it but that of its clock: whoever runs it calls
`run_due`, at `next_due` at the latest.
"""

from __future__ import annotations

import heapq
import time
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from itertools import count
from typing import Protocol

from stateward.chart import Chart, EffectMarker, Started
from stateward.errors import EndlessLoop, Refusal
from stateward.kernel import Snapshot, Step, start, step
from stateward.kernel.step import leave
from stateward.scxml.context import Data, new_data
from stateward.scxml.document import prologue_of
from stateward.scxml.ids import id_of
from stateward.scxml.messages import Cancel, Log, ScxmlEvent, Send
from stateward.scxml.values import MapValue, freeze, thaw

__all__ = ["Clock", "MonotonicClock", "Session", "VirtualClock"]

EVENT_LIMIT = 100_000
"""External events that a session handles in one call, after which it counts as endless."""


class Clock(Protocol):
    """What a session reads the time from."""

    def now(self) -> timedelta:
        """The time since some fixed moment; it never goes back."""
        ...


class MonotonicClock:
    """The time that passes outside."""

    def now(self) -> timedelta:
        """The time since this machine's clock began."""
        return timedelta(seconds=time.monotonic())


class VirtualClock:
    """A time that passes when it is told to."""

    def __init__(self) -> None:
        self._now = timedelta(0)

    def now(self) -> timedelta:
        """The time that has passed."""
        return self._now

    def advance(self, by: timedelta) -> None:
        """Let time pass.

        Raises:
            ValueError: it would go back.
        """
        if by < timedelta(0):
            message = f"time does not go back by {-by}"
            raise ValueError(message)
        self._now += by


class Session:
    """One run of a chart that was read from SCXML.

    Args:
        chart: the chart, from `read` or `read_file`.
        clock: the time that delayed events wait for.
        session: its id, `_sessionid`; it must be unlike that of any other session that it talks with.
        data: values for the document's top-level data, instead of those that it says.
        on_log: called with label and value of each `<log>` once its step holds.

    Raises:
        EvaluationError: `data` holds what is no plain data.
    """

    def __init__(
        self,
        chart: Chart[Data],
        *,
        clock: Clock | None = None,
        session: str = "session",
        data: dict[str, object] | None = None,
        on_log: Callable[[str, object], None] | None = None,
    ) -> None:
        self.chart = chart
        self.clock = clock if clock is not None else MonotonicClock()
        self.session = session
        self.result: object = None
        """What the top-level final state's `<donedata>` came to, once it is finished."""
        self._on_log = on_log
        self._queue: deque[ScxmlEvent] = deque()
        self._delayed: list[tuple[timedelta, int, Send]] = []
        self._order = count()
        given = MapValue([(name, freeze(value)) for name, value in (data or {}).items()])
        prologue = prologue_of(chart)
        name = (prologue.name if prologue is not None else None) or ""
        self._last: ScxmlEvent | None = None
        self._finished = False
        first = start(chart, new_data(session, name, given))
        self._snapshot = first.snapshot
        self._take(first)
        self._drain()

    # What it is.

    @property
    def snapshot(self) -> Snapshot[Data]:
        """Its position and data: all that there is to it beside its queues."""
        return self._snapshot

    @property
    def configuration(self) -> tuple[str, ...]:
        """The ids of the active atomic states, in document order."""
        return tuple(id_of(path) for path in self._snapshot.position.atoms)

    @property
    def is_finished(self) -> bool:
        """Whether it has reached a top-level final state; it takes no more events then."""
        return self._finished

    @property
    def data(self) -> dict[str, object]:
        """The document's data by id, as plain data of the caller's own."""
        return {str(name): thaw(value) for name, value in self._snapshot.context.variables.items.items()}

    @property
    def next_due(self) -> timedelta | None:
        """When the next delayed event is due, by the session's clock; None if there is none."""
        return self._delayed[0][0] if self._delayed and not self._finished else None

    # What happens to it.

    def send(self, name: str, data: object = None) -> None:
        """Handle an event from outside, and all that comes of it by now; once it is finished, nothing happens.

        Args:
            name: its name, `order.paid`.
            data: plain data for `_event.data`.

        Raises:
            EvaluationError: `data` holds what is no plain data.
            EndlessLoop: handling it did not come to rest.
        """
        event = ScxmlEvent(name, freeze(data))
        self.run_due()
        if self._finished:
            return
        self._queue.append(event)
        self._drain()

    def run_due(self) -> None:
        """Handle what is in the queue, and the delayed events whose time has come.

        Raises:
            EndlessLoop: handling it did not come to rest.
        """
        self._drain()
        now = self.clock.now()
        while self._delayed and self._delayed[0][0] <= now and not self._finished:
            *_, due = heapq.heappop(self._delayed)
            self._queue.append(due.event)
            self._drain()

    def _drain(self) -> None:
        for _ in range(EVENT_LIMIT):
            if self._finished or not self._queue:
                return
            event = self._last = self._queue.popleft()
            outcome = step(self.chart, self._snapshot, event)
            if not isinstance(outcome, Refusal):
                self._take(outcome)
        assert self._last is not None
        raise EndlessLoop(
            lifecycle=self.chart.kind,
            state=self._snapshot.state,
            event=self._last.name,
            cycle=tuple(dict.fromkeys(each.name for each in (self._last, *self._queue))),
            limit=EVENT_LIMIT,
        )

    def _take(self, outcome: Step[Data]) -> None:
        """What a step says holds from now on; what it asks for is done in its order."""
        self._snapshot = outcome.snapshot
        for effect in outcome.effects:
            self._do(effect)
        if self._snapshot.position.finished and not self._finished:
            self._finish()

    def _finish(self) -> None:
        """The end of a session (`exitInterpreter`): exit handlers run, and nothing that waits is delivered any more."""
        self._finished = True
        self._take(leave(self._snapshot, self._snapshot.context.last or Started()))
        self.result = thaw(self._snapshot.context.result)
        self._queue.clear()
        self._delayed.clear()

    def _do(self, effect: EffectMarker) -> None:
        match effect:
            case Send() if effect.delay:
                heapq.heappush(self._delayed, (self.clock.now() + effect.delay, next(self._order), effect))
            case Send():
                self._queue.append(effect.event)
            case Cancel():
                self._delayed = [each for each in self._delayed if each[2].sendid != effect.sendid]
                heapq.heapify(self._delayed)
            case Log():
                if self._on_log is not None:
                    self._on_log(effect.label, thaw(effect.value))
            case _:
                message = f"a session does not know what to do with {effect!r}"
                raise TypeError(message)
