"""Driving a piece of protocol: a thread or a task sends it the pages of each trip."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from stateward.ledger.contract import Page, Trip, Trips

__all__ = ["drive", "drive_async"]

T = TypeVar("T")


def drive(trips: Trips[T], make: Callable[[Trip], Sequence[Page]]) -> T:
    """Send a generator the pages of each trip that it yields; what making one raises is thrown into it.

    An interrupt goes past it: the protocol is closed, and decides nothing any more.
    """
    try:
        trip = next(trips)
        while True:
            try:
                pages = make(trip)
            except Exception as error:
                trip = trips.throw(error)
            else:
                trip = trips.send(pages)
    except StopIteration as end:
        result: T = end.value
        return result
    finally:
        trips.close()


async def drive_async(trips: Trips[T], make: Callable[[Trip], Awaitable[Sequence[Page]]]) -> T:
    """The same in a task."""
    try:
        trip = next(trips)
        while True:
            try:
                pages = await make(trip)
            except Exception as error:
                trip = trips.throw(error)
            else:
                trip = trips.send(pages)
    except StopIteration as end:
        result: T = end.value
        return result
    finally:
        trips.close()
