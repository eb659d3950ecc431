"""The points at which a worker of the test world can be killed: around each trip to its ledger, and each call.

Points are counted as the worker comes by; the one whose number it was given kills it, with SIGKILL. So all of them are
gone through one by one without anything being known of how the worker is built: before a trip of a transaction is sent;
behind it, when it is committed, and the worker has not seen the answer; behind one that has read something; before a
handler calls; behind the call, when the worker does not know yet what came of it. To be killed before a trip that only
reads is to be killed behind the one before it; one that finds nothing leads to nothing.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from threading import Lock
from typing import Any

from stateward.ledger.contract import Page, Trip
from stateward.ledger.postgres import AsyncPostgresLedger, PostgresLedger
from stateward.ledger.sqlite import SqliteLedger

__all__ = ["FaultPoints", "plant"]


class FaultPoints:
    """Counts the points that this process comes by, and ends it at one of them."""

    def __init__(self, fatal: int) -> None:
        """Take the number of the point that is the last, from 1; 0: none is."""
        self._fatal = fatal
        self._lock = Lock()
        self.count = 0

    def reach(self) -> None:
        """Come by a point."""
        with self._lock:
            self.count += 1
            if self.count == self._fatal:
                os.kill(os.getpid(), signal.SIGKILL)


def plant(points: FaultPoints) -> None:
    """Let the trips of every ledger come by their points."""
    for ledger in (SqliteLedger, PostgresLedger):
        plant_trips(ledger, points)
    plant_trips_of_tasks(AsyncPostgresLedger, points)


def reach_before(trip: Trip, points: FaultPoints) -> None:
    if trip.begins or trip.commits:
        points.reach()


def reach_behind(trip: Trip, pages: Sequence[Page], points: FaultPoints) -> None:
    if trip.begins or trip.commits or any(pages):
        points.reach()


def plant_trips(ledger: Any, points: FaultPoints) -> None:
    make = ledger._make

    def made(self: Any, connection: Any, trip: Trip) -> Any:
        reach_before(trip, points)
        pages = make(self, connection, trip)
        reach_behind(trip, pages, points)
        return pages

    ledger._make = made


def plant_trips_of_tasks(ledger: Any, points: FaultPoints) -> None:
    make = ledger._make

    async def made(self: Any, connection: Any, trip: Trip) -> Any:
        reach_before(trip, points)
        pages = await make(self, connection, trip)
        reach_behind(trip, pages, points)
        return pages

    ledger._make = made
