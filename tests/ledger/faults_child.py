"""A process that sends keyed ticks and says what was acknowledged, until a fault on purpose kills it.

    python -m tests.ledger.faults_child ADDRESS FIRST COUNT BATCH

It sends Tick(n) under the key `k<n>` for COUNT numbers from FIRST on, to c0 and c1 in turn, in batches of BATCH, and
prints a line `ack <n> <record> <revision>` for each answer. The environment names the point at which it kills itself,
as `STATEWARD_FAULT=point:nth`; what was sent before the first tick does not count. `STATEWARD_ENGINE=tasks` has the
engine for tasks send.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

import stateward.ledger.sqlite.ledger as sqlite_ledger
from stateward.engine import AsyncEngine, Engine, Sending
from stateward.ledger import Applied
from stateward.ledger.contract import CommitMoves, LoadPairs, Trip
from stateward.ledger.postgres import AsyncPostgresLedger, PostgresLedger
from stateward.ledger.sqlite import SqliteLedger
from tests.ledger.by_tasks import EngineByTasks
from tests.ledger.faults_counting import Count, CountLifecycle, Tick

__all__ = ["entity_of", "main"]


class Fault:
    """The point at which this process ends, the nth time that it comes by."""

    def __init__(self, text: str) -> None:
        self.point, _, nth = text.partition(":")
        self.left = int(nth or 1)
        self.is_armed = False

    def reach(self, point: str) -> None:
        if not self.is_armed or point != self.point:
            return
        self.left -= 1
        if not self.left:
            os.kill(os.getpid(), signal.SIGKILL)


def plant(fault: Fault) -> None:
    """Let every trip, and each statement of SQLite's writing, come by its points."""
    plant_trips(SqliteLedger, fault)
    plant_trips(PostgresLedger, fault)
    plant_trips_of_tasks(AsyncPostgresLedger, fault)
    plant_statements_of_sqlite(fault)


def reach_before(trip: Trip, fault: Fault) -> None:
    if any(isinstance(each, LoadPairs) for each in trip.operations):
        fault.reach("before-read")


def reach_behind(trip: Trip, fault: Fault) -> None:
    if any(isinstance(each, LoadPairs) for each in trip.operations):
        fault.reach("between-read-and-write")
    if any(isinstance(each, CommitMoves) for each in trip.operations):
        fault.reach("after-write")


def plant_trips(ledger: Any, fault: Fault) -> None:
    make = ledger._make

    def made(self: Any, connection: Any, trip: Trip) -> Any:
        reach_before(trip, fault)
        pages = make(self, connection, trip)
        reach_behind(trip, fault)
        return pages

    ledger._make = made


def plant_trips_of_tasks(ledger: Any, fault: Fault) -> None:
    make = ledger._make

    async def made(self: Any, connection: Any, trip: Trip) -> Any:
        reach_before(trip, fault)
        pages = await make(self, connection, trip)
        reach_behind(trip, fault)
        return pages

    ledger._make = made


def plant_statements_of_sqlite(fault: Fault) -> None:
    many, patiently = sqlite_ledger._many, SqliteLedger._patiently

    def write_many(cursor: Any, query: str, rows: Sequence[Sequence[Any]]) -> int:
        done = many(cursor, query, rows)
        if rows:
            fault.reach(f"inside-{query}")
        return done

    def be_patient(self: Any, act: Any) -> Any:
        if getattr(act, "__name__", "") == "commit":
            fault.reach("before-commit")
        return patiently(self, act)

    sqlite_ledger._many = write_many
    SqliteLedger._patiently = be_patient  # type: ignore[method-assign]


def entity_of(n: int) -> str:
    """The entity that a tick of this number goes to."""
    return f"c{n % 2}"


def open_engine(address: str) -> Any:
    if os.environ.get("STATEWARD_ENGINE") == "tasks":
        return EngineByTasks(lambda: AsyncEngine(address, lifecycles=[CountLifecycle]))
    return Engine(address, lifecycles=[CountLifecycle])


def main(address: str, first: int, count: int, batch: int) -> None:
    """Send, and say what was acknowledged."""
    fault = Fault(os.environ.get("STATEWARD_FAULT", ""))
    plant(fault)
    with open_engine(address) as engine:
        for entity in ("c0", "c1"):
            engine.create(CountLifecycle, entity, Count(), actor="child:1", key="made")
        print("ready", flush=True)
        fault.is_armed = True
        for start in range(first, first + count, batch):
            numbers = range(start, min(start + batch, first + count))
            answers = engine.send_many(
                [
                    Sending(
                        lifecycle=CountLifecycle, entity=entity_of(n), event=Tick(n=n), actor="child:1", key=f"k{n}"
                    )
                    for n in numbers
                ]
            )
            for n, answer in zip(numbers, answers, strict=True):
                if isinstance(answer, Applied):
                    print(f"ack {n} {answer.record} {answer.revision}", flush=True)
                else:
                    print(f"failed {n} {answer!r}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
