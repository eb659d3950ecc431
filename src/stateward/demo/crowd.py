"""A few thousand orders at once: their events are sent in batches, while workers do what they ask for.

An order's next event is sent when the one before is dealt with: after a payment that is when the provider has answered,
which the engine's worker sees to in the meantime.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from queue import Empty, SimpleQueue
from typing import NamedTuple

from stateward.chart import Event
from stateward.demo.orders import Deliver, Life, Order, OrderLifecycle, Ship
from stateward.demo.screen import Screen
from stateward.demo.watching import WAIT_S, DemoStalled, Watch
from stateward.engine import Engine
from stateward.engine.core import Creating, Sending
from stateward.errors import StatewardError
from stateward.ledger import Applied
from stateward.observe.committed import Committed

__all__ = ["Ran", "run_crowd"]

BATCH = 250
"""Events that are sent together."""
_WAITING = ("paying", "refunding")
"""The states in which the provider has yet to answer."""
_ACTORS: dict[type[Event], str] = {Ship: "warehouse:2", Deliver: "carrier:7"}
"""Who sends what the customer does not."""


class Ran(NamedTuple):
    """What came of it."""

    orders: int
    events: int
    """Events that were sent, creations not among them."""
    records: int
    """What the ledger has written down for it: starts, events, replies."""
    took_s: float


def run_crowd(engine: Engine, lives: Iterable[Life], watch: Watch, screen: Screen) -> Ran:
    """Live so many lives; the engine's worker is started already."""
    return _Crowd(engine, list(lives), watch, screen).run()


class _Crowd:
    def __init__(self, engine: Engine, lives: Sequence[Life], watch: Watch, screen: Screen) -> None:
        self._engine = engine
        self._lives = lives
        self._watch = watch
        self._screen = screen
        self._remaining: dict[str, Iterator[Event]] = {each.order: iter(each.events) for each in lives}
        self._customers = {each.order: each.customer for each in lives}
        self._waiting: set[str] = set()
        """Orders that wait for the provider."""
        self._answered: SimpleQueue[str] = SimpleQueue()
        self._sent = self._over = 0
        self._before = watch.outcomes.copy()
        self._started = time.perf_counter()

    def run(self) -> Ran:
        end = self._engine.listen(self._hear)
        try:
            ready = deque[str]()
            for batch in _batches(self._lives):
                self._create(batch)
                ready.extend(each.order for each in batch)
                self._round(ready)
            while ready or self._waiting:
                self._round(ready)
        finally:
            end()
        told = self._watch
        told.wait(lambda: told.done["Notify"] >= told.applied["Ship"], "not all customers were told")
        self._show(is_last=True)
        records = self._watch.outcomes.total() - self._before.total()
        return Ran(len(self._lives), self._sent, records, time.perf_counter() - self._started)

    def _hear(self, what: Committed) -> None:
        """In the worker's thread: the provider has answered."""
        if what.source == "effect" and what.outcome == "applied":
            self._answered.put(what.entity_id)

    def _create(self, lives: Sequence[Life]) -> None:
        answers = self._engine.create_many(
            [
                Creating(
                    lifecycle=OrderLifecycle, entity=each.order, context=Order(total=each.total), actor=each.customer
                )
                for each in lives
            ]
        )  # fmt: skip
        for answer in answers:
            if isinstance(answer, StatewardError):
                raise answer

    def _round(self, ready: deque[str]) -> None:
        """Send the next event of a batch of orders, and see which of them may go on."""
        self._screen.check()
        if ready:
            self._send([ready.popleft() for _ in range(min(BATCH, len(ready)))], ready)
        for order in self._take_answered(waits=not ready and bool(self._waiting)):
            self._waiting.discard(order)
            ready.append(order)
        self._show()

    def _send(self, orders: Sequence[str], ready: deque[str]) -> None:
        events = {order: event for order in orders if (event := next(self._remaining[order], None)) is not None}
        self._over += len(orders) - len(events)
        customers = self._customers
        answers = self._engine.send_many(
            [
                Sending(
                    lifecycle=OrderLifecycle,
                    entity=order,
                    event=event,
                    actor=_ACTORS.get(type(event), customers[order]),
                )
                for order, event in events.items()
            ]
        )
        self._sent += len(events)
        for order, answer in zip(events, answers, strict=True):
            if isinstance(answer, StatewardError):
                raise answer
            if isinstance(answer, Applied) and answer.outcome == "applied" and answer.state in _WAITING:
                self._waiting.add(order)  # its answer may be in the queue already, which is read behind this
            else:
                ready.append(order)

    def _take_answered(self, *, waits: bool) -> list[str]:
        found: list[str] = []
        if waits:
            try:
                found.append(self._answered.get(timeout=WAIT_S))
            except Empty:
                message = f"no answer to {len(self._waiting)} orders has come within {WAIT_S:.0f} s"
                raise DemoStalled(message) from None
        while not self._answered.empty():  # nobody else takes any
            found.append(self._answered.get())
        return found

    def _show(self, *, is_last: bool = False) -> None:
        took = time.perf_counter() - self._started
        records = self._watch.outcomes.total() - self._before.total()
        text = (
            f"{self._over:,} of {len(self._lives):,} orders over, {records:,} records, {records / took:,.0f}/s,"
            f" {self._watch.outcomes['refused'] - self._before['refused']:,} refused"
        )
        self._screen.progress(text, is_last=is_last)


def _batches(lives: Sequence[Life]) -> Iterator[list[Life]]:
    remaining = iter(lives)
    while batch := list(islice(remaining, BATCH)):
        yield batch
