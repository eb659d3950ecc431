"""The sessions of one process that talk with each other: one queue for all of them, one clock, and bounds.

What a session sends stands in one line with what all others send, so that running them is repeatable: each event is
handled to its end, with all that it asks for, before the next is looked at. For one session that line is the
external queue of the specification.

Nothing happens by itself here: whoever runs the sessions calls `run_due`, at `next_due` at the latest, and when
something has come over HTTP.
"""

from __future__ import annotations

import heapq
import time
from collections import deque
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from datetime import timedelta
from itertools import count, islice
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self

from stateward.errors import EndlessLoop, StatewardError
from stateward.scxml.messages import ScxmlEvent, Send
from stateward.scxml.reader import Load, read
from stateward.scxml.run import Budget, spending
from stateward.scxml.values import size_of

if TYPE_CHECKING:
    from stateward.chart import Chart
    from stateward.scxml.context import Data
    from stateward.scxml.posting import HttpPort
    from stateward.scxml.session import Session

__all__ = ["Clock", "MonotonicClock", "Processor", "VirtualClock"]

EVENT_LIMIT = 100_000
"""External events that are handled in one call, after which it counts as endless."""
CALL_STEP_LIMIT = 10_000_000
"""Steps of evaluation that all that comes of one call may take."""
SESSION_LIMIT = 1_000
"""Sessions at a time."""
DEPTH_LIMIT = 16
"""Children of children."""
WAITING_LIMIT = 100_000
"""Events that wait in the queue or for their time."""
WAITING_UNITS_LIMIT = 4_000_000
"""Units of data that they carry together."""
NAMES_TOLD = 20
"""Events in the queue that an error looks at for what repeats."""
CHARTS_LIMIT = 100
"""Documents of children that are kept to be invoked again."""


class Clock(Protocol):
    """What sessions read the time from."""

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


class _Delivery(NamedTuple):
    """An event on its way."""

    to: Session
    event: ScxmlEvent
    sender: Session | None


class _Delayed(NamedTuple):
    """A message that waits for its time; the order decides between those of one moment."""

    due: timedelta
    order: int
    sender: Session
    message: Send


