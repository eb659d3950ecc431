"""The ways to drive our ledger: by threads, by tasks, in batches."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from threading import Barrier, Thread
from typing import Any

from bench.ledger.order import Order, OrderLifecycle, Pay
from bench.measure import Run
from stateward import Refusal
from stateward.engine import AsyncEngine, Creating, Engine, Sending
from stateward.ledger.contract import Ledger

__all__ = ["BATCH", "Ours", "in_threads"]

BATCH = 100


class Ours:
    """Both engines on one database; each entity is sent its one event, and then done with."""

    def __init__(self, ledger: str | Ledger) -> None:
        self.engine = Engine(ledger, lifecycles=[OrderLifecycle])
        self._runner = asyncio.Runner()
        self._ledger = ledger
        self._tasks_engine: AsyncEngine | None = None
        self._made = 0
        self._random = random.Random(4200)

    def close(self) -> None:
        if self._tasks_engine is not None:
            self._runner.run(self._tasks_engine.close())
        self._runner.close()
        self.engine.close()

    def created(self, events: int) -> list[str]:
        """Entities that wait for their event, in no order."""
        names = [f"o{number}" for number in range(self._made, self._made + events)]
        self._made += events
        made = self.engine.create_many([creating(name) for name in names])
        _check(made)
        self._random.shuffle(names)
        return names

    def threads(self, number: int, events: int) -> Run:
        """So many threads that send to the engine, each its next event when the last is answered."""

        def run() -> tuple[int, int]:
            names = self.created(events)
            if number == 1:
                return self.send_each(names), events
            return in_threads([names[n::number] for n in range(number)], self.send_each), events

        return run

    def tasks(self, number: int, events: int) -> Run:
        """So many tasks of one loop, likewise."""
        if self._tasks_engine is None:
            self._tasks_engine = AsyncEngine(self._ledger, lifecycles=[OrderLifecycle])
            self._runner.run(self._tasks_engine.open())
        engine = self._tasks_engine

        async def send(names: Sequence[str]) -> None:
            for name in names:
                await engine.send(OrderLifecycle, name, Pay(amount=4200), actor="bench:1", key="k")

        async def work(names: Sequence[str]) -> int:
            began = time.perf_counter_ns()
            await asyncio.gather(*(send(names[n::number]) for n in range(number)))
            return time.perf_counter_ns() - began

        def run() -> tuple[int, int]:
            return self._runner.run(work(self.created(events))), events

        return run

    def batches(self, events: int) -> Run:
        """One caller of `send_many`."""

        return lambda: (self.send_batches(self.created(events)), events)

    def send_each(self, names: Sequence[str]) -> int:
        """Send each its event; the nanoseconds that it took."""
        began = time.perf_counter_ns()
        for name in names:
            self.engine.send(OrderLifecycle, name, Pay(amount=4200), actor="bench:1", key="k")
        return time.perf_counter_ns() - began

    def send_batches(self, names: Sequence[str]) -> int:
        """The same by `send_many`, a hundred at a time."""
        sendings = [paying(name) for name in names]
        began = time.perf_counter_ns()
        for first in range(0, len(sendings), BATCH):
            _check(self.engine.send_many(sendings[first : first + BATCH]))
        return time.perf_counter_ns() - began


def creating(name: str) -> Creating:
    return Creating(lifecycle=OrderLifecycle, entity=name, context=Order(), actor="bench:1")


def paying(name: str) -> Sending:
    return Sending(lifecycle=OrderLifecycle, entity=name, event=Pay(amount=4200), actor="bench:1", key="k")


def _check(answers: Sequence[Any]) -> None:
    for answer in answers:
        if isinstance(answer, (Refusal, Exception)):
            message = f"an event was not applied: {answer}"
            raise RuntimeError(message)


def in_threads(parts: Sequence[Any], work: Callable[[Any], object]) -> int:
    """Nanoseconds from when all threads are there until the last is done."""
    ready = Barrier(len(parts) + 1)

    def start(part: Any) -> None:
        ready.wait()
        work(part)

    threads = [Thread(target=start, args=(part,)) for part in parts]
    for thread in threads:
        thread.start()
    ready.wait()
    began = time.perf_counter_ns()
    for thread in threads:
        thread.join()
    return time.perf_counter_ns() - began
