"""A small world for each point at which a worker can be killed: a few orders, which go through all that orders can.

A worker works on them until it comes by the point that kills it, and another goes on from there. Nothing else goes
wrong, so that what does not hold in the end is that point's.
"""

from __future__ import annotations

import signal
from datetime import timedelta
from pathlib import Path
from typing import Self

from stateward import Engine, Event, Sending
from stateward.engine import Creating
from tests.work.world.checking import violations
from tests.work.world.client import Watcher
from tests.work.world.clock import WorldClock
from tests.work.world.commands import Start
from tests.work.world.gathering import Rows, gather
from tests.work.world.lifecycle import FINAL_STATES, Cancel, Checkout, Order, OrderLifecycle
from tests.work.world.processes import Fleet, Services, WorkerProcess

__all__ = ["SmallWorld"]

ORDERS = ("shipped", "cancelled", "abandoned")
"""What becomes of each; the services go by how an order is called. Between them there are timers that fire and are
cancelled, attempts that fail, dead letters with their event, replies of several events, and regions side by side."""
WAIT_S = 0.025
"""How long is waited for a worker's end at a time, before its ledger is looked at again."""
LOOKS_MAX = 2000


class SmallWorld:
    """One ledger with a few orders at a time, and one worker."""

    def __init__(
        self, address: str, folder: Path, name: str, fleet: Fleet, services: Services, *, has_tasks: bool
    ) -> None:
        """Take a ledger that is ready.

        Args:
            address: the ledger's.
            folder: where files are kept.
            name: tells its orders from those of other ledgers.
            fleet: what starts workers.
            services: what they call.
            has_tasks: whether its workers have the engine for tasks.
        """
        self._address, self._folder, self._name, self._fleet, self._port = address, folder, name, fleet, services.port
        self._has_tasks = has_tasks
        self._clock = WorldClock(folder / f"{name}.clock")
        self._orders: list[str] = []

    def __enter__(self) -> Self:
        self._engine = Engine(self._address, lifecycles=[OrderLifecycle], clock=self._clock)
        self._rows = Rows(self._address)
        return self

    def __exit__(self, *_: object) -> None:
        self._rows.__exit__()
        self._engine.close()

    def run(self, fatal: int) -> bool:
        """Let a worker be killed at a point, and another one end what there is to do; whether the first was killed.

        All orders that ever were are held against everything, so that a later one's harm to an earlier one is seen.

        Raises:
            AssertionError: something does not hold in the end.
        """
        engine, rows = self._engine, self._rows
        self._orders = [f"{self._name}-{fatal}-{each}" for each in ORDERS]
        self._begin(engine)
        worker = self._start(fatal)
        self._let_live(worker, engine, rows)
        if not worker.is_over:
            self._fleet.end(worker)
        is_killed = worker.status == -signal.SIGKILL
        if is_killed:
            worker = self._start(0)
            self._let_live(worker, engine, rows)
            self._fleet.end(worker)
        watcher = Watcher(self._port)
        books = watcher.books(f"{self._name}-")
        watcher.close()
        found = violations(gather(engine, self._address, books, self._orders))
        shown = "\n".join(found)
        assert not found, f"killed at point {fatal}:\n{shown}"
        return is_killed

    def _begin(self, engine: Engine) -> None:
        engine.create_many(
            [
                Creating(lifecycle=OrderLifecycle, entity=each, context=Order(), actor="customer:1", key="made")
                for each in self._orders
            ]
        )
        self._send(engine, self._orders, Checkout(amount=100))

    @staticmethod
    def _send(engine: Engine, orders: list[str], event: Event) -> None:
        key = type(event).__name__
        engine.send_many(
            [
                Sending(lifecycle=OrderLifecycle, entity=each, event=event, actor="customer:1", key=key)
                for each in orders
            ]
        )

    def _start(self, fatal: int) -> WorkerProcess:
        return self._fleet.start(
            Start(
                name="mortal" if fatal else "immortal",
                address=self._address,
                port=self._port,
                clock=str(self._folder / f"{self._name}.clock"),
                log=str(self._folder / f"{self._name}.log"),
                fatal=fatal,
                lease_s=4,
                has_tasks=self._has_tasks,
            )
        )

    def _let_live(self, worker: WorkerProcess, engine: Engine, rows: Rows) -> None:
        """Wait until a worker is over, or all orders are; when all is done that can be done, go on with them."""
        for _ in range(LOOKS_MAX):
            if self._fleet.wait_over(worker, WAIT_S):
                return
            left = rows.left()
            if not left["outbox"] and self._is_over(engine, left):
                return
        raise AssertionError(f"{self._name} does not come to rest: {rows.left()} {engine.census(OrderLifecycle)}")

    def _is_over(self, engine: Engine, left: dict[str, int]) -> bool:
        """Whether all orders are, and nothing is left; otherwise what keeps them is done."""
        states = {each.id: each.state for each in engine.get_many(OrderLifecycle, self._orders).values()}
        if all(state in FINAL_STATES for state in states.values()):
            if left["dead"]:
                engine.retry(engine.dead())
            return not any(left.values())
        if all(state in (*FINAL_STATES, "packing") for state in states.values()):
            cancelled = [each for each, state in states.items() if state == "packing" and each.endswith("cancelled")]
            if cancelled:
                self._send(engine, cancelled, Cancel())
            else:
                self._clock.move(timedelta(minutes=21))
        return False