class Processor:
    """Runs the sessions of one process, children and those that have nothing to do with each other.

    Args:
        clock: the time that delayed events wait for; without one, the time that passes outside.
        http: how sessions take part in the Basic HTTP event processor; without it they don't.
    """

    def __init__(self, clock: Clock | None = None, *, http: HttpPort | None = None) -> None:
        self.clock = clock if clock is not None else MonotonicClock()
        self.http = http
        self._charts: dict[tuple[Load | None, str | None, str | None], Chart[Data]] = {}
        self._sessions: dict[str, Session] = {}
        self.names: frozenset[str] = frozenset()
        """Their ids."""
        self._queue: deque[_Delivery] = deque()
        self._delayed: list[_Delayed] = []
        self._order = count()
        self._numbers = count(1)
        self._units = 0
        """What the data of all that waits count."""
        self._budget: Budget | None = None
        """While something is being handled, what it may still spend."""

    def __enter__(self) -> Self:
        """It closes what it listens on at the end."""
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Listen no more; sessions stay as they are."""
        if self.http is not None:
            self.http.close()

    @property
    def sessions(self) -> Mapping[str, Session]:
        """The sessions that have not finished, by their ids."""
        return MappingProxyType(self._sessions)

    @property
    def next_due(self) -> timedelta | None:
        """When the next delayed event is due, by the clock; None if there is none."""
        return self._delayed[0].due if self._delayed else None

    def run_due(self) -> None:
        """Handle what has come, and the delayed events whose time has come.

        Raises:
            EndlessLoop: handling it did not come to rest.
        """
        self.drain()
        now = self.clock.now()
        while self._delayed and self._delayed[0].due <= now:
            each = heapq.heappop(self._delayed)
            self._weigh(each.message.event, -1)
            with self.at_work():
                each.sender.dispatch(each.message)
            self.drain()

    # What sessions ask of it.

    def add(self, session: Session) -> None:
        """Take in a session.

        Raises:
            ValueError: there is one of that id.
        """
        if session.session in self._sessions:
            message = f"there is a session {session.session!r} already"
            raise ValueError(message)
        self._sessions[session.session] = session
        self.names = frozenset(self._sessions)
        if self.http is not None:
            self.http.open(session.session)

    def remove(self, session: Session) -> None:
        """Forget a session that has ended, with all that waits for it and all that it has sent with a delay."""
        if self._sessions.get(session.session) is session:
            del self._sessions[session.session]
            self.names = frozenset(self._sessions)
            if self.http is not None:
                self.http.shut(session.session)
        self._drop(each for each in self._queue if each.to is session)
        self._drop_delayed(each for each in self._delayed if each.sender is session)

    def new_session_id(self, parent: str) -> str:
        """An id for a child, unlike that of any other session here."""
        return next(name for name in (f"{parent}.{n}" for n in self._numbers) if name not in self._sessions)

    def read_child(self, text: str | None, src: str | None, load: Load | None) -> Chart[Data]:
        """The chart of a child's document, read when it is first asked for; the last ones are kept.

        Args:
            text: the document, unless it is in a file.
            src: the file.
            load: gives the text of a file.

        Raises:
            DocumentInvalid: it is no valid document.
            LookupError: the file is no part of what may be read.
            OSError: it can't be read.
        """
        found = self._charts.get((load, src, text))
        if found is None:
            if src is not None and load is None:
                message = "there is no folder to read from"
                raise LookupError(message)
            document = load(src) if src is not None and load is not None else text or ""
            found = read(document, document=src or "invoked document", load=load)
            if len(self._charts) >= CHARTS_LIMIT:
                self._charts.clear()
            self._charts[load, src, text] = found
        return found

    def has_room(self, event: ScxmlEvent) -> bool:
        """Whether one event more can wait."""
        waiting = len(self._queue) + len(self._delayed)
        return waiting < WAITING_LIMIT and self._units + size_of(event.data) <= WAITING_UNITS_LIMIT

    def post(self, to: Session, event: ScxmlEvent, sender: Session | None = None) -> None:
        """Put an event at the end of a session's queue."""
        self._weigh(event, 1)
        self._queue.append(_Delivery(to, event, sender))

    def post_first(self, to: Session, events: Iterable[ScxmlEvent]) -> None:
        """Put events before all others, in their order: what went wrong is known before anything else happens."""
        for event in reversed(tuple(events)):
            self._weigh(event, 1)
            self._queue.appendleft(_Delivery(to, event, None))

    def delay(self, sender: Session, message: Send) -> None:
        """Keep a message until its time has come."""
        self._weigh(message.event, 1)
        heapq.heappush(self._delayed, _Delayed(self.clock.now() + message.delay, next(self._order), sender, message))

    def cancel(self, sender: Session, sendid: str) -> None:
        """Drop a session's own messages of that id that wait for their time."""
        self._drop_delayed(each for each in self._delayed if each.sender is sender and each.message.sendid == sendid)

    def drop_between(self, sender: Session, to: Session) -> None:
        """Drop what one session has sent to another and has not arrived yet."""
        self._drop(each for each in self._queue if each.sender is sender and each.to is to)

    def drop_of_child(self, parent: Session, invokeid: str) -> None:
        """Drop what a child of that id has sent to its parent and has not arrived: another takes the id."""
        self._drop(
            each
            for each in self._queue
            if each.to is parent
            and each.sender is not None
            and each.sender.parent is parent
            and each.event.invokeid == invokeid
        )

    # The loop.

    @contextmanager
    def at_work(self) -> Generator[None, None, None]:
        """Take the steps of all that happens within out of one budget."""
        if self._budget is not None:
            yield
            return
        self._budget = Budget(CALL_STEP_LIMIT)
        try:
            with spending(self._budget):
                yield
        finally:
            self._budget = None

    def drain(self) -> None:
        """Handle what is in the queue, to the end; what is being handled already goes on by itself.

        Raises:
            EndlessLoop: that did not come to rest.
        """
        if self._budget is not None:
            return
        with self.at_work():
            self._drain()

    def _drain(self) -> None:
        last: _Delivery | None = None
        for _ in range(EVENT_LIMIT):
            self.take_in()
            if not self._queue:
                return
            if last is not None and self._budget is not None and self._budget.left <= 0:
                raise self._endless(last, CALL_STEP_LIMIT)
            last = self._queue.popleft()
            self._weigh(last.event, -1)
            try:
                last.to.handle(last.event)
            except StatewardError as error:
                if last.to.parent is None:
                    raise
                last.to.fail(error)
        if self._queue and last is not None:
            raise self._endless(last, EVENT_LIMIT)

    def take_in(self) -> None:
        """Put what has come over HTTP into the queue."""
        for session, event in self.http.take() if self.http is not None else ():
            to = self._sessions.get(session)
            if to is not None:
                self.post(to, event)

    def spend(self, steps: int) -> None:
        """Count what is done beside evaluation."""
        if self._budget is not None:
            self._budget.left -= steps

    def _endless(self, last: _Delivery, limit: int) -> EndlessLoop:
        names = (last.event.name, *(each.event.name for each in islice(self._queue, NAMES_TOLD)))
        return EndlessLoop(
            lifecycle=last.to.chart.kind,
            state=last.to.snapshot.state,
            event=last.event.name,
            cycle=tuple(dict.fromkeys(names)),
            limit=limit,
        )

    def _weigh(self, event: ScxmlEvent, sign: int) -> None:
        self._units += sign * size_of(event.data)

    def _drop(self, deliveries: Iterable[_Delivery]) -> None:
        gone = {id(each) for each in deliveries}
        if gone:
            self._units -= sum(size_of(each.event.data) for each in self._queue if id(each) in gone)
            self._queue = deque(each for each in self._queue if id(each) not in gone)

    def _drop_delayed(self, delayed: Iterable[_Delayed]) -> None:
        gone = {each.order for each in delayed}
        if gone:
            self._units -= sum(size_of(each.message.event.data) for each in self._delayed if each.order in gone)
            self._delayed = [each for each in self._delayed if each.order not in gone]
            heapq.heapify(self._delayed)
